"""What a root and a directory hold, as plain functions: values and a time in, the text to sign out.

A draft is the text of a note, an empty line, and the signature lines that officers have added so far: none at first.
It is thus a note in the making, opens in a text editor, and becomes the published note by its last signature alone.

The promise: no text leaves this room that a verifier would refuse for anything but missing signatures, and no key
enters a root unchecked.

Before this room: `cli`, `sample`. After it: `valija_schemas.directory`, which verifies. Rules: SPEC.md section 4.
"""

import base64
import hashlib
import time
from collections.abc import Iterable, Sequence
from typing import Final, get_args

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from valija.errors import RegistryError
from valija_schemas import documents, keys, limits, wire
from valija_schemas import note as notes
from valija_schemas.agreements import Bilateral, Treaty
from valija_schemas.directory import (
    DIRECTORY,
    ROOT,
    Area,
    BrokerKeys,
    ContactPoint,
    Directory,
    DirectoryError,
    Officer,
    Operator,
    Phonebook,
    Root,
    Route,
    Threshold,
    Witness,
    check_directory,
    check_root,
    note_text,
)

root_days_default: Final = 365
root_days_max: Final = limits.root_lifetime_max_ms // limits.DAY_MS
directory_days_max: Final = limits.directory_lifetime_max_ms // limits.DAY_MS

areas: Final[tuple[Area, ...]] = get_args(Area)
_read_root: Final = wire.Decoder(Root, limits.directory_bytes_max)
_read_directory: Final = wire.Decoder(Directory, limits.directory_bytes_max)


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A root or a directory with the signatures that it has so far. Nothing about those is verified."""

    kind: str
    origin: str
    value: Root | Directory
    text: bytes  #: What is signed.
    raw: bytes  #: Text, empty line, signature lines.
    signatures: tuple[notes.Signature, ...]

    @property
    def digest(self) -> str:
        """Lower-case hex SHA-256 of the text: what officers compare over the telephone."""
        return hashlib.sha256(self.text).hexdigest()


def default_routes() -> tuple[Route, ...]:
    """The routes of an exchange that has not decided on its own.

    Each document type that this release knows goes between the areas that its source gives it to.
    """
    return in_order(
        route for known in documents.types().values() for route in cross(known.type_, known.areas, known.areas)
    )


def cross(type_: str, senders: Iterable[Area], recipients: Sequence[Area]) -> tuple[Route, ...]:
    """Routes of `type_` from each of `senders` to each of `recipients`."""
    return tuple(
        Route(type=type_, sender=sender, recipient=recipient) for sender in senders for recipient in recipients
    )


def in_order(routes: Iterable[Route]) -> tuple[Route, ...]:
    """Routes as a directory holds them: in order, each once."""
    return tuple(sorted(set(routes), key=lambda route: (route.type, route.sender, route.recipient)))


def make_root(
    *,
    officers: Sequence[Officer],
    threshold: Threshold,
    broker: BrokerKeys,
    now_ms: int,
    operators: Sequence[Operator] = (),
    witnesses: Sequence[Witness] = (),
    quorum: int = 0,
    version: int = 1,
    days: int = root_days_default,
) -> Root:
    """A root whose every Ed25519 key was looked at.

    Raises:
        RegistryError: a key is weak or stands twice, or a threshold can never be met.
    """
    root = Root(
        version=version,
        issued=now_ms,
        expires=now_ms + days * limits.DAY_MS,
        officers=tuple(officers),
        threshold=threshold,
        operators=tuple(operators),
        broker=broker,
        witnesses=tuple(witnesses),
        quorum=quorum,
    )
    check_root_keys(root)
    try:
        check_root(root)
    except DirectoryError as error:
        raise RegistryError(str(error), hint="Correct the file that lists officers and keys.") from None
    return root


def renewed_root(root: Root, now_ms: int, days: int) -> Root:
    """The root that follows `root` and says the same, issued now."""
    return msgspec.structs.replace(root, version=root.version + 1, issued=now_ms, expires=now_ms + days * limits.DAY_MS)


def check_root_keys(root: Root) -> None:
    """Refuse a root with an Ed25519 key under which forged signatures would hold.

    Raises:
        RegistryError: see above; the message says whose.
    """
    named = [(officer.id, officer.key) for officer in root.officers]
    named += [(operator.id, operator.key) for operator in root.operators]
    named += [(f"witness {witness.name}", witness.key) for witness in root.witnesses]
    named += [("the broker", key) for key in (*root.broker.evidence, root.broker.freshness, root.broker.log)]
    for who, key in named:
        try:
            keys.check_ed25519(bytes.fromhex(key))
        except ValueError as error:
            raise RegistryError(f"a key of {who} may not be used: {error}", hint="Have a new key made.") from None


def root_text(origin: str, root: Root) -> bytes:
    """The text of a root, to be signed.

    Raises:
        RegistryError: it has no valid form.
    """
    return _text(ROOT, origin, root)


def next_directory(
    previous: Phonebook | None,
    root: Root,
    points: Iterable[ContactPoint],
    routes: Iterable[Route],
    now_ms: int,
    *,
    origin: str,
    treaties: Iterable[Treaty] = (),
    bilateral: Iterable[Bilateral] = (),
    days: int = directory_days_max,
) -> bytes:
    """The text of the directory version after `previous` (version 1 after None), to be signed.

    Raises:
        RegistryError: a name or key stands twice, or the entries have no valid form.
    """
    directory = Directory(
        version=previous.version + 1 if previous else 1,
        issued=now_ms,
        expires=now_ms + days * limits.DAY_MS,
        root=root.version,
        previous=previous.digest if previous else None,
        contact_points=tuple(sorted(points, key=lambda point: point.id)),
        routes=in_order(routes),
        treaties=tuple(sorted(treaties, key=lambda treaty: (treaty.state, treaty.instrument))),
        bilateral=tuple(sorted(bilateral, key=lambda each: (each.type, each.between))),
    )
    try:
        check_directory(directory)
    except DirectoryError as error:
        raise RegistryError(str(error), hint="Nothing was changed.") from None
    return _text(DIRECTORY, origin, directory)


def sign_note(raw_or_text: bytes, signer: notes.Signer) -> bytes:
    """With the signature line of `signer` added. Whoever signed already is not added twice."""
    if raw_or_text.endswith(b"\n") and raw_or_text.count(b"\n") == 2:
        return notes.sign(raw_or_text, [signer])
    draft = read_draft(raw_or_text)
    own = notes.key_id(signer.name, signer.public)
    if any((line.name, line.key_id) == (signer.name, own) for line in draft.signatures):
        return draft.raw
    return draft.raw + notes.signature_line(signer, draft.text)


def merge(drafts: Sequence[Draft]) -> bytes:
    """One draft with the signature lines of copies that officers signed apart.

    Raises:
        RegistryError: they are not copies of one text.
    """
    first = drafts[0]
    if any(draft.text != first.text for draft in drafts):
        raise RegistryError("these are not copies of one draft: their texts differ")
    lines = dict.fromkeys(line for draft in drafts for line in draft.raw[len(draft.text) + 1 :].splitlines(True))
    return first.text + b"\n" + b"".join(lines)


def unsigned(text: bytes) -> bytes:
    """The draft of a text that nobody has signed."""
    return text + b"\n"


def read_draft(raw: bytes) -> Draft:
    """A draft, or a whole note, read in full and not verified.

    Raises:
        RegistryError: it is no root and no directory, or one that no verifier would accept.
    """
    try:
        if len(raw) > limits.directory_bytes_max:
            raise RegistryError(f"a draft has at most {limits.directory_bytes_max} bytes")
        # A draft without a signature is no note yet; a line by a key that is thrown away makes it one for its reader.
        bare = raw.endswith(b"\n\n") and raw.count(b"\n") == 3
        note = notes.parse(notes.sign(raw[:-1], [nobody]) if bare else raw, limits.directory_bytes_max)
        value: Root | Directory
        if note.kind == ROOT:
            value = _read_root(note.json)
            check_root(value)
        elif note.kind == DIRECTORY:
            value = _read_directory(note.json)
            check_directory(value)
        else:
            raise RegistryError(f"this is a {note.kind}, neither a root nor a directory")
    except ValueError as error:
        raise RegistryError(f"this is no draft: {error}", hint="Make the draft again.") from None
    return Draft(
        kind=note.kind,
        origin=note.origin,
        value=value,
        text=note.text,
        raw=raw,
        signatures=() if bare else note.signatures,
    )


def now(given_ms: int | None = None) -> int:
    """`given_ms`, or what the clock says."""
    return given_ms if given_ms is not None else time.time_ns() // 1_000_000


def seal_text(public: bytes) -> str:
    """The 1,216 public bytes of a seal key as a directory spells them."""
    return base64.b64encode(public).decode()


def _text(kind: str, origin: str, value: Root | Directory) -> bytes:
    try:
        text = note_text(kind, origin, value)
        read_draft(unsigned(text))
    except wire.WireError as error:
        raise RegistryError(f"this has no valid form: {error}", hint="Correct the text that it names.") from None
    return text


#: Whose line makes a text a note for its reader: the key is known to all, and believed by none.
nobody: Final = notes.Ed25519Signer("nobody", Ed25519PrivateKey.from_private_bytes(bytes(32)))
