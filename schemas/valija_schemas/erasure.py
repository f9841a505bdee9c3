"""What the broker says when it erases openings: which leaves, when, and why. SPEC.md section 5.3.

An erasure takes salt and event from the broker's own copy and nothing from the log: the leaf stays, and what the
parties hold stays proved. The statement is an event of the log itself, unsigned, two lines: an opening is missing for a
stated reason or not at all.
"""

from collections.abc import Iterable
from typing import Annotated, Final

import msgspec

from valija_schemas import limits, wire
from valija_schemas import note as notes
from valija_schemas.wire import Count, Digest, Line, Milliseconds

ERASURE: Final = "valija/erasure/v1"

ranges_max: Final = 400  #: A range takes at most 36 bytes of JSON: these fit into `note_bytes_max` whatever they are.


class ErasureError(ValueError):
    """This is not an erasure of this exchange; the text says why."""


class Erasure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`valija/erasure/v1`: the broker no longer has these openings."""

    order: Digest | None  #: Of the operators' order; null when age alone did it.
    leaves: Annotated[tuple[tuple[Count, Count], ...], msgspec.Meta(min_length=1, max_length=ranges_max)]
    """First index and count of each range, ascending, none touching the next."""
    time: Milliseconds
    reason: Line


_read: Final = wire.Decoder(Erasure, limits.note_bytes_max)


def ranges_of(indexes: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Ascending indexes of leaves as ranges: first index and count, adjacent ones joined."""
    found: list[tuple[int, int]] = []
    for index in indexes:
        if found and sum(found[-1]) == index:
            found[-1] = (found[-1][0], found[-1][1] + 1)
        else:
            found.append((index, 1))
    return tuple(found)


def erasure_text(origin: str, erasure: Erasure) -> bytes:
    """The two lines of an erasure.

    Raises:
        ErasureError: no reader would take it.
    """
    text = notes.text(ERASURE, origin, wire.encode(erasure))
    parse_erasure(text, origin)
    return text


def parse_erasure(text: bytes, origin: str) -> Erasure:
    """An erasure, from its text alone.

    Raises:
        ErasureError: not well-formed, or its ranges are empty, out of order, overlap or touch.
    """
    try:
        if len(text) > limits.note_bytes_max:
            raise ErasureError(f"it is longer than {limits.note_bytes_max} bytes")
        found = _read(notes.parse_text(text, ERASURE, origin))
    except ValueError as error:
        raise ErasureError(str(error)) from None
    end = -1
    for first, count in found.leaves:
        if first <= end or not count:
            raise ErasureError("its ranges are not ascending and apart, each with a leaf")
        end = first + count
    return found
