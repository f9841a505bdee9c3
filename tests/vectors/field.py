"""One exchange with fixed keys, from which every vector is made. The keys guard nothing.

All of it is the same each time, but for what cryptography draws itself: the encapsulations of the seal and the
ML-DSA-44 signatures. `Recorded` keeps those; with `draw` they are drawn again, and every vector still means what it
meant.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from valija import age
from valija.seal import WARNING, inner, padded_length
from valija_schemas import age_header, limits, wire
from valija_schemas import directory as directories
from valija_schemas import message as messages
from valija_schemas import note as notes

ORIGIN: Final = "exchange.example"
NOW: Final = 1_795_488_861_000  #: The clock of most cases.
SENT: Final = NOW - 1_000
DAY: Final = limits.DAY_MS
ID: Final = "01a20b79-c7db-7c31-9d5e-2b1f6a0c4d87"
DOCUMENT: Final = json.dumps(
    {
        "language": "en",
        "authority": {
            "name": "Sample office",
            "country": "MX",
            "functions": "sample",
            "officer": "Sample officer 7",
            "phone": "+12025550107",
            "email": None,
            "working_hours": None,
            "time_zone": None,
            "duty_line": None,
        },
        "reference": "SAMPLE-1",
        "request_reference": "SAMPLE/0001/2026",
        "handling": {"use": ["H1"], "text": None, "purpose": "sample", "retain_until": None, "consent_contact": None},
        "outcome": "not-held",
        "reasons": "Nothing is held.",
        "refusal_ground": None,
        "answers": [],
        "items_provided": [],
        "items_outstanding": [],
        "further_questions": [],
        "conditions_of_use": None,
        "expected": None,
    },
    separators=(",", ":"),
).encode()
_RECORDED: Final = Path(__file__).with_name("recorded.json")
FILE_KEY: Final = hashlib.sha256(b"valija vectors, file key").digest()[:16]


class Recorded:
    """What cannot be made twice, by name and by what it was made of."""

    def __init__(self, *, draw: bool = False) -> None:
        self._kept: dict[str, str] = {} if draw else json.loads(_RECORDED.read_bytes())
        self._used: dict[str, str] = {}

    def __call__(self, name: str, of: bytes, make: Callable[[], bytes]) -> bytes:
        """What was recorded under `name` for the input `of`, or a new one."""
        key = f"{name} {hashlib.sha256(of).hexdigest()[:16]}"
        if key not in self._used:
            self._used[key] = self._kept.get(key) or base64.b64encode(make()).decode()
        return base64.b64decode(self._used[key])

    def save(self) -> None:
        """Keep what this run used, and nothing else."""
        _RECORDED.write_text(json.dumps(self._used, indent=1, sort_keys=True) + "\n")


def seed(name: str) -> bytes:
    """32 bytes that are the same each time."""
    return hashlib.sha256(f"valija vectors, {name}".encode()).digest()


def signer(who: str, key: str = "") -> notes.Ed25519Signer:
    """The key of `who` for notes; `key` names another one than the first."""
    return notes.Ed25519Signer(f"{ORIGIN}/{who}", Ed25519PrivateKey.from_private_bytes(seed(f"{who} {key or 'sign'}")))


def public(who: str, key: str = "") -> str:
    """The public half of `signer`, in hex."""
    return signer(who, key).public.hex()


@cache
def seal_identity(who: str, key: str = "") -> age.SealIdentity:
    """The seal key of `who`."""
    return age.SealIdentity(seed(f"{who} {key or 'seal'}"))


def seal_id(who: str, key: str = "") -> str:
    """The id of the seal key of `who`."""
    return seal_identity(who, key).recipient.key_id


def ml_dsa() -> MLDSA44PrivateKey:
    """The log's ML-DSA-44 key."""
    return MLDSA44PrivateKey.from_seed_bytes(seed("log ml-dsa-44"))


OFFICERS: Final = ("officer.a", "officer.b", "officer.c")
ORGANISATIONS: Final = ("Registry of the South", "Registry of the North", "Secretariat")
WITNESSES: Final = ("witness.example/w1", "witness.example/w2")


def witness(name: str) -> notes.Ed25519Signer:
    """The key of a witness."""
    return notes.Ed25519Signer(name, Ed25519PrivateKey.from_private_bytes(seed(name)))


def root(**changes: Any) -> directories.Root:
    """Root 1: two of three officers, of two organisations; two operators, and an auditor who looks at queues too; two
    witnesses, of whom one is enough."""
    value = directories.Root(
        version=1,
        issued=NOW - 40 * DAY,
        expires=NOW + 300 * DAY,
        officers=tuple(
            directories.Officer(id=id_, organisation=organisation, key=public(id_))
            for id_, organisation in zip(OFFICERS, ORGANISATIONS, strict=True)
        ),
        threshold=directories.Threshold(keys=2, organisations=2),
        operators=(
            directories.Operator(id="operator.a", roles=("operator",), key=public("operator.a")),
            directories.Operator(id="operator.b", roles=("observer", "operator"), key=public("operator.b")),
            directories.Operator(id="operator.c", roles=("observer", "auditor"), key=public("operator.c")),
        ),
        broker=directories.BrokerKeys(
            evidence=(public("broker", "evidence"),),
            freshness=public("broker", "freshness"),
            log=public("log"),
            log_ml_dsa=ml_dsa().public_key().public_bytes_raw().hex(),
        ),
        witnesses=tuple(directories.Witness(name=name, key=witness(name).public.hex()) for name in WITNESSES),
        quorum=1,
    )
    return msgspec.structs.replace(value, **changes)


def signed(kind: str, value: Any, *who: str | notes.Ed25519Signer, origin: str = ORIGIN) -> bytes:
    """A note over `value`, or over the JSON line that it is, signed by `who` in order."""
    json_line = value if isinstance(value, bytes) else wire.encode(value)
    signers = [signer(one) if isinstance(one, str) else one for one in who]
    return notes.sign(notes.text(kind, origin, json_line), signers)


def root_note(value: directories.Root, *who: str | notes.Ed25519Signer) -> bytes:
    """A root signed by `who`, or by the first two officers."""
    return signed(directories.ROOT, value, *(who or OFFICERS[:2]))


ROOT_1: Final = root_note(root())
ANCHOR: Final = notes.parse(ROOT_1, limits.directory_bytes_max).digest


def ed_key(who: str, key: str = "", status: str = "active", ended: int | None = None) -> directories.Key:
    """An Ed25519 key of an entry."""
    return directories.Key(key=public(who, key), status=status, ended=ended)  # type: ignore[arg-type]


def seal_key(who: str, key: str = "", status: str = "active", ended: int | None = None) -> directories.SealKey:
    """A seal key of an entry."""
    text = base64.b64encode(seal_identity(who, key).recipient.to_bytes()).decode()
    return directories.SealKey(key=text, status=status, ended=ended)  # type: ignore[arg-type]


def point(id_: str, owner: str = "MX", area: str = "law-enforcement", **changes: Any) -> directories.ContactPoint:
    """An entry with one active key for each use."""
    value = directories.ContactPoint(
        id=id_,
        state=owner if len(owner) == 2 else None,
        organisation=None if len(owner) == 2 else owner,
        name=f"Sample contact point {id_}",
        area=area,  # type: ignore[arg-type]
        status="active",
        sign=(ed_key(id_),),
        seal=(seal_key(id_),),
        auth=(ed_key(id_, "auth"),),
    )
    return msgspec.structs.replace(value, **changes)


_ROUTES: Final = tuple(
    directories.Route(type="response/1", sender="law-enforcement", recipient=recipient)  # type: ignore[arg-type]
    for recipient in ("judicial", "law-enforcement")
)


def directory(**changes: Any) -> directories.Directory:
    """Directory 1: the sender with a key of each status, recipients of each status, two routes."""
    sender = (
        ed_key("mx.enlace"),
        ed_key("mx.enlace", "retired", "retired", SENT - 1),
        ed_key("mx.enlace", "retired later", "retired", SENT + 1),
        ed_key("mx.enlace", "revoked", "revoked", SENT + 1),
    )
    seals = (
        seal_key("ca.liaison"),
        seal_key("ca.liaison", "retired", "retired", NOW - 7 * DAY + 1),
        seal_key("ca.liaison", "retired long ago", "retired", NOW - 7 * DAY),
    )
    value = directories.Directory(
        version=1,
        issued=NOW - 20 * DAY,
        expires=NOW + 10 * DAY,
        root=1,
        previous=None,
        contact_points=(
            point("ca.liaison", "CA", seal=seals),
            point("co.enlace", "CO", "judicial"),
            point("mx.enlace", sign=sender),
            point("oas.ssm", "OAS", "administrative"),
            point("pe.enlace", "PE", status="suspended"),
            point("uy.enlace", "UY", status="withdrawn"),
        ),
        routes=_ROUTES,
        treaties=(),
        bilateral=(),
    )
    return msgspec.structs.replace(value, **changes)


def directory_note(value: directories.Directory, *who: str | notes.Ed25519Signer) -> bytes:
    """A directory signed by `who`, or by the first two officers."""
    return signed(directories.DIRECTORY, value, *(who or OFFICERS[:2]))


def digest(raw: bytes) -> str:
    """The digest of a note."""
    return notes.parse(raw, limits.directory_bytes_max).digest


DIRECTORY_1: Final = directory_note(directory())
REFERENCE: Final = (1, digest(DIRECTORY_1))
CHAIN: Final = {"origin": ORIGIN, "anchor": ANCHOR, "held": [ROOT_1, DIRECTORY_1]}


def small_directory(**changes: Any) -> directories.Directory:
    """Directory 1 of another line of versions, with one entry, for cases about the chain alone."""
    return directory(contact_points=(point("mx.enlace"),), **changes)


def header(to: tuple[str, ...] = ("ca.liaison", "co.enlace"), **changes: Any) -> messages.Header:
    """The header of a message from `mx.enlace`, as it stands inside the seal."""
    value = messages.Header(
        id=ID,
        sender="mx.enlace",
        to={who: seal_id(who) for who in sorted(to)},
        type="response/1",
        thread=ID,
        in_reply_to=None,
        sent=SENT,
        expires=SENT + 7 * DAY,
        priority="urgent",
        exercise=True,
        directory=REFERENCE,
        log=messages.EMPTY_LOG,
        body=None,
        body_length=0,
        attachments=(),
    )
    return msgspec.structs.replace(value, **changes)


class Sealer:
    """Writes age files with one file key, so that only the stanzas are drawn, once for each seal key."""

    def __init__(self, recorded: Recorded) -> None:
        self._recorded = recorded

    def stanza(self, identity: age.SealIdentity, file_key: bytes = FILE_KEY) -> age_header.Stanza:
        """The stanza for one key."""

        def draw() -> bytes:
            made = identity.recipient.wrap(file_key)
            return age_header.sealed_enc(made) + made.body

        kept = self._recorded("stanza", identity.recipient.to_bytes() + file_key, draw)
        enc = age_header.encode_base64(kept[: age_header.sealed_enc_bytes]).decode()
        return age_header.Stanza(age_header.sealed_kind, (enc,), kept[age_header.sealed_enc_bytes :])

    def file(self, stanzas: list[age_header.Stanza], plaintext: bytes, *, mac_key: bytes = FILE_KEY) -> bytes:
        """An age file; `mac_key` is another file key where the MAC is to be false."""
        covered = age_header.write_stanzas(stanzas)
        mac = hmac.digest(_derive(mac_key, None, b"header"), covered, hashlib.sha256)
        return covered + age_header.write_mac(mac) + payload(plaintext)

    def body(self, head: messages.Header, document: bytes = DOCUMENT) -> bytes:
        """A body sealed for everybody in `to` under the keys that it names."""
        return self.file(self.stanzas(head), framed(head, document))

    def stanzas(self, head: messages.Header) -> list[age_header.Stanza]:
        """A stanza for each of `to`, in order."""
        known = {seal_id(who, key): seal_identity(who, key) for who, key in _SEALS}
        return [self.stanza(known[key_id]) for key_id in head.to.values()]


_SEALS: Final = (
    *(("ca.liaison", key) for key in ("", "retired", "retired long ago")),
    *((who, "") for who in ("co.enlace", "mx.enlace", "oas.ssm", "pe.enlace", "uy.enlace", "nobody")),
)


def framed(head: messages.Header, document: bytes = DOCUMENT, warning: bytes = WARNING) -> bytes:
    """What stands inside the seal, padded."""
    lines = b"\n".join([wire.encode(inner(head)), warning, document])
    return lines.ljust(padded_length(len(lines)))


def payload(plaintext: bytes, last: bytes = b"\x01") -> bytes:
    """The payload of an age file of one chunk."""
    nonce = hashlib.sha256(plaintext).digest()[:16]
    cipher = ChaCha20Poly1305(_derive(FILE_KEY, nonce, b"payload"))
    return nonce + cipher.encrypt(bytes(11) + last, plaintext, None)


def naming(head: messages.Header, body: bytes) -> messages.Header:
    """The header of the note that goes with `body`."""
    return msgspec.structs.replace(head, body=hashlib.sha256(body).hexdigest(), body_length=len(body))


def message_note(head: messages.Header, body: bytes, who: notes.Ed25519Signer | None = None) -> bytes:
    """The note of a message over `body`, signed by its sender's first key unless by `who`."""
    return signed(messages.KIND, naming(head, body), who or signer(head.sender))


def _derive(key: bytes, salt: bytes | None, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(key)
