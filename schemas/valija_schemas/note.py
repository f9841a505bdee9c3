"""Signed notes: everything that somebody signs, and how it is cut, named, signed and verified. SPEC.md section 1.1.

A note is a short text and lines with signatures over it (C2SP signed-note). Ours always has two lines of text, what
kind of thing it is and in which exchange, then one JSON object. A message is such a note followed by a sealed body;
it is cut at its first empty line and never by looking for one from the end, since the body is the sender's to choose.

The promise: two readers of the same bytes see the same text, the same signers and the same body, or both refuse.
"""

import base64
import binascii
import hashlib
from collections.abc import Collection, Iterable, Sequence
from typing import Final, Protocol

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from valija_schemas import limits

BODY_BEGINS: Final = b"age-encryption.org/v1\n"
_DASH: Final = "— ".encode()  # an em dash and a space
ED25519: Final = b"\x01"  #: C2SP signed-note, signature types
#: Names that no contact point may bear, nor any that begins with one of them and a dot.
RESERVED_NAMES: Final = frozenset({"broker", "log", "officer", "witness", "operator"})


class NoteError(ValueError):
    """The bytes are not a note of ours, or a signature on it does not hold; the text says which."""


class Signature(msgspec.Struct, frozen=True):
    """One signature line, not yet verified."""

    name: str  #: `<exchange>/<who>`
    key_id: bytes  #: 4 bytes; a hint, never an identity.
    value: bytes  #: What follows the key id: 64 bytes for Ed25519.


class Note(msgspec.Struct, frozen=True):
    """A note that is well-formed. Nothing about it is verified."""

    kind: str  #: `valija/message/v1`
    origin: str  #: The exchange: `exchange.example`
    json: bytes  #: The one line of JSON, without its newline.
    text: bytes  #: What is signed: the two lines, with the last newline.
    raw: bytes  #: The whole note as transmitted, signature lines included.
    signatures: tuple[Signature, ...]

    @property
    def digest(self) -> str:
        """What names this note everywhere: lower-case hex SHA-256 of its text."""
        return hashlib.sha256(self.text).hexdigest()

    @property
    def raw_digest(self) -> str:
        """Lower-case hex SHA-256 of the whole note, signature lines included."""
        return hashlib.sha256(self.raw).hexdigest()


class Signer(Protocol):
    """A private key that signs notes. A hardware token can stand here: it is asked for a signature and nothing else."""

    @property
    def name(self) -> str:
        """`<exchange>/<who>`."""
        ...

    @property
    def public(self) -> bytes:
        """The 32 public bytes."""
        ...

    def sign(self, text: bytes) -> bytes:
        """64 bytes of Ed25519 over `text` (RFC 8032)."""
        ...


class Ed25519Signer:
    """A signer whose key is in memory."""

    def __init__(self, name: str, key: Ed25519PrivateKey) -> None:
        self.name: Final = name
        self.public: Final = key.public_key().public_bytes_raw()
        self._key = key

    def sign(self, text: bytes) -> bytes:
        """64 bytes of Ed25519 over `text` (RFC 8032); the same text gives the same bytes."""
        return self._key.sign(text)

    def __repr__(self) -> str:
        return f"Ed25519Signer({self.name!r})"


class Verifier(msgspec.Struct, frozen=True):
    """A name and a public key under which it signs."""

    name: str
    public: bytes  #: 32 bytes

    @property
    def key_id(self) -> bytes:
        """The 4 bytes that a signature line carries."""
        return key_id(self.name, self.public)


def key_id(name: str, public: bytes, type_: bytes = ED25519) -> bytes:
    """The 4 bytes that name a key in a signature line (C2SP signed-note): easily made to collide, so only a hint."""
    return hashlib.sha256(name.encode() + b"\n" + type_ + public).digest()[:4]


def text(kind: str, origin: str, json: bytes) -> bytes:
    """The text of a note: what is signed and what its digest is taken of."""
    return f"{kind} {origin}\n".encode() + json + b"\n"


def parse_text(data: bytes, kind: str, origin: str) -> bytes:
    """The JSON of a text that stands unsigned: its two lines and nothing else.

    Raises:
        NoteError: it is not that, of another kind, or of another exchange.
    """
    heading = f"{kind} {origin}\n".encode()
    json, newline, rest = data.removeprefix(heading).partition(b"\n")
    if not data.startswith(heading) or not newline or rest:
        raise NoteError(f"this is not a {kind} of {origin}, in two lines")
    return json


def sign(signed_text: bytes, signers: Iterable[Signer]) -> bytes:
    """The whole note: `signed_text`, an empty line, a line for each signer in the order given."""
    lines = [signature_line(signer, signed_text) for signer in signers]
    return signed_text + b"\n" + b"".join(lines)


def signature_line(signer: Signer, signed_text: bytes) -> bytes:
    """One signature line over `signed_text`, with its newline."""
    return write_line(Signature(signer.name, key_id(signer.name, signer.public), signer.sign(signed_text)))


def write_line(signature: Signature) -> bytes:
    """A signature as its line, with its newline."""
    value = signature.key_id + signature.value
    return _DASH + signature.name.encode() + b" " + base64.b64encode(value) + b"\n"


def read_lines(data: bytes, position: int) -> tuple[tuple[Signature, ...], int]:
    """The signature lines that begin at `position`, and where they end. There may be none, or two of one key.

    Raises:
        NoteError: a line is not well-formed or has no end, or there are too many.
    """
    signatures: list[Signature] = []
    while data.startswith(_DASH, position):
        end = data.find(b"\n", position)
        if end < 0:
            raise NoteError("a signature line has no end")
        if len(signatures) == limits.signatures_max:
            raise NoteError(f"more than {limits.signatures_max} signature lines")
        signatures.append(_signature(data[position:end]))
        position = end + 1
    return tuple(signatures), position


def holds(public: bytes, signature: bytes, signed: bytes) -> bool:
    """Whether `signature` is an Ed25519 signature over `signed` by this key; a key that is none signs nothing."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, signed)
    except (InvalidSignature, ValueError):
        return False
    return True


def split(data: bytes, note_bytes_max: int = limits.note_bytes_max) -> tuple[Note, bytes]:
    """Cut a message into its note and its body, from the front. The body is empty for every other kind.

    Raises:
        NoteError: the bytes do not begin with a note of at most `note_bytes_max` bytes, or what follows is no body.
    """
    head = data[: note_bytes_max + 1]
    first = head.find(b"\n")
    second = head.find(b"\n", first + 1) if first >= 0 else -1
    if second < 0 or head[second + 1 : second + 2] != b"\n":
        raise NoteError("this does not begin with a line of kind and origin, a line of JSON and an empty line")
    signed = data[: second + 1]
    signatures, position = read_lines(head, second + 2)
    if position > note_bytes_max:
        raise NoteError(f"the note is longer than {note_bytes_max} bytes")
    if not signatures:
        raise NoteError("the note has no signature line")
    if len({(s.name, s.key_id) for s in signatures}) != len(signatures):
        raise NoteError("two signature lines bear the same name and key id")
    body = data[position:]
    if body and not body.startswith(BODY_BEGINS):
        raise NoteError("what follows the signatures is not a sealed body")
    kind, origin = _heading(signed[:first])
    return Note(kind, origin, signed[first + 1 : second], signed, data[:position], signatures), body


def parse(data: bytes, note_bytes_max: int = limits.note_bytes_max) -> Note:
    """A note with nothing behind it.

    Raises:
        NoteError: as `split`, or something follows the note.
    """
    note, body = split(data, note_bytes_max)
    if body:
        raise NoteError("something follows the note")
    return note


def require(note: Note, kind: str, origin: str) -> None:
    """Refuse a note of another kind or of another exchange: line 1 is signed, names of keys are not.

    Raises:
        NoteError: it is another kind or another exchange.
    """
    if note.kind != kind:
        raise NoteError(f"this is a {note.kind}, not a {kind}")
    if note.origin != origin:
        raise NoteError(f"this belongs to the exchange {note.origin}, not to {origin}")


def verify_one(note: Note, verifiers: Collection[Verifier]) -> Verifier:
    """The key that signed a note which must bear exactly one signature.

    Raises:
        NoteError: it has more than one line, or its line is not by one of `verifiers`, or does not hold.
    """
    if len(note.signatures) != 1:
        raise NoteError("this kind of note bears exactly one signature")
    verified = verify_any(note, verifiers)
    if not verified:
        raise NoteError("the signature is not by a key that may sign this")
    return verified[0]


def verify_any(note: Note, verifiers: Collection[Verifier]) -> Sequence[Verifier]:
    """The keys among `verifiers` that signed, each public key once. Lines of keys not among them are ignored.

    Raises:
        NoteError: a line that bears the name and id of one of `verifiers` does not hold: then nothing is believed.
    """
    found: dict[bytes, Verifier] = {}
    for line in note.signatures:
        candidates = [v for v in verifiers if v.name == line.name and v.key_id == line.key_id]
        holding = [v for v in candidates if holds(v.public, line.value, note.text)]
        if candidates and not holding:
            raise NoteError(f"the signature of {line.name} does not hold")
        for verifier in holding:
            found.setdefault(verifier.public, verifier)
    return list(found.values())


def _heading(line: bytes) -> tuple[str, str]:
    try:
        kind, origin = line.decode("ascii").split(" ")
    except ValueError:
        raise NoteError("the first line is not a kind, a space and an origin") from None
    if not (kind.isprintable() and origin.isprintable() and kind and origin and "+" not in origin):
        raise NoteError("the first line is not a kind, a space and an origin")
    return kind, origin


def _signature(line: bytes) -> Signature:
    if len(line) > limits.signature_line_bytes_max:
        raise NoteError(f"a signature line is longer than {limits.signature_line_bytes_max} bytes")
    try:
        name, encoded = line[len(_DASH) :].decode("ascii").split(" ")
        value = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        raise NoteError("a signature line is not a name, a space and base64") from None
    if base64.b64encode(value).decode() != encoded:
        raise NoteError("the base64 of a signature line is not in its one spelling")
    if not name or "+" in name or not name.isprintable() or len(value) <= 4:
        raise NoteError("a signature line is not a name, a space and base64")
    return Signature(name, value[:4], value[4:])
