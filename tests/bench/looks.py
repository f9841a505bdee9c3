"""What operators see, and what it costs the broker that they look."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import redis.asyncio
from sandbox import free_port

from bench import accepts, field, queues
from bench.figures import Aim, Run, benchmark
from valija.registry.sample import SampleExchange
from valija_broker import config
from valija_broker.directory import Known, publish_folder
from valija_broker.embedded import running_endpoint
from valija_broker.mail import Release
from valija_broker.observe.observer import watching
from valija_broker.queue import Mailboxes
from valija_broker.shelves import DirectoryShelf
from valija_broker.store import Store

LOOKS = 20


@benchmark("observe.looks")
async def looks(run: Run) -> None:
    """Overview, health, mailboxes and dead letters of `observe.Live`, over a store in which mail waits.

    20 looks each, one after the other, nothing kept from the one before, while nobody else asks the store; no evidence
    database and no broker beside it.
    `store` is the CPU time of the server for a look.
    """
    for points, many in ((200, 1_000_000 if run.long else 50_000), (3_000, 30_000)):
        label = f"{points:,} contact points, {many:,} waiting"
        folder = run.folder / f"v{points}"
        exchange = field.exchange_of(points)
        async with queues.store(folder) as (mailboxes, admin):
            await fill(mailboxes, admin, points, many)
            settings = await published(folder, exchange)
            async with watching(settings) as live:
                live.boxes_kept = 0
                for name, look in (("overview", live.overview), ("health", live.health), ("mailboxes", live.mailboxes)):
                    times, store = await timed(look, admin)
                    aim = Aim("<=", 50) if (name, points) == ("overview", 200) else None
                    run.add(f"{name}, {label}", "ms", times, aim)
                    run.add(f"{name}, store, {label}", "ms", store)
                run.add(f"overview in JSON, {label}", "bytes", len(msgspec.json.encode(await live.overview())))
                run.add(f"mailboxes in JSON, {label}", "bytes", len(msgspec.json.encode(await live.mailboxes())))
                await bury(mailboxes)
                times, store = await timed(live.dead, admin)
                run.add(f"dead, 2,000 letters, {label}", "ms", times)
                run.add(f"dead, store, {label}", "ms", store)


@benchmark("observe.accept")
async def accepting(run: Run) -> None:
    """One message a request, 2 KiB, two workers, 200 contact points: nobody looks, or an overview a second.

    Whoever looks is a process of its own, as the console is. In turn, so that both have the same machine.
    """
    seconds, rates, costs = 4.0, {"nobody looks": [], "an overview a second": []}, accepts.Costs()
    with accepts.broker(run.folder / "x", workers=2, points=200) as found:
        for _ in range(6):
            for label, rate in rates.items():
                batch = field.messages(found, int(4_000 * seconds))
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "bench.looks", str(found.config_path), str(label != "nobody looks")
                )
                try:
                    outcome = await accepts.submit(run, found, batch, costs, seconds=seconds)
                finally:
                    process.terminate()
                    await process.wait()
                rate.append(outcome.counted / outcome.seconds)
    for label, rate in rates.items():
        run.add(f"accepted, {label}", "msg/s", rate)
    shares = [watched / quiet * 100 for quiet, watched in zip(*rates.values(), strict=True)]
    run.add("of the rate is left beside an overview a second, by pairs", "%", shares, Aim(">=", 95))


async def published(folder: Path, exchange: SampleExchange) -> config.Settings:
    """Settings of a broker over the store in `folder`, which has the directory of `exchange` now."""
    settings = config.Settings(
        exchange=config.Exchange(origin=exchange.origin, root_digest=exchange.root_digest),
        data=str(folder),
        metrics=config.Metrics(port=free_port()),
    )
    exchange.publish(settings.directory_path)
    async with Store(running_endpoint(folder)) as store:
        shelf = DirectoryShelf(store)
        await publish_folder(settings.directory_path, Known(exchange.origin, exchange.root_digest, shelf), shelf)
    return settings


async def fill(mailboxes: Mailboxes, admin: redis.asyncio.Redis, points: int, many: int) -> None:
    """So many messages, spread over all mailboxes."""
    for at in range(0, many, 4_000):
        made = [
            msgspec.structs.replace(queues.small(n), to=(f"p{n % points:04}",))
            for n in range(at, min(at + 4_000, many))
        ]
        await queues.fill(mailboxes, made)
        await admin.xtrim("{s0}:outbox", maxlen=0, approximate=False)


async def bury(mailboxes: Mailboxes) -> None:
    """2,000 dead letters, in as many mailboxes as it takes."""
    left, number = 2_000, 0
    while left:
        to = f"p{number:04}"
        lent = await mailboxes.lease(
            to, instance="one", limit=min(64, left), lease_ms=60_000, directory=queues.HERE, have=()
        )
        releases = [Release(token=lease.token, dead=True, reason="attempts") for lease in lent]
        await mailboxes.release(to, releases, directory=queues.HERE)
        left, number = left - len(lent), number + (len(lent) < 64)


async def timed(look: Callable[[], Awaitable[object]], admin: redis.asyncio.Redis) -> tuple[list[float], list[float]]:
    """How long each look took, and the store's part of it, in ms."""
    times, shares = [], []
    for _ in range(LOOKS):
        before, began = await _cpu_s(admin), time.perf_counter()
        await look()
        times.append((time.perf_counter() - began) * 1e3)
        shares.append((await _cpu_s(admin) - before) * 1e3)
    return times, shares


async def _cpu_s(admin: redis.asyncio.Redis) -> float:
    used = await admin.info("cpu")
    return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])


async def poll(path: Path, looking: bool) -> None:
    """An overview a second, or none, until it is ended."""
    async with watching(config.load(path)) as live:
        while True:
            if looking:
                await live.overview()
            await asyncio.sleep(1.0)


if __name__ == "__main__":
    asyncio.run(poll(Path(sys.argv[1]), sys.argv[2] == "True"))
