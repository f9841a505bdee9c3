"""What waits in Valkey: its memory, and whether a long queue costs more than a short one."""

import asyncio
import hashlib
import statistics
import time
import uuid
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import redis.asyncio

from bench import field
from bench.figures import Aim, Run, benchmark
from valija_broker import embedded
from valija_broker.embedded import EmbeddedValkey
from valija_broker.mail import Ack, Limits, Submission
from valija_broker.queue import Mailboxes
from valija_broker.shelves import Directory
from valija_broker.store import Store
from valija_schemas import evidence, message, wire
from valija_schemas import note as notes

HERE = Directory(1, "ab" * 32)
MAILBOX = "ca.liaison"
ROOM = Limits(
    pair_quota_messages=100_000_000, pair_quota_bytes=1 << 50, sender_quota_bytes=1 << 50,
    outbox_events_max=100_000_000, submit_per_minute_max=1_000_000_000,
)  # fmt: skip


@asynccontextmanager
async def store(folder: Path) -> AsyncIterator[tuple[Mailboxes, redis.asyncio.Redis]]:
    """Mailboxes on a Valkey of their own, and a client that may do everything."""
    lines = embedded.acl_lines
    embedded.acl_lines = lambda hashes: [*lines(hashes), "admin on nopass ~* &* +@all"]
    try:
        async with (
            EmbeddedValkey(folder, maxmemory_bytes=12 << 30) as server,
            Store(server.endpoint) as found,
            Mailboxes(found, limits=ROOM) as mailboxes,
            redis.asyncio.Redis(
                unix_socket_path=server.endpoint.url.removeprefix("unix://"), username="admin", password="any",
                protocol=2,
            ) as admin,
        ):  # fmt: skip
            yield mailboxes, admin
    finally:
        embedded.acl_lines = lines


async def fill(mailboxes: Mailboxes, submissions: Iterable[Submission]) -> None:
    """Accept all of these at the same time.

    Raises:
        RuntimeError: one was refused: what is measured would not be what is said.
    """
    answers = await asyncio.gather(*map(mailboxes.accept, submissions))
    if refused := {type(answer).__name__ for answer in answers} - {"Accepted"}:
        raise RuntimeError(f"not accepted: {refused}")


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def small(number: int) -> Submission:
    """A message of a few bytes, for queues that are long and not large."""
    digest = hashlib.sha256(b"%d" % number).hexdigest()
    return Submission(
        sender="mx.enlace", id=str(uuid.uuid4()), digest=digest, note_digest=digest, directory=HERE,
        evidence_key_id="cd" * 32, note=b"note", body=b"body", subject=b"%d" % number, accepted=b"yes", priority=2,
        expires=now_ms() + 7 * 86_400_000, to=(MAILBOX,), salt=bytes(32), time=now_ms(),
    )  # fmt: skip


@benchmark("queue.bytes")
async def bytes_a_message(run: Run) -> None:
    """Growth of Valkey's `used_memory` for whole messages as the broker stores them, with the events removed.

    A deduplication record is what is left when they were acknowledged: key, value, expiry and its share of the tables.
    """
    found = field.sandbox(run.folder / "x")
    for size, count in ((field.SMALL, 10_000), (field.LARGE, 2_000)):
        label = f"{size // 1024} KiB"
        made = [submission(data, found.exchange.origin) for data in field.messages(found, count, size).messages]
        async with store(run.folder / f"v{size}") as (mailboxes, admin):
            before = await used(admin)
            for at in range(0, count, 500):
                await fill(mailboxes, made[at : at + 500])
            await admin.xtrim("{s0}:outbox", maxlen=0, approximate=False)
            queued = await used(admin) - before
            for to in {s.to[0] for s in made}:
                while lent := await mailboxes.lease(to, instance="i", limit=64, lease_ms=60_000, directory=HERE):
                    await mailboxes.acknowledge(
                        to,
                        [
                            Ack(token=x.token, subject=x.subject, event="ConsignmentAcceptance", note=b"r",
                                time=now_ms(), directory=HERE)
                            for x in lent
                        ],
                    )  # fmt: skip
            await admin.xtrim("{s0}:outbox", maxlen=0, approximate=False)
            left = await used(admin) - before
        bytes_in = statistics.mean(len(s.note) + len(s.body) for s in made)
        run.add(f"message as it is submitted, {label}", "bytes", bytes_in)
        run.add(f"queued, with its record, {label}", "bytes/message", queued / count)
        run.add(f"of that the deduplication record, {label}", "bytes/message", left / count)
        run.add(f"queued : submitted, {label}", "times", (queued - left) / count / bytes_in, Aim("<=", 1.3))


def submission(data: bytes, origin: str) -> Submission:
    """What `accept` hands to the queue for these bytes."""
    note, body = notes.split(data)
    header = message.read_note(note, origin)
    subject = wire.encode(evidence.subject_of(header, note))
    return Submission(
        sender=header.sender, id=header.id, digest=note.digest, note_digest=note.raw_digest, directory=HERE,
        evidence_key_id="cd" * 32, note=note.raw, body=body, subject=subject, accepted=subject + bytes(400),
        priority=2, expires=header.expires, to=tuple(header.to), salt=bytes(32), time=now_ms(),
    )  # fmt: skip


async def used(admin: redis.asyncio.Redis) -> int:
    await asyncio.sleep(0.3)  # what is freed in the background
    return int((await admin.info("memory"))["used_memory"])


@benchmark("queue.depth")
async def depth(run: Run) -> None:
    """The Lua functions called directly, small messages, one caller: with 1,000 waiting in the mailbox, then with many.

    Each run is the median of 200 calls: accept one, then lend one and acknowledge it. `lend 64` is 20 calls.
    """
    many = 1_000_000 if run.long else 50_000
    async with store(run.folder / "v") as (mailboxes, admin):
        filled = 0
        for size in (1_000, many):
            while filled < size:
                part = min(4_000, size - filled)
                await fill(mailboxes, [small(filled + n) for n in range(part)])
                filled += part
                await admin.xtrim("{s0}:outbox", maxlen=0, approximate=False)
            times: dict[str, list[float]] = {"accept": [], "lend": [], "acknowledge": [], "lend 64": []}
            for _ in range(3):
                for name, every in (await work(mailboxes, filled)).items():
                    times[name].append(every)
                await admin.xtrim("{s0}:outbox", maxlen=0, approximate=False)
            for name, every in times.items():
                run.add(f"{name}, {size:,} waiting", "ms", every)
            run.add(f"used_memory, {size:,} waiting", "MiB", await used(admin) / 2**20)


async def work(mailboxes: Mailboxes, number: int) -> dict[str, float]:
    """Medians of one run, in ms; as many wait after it as before."""
    times: dict[str, list[float]] = {"accept": [], "lend": [], "acknowledge": [], "lend 64": []}

    async def lend(limit: int, name: str) -> list[str]:
        began = time.perf_counter()
        lent = await mailboxes.lease(MAILBOX, instance=uuid.uuid4().hex, limit=limit, lease_ms=60_000, directory=HERE)
        times[name].append(time.perf_counter() - began)
        acks = [
            Ack(token=x.token, subject=x.subject, event="ConsignmentAcceptance", note=b"r", time=now_ms(),
                directory=HERE)
            for x in lent
        ]  # fmt: skip
        began = time.perf_counter()
        answers = await mailboxes.acknowledge(MAILBOX, acks)
        if set(answers) != {"acknowledged"}:
            raise RuntimeError(f"acknowledged: {set(answers)}")
        if limit == 1:
            times["acknowledge"].append(time.perf_counter() - began)
        return answers

    for _ in range(200):
        began = time.perf_counter()
        await fill(mailboxes, [small(number)])
        times["accept"].append(time.perf_counter() - began)
        await lend(1, "lend")
    for _ in range(20):
        answers = await lend(64, "lend 64")
        await fill(mailboxes, [small(number) for _ in answers])
    return {name: statistics.median(every) * 1e3 for name, every in times.items()}
