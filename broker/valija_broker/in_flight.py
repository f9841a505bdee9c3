"""What a worker has in flight: every request from its head until the peer has taken the answer.

A worker that is told to stop lets all of it finish. The framework would drop what still comes of a body, and calls an
answer done when it is buffered, so requests are counted here and answers written here.

Before this room: `app`, `routes`. After it: `connections`, `room`, `wake`. Rules: broker/DESIGN.md, section 3.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from valija_broker.connections import Connections
from valija_broker.room import Room

write_deadline_s: Final = 25.0  #: A peer that does not read its answer is cut off.


class InFlight:
    """The requests of one worker. One event loop uses it."""

    def __init__(self, connections: Connections, room: Room, wake_all: Callable[[], object]) -> None:
        """`wake_all` ends what waits for mail."""
        self._connections = connections
        self._room = room
        self._wake_all = wake_all
        self._stopping = False
        self._count = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def finish(self, within_s: float) -> None:
        """Let those who wait go with what there is, and let the others finish: this worker takes no new connections."""
        self._stopping = True
        self._wake_all()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._idle.wait()

    @web.middleware
    async def counted(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Know what is in flight. An answer that is not read is, too, and has a deadline."""
        self._count += 1
        self._idle.clear()
        self._connections.begun(request)
        try:
            response = await handler(request)
            if not response.prepared:
                await self.write(request, response)
            return response
        finally:
            self._connections.ended(request)
            self._room.give_back(request)
            self._count -= 1
            if not self._count:
                self._idle.set()

    async def write(self, request: web.Request, response: web.StreamResponse) -> None:
        """Write an answer, and wait until the peer has taken it.

        Raises:
            OSError: the peer has left, or did not read it in time and was cut off.
        """
        if self._stopping or self._connections.one_too_many(request):
            response.force_close()
        if _gone(request):
            raise ConnectionResetError
        try:
            async with asyncio.timeout(write_deadline_s):
                await response.prepare(request)
                await response.write_eof()
        except TimeoutError:
            self._connections.cut_off(request)
            raise ConnectionResetError("the peer does not read its answer") from None

    def over(self, request: web.Request) -> bool:
        """Whether there is no point in waiting on: the peer has left, or this worker stops."""
        return self._stopping or _gone(request)


def _gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()
