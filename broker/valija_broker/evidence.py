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

from valija_broker.queue import OutboxEntry
from valija_broker.shelves import CorruptEntry
from valija_schemas import evidence, leaf, order, wire
from valija_schemas import note as notes
from valija_schemas.order import Order

OPERATORS: Final = "operator"  #: Its feed has every order and erasure. A reserved name: no contact point reads it.


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
    parties = (entry.sender, entry.to) if entry.to else (entry.sender,)
    return Row(
        id=_event_id(entry, subject),
        name=entry.event,
        message=subject.message,
        sender=entry.sender,
        time=entry.time,
        event=event,
        salt=entry.salt,
        leaf=leaf.of_event(entry.salt, event),
        parties=tuple(dict.fromkeys(parties)),
    )


def _event_id(entry: OutboxEntry, subject: evidence.Subject) -> bytes:
    """What makes an event the same event: a message is accepted once, handed over once, but may die more than once."""
    when = str(entry.time) if entry.event == "DeadLettered" else ""
    parts = (entry.event, subject.sender, subject.id, subject.message, entry.to, entry.reason, when)
    return hashlib.sha256(wire.encode(parts)).digest()


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
