"""What States and contact points agreed on, as the officers say it in a directory. SPEC.md section 4.2.

A treaty is a cell of a table: whether a State is a party to an instrument, since when, and where that was read. What
has no cell is unknown; it is never read as "no". A bilateral type is one that two contact points agreed on: the
directory carries the digest of its JSON Schema, so that both validate by the same bytes, and the broker lets it travel
between these two alone.

Everything here is pure. Before this room: `wire`. After it: `directory`, which carries both.
"""

import datetime as dt
from collections.abc import Collection, Sequence
from typing import Annotated, Final, Literal

import msgspec

from valija_schemas.wire import Digest, Identifier

TreatyCode = Literal[
    "untoc",
    "tip-protocol",
    "migrants-protocol",
    "firearms-protocol",
    "un-1988",
    "uncac",
    "cifta",
    "nassau-mla",
    "iacac",
    "terrorism-financing-1999",
    "iacat-2002",
]
"""The treaties that a document can name as its legal basis, by the codes of `documents.blocks.case`."""

StateCode = Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{2}$")]
"""A State: ISO 3166-1 alpha-2."""

Day = Annotated[str, msgspec.Meta(pattern=r"^[1-9][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$")]
"""A day of the calendar: `2003-10-06` (ISO 8601)."""

BilateralName = Annotated[str, msgspec.Meta(pattern=r"^x-[a-z][a-z-]{0,60}/[1-9][0-9]{0,3}$")]
"""A type that two contact points agreed on, and its version: `x-vehicle-report/1`."""

BILATERAL_PREFIX: Final = "x-"  #: No public type begins with it, so that a later one never takes the name of another.


class Treaty(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether a State is a party to a treaty, and who says so."""

    state: StateCode
    instrument: TreatyCode
    party: bool
    since: Day | None  #: The day of its instrument, as the source gives it; null: unknown, or no party.
    source: Annotated[str, msgspec.Meta(pattern=r"^[^\n]+$", max_length=300)]  #: Where it was read: one line.
    read: Day  #: When it was read there.


class Bilateral(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Documents of `type` may go between two contact points, both ways, and keep one JSON Schema."""

    type: BilateralName
    between: tuple[Identifier, Identifier]  #: Two contact points, in the order of their ids.
    schema: Digest  #: SHA-256 of the bytes of the schema's file.


def is_bilateral(type_: str) -> bool:
    """Whether a document type is one that two contact points agreed on."""
    return type_.startswith(BILATERAL_PREFIX)


def treaties_fault(treaties: Sequence[Treaty]) -> str | None:
    """Which rule the treaties of a directory break, in words; None where they keep them all."""
    cells = [(treaty.state, treaty.instrument) for treaty in treaties]
    if cells != sorted(set(cells)):
        return "the treaties are not in the order of State and instrument, each once"
    for treaty in treaties:
        where = f"{treaty.instrument} for {treaty.state}"
        if treaty.since is not None and not treaty.party:
            return f"{where}: who is no party has not been one since a day"
        if not all(_is_day(day) for day in (treaty.since, treaty.read) if day is not None):
            return f"{where}: there is no such day"
    return None


def bilateral_fault(agreements: Sequence[Bilateral], points: Collection[str]) -> str | None:
    """Which rule the bilateral types of a directory with these contact points break; None where they keep them all."""
    keys = [(each.type, each.between) for each in agreements]
    if keys != sorted(set(keys)):
        return "the bilateral types are not in order, each once for two contact points"
    for each in agreements:
        first, second = each.between
        if first >= second:
            return f"{each.type}: two contact points are named in the order of their ids"
        if first not in points or second not in points:
            return f"{each.type}: {first} and {second} must both be contact points of the directory"
    return None


def _is_day(text: str) -> bool:
    try:
        dt.date.fromisoformat(text)
    except ValueError:
        return False
    return True
