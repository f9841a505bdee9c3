"""What operators order together about a dead letter, and about what the broker keeps as evidence. SPEC.md section 5.4.

An order is a note that operators sign on their own machines, with the keys that the root names for them. A broker puts
it into the log, carries it out, and does nothing of the kind without one: the parties see who gave it and why.

Everything here is pure: a note, a root and a time in, a verified order out.
"""

from collections.abc import Callable, Iterable
from typing import Annotated, Final, Literal, TypeVar

import msgspec

from valija_schemas import limits, wire
from valija_schemas import note as notes
from valija_schemas.directory import Root
from valija_schemas.wire import Digest, Identifier, Milliseconds

T = TypeVar("T")

ACTION: Final = "valija/action/v1"

EVENT: Final = "OperatorAction"  #: What an order is called among the events of a message.

ActionName = Literal["replay", "discard", "retain", "release", "erase"]

OPERATORS_MIN: Final[dict[ActionName, int]] = {"replay": 1, "discard": 2, "retain": 1, "release": 2, "erase": 2}
"""How many distinct operators must sign. What can be taken back takes one, so that it is done in time: a replay ends in
the dead letters again, a legal hold is released. What destroys, or lets something be destroyed, needs a second person.
"""

_NAMES_BOTH: Final[frozenset[ActionName]] = frozenset({"replay", "discard"})  # one recipient's share of one message


class OrderError(ValueError):
    """An order may not be believed, or not be carried out now; the text says why."""


class Action(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`valija/action/v1`: what is to be done, and to what."""

    action: ActionName
    message: Digest | None
    contact_point: Identifier | None  #: Whose dead letter it is, or all of whose evidence is meant.
    time: Milliseconds  #: When it was ordered; only what was dead, or held, by then is meant.
    reason: Annotated[str, msgspec.Meta(pattern=r"^[^\n]+$", max_length=500)]

    @property
    def what(self) -> str:
        """What a legal hold is on: the digest of a message, or a contact point."""
        return self.message or self.contact_point or ""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An action, and who ordered it."""

    action: Action
    digest: str  #: Of the note's text: the same order, whoever else signs it later.
    operators: tuple[str, ...]  #: Ids of those whose signatures hold, in order, each once.


_read_action: Final = wire.Decoder(Action, limits.note_bytes_max)


def text(origin: str, action: Action) -> bytes:
    """The text to sign.

    Raises:
        WireError, OrderError: no reader would take it; of the reason, that it is empty, too long, or no line.
    """
    json = wire.encode(action)
    _require_named(_read_action(json))
    return notes.text(ACTION, origin, json)


def parse_order(raw: bytes, origin: str) -> tuple[notes.Note, Action]:
    """An order that is well-formed; whether anybody may give it is `read_order`.

    Raises:
        OrderError: another kind, another exchange, or not the one form.
    """
    try:
        note = notes.parse(raw)
        notes.require(note, ACTION, origin)
        action = _read_action(note.json)
        _require_named(action)
        return note, action
    except ValueError as error:
        raise OrderError(str(error)) from None


def _require_named(action: Action) -> None:
    """Refuse an order that leaves open what it is about, or could be read as being about two things."""
    named = (action.message is not None, action.contact_point is not None)
    if action.action in _NAMES_BOTH:
        if named != (True, True):
            raise OrderError(f"a {action.action} names a message and a contact point")
    elif action.action == "erase":
        if named != (True, False):
            raise OrderError("an erase names a message and nothing else")
    elif sum(named) != 1:
        raise OrderError(f"a {action.action} names a message or a contact point, and not both")


def read_order(raw: bytes, origin: str, root: Root) -> Order:
    """An order that enough operators of `root` signed, and nobody else.

    Raises:
        OrderError: not well-formed, a signature by anybody else or that does not hold, or too few of them.
    """
    note, action = parse_order(raw, origin)
    signed = signed_by(note, origin, root)
    need = OPERATORS_MIN[action.action]
    if len(signed) < need:
        raise OrderError(f"{action.action} needs the signatures of {need} operators, and bears {len(signed)}")
    return Order(action=action, digest=note.digest, operators=signed)


def signed_by(note: notes.Note, origin: str, root: Root) -> tuple[str, ...]:
    """The distinct people with the role `operator` in `root` who signed `note`, in order, where nobody else did.

    Raises:
        OrderError: a signature by anybody else, or one that does not hold.
    """
    named = {bytes.fromhex(one.key): one.id for one in root.operators if "operator" in one.roles}
    verifiers = [notes.Verifier(f"{origin}/{id_}", public) for public, id_ in named.items()]
    try:
        signed = notes.verify_any(note, verifiers)
    except notes.NoteError as error:
        raise OrderError(str(error)) from None
    if len(signed) != len(note.signatures):
        raise OrderError(f"it bears a signature of somebody who has no role `operator` in root version {root.version}")
    return tuple(sorted(named[one.public] for one in signed))


def read_logged(raw: bytes, origin: str, roots: Iterable[Root]) -> Order:
    """An order that was carried out under one of `roots`: operators who were replaced since gave it in their time.

    Raises:
        OrderError: as `read_order`, of the first of `roots`.
    """
    return under_any(read_order, raw, origin, roots)


def under_any(read: Callable[[bytes, str, Root], T], raw: bytes, origin: str, roots: Iterable[Root]) -> T:
    """What `read` makes of `raw` under the first of `roots` under which it is good.

    Raises:
        OrderError: under none; the error is that of the first.
    """
    errors = []
    for root in roots:
        try:
            return read(raw, origin, root)
        except OrderError as error:
            errors.append(error)
    raise errors[0]


_DID: Final[dict[ActionName, str]] = {
    "replay": "sent it back to the queue",
    "discard": "gave it up",
    "retain": "put a legal hold on",
    "release": "ended the legal hold on",
    "erase": "had the broker's copies of its events erased",
}


def words(given: Order) -> str:
    """Who ordered what, for people."""
    action = given.action
    of = f" all evidence of {action.contact_point}" if action.message is None else " its evidence"
    return f"{', '.join(given.operators)} {_DID[action.action]}{of if action.action in {'retain', 'release'} else ''}"


def require_timely(order: Order, now_ms: int) -> None:
    """Refuse an order that lay about: what was meant when it was signed may be wrong now.

    Raises:
        OrderError: it is older than 72 hours, or from the future.
    """
    if order.action.time > now_ms + limits.sent_ahead_max_ms:
        raise OrderError("its time is ahead of the clock here")
    if now_ms >= order.action.time + limits.order_age_max_ms:
        raise OrderError("it was signed more than 72 hours ago: sign a new one")
