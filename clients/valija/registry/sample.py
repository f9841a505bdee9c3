"""A whole exchange in one call: officers, root, directory, broker keys and contact points with keyrings.

For tests and demonstrations. Everything is signed as in earnest; only the ceremony is missing, since one process holds
all the keys. The offices are samples and name no person.

Before this room: tests, the demonstration. After it: `core`, `valija.keyring`.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from valija import durable
from valija.keyring import Keyring
from valija.registry import core
from valija_schemas import limits
from valija_schemas import note as notes
from valija_schemas.agreements import Bilateral, Treaty
from valija_schemas.directory import (
    FRESHNESS,
    Area,
    BrokerKeys,
    ContactPoint,
    Directory,
    Freshness,
    Key,
    Officer,
    Operator,
    Phonebook,
    Role,
    Root,
    Roots,
    Route,
    SealKey,
    Threshold,
    note_text,
    read_directory,
)

Point = tuple[str, str, Area]
"""Id, State (two capitals) or organisation, area."""

sample_points: Final[tuple[Point, ...]] = (
    ("mx.enlace", "MX", "law-enforcement"),
    ("ca.liaison", "CA", "law-enforcement"),
    ("co.enlace", "CO", "law-enforcement"),
    ("pe.enlace", "PE", "judicial"),
)
_others: Final[tuple[Role, ...]] = ("observer", "registrar", "auditor")
_organisations: Final = ("Registry of the South", "Registry of the North", "Secretariat")
_age_ms: Final = limits.SECOND_MS  #: The first notes were issued a second ago, so that nothing is from the future.


class SampleBroker:
    """The broker's private keys, each for one use."""

    def __init__(self, origin: str) -> None:
        self.evidence: Final = Ed25519PrivateKey.generate()
        self.freshness: Final = Ed25519PrivateKey.generate()
        self.log: Final = Ed25519PrivateKey.generate()
        self.log_ml_dsa: Final = MLDSA44PrivateKey.generate()
        self.evidence_signer: Final = notes.Ed25519Signer(f"{origin}/broker", self.evidence)
        self.freshness_signer: Final = notes.Ed25519Signer(f"{origin}/broker", self.freshness)
        self.log_signer: Final = notes.Ed25519Signer(f"{origin}/log", self.log)

    def public(self) -> BrokerKeys:
        """As the root names them."""
        return BrokerKeys(
            evidence=(self.evidence_signer.public.hex(),),
            freshness=self.freshness_signer.public.hex(),
            log=self.log_signer.public.hex(),
            log_ml_dsa=self.log_ml_dsa.public_key().public_bytes_raw().hex(),
        )


class SampleExchange:
    """An exchange whose every key is at hand. It grows by `next_directory` and `next_root`."""

    def __init__(self, origin: str, now_ms: int) -> None:
        self.origin: Final = origin
        self.now_ms: Final = now_ms
        self.officers: Final = [
            notes.Ed25519Signer(f"{origin}/officer.{name}", Ed25519PrivateKey.generate()) for name in ("a", "b", "c")
        ]
        #: Of those who work at the broker, by id: `operator.a`, `operator.b`, and one for each other role.
        self.operator_keyrings: Final = {
            f"operator.{name}": Keyring.generate(origin, f"operator.{name}", uses=["operator"], now_ms=now_ms)
            for name in ("a", "b", *_others)
        }
        self.operators: Final = [self.operator_keyrings[f"operator.{name}"].operator for name in ("a", "b")]
        #: Who may look, publish and audit, and act on nothing: `observer`, `registrar`, `auditor`.
        self.others: Final[dict[Role, notes.Ed25519Signer]] = {
            role: self.operator_keyrings[f"operator.{role}"].operator for role in _others
        }
        self.broker_keys: Final = SampleBroker(origin)
        self.keyrings: Final[dict[str, Keyring]] = {}
        self.root_raws: Final[list[bytes]] = []
        self.directory_raws: Final[list[bytes]] = []
        root = core.make_root(
            officers=[
                Officer(id=_who(officer), organisation=organisation, key=officer.public.hex())
                for officer, organisation in zip(self.officers, _organisations, strict=True)
            ],
            threshold=Threshold(keys=2, organisations=2),
            operators=[
                *(Operator(id=_who(one), roles=("operator",), key=one.public.hex()) for one in self.operators),
                *(Operator(id=_who(one), roles=(role,), key=one.public.hex()) for role, one in self.others.items()),
            ],
            broker=self.broker_keys.public(),
            now_ms=now_ms,
        )
        self.root_raws.append(notes.sign(core.root_text(origin, root), self.officers[:2]))
        self.root_digest: Final = notes.parse(self.root_raw, limits.directory_bytes_max).digest
        self.roots: Roots = Roots.first(self.root_raw, origin, self.root_digest)
        self.phonebooks: Final[list[Phonebook]] = []

    @property
    def root_raw(self) -> bytes:
        """Root version 1, the anchor; its digest is `root_digest`."""
        return self.root_raws[0]

    @property
    def root(self) -> Root:
        """The newest root."""
        return self.roots.newest

    @property
    def phonebook(self) -> Phonebook:
        """The newest directory, verified."""
        return self.phonebooks[-1]

    def add_point(self, id_: str, owner: str, area: Area, *, suspended: bool = False) -> ContactPoint:
        """Draw a keyring for a contact point, keep it in `keyrings`, and return the entry for a directory."""
        keyring = Keyring.generate(self.origin, id_, now_ms=self.now_ms)
        self.keyrings[id_] = keyring
        is_state = len(owner) == 2 and owner.isupper()
        return ContactPoint(
            id=id_,
            state=owner if is_state else None,
            organisation=None if is_state else owner,
            name=f"Sample contact point, {owner}, {area}",
            area=area,
            status="suspended" if suspended else "active",
            sign=(Key(key=keyring.sign.public.hex(), status="active", ended=None),),
            seal=(SealKey(key=core.seal_text(keyring.seal.recipient.to_bytes()), status="active", ended=None),),
            auth=(Key(key=keyring.auth.public.hex(), status="active", ended=None),),
        )

    def next_directory(
        self,
        change: Callable[[Directory], Directory] = lambda directory: directory,
        *,
        now_ms: int | None = None,
        days: int = core.directory_days_max,
    ) -> bytes:
        """Sign and append the version that follows; `change` sees the one before and returns what differs.

        Its version, times, root and `previous` are set here, whatever `change` says of them.
        """
        changed = change(self.phonebook.directory)
        return self._append(changed, now_ms, days)

    def next_root(
        self, change: Callable[[Root], Root] = lambda root: root, *, officers: Sequence[notes.Signer] | None = None
    ) -> bytes:
        """Sign (by all of `officers`, or the first two) and append the root that follows, version set here."""
        changed = msgspec.structs.replace(change(self.root), version=self.root.version + 1)
        raw = notes.sign(core.root_text(self.origin, changed), officers or self.officers[:2])
        self.roots = self.roots.extend(raw)
        self.root_raws.append(raw)
        return raw

    def freshness(self, *, now_ms: int | None = None, lifetime_ms: int = limits.freshness_lifetime_max_ms) -> bytes:
        """The broker's note that the newest directory is the newest."""
        issued = now_ms if now_ms is not None else self.now_ms
        value = Freshness(
            version=self.phonebook.version,
            digest=self.phonebook.digest,
            root=self.root.version,
            issued=issued,
            expires=issued + lifetime_ms,
        )
        return notes.sign(note_text(FRESHNESS, self.origin, value), [self.broker_keys.freshness_signer])

    def publish(self, folder: Path) -> None:
        """Write every `root.N.note` and `directory.N.note` into `folder`, as `valija-registry publish` does."""
        folder.mkdir(parents=True, exist_ok=True)
        for kind, raws in (("root", self.root_raws), ("directory", self.directory_raws)):
            for number, raw in enumerate(raws, start=1):
                durable.write(folder / f"{kind}.{number}.note", raw, replace=True)

    def first_directory(
        self,
        points: Sequence[ContactPoint],
        routes: Sequence[Route],
        treaties: Sequence[Treaty] = (),
        bilateral: Sequence[Bilateral] = (),
    ) -> bytes:
        """Sign and append version 1."""
        said = Directory(
            version=1,
            issued=0,
            expires=0,
            root=1,
            previous=None,
            contact_points=tuple(points),
            routes=tuple(routes),
            treaties=tuple(treaties),
            bilateral=tuple(bilateral),
        )
        return self._append(said, None, core.directory_days_max)

    def _append(self, said: Directory, now_ms: int | None, days: int) -> bytes:
        previous = self.phonebooks[-1] if self.phonebooks else None
        text = core.next_directory(
            previous,
            self.root,
            said.contact_points,
            said.routes,
            now_ms if now_ms is not None else self.now_ms,
            origin=self.origin,
            treaties=said.treaties,
            bilateral=said.bilateral,
            days=days,
        )
        raw = notes.sign(text, self.officers[:2])
        self.phonebooks.append(read_directory(raw, self.roots, previous))
        self.directory_raws.append(raw)
        return raw


def sample_exchange(
    origin: str = "exchange.example",
    points: Sequence[Point] = sample_points,
    suspended: Sequence[str] = ("pe.enlace",),
    now_ms: int | None = None,
    routes: Sequence[Route] | None = None,
    treaties: Sequence[Treaty] = (),
    bilateral: Sequence[Bilateral] = (),
) -> SampleExchange:
    """An exchange with three officers of three organisations (two of two sign), a broker and `points`, at version 1.

    `now_ms` is when its notes were issued: a second ago unless given. Without `routes` it has the default ones.
    """
    issued = now_ms if now_ms is not None else time.time_ns() // 1_000_000 - _age_ms
    exchange = SampleExchange(origin, issued)
    entries = [exchange.add_point(id_, owner, area, suspended=id_ in suspended) for id_, owner, area in points]
    exchange.first_directory(entries, core.default_routes() if routes is None else routes, treaties, bilateral)
    return exchange


def _who(signer: notes.Ed25519Signer) -> str:
    return signer.name.split("/", maxsplit=1)[1]
