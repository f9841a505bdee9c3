"""A worker: the agencies' API on the socket that the supervisor bound. `python -m valija_broker.worker SETTINGS FD`.

Workers keep nothing of their own; any of them may be killed at any time. SIGTERM lets what is in flight finish.

Before this room: `supervisor`. After it: `app`, `listener`.
"""

import socket
import sys
from typing import Final

import structlog

from valija_broker import process
from valija_broker.app import opened
from valija_broker.config import Settings
from valija_broker.connections import Connections
from valija_broker.listener import answering, places, run, tls

_log: Final = structlog.get_logger("worker")


async def serve(settings: Settings, listening: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT."""
    stop = process.stop_signal()
    connections = Connections(places(settings.listen.connections_max), settings.quotas.point_connections_max)
    async with (
        opened(settings, process.endpoint(settings), connections) as app,
        answering(app, listening, connections, tls(settings.listen)),
    ):
        process.say_ready()
        _log.info("worker_ready")
        await stop.wait()


def main(arguments: list[str]) -> int:
    """Run a worker. Exit status 0 after SIGTERM, 1 when it could not start: the supervisor starts another."""
    failed = run(arguments, serve)
    if failed:
        _log.error("worker_ended", error=failed)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
