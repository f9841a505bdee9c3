"""Short records under one key: for a file of our own in which each row is sealed by itself.

An age file would take 1.7 kB and a key encapsulation for each row. Here one key, which itself lies in an age file,
seals them all, with ChaCha20-Poly1305 (RFC 8439) and a nonce drawn for each.

Before this room: `valija.cases`. After it: nothing.
"""

import secrets
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from valija.age.errors import KeyFormatError, PayloadError

record_key_bytes: Final = 32
_nonce_bytes: Final = 12  #: Drawn at random: two of 2**32 records are alike with a chance of 2**-33.


class RecordKey:
    """The key of many short records. `repr` shows nothing of it."""

    __slots__ = ("_cipher", "_key")

    def __init__(self, key: bytes) -> None:
        if len(key) != record_key_bytes:
            raise KeyFormatError(f"The key of records is {record_key_bytes} bytes long, this one is {len(key)}.")
        self._key = bytes(key)
        self._cipher = ChaCha20Poly1305(self._key)

    @classmethod
    def generate(cls) -> Self:
        """Draw a new key."""
        return cls(secrets.token_bytes(record_key_bytes))

    def to_bytes(self) -> bytes:
        """The key, to be sealed in an age file."""
        return self._key

    def seal(self, plaintext: bytes, bound: bytes) -> bytes:
        """A record that opens with the same `bound` alone: what it is a record of."""
        nonce = secrets.token_bytes(_nonce_bytes)
        return nonce + self._cipher.encrypt(nonce, plaintext, bound)

    def open(self, sealed: bytes, bound: bytes) -> bytes:
        """The plaintext of a record.

        Raises:
            PayloadError: it was sealed by another key, for another `bound`, or was changed.
        """
        try:
            return self._cipher.decrypt(sealed[:_nonce_bytes], sealed[_nonce_bytes:], bound)
        except (InvalidTag, ValueError):
            raise PayloadError("this record does not open") from None

    def __repr__(self) -> str:
        return "RecordKey()"
