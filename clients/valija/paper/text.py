"""An outline for a terminal: plain lines, indented, that stand in a log or a mail as well.

The promise: nothing that a sender wrote moves the cursor, colours, or turns the direction of the line around it.

Before this room: `outline`. After it: `safe`.
"""

import unicodedata
from collections.abc import Iterator
from typing import Final

from valija.paper import safe
from valija.paper.outline import Attached, Group, Item, Outline, Row, Table
from valija_schemas.printable import printable

_LABEL_MAX: Final = 32  #: A longer label stands on a line of its own.
_VALUE_MIN: Final = 20  #: However deep it stands, so much room a value has.
_SIGNS: Final = {"alarm": "!!", "warning": "! ", "good": "  "}


def render(outline: Outline, width: int) -> Iterator[str]:
    """The lines of `outline`, of at most `width` columns where a word allows it. Printable as they are."""
    margin = f"{outline.exercise} | " if outline.exercise else ""
    for line in _lines(outline, max(_VALUE_MIN, width - len(margin))):
        yield f"{margin}{line}".rstrip()


def _lines(outline: Outline, width: int) -> Iterator[str]:
    yield from _heading(outline.title.upper(), "", width)
    yield "=" * min(width, len(outline.title))
    for notice in outline.notices:
        first, *others = _wrapped(notice.text.replace("\n", " "), width - 3)
        yield f"{_SIGNS[notice.weight]} {first}"
        yield from (f"   {other}" for other in others)
    for group in outline.groups:
        yield ""
        yield from _heading(group.title, "", width)
        yield "-" * min(width, len(group.title))
        yield from _items(group.items, "", width)


def _items(items: tuple[Item, ...], indent: str, width: int) -> Iterator[str]:
    longest = min(_LABEL_MAX, (width - len(indent)) // 2)
    labels = [len(item.label) for item in items if isinstance(item, Row) and len(item.label) <= longest]
    column = max(labels, default=0) + 2
    for item in items:
        match item:
            case Row():
                yield from _row(item, indent, column, width)
            case Group():
                yield from _heading(f"{item.title}  [{item.mark}]" if item.mark else item.title, indent, width)
                yield from _items(item.items, f"{indent}  ", width)
            case Table():
                yield from _heading(item.title, indent, width)
                for number, row in enumerate(item.rows, 1):
                    yield f"{indent}  {number}."
                    yield from _items(tuple(cell for cell in row if cell.values), f"{indent}    ", width)
            case Attached():
                yield from _heading(f"{item.number}. {item.name}", indent, width)
                yield from _items(item.rows, f"{indent}  ", width)


def _heading(title: str, indent: str, width: int) -> Iterator[str]:
    # A line end in a name would let what follows stand where headings and labels stand.
    yield from (f"{indent}{line}" for line in _wrapped(title.replace("\n", " "), width - len(indent)))


def _row(row: Row, indent: str, column: int, width: int) -> Iterator[str]:
    room = max(_VALUE_MIN, width - len(indent) - column)
    longest = max((len(word) for value in row.values for word in value.split()), default=0)
    # A digest that is cut in two cannot be copied: it stands below its label if that keeps it whole.
    below = room < longest <= width - len(indent) - 2
    if below:
        room, column = width - len(indent) - 2, 2
    lines = [line for value in row.values for line in _wrapped(value, room)]
    if below or len(row.label) > column - 2:
        yield from _heading(row.label, indent, width)
        yield from (f"{indent}{'':{column}}{line}" for line in lines)
        return
    label = safe.isolated(printable(row.label.replace("\n", " ")))
    yield f"{indent}{label:{column}}{lines[0] if lines else ''}"
    yield from (f"{indent}{'':{column}}{line}" for line in lines[1:])


def _wrapped(text: str, width: int) -> list[str]:
    """`text` in lines of at most `width` columns, each harmless by itself."""
    return [safe.isolated(line) for part in printable(text).split("\n") for line in _cut(part, width)]


def _cut(line: str, width: int) -> Iterator[str]:
    """Cut between words where there are any; linear in time, whatever the line is made of."""
    begin, blank, used, index = 0, -1, 0, 0
    while index < len(line):
        used += 2 if unicodedata.east_asian_width(line[index]) in "WF" else 1
        if line[index] == " ":
            blank = index
        if used > width and index > begin:
            end = blank if blank > begin else index
            yield line[begin:end]
            begin = index = end + 1 if end == blank else end
            blank, used = -1, 0
        else:
            index += 1
    yield line[begin:]
