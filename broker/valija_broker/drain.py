"""All that goes into the log: events of the outbox, versions, orders, erasures. One lock: one task writes.

The promise: an event is recorded once, published, and only then leaves the outbox; what is ordered and what is erased
is committed and published in the same way.

Before this room: `upkeep`, `orders`, `holds`. After it: `evidence`, `log.ledger`, `log.publish`, `shelves`. Rules:
schemas/SPEC.md section 5.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final, get_args

import structlog

from valija_broker import metrics
from valija_broker.directory import now_ms
from valija_broker.errors import BrokerError, LogError
from valija_broker.evidence import Row, Version, derive
from valija_broker.log.ledger import Ledger
from valija_broker.log.publish import Publisher
from valija_broker.log.retain import BEGIN, Position, Retention
from valija_broker.orders import Acted
from valija_broker.shelves import Outbox, OutboxEntry
from valija_broker.turn import Turn
from valija_broker.wake import Waker
from valija_schemas import evidence, limits, order

_log: Final = structlog.get_logger("upkeep")

drain_batch: Final = 2_000  #: Events in one transaction, of all shards together.
checkpoint_every_s: Final = 0.25  #: Under load; the first event after a pause is published at once.
pause_s: Final = 1.0  #: After a failure.
_RECEIPTS: Final = frozenset(get_args(evidence.ReceiptName))
witness_again_first_s: Final = 1.0  #: A witness that was away is asked again; the pause doubles while it stays away.
witness_again_max_s: Final = 60.0  #: A checkpoint is complete a minute after its witness came back, at the latest.


class Drain:
    """The one writer of the log. Share it between the tasks of upkeep."""

    def __init__(
        self,
        *,
        origin: str,
        retain_days: int,
        outbox: Outbox,
        shards: int,
        ledger: Ledger,
        publisher: Publisher,
        waker: Waker,
        turn: Turn,
        epoch: int = 0,
    ) -> None:
        """`epoch` is that of the store whose outbox has `shards`."""
        self._origin = origin
        self._retain_days = retain_days
        self._outbox = outbox
        self._shards = shards
        self._ledger = ledger
        self._publisher = publisher
        self._waker = waker
        self._epoch = epoch
        self.retention: Final = Retention(ledger, origin)
        self._committing: list[tuple[Row, asyncio.Future[None]]] = []
        self._versions: list[Version] = []  # learned, and not in the log as far as this process knows
        self._grown: set[str] = set()  # parties who have not been woken yet
        self._turn = turn  # one thread at a time in the ledger, one publication at a time
        self._reported: set[tuple[int, str]] = set()

    async def is_logged(self, version: Version) -> bool:
        """Whether a version is a leaf of the log."""
        async with self._turn.taken():
            return await asyncio.to_thread(self._ledger.has, version)

    def learn(self, versions: Sequence[Version]) -> None:
        """Record `versions` of the root and of the directory with the next batch."""
        self._versions += versions

    async def drain(self) -> int:
        """Move what waits in the outboxes into the log, publish it, and remove it; say how many events.

        An entry that cannot be read stays where it is, loudly, and the ones behind it are recorded all the same.
        """
        async with self._turn.taken():
            return await self._move()

    async def _move(self) -> int:
        done: dict[int, list[str]] = {}
        after: dict[int, str] = {}
        names: list[str] = []
        moved: list[OutboxEntry] = []
        until = time.monotonic() + checkpoint_every_s
        more = True
        while more and time.monotonic() < until:
            rows, more = await self._next_rows(done, after, moved)
            versions, self._versions = self._versions, []
            committing, self._committing = self._committing, []
            rows = [*(row for row, _ in committing), *rows]
            if rows or versions:
                # Between its commit and the end of this function a crash leaves events in the log and in the outbox;
                # they come again, are known by their ids, and are published and removed then.
                with metrics.append.time():
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
        await self._count(moved)
        return len(names)

    async def _count(self, moved: Sequence[OutboxEntry]) -> None:
        """How long it took until messages were collected, and why some died."""
        for entry in moved:
            if entry.event == "DeadLettered":
                metrics.died.labels(entry.reason if entry.reason in metrics.DEATHS else "other").inc()
        taken = [
            (evidence.read_subject(entry.subject).message, entry.taken_ms)
            for entry in moved
            if entry.event in _RECEIPTS
        ]
        if taken:
            for waited_ms in await asyncio.to_thread(self._ledger.waited, taken):
                metrics.time_to_collect.observe(waited_ms / 1000)

    async def _wake_readers(self) -> None:
        while self._grown:
            await self._waker.publish("e", self._grown.pop())

    async def commit(self, row: Row) -> None:
        """Return once `row` is in the ledger. `drain` writes it: one task alone uses the ledger."""
        committed = asyncio.get_running_loop().create_future()
        self._committing.append((row, committed))
        await committed

    async def erase(self) -> None:
        """Erase the openings that are older than `retain_days`, in bounded steps, until none is due."""
        days = self._retain_days
        now = now_ms()
        after: Position | None = BEGIN
        while after is not None:
            async with self._turn.taken():
                # A crash after its commit leaves an erasure that is not published, and bytes in the WAL: the next start
                # publishes it and begins here.
                step = await asyncio.to_thread(
                    self.retention.erase,
                    before=now - days * limits.DAY_MS,
                    now=now,
                    reason=f"retain_days {days}",
                    after=after,
                )
                await self._publisher.publish()
            metrics.erased.inc(step.erased)
            after = step.after
        await self._truncate_wal()

    async def keep(self, work: Callable[[], Acted]) -> int:
        """Let an order hold, release or erase openings; how many it erased."""
        async with self._turn.taken():
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
        async with self._turn.taken():
            if not await asyncio.to_thread(self._ledger.truncate_wal):
                _log.warning("wal_not_truncated")

    async def _next_rows(
        self, done: dict[int, list[str]], after: dict[int, str], moved: list[OutboxEntry]
    ) -> tuple[list[Row], bool]:
        """The next batch of all shards behind `after`, noted in `done` and `moved`; and whether there may be more."""
        count = max(1, drain_batch // self._shards)
        rows: list[Row] = []
        more = False
        for shard in range(self._shards):
            entries = await self._outbox.read(shard, count, after=after.get(shard, ""))
            more = more or len(entries) == count
            for entry in entries:
                after[shard] = entry.id
                try:
                    rows.append(derive(entry, self._origin))
                    done.setdefault(shard, []).append(entry.id)
                    if isinstance(entry, OutboxEntry):
                        moved.append(entry)
                except ValueError as error:
                    self._unreadable(shard, entry.id, str(error))
        return rows, more

    def _unreadable(self, shard: int, entry: str, error: str) -> None:
        if (shard, entry) not in self._reported:  # once: it is met again at every look
            self._reported.add((shard, entry))
            metrics.unreadable.inc()
            _log.critical("outbox_entry_unreadable", shard=shard, entry=entry, error=error)

    async def keep_draining(self) -> None:
        """Drain whenever there is something, for ever."""
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

    async def keep_completing(self) -> None:
        """Ask absent witnesses again. A new event asks all of them as well, without waiting for this."""
        pause = witness_again_first_s
        while True:
            await asyncio.sleep(pause)
            complete = await self._publisher.complete()
            pause = witness_again_first_s if complete else min(witness_again_max_s, pause * 2)
