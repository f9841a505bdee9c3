"""A worker: the agencies' API on the socket that the supervisor bound. `python -m valija_broker.worker SETTINGS FD`.

Workers keep nothing of their own; any of them may be killed at any time. SIGTERM lets what is in flight finish.

Before this room: `supervisor`. After it: `app`.
"""

import asyncio
import resource
import signal
import socket
import ssl
import sys
from typing import Final, cast

import structlog
from aiohttp import web

from valija_broker import process
from valija_broker.app import in_flight_key, opened
from valija_broker.config import Settings
from valija_broker.connections import Connections, keepalive_s
from valija_broker.errors import BrokerError
from valija_broker.protocol import protocols

_log: Final = structlog.get_logger("worker")

lingering_s: Final = 1.0  #: For what a refused peer still sends, so that it can read its answer.
in_flight_s: Final = 20.0  #: How long a request may take to finish after SIGTERM; long polls end at once.
header_bytes_max: Final = 8 * 1024
backlog: Final = 512
descriptors_reserved: Final = 128  #: For the store, SQLite, tiles and logs, beside the connections.


async def serve(settings: Settings, listening: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    connections = Connections(places(settings.listen.connections_max), settings.quotas.point_connections_max)
    async with opened(settings, process.endpoint(settings), connections) as app:
        # A client that hangs up must not stop a commit half way.
        runner = web.AppRunner(app, shutdown_timeout=lingering_s, handler_cancellation=False)
        await runner.setup()
        made = protocols(
            cast("web.Server", runner.server),
            loop=asyncio.get_running_loop(),
            access_log=None,
            keepalive_timeout=keepalive_s,
            lingering_time=lingering_s,
            max_line_size=header_bytes_max,
            max_field_size=header_bytes_max,
        )
        factory = connections.factory(made, tls(settings))
        site = await asyncio.get_running_loop().create_server(factory, sock=listening, backlog=backlog)
        sweeping = asyncio.create_task(connections.sweep())
        process.say_ready()
        _log.info("worker_ready")
        await stop.wait()
        site.close()
        await app[in_flight_key].finish(in_flight_s)
        await runner.cleanup()
        await process.end(sweeping)


def places(wanted: int) -> int:
    """How many connections there is room for: `wanted`, or as many as the process may have descriptors for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + descriptors_reserved
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        if soft < needed:
            _log.warning("few_descriptors", allowed=soft, needed=needed)
            return max(1, soft - descriptors_reserved)
    return wanted


def tls(settings: Settings) -> ssl.SSLContext | None:
    """TLS 1.3, where the broker ends it itself."""
    if settings.listen.tls != "direct":
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(settings.listen.certificate, settings.listen.certificate_key)
    return context


def main(arguments: list[str]) -> int:
    """Run a worker. Exit status 0 after SIGTERM, 1 when it could not start: the supervisor starts another."""
    status = 0
    with socket.socket(fileno=int(arguments[1])) as listening:
        listening.setblocking(False)
        try:
            asyncio.run(serve(process.begin(arguments), listening))
        except* BrokerError as errors:
            _log.error("worker_ended", error=str(errors.exceptions[0]))
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
