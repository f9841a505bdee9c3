"""What every process of the broker does first: read the settings, set up logs, find the store.

Before this room: `supervisor`, which starts the processes. After it: `worker` and `upkeep`.
"""

import asyncio
import contextlib
import io
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Final

import structlog

from valija_broker import config
from valija_broker.errors import BadConfig
from valija_broker.store import Endpoint

READY_VARIABLE: Final = "VALIJA_READY_FD"  #: A pipe to the supervisor.


def begin(arguments: list[str]) -> config.Settings:
    """Settings of a child process (its first argument is the settings' path), which from here on logs as it is told.

    Raises:
        BadConfig: see the text.
    """
    settings = config.load(Path(arguments[0]))
    set_up_logs(settings)
    return settings


def say_ready() -> None:
    """Tell the supervisor that this process does its work from now on."""
    if READY_VARIABLE in os.environ:
        descriptor = int(os.environ.pop(READY_VARIABLE))
        os.write(descriptor, b"1")
        os.close(descriptor)


def stop_signal() -> asyncio.Event:
    """What is set by SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def endpoint(settings: config.Settings) -> Endpoint:
    """Where the store is. For an embedded one the supervisor says so, in the environment.

    Raises:
        BadConfig: there is no address, or the file with the password cannot be read.
    """
    if not settings.store.url:
        raise BadConfig("no store: the supervisor tells its processes where the embedded one is")
    path = settings.store.password_file
    try:
        password = Path(path).read_text(encoding="utf-8").strip() if path else None
    except OSError as error:
        raise BadConfig(f"{path} cannot be read: {error.strerror}") from None
    return Endpoint(url=settings.store.url, username="valija" if password else None, password=password)


async def end(*tasks: asyncio.Task[None]) -> None:
    """Cancel tasks until they have ended.

    Once is not enough: a cancellation that arrives together with a reply is swallowed by some of the code beneath us
    (seen with redis-py 8.1 on Python 3.11), and the task would go on for ever.
    """
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=0.2)


class _StandardError(io.StringIO):
    """Where the log goes, a line in one write, since processes share the file. What finds no room there is lost.

    Otherwise a log on a full disk would end whoever has something to say: the task, say, that starts the store again.
    """

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.flush()


def _legible(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """The record without anything that steers a terminal: strangers write a part of it, the path of a request say."""
    for name, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            lines = value.split("\n") if name == "exception" else [value]
            event[name] = "\n".join(line if line.isprintable() else repr(line)[1:-1] for line in lines)
    return event


def set_up_logs(settings: config.Settings) -> None:
    """One JSON object a line on standard error; a person at a terminal gets words instead."""
    renderers: list[structlog.typing.Processor] = (
        [_legible, structlog.dev.ConsoleRenderer()] if sys.stderr.isatty() else [structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, settings.log_level.upper())),
        logger_factory=structlog.WriteLoggerFactory(_StandardError()),
    )
    structlog.contextvars.bind_contextvars(pid=os.getpid())
    # aiohttp reports every broken request with a traceback; whoever sends those must not fill our log.
    logging.basicConfig(stream=sys.stderr, level=logging.ERROR, format="%(message)s")
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
