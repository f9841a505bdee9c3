"""Who is who: the root, the directory of contact points, its freshness, and requests to enter it. SPEC.md section 4.

Officers sign offline; a broker only carries what they signed. The root says who the officers are, how many of them
and of how many organisations must sign, and which keys the broker may use for what. The directory names the contact
points, their keys, the routes, and what was agreed (`agreements`). The semantics are those of The Update Framework
(TUF specification 1.0, section 5): no version skipped, none taken back, two thresholds where the root changes, expiry.

Everything here is pure: notes and a time in, a verified value out.
"""

import base64
import hashlib
from collections.abc import Mapping
from typing import Annotated, Final, Literal, get_args

import msgspec

from valija_schemas import limits, wire
from valija_schemas import note as notes
from valija_schemas.agreements import (
    Bilateral,
    StateCode,
    Treaty,
    bilateral_fault,
    is_bilateral,
    treaties_fault,
)
from valija_schemas.wire import Count, Digest, Identifier, KeyHex, Line, Milliseconds

ROOT: Final = "valija/root/v1"
DIRECTORY: Final = "valija/directory/v1"
FRESHNESS: Final = "valija/freshness/v1"
REQUEST: Final = "valija/request/v1"

Area = Literal["judicial", "non-judicial", "law-enforcement", "administrative", "political"]
"""The five areas of CICAD's recommendation 4 of Mexico City, 2003."""

TypeName = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z-]{0,62}/[1-9][0-9]{0,3}$")]
"""A document type and its version: `information-request/1`."""

SealKeyText = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9+/]{1621}[AQgw]==$")]
"""A seal key: the 1,216 public bytes of MLKEM768-X25519 (ML-KEM first, then X25519) in base64, in its one spelling."""

MlDsa44Hex = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{2624}$")]
"""An ML-DSA-44 public key: 1,312 bytes in lower-case hex (FIPS 204)."""


class DirectoryError(ValueError):
    """A root, directory, freshness or request note may not be believed; the text says why."""


class _Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fields in this order, all present, none unknown."""


class Officer(_Record, frozen=True, kw_only=True):
    """A person of a member organisation who signs the registry, offline."""

    id: Identifier  #: `officer.` and a name.
    organisation: Line
    key: KeyHex


Role = Literal["observer", "operator", "registrar", "auditor"]
"""What a person may do at the broker: look at queues; act on them by orders; publish; look at log and evidence.

Only the signatures of who has the role `operator` count on orders and holds (`order`). The others say what the broker's
console shows, and to whom.
"""


class Operator(_Record, frozen=True, kw_only=True):
    """Somebody who works at the broker, with the key by which the broker and the exchange know them."""

    id: Identifier  #: `operator.` and a name.
    roles: Annotated[tuple[Role, ...], msgspec.Meta(min_length=1, max_length=4)]  #: In the order of `Role`, each once.
    key: KeyHex


class Witness(_Record, frozen=True, kw_only=True):
    """A witness of the log (C2SP tlog-witness)."""

    name: Line
    key: KeyHex


class Threshold(_Record, frozen=True, kw_only=True):
    """Both must be met."""

    keys: Annotated[int, msgspec.Meta(ge=1, le=limits.officers_max)]
    organisations: Annotated[int, msgspec.Meta(ge=1, le=limits.officers_max)]


class BrokerKeys(_Record, frozen=True, kw_only=True):
    """The keys that the broker may use, each for one thing."""

    evidence: Annotated[
        tuple[KeyHex, ...], msgspec.Meta(min_length=1, max_length=32)
    ]  #: The current first; older after.
    freshness: KeyHex
    log: KeyHex
    log_ml_dsa: MlDsa44Hex

    def named(self) -> list[tuple[str, str]]:
        """Each key in hex, with the name under which operators and officers compare its fingerprint."""
        found = [(f"broker evidence {number}", key) for number, key in enumerate(self.evidence, start=1)]
        found += [("broker freshness", self.freshness), ("broker log", self.log)]
        return [*found, ("broker log (ML-DSA-44)", self.log_ml_dsa)]


class Root(_Record, frozen=True, kw_only=True):
    """`valija/root/v1`: who may sign the registry, and with which keys the broker may answer."""

    version: Annotated[int, msgspec.Meta(ge=1, le=limits.integer_max)]
    issued: Milliseconds
    expires: Milliseconds
    officers: Annotated[tuple[Officer, ...], msgspec.Meta(min_length=1, max_length=limits.officers_max)]
    threshold: Threshold
    operators: Annotated[tuple[Operator, ...], msgspec.Meta(max_length=64)]
    broker: BrokerKeys
    witnesses: Annotated[tuple[Witness, ...], msgspec.Meta(max_length=16)]
    quorum: Annotated[int, msgspec.Meta(ge=0, le=16)]  #: How many witnesses make a proof complete.


class Key(_Record, frozen=True, kw_only=True):
    """An Ed25519 key of a contact point."""

    key: KeyHex
    status: Literal["active", "retired", "revoked"]
    ended: Milliseconds | None  #: When it was retired or revoked.


class SealKey(_Record, frozen=True, kw_only=True):
    """A seal key of a contact point."""

    key: SealKeyText
    status: Literal["active", "retired", "revoked"]
    ended: Milliseconds | None

    @property
    def key_id(self) -> str:
        """Lower-case hex SHA-256 of the 1,216 public bytes."""
        return hashlib.sha256(self.public).hexdigest()

    @property
    def public(self) -> bytes:
        """The 1,216 public bytes."""
        return base64.b64decode(self.key)


class ContactPoint(_Record, frozen=True, kw_only=True):
    """A point of contact of a State or of an organisation, in one of the five areas."""

    id: Identifier
    state: StateCode | None  #: Null for an organisation.
    organisation: Line | None  #: Where no State: the organisation, `OAS`.
    name: Annotated[str, msgspec.Meta(pattern=r"^[^\n]+$", max_length=200)]
    area: Area
    status: Literal["active", "suspended", "withdrawn"]
    sign: Annotated[tuple[Key, ...], msgspec.Meta(min_length=1, max_length=64)]
    seal: Annotated[tuple[SealKey, ...], msgspec.Meta(min_length=1, max_length=64)]
    auth: Annotated[tuple[Key, ...], msgspec.Meta(min_length=1, max_length=64)]

    @property
    def seal_key(self) -> SealKey | None:
        """The key to seal for: the first that is active."""
        return next((key for key in self.seal if key.status == "active"), None)


class Route(_Record, frozen=True, kw_only=True):
    """Documents of `type` may go from contact points of one area to those of another."""

    type: TypeName
    sender: Area
    recipient: Area


class Directory(_Record, frozen=True, kw_only=True):
    """`valija/directory/v1`: the contact points, the routes between their areas, and what was agreed."""

    version: Annotated[int, msgspec.Meta(ge=1, le=limits.integer_max)]
    issued: Milliseconds
    expires: Milliseconds
    root: Annotated[int, msgspec.Meta(ge=1, le=limits.integer_max)]  #: The root version whose threshold signed.
    previous: Digest | None  #: Digest of the version before; null only for version 1.
    contact_points: tuple[ContactPoint, ...]  #: In the order of their ids, each id once.
    routes: tuple[Route, ...]  #: In order, each once.
    treaties: tuple[Treaty, ...]  #: In the order of State and instrument, each once; what is not here is unknown.
    bilateral: tuple[Bilateral, ...]  #: In the order of type and contact points, each once.


class Freshness(_Record, frozen=True, kw_only=True):
    """`valija/freshness/v1`: which version is the newest, signed online for at most a day."""

    version: Count
    digest: Digest
    root: Count  #: The newest root version.
    issued: Milliseconds
    expires: Milliseconds


class Request(_Record, frozen=True, kw_only=True):
    """`valija/request/v1`: a contact point asks to be admitted, or for other keys. Signed by `sign` and by `auth`."""

    contact_point: Identifier
    state: StateCode | None
    organisation: Line | None
    name: Annotated[str, msgspec.Meta(pattern=r"^[^\n]+$", max_length=200)]
    area: Area
    sign: KeyHex
    seal: SealKeyText
    auth: KeyHex
    previous: Digest | None  #: Digest of this contact point's request before.
    time: Milliseconds


_read_root: Final = wire.Decoder(Root, limits.directory_bytes_max)
_read_directory: Final = wire.Decoder(Directory, limits.directory_bytes_max)
_read_freshness: Final = wire.Decoder(Freshness, limits.note_bytes_max)
_read_request: Final = wire.Decoder(Request, limits.note_bytes_max)


class Phonebook:
    """A verified directory version with its indexes. Immutable; share it freely."""

    def __init__(self, directory: Directory, digest: str, raw: bytes) -> None:
        self.directory: Final = directory
        self.digest: Final = digest
        self.raw: Final = raw
        self.version: Final = directory.version
        self._points: Final[Mapping[str, ContactPoint]] = {point.id: point for point in directory.contact_points}
        self._auth: Final = {
            hashlib.sha256(bytes.fromhex(key.key)).hexdigest(): (point, key)
            for point in directory.contact_points
            for key in point.auth
        }
        self._routes: Final = frozenset((route.type, route.sender, route.recipient) for route in directory.routes)
        self._treaties: Final[Mapping[tuple[str, str], Treaty]] = {
            (treaty.state, treaty.instrument): treaty for treaty in directory.treaties
        }
        self._agreed: Final = {(each.type, each.between): each.schema for each in directory.bilateral}
        #: Every type that may travel between some contact points: the public ones and the bilateral ones.
        self.types: Final = frozenset(
            [route.type for route in directory.routes] + [each.type for each in directory.bilateral]
        )

    @property
    def reference(self) -> tuple[int, str]:
        """What a message carries as `directory`: version and digest."""
        return self.version, self.digest

    def point(self, id_: str) -> ContactPoint | None:
        """The entry of a contact point, whatever its status."""
        return self._points.get(id_)

    def by_auth_key(self, key_id: str) -> tuple[ContactPoint, Key] | None:
        """The contact point, and the key, that HTTP signatures with this `keyid` belong to."""
        return self._auth.get(key_id)

    def allows(self, type_: str, sender: ContactPoint, recipient: ContactPoint) -> bool:
        """Whether a document of `type_` may go from `sender` to `recipient`: by their areas, or by what they agreed."""
        if is_bilateral(type_):
            return self.agreed(type_, sender.id, recipient.id) is not None
        return (type_, sender.area, recipient.area) in self._routes

    def agreed(self, type_: str, one: str, other: str) -> str | None:
        """The SHA-256 of the JSON Schema of a bilateral type between two contact points; None where none is agreed.

        All recipients of a message read one document, so the answer for each of them must be the same.
        """
        return self._agreed.get((type_, (min(one, other), max(one, other))))

    def partners(self, type_: str, id_: str) -> list[str]:
        """With whom a contact point agreed on a bilateral type, in the order of ids."""
        pairs = [pair for name, pair in self._agreed if name == type_ and id_ in pair]
        return sorted(other for pair in pairs for other in pair if other != id_)

    def treaty(self, state: str, instrument: str) -> Treaty | None:
        """Whether a State is a party to a treaty, with source and date; None where the officers do not say."""
        return self._treaties.get((state, instrument))


class Roots:
    """Every root version from 1 to the newest known, each verified by the one before."""

    def __init__(self, origin: str, roots: tuple[Root, ...], raws: tuple[bytes, ...]) -> None:
        self.origin: Final = origin
        self._roots: Final = roots
        self.raws: Final = raws

    @property
    def newest(self) -> Root:
        """The root in force."""
        return self._roots[-1]

    def newest_first(self) -> tuple[Root, ...]:
        """Every root, the one in force first."""
        return self._roots[::-1]

    def version(self, number: int) -> Root | None:
        """Root version `number`, or None where it is not known."""
        return self._roots[number - 1] if 1 <= number <= len(self._roots) else None

    @classmethod
    def first(cls, raw: bytes, origin: str, digest: str) -> "Roots":
        """Root version 1, believed because a person compared `digest` by another channel.

        Raises:
            DirectoryError: another digest, or not a root that stands by itself.
        """
        note, root = _root(raw, origin)
        if note.digest != digest:
            raise DirectoryError(f"this root has the digest {note.digest}, not the {digest} that was compared")
        if root.version != 1:
            raise DirectoryError("the first root must be version 1")
        _require_threshold(note, origin, root)
        return cls(origin, (root,), (raw,))

    def extend(self, raw: bytes) -> "Roots":
        """With root N+1, which must carry the thresholds of N and of N+1 (TUF 5.3.4).

        Raises:
            DirectoryError: not the next version, or a threshold is not met.
        """
        note, root = _root(raw, self.origin)
        if root.version != self.newest.version + 1:
            raise DirectoryError(f"after root {self.newest.version} comes another, not {root.version}")
        _require_threshold(note, self.origin, self.newest)
        _require_threshold(note, self.origin, root)
        return Roots(self.origin, (*self._roots, root), (*self.raws, raw))

    def evidence_verifiers(self) -> list[notes.Verifier]:
        """The evidence keys of the root in force: the current one, and older ones that the officers still trust."""
        keys = self.newest.broker.evidence
        return [notes.Verifier(f"{self.origin}/broker", bytes.fromhex(key)) for key in keys]


def read_directory(raw: bytes, roots: Roots, previous: Phonebook | None) -> Phonebook:
    """The version after `previous` (version 1 after None), verified as a step of the chain.

    An expired version, or one whose root has a successor, is a good step; whether it may be used for sending is
    `require_current`.

    Raises:
        DirectoryError: not the next version, not chained, not well-formed, or the threshold of its root is not met.
    """
    try:
        note = notes.parse(raw, limits.directory_bytes_max)
        notes.require(note, DIRECTORY, roots.origin)
        directory = _read_directory(note.json)
    except ValueError as error:
        raise DirectoryError(str(error)) from None
    number = previous.version + 1 if previous else 1
    if directory.version != number:
        raise DirectoryError(f"this is directory version {directory.version}, where {number} comes next")
    if directory.previous != (previous.digest if previous else None):
        raise DirectoryError(f"directory version {number} does not follow from the version before")
    if previous and directory.root < previous.directory.root:
        raise DirectoryError("a directory may not go back to an older root")
    root = roots.version(directory.root)
    if root is None:
        raise DirectoryError(f"directory version {number} names root {directory.root}, which is not known")
    check_directory(directory)
    _require_threshold(note, roots.origin, root)
    return Phonebook(directory, note.digest, raw)


def require_current(phonebook: Phonebook, roots: Roots, now_ms: int) -> None:
    """Refuse a directory, or root, that may no longer be used for sending. Reading goes on.

    Raises:
        DirectoryError: expired, or signed by officers who no longer are the root's.
    """
    root = roots.newest
    if now_ms >= root.expires:
        raise DirectoryError(f"root version {root.version} has expired: the officers must sign a new one")
    if now_ms >= phonebook.directory.expires:
        raise DirectoryError(f"directory version {phonebook.version} has expired: the officers must sign a new one")
    if phonebook.directory.root != root.version:
        # The newest officers must stand behind it: those of an older root may have been replaced for cause.
        note = notes.parse(phonebook.raw, limits.directory_bytes_max)
        _require_threshold(note, roots.origin, root)


def read_freshness(raw: bytes, roots: Roots, now_ms: int) -> Freshness:
    """What the broker says is the newest version.

    Raises:
        DirectoryError: not signed by the root's freshness key, or expired.
    """
    try:
        note = notes.parse(raw)
        notes.require(note, FRESHNESS, roots.origin)
        key = notes.Verifier(f"{roots.origin}/broker", bytes.fromhex(roots.newest.broker.freshness))
        notes.verify_one(note, [key])
        freshness = _read_freshness(note.json)
    except ValueError as error:
        raise DirectoryError(str(error)) from None
    if freshness.expires - freshness.issued > limits.freshness_lifetime_max_ms:
        raise DirectoryError("this freshness note is made out for too long")
    if now_ms >= freshness.expires:
        raise DirectoryError("the newest freshness note has expired: this may be an old copy of the directory")
    return freshness


def read_request(raw: bytes, origin: str) -> tuple[Request, str]:
    """A request to be admitted and its digest, signed by both of the keys that it names (proof of possession).

    Raises:
        DirectoryError: not well-formed, or not signed by its `sign` and its `auth` key.
    """
    try:
        note = notes.parse(raw)
        notes.require(note, REQUEST, origin)
        request = _read_request(note.json)
        name = f"{origin}/{request.contact_point}"
        keys = [notes.Verifier(name, bytes.fromhex(key)) for key in (request.sign, request.auth)]
        signed = {verifier.public for verifier in notes.verify_any(note, keys)}
    except ValueError as error:
        raise DirectoryError(str(error)) from None
    if len(signed) != 2 or len(note.signatures) != 2:
        raise DirectoryError("a request bears two signatures: by its sign key and by its auth key")
    check_owner(request.contact_point, request.state, request.organisation)
    return request, note.digest


def note_text(kind: str, origin: str, value: Root | Directory | Freshness | Request) -> bytes:
    """The text to sign."""
    return notes.text(kind, origin, wire.encode(value))


def check_owner(id_: str, state: str | None, organisation: str | None) -> None:
    """Refuse a reserved name, and an entry that belongs to neither or both of a State and an organisation.

    Raises:
        DirectoryError: see above.
    """
    if id_.split(".", maxsplit=1)[0] in notes.RESERVED_NAMES:
        raise DirectoryError(f"the name {id_} is reserved")
    if (state is None) == (organisation is None):
        raise DirectoryError(f"{id_} must belong to a State or to an organisation, and to one of them")


def check_root(root: Root) -> None:
    """Refuse a root that no officer should sign, whoever signed it.

    Raises:
        DirectoryError: a name or key stands twice, or a threshold or quorum can never be met, or its times are wrong.
    """
    if len({officer.id for officer in root.officers}) != len(root.officers) or len(
        {officer.key for officer in root.officers}
    ) != len(root.officers):
        raise DirectoryError("an officer, or an officer's key, stands twice in the root")
    if any(not officer.id.startswith("officer.") for officer in root.officers):
        raise DirectoryError("the id of an officer begins with `officer.`")
    if any(not operator.id.startswith("operator.") for operator in root.operators):
        raise DirectoryError("the id of an operator begins with `operator.`")
    for operator in root.operators:
        if operator.roles != tuple(role for role in get_args(Role) if role in operator.roles):
            raise DirectoryError(f"the roles of {operator.id} are not each once in the order of the specification")
    organisations = {officer.organisation for officer in root.officers}
    if root.threshold.keys > len(root.officers) or root.threshold.organisations > len(organisations):
        raise DirectoryError("the threshold can never be met by the officers that the root names")
    if root.quorum > len(root.witnesses):
        raise DirectoryError("the quorum can never be met by the witnesses that the root names")
    uses = [*root.broker.evidence, root.broker.freshness, root.broker.log]
    uses += [officer.key for officer in root.officers] + [operator.key for operator in root.operators]
    uses += [witness.key for witness in root.witnesses]
    if len(set(uses)) != len(uses):
        raise DirectoryError("one key stands for two uses in the root")
    if not root.issued < root.expires <= root.issued + limits.root_lifetime_max_ms:
        raise DirectoryError("the root is made out for too long, or expires before it is issued")


def check_directory(directory: Directory) -> None:
    """Refuse a directory that no officer should sign, whoever signed it.

    Raises:
        DirectoryError: its times, or the order and uniqueness of its entries, keys, routes, treaties and bilateral
            types, are not as they must be.
    """
    if not directory.issued < directory.expires <= directory.issued + limits.directory_lifetime_max_ms:
        raise DirectoryError("the directory is made out for more than 30 days, or expires before it is issued")
    ids = [point.id for point in directory.contact_points]
    if ids != sorted(set(ids)):
        raise DirectoryError("the contact points are not in the order of their ids, each once")
    routes = [(route.type, route.sender, route.recipient) for route in directory.routes]
    if routes != sorted(set(routes)):
        raise DirectoryError("the routes are not in order, each once")
    if any(is_bilateral(route.type) for route in directory.routes):
        raise DirectoryError("a route is for a public type: what begins with `x-` is agreed between two contact points")
    fault = treaties_fault(directory.treaties) or bilateral_fault(directory.bilateral, set(ids))
    if fault is not None:
        raise DirectoryError(fault)
    seen: set[str] = set()
    for point in directory.contact_points:
        check_owner(point.id, point.state, point.organisation)
        keys: tuple[Key | SealKey, ...] = (*point.sign, *point.seal, *point.auth)
        for key in keys:
            if key.key in seen:
                raise DirectoryError(f"a key of {point.id} stands twice in the directory")
            if (key.status == "active") != (key.ended is None):
                raise DirectoryError(f"a key of {point.id} is active and ended, or ended without a time")
            seen.add(key.key)


def missing_signatures(raw: bytes, origin: str, root: Root) -> tuple[int, int]:
    """How many keys and how many organisations a note still needs for the threshold of `root`.

    Raises:
        DirectoryError: a signature of one of the officers does not hold.
    """
    try:
        note = notes.parse(raw, limits.directory_bytes_max)
        keys, organisations = _signers(note, origin, root)
    except notes.NoteError as error:
        raise DirectoryError(str(error)) from None
    return max(0, root.threshold.keys - keys), max(0, root.threshold.organisations - organisations)


def _root(raw: bytes, origin: str) -> tuple[notes.Note, Root]:
    try:
        note = notes.parse(raw, limits.directory_bytes_max)
        notes.require(note, ROOT, origin)
        root = _read_root(note.json)
    except ValueError as error:
        raise DirectoryError(str(error)) from None
    check_root(root)
    return note, root


def _require_threshold(note: notes.Note, origin: str, root: Root) -> None:
    try:
        keys, organisations = _signers(note, origin, root)
    except notes.NoteError as error:
        raise DirectoryError(str(error)) from None
    need = root.threshold
    if keys < need.keys or organisations < need.organisations:
        raise DirectoryError(
            f"signed by {keys} officers of {organisations} organisations; root version {root.version} asks for "
            f"{need.keys} of {need.organisations}"
        )


def _signers(note: notes.Note, origin: str, root: Root) -> tuple[int, int]:
    """How many distinct officers' keys signed, and of how many organisations."""
    officers = {bytes.fromhex(officer.key): officer for officer in root.officers}
    verifiers = [notes.Verifier(f"{origin}/{officer.id}", key) for key, officer in officers.items()]
    signed = [officers[verifier.public] for verifier in notes.verify_any(note, verifiers)]
    return len(signed), len({officer.organisation for officer in signed})
