"""Accepting: how many a second, against a handler that does the least; what it costs, and what changes the cost."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from harness import Peer
from sandbox import Sandbox, free_port

from bench import field
from bench.figures import Aim, Run, benchmark, percentile
from bench.load import Outcome
from bench.log_proofs import timed
from valija_schemas import api
from valija_schemas import note as notes

KINDS = ("worker", "valkey", "upkeep", "supervisor")


@contextmanager
def broker(folder: Path, *, workers: int, points: int = 20) -> Iterator[Sandbox]:
    """A broker that runs within."""
    found = field.sandbox(folder, workers=workers, points=points)
    found.start()
    try:
        yield found
    finally:
        found.stop()


@asynccontextmanager
async def bare(found: Sandbox) -> AsyncIterator[int]:
    """The bare handler, for messages of one contact point; its port."""
    port = free_port()
    public = found.exchange.keyrings["p0000"].sign.public.hex()
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "bench.bare", str(port), public)
    try:
        for _ in range(200):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                break
            except OSError:
                await asyncio.sleep(0.05)
        yield port
    finally:
        process.terminate()
        await process.wait()


class Costs:
    """What each kind of process took for a message, run by run."""

    def __init__(self) -> None:
        self.by_kind: dict[str, list[float]] = {kind: [] for kind in KINDS}

    def note(self, used: dict[str, float], messages: int) -> None:
        for kind in KINDS:
            self.by_kind[kind].append(used[kind] / messages * 1e6)

    def add(self, run: Run, label: str) -> None:
        for kind in ("worker", "valkey", "upkeep"):
            run.add(f"CPU, {kind}, {label}", "us", self.by_kind[kind])


async def submit(
    run: Run, found: Sandbox, batch: field.Batch, costs: Costs | None = None, *, each: int = 1, connections: int = 64,
    seconds: float,
) -> Outcome:  # fmt: skip
    """One run at full load; quiet before it, so that nothing of an earlier run is counted."""
    await field.until_quiet(found)
    work = field.requests(found, batch, each)
    reading = field.Cpu(found)
    outcome = await field.replay(run.folder, f"127.0.0.1:{found.port}", work, connections, seconds=seconds)
    await field.until_quiet(found)  # the log's share belongs to the message
    field.require(outcome, "202" if each == 1 else "200")
    if costs is not None:
        costs.note(reading.read(), each * sum(outcome.statuses.values()))
    return outcome


@benchmark("accept.single")
async def single(run: Run) -> None:
    """One message a request on 64 connections, one worker, in pairs with the bare handler.

    The bare handler is aiohttp, one verification, one digest, one signature, and stores nothing. The load process,
    upkeep and Valkey share the cores with the worker.
    """
    seconds = 4.0 if run.long else 2.0
    for size, most in ((field.SMALL, 4_500), (field.LARGE, 3_500)):
        label = f"{size // 1024} KiB"
        ours, floor, shares, p50, p99 = [], [], [], [], []
        costs = Costs()
        with broker(run.folder / f"x{size}", workers=1) as found:
            async with bare(found) as port:
                for _ in range(5 if run.long or size == field.SMALL else 3):
                    batch = field.messages(found, int(most * seconds), size, senders=1)
                    work = field.requests(found, batch)
                    least = await field.replay(run.folder, f"127.0.0.1:{port}", work, 64, seconds=seconds)
                    field.require(least, "202")
                    outcome = await submit(run, found, batch, costs, seconds=seconds)
                    floor.append(least.counted / least.seconds)
                    ours.append(outcome.counted / outcome.seconds)
                    shares.append(ours[-1] / floor[-1] * 100)
                    p50.append(percentile(outcome.latencies, 0.5) * 1e3)
                    p99.append(percentile(outcome.latencies, 0.99) * 1e3)
        run.add(f"bare handler, {label}", "msg/s", floor)
        run.add(f"broker, one worker, {label}", "msg/s", ours)
        run.add(f"share of the bare handler, {label}", "%", shares, Aim(">=", 70))
        run.add(f"p50, {label}", "ms", p50)
        run.add(f"p99, {label}", "ms", p99)
        costs.add(run, label)


@benchmark("accept.two_workers")
async def two_workers(run: Run) -> None:
    """One message a request on 64 connections, two workers, 2 KiB."""
    costs, rates = Costs(), []
    seconds = 4.0 if run.long else 2.0
    with broker(run.folder / "x", workers=2) as found:
        for _ in range(3):
            batch = field.messages(found, int(4_000 * seconds))
            outcome = await submit(run, found, batch, costs, seconds=seconds)
            rates.append(outcome.counted / outcome.seconds)
    run.add("broker, two workers", "msg/s", rates)
    costs.add(run, "2 KiB")


@benchmark("accept.batch")
async def batches(run: Run) -> None:
    """32 messages a request on 16 connections, 2 KiB, one worker and two."""
    seconds = 4.0 if run.long else 2.0
    for workers in (1, 2):
        rates, own, p50, costs = [], [], [], Costs()
        with broker(run.folder / f"x{workers}", workers=workers) as found:
            floor = crypto_us(found)
            for _ in range(3):
                batch = field.messages(found, int(4_000 * seconds))
                outcome = await submit(run, found, batch, costs, each=32, connections=16, seconds=seconds)
                rates.append(outcome.counted * 32 / outcome.seconds)
                p50.append(percentile(outcome.latencies, 0.5) * 1e3)
            own = [used - floor for used in costs.by_kind["worker"]]
        label = f"{workers} worker(s)"
        run.add(f"in batches of 32, {label}", "msg/s", rates)
        run.add(f"p50 of a batch, {label}", "ms", p50)
        costs.add(run, label)
        run.add(f"CPU of workers beyond verify and sign, {label}", "us/msg", own, Aim("<=", 100))


def crypto_us(found: Sandbox) -> float:
    """What one verification and one signature take now."""
    note, _ = notes.split(field.messages(found, 1, senders=1).messages[0])
    raw, signer = found.exchange.keyrings["p0000"].sign.public, found.exchange.broker_keys.evidence
    signature = note.signatures[0].value
    return timed(lambda: notes.holds(raw, signature, note.text), 1_000) + timed(lambda: signer.sign(note.text), 1_000)


@benchmark("accept.recipients")
async def recipients(run: Run) -> None:
    """One message a request, 2 KiB, to 1 recipient and to 64, in turn; 64 stanzas make a message of about 110 KiB."""
    rates: dict[int, list[float]] = {1: [], 64: []}
    costs = {1: Costs(), 64: Costs()}
    with broker(run.folder / "x", workers=2, points=80) as found:
        for _ in range(3):
            for count, most in ((1, 4_000), (64, 700)):
                batch = field.messages(found, most * 2, recipients=count)
                outcome = await submit(run, found, batch, costs[count], seconds=2.0)
                rates[count].append(outcome.counted / outcome.seconds)
    for count in (1, 64):
        run.add(f"{count} recipient(s)", "msg/s", rates[count])
        costs[count].add(run, f"{count} recipient(s)")


@benchmark("accept.points")
async def points(run: Run) -> None:
    """One message a request, 2 KiB, two workers: a directory of 10 contact points and one of as many as it holds."""
    rates: dict[int, list[float]] = {}
    few, many = 10, 3_000
    with (
        broker(run.folder / "few", workers=2, points=few) as small,
        broker(run.folder / "many", workers=2, points=many) as large,
    ):
        for _ in range(3):
            for count, found in ((few, small), (many, large)):
                outcome = await submit(run, found, field.messages(found, 7_000, senders=8), seconds=2.0)
                rates.setdefault(count, []).append(outcome.counted / outcome.seconds)
        each = len(large.exchange.directory_raws[-1]) / many
        memory = {count: [field.memory_bytes(pid) / 2**20 for pid in found.processes()["worker"]] for count, found in
                  ((few, small), (many, large))}  # fmt: skip
    for count in (few, many):
        run.add(f"{count:,} contact points", "msg/s", rates[count])
        run.add(f"memory of a worker, {count:,} contact points", "MiB", memory[count])
    run.add("directory", "bytes/contact point", each)
    run.say(f"A directory has at most 8 MiB, which is {8 * 2**20 / each:,.0f} contact points: 10,000 cannot be.")


@benchmark("accept.polls")
async def polls(run: Run) -> None:
    """One message a request, 2 KiB, two workers: alone, and while 2,000 long polls of 200 other mailboxes wait."""
    alone, beside, costs_alone, costs_beside = [], [], Costs(), Costs()
    with broker(run.folder / "x", workers=2, points=220) as found:
        for _ in range(3):
            batch = field.messages(found, 7_000)
            outcome = await submit(run, found, batch, costs_alone, seconds=2.0)
            alone.append(outcome.counted / outcome.seconds)
            async with waiting(found, 2_000):
                batch = field.messages(found, 7_000)
                outcome = await submit(run, found, batch, costs_beside, seconds=2.0)
                beside.append(outcome.counted / outcome.seconds)
                memory = [field.memory_bytes(pid) / 2**20 for pid in found.processes()["worker"]]
    run.add("without long polls", "msg/s", alone)
    run.add("with 2,000 long polls", "msg/s", beside)
    run.add("memory of a worker with its share of them", "MiB", memory)
    costs_alone.add(run, "without")
    costs_beside.add(run, "with")


@asynccontextmanager
async def waiting(found: Sandbox, count: int) -> AsyncIterator[None]:
    """So many leases that wait for mail, of mailboxes that get none."""
    names = [point.id for point in found.exchange.phonebook.directory.contact_points][20:]
    writers = []
    for n in range(count):
        peer = Peer(found, names[n % len(names)])
        body = api.encode(api.LeaseRequest(instance=f"i{n}", have=(), limit=1, wait_ms=55_000))
        _, writer = await asyncio.open_connection("127.0.0.1", found.port)
        writer.write(peer.raw("POST", "/v1/leases", peer.signed("POST", "/v1/leases", body), body))
        writers.append(writer)
    await asyncio.sleep(1.0)
    try:
        yield
    finally:
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0.5)
