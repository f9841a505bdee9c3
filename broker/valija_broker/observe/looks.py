"""A look at every part of a broker that runs: what there is, in figures, and what could not be read, in words.

Each part is asked beside the others and within seconds, so that one that does not answer hides nothing of the rest.
What the figures mean is said in `attention`, which is pure.

Before this room: `observer`. After it: `store`, `log.view`, `canary`.
"""

import asyncio
import shutil
import sqlite3
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Final, TypeVar

import aiohttp
import msgspec

from valija_broker import canary
from valija_broker.config import Metrics, Settings
from valija_broker.directory import Known, now_ms
from valija_broker.errors import BrokerError
from valija_broker.log.view import LogView
from valija_broker.queue import keys_of
from valija_broker.shelves import Outbox
from valija_broker.store import Store
from valija_schemas import admin
from valija_schemas import checkpoint as checkpoints
from valija_schemas.checkpoint import Checkpoint, Policy

T = TypeVar("T")

answer_s: Final = 2.0  #: What /readyz may take; it asks the store itself.


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """The store's server."""

    used_bytes: int
    bytes_max: int  #: 0: it has no bound.
    writes: bool  #: Its last write to the append-only file went well.
    ahead_ms: int  #: Its clock before the one here, as far as the time of the answer leaves it open; else 0.
    future_ms: int  #: The newest thing that was done there is dated so far ahead of its own clock.


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """What the outboxes hold."""

    events: int
    oldest: int | None  #: When the first of them happened, in ms.


class Disk(msgspec.Struct, frozen=True, kw_only=True):
    """A disk that must have room."""

    folder: str
    free_bytes: int


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What one look found. None, or empty, where `away` says why."""

    time: int  #: Here, in ms.
    away: dict[str, str]  #: `broker`, `store`, `evidence`, `log`, `disk`: what was said instead of an answer.
    missing: str  #: What the broker says that it lacks; empty when it is ready.
    boxes: tuple[admin.Mailbox, ...]
    stuck: tuple[admin.Mailbox, ...]  #: Those whose mail has waited for `stuck_ms` while nobody holds a lease.
    server: Server | None
    outbox: Waiting | None
    disks: tuple[Disk, ...]
    checkpoint: Checkpoint | None
    policy: Policy | None
    directory: int  #: Version; 0 before the first.
    expires: int | None  #: Of the directory, or of its root where that comes first.
    holds: tuple[tuple[str, int], ...]  #: Contact point and end of each hold in force.
    keyless: tuple[str, ...]  #: Active contact points that have no active key of some use.
    canary: canary.Canary | None
    canary_configured: bool


async def look(
    settings: Settings,
    store: Store,
    known: Known,
    boxes: Callable[[], Awaitable[tuple[admin.Mailbox, ...]]],
    log: LogView,
    stuck_ms: int,
) -> Look:
    """Look at everything."""
    now = now_ms()
    away: dict[str, str] = {}
    directory = known.phonebook.directory if known.ready else None
    points = directory.contact_points if directory else ()
    policy = Policy.of_root(settings.exchange.origin, known.roots.newest) if known.has_root else None
    async with asyncio.TaskGroup() as tasks:
        missing = tasks.create_task(_tried(away, "broker", not_ready(settings.metrics), ""))
        mail = tasks.create_task(_tried(away, "store", _boxes(boxes, store, now - stuck_ms), ((), ())))
        server = tasks.create_task(_tried(away, "store", server_of(store), None))
        outbox = tasks.create_task(_tried(away, "store", _outbox(store), None))
        disks = tasks.create_task(_tried(away, "disk", asyncio.to_thread(_disks, settings.disks), ()))
        checkpoint = tasks.create_task(_tried(away, "log", asyncio.to_thread(_checkpoint, log, policy), None))
        message = tasks.create_task(asyncio.to_thread(_canary, settings.canary_path))
    return Look(
        time=now,
        away=away,
        missing=missing.result(),
        boxes=mail.result()[0],
        stuck=mail.result()[1],
        server=server.result(),
        outbox=outbox.result(),
        disks=disks.result(),
        checkpoint=checkpoint.result(),
        policy=policy,
        directory=known.reference[0],
        expires=min(directory.expires, known.roots.newest.expires) if directory else None,
        holds=tuple((given.hold.contact_point, given.hold.until or 0) for given in known.holds),
        keyless=tuple(
            point.id
            for point in points
            if point.status == "active"
            and not all(any(key.status == "active" for key in keys) for keys in (point.sign, point.seal, point.auth))
        ),
        canary=message.result(),
        canary_configured=settings.canary_path is not None,
    )


async def _tried(away: dict[str, str], part: str, looking: Awaitable[T], otherwise: T) -> T:
    try:
        return await looking
    except (BrokerError, OSError, sqlite3.Error, checkpoints.CheckpointError, aiohttp.ClientError) as error:
        away.setdefault(part, str(error) or type(error).__name__)
        return otherwise


def _canary(path: Path | None) -> canary.Canary | None:
    return canary.read(path) if path else None


async def not_ready(where: Metrics) -> str:
    """What /readyz says is missing; empty when nothing is.

    Raises:
        BrokerError, OSError, aiohttp.ClientError: nobody answers there, or not in time.
    """
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(where.host, where.host)  # noqa: S104 - as the listener has it
    address = f"[{host}]" if ":" in host else host
    timeout = aiohttp.ClientTimeout(total=answer_s)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"http://{address}:{where.port}/readyz") as answer,
        ):
            said = (await answer.content.read(1_000)).decode("utf-8", "backslashreplace").strip()
            return "" if answer.status == 200 else said.removeprefix("not ready: ")
    except TimeoutError:
        raise BrokerError(f"no answer from {address}:{where.port} in {answer_s:.0f} s") from None


async def _boxes(
    looking: Callable[[], Awaitable[tuple[admin.Mailbox, ...]]], store: Store, before: int
) -> tuple[tuple[admin.Mailbox, ...], tuple[admin.Mailbox, ...]]:
    """All mailboxes, and those in which mail of `before` waits while nobody holds a lease."""
    boxes = await looking()
    old = [box for box in boxes if box.oldest is not None and box.oldest < before]
    lent = await _lent(store, [box.id for box in old if box.leased], now_ms())
    return boxes, tuple(box for box in old if box.id not in lent)


async def _lent(store: Store, names: Iterable[str], now: int) -> set[str]:
    """Those of these mailboxes of which somebody holds a lease that has not lapsed.

    A lapsed one stays among the leased until the next worker asks: exactly then nobody does.
    """
    found = set()
    for name in names:
        for shard in range(store.shards):
            (key,) = keys_of(store, shard, name, "l")
            row = await store.run("ZRANGE", key, -1, -1, "WITHSCORES")
            if row and float(row[1]) > now:
                found.add(name)
    return found


async def server_of(store: Store) -> Server:
    """What its server says of itself.

    Raises:
        StoreUnavailable: it could not be reached.
    """
    lines = (await store.run("INFO")).decode("utf-8", "backslashreplace").splitlines()
    info = dict(line.split(":", 1) for line in lines if ":" in line)
    before = now_ms()
    seconds, micros = await store.run("TIME")
    after = now_ms()
    there = int(seconds) * 1000 + int(micros) // 1000
    last = 0
    for shard in range(store.shards):
        (found,) = await store.run("HMGET", f"{store.prefix(shard)}clock", "last")
        last = max(last, int(found) if found and found.isdigit() else 0)
    return Server(
        used_bytes=int(info.get("used_memory", 0)),
        bytes_max=int(info.get("maxmemory", 0)),
        writes=info.get("aof_last_write_status", "ok") == "ok",
        ahead_ms=max(there - after, 0) + min(there - before, 0),
        future_ms=max(last - there, 0),
    )


async def _outbox(store: Store) -> Waiting:
    outbox = Outbox(store)
    first = [await outbox.oldest(shard) for shard in range(store.shards)]
    return Waiting(
        events=await outbox.pending(), oldest=min((time for time in first if time is not None), default=None)
    )


def _disks(folders: Iterable[Path]) -> tuple[Disk, ...]:
    return tuple(Disk(folder=str(folder), free_bytes=shutil.disk_usage(folder).free) for folder in folders)


def _checkpoint(log: LogView, policy: Policy | None) -> Checkpoint | None:
    raw, _ = log.checkpoint()
    return checkpoints.verify_checkpoint(raw, policy) if raw and policy else None
