"""What a reader is shown of a document, whatever it is shown on: what must not be overlooked, headings, rows, files.

Pure values, made by `reading`. What a sender wrote stands in them as it was written: `text` and `html` each make it
harmless in their own way.

Before this room: `reading` makes one. After it: `text`, `html`, `attached`.
"""

from collections.abc import Iterator
from typing import Literal, TypeAlias

import msgspec

from valija_schemas.documents import Language


class Row(msgspec.Struct, frozen=True):
    """A label and what stands beside it."""

    label: str
    values: tuple[str, ...]  #: One paragraph each.
    own: bool = False  #: Whether the values are words of ours, and not the sender's.


class Table(msgspec.Struct, frozen=True):
    """Several short groups of the same kind. No column is empty."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Row, ...], ...]  #: Each with a row for each column, empty values where there are none.


class Attached(msgspec.Struct, frozen=True):
    """A file inside the document."""

    number: int  #: From 1, through the whole document.
    name: str  #: A label, as the sender wrote it; never a path.
    media_type: str
    rows: tuple[Row, ...]
    content: bytes

    def __repr__(self) -> str:
        return f"Attached(number={self.number})"


class Group(msgspec.Struct, frozen=True):
    """What stands under one heading."""

    title: str
    items: tuple["Item", ...]
    mark: str = ""  #: The grading of what stands in it: `B2`.


Item: TypeAlias = Row | Table | Attached | Group


class Notice(msgspec.Struct, frozen=True):
    """A sentence that must not be overlooked."""

    text: str
    weight: Literal["alarm", "warning", "good"] = "warning"


class Outline(msgspec.Struct, frozen=True, kw_only=True):
    """A document as it is read."""

    language: Language  #: The reader's.
    written_in: str | None  #: The language of the sender's texts, where it is known.
    title: str
    running: tuple[str, ...]  #: What stands on every page: exercise, handling, confidentiality.
    exercise: str  #: The word that marks an exercise, from top to bottom; empty for what is none.
    notices: tuple[Notice, ...]
    groups: tuple[Group, ...]

    def attached(self) -> Iterator[Attached]:
        """Every file, in the order of their numbers."""
        yield from _attached(self.groups)


def _attached(items: tuple[Item, ...]) -> Iterator[Attached]:
    for item in items:
        if isinstance(item, Attached):
            yield item
        elif isinstance(item, Group):
            yield from _attached(item.items)
