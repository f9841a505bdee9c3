"""A contact point's connection to the broker in memory: what `valija.transport.Transport` is to a real one.

Before this room: tests. After it: `broker`. Rules: schemas/SPEC.md section 3.3.
"""

from collections.abc import Callable, Sequence
from typing import Final, Literal, TypeVar

from valija.errors import HeldError, RefusedError, UnavailableError
from valija.testing.broker import MemoryBroker
from valija_schemas import api, limits, problem

T = TypeVar("T")

Fault = tuple[str, Literal["before", "after"]]
"""The name of a call, and whether it breaks before it takes effect or after."""

_lease_bytes_max: Final = 4 << 20
_look_again_ms: Final = 1_000  # A lease may lapse while somebody waits.


class MemoryLine:
    """What `valija.transport.Transport` is to a real broker: the same methods, the same answers."""

    def __init__(self, broker: MemoryBroker, id_: str) -> None:
        self._broker = broker
        self._id = id_
        self.faults: list[Fault] = []  #: Consumed as calls are made.
        self.calls: list[str] = []
        self.down = False

    async def submit(self, message: bytes, /) -> bytes:
        """See `Transport.submit`."""
        return self._do("submit", lambda: self._broker.accept(message))

    async def submit_many(self, messages: Sequence[bytes]) -> tuple[api.SubmitResult, ...]:
        """See `Transport.submit_many`."""
        return self._do("submit_many", lambda: tuple(map(self._submit_one, messages)), active=True)

    async def lease(self, request: api.LeaseRequest) -> tuple[api.Lent, ...]:
        """See `Transport.lease`."""
        lend = self._broker.lend
        found = self._do("lease", lambda: lend(self._id, request), active=True)
        left = request.wait_ms
        while not found and left > 0:
            await self._broker.rung(min(left, _look_again_ms))
            left -= _look_again_ms
            found = self._do("lease", lambda: lend(self._id, request), active=True)
        return tuple(found)

    async def acknowledge(self, acks: Sequence[api.Acknowledgement]) -> tuple[api.LeaseResult, ...]:
        """See `Transport.acknowledge`."""
        take = self._broker.take
        return self._do("acknowledge", lambda: tuple(take(self._id, ack) for ack in acks), active=True)

    async def extend(self, tokens: Sequence[str]) -> tuple[api.LeaseResult, ...]:
        """See `Transport.extend`."""
        extend = self._broker.extend
        return self._do("extend", lambda: tuple(extend(self._id, token) for token in tokens), active=True)

    async def release(self, releases: Sequence[api.Release]) -> tuple[api.LeaseResult, ...]:
        """See `Transport.release`."""
        release = self._broker.release
        return self._do("release", lambda: tuple(release(self._id, each) for each in releases), active=True)

    async def events(self, after: int, wait_ms: int) -> api.Feed:
        """See `Transport.events`."""
        found = self._do("events", lambda: self._page(after))
        left = wait_ms
        while not found.events and left > 0:
            await self._broker.rung(min(left, _look_again_ms))
            left -= _look_again_ms
            found = self._do("events", lambda: self._page(after))
        return found

    async def evidence(self, digest: str) -> api.Feed:
        """See `Transport.evidence`."""
        subject = f'"message":"{digest}"'.encode()
        found = self._do("evidence", lambda: [e for e in self._broker.feeds[self._id] if subject in e.event])
        return self._broker.page(found) if found else api.Feed(checkpoint=b"", events=())

    async def checkpoint(self) -> bytes:
        """See `Transport.checkpoint`."""
        self._broker.learn()
        return self._do("checkpoint", self._broker.checkpoint)

    async def consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        """See `Transport.consistency`."""
        return self._do("consistency", lambda: self._broker.consistency(old, new))

    async def inclusion(self, leaf: int | str, size: int) -> api.Inclusion:
        """See `Transport.inclusion`."""
        return self._do("inclusion", lambda: self._broker.inclusion(leaf, size))

    async def tile(self, path: str) -> bytes:
        """See `Transport.tile`."""
        return self._do("tile", lambda: self._broker.tile(path))

    async def newest(self) -> api.Newest:
        """See `Transport.newest`."""
        exchange = self._broker.exchange
        self._broker.learn()
        version, digest = exchange.phonebook.reference
        return self._do("newest", lambda: api.Newest(root=exchange.root.version, directory=version, digest=digest))

    async def holds(self) -> tuple[bytes, ...]:
        """See `Transport.holds`."""
        held = self._broker.holds.get(self._id, b"")
        return self._do("holds", lambda: (held,) if held else ())

    async def freshness(self) -> bytes:
        """See `Transport.freshness`."""
        return self._do("freshness", lambda: self._broker.exchange.freshness(now_ms=self._broker.clock()))

    async def root(self, version: int) -> bytes:
        """See `Transport.root`."""
        return self._do("root", lambda: self._version(self._broker.exchange.root_raws, version))

    async def directory(self, version: int) -> bytes:
        """See `Transport.directory`."""
        return self._do("directory", lambda: self._version(self._broker.exchange.directory_raws, version))

    async def limits(self) -> api.Limits:
        """See `Transport.limits`."""
        broker = self._broker
        return self._do(
            "limits",
            lambda: api.Limits(
                time=broker.clock(),
                message_bytes_max=limits.message_bytes_max,
                submit_messages_max=api.batch_messages_max,
                submit_bytes_max=api.batch_bytes_max,
                lease_ms=broker.lease_ms,
                lease_bytes_max=_lease_bytes_max,
                attempts_max=broker.attempts_max,
            ),
        )

    def _page(self, after: int) -> api.Feed:
        self._broker.expire()
        return self._broker.page(self._broker.feeds[self._id][after : after + api.events_page_max])

    def _submit_one(self, message: bytes) -> api.SubmitResult:
        try:
            return api.SubmitResult(status=202, acceptance=self._broker.accept(message), problem=None)
        except RefusedError as error:
            found = error.problem
            return api.SubmitResult(status=found.status, acceptance=None, problem=problem.encode(found))

    def _version(self, raws: Sequence[bytes], version: int) -> bytes:
        if not 1 <= version <= len(raws):
            raise self._broker.refusal("not-found", f"no version {version}")
        return raws[version - 1]

    def _do(self, name: str, work: Callable[[], T], *, active: bool = False) -> T:
        """Do what a call does, unless it is to break; `active`: not for who is suspended."""
        self.calls.append(name)
        if (active or name == "submit") and self._id in self._broker.holds:
            raise HeldError(f"{self._id} is held")
        fault = next((fault for fault in self.faults if fault[0] == name), None)
        if fault is not None:
            self.faults.remove(fault)
        if self.down or fault == (name, "before"):
            raise UnavailableError("the line is down")
        if active and not self._broker.is_active(self._id):
            raise self._broker.refusal("suspended", f"{self._id} is suspended")
        try:
            done = work()
        except RefusedError as error:
            # The real line repeats what may pass, and in the end says so.
            if error.problem.retryable:
                raise UnavailableError(str(error), hint=error.hint) from None
            raise
        if fault is not None:
            raise UnavailableError("the answer was lost")
        return done
