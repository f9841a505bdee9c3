"""How much of a worker's memory one contact point may use at once: a noisy or hostile one must not take the others'.

Each request reserves, before its body is read, the most that it can come to hold: the body, and the answer until the
peer has read it. What would go beyond the contact point's share is refused as `busy`, and nothing is done. The share is
of each worker; long polls count while they wait.

Before this room: `caller`, `routes`. After it: nothing.
"""

import collections
from typing import Final

from aiohttp import web

from valija_broker.connections import Connections
from valija_broker.errors import Refused

request_bytes: Final = 64 * 1024  #: What every request counts at least: headers, buffers, tasks.
_taken: Final = web.RequestKey("taken", list[tuple[str, int]])


class Room:
    """The shares of one worker. One event loop uses it."""

    def __init__(self, bytes_max: int, connections: Connections) -> None:
        self._bytes_max = bytes_max
        self._connections = connections
        self._used: collections.Counter[str] = collections.Counter()

    def take(self, request: web.Request, who: str, size: int) -> None:
        """Reserve `size` bytes for `who` until `give_back`. The first request of a contact point always finds room.

        Raises:
            Refused: `busy`; nothing was reserved.
        """
        self._connections.of_point(request, who)
        size = max(size, request_bytes)
        if self._used[who] and self._used[who] + size > self._bytes_max:
            raise Refused("busy", f"{who} has {self._used[who]} bytes open; {self._bytes_max} allowed")
        self._used[who] += size
        request.setdefault(_taken, []).append((who, size))

    def give_back(self, request: web.Request) -> None:
        """The request is over."""
        for who, size in request.get(_taken, ()):
            self._used[who] -= size
            if not self._used[who]:
                del self._used[who]
