"""Wake-ups: telling a waiting request that it is worth looking.

One subscription serves every waiter of this process; no waiter costs a connection. A wake-up is a hint and may be
lost or repeated, so nothing rests on it: after a reconnect everybody looks, and everybody looks at least every
`look_every_s`. Payloads are `m <mailbox>` (mail), `e <party>` (events), `o` (outbox) and `d` (directory).

Before this room: `deliver`, the event feed, `upkeep`. After it: `store`. Rules: broker/DESIGN.md, "Queues".
"""

import asyncio
import contextlib
from collections import defaultdict
from types import TracebackType
from typing import Final, Literal, Self, TypeAlias

import redis.exceptions
import structlog

from valija_broker.store import Store

look_every_s: Final = 10.0  #: However quiet it is: a lost wake-up costs at most this.
_reconnect_pause_s: Final = 0.2  #: Doubled up to 5 s.
_ping_every_s: Final = 5.0

Kind: TypeAlias = Literal["m", "e", "o", "d"]

_log = structlog.get_logger(__name__)


class Waiter:
    """One party that waits. Look, then `wait`, in a loop: what arrives in between is not missed. A `with`."""

    def __init__(self, waker: "Waker", payload: str) -> None:
        self._waker = waker
        self._payload = payload
        self._event = asyncio.Event()

    def __enter__(self) -> Self:
        self._waker._waiters[self._payload].add(self)  # noqa: SLF001 - two halves of one thing
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        waiters = self._waker._waiters  # noqa: SLF001
        waiters[self._payload].discard(self)
        if not waiters[self._payload]:
            del waiters[self._payload]

    def wake(self) -> None:
        """Let the next `wait`, or the one under way, return."""
        self._event.set()

    async def wait(self, timeout: float) -> bool:
        """Return when it is worth looking, after `look_every_s`, or after `timeout` seconds; True for a wake-up."""
        try:
            # Not `wait_for`: in Python 3.11 it swallows a cancellation that comes together with the wake-up.
            async with asyncio.timeout(min(timeout, look_every_s)):
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        return True


class Waker:
    """The subscription and who waits on it. An `async with`; share one in a process."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiters: defaultdict[str, set[Waiter]] = defaultdict(set)
        self._task: asyncio.Task[None] | None = None
        self.connected = asyncio.Event()  #: Set while the subscription stands.

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="waker")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def subscribe(self, mailbox: str) -> Waiter:
        """A waiter for mail of `mailbox`."""
        return Waiter(self, f"m {mailbox}")

    def events(self, party: str) -> Waiter:
        """A waiter for events of `party`."""
        return Waiter(self, f"e {party}")

    def outbox(self) -> Waiter:
        """A waiter for anything in an outbox."""
        return Waiter(self, "o")

    def directory(self) -> Waiter:
        """A waiter for a new root, directory or freshness note."""
        return Waiter(self, "d")

    async def publish(self, kind: Kind, name: str = "") -> None:
        """Wake whoever waits for this in any process.

        Raises:
            StoreUnavailable: it may not have been told; it looks by itself within `look_every_s`.
        """
        await self._store.run("PUBLISH", self._store.prefix(0) + "wake", f"{kind} {name}".rstrip())

    def wake_all(self) -> None:
        """Let everybody look."""
        for waiters in list(self._waiters.values()):
            for waiter in waiters:
                waiter.wake()

    async def _run(self) -> None:
        pause = _reconnect_pause_s
        while True:
            try:
                await self._listen()
            except (redis.exceptions.RedisError, OSError) as error:
                _log.warning("wake-ups are interrupted", error=str(error), again_in_s=pause)
            finally:
                was_connected = self.connected.is_set()
                self.connected.clear()
            pause = _reconnect_pause_s if was_connected else min(pause * 2, 5.0)
            await asyncio.sleep(pause)

    async def _listen(self) -> None:
        channels = [self._store.prefix(shard) + "wake" for shard in range(self._store.shards)]
        client = self._store.subscriber()
        try:
            async with client.pubsub() as pubsub:
                await pubsub.subscribe(*channels)
                unanswered = 0
                while True:
                    message = await pubsub.get_message(timeout=_ping_every_s)
                    if message is None:
                        if unanswered:
                            raise redis.exceptions.ConnectionError("the server does not answer the subscription")
                        unanswered += 1
                        await pubsub.ping()
                        continue
                    unanswered = 0
                    if message["type"] == "subscribe":
                        self.connected.set()
                        self.wake_all()  # whatever was published before this moment was missed
                    elif message["type"] == "message":
                        for waiter in self._waiters.get(message["data"].decode(), ()):
                            waiter.wake()
        finally:
            await client.aclose()
