"""Group commit: submissions that arrive together share one function call and one sync to disk.

One task a shard owns one connection. While a call is on its way the next ones gather, so the batch grows with the
load by itself. With replicas, WAITAOF follows on the same connection: it waits for the last write of its own
connection and of no other, so anywhere else its answer would speak of somebody else's data.

A lost reply is repeated with the same ids, which the function answers with what it stored the first time.
Before this room: `queue`. After it: `store`. Rules: broker/DESIGN.md, "Queues".
"""

import asyncio
import contextlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import structlog

from valija_broker.errors import BrokerError, StoreFault, StoreFull, StoreUnavailable
from valija_broker.store import Line, Store, translate

batch_messages_max: Final = 64  #: As many as one HTTP submission may hold; a call of 64 takes a few ms.
batch_bytes_max: Final = 4 << 20  #: Far below the server's client-query-buffer-limit.
waiting_max: Final = 4096  #: Submissions that may wait; beyond it the caller is told at once.
repeats_max: Final = 3  #: Calls in all before the outcome is reported as unknown.
repeat_pause_s: Final = 0.1  #: Before the second call, doubled each time.
waitaof_ms: Final = 100  #: Of one wait for the replicas; it is repeated until the store's timeout.
room_look_s: Final = 1.0  #: How old a reading of the server's memory and disk may be.
disk_free_bytes_min: Final = 256 << 20  #: Below it nothing new is stored: a server that cannot write its file ends.
memory_share_max: Final = 0.8  #: Of maxmemory: above it nothing new is stored, so that draining has room.

_log = structlog.get_logger(__name__)


class Item:
    """One submission on its way: its keys, its packed argument, and who waits for the answer.

    One without an argument stores nothing, and is answered when what was stored before is synced.
    """

    __slots__ = ("argument", "calls", "future", "keys")

    def __init__(self, keys: Sequence[str], argument: bytes) -> None:
        self.keys = keys
        self.argument = argument
        self.calls = 0  #: More than one: a `repeat` may be the answer to our own first call.
        self.future: asyncio.Future[list[bytes]] = asyncio.get_running_loop().create_future()
        # A caller that was cancelled no longer reads it; that is no reason for a complaint.
        self.future.add_done_callback(lambda f: f.cancelled() or f.exception())

    def answer(self, reply: list[bytes] | BaseException) -> None:
        """Tell whoever waits; only the first answer counts."""
        if self.future.done():
            return
        if isinstance(reply, BaseException):
            self.future.set_exception(reply)
        else:
            self.future.set_result(reply)


class Batcher:
    """The one writer of submissions to a shard from this process. `start` and `stop` it on the same loop."""

    def __init__(self, store: Store, shard: int, head: Callable[[], bytes], disks: Sequence[Path] = ()) -> None:
        self._store = store
        self._head = head  #: Packs the call's own arguments, the time among them, at the moment of the call.
        self._disks = disks
        prefix = store.prefix(shard)
        self._keys = [prefix + "clock", prefix + "seq", prefix + "outbox", prefix + "x"]
        self._line: Line = store.line()
        self._waiting: list[Item] = []
        self._arrived = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._looked_at = -room_look_s
        self._memory = 0.0  #: Used share of maxmemory when last looked at.
        self._full: Path | None = None  #: On a disk that was nearly full when last looked at.
        self.batches = 0  #: Calls that got an answer, for the metrics.

    def start(self) -> None:
        """Begin to work."""
        self._task = asyncio.create_task(self._run(), name="batcher")

    async def stop(self) -> None:
        """Stop; whoever still waits learns that the outcome is unknown."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        for item in self._waiting:
            item.answer(StoreUnavailable("the broker is stopping"))
        self._waiting.clear()
        await self._line.close()

    async def put(self, item: Item) -> list[bytes]:
        """Wait for the answer to `item`. A cancelled caller leaves; the submission goes through regardless.

        Raises:
            StoreUnavailable, StoreFull, StoreFault: see `Store.call`.
        """
        if self._task is None or self._task.done():
            raise StoreUnavailable("the broker is stopping")
        if len(self._waiting) >= waiting_max:
            raise StoreUnavailable("too many submissions wait for the store")
        self._waiting.append(item)
        self._arrived.set()
        return await asyncio.shield(item.future)

    async def synced(self) -> None:
        """Return once everything that the primary holds now is on its disk and on those of enough replicas.

        Raises:
            StoreUnavailable, StoreFull: that cannot be said now.
        """
        await self.put(Item((), b""))

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            batch = self._take()
            if not self._waiting:
                self._arrived.clear()
            try:
                await self._commit(batch)
            except BrokerError as error:
                for item in batch:
                    item.answer(error)
            except asyncio.CancelledError:
                for item in batch:
                    item.answer(StoreUnavailable("the broker is stopping"))
                raise
            except Exception as error:  # noqa: BLE001 - a defect must not end the writer of all submissions
                _log.exception("a batch failed")
                for item in batch:
                    item.answer(StoreUnavailable(str(error)))

    def _take(self) -> list[Item]:
        batch: list[Item] = []
        size = 0
        for item in self._waiting[:batch_messages_max]:
            size += len(item.argument)
            if batch and size > batch_bytes_max:
                break
            batch.append(item)
        del self._waiting[: len(batch)]
        return batch

    async def _commit(self, batch: Sequence[Item]) -> None:
        """Store `batch`, repeating while the outcome is unknown, and answer everyone in it."""
        pause = repeat_pause_s
        for attempt in range(1, repeats_max + 1):
            try:
                replies = await self._call(batch)
            except StoreUnavailable as error:
                # Some, all or none of the batch may be stored. The same ids again settle which.
                if attempt == repeats_max:
                    raise
                _log.warning("outcome unknown, repeating", attempt=attempt, messages=len(batch), error=str(error))
                await asyncio.sleep(pause)
                pause *= 2
            except StoreFault as error:
                # The function refuses a whole call; find the one that it refuses, so that it takes no other with it.
                if len(batch) == 1:
                    raise
                _log.exception("a batch was refused, trying one by one", messages=len(batch), error=str(error))
                for item in batch:
                    try:
                        await self._commit([item])
                    except BrokerError as own:
                        item.answer(own)
                return
            else:
                self.batches += 1
                for item, reply in zip(batch, replies, strict=True):
                    item.answer(reply)
                return

    async def _call(self, batch: Sequence[Item]) -> list[list[bytes]]:
        await self._look_at_room()
        keys = [*self._keys, *(key for item in batch for key in item.keys)]
        arguments = [item.argument for item in batch if item.argument]
        command: list[Any] = ["FCALL", "accept_3", len(keys), *keys, self._head(), *arguments]
        for item in batch:
            item.calls += 1
        # A crash after this line: stored or not, nobody was told. The sender repeats with the same id.
        (reply,) = await self._line.send(command)
        if isinstance(reply, Exception):
            raise translate(reply)
        if self._store.replicas:
            await self._wait_for_replicas()
        answers: Iterator[list[bytes]] = iter(reply)
        return [next(answers) if item.argument else [] for item in batch]

    async def _wait_for_replicas(self) -> None:
        """Wait until the last write of this connection is on the disks of the primary and of enough replicas.

        The wait is a write of its own, after the reply: sent together, the request for the replica's offset reaches
        it together with the data, is answered before the data are synced, and the next offset comes a second later
        (measured: 1,003 ms a call; apart: 1 ms). For the same reason a short count is asked for again soon.
        """
        deadline = asyncio.get_running_loop().time() + self._store.timeout_s
        while True:
            (counts,) = await self._line.send(["WAITAOF", 1, self._store.replicas, waitaof_ms])
            if isinstance(counts, Exception):
                raise StoreUnavailable(f"WAITAOF: {counts}")
            local, remote = counts
            if local >= 1 and remote >= self._store.replicas:
                return
            if asyncio.get_running_loop().time() > deadline:
                # On this primary's disk, but not on enough replicas: a failover could lose it, so it is not said.
                raise StoreUnavailable(f"synced by {local} primary and {remote} of {self._store.replicas} replicas")

    async def _look_at_room(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._looked_at >= room_look_s:
            (reply,) = await self._line.send(["INFO", "memory"])
            if isinstance(reply, Exception):
                raise translate(reply)
            numbers = dict(line.split(":", 1) for line in reply.decode().splitlines() if ":" in line)
            maximum = int(numbers.get("maxmemory", "0"))
            self._memory = int(numbers["used_memory"]) / maximum if maximum else 0.0
            full = (path for path in self._disks if shutil.disk_usage(path).free < disk_free_bytes_min)
            self._full = next(full, None)
            self._looked_at = now
        if self._full is not None:
            raise StoreFull(f"less than {disk_free_bytes_min} bytes are free on the disk of {self._full}")
        if self._memory > memory_share_max:
            raise StoreFull(f"the store's memory is {self._memory:.0%} full")
