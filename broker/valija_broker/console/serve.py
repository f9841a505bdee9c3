"""The console's process: pages and JSON for operators, on a socket of their own that the supervisor bound.

It reads what the broker keeps and writes orders that operators signed; it holds no key. It may be killed at any time:
sessions and proposals are in its memory and end with it, mail does not notice.

Before this room: `supervisor`. After it: `app`, `listener`.
"""

import asyncio
import socket
from typing import Final

import structlog

from valija_broker import process
from valija_broker.config import Settings
from valija_broker.connections import Connections
from valija_broker.console.app import opened, published_key
from valija_broker.listener import answering, places, run, tls

_log: Final = structlog.get_logger("console")

connections_max: Final = 256  #: Of everybody: those who run one broker, their browsers and commands.
person_connections_max: Final = 32  #: Of one person: a browser has six, a command one.


async def serve(settings: Settings, listening: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT."""
    stop = process.stop_signal()
    connections = Connections(places(connections_max), person_connections_max)
    async with (
        opened(settings, process.endpoint(settings), connections) as app,
        answering(app, listening, connections, tls(settings.console)),
    ):
        stopping = asyncio.create_task(stop.wait())
        published = asyncio.create_task(app[published_key].wait())  # until then nobody can sign in
        await asyncio.wait({stopping, published}, return_when=asyncio.FIRST_COMPLETED)
        if published.done():
            process.say_ready()
            _log.info("console_ready")
        await stopping
        published.cancel()


def main(arguments: list[str]) -> int:
    """Run the console. Exit status 0 after SIGTERM, 1 when it could not start: the supervisor starts another."""
    failed = run(arguments, serve)
    if failed:
        _log.error("console_ended", error=failed)
    return 1 if failed else 0
