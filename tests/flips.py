"""One-bit flips in what a broker keeps: each is refused, found, or harmless; none is believed.

`Kept` is a store with a little of everything in it, as a broker left it. `judge` turns one bit of its files, starts the
server, and says what was seen of it; what was seen and told by nobody is an `AssertionError`.
"""

import asyncio
import contextlib
import hashlib
import random
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from log_folder import KEYS, ORIGIN, Log
from structlog.testing import capture_logs

from valija_broker.dead_letters import DeadLetters
from valija_broker.embedded import EmbeddedValkey, find_binary
from valija_broker.errors import BrokerError, CorruptRecord, StoreUnavailable
from valija_broker.evidence import derive, signed_event
from valija_broker.layout import check, library, migrate
from valija_broker.mail import Accepted, Ack, Conflict, Release, Repeat, Submission
from valija_broker.queue import Mailboxes
from valija_broker.reconcile import reconcile
from valija_broker.shelves import CorruptEntry, Directory, DirectoryShelf, Nonces, Outbox, OutboxEntry
from valija_broker.store import Store
from valija_schemas import evidence, message, wire

HERE = Directory(1, "ab" * 32)
CA, CO = "ca.liaison", "co.enlace"
DAY_MS = 86_400_000


def flip(path: Path, bit: int) -> None:
    """Turn one bit of a file."""
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def submission(number: int, to: tuple[str, ...]) -> Submission:
    """A message whose events a ledger can take."""
    now = time.time_ns() // 1_000_000
    body = b"age-encryption.org/v1\n%d" % number
    subject = evidence.Subject(
        id=f"01a20b79-c7db-7c31-9d5e-{number:012x}", message=f"{number:064x}", note="aa" * 32,
        body=hashlib.sha256(body).hexdigest(), body_length=len(body), sender="mx.enlace",
    )  # fmt: skip
    accepted = signed_event(
        ORIGIN,
        "SubmissionAcceptance",
        subject,
        to=to,
        time=now,
        directory=(1, "ab" * 32),
        signer=KEYS.log_signer(ORIGIN),
    )
    return Submission(
        sender=subject.sender, id=subject.id, digest=subject.message, note_digest=subject.note, directory=HERE,
        evidence_key_id="cd" * 8, note=b"valija/message/v1 %d\n" % number, body=body, subject=wire.encode(subject),
        accepted=accepted, priority=number % 3, expires=now + DAY_MS, to=to, salt=bytes([number] * 32), time=now,
    )  # fmt: skip


class Kept:
    """A store in `<path>/valkey` that was stopped, what it was given, and a ledger that holds the first half of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = Log(path)
        self.sent: dict[bytes, Submission] = {}
        self.done: set[tuple[bytes, str]] = set()  #: Shares with a receipt in the store's outbox, or in the ledger.
        self.entries: dict[str, OutboxEntry] = {}  #: Every event that was ever in the outbox.

    async def fill(self) -> None:
        """Some of everything: waiting, lent, given back, dead, acknowledged, recorded, forgotten."""
        async with (
            EmbeddedValkey(self.path) as server,
            Store(server.endpoint) as store,
            Mailboxes(store) as mailboxes,
        ):
            self.endpoint, self.deploy = server.endpoint, server.deploy_endpoint
            outbox = Outbox(store)
            for number in range(4):
                await self._accept(mailboxes, number, (CA, CO) if number % 2 else (CA,))
            await self._receive(mailboxes, CA, 2)
            for entry in await outbox.read(0):
                assert isinstance(entry, OutboxEntry)
                self.entries[entry.id] = entry
            ledger = self.log.ledger()
            ledger.add([derive(entry, ORIGIN) for entry in self.entries.values()])
            await self.log.publisher(ledger).publish()
            ledger.close()
            await outbox.remove(0, list(self.entries))
            for number in range(4, 9):
                await self._accept(mailboxes, number, (CA, CO) if number % 2 else (CO,))
            await self._receive(mailboxes, CO, 2)
            lent = await mailboxes.lease(CA, instance="a", limit=3, lease_ms=60_000, directory=HERE)
            await mailboxes.release(CA, [Release(token=lent[0].token, delay_ms=60_000)], directory=HERE)
            await mailboxes.release(CA, [Release(token=lent[1].token, dead=True, reason="unverified")], directory=HERE)
            await Nonces(store).record("k", "n", 60_000)
            await DirectoryShelf(store).publish_root(1, b"root")
            for entry in await outbox.read(0):
                assert isinstance(entry, OutboxEntry)
                self.entries[entry.id] = entry
        (self.file,) = (self.path / "valkey/appendonlydir").glob("*.incr.aof")
        (self.base,) = (self.path / "valkey/appendonlydir").glob("*.base.rdb")

    async def _accept(self, mailboxes: Mailboxes, number: int, to: tuple[str, ...]) -> None:
        s = submission(number, to)
        assert isinstance(await mailboxes.accept(s), Accepted)
        self.sent[s.subject] = s

    async def _receive(self, mailboxes: Mailboxes, mailbox: str, count: int) -> None:
        for lease in await mailboxes.lease(mailbox, instance="one", limit=count, lease_ms=60_000, directory=HERE):
            about = evidence.read_subject(lease.subject)
            note = evidence.receipt_note(
                ORIGIN, "ConsignmentAcceptance", about, KEYS.log_signer(ORIGIN), recipient=mailbox, time=lease.deadline,
                directory=(1, "ab" * 32), log=message.EMPTY_LOG,
            )  # fmt: skip
            ack = Ack(
                token=lease.token, subject=lease.subject, event="ConsignmentAcceptance", note=note, time=lease.deadline,
                directory=HERE,
            )  # fmt: skip
            assert await mailboxes.acknowledge(mailbox, [ack]) == ["acknowledged"]
            self.done.add((lease.subject, mailbox))

    def bits(self, count: int, dice: random.Random) -> Iterator[int]:
        """`count` bits of the append-only file, spread evenly over what is not the text of the functions.

        That text is most of a small file, and every start loads it again; `code` is a bit in its middle.
        """
        data, text = self.file.read_bytes(), library().code.encode()
        begin, size = data.index(text), len(text)
        self.code = (begin + size // 2) * 8
        for bit in bits((len(data) - size) * 8, count, dice):
            yield bit if bit < begin * 8 else bit + size * 8

    # The store

    @contextlib.asynccontextmanager
    async def server(self) -> AsyncIterator[Store | None]:
        """The server on the folder as it is, by the settings that the broker wrote; None where it does not start."""
        socket = Path(self.endpoint.url.removeprefix("unix://"))
        socket.unlink(missing_ok=True)  # noqa: ASYNC240 - a local folder
        process = await asyncio.create_subprocess_exec(
            str(find_binary()), str(self.path / "valkey/valkey.conf"), stdout=asyncio.subprocess.DEVNULL
        )
        try:
            async with Store(self.deploy) as deploy, Store(self.endpoint) as store:
                deadline = time.monotonic() + 60
                while process.returncode is None:
                    assert time.monotonic() < deadline
                    with contextlib.suppress(StoreUnavailable):
                        if socket.exists() and await deploy.run("PING"):  # noqa: ASYNC240
                            await migrate(deploy, now=1)  # as at every start of the embedded server
                            break
                    await asyncio.sleep(0.002)
                yield None if process.returncode is not None else store
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGKILL)
            await process.wait()

    async def judge(self, path: Path, bit: int | None) -> str:
        """Flip a bit of one of the store's files (or none), start the server, and say what was seen.

        `refused`: it does not start, or says that it is not fit. `told`: something is missing or late, and reconcile,
            an error or a critical line says so. `harmless`: everything was there.
        """
        whole = {file: file.read_bytes() for file in (self.file, self.base)}
        try:
            if bit is not None:
                flip(path, bit)
            with capture_logs() as logs:
                async with self.server() as store:
                    if store is None:
                        return "refused"
                    try:
                        return await self._look(store, logs)
                    except BrokerError:
                        return "refused"
        finally:
            for file, data in whole.items():
                file.write_bytes(data)

    async def _look(self, store: Store, logs: list[dict[str, object]]) -> str:
        await check(store)
        outbox = Outbox(store)
        before = await outbox.read(0, 10_000)
        found = await reconcile(self.log.database, store, [CA, CO], ORIGIN)
        told = bool(found.amiss) or any(isinstance(entry, CorruptEntry) for entry in before)
        held: dict[str, set[bytes]] = {CA: set(), CO: set()}
        async with Mailboxes(store) as mailboxes:
            # A message that is sent again is answered as before, or refused, or is stored as what it is.
            for s in self.sent.values():
                try:
                    again = await mailboxes.accept(s)
                    assert not isinstance(again, Conflict)
                    assert isinstance(again, Accepted) or again == Repeat(first=s.record())
                except CorruptRecord:
                    told = True
            # Whatever is handed out is what was accepted, for whom it was.
            for mailbox in (CA, CO):
                tokens: list[str] = []
                for instance in ("a", "one", "two"):
                    while part := await mailboxes.lease(
                        mailbox, instance=instance, have=tokens, limit=50, lease_ms=60_000, directory=HERE
                    ):
                        for lease in part:
                            s = self.sent[lease.subject]
                            assert (lease.note, lease.body, lease.accepted) == (s.note, s.body, s.accepted)
                            assert mailbox in s.to
                            held[mailbox].add(lease.subject)
                        tokens += [lease.token for lease in part]
                dead = {letter.digest for letter in await DeadLetters(store).of(mailbox)}
                delayed = self._digests(await self._leased(store, mailbox))
                held[mailbox] |= {sub for sub, s in self.sent.items() if s.digest in dead | delayed}
        # Every event that the log would take tells of what was accepted, to whom it concerns.
        for entry in await outbox.read(0, 10_000):
            if isinstance(entry, CorruptEntry):
                told = True
                continue
            row = derive(entry, ORIGIN)
            about = self.sent[entry.subject]
            assert row.sender == about.sender
            assert set(row.parties) <= {about.sender, *about.to}
            if entry.id in self.entries:
                assert entry == self.entries[entry.id]
        told = told or any(line["log_level"] == "critical" for line in logs)
        missing = {
            (subject, to) for subject, s in self.sent.items() for to in s.to if subject not in held[to]
        } - self.done
        again_ = {(subject, to) for to, subjects in held.items() for subject in subjects} & self.done
        assert not missing or told, f"missing in silence: {missing}"
        return "told" if told or missing else "lent again" if again_ else "harmless"

    async def _leased(self, store: Store, mailbox: str) -> list[bytes]:
        rows = await store.run("ZRANGE", f"{{s0}}:l:{mailbox}", 0, -1)
        found = [await store.run("HGET", "{s0}:m:" + row.decode(), "digest") for row in rows]
        return [digest for digest in found if digest]

    @staticmethod
    def _digests(raw: list[bytes]) -> set[str]:
        return {digest.hex() for digest in raw}


def bits(total: int, count: int, dice: random.Random) -> Iterator[int]:
    """`count` of `total` bits, spread evenly, each somewhere in its part."""
    for n in range(count):
        yield dice.randrange(total * n // count, max(total * n // count + 1, total * (n + 1) // count))
