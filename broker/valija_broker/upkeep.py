"""Upkeep: the one process that publishes the directory, records evidence, publishes the log, expires mail and counts.

`python -m valija_broker.upkeep SETTINGS`. Each duty is a loop of its own that survives the store being away; the
whole may be killed at any time, since every duty does the same after a restart as on any day: it looks at what is
there and does what is missing.

Before this room: `supervisor`. After it: `directory`, `drain`, `orders`, `queue`.
"""

import asyncio
import contextlib
import fcntl
import os
import sqlite3
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Final

import structlog

from valija_broker import metrics, process, seen, store_age
from valija_broker.app import queue_limits
from valija_broker.config import Settings
from valija_broker.dead_letters import DeadLetters
from valija_broker.directory import Known, freshness_note, freshness_renewed_ms, now_ms, publish_folder
from valija_broker.drain import Drain
from valija_broker.errors import BadConfig, BrokerError, LogDiverged, LogError, StoreIsOld
from valija_broker.holds import Holds
from valija_broker.keys import Keys
from valija_broker.layout import check
from valija_broker.log.ledger import Ledger
from valija_broker.log.opening import make_publisher, open_ledger
from valija_broker.log.versions import Versions
from valija_broker.losses import Losses
from valija_broker.orders import Orders, make_folder
from valija_broker.queue import Mailboxes
from valija_broker.shelves import Directory, DirectoryShelf, Outbox
from valija_broker.store import Store
from valija_broker.turn import Turn
from valija_broker.wake import Waker
from valija_schemas import note as notes

_log: Final = structlog.get_logger("upkeep")

publish_every_s: Final = 0.5  #: A published file is in every worker within two seconds.
expire_every_s: Final = 1.0
count_every_s: Final = 5.0
losses_every_s: Final = 1.0  #: Until they are told: once, after a start with a store that was lost before.
orders_every_s: Final = 0.5  #: A person waits for the answer.
erase_every_s: Final = 3_600.0
recall_ms: Final = 5_000  #: A worker that has not taken the version yet may lend for a second longer.
diverged_status: Final = 3  #: Exit status when a person has to decide about the log.


class Upkeep:
    """The duties."""

    def __init__(
        self,
        *,
        settings: Settings,
        store: Store,
        mailboxes: Mailboxes,
        drain: Drain,
        known: Known,
        freshness: notes.Signer,
        epoch: int,
    ) -> None:
        """`epoch` is that of the store."""
        self._settings = settings
        self._store = store
        self._mailboxes = mailboxes
        self._drain = drain
        self._freshness = freshness
        self._outbox = Outbox(store)
        self._shelf = DirectoryShelf(store)
        self._known = known
        self._holds = Holds(database=settings.evidence_path, known=known, shelf=self._shelf, commit=drain.commit)
        self._orders = Orders(
            folder=settings.orders_path,
            database=settings.evidence_path,
            known=known,
            letters=DeadLetters(store),
            commit=drain.commit,
            retention=drain.retention,
            holds=self._holds,
            keep=drain.keep,
        )
        self._losses = Losses(
            database=settings.evidence_path,
            marker=settings.data_path / "losses-told",
            store=store,
            known=known,
            epoch=epoch,
            commit=drain.commit,
        )
        self._versions = Versions(known, drain.is_logged)
        self._freshness_due_ms = 0
        self._recall_until_ms = 0

    async def run(self) -> None:
        """All duties, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._repeat("publish", self.publish, publish_every_s))
            tasks.create_task(self._repeat("expire", self.expire, expire_every_s))
            tasks.create_task(self._repeat("count", self.count, count_every_s))
            tasks.create_task(self._repeat("orders", self._orders.carry_out, orders_every_s))
            tasks.create_task(self._repeat("losses", self._losses.tell, losses_every_s))
            tasks.create_task(self._repeat("erase", self._drain.erase, erase_every_s))
            tasks.create_task(self._drain.keep_draining())
            tasks.create_task(self._drain.keep_completing())

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
            metrics.directory_issued.set(self._known.phonebook.directory.issued / 1000)
            metrics.directory_expires.set(self._known.phonebook.directory.expires / 1000)
            metrics.log_quorum.set(self._known.roots.newest.quorum)
        self._drain.learn(await self._versions.learn())  # last: it may wait for a witness

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
        await asyncio.to_thread(seen.fold, self._settings.seen_path)
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
    stop = process.stop_signal()
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
        drain = Drain(
            origin=origin,
            retain_days=settings.log.retain_days,
            outbox=Outbox(store),
            shards=settings.store.shards,
            ledger=ledger,
            publisher=publisher,
            waker=waker,
            turn=Turn(settings.data_path),
            epoch=layout.epoch,
        )
        upkeep = Upkeep(
            settings=settings,
            store=store,
            mailboxes=mailboxes,
            drain=drain,
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
            alone(settings.upkeep_lock_path),
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
