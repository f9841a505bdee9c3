"""The private keys of a contact point, a registry officer or an operator, and the one file that holds them.

A keyring file is an age file, sealed with a passphrase or to a host key, whose plaintext is a short TOML text: any age
tool opens it with the same passphrase or key, so nobody depends on this program to get at their own keys. Keys that
were replaced stay in it with the time they ended, since mail sealed to them may still arrive.

The promise: a key is never written over, never printed, and never lies on the disk unsealed.

Before this room: enrolment, the settings, `key_file`. After it: `valija.age`, `valija.durable`. Rules: schemas/SPEC.md
section 1.6, "Keys".
"""

import base64
import stat
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, Literal, Self

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from valija import age, durable
from valija.errors import KeyMissingError, KeyringError, KeyringExistsError, KeyringLockedError
from valija_schemas import wire
from valija_schemas.note import Ed25519Signer

Use = Literal["sign", "seal", "auth", "officer", "operator"]

contact_point_uses: Final[tuple[Use, ...]] = ("sign", "seal", "auth")
keyring_bytes_max: Final = 1024 * 1024  #: Thousands of keys; a longer file is no keyring.
secret_mode: Final = 0o600

_LAYOUT: Final = 1
_KEY_FORM: Final = r"^([0-9a-f]{64}|AGE-SECRET-KEY-PQ-1[0-9A-Z]+)$"


class _KeyRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    use: Use
    created: wire.Milliseconds
    ended: wire.Milliseconds | None = None
    secret: Annotated[str, msgspec.Meta(pattern=_KEY_FORM)]

    def __repr__(self) -> str:
        return f"_KeyRecord(use={self.use!r})"


class _Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    layout: int
    origin: Annotated[str, msgspec.Meta(pattern=r"^[!-*,-~]{1,255}$")]
    id: wire.Identifier
    requests: Annotated[list[str], msgspec.Meta(max_length=1024)] = []
    key: Annotated[list[_KeyRecord], msgspec.Meta(min_length=1, max_length=1024)]


class HeldKey:
    """One private key of a keyring."""

    def __init__(self, name: str, record: _KeyRecord) -> None:
        self.use: Final = record.use
        self.created_ms: Final = record.created
        self.ended_ms: Final = record.ended
        self.signer: Ed25519Signer | None = None
        self.seal: age.SealIdentity | None = None
        if record.use == "seal":
            self.seal = age.SealIdentity.from_text(record.secret)
            self.public: str = base64.b64encode(self.seal.recipient.to_bytes()).decode()
        else:
            self.signer = Ed25519Signer(name, Ed25519PrivateKey.from_private_bytes(bytes.fromhex(record.secret)))
            self.public = self.signer.public.hex()

    def __repr__(self) -> str:
        state = "current" if self.ended_ms is None else "ended"
        return f"HeldKey(use={self.use!r}, {state}, public={self.public[:16]!r})"


class Keyring:
    """Private keys in memory. Immutable; share it freely. `repr` shows whose they are and nothing secret."""

    def __init__(self, document: _Document) -> None:
        self.origin: Final = document.origin
        self.id: Final = document.id
        self._document: Final = document
        self._records: Final = document.key
        #: The notes that asked officers for these keys, oldest first. They are public; kept here, they outlast a crash.
        self.requests: Final = tuple(text.encode() for text in document.requests)
        name = f"{document.origin}/{document.id}"
        self.held: Final = tuple(HeldKey(name, record) for record in document.key)  #: Newest first of each use.

    @classmethod
    def generate(
        cls, origin: str, id_: str, *, uses: Sequence[Use] = contact_point_uses, now_ms: int | None = None
    ) -> Self:
        """Draw a new key of each of `uses` for `id_` in the exchange `origin`."""
        now = now_ms if now_ms is not None else time.time_ns() // 1_000_000
        return cls._checked({"layout": _LAYOUT, "origin": origin, "id": id_, "key": [_draw(use, now) for use in uses]})

    def rotate(self, uses: Sequence[Use] = contact_point_uses, *, now_ms: int | None = None) -> "Keyring":
        """This keyring with a new key of each of `uses`; those before stay and are marked as ended now.

        The directory names the new keys only once the officers have published them: until then `signer` finds the key
        that it still names.
        """
        now = now_ms if now_ms is not None else time.time_ns() // 1_000_000
        records = [_draw(use, now) for use in uses]
        for record in self._records:
            replaced = record.use in uses and record.ended is None
            records.append(msgspec.structs.replace(record, ended=now) if replaced else record)
        return Keyring(msgspec.structs.replace(self._document, key=records))

    def with_request(self, raw: bytes) -> "Keyring":
        """This keyring, which remembers that `raw` asked for its current keys."""
        return Keyring(msgspec.structs.replace(self._document, requests=[*self._document.requests, raw.decode()]))

    @property
    def sign(self) -> Ed25519Signer:
        """Signs messages and receipts: the newest key of this use."""
        return self._signer(self._current("sign"))

    @property
    def auth(self) -> Ed25519Signer:
        """Signs HTTP requests: the newest key of this use."""
        return self._signer(self._current("auth"))

    @property
    def officer(self) -> Ed25519Signer:
        """Signs roots and directories, in an officer's keyring."""
        return self._signer(self._current("officer"))

    @property
    def operator(self) -> Ed25519Signer:
        """Signs orders, in an operator's keyring."""
        return self._signer(self._current("operator"))

    @property
    def seal(self) -> age.SealIdentity:
        """The newest seal key, as an identity; its `recipient` is the public half."""
        seal = self._current("seal").seal
        assert seal is not None  # noqa: S101 - a HeldKey of this use always has one
        return seal

    def signer(self, use: Use, public: str) -> Ed25519Signer:
        """The signer whose public key in hex is `public`, ended or not.

        Raises:
            KeyMissingError: this keyring does not hold it.
        """
        for key in self.held:
            if key.use == use and key.public == public and key.signer is not None:
                return key.signer
        raise KeyMissingError(f"this keyring of {self.id} does not hold the {use} key {public[:16]}...")

    def seal_identity(self, key_id: str) -> age.SealIdentity:
        """What opens bodies sealed to the seal key with this id, ended or not.

        Raises:
            KeyMissingError: this keyring does not hold it.
        """
        for key in self.held:
            if key.seal is not None and key.seal.recipient.key_id == key_id:
                return key.seal
        raise KeyMissingError(f"this keyring of {self.id} does not hold the seal key {key_id[:16]}...")

    def to_text(self) -> str:
        """The TOML text, secrets and all: for `save`, never for a person."""
        lines = [
            f"# Private keys of {self.origin}/{self.id}. Whoever holds this text can read and sign in its name.",
            f"layout = {_LAYOUT}",
            f'origin = "{_toml(self.origin)}"',
            f'id = "{self.id}"',
            "requests = [",
            *(f"  {msgspec.json.encode(text).decode()}," for text in self._document.requests),
            "]",
        ]
        for record in self._records:
            lines += ["", "[[key]]", f'use = "{record.use}"', f"created = {record.created}"]
            lines += [f"ended = {record.ended}"] if record.ended is not None else []
            lines += [f'secret = "{record.secret}"']
        return "\n".join(lines) + "\n"

    @classmethod
    def from_text(cls, text: str) -> Self:
        """The keyring that a TOML text spells.

        Raises:
            KeyringError: it is no keyring; the message does not repeat any of it.
        """
        try:
            return cls._checked(msgspec.toml.decode(text))
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise KeyringError("this text is not a keyring") from None

    @classmethod
    def _checked(cls, value: object) -> Self:
        try:
            document = msgspec.convert(value, _Document)
            if document.layout != _LAYOUT:
                raise KeyringError(
                    f"this keyring has layout {document.layout}; this version knows {_LAYOUT}",
                    hint="Use a newer version of this program.",
                )
            return cls(document)
        except (msgspec.ValidationError, ValueError, age.AgeError):
            raise KeyringError(
                "the name of the exchange or of the contact point, or a key, is not well-formed"
            ) from None

    def _current(self, use: Use) -> HeldKey:
        for key in self.held:
            if key.use == use and key.ended_ms is None:
                return key
        raise KeyMissingError(f"this keyring of {self.id} holds no current {use} key")

    @staticmethod
    def _signer(key: HeldKey) -> Ed25519Signer:
        assert key.signer is not None  # noqa: S101 - a HeldKey of this use always has one
        return key.signer

    def __repr__(self) -> str:
        return f"Keyring({self.origin}/{self.id}, {len(self.held)} keys)"


def save(path: Path, keyring: Keyring, recipient: age.Recipient, *, replace: bool = False) -> None:
    """Seal `keyring` for `recipient` (a `Passphrase`, or a host key's `SealRecipient`) and write it to `path`.

    `replace` is for a keyring that grew by `rotate`: the file then holds all the keys that it held before.

    Raises:
        KeyringExistsError: something is there and `replace` is False.
        KeyringError: the disk said no.
    """
    _write(path, age.encrypt(keyring.to_text().encode(), [recipient]), replace=replace)


def load(path: Path, identity: age.Identity) -> Keyring:
    """The keyring at `path`, opened by `identity` (a `Passphrase`, or a host key's `SealIdentity`).

    Raises:
        KeyringLockedError: `identity` does not open it.
        KeyringError: it is not there, unreadable or damaged.
    """
    data = _read(path)
    try:
        text = age.decrypt(data, identity).decode()
    except age.NoMatchError:
        raise KeyringLockedError(f"{path} is not sealed with this passphrase or key") from None
    except (age.AgeError, UnicodeDecodeError) as error:
        raise KeyringError(f"{path} is not a whole keyring file: {_reason(error)}") from None
    return Keyring.from_text(text)


def make_host_key(path: Path) -> age.SealIdentity:
    """Draw a host key and write it to `path` with mode 0600: what opens keyrings on a machine where nobody types.

    Raises:
        KeyringExistsError: something is there.
        KeyringError: the disk said no.
    """
    identity = age.SealIdentity.generate()
    text = f"# Host key of this machine. It opens the keyrings that were sealed to it.\n{identity.to_text()}\n"
    _write(path, text.encode(), replace=False)
    return identity


def load_host_key(path: Path) -> age.SealIdentity:
    """The host key at `path`: comments, empty lines and one `AGE-SECRET-KEY-PQ-1...` line.

    Raises:
        KeyringError: it is not there, not such a file, or other people on this machine may read it.
    """
    data = _read(path)
    if durable.has_modes and stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise KeyringError(f"others may read {path}", hint=f"Run: chmod 600 {path}")
    try:
        lines = [line for line in data.decode("ascii").splitlines() if line and not line.startswith("#")]
        (line,) = lines
        return age.SealIdentity.from_text(line.strip())
    except (ValueError, age.AgeError):
        raise KeyringError(f"{path} is not a host key file") from None


def _draw(use: Use, now_ms: int) -> _KeyRecord:
    if use == "seal":
        return _KeyRecord(use=use, created=now_ms, secret=age.SealIdentity.generate().to_text())
    return _KeyRecord(use=use, created=now_ms, secret=Ed25519PrivateKey.generate().private_bytes_raw().hex())


def _write(path: Path, data: bytes, *, replace: bool) -> None:
    try:
        durable.write(path, data, mode=secret_mode, replace=replace)
    except FileExistsError:
        raise KeyringExistsError(f"{path} is there already, and keys are never written over") from None
    except OSError as error:
        raise KeyringError(f"{path} cannot be written: {error.strerror}") from None


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(keyring_bytes_max + 1)
    except OSError as error:
        raise KeyringError(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > keyring_bytes_max:
        raise KeyringError(f"{path} is too long to be a keyring")
    return data


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, age.AgeError) else "it does not hold text"


def _toml(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
