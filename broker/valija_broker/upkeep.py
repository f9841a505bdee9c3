"""Upkeep: the one process that publishes the directory, records evidence, expires mail and counts queues.

`python -m valija_broker.upkeep SETTINGS`. Each duty is a loop of its own that survives the store being away; the
whole may be killed at any time, since every duty does the same after a restart as on any day: it looks at what is
there and does what is missing.

Before this room: `supervisor`. After it: `directory`, `evidence`, `queue`.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import sqlite3
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Final

import structlog

from valija_broker import metrics, process
from valija_broker.app import queue_limits
from valija_broker.config import Settings
from valija_broker.directory import Known, freshness_note, freshness_renewed_ms, now_ms, publish_folder
from valija_broker.errors import BadConfig, BrokerError
from valija_broker.evidence import EvidenceWriter, Row, derive
from valija_broker.keys import Keys
from valija_broker.queue import Directory, DirectoryShelf, Mailboxes, Outbox
from valija_broker.store import Store, check
from valija_broker.wake import Waker
from valija_schemas import note as notes

_log: Final = structlog.get_logger("upkeep")

publish_every_s: Final = 0.5  #: A published file is in every worker within two seconds.
expire_every_s: Final = 1.0
count_every_s: Final = 5.0
recall_ms: Final = 5_000  #: A worker that has not taken the version yet may lend for a second longer.
drain_batch: Final = 500  #: Events in one transaction.
pause_s: Final = 1.0  #: After a failure.


class Upkeep:
    """The duties."""

    def __init__(
        self,
        *,
        settings: Settings,
        store: Store,
        mailboxes: Mailboxes,
        waker: Waker,
        writer: EvidenceWriter,
        freshness: notes.Signer,
    ) -> None:
        self._settings = settings
        self._store = store
        self._mailboxes = mailboxes
        self._waker = waker
        self._writer = writer
        self._freshness = freshness
        self._outbox = Outbox(store)
        self._shelf = DirectoryShelf(store)
        self._known = Known(settings.exchange.origin, settings.exchange.anchor, self._shelf)
        self._freshness_due_ms = 0
        self._recall_until_ms = 0
        self._reported: set[tuple[int, str]] = set()

    async def run(self) -> None:
        """All duties, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._repeat("publish", self.publish, publish_every_s))
            tasks.create_task(self._repeat("expire", self.expire, expire_every_s))
            tasks.create_task(self._repeat("count", self.count, count_every_s))
            tasks.create_task(self._drain())

    async def publish(self) -> None:
        """Take what the registry authority published, and say once an hour, signed, what is newest."""
        before = self._known.reference
        await self._known.refresh()
        await publish_folder(self._settings.directory_path, self._known, self._shelf)
        if not self._known.ready:
            return
        if self._known.reference != before:
            self._freshness_due_ms = 0
            self._recall_until_ms = now_ms() + recall_ms
        if now_ms() < self._recall_until_ms:
            await self._recall_suspended()
        if now_ms() >= self._freshness_due_ms:
            await self._shelf.set_freshness(freshness_note(self._known, self._freshness, now_ms()))
            self._freshness_due_ms = now_ms() + freshness_renewed_ms
        metrics.directory.set(self._known.reference[0])
        metrics.directory_expires.set(self._known.phonebook.directory.expires / 1000)

    async def _recall_suspended(self) -> None:
        """Open leases of suspended contact points end, uncounted: their keys may be in other hands."""
        for point in self._known.phonebook.directory.contact_points:
            if point.status != "active":
                await self._mailboxes.recall(point.id)

    async def expire(self) -> None:
        """Settle mail that nobody took in time, with a ContentHandoverFailure for each recipient."""
        if not self._known.ready:
            return
        points = self._known.phonebook.directory.contact_points
        reasons = {point.id: point.status for point in points if point.status != "active"}
        metrics.expired.inc(await self._mailboxes.expire(directory=Directory(*self._known.reference), reasons=reasons))

    async def count(self) -> None:
        """The depths of the queues, for operators."""
        metrics.outbox.set(await self._outbox.pending())
        if not self._known.ready:
            return
        now = now_ms()
        depths = await self._mailboxes.depths([p.id for p in self._known.phonebook.directory.contact_points])
        for mailbox, depth in depths.items():
            metrics.queued.labels(mailbox, "ready").set(depth.ready)
            metrics.queued.labels(mailbox, "leased").set(depth.leased)
            metrics.queued.labels(mailbox, "dead").set(depth.dead)
            metrics.oldest.labels(mailbox).set(max(0, now - depth.oldest) / 1000 if depth.oldest else 0)

    async def drain(self, shard: int) -> int:
        """Move what waits in one outbox into the evidence store; say how many events.

        An entry that cannot be read stays where it is, loudly, and the ones behind it are recorded all the same.
        """
        moved, after = 0, ""
        while entries := await self._outbox.read(shard, drain_batch, after=after):
            after = entries[-1].id
            rows: list[Row] = []
            done: list[str] = []
            for entry in entries:
                try:
                    rows.append(derive(entry, self._settings.exchange.origin))
                    done.append(entry.id)
                except ValueError as error:
                    self._unreadable(shard, entry.id, str(error))
            if not done:
                continue
            parties = await asyncio.to_thread(self._writer.add, rows)
            # A crash here: the events are recorded and still in the outbox; they come again and change nothing.
            await self._outbox.remove(shard, done)
            for row in rows:
                metrics.events.labels(row.name).inc()
            for party in parties:
                await self._waker.publish("e", party)
            moved += len(done)
        return moved

    def _unreadable(self, shard: int, entry: str, error: str) -> None:
        if (shard, entry) not in self._reported:  # once: it is met again at every look
            self._reported.add((shard, entry))
            metrics.unreadable.inc()
            _log.critical("outbox_entry_unreadable", shard=shard, entry=entry, error=error)

    async def _drain(self) -> None:
        with self._waker.outbox() as bell:
            while True:
                try:
                    moved = [await self.drain(shard) for shard in range(self._store.shards)]
                except BrokerError as error:
                    _log.warning("outbox_not_drained", error=str(error))
                    await asyncio.sleep(pause_s)
                    continue
                if not any(moved):
                    await bell.wait(pause_s)

    async def _repeat(self, name: str, duty: Callable[[], Awaitable[None]], every_s: float) -> None:
        while True:
            try:
                await duty()
            except BrokerError as error:
                _log.warning("duty_failed", duty=name, error=str(error))
            await asyncio.sleep(every_s)


async def serve(settings: Settings, writer: EvidenceWriter, keys: Keys) -> None:
    """Do the duties until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with (
        Store(process.endpoint(settings), shards=settings.store.shards, replicas=settings.store.replicas) as store,
        Waker(store) as waker,
        Mailboxes(store, limits=queue_limits(settings)) as mailboxes,
    ):
        _, warnings = await check(store)
        for warning in warnings:
            _log.warning("store", warning=warning)
        upkeep = Upkeep(
            settings=settings,
            store=store,
            mailboxes=mailboxes,
            waker=waker,
            writer=writer,
            freshness=keys.freshness(settings.exchange.origin),
        )
        running = asyncio.create_task(upkeep.run())
        stopping = asyncio.create_task(stop.wait())
        process.say_ready()
        _log.info("upkeep_ready")
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            stopping.cancel()
            await running  # a mistake of ours, or the evidence store: the supervisor starts again
        await process.end(running)


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold the lock that makes this the only upkeep of the data folder. It goes with the process, however that ends.

    Raises:
        BadConfig: another one holds it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise BadConfig(f"{path} is locked: another upkeep works on this data folder") from None
    try:
        yield
    finally:
        os.close(descriptor)


def main(arguments: list[str]) -> int:
    """Run upkeep. Exit status 0 after SIGTERM, 1 when it failed: the supervisor starts it again."""
    status = 0
    try:
        settings = process.begin(arguments)
        with (
            alone(settings.data_path / "upkeep.lock"),
            contextlib.closing(EvidenceWriter(settings.evidence_path)) as writer,
        ):
            asyncio.run(serve(settings, writer, Keys.load(settings.keys_path)))
    except* (BrokerError, sqlite3.Error) as errors:
        _log.error("upkeep_ended", error=str(errors.exceptions[0]))
        status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
