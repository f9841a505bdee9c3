"""Turns a document into what a reader is shown: first what must not be overlooked, then every field in its order.

Nothing here knows of a type: the forms themselves say what their fields are called and in which order they stand, so a
type that is added is read with no line here. Fields that were left empty are left out, and so is a default.

Before this room: `letter` says what is known of the message. After it: `values`, `outline`.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from valija.paper import values
from valija.paper.language import Words
from valija.paper.outline import Attached, Group, Item, Row, Table
from valija_schemas.documents import Block
from valija_schemas.documents.blocks.case import Question
from valija_schemas.documents.blocks.files import File
from valija_schemas.documents.blocks.information import Answer, Subject
from valija_schemas.documents.fields import Field, fields_of, tag_of

plain_depth_max: Final = 32  #: How deep an unknown document is walked; the form of documents allows 16.
plain_characters_max: Final = 20_000  #: As long as a text may be; what is longer is a file.


class Reading:
    """Reads the fields of one document; counts its files."""

    def __init__(self, words: Words) -> None:
        self._words: Final = words
        self._files = 0

    def fields(self, block: Block, *, without: frozenset[str] = frozenset()) -> Iterator[Item]:
        """What stands in each field of `block`, in the order of the form."""
        for field in fields_of(type(block)):
            value = getattr(block, field.name)
            if field.name not in without and (field.required or value != field.default) and value not in (None, ()):
                yield self.field(field, value)

    def field(self, field: Field, value: Any) -> Item:
        """What stands in one field that is not empty."""
        label = self._words.label(field)
        if not field.groups or all(map(values.is_line, field.groups)):
            said = [values.says(self._words, field, each) for each in (value if field.many else (value,))]
            return Row(label, tuple(text for text, _ in said), own=all(own for _, own in said))
        if not field.many:
            title = f"{label}: {self._words.title(type(value))}" if field.kind == "choice" else label
            return Group(title, tuple(self.fields(value)))
        if field.groups == (Question,):
            return Group(label, tuple(Row(str(each.number), (each.text,)) for each in value))
        if field.groups == (File,):
            return Group(label, tuple(map(self._file, value)))
        if field.kind == "group" and len(value) > 1 and all(map(_fits_cell, fields_of(field.groups[0]))):
            return self._table(label, field.groups[0], value)
        if field.kind == "group" and len(value) == 1 and not isinstance(value[0], Subject | Answer | Question):
            return Group(label, tuple(self.fields(value[0])), _mark(value[0]))
        return Group(label, tuple(self._each(number, inner) for number, inner in enumerate(value, 1)))

    def _each(self, number: int, block: Block) -> Group:
        """One of several groups, under what it is and how far it can be trusted."""
        mark = _mark(block)
        if isinstance(block, Subject):
            # The person or thing itself is the heading: one level less for the eye.
            items = (*self.fields(block.entity), *self.fields(block, without=frozenset({"entity"})))
            return Group(f"{number}. {self._words.title(type(block.entity))}", items, mark)
        if isinstance(block, Answer):
            title = f"{self._words.label(fields_of(Answer)[0])} {block.question}"
            return Group(title, tuple(self.fields(block, without=frozenset({"question"}))), mark)
        if isinstance(block, Question):
            return Group(f"{block.number}.", tuple(self.fields(block, without=frozenset({"number"}))), mark)
        title = f"{number}. {self._words.title(type(block))}" if tag_of(type(block)) else f"{number}."
        return Group(title, tuple(self.fields(block)), mark)

    def _table(self, title: str, group: type[Block], blocks: tuple[Block, ...]) -> Table:
        used = [field for field in fields_of(group) if any(_filled(field, block) for block in blocks)]
        rows = (tuple(self._cell(field, block) for field in used) for block in blocks)
        return Table(title, tuple(self._words.label(field) for field in used), tuple(rows))

    def _cell(self, field: Field, block: Block) -> Row:
        label, value = self._words.label(field), getattr(block, field.name)
        if value is None:
            return Row(label, ())
        said, own = values.says(self._words, field, value)
        return Row(label, (said,), own=own)

    def _file(self, file: File) -> Attached:
        self._files += 1
        rows = []
        for field in fields_of(File):
            label, value = self._words.label(field), getattr(file, field.name)
            if field.name == "size":
                rows.append(Row(label, (self._words.say("{count} bytes", count=value),), own=True))
            elif field.name not in {"name", "content"}:
                rows.append(Row(label, (str(value),)))
        return Attached(self._files, file.name, file.media_type, tuple(rows), file.content)


def plain(data: bytes, words: Words) -> tuple[Item, ...]:
    """What can be shown of a document of no known type, or not valid: its own names and values, as they stand."""
    try:
        value = msgspec.json.decode(data)
        return tuple(_plain("", value, words, 0))
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return (Row(words.say("Content"), (_cut(data.decode(errors="replace"), words),)),)


def _plain(name: str, value: Any, words: Words, depth: int) -> Iterator[Item]:
    def inner(label: str, each: Any) -> Iterator[Item]:
        return _plain(label, each, words, depth + 1)

    if depth > plain_depth_max:
        yield Row(name, (words.say("(more, too deep to be shown)"),), own=True)
    elif isinstance(value, dict):
        items = tuple(item for label, each in value.items() for item in inner(label, each))
        yield from (Group(name, items),) if depth else items
    elif isinstance(value, list) and not all(isinstance(each, str | int | float) for each in value):
        yield Group(name, tuple(item for number, each in enumerate(value, 1) for item in inner(f"{number}.", each)))
    elif isinstance(value, list):
        if value:
            yield Row(name, tuple(_cut(str(each), words) for each in value))
    elif isinstance(value, bool):
        yield Row(name, (words.say("Yes") if value else words.say("No"),), own=True)
    elif value is not None:
        yield Row(name, (_cut(str(value), words),))


def _mark(block: Block) -> str:
    graded = getattr(block, "grading", None)
    return "" if graded is None else values.mark(graded)


def _cut(text: str, words: Words) -> str:
    more = len(text) - plain_characters_max
    return (
        text
        if more <= 0
        else words.say("{text} ({count} more characters)", text=text[:plain_characters_max], count=more)
    )


def _fits_cell(field: Field) -> bool:
    return not field.many and (
        field.kind in {"line", "code", "number", "yes-no"}
        or (field.kind == "group" and values.is_line(field.groups[0]))
    )


def _filled(field: Field, block: Block) -> bool:
    value = getattr(block, field.name)
    return value is not None and (field.required or value != field.default)
