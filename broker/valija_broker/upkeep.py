"""Upkeep: the one process that publishes the directory, records evidence, publishes the log, expires mail and counts.

`python -m valija_broker.upkeep SETTINGS`. Each duty is a loop of its own that survives the store being away; the
whole may be killed at any time, since every duty does the same after a restart as on any day: it looks at what is
there and does what is missing.

Before this room: `supervisor`. After it: `directory`, `evidence`, `log`, `queue`.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Final

import structlog

from valija_broker import metrics, process, store_age
from valija_broker.app import queue_limits
from valija_broker.config import Settings
from valija_broker.dead_letters import DeadLetters
from valija_broker.directory import Known, freshness_note, freshness_renewed_ms, now_ms, publish_folder
from valija_broker.errors import BadConfig, BrokerError, LogDiverged, LogError, StoreIsOld
from valija_broker.evidence import Row, Version, derive
from valija_broker.holds import Holds
from valija_broker.keys import Keys
from valija_broker.layout import check
from valija_broker.log.ledger import Ledger
from valija_broker.log.opening import make_publisher, open_ledger
from valija_broker.log.publish import Publisher
from valija_broker.log.retain import BEGIN, Position, Retention
from valija_broker.log.versions import Versions
from valija_broker.orders import Acted, Orders, make_folder
from valija_broker.queue import Mailboxes
from valija_broker.shelves import Directory, DirectoryShelf, Outbox
from valija_broker.store import Store
from valija_broker.wake import Waker
from valija_schemas import limits, order
from valija_schemas import note as notes

_log: Final = structlog.get_logger("upkeep")

publish_every_s: Final = 0.5  #: A published file is in every worker within two seconds.
expire_every_s: Final = 1.0
count_every_s: Final = 5.0
orders_every_s: Final = 0.5  #: A person waits for the answer.
erase_every_s: Final = 3_600.0
recall_ms: Final = 5_000  #: A worker that has not taken the version yet may lend for a second longer.
drain_batch: Final = 2_000  #: Events in one transaction, of all shards together.
checkpoint_every_s: Final = 0.25  #: Under load; the first event after a pause is published at once.
diverged_status: Final = 3  #: Exit status when a person has to decide about the log.
pause_s: Final = 1.0  #: After a failure.
witness_again_first_s: Final = 1.0  #: A witness that was away is asked again; the pause doubles while it stays away.
witness_again_max_s: Final = 60.0  #: A checkpoint is complete a minute after its witness came back, at the latest.


class Upkeep:
    """The duties."""

    def __init__(
        self,
        *,
        settings: Settings,
        store: Store,
        mailboxes: Mailboxes,
        waker: Waker,
        ledger: Ledger,
        publisher: Publisher,
        known: Known,
        freshness: notes.Signer,
        epoch: int = 0,
    ) -> None:
        self._settings = settings
        self._epoch = epoch
        self._store = store
        self._mailboxes = mailboxes
        self._waker = waker
        self._ledger = ledger
        self._publisher = publisher
        self._freshness = freshness
        self._outbox = Outbox(store)
        self._shelf = DirectoryShelf(store)
        self._known = known
        self._retention = Retention(ledger, settings.exchange.origin)
        self._holds = Holds(database=settings.evidence_path, known=known, shelf=self._shelf, commit=self._commit)
        self._orders = Orders(
            folder=settings.orders_path,
            database=settings.evidence_path,
            known=known,
            letters=DeadLetters(store),
            commit=self._commit,
            retention=self._retention,
            holds=self._holds,
            keep=self._keep,
        )
        self._committing: list[tuple[Row, asyncio.Future[None]]] = []
        self._new_versions = Versions(known, self._is_logged)
        self._versions: list[Version] = []  # learned, and not in the log as far as this process knows
        self._grown: set[str] = set()  # parties who have not been woken yet
        self._freshness_due_ms = 0
        self._recall_until_ms = 0
        self._writing = asyncio.Lock()  # one thread at a time in the ledger, one publication at a time
        self._reported: set[tuple[int, str]] = set()

    async def run(self) -> None:
        """All duties, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._repeat("publish", self.publish, publish_every_s))
            tasks.create_task(self._repeat("expire", self.expire, expire_every_s))
            tasks.create_task(self._repeat("count", self.count, count_every_s))
            tasks.create_task(self._repeat("orders", self._orders.carry_out, orders_every_s))
            tasks.create_task(self._repeat("erase", self.erase, erase_every_s))
            tasks.create_task(self._drain())
            tasks.create_task(self._complete())

    async def publish(self) -> None:
        """Take what the registry authority published, and say once an hour, signed, what is newest."""
        before, held = self._known.reference, self._known.holds
        # First of all, so that a worker that finds a directory in a new store finds the holds there as well.
        await self._holds.show()
        await self._known.refresh()
        await publish_folder(self._settings.directory_path, self._known, self._shelf)
        if self._known.ready:
            if self._known.reference != before:
                self._freshness_due_ms = 0
            if (self._known.reference, self._known.holds) != (before, held):
                self._recall_until_ms = now_ms() + recall_ms
            if now_ms() < self._recall_until_ms:
                await self._recall()
            if now_ms() >= self._freshness_due_ms:
                await self._shelf.set_freshness(freshness_note(self._known, self._freshness, now_ms()))
                self._freshness_due_ms = now_ms() + freshness_renewed_ms
            metrics.directory.set(self._known.reference[0])
            metrics.directory_expires.set(self._known.phonebook.directory.expires / 1000)
        found = await self._new_versions.learn()  # last: it may wait for a witness
        self._versions += found

    async def _is_logged(self, version: Version) -> bool:
        async with self._writing:
            return await asyncio.to_thread(self._ledger.has, version)

    async def _recall(self) -> None:
        """Open leases of suspended or held contact points end, uncounted: their keys may be in other hands."""
        for point in self._known.phonebook.directory.contact_points:
            if not self._known.is_active(point.id):
                await self._mailboxes.recall(point.id)

    async def expire(self) -> None:
        """Settle mail that nobody took in time, with a ContentHandoverFailure for each recipient."""
        if not self._known.ready:
            return
        points = self._known.phonebook.directory.contact_points
        reasons: dict[str, str] = {found.hold.contact_point: "held" for found in self._known.holds}
        reasons |= {point.id: point.status for point in points if point.status != "active"}
        metrics.expired.inc(await self._mailboxes.expire(directory=Directory(*self._known.reference), reasons=reasons))

    async def count(self) -> None:
        """The depths of the queues, for operators. A store that was exchanged for an older copy ends the process."""
        await store_age.require_current(self._store, self._settings.evidence_path)
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

    async def drain(self) -> int:
        """Move what waits in the outboxes into the log, publish it, and remove it; say how many events.

        An entry that cannot be read stays where it is, loudly, and the ones behind it are recorded all the same.
        """
        async with self._writing:
            return await self._move()

    async def _move(self) -> int:
        done: dict[int, list[str]] = {}
        after: dict[int, str] = {}
        names: list[str] = []
        until = time.monotonic() + checkpoint_every_s
        more = True
        while more and time.monotonic() < until:
            rows, more = await self._next_rows(done, after)
            versions, self._versions = self._versions, []
            committing, self._committing = self._committing, []
            rows = [*(row for row, _ in committing), *rows]
            if rows or versions:
                # Between its commit and the end of this function a crash leaves events in the log and in the outbox;
                # they come again, are known by their ids, and are published and removed then.
                added = await asyncio.to_thread(
                    self._ledger.add, [*versions, *rows], read_to=dict(after), epoch=self._epoch
                )
                self._grown |= added.parties
                names += [row.name for row in rows]
            for _, committed in committing:
                committed.set_result(None)
        await self._publisher.publish()
        for shard, ids in done.items():
            await self._outbox.remove(shard, ids)
        for name in names:
            metrics.events.labels(name).inc()
        await self._wake_readers()
        return len(names)

    async def _wake_readers(self) -> None:
        while self._grown:
            await self._waker.publish("e", self._grown.pop())

    async def _commit(self, row: Row) -> None:
        """Return once `row` is in the ledger. `drain` writes it: one task alone uses the ledger."""
        committed = asyncio.get_running_loop().create_future()
        self._committing.append((row, committed))
        await committed

    async def erase(self) -> None:
        """Erase the openings that are older than `retain_days`, in bounded steps, until none is due."""
        days = self._settings.log.retain_days
        now = now_ms()
        after: Position | None = BEGIN
        while after is not None:
            async with self._writing:
                # A crash after its commit leaves an erasure that is not published, and bytes in the WAL: the next start
                # publishes it and begins here.
                step = await asyncio.to_thread(
                    self._retention.erase,
                    before=now - days * limits.DAY_MS,
                    now=now,
                    reason=f"retain_days {days}",
                    after=after,
                )
                await self._publisher.publish()
            metrics.erased.inc(step.erased)
            after = step.after
        await self._truncate_wal()

    async def _keep(self, work: Callable[[], Acted]) -> int:
        """Let an order hold, release or erase openings; how many it erased."""
        async with self._writing:
            # A crash after its commit leaves an order that is done and not published: the next start publishes it, and
            # the note, which still waits, is answered.
            erased, added = await asyncio.to_thread(work)
            self._grown |= added.parties
            await self._publisher.publish()
            metrics.events.labels(order.EVENT).inc(min(added.rows, 1))
            await self._wake_readers()
        metrics.erased.inc(erased)
        if erased:
            await self._truncate_wal()
        return erased

    async def _truncate_wal(self) -> None:
        async with self._writing:
            if not await asyncio.to_thread(self._ledger.truncate_wal):
                _log.warning("wal_not_truncated")

    async def _next_rows(self, done: dict[int, list[str]], after: dict[int, str]) -> tuple[list[Row], bool]:
        """The next batch of all shards behind `after`, its ids noted in `done`; and whether there may be more."""
        count = max(1, drain_batch // self._store.shards)
        rows: list[Row] = []
        more = False
        for shard in range(self._store.shards):
            entries = await self._outbox.read(shard, count, after=after.get(shard, ""))
            more = more or len(entries) == count
            for entry in entries:
                after[shard] = entry.id
                try:
                    rows.append(derive(entry, self._settings.exchange.origin))
                    done.setdefault(shard, []).append(entry.id)
                except ValueError as error:
                    self._unreadable(shard, entry.id, str(error))
        return rows, more

    def _unreadable(self, shard: int, entry: str, error: str) -> None:
        if (shard, entry) not in self._reported:  # once: it is met again at every look
            self._reported.add((shard, entry))
            metrics.unreadable.inc()
            _log.critical("outbox_entry_unreadable", shard=shard, entry=entry, error=error)

    async def _drain(self) -> None:
        with self._waker.outbox() as bell:
            while True:
                began = time.monotonic()
                try:
                    moved = await self.drain()
                except LogError:
                    raise  # what this process believes of the log may be wrong: the next one looks again
                except BrokerError as error:
                    _log.warning("outbox_not_drained", error=str(error))
                    await asyncio.sleep(pause_s)
                    continue
                if moved:
                    await asyncio.sleep(max(0.0, began + checkpoint_every_s - time.monotonic()))
                else:
                    await bell.wait(pause_s)

    async def _complete(self) -> None:
        """Ask absent witnesses again. A new event asks all of them as well, without waiting for this."""
        pause = witness_again_first_s
        while True:
            await asyncio.sleep(pause)
            complete = await self._publisher.complete()
            pause = witness_again_first_s if complete else min(witness_again_max_s, pause * 2)

    async def _repeat(self, name: str, duty: Callable[[], Awaitable[None]], every_s: float) -> None:
        while True:
            try:
                await duty()
            except (LogError, StoreIsOld):
                raise
            except BrokerError as error:
                _log.warning("duty_failed", duty=name, error=str(error))
            await asyncio.sleep(every_s)


async def serve(settings: Settings, ledger: Ledger, keys: Keys) -> None:
    """Do the duties until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with (
        Store(process.endpoint(settings), shards=settings.store.shards, replicas=settings.store.replicas) as store,
        Waker(store) as waker,
        Mailboxes(store, limits=queue_limits(settings)) as mailboxes,
    ):
        layout, warnings = await check(store)
        await store_age.require_current(store, settings.evidence_path)
        for warning in warnings:
            _log.warning("store", warning=warning)
        origin = settings.exchange.origin
        known = Known(origin, settings.exchange.anchor, DirectoryShelf(store))
        make_folder(settings.orders_path)
        publisher = make_publisher(settings, ledger, keys, known)
        await asyncio.to_thread(publisher.check)
        await known.refresh()
        await publisher.complete()
        await publisher.publish()  # what an earlier process committed and did not come to publish
        upkeep = Upkeep(
            settings=settings,
            store=store,
            mailboxes=mailboxes,
            waker=waker,
            ledger=ledger,
            publisher=publisher,
            known=known,
            freshness=keys.freshness(origin),
            epoch=layout.epoch,
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
    """Run upkeep. Exit status 0 after SIGTERM, 1 when it failed, 3 when the log needs a person."""
    status = 0
    try:
        settings = process.begin(arguments)
        keys = Keys.load(settings.keys_path)
        with (
            alone(settings.data_path / "upkeep.lock"),
            contextlib.closing(open_ledger(settings, keys)) as ledger,
        ):
            asyncio.run(serve(settings, ledger, keys))
    except* (BrokerError, sqlite3.Error, OSError) as errors:
        error = first(errors)
        status = diverged_status if isinstance(error, LogDiverged) else 1
        hint = error.hint if isinstance(error, BrokerError) else ""
        _log.error("upkeep_ended", error=str(error), status=status, hint=hint)
    return status


def first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error of a group, however deep."""
    found: BaseException = errors
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
