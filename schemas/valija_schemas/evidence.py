"""What happened to a message, in words that can be signed and later proved. SPEC.md section 5.

The names of events are those of ETSI EN 319 522; one is ours, DeadLettered, which that standard has no word for.
The broker signs SubmissionAcceptance, its promise, and SubmissionRejection; recipients sign their receipts; the other
events stand unsigned in the log. Each event speaks of one message by its digest, and by those of its note and body.

An event is committed to by HMAC-SHA256 under a random salt, so that a leaf of the log tells nobody anything who was
not given the opening.
"""

import hashlib
import hmac
from typing import Annotated, Final, Literal

import msgspec

from valija_schemas import limits, wire
from valija_schemas import note as notes
from valija_schemas.message import Header
from valija_schemas.wire import Count, Digest, Identifier, Line, MessageId, Milliseconds

EVIDENCE: Final = "valija/evidence/v1"
RECEIPT: Final = "valija/receipt/v1"

BrokerEventName = Literal[
    "SubmissionAcceptance", "SubmissionRejection", "ContentHandover", "ContentHandoverFailure", "DeadLettered"
]
ReceiptName = Literal["ConsignmentAcceptance", "ConsignmentRejection"]

#: Why a recipient may refuse a message (SPEC.md section 2): everything that it could not open, a document that breaks
#: the rules of its type, a message for somebody else, a type that it does not know, and the words of a person.
REJECTION_REASONS: Final = frozenset({"cannot-open", "schema", "not-for-us", "unknown-type"})


class Subject(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The message that an event speaks of. Its one spelling is what the queue keeps and compares."""

    id: MessageId
    message: Digest  #: Digest of the note's text: what identifies the message.
    note: Digest  #: SHA-256 of the whole note, signature line included.
    body: Digest
    body_length: Count
    sender: Identifier = msgspec.field(name="from")


class Event(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`valija/evidence/v1`: an event that the broker states."""

    event: BrokerEventName
    id: MessageId
    message: Digest
    note: Digest
    body: Digest
    body_length: Count
    sender: Identifier = msgspec.field(name="from")
    to: Annotated[tuple[Identifier, ...], msgspec.Meta(min_length=1, max_length=limits.recipients_max)]
    """The recipients that the event speaks of, in byte order."""
    time: Milliseconds
    directory: tuple[Count, Digest]  #: The version that the broker judged by.
    reason: Line | None  #: Never null for a rejection, a failure or a dead letter.


class Receipt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`valija/receipt/v1`: what a recipient states, signed with its `sign` key."""

    event: ReceiptName
    id: MessageId
    message: Digest
    note: Digest
    body: Digest
    body_length: Count
    sender: Identifier = msgspec.field(name="from")
    recipient: Identifier
    time: Milliseconds
    directory: tuple[Count, Digest]
    log: tuple[Count, Digest]  #: Size and root of the largest checkpoint that the recipient verified.
    reason: Annotated[str, msgspec.Meta(pattern=r"^[^\n]*$", max_length=500)] | None


#: Events about one recipient alone; the others speak of every recipient of the message.
_OF_ONE: Final = frozenset({"ContentHandover", "ContentHandoverFailure", "DeadLettered"})
_POSITIVE: Final = frozenset({"SubmissionAcceptance", "ContentHandover"})

read_event: Final = wire.Decoder(Event, limits.note_bytes_max)
read_receipt: Final = wire.Decoder(Receipt, limits.note_bytes_max)
read_subject: Final = wire.Decoder(Subject, limits.note_bytes_max)


class EvidenceError(ValueError):
    """A receipt or an evidence note may not be believed; the text says why."""


def subject_of(header: Header, note: notes.Note) -> Subject:
    """The subject of the events of a message."""
    return Subject(
        id=header.id,
        message=note.digest,
        note=note.raw_digest,
        body=header.body or "",
        body_length=header.body_length,
        sender=header.sender,
    )


def subject_of_receipt(receipt: Receipt | Event) -> Subject:
    """The subject that a receipt or an event speaks of."""
    return Subject(
        id=receipt.id,
        message=receipt.message,
        note=receipt.note,
        body=receipt.body,
        body_length=receipt.body_length,
        sender=receipt.sender,
    )


def event_text(
    origin: str,
    event: BrokerEventName,
    subject: Subject,
    *,
    to: tuple[str, ...],
    time: int,
    directory: tuple[int, str],
    reason: str | None = None,
) -> bytes:
    """The text of an event of the broker: the same facts give the same bytes, now and when they are derived again."""
    fields = msgspec.structs.asdict(subject)
    value = Event(event=event, **fields, to=to, time=time, directory=directory, reason=reason)
    return notes.text(EVIDENCE, origin, wire.encode(value))


def receipt_note(
    origin: str,
    event: ReceiptName,
    subject: Subject,
    signer: notes.Signer,
    *,
    recipient: str,
    time: int,
    directory: tuple[int, str],
    log: tuple[int, str],
    reason: str | None = None,
) -> bytes:
    """A recipient's signed receipt."""
    fields = msgspec.structs.asdict(subject)
    value = Receipt(event=event, **fields, recipient=recipient, time=time, directory=directory, log=log, reason=reason)
    return notes.sign(notes.text(RECEIPT, origin, wire.encode(value)), [signer])


def parse_receipt(raw: bytes, origin: str) -> tuple[notes.Note, Receipt]:
    """A receipt that is well-formed; whether its signature holds is `notes.verify_one` with the recipient's keys.

    Raises:
        EvidenceError: another kind, another exchange, not the one form, a rejection without a reason.
    """
    try:
        note = notes.parse(raw)
        notes.require(note, RECEIPT, origin)
        receipt = read_receipt(note.json)
    except ValueError as error:
        raise EvidenceError(str(error)) from None
    if (receipt.event == "ConsignmentRejection") != (receipt.reason is not None):
        raise EvidenceError("a rejection gives a reason, an acceptance none")
    return note, receipt


def verify_evidence(raw: bytes, origin: str, verifiers: list[notes.Verifier]) -> Event:
    """An evidence note that the broker signed: SubmissionAcceptance or SubmissionRejection.

    Raises:
        EvidenceError: not well-formed, or not signed by one of the broker's evidence keys.
    """
    try:
        note = notes.parse(raw)
        notes.require(note, EVIDENCE, origin)
        notes.verify_one(note, verifiers)
        return _checked(read_event(note.json))
    except ValueError as error:
        raise EvidenceError(str(error)) from None


def parse_event_text(text: bytes, origin: str) -> Event:
    """An event of the broker that stands unsigned: its text alone, no signature.

    Raises:
        EvidenceError: not well-formed.
    """
    try:
        return _checked(read_event(notes.parse_text(text, EVIDENCE, origin)))
    except ValueError as error:
        raise EvidenceError(str(error)) from None


def commitment(salt: bytes, event_note: bytes) -> bytes:
    """The leaf of an event: `01` and HMAC-SHA256 of the event's bytes under its 32 bytes of salt."""
    return b"\x01" + hmac.digest(salt, event_note, hashlib.sha256)


def _checked(event: Event) -> Event:
    """What the table of section 5.1 says and the form alone does not."""
    if (event.event in _POSITIVE) != (event.reason is None):
        raise EvidenceError("what failed has a reason, and nothing else")
    if list(event.to) != sorted(set(event.to)) or (event.event in _OF_ONE and len(event.to) != 1):
        raise EvidenceError("the recipients are not in byte order, each once, or too many for this event")
    return event
