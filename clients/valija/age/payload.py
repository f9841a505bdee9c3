"""The payload of an age file: chunks of 64 KiB, each with a tag, the last one marked as the last.

No byte of plaintext leaves this room before the chunk it stands in is verified, and the end is an end only if the
writer marked it so: a file that was cut off between two chunks is an error and not a shorter file.

Before this room: `file`, which has the file key. After it: whoever reads the plaintext. Rules: C2SP age.md, "Payload".
"""

from typing import BinaryIO, Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from valija.age.errors import PayloadError
from valija_schemas.age_header import tag_bytes

chunk_bytes: Final = 64 * 1024

_sealed_chunk_bytes = chunk_bytes + tag_bytes


class Source(Protocol):
    """Where bytes come from: any open binary file."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, and none only at the end."""


def derive(file_key: bytes, salt: bytes | None, info: bytes) -> bytes:
    """Return the key that the format derives from the file key for one use."""
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(file_key)


def encrypt_chunks(file_key: bytes, nonce: bytes, source: Source, sink: BinaryIO) -> None:
    """Write `source`, up to its end, as the chunks of a payload."""
    cipher = ChaCha20Poly1305(derive(file_key, nonce, b"payload"))
    counter = 0
    chunk = read_up_to(source, chunk_bytes)
    while True:
        # A full chunk is the last one only if nothing follows it, and an empty one never follows another.
        following = read_up_to(source, chunk_bytes) if len(chunk) == chunk_bytes else b""
        sink.write(cipher.encrypt(_chunk_nonce(counter, last=not following), chunk, None))
        if not following:
            return
        chunk = following
        counter += 1


def decrypt_chunks(file_key: bytes, nonce: bytes, source: Source, sink: BinaryIO) -> None:
    """Write the plaintext of a payload, each chunk after it was verified.

    Raises:
        PayloadError: a chunk was changed, moved or left out. What was written before it is genuine, and not whole.
    """
    cipher = ChaCha20Poly1305(derive(file_key, nonce, b"payload"))
    counter = 0
    last = False
    while not last:
        chunk = read_up_to(source, _sealed_chunk_bytes)
        # Only a full chunk can have another after it. A full one may be the last all the same: its nonce says which.
        plaintext = None
        if len(chunk) == _sealed_chunk_bytes:
            plaintext = _open_chunk(cipher, counter, chunk, last=False)
        if plaintext is None:
            last = True
            plaintext = _open_chunk(cipher, counter, chunk, last=True)
        if plaintext is None:
            raise PayloadError("The payload was changed or cut off.")
        if counter and not plaintext:
            raise PayloadError("The last chunk of the payload is empty.")
        sink.write(plaintext)
        counter += 1
    if source.read(1):
        raise PayloadError("Something follows the last chunk of the payload.")


def read_up_to(source: Source, size: int) -> bytes:
    """Read `size` bytes, fewer only at the end; pipes and sockets give less at a time."""
    parts = []
    while size and (part := source.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _open_chunk(cipher: ChaCha20Poly1305, counter: int, chunk: bytes, *, last: bool) -> bytes | None:
    try:
        return cipher.decrypt(_chunk_nonce(counter, last=last), chunk, None)
    except InvalidTag:
        return None


def _chunk_nonce(counter: int, *, last: bool) -> bytes:
    return counter.to_bytes(11, "big") + (b"\x01" if last else b"\x00")
