"""The log under load: rows a second, from acceptance to proof, and what it costs those who submit."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Iterator

from harness import Peer, facts
from log_folder import Log, rows
from sandbox import Sandbox

from bench import field
from bench.figures import Aim, Run, benchmark, percentile


@benchmark("log.rows")
async def ledger_and_tiles(run: Run) -> None:
    """The ledger and the publisher alone, in one process, with small events.

    Transactions of 2,000 events, each committed, signed, derived into tiles and synced.
    """
    count, batch = (40_000, 2_000) if run.long else (10_000, 2_000)
    both, ledgers = [], []
    for repetition in range(3):
        log = Log(run.folder / str(repetition))
        log.path.mkdir()
        made = rows(0, count)
        ledger = log.ledger()
        publisher = log.publisher(ledger)
        began, adding = time.perf_counter(), 0.0
        for at in range(0, count, batch):
            before = time.perf_counter()
            ledger.add(made[at : at + batch])
            adding += time.perf_counter() - before
            await publisher.publish()
        both.append(count / (time.perf_counter() - began))
        ledgers.append(count / adding)
        ledger.close()
    run.add("ledger and tiles", "events/s", both, Aim(">=", 10_000))
    run.add("of that the transaction alone", "events/s", ledgers)


@benchmark("log.drain")
async def drain(run: Run) -> None:
    """The acceptances of 2 KiB messages, from a real outbox in a real Valkey to the public checkpoint.

    Upkeep of a running broker is stopped while the messages are accepted. Then it goes on, and the time counts until
    the checkpoint covers them all.
    """
    count = 20_000 if run.long else 5_000
    rates, cpu = [], []
    found = field.sandbox(run.folder / "x")
    found.start()
    try:
        for _ in range(3):
            batch = field.messages(found, count)
            before = await field.until_quiet(found)
            with stopped(found):
                outcome = await field.replay(
                    run.folder, f"127.0.0.1:{found.port}", field.requests(found, batch), 64, seconds=120
                )
            field.require(outcome, "202")
            reading, began = field.Cpu(found), time.monotonic()
            took = await field.until_logged(found, before + count) - began
            used = reading.read()
            rates.append(count / took)
            cpu.append((used["upkeep"] / count * 1e6, used["valkey"] / count * 1e6))
    finally:
        found.stop()
    run.add("from the outbox to the public checkpoint", "events/s", rates, Aim(">=", 10_000))
    run.add("CPU of upkeep", "us/event", [upkeep for upkeep, _ in cpu])
    run.add("CPU of Valkey", "us/event", [valkey for _, valkey in cpu])


@benchmark("log.proof_after")
async def acceptance_to_proof(run: Run) -> None:
    """The time from the 202 until the sender's feed with the event and its proof was read, at 500 messages a second.

    A process of its own submits messages of 2 KiB over HTTP on 64 connections; each of the 8 senders waits on its feed
    with a long poll.
    """
    rate, seconds = 500, 60 if run.long else 20
    found = field.sandbox(run.folder / "x")
    found.start()
    try:
        batch = field.messages(found, rate * seconds)
        work = field.requests(found, batch)
        seen: dict[str, float] = {}
        watchers = [asyncio.create_task(watch(found, who, seen)) for who in sorted(set(batch.senders))]
        await field.until_quiet(found)
        reading = field.Cpu(found)
        outcome = await field.replay(run.folder, f"127.0.0.1:{found.port}", work, 64, rate=rate, seconds=seconds)
        used = reading.read()
        field.require(outcome, "202")
        deadline = time.monotonic() + 60
        while len(seen) < len(outcome.answered) and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        for watcher in watchers:
            watcher.cancel()
        await asyncio.gather(*watchers, return_exceptions=True)
    finally:
        found.stop()
    missing = [n for n in outcome.answered if batch.digests[n] not in seen]
    if missing:
        raise RuntimeError(f"{len(missing)} messages had no proof a minute after the last one")
    waits = [max(0.0, seen[batch.digests[n]] - at) for n, at in outcome.answered.items()]
    run.add("messages proved", "", len(waits))
    for name, share, aim in (
        ("p50", 0.5, None),
        ("p95", 0.95, None),
        ("p99", 0.99, Aim("<=", 1.0)),
        ("slowest", 1, None),
    ):
        run.add(f"from 202 to proof, {name}", "s", percentile(waits, share), aim)
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        run.add(f"from request to 202, {name}", "ms", percentile(outcome.latencies, share) * 1e3)
    for kind in ("worker", "upkeep", "valkey"):
        run.add(f"CPU, {kind}", "cores", used[kind] / seconds)
    run.say(f"The last request was sent {outcome.late * 1e3:.0f} ms late.")


async def watch(found: Sandbox, who: str, seen: dict[str, float]) -> None:
    """Read a feed for ever; note when each message's acceptance was there."""
    async with Peer(found, who) as peer:
        after = 0
        while True:
            events = await peer.events(after, wait_ms=20_000)
            now = time.monotonic()
            for event in events:
                after = event.number
                seen.setdefault(facts(event.event)["message"], now)


@benchmark("log.cost")
async def cost(run: Run) -> None:
    """Single submissions of 2 KiB at full load over 64 connections, with the log off and on, in pairs.

    Off: upkeep is stopped (SIGSTOP), so that events only gather in the outbox. With one worker and with two; the load
    process, Valkey and upkeep share the cores with them.
    """
    pairs, seconds = (5, 4.0) if run.long else (3, 2.0)
    for workers in (1, 2):
        found = field.sandbox(run.folder / f"x{workers}", workers=workers)
        found.start()
        try:
            off, on = [], []
            for number in range(pairs):
                order = (True, False) if number % 2 else (False, True)
                for log in order:
                    batch = field.messages(found, int(4_000 * seconds))
                    await field.until_quiet(found)
                    with contextlib.nullcontext() if log else stopped(found):
                        outcome = await field.replay(
                            run.folder, f"127.0.0.1:{found.port}", field.requests(found, batch), 64, seconds=seconds
                        )
                    field.require(outcome, "202")
                    (on if log else off).append(outcome.counted / outcome.seconds)
        finally:
            found.stop()
        run.add(f"accepted, log off, {workers} worker(s)", "msg/s", off)
        run.add(f"accepted, log on, {workers} worker(s)", "msg/s", on)
        lost = [(1 - b / a) * 100 for a, b in zip(off, on, strict=True)]
        run.add(f"lost to the log, {workers} worker(s)", "%", lost, Aim("<=", 10))


@contextlib.contextmanager
def stopped(found: Sandbox) -> Iterator[None]:
    """Upkeep neither drains nor publishes within."""
    (upkeep,) = found.processes()["upkeep"]
    os.kill(upkeep, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(upkeep, signal.SIGCONT)
