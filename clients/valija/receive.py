"""What a recipient does with a message, in order; nothing here does I/O, writes, or looks at a clock.

Bytes, a time, the verified directories and the local keys come in; one verdict goes out. The order matters: until the
sender's signature and the body's digest are verified, the message may be anybody's, so the network is told nothing
that depends on it. After that point a refusal is a signed receipt, and says only one of four words.

The promise: `Opened` means that the named sender signed this document for this recipient under a directory that both
know, and that it was not delivered here before.

Before this room: `inbox` fetched the bytes. After it: `inbox` stores and hands over. Rules: SPEC.md section 2.
"""

from collections.abc import Callable
from typing import Literal, Protocol, TypeAlias

import msgspec

from valija import age
from valija.errors import KeyMissingError, SchemaMissingError
from valija.seal import SealError, open_sealed
from valija_schemas import evidence, limits
from valija_schemas.directory import Phonebook, Roots
from valija_schemas.message import Header, Message, MessageError, check_digest, check_shape, check_signature, read

RejectionReason = Literal["cannot-open", "schema", "not-for-us", "unknown-type"]


class Books(Protocol):
    """The directory as it is verified here. Reading it does no I/O over the network and does not fail."""

    @property
    def roots(self) -> Roots:
        """The chain of roots."""
        ...

    @property
    def phonebook(self) -> Phonebook:
        """The newest verified version."""
        ...

    def version(self, number: int) -> Phonebook | None:
        """Version `number`, or None where it is not known."""
        ...


class Seen(Protocol):
    """What this mailbox remembers. Reading only."""

    def first_fetched(self, digest: str) -> int | None:
        """When a message with this digest was first stored here."""
        ...

    def settled(self, digest: str) -> bool:
        """Whether it was delivered or refused here, so that it is answered with the receipt that was given."""
        ...

    def digest_of(self, sender: str, id_: str) -> str | None:
        """The digest of the message that came with this submission key."""
        ...


class UnknownTypeError(LookupError):
    """This client is older than the type of the document."""


OpenDocument: TypeAlias = Callable[[str, bytes, str | None], object]
"""Reads a document of a type; for a bilateral type, by the schema with the digest that stands last.

`UnknownTypeError` where this client does not know the type, `SchemaMissingError` where the schema is not here,
ValueError where it is no such document.
"""

SealIdentity: TypeAlias = Callable[[str], age.Identity]
"""The private seal key with an id; `KeyMissingError` where it is not on this machine."""


class NeedDirectory(msgspec.Struct, frozen=True):
    """The message names a version that is newer than ours: fetch it, then ask again."""

    version: int


class Unverifiable(msgspec.Struct, frozen=True):
    """It cannot be shown to be from its sender: to the dead letters, and not a word to anybody but our own log."""

    detail: str
    alarm: bool = False  #: Somebody shows the sender and us two different directories.


class Rejected(msgspec.Struct, frozen=True):
    """It is its sender's and cannot be delivered: a signed ConsignmentRejection says why."""

    reason: RejectionReason
    detail: str  #: For our own log.
    message: Message


class LocalFault(msgspec.Struct, frozen=True):
    """The fault is ours or the broker's, not the sender's: no receipt; the message waits and comes again."""

    code: str
    detail: str
    alarm: bool = False


class AlreadyDelivered(msgspec.Struct, frozen=True):
    """It was settled before: it is answered with the receipt that was given then."""

    digest: str


class Opened(msgspec.Struct, frozen=True):
    """Verified, opened and read. Not yet stored."""

    message: Message
    json: bytes  #: The document as it was sealed.
    document: object
    acceptance: evidence.Event | None
    """The broker's promise to the sender, verified; None where what came with the message is no such thing. That is
    an alarm and no reason to withhold the mail: the message rests on its sender's signature alone."""
    acceptance_fault: str | None
    acceptance_note: bytes  #: As it came.

    def __repr__(self) -> str:
        return f"Opened({self.message.digest})"


Verdict: TypeAlias = NeedDirectory | Unverifiable | Rejected | LocalFault | AlreadyDelivered | Opened


def receive(
    data: bytes,
    acceptance: bytes,
    *,
    origin: str,
    me: str,
    now_ms: int,
    books: Books,
    seen: Seen,
    seal_identity: SealIdentity,
    open_document: OpenDocument,
) -> Verdict:
    """The verdict on `data`, a message as it was transmitted, which came with the note `acceptance`."""
    try:
        message = read(data, origin)
    except MessageError as error:
        return Unverifiable(str(error))
    header = message.header

    number, digest = header.directory
    newest = books.phonebook
    if number > newest.version:
        return NeedDirectory(number)
    named = newest if number == newest.version else books.version(number)
    if named is None:
        return Unverifiable(f"it names directory version {number}, which is not known here", alarm=True)
    if named.digest != digest:
        return Unverifiable(f"it names another directory version {number} than the one that we verified", alarm=True)

    try:
        # Under the version that the sender knew, and under the newest: a key revoked since then fails at once.
        check_signature(message.note, header, named)
        if named is not newest:
            check_signature(message.note, header, newest)
        check_digest(header, message.body)
    except MessageError as error:
        return Unverifiable(str(error))

    # From here on the message is its sender's, and a refusal is a receipt.
    key_id = header.to.get(me)
    if key_id is None:
        return Rejected("not-for-us", f"{me} is not among its recipients", message)
    if not _is_ours(key_id, me, named, newest):
        return Rejected("not-for-us", "the seal key that it names for us is not ours", message)

    first = seen.first_fetched(message.digest)
    if header.expires <= (now_ms if first is None else first):
        return LocalFault("expired", "it had expired when it was first fetched: compare the clocks")
    if seen.settled(message.digest):
        return AlreadyDelivered(message.digest)
    before = seen.digest_of(header.sender, header.id)
    if before not in {None, message.digest}:
        return LocalFault("conflict", f"{header.sender} used the id {header.id} for another message", alarm=True)

    try:
        identity = seal_identity(key_id)
    except KeyMissingError as error:
        return LocalFault("key-missing", str(error))
    try:
        check_shape(header, message.body)
        _, json = open_sealed(message, identity, list(header.to).index(me))
    except (SealError, MessageError) as error:
        return Rejected("cannot-open", str(error), message)
    try:
        document = open_document(header.type, json, named.agreed(header.type, header.sender, me))
    except UnknownTypeError:
        # Its sender learns it now, and can send what we know; what came is kept sealed, and opens after an update.
        return Rejected("unknown-type", f"no {header.type} is known here: update Valija, then valija show it", message)
    except SchemaMissingError as error:
        return LocalFault(error.code, f"{error}: {error.hint}")
    except ValueError as error:
        return Rejected("schema", str(error), message)

    event, fault = check_acceptance(acceptance, message, origin, books.roots)
    return Opened(message, json, document, event, fault, acceptance)


def check_acceptance(
    raw: bytes, message: Message, origin: str, roots: Roots
) -> tuple[evidence.Event | None, str | None]:
    """The SubmissionAcceptance of `message` that `raw` is, or why it is not one."""
    try:
        event = evidence.verify_evidence(raw, origin, roots.evidence_verifiers())
    except evidence.EvidenceError as error:
        return None, f"the acceptance does not verify: {error}"
    return verify_promise(event, message.header, evidence.subject_of(message.header, message.note))


def verify_promise(
    event: evidence.Event, header: Header, subject: evidence.Subject
) -> tuple[evidence.Event | None, str | None]:
    """The event, if it is the acceptance of this message for all of its recipients; else why it is not."""
    if event.event != "SubmissionAcceptance":
        return None, f"this is a {event.event}, not a SubmissionAcceptance"
    if evidence.subject_of_receipt(event) != subject:
        return None, "the acceptance speaks of another message"
    if event.to != tuple(header.to):
        return None, "the acceptance names other recipients"
    if event.time < header.sent - limits.sent_ahead_max_ms:
        return None, "the acceptance is dated before the message was sent"
    if event.time >= header.expires:
        return None, "the acceptance is dated after the message had expired"
    return event, None


def _is_ours(key_id: str, me: str, *phonebooks: Phonebook) -> bool:
    points = [phonebook.point(me) for phonebook in phonebooks]
    return any(key.key_id == key_id for point in points if point for key in point.seal)
