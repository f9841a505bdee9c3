"""The supervisor: `valija-broker serve`. It binds the sockets, starts the store and the processes, and keeps them.

It holds no mail and no keys. Whatever ends is started again, alone: a worker, upkeep, the embedded server. When the
supervisor itself is killed, the others end with it, and the next one waits until the old server is really gone.

/livez, /readyz and /metrics are on a listener of their own, never on the agencies' one. The service manager hears when
the broker is ready, what it lacks, and at every beat of its watchdog that whatever ends is still started again.

Before this room: `cli`. After it: `nursery`, which forks `worker` and `upkeep`, `embedded` and `service_manager`.
"""

import asyncio
import collections
import contextlib
import os
import signal
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Final

import structlog
from aiohttp import web

from valija_broker import config, nursery, process, scrape, store_age
from valija_broker.embedded import EmbeddedValkey
from valija_broker.errors import BadConfig, BrokerError, NurseryEnded
from valija_broker.nursery import Forked, Nursery, Start
from valija_broker.service_manager import ServiceManager
from valija_broker.shelves import DirectoryShelf
from valija_broker.store import Store

_log: Final = structlog.get_logger("supervisor")

restart_pause_s: Final = 0.3  #: Doubled with each failure in a row, up to the next line.
restart_pause_max_s: Final = 10.0
settled_s: Final = 5.0  #: A child that ran for this long starts again without a longer pause.
stop_s: Final = 25.0  #: From SIGTERM until what still runs is killed.
status_pause_s: Final = 0.2  #: Between two looks at what is missing, until nothing is; then the next line.
status_pause_ready_s: Final = 2.0


class Child:
    """A process that is started again whenever it ends."""

    def __init__(self, name: str, order: Start, descriptors: Sequence[int], nursery: Nursery) -> None:
        self.name: Final = name
        self._order = order
        self._descriptors = descriptors
        self._nursery = nursery
        self._process: Forked | None = None
        self._ready = False
        self.restarts = 0  #: How often it ended without being asked to.

    @property
    def kind(self) -> str:
        """Its program."""
        return self._order.program

    @property
    def ready(self) -> bool:
        """Whether there is a process now that said that it is ready."""
        return self._ready and self._process is not None and not self._process.ended.done()

    async def keep(self) -> None:
        """Run it, for ever. Cancelling this leaves the process to `stop`.

        Raises:
            NurseryEnded: it cannot be started.
        """
        pause = restart_pause_s
        while True:
            began = time.monotonic()
            with self._word_of_readiness() as fd:
                self._process = await self._nursery.start(self._order, (fd, *self._descriptors))
            status = await self._process.wait()
            self.restarts += 1
            _log.warning("child_ended", child=self.name, status=status)
            pause = restart_pause_s if time.monotonic() - began > settled_s else min(pause * 2, restart_pause_max_s)
            await asyncio.sleep(pause)

    @contextlib.contextmanager
    def _word_of_readiness(self) -> Iterator[int]:
        """A descriptor that the child closes when it is ready, or when it ends."""
        self._ready = False
        mine, its = os.pipe()
        loop = asyncio.get_running_loop()

        def heard() -> None:
            self._ready = bool(os.read(mine, 1))
            loop.remove_reader(mine)
            os.close(mine)

        loop.add_reader(mine, heard)
        try:
            yield its
        finally:
            os.close(its)

    async def stop(self, within_s: float) -> None:
        """Ask it to finish; after `within_s`, end it."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._process.wait(), within_s)
        except TimeoutError:
            self._process.send_signal(signal.SIGKILL)
            await self._process.wait()


class Supervisor:
    """Everything that `serve` runs."""

    def __init__(
        self, settings: config.Settings, path: Path, nursery: Nursery, metrics_folder: str, manager: ServiceManager
    ) -> None:
        self._settings = settings
        self._path = path
        self._nursery = nursery
        self._manager = manager
        self._metrics_folder = metrics_folder
        self._children: list[Child] = []
        self._consoles: list[Child] = []  # none or one; mail goes on without it
        self._store: Store | None = None
        self._valkey: EmbeddedValkey | None = None
        self._certificate_expires: float | None = None

    async def serve(self) -> None:
        """Serve until SIGTERM or SIGINT, then let what is in flight finish.

        Raises:
            BadConfig: it cannot start.
            EmbeddedError, StoreError: the store cannot be used.
        """
        stop = process.stop_signal()
        settings = self._settings
        config.require_anchor(settings)
        settings.data_path.mkdir(mode=0o700, parents=True, exist_ok=True)
        settings.directory_path.mkdir(mode=0o755, parents=True, exist_ok=True)
        if settings.listen.certificate:
            self._certificate_expires = scrape.certificate_expires(Path(settings.listen.certificate))
        listening, watched = self._manager.listening or bind(settings.listen), bind(settings.metrics)
        operators = bind(settings.console) if settings.console.runs else None
        with listening, watched, operators or contextlib.nullcontext():
            self._manager.tell("STATUS=opening the store")
            async with self._opened_store() as environment, self._health(watched), self._nursery:
                if self._store is not None:
                    await store_age.require_current(self._store, settings.evidence_path)
                self._children = self._make_children(environment, listening)
                self._consoles = self._make_console(environment, operators) if operators else []
                keeping = [asyncio.create_task(child.keep()) for child in [*self._children, *self._consoles]]
                _log.info("serving", address=describe(listening), workers=settings.workers, metrics=describe(watched))
                if operators:
                    _log.info("console", address=settings.console.url, listens=describe(operators))
                watching = [asyncio.create_task(self._beat())] if self._manager.watchdog_s else []
                reporting = [asyncio.create_task(self._report())] if self._manager.listens else []
                stopping = asyncio.create_task(stop.wait())
                done, _ = await asyncio.wait({stopping, *keeping}, return_when=asyncio.FIRST_COMPLETED)
                broken = [task.exception() for task in done if task is not stopping]
                _log.info("stopping")
                await process.end(*keeping, *reporting)
                self._manager.tell("STOPPING=1", "STATUS=letting what is in flight finish")
                upkeep, *workers = self._children
                await asyncio.gather(*(child.stop(stop_s) for child in [*workers, *self._consoles]))
                await upkeep.stop(stop_s)  # after the workers: it records what they still did
                await process.end(*watching)
        if broken:
            raise BrokerError(f"a process could not be kept: {broken[0]}")

    @contextlib.asynccontextmanager
    async def _opened_store(self) -> AsyncIterator[dict[str, str]]:
        """The store, embedded or configured, and the environment that tells the children where it is."""
        settings, environment = self._settings, dict[str, str]()
        if settings.store.url:
            async with Store(process.endpoint(settings), shards=settings.store.shards) as self._store:
                yield environment
            return
        # An evidence store without its queues: the nonces and the deduplication records are gone.
        lost = settings.installed_path.exists() and not (settings.data_path / "valkey").exists()
        said = settings.data_path / store_age.LOST_MARKER
        lost = lost or said.exists()
        async with EmbeddedValkey(
            settings.data_path, maxmemory_bytes=settings.store.memory_bytes_max, store_lost=lost
        ) as valkey:
            self._valkey = valkey
            if lost:
                _log.warning("store_lost")
            # A crash before this line sets the epoch once more at the next start, which refuses a little longer.
            said.unlink(missing_ok=True)
            settings.installed_path.touch(mode=0o600)
            keeping = asyncio.create_task(valkey.keep())
            environment["VALIJA_BROKER_STORE__URL"] = valkey.endpoint.url
            environment["VALIJA_BROKER_STORE__PASSWORD_FILE"] = str(valkey.password_path)
            async with Store(valkey.endpoint, shards=settings.store.shards) as self._store:
                try:
                    yield environment
                finally:
                    await process.end(keeping)

    def _make_children(self, environment: dict[str, str], listening: socket.socket) -> list[Child]:
        upkeep = Child("upkeep", self._order("upkeep", environment), (), self._nursery)
        workers = [
            Child(f"worker-{n}", self._order("worker", environment), (listening.fileno(),), self._nursery)
            for n in range(self._settings.workers)
        ]
        return [upkeep, *workers]

    def _make_console(self, environment: dict[str, str], operators: socket.socket) -> list[Child]:
        """Not one of `_children`: the broker is ready without it."""
        return [Child("console", self._order("console", environment), (operators.fileno(),), self._nursery)]

    def _order(self, program: nursery.Program, environment: dict[str, str]) -> Start:
        return Start(program=program, arguments=(str(self._path),), environment=environment)

    async def _report(self) -> None:
        """Tell the service manager what is missing, and once that nothing is. What it did not hear is said again."""
        ready, said = False, ""
        while True:
            missing = await self._missing()
            words = f"not ready: {', '.join(missing)}" if missing else "ready"
            first = not missing and not ready
            if (first or words != said) and self._manager.tell(*["READY=1"] * first, f"STATUS={words}"):
                ready, said = ready or first, words
            await asyncio.sleep(status_pause_ready_s if ready else status_pause_s)

    async def _beat(self) -> None:
        """Tell the watchdog, twice in its time, that whatever ends would be started again: for ever, or not any more.

        That is what this loop and the nursery are for, and only a start of the whole helps when one of them stands
        still. What else may be missing, a worker that is started again, the store, a directory, is `_report`'s: the end
        of the whole would mend none of it, and would end what still works.
        """
        with contextlib.suppress(NurseryEnded):  # then `serve` ends
            while self._manager.watchdog_s:
                await self._nursery.answer()
                self._manager.tell("WATCHDOG=1")
                await asyncio.sleep(self._manager.watchdog_s / 2)

    @contextlib.asynccontextmanager
    async def _health(self, watched: socket.socket) -> AsyncIterator[None]:
        app = web.Application()
        app.add_routes(
            [
                web.get("/livez", self._livez),
                web.get("/readyz", self._readyz),
                web.get("/readyz/console", self._readyz_console),
                web.get("/metrics", self._metrics),
            ]
        )
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.SockSite(runner, watched).start()
        try:
            yield
        finally:
            await runner.cleanup()

    async def _livez(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _missing(self) -> list[str]:
        """What the broker lacks to be ready."""
        missing = [child.name for child in self._children if not child.ready]
        if not self._children:
            missing.append("processes")
        try:
            heads = await DirectoryShelf(self._store).heads() if self._store else None
            if not heads or not heads.directory or not heads.freshness:
                missing.append("directory")
        except BrokerError:
            missing.append("store")
        return missing

    async def _readyz(self, _: web.Request) -> web.Response:
        if missing := await self._missing():
            return web.Response(status=503, text=f"not ready: {', '.join(missing)}\n")
        return web.Response(text="ready\n")

    async def _readyz_console(self, _: web.Request) -> web.Response:
        if not self._settings.console.runs:
            return web.Response(status=404, text="no console is run\n")
        if not self._consoles or not self._consoles[0].ready:
            return web.Response(status=503, text="not ready: console\n")
        return web.Response(text="ready\n")

    async def _metrics(self, _: web.Request) -> web.Response:
        # Whether counters are files is decided when it is imported, and what the nursery imports must find none here.
        from prometheus_client import (  # noqa: PLC0415
            CONTENT_TYPE_LATEST,
            CollectorRegistry,
            generate_latest,
            multiprocess,
        )  # fmt: skip

        restarts = collections.Counter[str]()
        for child in [*self._children, *self._consoles]:
            restarts[child.kind] += child.restarts
        if self._valkey is not None:
            restarts["valkey"] = self._valkey.restarts
        looked = await scrape.look(
            self._settings,
            self._store,
            ready=not await self._missing(),
            certificate_expires=self._certificate_expires,
            restarts=restarts,
        )
        registry = CollectorRegistry()
        registry.register(scrape.Collector(looked))
        multiprocess.MultiProcessCollector(registry, path=self._metrics_folder)  # type: ignore[no-untyped-call]  # untyped
        body = await asyncio.to_thread(generate_latest, registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


def bind(where: config.Listen | config.Metrics | config.Console) -> socket.socket:
    """A bound socket that children may inherit.

    Raises:
        BadConfig: the address is taken, or not ours.
    """
    unix = "" if isinstance(where, config.Metrics) else where.unix
    try:
        if unix:
            Path(unix).unlink(missing_ok=True)
            bound = socket.socket(socket.AF_UNIX)
            bound.bind(unix)
            Path(unix).chmod(0o660)
        else:
            family = socket.AF_INET6 if ":" in where.host else socket.AF_INET
            bound = socket.socket(family)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((where.host, where.port))
        bound.listen(1024)
    except OSError as error:
        raise BadConfig(f"cannot listen on {unix or f'{where.host}:{where.port}'}: {error.strerror}") from None
    bound.setblocking(False)
    return bound


def describe(bound: socket.socket) -> str:
    """The address of a bound socket, for people."""
    name = bound.getsockname()
    return name if isinstance(name, str) else f"{name[0]}:{name[1]}"


def run(settings: config.Settings, path: Path) -> None:
    """`valija-broker serve`.

    Raises:
        BrokerError: it could not start.
    """
    process.set_up_logs(settings)
    manager = ServiceManager.of(os.environ, os.getpid())  # before the nursery has a copy of the environment
    with (
        tempfile.TemporaryDirectory(prefix="valija-metrics-") as folder,
        nursery.made(folder, manager.listening) as made,
    ):
        asyncio.run(Supervisor(settings, path, made, folder, manager).serve())
