"""Who an age file is for and who opens it: seal keys, passphrases, and the file key itself.

Whoever writes a file is a `Recipient` that wraps its file key in a stanza; whoever opens it is an `Identity` that
unwraps one. A public key that cannot be sealed to never becomes a `SealRecipient`, so it is found when a
contact point is admitted and not when a message to it fails.

Before this room: the keyring and the directory. After it: `file`. Rules: schemas/SPEC.md section 1, "Keys" and
"Seal"; C2SP age.md, "Native recipient types".
"""

import re
import secrets
from hashlib import sha256, shake_256
from typing import Final, Protocol, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from valija.age import bech32
from valija.age.errors import HeaderError, KeyFormatError
from valija_schemas.age_header import (
    AgeHeaderError,
    Stanza,
    decode_base64,
    encode_base64,
    sealed_enc,
    sealed_kind,
    wrapped_key_bytes,
)

file_key_bytes: Final = 16
seal_seed_bytes: Final = 32
seal_public_bytes: Final = 1_216  #: ML-KEM-768 (1,184), then X25519 (32).
work_factor_max: Final = 20  #: Needs 1 GiB for 3 s; a file that asks for more is refused, not worked on.
work_factor_default: Final = 18  #: As age does: 256 MiB and most of a second for each guess.

_mlkem_public_bytes = 1_184
_mlkem_ciphertext_bytes = 1_088
_mlkem_seed_bytes = 64
_field_prime = 2**255 - 19
_suite = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)
_seal_info = b"age-encryption.org/mlkem768x25519"
_identity_prefix = "AGE-SECRET-KEY-PQ-"
_recipient_prefix = "age1pq"

_scrypt_kind = "scrypt"
_scrypt_label = b"age-encryption.org/v1/scrypt"
_scrypt_salt_bytes = 16
_scrypt_block_size = 8
_work_factor = re.compile("[1-9][0-9]{0,2}")
_zero_nonce = bytes(12)  #: The wrapping key is used once, so the nonce need not differ.


class Recipient(Protocol):
    """Somebody for whom a file is written. Safe to share between threads."""

    def wrap(self, file_key: bytes) -> Stanza:
        """Return a stanza from which this recipient alone gets `file_key` back."""


class Identity(Protocol):
    """Somebody who opens files. Safe to share between threads."""

    def unwrap(self, stanza: Stanza) -> bytes | None:
        """Return the file key in `stanza`, or None if it was written for somebody else.

        Raises:
            HeaderError: the stanza is of this identity's kind and not as that kind must be.
        """


class SealRecipient:
    """The public seal key of a contact point, tried once and known to work."""

    __slots__ = ("_key", "_public")

    def __init__(self, public: bytes) -> None:
        if len(public) != seal_public_bytes:
            raise KeyFormatError(f"A public seal key is {seal_public_bytes} bytes long, this one is {len(public)}.")
        # X25519 reads the numbers at and above the prime, and a set top bit, as other keys: one key, two key ids.
        if int.from_bytes(public[_mlkem_public_bytes:], "little") >= _field_prime:
            raise KeyFormatError("The X25519 half of the public seal key is not in its one encoding.")
        self._public = bytes(public)
        try:
            self._key = hpke.MLKEM768X25519PublicKey(
                MLKEM768PublicKey.from_public_bytes(public[:_mlkem_public_bytes]),
                X25519PublicKey.from_public_bytes(public[_mlkem_public_bytes:]),
            )
            # A half of small order (0 or 1, say) loads and then breaks every message that is sealed to it.
            self.wrap(bytes(file_key_bytes))
        except ValueError:
            raise KeyFormatError("Nothing can be sealed to this public seal key.") from None

    @classmethod
    def from_bytes(cls, public: bytes) -> Self:
        """Read the 1,216 public bytes: ML-KEM-768, then X25519.

        Raises:
            KeyFormatError: they are no key, or a key that nothing can be sealed to.
        """
        return cls(public)

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read an `age1pq1...` line.

        Raises:
            KeyFormatError: it is no key, or a key that nothing can be sealed to.
        """
        return cls(bech32.decode(_recipient_prefix, text))

    def to_bytes(self) -> bytes:
        """Return the 1,216 public bytes."""
        return self._public

    def to_text(self) -> str:
        """Return the key as a line that other age tools take for a recipient."""
        return bech32.encode(_recipient_prefix, self._public)

    @property
    def key_id(self) -> str:
        """The lower-case hex SHA-256 of the public bytes."""
        return sha256(self._public).hexdigest()

    def wrap(self, file_key: bytes) -> Stanza:
        """Return a `mlkem768x25519` stanza."""
        sealed = _suite.encrypt(file_key, self._key, info=_seal_info)
        enc, body = sealed[:-wrapped_key_bytes], sealed[-wrapped_key_bytes:]
        return Stanza(sealed_kind, (encode_base64(enc).decode("ascii"),), body)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SealRecipient) and self._public == other._public

    def __hash__(self) -> int:
        return hash(self._public)

    def __repr__(self) -> str:
        return f"SealRecipient(key_id={self.key_id!r})"


class SealIdentity:
    """The private seal key of a contact point."""

    __slots__ = ("_key", "_recipient", "_seed", "_x25519")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != seal_seed_bytes:
            raise KeyFormatError(f"A private seal key is not {seal_seed_bytes} bytes long.")
        self._seed = bytes(seed)
        expanded = shake_256(seed).digest(_mlkem_seed_bytes + 32)
        mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:_mlkem_seed_bytes])
        self._x25519 = X25519PrivateKey.from_private_bytes(expanded[_mlkem_seed_bytes:])
        self._key = hpke.MLKEM768X25519PrivateKey(mlkem, self._x25519)
        self._recipient = SealRecipient(
            mlkem.public_key().public_bytes_raw() + self._x25519.public_key().public_bytes_raw()
        )

    @classmethod
    def generate(cls) -> Self:
        """Draw a new key."""
        return cls(secrets.token_bytes(seal_seed_bytes))

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read an `AGE-SECRET-KEY-PQ-1...` line.

        Raises:
            KeyFormatError: it is no such key. The error does not repeat it.
        """
        return cls(bech32.decode(_identity_prefix, text))

    def to_text(self) -> str:
        """Return the secret as a line that other age tools take for an identity."""
        return bech32.encode(_identity_prefix.lower(), self._seed).upper()

    @property
    def recipient(self) -> SealRecipient:
        """The public half."""
        return self._recipient

    def unwrap(self, stanza: Stanza) -> bytes | None:
        """Return the file key if the stanza is a `mlkem768x25519` stanza for this key.

        Raises:
            HeaderError: a part has another size or spelling, or the X25519 share is of small order.
        """
        if stanza.type != sealed_kind:
            return None
        try:
            enc = sealed_enc(stanza)
        except AgeHeaderError as error:
            raise HeaderError(str(error)) from None
        try:
            return _suite.decrypt(enc + stanza.body, self._key, info=_seal_info)
        except InvalidTag:
            pass
        # HPKE says the same of a stanza for another key and of a share that no honest sender writes. Tell them apart.
        try:
            self._x25519.exchange(X25519PublicKey.from_public_bytes(enc[_mlkem_ciphertext_bytes:]))
        except ValueError:
            raise HeaderError("The X25519 share of a stanza is of small order.") from None
        return None

    def __repr__(self) -> str:
        return f"SealIdentity(key_id={self._recipient.key_id!r})"


class Passphrase:
    """A passphrase; it writes and opens files that are for nobody else."""

    __slots__ = ("_secret", "_work_factor")

    def __init__(self, text: str, work_factor: int = work_factor_default) -> None:
        """Take `text` as it is; writing costs 2 to the power of `work_factor` steps, and so does each guess.

        Raises:
            KeyFormatError: the passphrase is empty, or the work factor is not from 1 to `work_factor_max`.
        """
        if not text:
            raise KeyFormatError("A passphrase must not be empty.")
        if not 1 <= work_factor <= work_factor_max:
            raise KeyFormatError(f"A work factor is from 1 to {work_factor_max}.")
        try:
            self._secret = text.encode()
        except UnicodeEncodeError:
            raise KeyFormatError("A passphrase must be text that UTF-8 can hold.") from None
        self._work_factor = work_factor

    def wrap(self, file_key: bytes) -> Stanza:
        """Return an `scrypt` stanza, which must be the only one of its file."""
        salt = secrets.token_bytes(_scrypt_salt_bytes)
        body = self._cipher(salt, self._work_factor).encrypt(_zero_nonce, file_key, None)
        return Stanza(_scrypt_kind, (encode_base64(salt).decode("ascii"), str(self._work_factor)), body)

    def unwrap(self, stanza: Stanza) -> bytes | None:
        """Return the file key if the stanza is an `scrypt` stanza for this passphrase.

        Raises:
            HeaderError: a part has another size or spelling, or the work factor is above `work_factor_max`.
        """
        if stanza.type != _scrypt_kind:
            return None
        if len(stanza.args) != 2:
            raise HeaderError("An `scrypt` stanza does not have exactly three arguments.")
        try:
            salt = decode_base64(stanza.args[0].encode("ascii"))
        except AgeHeaderError as error:
            raise HeaderError(str(error)) from None
        if len(salt) != _scrypt_salt_bytes:
            raise HeaderError(f"The salt of an `scrypt` stanza is not {_scrypt_salt_bytes} bytes long.")
        if not _work_factor.fullmatch(stanza.args[1]):
            raise HeaderError("The work factor of an `scrypt` stanza is not a decimal number.")
        work_factor = int(stanza.args[1])
        if work_factor > work_factor_max:
            raise HeaderError(f"An `scrypt` stanza asks for a work factor above {work_factor_max}.")
        if len(stanza.body) != wrapped_key_bytes:
            raise HeaderError(f"The body of an `scrypt` stanza is not {wrapped_key_bytes} bytes long.")
        try:
            return self._cipher(salt, work_factor).decrypt(_zero_nonce, stanza.body, None)
        except InvalidTag:
            return None

    def _cipher(self, salt: bytes, work_factor: int) -> ChaCha20Poly1305:
        kdf = Scrypt(salt=_scrypt_label + salt, length=32, n=1 << work_factor, r=_scrypt_block_size, p=1)
        return ChaCha20Poly1305(kdf.derive(self._secret))

    def __repr__(self) -> str:
        return f"Passphrase(work_factor={self._work_factor})"


class FileKey:
    """The key of one file. Whoever has it reads that file, whoever it was sealed for, and nothing else."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        if len(key) != file_key_bytes:
            raise KeyFormatError(f"A file key is not {file_key_bytes} bytes long.")
        self._key = bytes(key)

    @classmethod
    def generate(cls) -> Self:
        """Return the key of a file that is about to be written."""
        return cls(secrets.token_bytes(file_key_bytes))

    def to_bytes(self) -> bytes:
        """Return the 16 secret bytes."""
        return self._key

    def __repr__(self) -> str:
        return "FileKey()"


def is_passphrase_stanza(stanza: Stanza) -> bool:
    """Whether a passphrase opens the stanza; such a stanza must be the only one of its file."""
    return stanza.type == _scrypt_kind
