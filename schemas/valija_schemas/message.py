"""A message: the signed header that everybody on the way reads, and the sealed body that only recipients open.

SPEC.md section 1. What stands in the header is what the broker, and whoever watches it, can know: who writes to
whom, what type of document, how long, when. Everything else is inside the seal.

The checks of this module are those that broker and recipient share; each raises `MessageError` with the code that a
problem or a rejection would carry.
"""

import hashlib
from typing import Annotated, Final, Literal

import msgspec

from valija_schemas import age_header, limits, wire
from valija_schemas import note as notes
from valija_schemas.directory import ContactPoint, Key, Phonebook, TypeName
from valija_schemas.wire import Count, Digest, Identifier, MessageId, Milliseconds

KIND: Final = "valija/message/v1"

#: Root of an empty tree (RFC 6962 section 2.1): what a message carries as `log` while its sender knows no checkpoint.
EMPTY_LOG: Final = (0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")

Priority = Literal["flash", "urgent", "routine"]
PRIORITIES: Final[tuple[Priority, ...]] = ("flash", "urgent", "routine")  #: In the order of delivery.


class MessageError(ValueError):
    """A message breaks a rule. `code` is the problem code (SPEC.md section 3.4); the text is for our own log."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class Header(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The JSON line of a message, in this order. Inside the seal it stands again, with `body` null and its length 0."""

    id: MessageId
    sender: Identifier = msgspec.field(name="from")
    to: Annotated[dict[Identifier, Digest], msgspec.Meta(min_length=1, max_length=limits.recipients_max)]
    """Recipients in byte order, each with the id of the seal key that the body is sealed for."""
    type: TypeName
    thread: MessageId  #: The id of the message that began the exchange.
    in_reply_to: Digest | None  #: Digest of the message that this one answers.
    sent: Milliseconds
    expires: Milliseconds
    priority: Priority
    exercise: bool
    directory: tuple[Count, Digest]  #: Version and digest that the sender sealed and signed under.
    log: tuple[Count, Digest]  #: Size and root hash of the largest checkpoint that the sender verified.
    body: Digest | None  #: SHA-256 of the age file.
    body_length: Count
    attachments: Annotated[tuple[tuple[Digest, Count], ...], msgspec.Meta(max_length=limits.attachments_max)]


class Message(msgspec.Struct, frozen=True):
    """A message that is well-formed. Nothing about it is verified."""

    header: Header
    note: notes.Note
    body: bytes

    @property
    def digest(self) -> str:
        """What identifies this message: SHA-256 of the note's text."""
        return self.note.digest

    @property
    def raw(self) -> bytes:
        """As transmitted."""
        return self.note.raw + self.body


read_header: Final = wire.Decoder(Header, limits.note_bytes_max)


def read_note(note: notes.Note, origin: str) -> Header:
    """The header of a message's note.

    Raises:
        MessageError: another kind, another exchange, or not the one form.
    """
    try:
        notes.require(note, KIND, note.origin)
        header = read_header(note.json)
    except ValueError as error:
        raise MessageError("malformed", str(error)) from None
    if note.origin != origin:
        raise MessageError("wrong-exchange", f"this belongs to the exchange {note.origin}, not to {origin}")
    if header.body is None:
        raise MessageError("malformed", "a message names the digest of its body")
    return header


def read(data: bytes, origin: str) -> Message:
    """A whole message as transmitted: size, framing, exact decode, origin, in that order.

    Raises:
        MessageError: see above. Whether the body is the one that the header names is `check_body`.
    """
    if len(data) > limits.message_bytes_max:
        raise MessageError("too-large", f"{len(data)} bytes, more than {limits.message_bytes_max}")
    try:
        note, body = notes.split(data)
    except notes.NoteError as error:
        raise MessageError("malformed", str(error)) from None
    header = read_note(note, origin)
    if not body:
        raise MessageError("malformed", "no body follows the note")
    return Message(header, note, body)


def check_signature(note: notes.Note, header: Header, phonebook: Phonebook) -> Key:
    """The key of the sender, as `phonebook` knows it, that signed the note.

    Raises:
        MessageError: the sender is not in this directory, or none of its sign keys made the one signature, or the
            key is revoked, or it was retired before `sent`.
    """
    point = phonebook.point(header.sender)
    if point is None:
        raise MessageError("unverified", f"{header.sender} is not in directory version {phonebook.version}")
    name = f"{note.origin}/{header.sender}"
    keys = {bytes.fromhex(key.key): key for key in point.sign}
    try:
        verifier = notes.verify_one(note, [notes.Verifier(name, public) for public in keys])
    except notes.NoteError as error:
        raise MessageError("unverified", str(error)) from None
    key = keys[verifier.public]
    if not key_holds(key, header.sent):
        raise MessageError("unverified", f"the sign key of {header.sender} is {key.status}")
    return key


def key_holds(key: Key, at_ms: int) -> bool:
    """Whether a live signature made at `at_ms` counts: a revoked key never, a retired one until its end."""
    return key.status == "active" or (key.status == "retired" and key.ended is not None and at_ms < key.ended)


def check_body(header: Header, body: bytes) -> None:
    """Refuse a body that is not the one named, or that is not sealed for exactly the recipients named.

    Raises:
        MessageError: see above.
    """
    check_digest(header, body)
    check_shape(header, body)


def check_digest(header: Header, body: bytes) -> None:
    """Refuse a body that is not the one named.

    Raises:
        MessageError: it has another length or digest.
    """
    if len(body) != header.body_length or hashlib.sha256(body).hexdigest() != header.body:
        raise MessageError("body-mismatch", "the body has not the length and digest that the note names")


def check_shape(header: Header, body: bytes) -> None:
    """Refuse a body that is not sealed for exactly the recipients named. Nothing is opened for this.

    Raises:
        MessageError: it is no age file, or has other stanzas than one for each recipient.
    """
    try:
        age_header.check_sealed_shape(body, len(header.to))
    except age_header.AgeHeaderError as error:
        raise MessageError("body-shape", str(error)) from None


def check_live(header: Header, now_ms: int) -> None:
    """Refuse an expired message, also one that was accepted before.

    Raises:
        MessageError: it has expired.
    """
    if header.expires <= now_ms:
        raise MessageError("expired", "the message has expired")


def check_times(header: Header, now_ms: int) -> None:
    """The times that a broker accepts.

    Raises:
        MessageError: expired, made out for too long, sent in the future, or sent too long ago.
    """
    check_live(header, now_ms)
    if not header.sent < header.expires <= header.sent + limits.lifetime_max_ms:
        raise MessageError("malformed", "`expires` must come after `sent`, and at most 30 days after")
    if header.sent > now_ms + limits.sent_ahead_max_ms:
        raise MessageError("sent-in-the-future", "the message was sent in the future: check the sender's clock")
    if header.sent < now_ms - limits.sent_age_max_ms:
        raise MessageError("too-old", "the message was sent more than 72 hours ago: seal it again")


def check_recipients(header: Header, phonebook: Phonebook, at_ms: int) -> None:
    """Whether everybody in `to` may be sent this type, and is sealed for under a key in force at `at_ms`.

    Raises:
        MessageError: an unknown or suspended recipient, a route that is not allowed, a seal key not in force; or a
            bilateral type for which not all agreed on one schema.
    """
    sender = phonebook.point(header.sender)
    agreed: set[str | None] = set()
    for id_, key_id in header.to.items():
        point = phonebook.point(id_)
        if point is None or point.status == "withdrawn":
            raise MessageError("unknown-recipient", f"{id_} is not in the directory")
        if point.status == "suspended":
            raise MessageError("suspended", f"{id_} is suspended")
        if sender is None or not phonebook.allows(header.type, sender, point):
            raise MessageError("route-not-allowed", f"{header.type} may not go from {header.sender} to {id_}")
        agreed.add(phonebook.agreed(header.type, sender.id, point.id))
        if len(agreed) > 1:
            raise MessageError("route-not-allowed", f"{id_} agreed on another schema of {header.type} than the others")
        if key_id not in seal_key_ids(point, at_ms):
            raise MessageError("keys-mismatch", f"the seal key named for {id_} is not in force")


def seal_key_ids(point: ContactPoint, at_ms: int) -> set[str]:
    """Ids of the seal keys that still receive at `at_ms`: active ones, and retired ones for seven more days."""
    return {
        key.key_id
        for key in point.seal
        if key.status == "active"
        or (key.status == "retired" and key.ended is not None and at_ms < key.ended + limits.retired_seal_key_max_ms)
    }


def compose(header: Header, origin: str, signer: notes.Signer) -> bytes:
    """The signed note of a message.

    Raises:
        MessageError: it would be longer than a note may be.
    """
    raw = notes.sign(notes.text(KIND, origin, wire.encode(header)), [signer])
    if len(raw) > limits.note_bytes_max:
        raise MessageError("too-large", f"the note would be longer than {limits.note_bytes_max} bytes")
    return raw
