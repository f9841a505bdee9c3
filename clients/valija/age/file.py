"""Whole age files: written for recipients, opened by an identity.

A file opens only if its header is in its one spelling, the identity unwraps a stanza, and the header's MAC holds under
the file key it found. The MAC is what ties one file key, and so one plaintext, to the whole list of recipients.

Before this room: `valija.seal` and the keyring. After it: `payload`. Rules: schemas/SPEC.md section 1, "Seal";
C2SP age.md, "Encrypted file format".
"""

import hmac
import secrets
from collections.abc import Sequence
from io import BytesIO
from typing import BinaryIO

from valija.age import payload
from valija.age.errors import HeaderError, MacError, NoMatchError
from valija.age.keys import FileKey, Identity, Recipient, is_passphrase_stanza
from valija_schemas.age_header import (
    AgeHeaderError,
    Header,
    nonce_bytes,
    parse_header,
    write_mac,
    write_stanzas,
)
from valija_schemas.limits import age_header_bytes_max


def encrypt(plaintext: bytes, recipients: Sequence[Recipient], *, key: FileKey | None = None) -> bytes:
    """Return an age file that each of `recipients` can open, with one stanza a recipient, in their order.

    `key` is for a writer who keeps it: one drawn by `FileKey.generate` for this file and used for no other.

    Raises:
        ValueError: there is no recipient, or a passphrase beside another one.
    """
    sink = BytesIO()
    encrypt_stream(BytesIO(plaintext), sink, recipients, key=key)
    return sink.getvalue()


def decrypt(data: bytes, identity: Identity | FileKey, *, position: int | None = None) -> bytes:
    """Return the plaintext of the age file `data`.

    With `position`, the stanza at that position opens it and no other; see `decrypt_stream`.

    Raises:
        HeaderError: the header is not as the format demands.
        NoMatchError: the file, or its stanza at `position`, was not written for `identity`.
        MacError: the header was changed.
        PayloadError: the payload was changed or cut off.
    """
    sink = BytesIO()
    decrypt_stream(BytesIO(data), sink, identity, position=position)
    return sink.getvalue()


def encrypt_stream(
    source: BinaryIO, sink: BinaryIO, recipients: Sequence[Recipient], *, key: FileKey | None = None
) -> None:
    """Write what `source` holds, up to its end, to `sink` as an age file for `recipients`; `key` as in `encrypt`.

    Raises:
        ValueError: there is no recipient, or a passphrase beside another one.
    """
    file_key = (key or FileKey.generate()).to_bytes()
    nonce = secrets.token_bytes(nonce_bytes)
    stanzas = [recipient.wrap(file_key) for recipient in recipients]
    if not stanzas:
        raise ValueError("An age file needs a recipient.")
    if len(stanzas) > 1 and any(map(is_passphrase_stanza, stanzas)):
        raise ValueError("A passphrase must be the only recipient of its file.")
    covered = write_stanzas(stanzas)
    head = covered + write_mac(_mac(file_key, covered))
    if len(head) > age_header_bytes_max:
        raise ValueError(f"The header for so many recipients is longer than {age_header_bytes_max} bytes.")
    sink.write(head + nonce)
    payload.encrypt_chunks(file_key, nonce, source, sink)


def decrypt_stream(
    source: BinaryIO, sink: BinaryIO, identity: Identity | FileKey, *, position: int | None = None
) -> None:
    """Write the plaintext of the age file in `source` to `sink`, each chunk after it was verified.

    `position` counts from 0. A recipient of a message passes its own place in `to`: if any stanza would do, a sender
    could seal to somebody under a name that is not theirs. If this raises, what `sink` got is genuine and not whole:
    drop it.

    Raises:
        HeaderError: the header is not as the format demands.
        NoMatchError: the file, or its stanza at `position`, was not written for `identity`.
        MacError: the header was changed.
        PayloadError: the payload was changed or cut off.
    """
    data = _read_head(source)
    header = _parse(data)
    key = _open(data, header, identity, position)
    rest = _Rest(data[header.length :], source)
    nonce = payload.read_up_to(rest, nonce_bytes)
    if len(nonce) != nonce_bytes:
        raise HeaderError("The file ends before the nonce of its payload.")
    payload.decrypt_chunks(key, nonce, rest, sink)


def file_key(data: bytes, identity: Identity, *, position: int | None = None) -> FileKey:
    """Return the key of the one file `data`, for somebody who is to read that file and nothing else.

    Raises:
        HeaderError: the header is not as the format demands.
        NoMatchError: the file, or its stanza at `position`, was not written for `identity`.
        MacError: the header was changed.
    """
    return FileKey(_open(data, _parse(data), identity, position))


def _open(data: bytes, header: Header, identity: Identity | FileKey, position: int | None) -> bytes:
    if len(header.stanzas) > 1 and any(map(is_passphrase_stanza, header.stanzas)):
        raise HeaderError("A passphrase is not the only recipient of the file.")
    if isinstance(identity, FileKey):
        if position is not None:
            raise ValueError("A file key opens no stanza, so it has no position.")
        key: bytes | None = identity.to_bytes()
    elif position is None:
        key = next(filter(None, map(identity.unwrap, header.stanzas)), None)
    elif 0 <= position < len(header.stanzas):
        key = identity.unwrap(header.stanzas[position])
    else:
        key = None
    if key is None:
        raise NoMatchError("The file was not sealed for this key or passphrase.")
    if not hmac.compare_digest(_mac(key, data[: header.mac_covers]), header.mac):
        raise MacError("The header was changed after it was written.")
    return key


def _mac(key: bytes, covered: bytes) -> bytes:
    return hmac.digest(payload.derive(key, None, b"header"), covered, "sha256")


def _parse(data: bytes) -> Header:
    try:
        return parse_header(data)
    except AgeHeaderError as error:
        raise HeaderError(str(error)) from None


def _read_head(source: BinaryIO) -> bytes:
    """Read up to and past the end of the header, or as much of `source` as a header may have."""
    data = bytearray()
    while len(data) < age_header_bytes_max:
        searched = max(0, len(data) - len(b"\n---"))
        part = source.read(min(payload.chunk_bytes, age_header_bytes_max - len(data)))
        if not part:
            break
        data += part
        # No line of a stanza begins with these characters, so the first that does ends the header.
        mark = data.find(b"\n---", searched)
        if mark >= 0 and data.find(b"\n", mark + 1) >= 0:
            break
    return bytes(data)


class _Rest:
    """What was read past the header, then what the source still holds."""

    def __init__(self, held: bytes, source: BinaryIO) -> None:
        self._held = BytesIO(held)
        self._source = source

    def read(self, size: int, /) -> bytes:
        return self._held.read(size) or self._source.read(size)
