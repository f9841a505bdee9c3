"""What worker and console do with a socket that the supervisor bound: HTTP on it, within bounds, until they are told.

Before this room: `worker`, `console`. After it: `connections`, `protocol`.
"""

import asyncio
import contextlib
import resource
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Final, cast

import structlog
from aiohttp import web

from valija_broker import process
from valija_broker.app import in_flight_key
from valija_broker.config import Console, Listen, Settings
from valija_broker.connections import Connections, keepalive_s
from valija_broker.errors import BrokerError
from valija_broker.protocol import protocols

_log: Final = structlog.get_logger("listener")

lingering_s: Final = 1.0  #: For what a refused peer still sends, so that it can read its answer.
in_flight_s: Final = 20.0  #: How long a request may take to finish after SIGTERM; long polls end at once.
header_bytes_max: Final = 8 * 1024
backlog: Final = 512
descriptors_reserved: Final = 128  #: For the store, SQLite, tiles and logs, beside the connections.


@contextlib.asynccontextmanager
async def answering(
    app: web.Application, listening: socket.socket, connections: Connections, context: ssl.SSLContext | None
) -> AsyncIterator[None]:
    """Answer by `app`; at the end let what is in flight finish."""
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
    factory = connections.factory(made, context)
    site = await asyncio.get_running_loop().create_server(factory, sock=listening, backlog=backlog)
    sweeping = asyncio.create_task(connections.sweep())
    try:
        yield
    finally:
        site.close()
        await app[in_flight_key].finish(in_flight_s)
        await runner.cleanup()
        await process.end(sweeping)


def run(arguments: list[str], serve: Callable[[Settings, socket.socket], Coroutine[Any, Any, None]]) -> str:
    """Run `serve` on the socket whose descriptor is the second argument; why it could not start, or nothing."""
    failed = ""
    with socket.socket(fileno=int(arguments[1])) as listening:
        listening.setblocking(False)
        try:
            asyncio.run(serve(process.begin(arguments), listening))
        except* BrokerError as errors:
            failed = str(errors.exceptions[0])
    return failed


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


def tls(door: Listen | Console) -> ssl.SSLContext | None:
    """TLS 1.3, where the broker ends it itself."""
    if door.tls != "direct":
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(door.certificate, door.certificate_key)
    return context
