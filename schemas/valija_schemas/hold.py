"""What two operators do when a contact point's keys may be in other hands: they hold it, for 72 hours at most.

Officers suspend a contact point by a directory, which takes several people with offline keys. A hold is for the hours
until then: it stops what the contact point does, ends by itself, and cannot be repeated unless the officers signed a
directory version meanwhile. Lifting is a note of the same kind, so that the holds of a contact point are one list, and
takes as many people, so that one stolen key of an operator ends none.

Everything here is pure: notes, a root and a time in, a verdict out. SPEC.md section 4.7.
"""

from collections.abc import Iterable
from typing import Annotated, Final, Literal

import msgspec

from valija_schemas import limits, wire
from valija_schemas import note as notes
from valija_schemas.directory import Root
from valija_schemas.order import OrderError, signed_by, under_any
from valija_schemas.wire import Count, Digest, Identifier, Milliseconds

HOLD: Final = "valija/hold/v1"

EVENT: Final = "OperatorHold"  #: What a hold, or its lifting, is called among the events.

OPERATORS_MIN: Final = 2  #: Distinct operators who must sign. It silences an office: no one person may.


class HoldError(OrderError):
    """A hold may not be believed, or not be carried out now; the text says why."""


class Hold(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`valija/hold/v1`: a contact point is held, or a hold is lifted."""

    action: Literal["hold", "lift"]
    contact_point: Identifier
    hold: Digest | None  #: Of the hold that is lifted. Only that one ends: not one that came after it.
    directory: tuple[Count, Digest] | None  #: The newest version when it was signed. A later hold names a newer one.
    time: Milliseconds  #: When it was signed. The 72 hours count from here, whenever it is handed in.
    until: Milliseconds | None  #: When a hold ends by itself.
    reason: Annotated[str, msgspec.Meta(pattern=r"^[^\n]+$", max_length=500)]


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """A hold or a lifting, and who gave it."""

    hold: Hold
    digest: str  #: Of the note's text.
    operators: tuple[str, ...]  #: Ids of those whose signatures hold, in order, each once.
    raw: bytes

    def in_force(self, at_ms: int) -> bool:
        """Whether this holds at `at_ms`, unless it was lifted."""
        return self.hold.until is not None and at_ms < self.hold.until


_read: Final = wire.Decoder(Hold, limits.note_bytes_max)


def text(origin: str, hold: Hold) -> bytes:
    """The text to sign.

    Raises:
        WireError, HoldError: no reader would take it.
    """
    json = wire.encode(hold)
    _require_shape(_read(json))
    return notes.text(HOLD, origin, json)


def parse_hold(raw: bytes, origin: str) -> tuple[notes.Note, Hold]:
    """A hold or a lifting that is well-formed; whether anybody may give it is `read_hold`.

    Raises:
        HoldError: another kind, another exchange, not the one form, a reserved name, or longer than 72 hours.
    """
    try:
        note = notes.parse(raw)
        notes.require(note, HOLD, origin)
        hold = _read(note.json)
        _require_shape(hold)
        return note, hold
    except ValueError as error:
        raise HoldError(str(error)) from None


def _require_shape(hold: Hold) -> None:
    if hold.contact_point.split(".", maxsplit=1)[0] in notes.RESERVED_NAMES:
        raise HoldError(f"{hold.contact_point} is a reserved name, and no contact point")
    if hold.action == "lift":
        if hold.hold is None or hold.directory is not None or hold.until is not None:
            raise HoldError("a lifting names the hold that it ends, and neither a directory nor an end")
        return
    if hold.hold is not None or hold.directory is None or hold.until is None:
        raise HoldError("a hold names a directory version and its end, and no other hold")
    if not 0 < hold.until - hold.time <= limits.hold_max_ms:
        raise HoldError("a hold lasts 72 hours at most")


def read_hold(raw: bytes, origin: str, root: Root) -> Given:
    """A hold or a lifting that two operators of `root` signed, and nobody else.

    Raises:
        HoldError: as `parse_hold`; a signature by anybody else or that does not hold, or too few of them.
    """
    note, hold = parse_hold(raw, origin)
    try:
        operators = signed_by(note, origin, root)
    except OrderError as error:
        raise HoldError(str(error)) from None
    if len(operators) < OPERATORS_MIN:
        raise HoldError(f"it needs the signatures of {OPERATORS_MIN} operators, and bears {len(operators)}")
    return Given(hold=hold, digest=note.digest, operators=operators, raw=raw)


def read_logged(raw: bytes, origin: str, roots: Iterable[Root]) -> Given:
    """A hold or a lifting that was given under one of `roots`.

    Raises:
        HoldError: as `read_hold`, of the first of `roots`.
    """
    return under_any(read_hold, raw, origin, roots)


def is_new(given: Given, earlier: Iterable[tuple[str, Hold]], newest: tuple[int, str], now_ms: int) -> bool:
    """Whether this is not in `earlier` yet, all holds and liftings of its contact point up to now, by digest.

    `newest` is the directory version in force.

    Raises:
        HoldError: it may not follow, or is over; the text says why.
    """
    hold = given.hold
    before = dict(earlier)
    lifted = {found.hold for found in before.values() if found.action == "lift"}
    if hold.time > now_ms + limits.sent_ahead_max_ms:
        raise HoldError("its time is ahead of the clock here")
    if hold.action == "lift":
        if given.digest in before:
            return False
        old = before.get(hold.hold or "")
        if old is None or old.action != "hold":
            raise HoldError(f"there is no such hold of {hold.contact_point}")
        if hold.hold in lifted or old.until is None or now_ms >= old.until:
            raise HoldError("the hold that it names is over already")
        return True
    if hold.until is None or now_ms >= hold.until:
        raise HoldError("it is over already: sign a new one")
    if given.digest in lifted:
        raise HoldError("it was lifted, and cannot be used again")
    if given.digest in before:
        return False
    if hold.directory != newest:
        raise HoldError(f"it was signed under another directory version than {newest[0]}, the newest: look again")
    versions = [found.directory[0] for found in before.values() if found.directory is not None]
    if versions and max(versions) >= newest[0]:
        raise HoldError(
            f"{hold.contact_point} was held under directory version {newest[0]} already: only after the officers"
            " published another one can it be held again. They can suspend it at any time"
        )
    return True


def words(given: Given) -> str:
    """What was done, for people."""
    who = ", ".join(given.operators)
    did = "lifted the hold on" if given.hold.action == "lift" else "held"
    return f"{who} {did} {given.hold.contact_point}"
