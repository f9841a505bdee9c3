"""The connections of one worker: what each may leave undone, how many there may be, how many of one contact point.

A stranger can connect and do nothing, or do it a byte at a time. So a connection on which no request is being handled
has a deadline: for its first request from the moment it is there, for a later one from its first byte, and between two
for as long as it may rest. What happens in a request has deadlines of its own (`reading`, `in_flight`). Each is one of
the whole, never of a pause: who sends a byte now and then gains nothing.

When all places are taken, the one that has been without a request for longest makes room. Refusing the newest instead
would let whoever holds all places keep everybody else out. A request counts once a signature in it was verified: a note
may take its time to come, and strangers can begin as many as they like. Where each is at work, the newest is refused.

A TLS handshake takes a place and has the deadline of a first request, before which it has none.

Before this room: `worker`. After it: the framework's own protocol, then `routes`. Rules: broker/DESIGN.md, section 3.
"""

import asyncio
import collections
import contextlib
import math
import socket
import ssl
import struct
from collections.abc import Callable
from typing import Final, cast

from aiohttp import web

from valija_broker import metrics

headers_s: Final = 10.0  #: All header lines of a request: 8 KiB at most, so 1 KB a second.
keepalive_s: Final = 75.0  #: Between requests of one connection: longer than a proxy keeps one (nginx: 60 s).
unsent_bytes_max: Final = 64 * 1024  #: Of an answer, with the system, beyond what the peer has room for.
sweep_s: Final = 1.0  #: How often deadlines are looked at.


class Connections:
    """The connections of one worker. One event loop uses it."""

    def __init__(self, connections_max: int, point_connections_max: int) -> None:
        self._connections_max = connections_max
        self._point_connections_max = point_connections_max
        self._all: dict[asyncio.BaseProtocol, _Place] = {}
        self._waiting: dict[_Place, None] = {}  # without a request that was verified, the longest first
        self._of: collections.Counter[str] = collections.Counter()

    def factory(
        self, server: Callable[[], asyncio.Protocol], context: ssl.SSLContext | None = None
    ) -> Callable[[], asyncio.Protocol]:
        """What makes a protocol for each new connection: the framework's `server`, watched; with `context`, behind TLS.

        The listener itself has no TLS then: it would begin handshakes that nobody counts.
        """
        if context is None:
            return lambda: _Connection(self, server())
        return lambda: _Handshake(self, server, context)

    async def sweep(self) -> None:
        """Close what is over its deadline, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(sweep_s)
            self.close_overdue(loop.time())

    def close_overdue(self, now: float) -> None:
        """Close what is over its deadline at `now`, on the clock of the event loop."""
        for connection in list(self._waiting):
            if connection.deadline <= now:
                connection.abort("deadline")

    def begun(self, request: web.BaseRequest) -> None:
        """A request of this connection is being handled: it has other deadlines, and no place of its own yet."""
        connection = self._all.get(request.protocol)
        if connection is not None:
            connection.deadline = math.inf

    def ended(self, request: web.BaseRequest) -> None:
        """It is not any more: the connection may rest, or begin the next one."""
        connection = self._all.get(request.protocol)
        if isinstance(connection, _Connection):
            connection.rest()
            self._waiting.pop(connection, None)
            self._waiting[connection] = None

    def cut_off(self, request: web.BaseRequest) -> None:
        """Its peer does not read its answer."""
        connection = self._all.get(request.protocol)
        if connection is not None:
            connection.abort("unread")

    def of_point(self, request: web.BaseRequest, who: str) -> None:
        """The connection speaks for `who` now, who signed what came last: it is at work until that is answered."""
        connection = self._all.get(request.protocol)
        if connection is None:
            return
        self._waiting.pop(connection, None)
        if connection.who != who:
            self._forget(connection.who)
            connection.who = who
            self._of[who] += 1

    def one_too_many(self, request: web.BaseRequest) -> bool:
        """Whether its contact point has more connections than it may: this one ends with its answer."""
        connection = self._all.get(request.protocol)
        return connection is not None and self._of[connection.who] > self._point_connections_max

    def add(self, connection: "_Place", inner: asyncio.Protocol) -> bool:
        """A place for a new connection; False when every one is at work."""
        if len(self._all) >= self._connections_max:
            if not self._waiting:
                metrics.connections_closed.labels("crowded").inc()
                return False
            next(iter(self._waiting)).abort("crowded")
        self._all[inner] = connection
        self._waiting[connection] = None
        return True

    def remove(self, connection: "_Place", inner: asyncio.Protocol) -> None:
        """It is gone, or as good as gone."""
        if self._all.pop(inner, None) is not None:
            self._waiting.pop(connection, None)
            self._forget(connection.who)

    def _forget(self, who: str) -> None:
        if who:
            self._of[who] -= 1
            if not self._of[who]:
                del self._of[who]


class _Place(asyncio.Protocol):
    """What takes one of the places: it has a deadline, and can be ended at once."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._transport: asyncio.Transport | None = None
        self._inner: asyncio.Protocol = self
        self.deadline = 0.0  #: Of whatever it waits for, on the clock of the event loop.
        self.who = ""  #: The contact point that it spoke for last.

    def take(self, transport: asyncio.BaseTransport) -> bool:
        """Take a place for `transport`, with the deadline of a first request; without one it is ended."""
        self._transport = cast("asyncio.Transport", transport)
        if not self._connections.add(self, self._inner):
            self._transport.abort()
            return False
        self.deadline = asyncio.get_running_loop().time() + headers_s
        return True

    def abort(self, why: str) -> None:
        """End it at once, unsent bytes and all: closing would wait for a peer that does not read.

        Without a linger time of zero the system, too, would keep what is unsent, and try for minutes.
        """
        metrics.connections_closed.labels(why).inc()
        self._connections.remove(self, self._inner)
        if self._transport is not None:
            held = self._transport.get_extra_info("socket")
            with contextlib.suppress(OSError):  # it is closed already
                held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()


class _Handshake(_Place):
    """A connection until TLS is agreed on; then a `_Connection` takes its place."""

    def __init__(
        self, connections: Connections, server: Callable[[], asyncio.Protocol], context: ssl.SSLContext
    ) -> None:
        super().__init__(connections)
        self._server = server
        self._context = context
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).pause_reading()  # what comes is for TLS to read, from its first byte
        if self.take(transport):
            self._task = asyncio.get_running_loop().create_task(self._agree())

    async def _agree(self) -> None:
        assert self._transport is not None  # noqa: S101 - `take` has it
        connection = _Connection(self._connections, self._server())
        try:
            # Its own deadline, a minute, never comes: `abort` ends it before.
            agreed = await asyncio.get_running_loop().start_tls(
                self._transport, connection, self._context, server_side=True
            )
        except OSError:  # garbage, another version, or the peer has left: TLS has closed it
            return
        finally:
            self._connections.remove(self, self)
        if agreed is not None:
            connection.connection_made(agreed)

    def abort(self, why: str) -> None:
        super().abort(why)
        if self._task is not None:
            self._task.cancel()


class _Connection(_Place):
    """One connection: hands everything on to the framework's protocol, and keeps the deadline."""

    def __init__(self, connections: Connections, inner: asyncio.Protocol) -> None:
        super().__init__(connections)
        self._inner = inner
        self._begun = False  # a place was found for it, and the framework knows it
        self._lost = False
        self._early: list[bytes] = []  # what came with the end of a handshake, before `connection_made`
        self._resting = False  # an answer was given and nothing of the next request is here

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._lost or not self.take(transport):
            return
        # An answer counts as written once the system has all of it, and the system takes little more than the peer
        # does: else it would take a megabyte, and a peer that reads nothing would look like one that is done.
        cast("asyncio.Transport", transport).set_write_buffer_limits(0)
        held = transport.get_extra_info("socket")
        if held.family != socket.AF_UNIX:
            held.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, unsent_bytes_max)
        self._begun = True
        self._inner.connection_made(transport)
        for data in self._early:
            self._inner.data_received(data)
        self._early.clear()

    def data_received(self, data: bytes) -> None:
        if not self._begun:
            self._early.append(data)
            return
        if self._resting:
            self._resting = False
            self.deadline = asyncio.get_running_loop().time() + headers_s
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._connections.remove(self, self._inner)
        if self._begun:
            self._inner.connection_lost(exc)

    def rest(self) -> None:
        """An answer was given."""
        self._resting = True
        self.deadline = asyncio.get_running_loop().time() + keepalive_s
