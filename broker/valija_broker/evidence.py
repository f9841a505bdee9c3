"""What happened, as rows and notes: the event that an outbox entry stands for, and what the broker signs at once.

An event's id and its leaf are derived from what it says and from the salt that was drawn with it: the same entry gives
the same row whenever it is derived, so that reading an entry twice changes nothing.

Before this room: the outbox in the store, filled in the same atomic step as what it tells of. After it: `log.ledger`.
Rules: schemas/SPEC.md section 5.
"""

import hashlib
import secrets
from collections.abc import Iterable
from typing import ClassVar, Final, Literal

import msgspec

from valija_broker.shelves import CorruptEntry, OutboxEntry
from valija_schemas import erasure, evidence, hold, leaf, message, order, wire
from valija_schemas import note as notes
from valija_schemas.hold import Given
from valija_schemas.order import Order

ENDS: Final = frozenset(("ConsignmentAcceptance", "ConsignmentRejection", "ContentHandoverFailure"))  #: Of a share.
OPERATORS: Final = "operator"  #: Its feed has every order and erasure. A reserved name: no contact point reads it.


class Headline(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What the header of a message says that no event does, for those who look after the exchange."""

    type: str
    priority: str
    exercise: bool
    thread: str
    in_reply_to: str | None
    bytes: int  #: Of the message, note and body.
    expires: int  #: ms


class Began(msgspec.Struct, frozen=True, kw_only=True):
    """What an acceptance begins: a message, and a share of it for each recipient."""

    id: str  #: Of the message, as its sender chose it.
    to: tuple[str, ...]
    headline: Headline | None  #: None where it did not come with the event.


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """What ends one recipient's share of a message."""

    recipient: str
    time: int  #: ms; of a receipt, when the broker took it, which its own time need not be.
    reason: str | None


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """An event ready to be stored."""

    id: bytes
    name: str
    message: str | None  #: Its digest; None for an order about a contact point, as the sender.
    sender: str | None
    time: int
    event: bytes
    salt: bytes
    leaf: bytes  #: 33 bytes; all that the log shows of it.
    parties: tuple[str, ...]  #: Who gets the opening: the sender, and the recipients that it speaks of.
    about: Began | Ended | None = None  #: What it says of the message's row; None: nothing.


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where an event belongs in the evidence store, all of it from what the event says."""

    id: bytes  #: What makes it the same event.
    name: str
    message: str | None
    sender: str | None
    time: int
    parties: tuple[str, ...] | None  #: Who gets the opening; None where it does not say: an order about a message.


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What an event or a receipt says of a message, as far as its place goes."""

    event: str
    id: str
    message: str
    sender: str = msgspec.field(name="from")
    to: tuple[str, ...] = ()
    recipient: str = ""  #: Of a receipt.
    time: int
    reason: str | None

    @property
    def about(self) -> str:
        """The one recipient that it speaks of; empty for an acceptance or a rejection, which speak of all."""
        return "" if self.event.startswith("Submission") else self.recipient or self.to[0]

    @property
    def event_id(self) -> bytes:
        """What makes it the same event: a message is accepted once, handed over once, but may die more than once."""
        when = str(self.time) if self.event == "DeadLettered" else ""
        parts = (self.event, self.sender, self.id, self.message, self.about, self.reason or "", when)
        return hashlib.sha256(wire.encode(parts)).digest()

    @property
    def parties(self) -> tuple[str, ...]:
        """Who gets the opening: the sender, and the one recipient that it speaks of."""
        return tuple(dict.fromkeys((self.sender, self.about))) if self.about else (self.sender,)


_facts = msgspec.json.Decoder(Facts)
_headline = msgspec.json.Decoder(Headline)
_action = msgspec.json.Decoder(order.Action)
_hold = msgspec.json.Decoder(hold.Hold)
_erasure = msgspec.json.Decoder(erasure.Erasure)


def facts_of(event: bytes) -> Facts:
    """What the note or the text of an event about a message says; nothing is verified here.

    Raises:
        ValueError: these are no bytes of such an event.
    """
    found = _facts.decode(_json(event))
    if not (found.recipient or found.to):
        raise ValueError("this event speaks of nobody")
    return found


def place_of(event: bytes, sender: str | None) -> Place:
    """The place of any event of the log. `sender` is that of the message, which an order does not name.

    Raises:
        ValueError: these are no bytes of an event.
    """
    kind = event.partition(b" ")[0].decode()
    if kind == erasure.ERASURE:
        return Place(
            id=hashlib.sha256(event).digest(), name="Erasure", message=None, sender=None,
            time=_erasure.decode(_json(event)).time, parties=(OPERATORS,),
        )  # fmt: skip
    if kind == order.ACTION:
        action = _action.decode(_json(event))
        told = [party for party in (sender, action.contact_point) if party is not None]
        return Place(
            id=order_id(hashlib.sha256(event[: event.index(b"\n\n") + 1]).hexdigest()), name=order.EVENT,
            message=action.message, sender=sender, time=action.time,
            parties=tuple(dict.fromkeys((*told, OPERATORS))) if action.contact_point is not None else None,
        )  # fmt: skip
    if kind == hold.HOLD:
        held = _hold.decode(_json(event))
        return Place(
            id=order_id(hashlib.sha256(event[: event.index(b"\n\n") + 1]).hexdigest()), name=hold.EVENT, message=None,
            sender=None, time=held.time, parties=(held.contact_point, OPERATORS),
        )  # fmt: skip
    found = facts_of(event)
    return Place(
        id=found.event_id, name=found.event, message=found.message, sender=found.sender, time=found.time,
        parties=found.parties,
    )  # fmt: skip


def _json(event: bytes) -> bytes:
    lines = event.split(b"\n", 2)
    if len(lines) != 3:
        raise ValueError("this is not an event")
    return lines[1]


def headline_of(header: message.Header, size: int) -> bytes:
    """What the evidence store keeps of a header, as the outbox carries it; `size` is of the message, in bytes."""
    return wire.encode(
        Headline(header.type, header.priority, header.exercise, header.thread, header.in_reply_to, size, header.expires)
    )


def row_of(event: bytes, salt: bytes, *, headline: bytes = b"", taken: int | None = None) -> Row:
    """The row of an event that the broker or a recipient states about a message.

    `headline` came with an acceptance. `taken` says when the broker took the event in, in ms; else its own time counts.

    Raises:
        ValueError: these are no bytes of such an event, or the salt has another length.
    """
    found = facts_of(event)
    about: Began | Ended | None = None
    if found.event == "SubmissionAcceptance":
        about = Began(id=found.id, to=found.to, headline=_headline.decode(headline) if headline else None)
    elif found.event in ENDS:
        about = Ended(recipient=found.about, time=found.time if taken is None else taken, reason=found.reason)
    return Row(
        id=found.event_id, name=found.event, message=found.message, sender=found.sender, time=found.time, event=event,
        salt=salt, leaf=leaf.of_event(salt, event), parties=found.parties, about=about,
    )  # fmt: skip


class Version(msgspec.Struct, frozen=True):
    """A version of the root or of the directory: a leaf without an opening, since its note is public to members."""

    digest: str

    @property
    def id(self) -> bytes:
        """What makes it the same: its leaf."""
        return hashlib.sha256(self.leaf).digest()

    @property
    def leaf(self) -> bytes:
        """33 bytes."""
        return leaf.of_directory(self.digest)


class Erased(msgspec.Struct, frozen=True, kw_only=True):
    """The event that says which openings were erased. It speaks of no message, and only operators get it."""

    time: int
    event: bytes  #: `valija/erasure/v1`, two lines.
    salt: bytes
    name: ClassVar[str] = "Erasure"
    message: ClassVar[None] = None
    sender: ClassVar[None] = None
    parties: ClassVar[tuple[str, ...]] = (OPERATORS,)

    @property
    def id(self) -> bytes:
        """What makes it the same: what it says."""
        return hashlib.sha256(self.event).digest()

    @property
    def leaf(self) -> bytes:
        """33 bytes."""
        return leaf.of_event(self.salt, self.event)


def derive(entry: OutboxEntry | CorruptEntry, origin: str) -> Row:
    """The event that an outbox entry stands for. The same entry gives the same row, however often it is derived.

    Raises:
        ValueError: the entry was altered, or is none of ours (someone wrote into the store).
    """
    if isinstance(entry, CorruptEntry):
        raise ValueError("it does not match its sum")  # noqa: TRY004 - of its bytes, not of our types
    subject = evidence.read_subject(entry.subject)
    if entry.note:
        event = entry.note
    else:
        event = evidence.event_text(
            origin,
            msgspec.convert(entry.event, evidence.BrokerEventName),
            subject,
            to=(entry.to,),
            time=entry.time,
            directory=(entry.directory.version, entry.directory.digest),
            reason=entry.reason or None,
        )
        # Read back: a text that no party can read would stand in its feed for ever.
        evidence.parse_event_text(event, origin)
    found = facts_of(event)
    if (found.event, found.message, found.sender, found.about) != (
        entry.event, subject.message, entry.sender, entry.to,
    ):  # fmt: skip
        raise ValueError("its note speaks of something else")
    return row_of(event, entry.salt, headline=entry.headline, taken=entry.taken_ms)


def order_id(digest: str) -> bytes:
    """What makes an order the same order: its text, by its digest, whoever signed it besides."""
    return hashlib.sha256(wire.encode(("order", digest))).digest()


def order_row(found: Order, raw: bytes, sender: str | None, parties: Iterable[str]) -> Row:
    """The event that an order is: for `parties`, and for the operators' own feed."""
    action, salt = found.action, secrets.token_bytes(leaf.SALT_BYTES)
    return Row(
        id=order_id(found.digest),
        name=order.EVENT,
        message=action.message,
        sender=sender,
        time=action.time,
        event=raw,
        salt=salt,
        leaf=leaf.of_event(salt, raw),
        parties=tuple(dict.fromkeys((*parties, OPERATORS))),
    )


def hold_row(given: Given) -> Row:
    """The event that a hold, or its lifting, is: for the contact point, and for the operators' own feed."""
    salt = secrets.token_bytes(leaf.SALT_BYTES)
    return Row(
        id=order_id(given.digest),
        name=hold.EVENT,
        message=None,
        sender=None,
        time=given.hold.time,
        event=given.raw,
        salt=salt,
        leaf=leaf.of_event(salt, given.raw),
        parties=(given.hold.contact_point, OPERATORS),
    )


def signed_event(
    origin: str,
    event: Literal["SubmissionAcceptance", "SubmissionRejection"],
    subject: evidence.Subject,
    *,
    to: Iterable[str],
    time: int,
    directory: tuple[int, str],
    signer: notes.Signer,
    reason: str | None = None,
) -> bytes:
    """The promise, or the refusal of a message that its sender did sign. The same facts give the same bytes."""
    text = evidence.event_text(origin, event, subject, to=tuple(to), time=time, directory=directory, reason=reason)
    return notes.sign(text, [signer])
