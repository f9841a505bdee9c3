"""The sealed envelope: what stands inside it, and how it is closed and opened.

Inside the seal the note's JSON stands once more, then a line for the person who opens it with a stock tool, then the
document, then spaces up to a bucket, so that the length of the file says little about the length of the document. The
inner JSON is what ties a sealed body to its note: nobody can sign or forward somebody else's ciphertext as their own.

The promise: a body that opens here was sealed for this recipient, under this note and no other.

Before this room: `outbox` writes, `receive` opens. After it: `valija.age`. Rules: schemas/SPEC.md section 1, "Seal".
"""

import hashlib
from collections.abc import Sequence
from typing import Final

import msgspec

from valija import age
from valija_schemas import limits, wire
from valija_schemas import note as notes
from valija_schemas.message import Header, Message, compose, read_header

#: The second line of every sealed body. For the person who runs a stock tool; compared byte for byte when opened.
WARNING: Final = (
    b"Opening this proves nothing about who wrote it: anyone can seal to you. "
    b"Verify the signature on the note that came with it, for instance with `valija inspect FILE`."
)


class SealError(Exception):
    """This body cannot be opened, or is not the body of its note; the text is for our own log and holds no content."""


class SealTooLargeError(SealError):
    """The document is too large for one message."""


def padded_length(length: int) -> int:
    """The bucket of a text of `length` bytes: Padme (PETS 2019, "Reducing metadata leakage", section 4).

    At most 12 % longer, and only the magnitude of the length shows.
    """
    if length < 2:
        return length
    exponent = length.bit_length() - 1
    zeros = exponent - exponent.bit_length()
    mask = (1 << zeros) - 1
    return (length + mask) & ~mask


def inner(header: Header) -> Header:
    """The header as it stands inside the seal, where the body cannot name itself."""
    return msgspec.structs.replace(header, body=None, body_length=0)


def seal(
    header: Header, document: bytes, recipients: Sequence[age.SealRecipient], *, key: age.FileKey | None = None
) -> bytes:
    """The sealed body for `header`, whose `body` is still null, with one stanza a recipient in the order of `to`.

    `key` is the body's own, for a sender who keeps it; another one is drawn otherwise.

    Raises:
        SealError: the recipients are not those of `to`, or the document is not one line.
        SealTooLargeError: it would be longer than a body may be.
    """
    if header.body is not None or header.body_length:
        raise SealError("the header already names a body")
    if [recipient.key_id for recipient in recipients] != list(header.to.values()):
        raise SealError("the keys to seal for are not those that the header names, in its order")
    if list(header.to) != sorted(header.to):
        raise SealError("the recipients are not in byte order")
    if b"\n" in document or not document.endswith(b"}"):
        raise SealError("a document is one line of JSON")
    framed = b"\n".join([wire.encode(header), WARNING, document])
    body = age.encrypt(framed.ljust(padded_length(len(framed))), recipients, key=key)
    if len(body) > limits.body_bytes_max:
        raise SealTooLargeError(f"sealed, the document takes {len(body)} bytes of {limits.body_bytes_max}")
    return body


def write(
    header: Header,
    document: bytes,
    recipients: Sequence[age.SealRecipient],
    origin: str,
    signer: notes.Signer,
    *,
    key: age.FileKey | None = None,
) -> bytes:
    """A whole message as it is transmitted: sealed (`key` as in `seal`), named by digest, signed.

    Raises:
        SealError: as `seal`.
        MessageError: the note would be longer than a note may be.
    """
    body = seal(header, document, recipients, key=key)
    digest = hashlib.sha256(body).hexdigest()
    return compose(msgspec.structs.replace(header, body=digest, body_length=len(body)), origin, signer) + body


def open_sealed(message: Message, identity: age.Identity, position: int) -> tuple[Header, bytes]:
    """The inner header, which equals the outer one, and the document's JSON, not yet read.

    `position` is the recipient's own place in `to`; no other stanza is tried.

    Raises:
        SealError: it does not open, is not framed as it must be, or was sealed under another note.
    """
    try:
        plaintext = age.decrypt(message.body, identity, position=position)
    except (age.AgeError, ValueError) as error:
        raise SealError(f"the body does not open: {error}") from None
    return _unframe(message, plaintext)


def open_disclosed(message: Message, key: age.FileKey) -> tuple[Header, bytes]:
    """As `open_sealed`, for somebody who was given the key of this one body.

    Raises:
        SealError: as `open_sealed`.
    """
    try:
        plaintext = age.decrypt(message.body, key)
    except (age.AgeError, ValueError) as error:
        raise SealError(f"the body does not open: {error}") from None
    return _unframe(message, plaintext)


def _unframe(message: Message, plaintext: bytes) -> tuple[Header, bytes]:
    parts = plaintext.rstrip(b" ").split(b"\n")
    if len(parts) != 3:
        raise SealError("inside the seal are not three lines")
    if len(plaintext) != padded_length(sum(map(len, parts)) + 2):
        raise SealError("the padding inside the seal is not that of its length")
    first, warning, document = parts
    if warning != WARNING:
        raise SealError("the second line inside the seal is not the one that must stand there")
    try:
        found = read_header(first)
    except wire.WireError as error:
        raise SealError(f"the header inside the seal: {error}") from None
    expected = inner(message.header)
    for name in Header.__struct_fields__:
        if getattr(found, name) != getattr(expected, name):
            raise SealError(f"inside the seal `{name}` is not what the note says")
    return found, document
