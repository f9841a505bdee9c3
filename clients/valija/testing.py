"""A broker in memory, for the tests of programs that use this client: no network, no store, one process.

It keeps the rules that a client can see: it verifies what it accepts, answers a repeat with the first answer, lends
and lends again, takes receipts, and keeps a feed for each party. `MemoryLine.faults` breaks calls on purpose, before
or after they took effect. It keeps nothing on disk and proves nothing to anybody else.

The promise: a program that works with this broker finds the same answers at a real one.

Before this room: tests. After it: `valija.registry.sample`, which makes the exchange. Rules: SPEC.md section 3.3.
"""

import asyncio
import secrets
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Literal, TypeVar

import msgspec

from valija.client import Client, now_ms
from valija.config import Config
from valija.errors import HeldError, RefusedError, UnavailableError
from valija.registry.sample import SampleExchange
from valija_schemas import api, evidence, leaf, limits, merkle, message, problem, tiles
from valija_schemas import checkpoint as checkpoints
from valija_schemas import note as notes

lease_ms_default: Final = 60 * limits.SECOND_MS
attempts_max_default: Final = 10

T = TypeVar("T")

_HELD_BACK: Final = frozenset({"submit", "lease", "acknowledge", "extend", "release"})

Fault = tuple[str, Literal["before", "after"]]
"""The name of a call, and whether it breaks before it takes effect or after."""


def config_for(exchange: SampleExchange, id_: str, folder: Path, broker: str = "http://127.0.0.1:9") -> Config:
    """A profile for a contact point of a sample exchange, with its state in `folder`. Its keys are in the exchange."""
    return Config(
        exchange=exchange.origin,
        contact_point=id_,
        broker=broker,
        root=exchange.root_digest,
        keyring="",
        state=str(folder / id_),
    )


class _Entry:
    """A message in one mailbox."""

    def __init__(self, digest: str) -> None:
        self.digest: Final = digest
        self.attempt = 0
        self.token: str | None = None
        self.instance = ""
        self.deadline = 0  #: Of the lease.
        self.ready_at = 0


class MemoryBroker:
    """The broker of a sample exchange. `line(id)` is a contact point's connection to it."""

    def __init__(
        self, exchange: SampleExchange, *, clock: Callable[[], int] = now_ms, lease_ms: int = lease_ms_default
    ) -> None:
        self.exchange: Final = exchange
        self.clock: Final = clock
        self.lease_ms = lease_ms
        self.accepted: Final[dict[str, tuple[message.Message, bytes]]] = {}  #: By digest: message and acceptance.
        self.dead: Final[list[tuple[str, str]]] = []  #: Recipient and digest.
        self.receipts: Final[list[evidence.Receipt]] = []
        self.mailboxes: Final[dict[str, list[_Entry]]] = defaultdict(list)
        self.holds: Final[dict[str, bytes]] = {}  #: Contact points that are refused as held, and the note shown for it.
        self.feeds: Final[dict[str, list[api.FeedEvent]]] = defaultdict(list)
        self.leaves: Final[list[bytes]] = []  #: Of the log.
        self._checkpoints: dict[int, bytes] = {}
        self._first: dict[tuple[str, str], str] = {}
        self._rang = asyncio.Event()
        self.learn()

    def line(self, id_: str) -> "MemoryLine":
        """The connection of a contact point; each call is as if it were signed by its `auth` key."""
        return MemoryLine(self, id_)

    def client(self, id_: str, folder: Path, line: "MemoryLine | None" = None) -> Client:
        """A client of a contact point, with its state in `folder`."""
        config = config_for(self.exchange, id_, folder)
        return Client(config, keys=self.exchange.keyrings[id_], line=line or self.line(id_), clock=self.clock)

    def accept(self, raw: bytes) -> bytes:
        """Accept a message, or raise the refusal."""
        origin, phonebook, now = self.exchange.origin, self.exchange.phonebook, self.clock()
        try:
            found = message.read(raw, origin)
            message.check_signature(found.note, found.header, phonebook)
            header = found.header
            first = self._first.get((header.sender, header.id))
            if first == found.digest:
                return self.accepted[first][1]
            message.check_times(header, now)
            if header.directory != phonebook.reference:
                raise message.MessageError("stale-directory", "not the newest directory")
            message.check_body(header, found.body)
            message.check_recipients(header, phonebook, now)
            if first is not None:
                raise message.MessageError("conflict", "this id was used for another message")
        except message.MessageError as error:
            raise RefusedError(problem.of(error.code, time_ms=now, detail=str(error))) from None
        acceptance = self.put(found)
        self._first[header.sender, header.id] = found.digest
        return acceptance

    def put(self, found: message.Message) -> bytes:
        """Queue a message without looking at it, as a broker that is taken over could. Its acceptance."""
        acceptance = notes.sign(
            self._event_text("SubmissionAcceptance", found, tuple(found.header.to)),
            [self.exchange.broker_keys.evidence_signer],
        )
        self.accepted[found.digest] = (found, acceptance)
        self._tell([found.header.sender], acceptance)
        for id_ in found.header.to:
            self.mailboxes[id_].append(_Entry(found.digest))
        self._ring()
        return acceptance

    def lapse(self, id_: str) -> None:
        """Let every lease of a mailbox lapse now."""
        for entry in self.mailboxes[id_]:
            entry.deadline = entry.ready_at = 0

    def lend(self, id_: str, request: api.LeaseRequest) -> list[api.Lent]:
        """Lend what there is, the most urgent first."""
        now = self.clock()
        lent: list[api.Lent] = []

        def urgency(entry: _Entry) -> int:
            return message.PRIORITIES.index(self.accepted[entry.digest][0].header.priority)

        for entry in sorted(self.mailboxes[id_], key=urgency):
            own = entry.token is not None and entry.deadline > now and entry.instance == request.instance
            if len(lent) >= request.limit or entry.token in request.have or entry.ready_at > now:
                continue
            if entry.deadline > now and not own:
                continue
            if not own:
                if entry.attempt >= attempts_max_default:
                    self._bury(id_, entry)
                    continue
                entry.attempt += 1
                entry.token = secrets.token_hex(8)
                if entry.attempt == 1:
                    self._tell_both(id_, entry.digest, self._event(entry.digest, "ContentHandover", id_, None))
            entry.instance, entry.deadline = request.instance, now + self.lease_ms
            found, acceptance = self.accepted[entry.digest]
            lent.append(
                api.Lent(
                    token=entry.token or "",
                    attempt=entry.attempt,
                    deadline=entry.deadline,
                    lease_ms=self.lease_ms,
                    acceptance=acceptance,
                    message=found.raw,
                )
            )
        return lent

    def take(self, id_: str, ack: api.Acknowledgement) -> str:
        """Take a receipt; what became of its token."""
        entry = self._lent(id_, ack.token)
        if entry is None:
            return "gone"
        try:
            note, receipt = evidence.parse_receipt(ack.receipt, self.exchange.origin)
            point = self.exchange.phonebook.point(id_)
            name = f"{self.exchange.origin}/{id_}"
            keys = [bytes.fromhex(key.key) for key in point.sign] if point else []
            notes.verify_one(note, [notes.Verifier(name, key) for key in keys])
            found, _ = self.accepted[entry.digest]
            if evidence.subject_of_receipt(receipt) != evidence.subject_of(found.header, found.note):
                return "refused"
        except ValueError:
            return "refused"
        self.receipts.append(receipt)
        self.mailboxes[id_].remove(entry)
        self._tell_both(id_, entry.digest, ack.receipt)
        return "done"

    def extend(self, id_: str, token: str) -> str:
        """Let a lease last longer."""
        entry = self._lent(id_, token)
        if entry is None or entry.deadline <= self.clock():
            return "gone"
        entry.deadline = self.clock() + self.lease_ms
        return "done"

    def release(self, id_: str, release: api.Release) -> str:
        """Take a lease back."""
        entry = self._lent(id_, release.token)
        if entry is None:
            return "gone"
        entry.token, entry.deadline, entry.ready_at = None, 0, self.clock() + release.delay_ms
        if release.dead:
            self._bury(id_, entry)
        self._ring()
        return "done"

    async def rung(self, wait_ms: int) -> None:
        """Return when something happened, or after `wait_ms`."""
        try:
            async with asyncio.timeout(wait_ms / 1000):
                await self._rang.wait()
        except TimeoutError:
            return

    def _bury(self, id_: str, entry: _Entry) -> None:
        self.mailboxes[id_].remove(entry)
        self.dead.append((id_, entry.digest))
        self._tell_both(id_, entry.digest, self._event(entry.digest, "DeadLettered", id_, "attempts"))

    def _lent(self, id_: str, token: str) -> _Entry | None:
        return next((entry for entry in self.mailboxes[id_] if entry.token == token), None)

    def _event(self, digest: str, event: evidence.BrokerEventName, to: str, reason: str | None) -> bytes:
        return self._event_text(event, self.accepted[digest][0], (to,), reason)

    def _event_text(
        self, event: evidence.BrokerEventName, found: message.Message, to: tuple[str, ...], reason: str | None = None
    ) -> bytes:
        return evidence.event_text(
            self.exchange.origin,
            event,
            evidence.subject_of(found.header, found.note),
            to=to,
            time=self.clock(),
            directory=self.exchange.phonebook.reference,
            reason=reason,
        )

    def _tell_both(self, id_: str, digest: str, event: bytes) -> None:
        self._tell(sorted({id_, self.accepted[digest][0].header.sender}), event)

    def _tell(self, parties: Sequence[str], event: bytes) -> None:
        self.learn()
        salt, index = secrets.token_bytes(leaf.SALT_BYTES), len(self.leaves)
        self.leaves.append(leaf.of_event(salt, event))
        for id_ in parties:
            number = len(self.feeds[id_]) + 1
            self.feeds[id_].append(api.FeedEvent(number=number, event=event, salt=salt, index=index, proof=()))
        self._ring()

    # The log

    def page(self, events: Sequence[api.FeedEvent]) -> api.Feed:
        """Events with their proofs, under a checkpoint over everything."""
        self.learn()
        hashes = self._hashes()
        proved = [
            msgspec.structs.replace(event, proof=tuple(_path(event.index, hashes)))
            if event.index < len(hashes)
            else event
            for event in events
        ]
        return api.Feed(checkpoint=self.checkpoint(), events=tuple(proved))

    def learn(self) -> None:
        """Every root and directory version of the exchange becomes a leaf, once."""
        raws = (*self.exchange.root_raws, *self.exchange.directory_raws)
        found = (leaf.of_directory(notes.parse(raw, limits.directory_bytes_max).digest) for raw in raws)
        self.leaves.extend(entry for entry in found if entry not in self.leaves)

    def checkpoint(self) -> bytes:
        """The newest checkpoint; the same bytes while the log does not grow."""
        size = len(self.leaves)
        if size not in self._checkpoints:
            keys, origin = self.exchange.broker_keys, checkpoints.origin_of(self.exchange.origin)
            head = checkpoints.Head(origin, size, _root(self._hashes()))
            cosigner = checkpoints.MlDsa44Cosigner(origin, keys.log_ml_dsa)
            lines = [
                checkpoints.log_line(keys.log_signer, head),
                checkpoints.cosignature_line(cosigner, head, self.clock() // 1000),
            ]
            self._checkpoints[size] = checkpoints.write(head, lines)
        return self._checkpoints[size]

    def consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        """The proof that the log of `old` leaves is the beginning of that of `new`."""
        if not 0 < old < new <= len(self.leaves):
            raise RefusedError(problem.of("not-found", time_ms=self.clock(), detail="no such sizes"))
        return tuple(_subproof(old, self._hashes()[:new], whole=True))

    def inclusion(self, where: int | str, size: int) -> api.Inclusion:
        """The place of a leaf, by its index or the digest of its version, and the proof in the tree of `size`."""
        index = where if isinstance(where, int) else self._index_of(leaf.of_directory(where))
        if not 0 <= index < size <= len(self.leaves):
            raise RefusedError(problem.of("not-found", time_ms=self.clock(), detail="no such leaf"))
        return api.Inclusion(index=index, proof=tuple(_path(index, self._hashes()[:size])))

    def tile(self, path: str) -> bytes:
        """A tile or bundle of the log of any size up to now."""
        name = tiles.parse_path(path)
        size = name.index * tiles.WIDTH + name.width
        if isinstance(name, tiles.Bundle):
            found = tiles.grow_bundles(0, self.leaves[:size], lambda _: b"").get(name)
        else:
            hashes = self._hashes()[: size << tiles.HEIGHT * name.level]
            found = tiles.grow(0, hashes, lambda _: b"").get(name)
        if found is None:
            raise RefusedError(problem.of("not-found", time_ms=self.clock(), detail=path))
        return found

    def _index_of(self, entry: bytes) -> int:
        return self.leaves.index(entry) if entry in self.leaves else -1

    def _hashes(self) -> list[bytes]:
        return [merkle.leaf_hash(entry) for entry in self.leaves]

    def _ring(self) -> None:
        rang, self._rang = self._rang, asyncio.Event()
        rang.set()


class MemoryLine:
    """What `valija.transport.Transport` is to a real broker."""

    def __init__(self, broker: MemoryBroker, id_: str) -> None:
        self._broker = broker
        self._id = id_
        self.faults: list[Fault] = []  #: Consumed as calls are made.
        self.calls: list[str] = []
        self.down = False

    async def submit(self, raw: bytes) -> bytes:
        """See `Transport.submit`."""
        return self._do("submit", lambda: self._broker.accept(raw))

    async def lease(self, request: api.LeaseRequest) -> tuple[api.Lent, ...]:
        """See `Transport.lease`."""
        found = self._do("lease", lambda: self._broker.lend(self._id, request))
        if not found and request.wait_ms:
            await self._broker.rung(request.wait_ms)
            found = self._do("lease", lambda: self._broker.lend(self._id, request))
        return tuple(found)

    async def acknowledge(self, acks: Sequence[api.Acknowledgement]) -> tuple[api.LeaseResult, ...]:
        """See `Transport.acknowledge`."""
        return self._do(
            "acknowledge", lambda: tuple(_result(ack.token, self._broker.take(self._id, ack)) for ack in acks)
        )

    async def extend(self, tokens: Sequence[str]) -> tuple[api.LeaseResult, ...]:
        """See `Transport.extend`."""
        return self._do(
            "extend", lambda: tuple(_result(token, self._broker.extend(self._id, token)) for token in tokens)
        )

    async def release(self, releases: Sequence[api.Release]) -> tuple[api.LeaseResult, ...]:
        """See `Transport.release`."""
        return self._do(
            "release", lambda: tuple(_result(each.token, self._broker.release(self._id, each)) for each in releases)
        )

    async def events(self, after: int, wait_ms: int) -> api.Feed:
        """See `Transport.events`."""
        found = self._do("events", lambda: self._broker.page(self._broker.feeds[self._id][after:]))
        if not found.events and wait_ms:
            await self._broker.rung(wait_ms)
            found = self._do("events", lambda: self._broker.page(self._broker.feeds[self._id][after:]))
        return found

    async def evidence(self, digest: str) -> api.Feed:
        """See `Transport.evidence`."""
        subject = f'"message":"{digest}"'.encode()
        feed = self._broker.feeds[self._id]
        return self._do("evidence", lambda: self._broker.page([e for e in feed if subject in e.event]))

    async def checkpoint(self) -> bytes:
        """See `Transport.checkpoint`."""
        self._broker.learn()
        return self._do("checkpoint", self._broker.checkpoint)

    async def consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        """See `Transport.consistency`."""
        return self._do("consistency", lambda: self._broker.consistency(old, new))

    async def inclusion(self, leaf: int | str, size: int) -> api.Inclusion:
        """See `Transport.inclusion`."""
        return self._do("inclusion", lambda: self._broker.inclusion(leaf, size))

    async def tile(self, path: str) -> bytes:
        """See `Transport.tile`."""
        return self._do("tile", lambda: self._broker.tile(path))

    async def newest(self) -> api.Newest:
        """See `Transport.newest`."""
        exchange = self._broker.exchange
        self._broker.learn()
        version, digest = exchange.phonebook.reference
        return self._do("newest", lambda: api.Newest(root=exchange.root.version, directory=version, digest=digest))

    async def holds(self) -> tuple[bytes, ...]:
        """See `Transport.holds`."""
        held = self._broker.holds.get(self._id, b"")
        return self._do("holds", lambda: (held,) if held else ())

    async def freshness(self) -> bytes:
        """See `Transport.freshness`."""
        return self._do("freshness", lambda: self._broker.exchange.freshness(now_ms=self._broker.clock()))

    async def root(self, version: int) -> bytes:
        """See `Transport.root`."""
        return self._do("root", lambda: self._broker.exchange.root_raws[version - 1])

    async def directory(self, version: int) -> bytes:
        """See `Transport.directory`."""
        return self._do("directory", lambda: self._broker.exchange.directory_raws[version - 1])

    def _do(self, name: str, work: Callable[[], T]) -> T:
        self.calls.append(name)
        if name in _HELD_BACK and self._id in self._broker.holds:
            raise HeldError(f"{self._id} is held")
        fault = next((fault for fault in self.faults if fault[0] == name), None)
        if fault is not None:
            self.faults.remove(fault)
        if self.down or fault == (name, "before"):
            raise UnavailableError("the line is down")
        done = work()
        if fault is not None:
            raise UnavailableError("the answer was lost")
        return done


def _result(token: str, result: str) -> api.LeaseResult:
    return msgspec.convert({"token": token, "result": result, "deadline": None}, api.LeaseResult)


# The tree, by the definitions of RFC 6962 section 2.1: slow, and short enough to be read.


def _split(size: int) -> int:
    return 1 << (size - 1).bit_length() - 1


def _root(hashes: Sequence[bytes]) -> bytes:
    if len(hashes) < 2:
        return hashes[0] if hashes else merkle.EMPTY_ROOT
    at = _split(len(hashes))
    return merkle.node_hash(_root(hashes[:at]), _root(hashes[at:]))


def _path(index: int, hashes: Sequence[bytes]) -> list[bytes]:
    if len(hashes) == 1:
        return []
    at = _split(len(hashes))
    if index < at:
        return [*_path(index, hashes[:at]), _root(hashes[at:])]
    return [*_path(index - at, hashes[at:]), _root(hashes[:at])]


def _subproof(old: int, hashes: Sequence[bytes], *, whole: bool) -> list[bytes]:
    if old == len(hashes):
        return [] if whole else [_root(hashes)]
    at = _split(len(hashes))
    if old <= at:
        return [*_subproof(old, hashes[:at], whole=whole), _root(hashes[at:])]
    return [*_subproof(old - at, hashes[at:], whole=False), _root(hashes[:at])]
