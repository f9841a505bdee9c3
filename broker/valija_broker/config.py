"""The broker's settings. deploy/broker.example.toml explains each one; the environment may override any of them.

`VALIJA_BROKER_LISTEN__PORT=8443` stands for `port` in the section `[listen]`. Secrets are files that a setting names.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from valija_broker.errors import BadConfig
from valija_schemas import keys, limits, settings

ENVIRONMENT_PREFIX = "VALIJA_BROKER_"

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
_Positive = Annotated[int, msgspec.Meta(ge=1)]


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """Which exchange this is."""

    origin: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9.-]{0,252}$")]  #: First line of every note.
    root_digest: Annotated[str, msgspec.Meta(pattern=r"^\s*(([0-9a-fA-F]\s*){64})?$")] = ""
    """Digest of root 1, compared by hand; also in blocks of four, as `valija-registry show` prints it."""

    @property
    def anchor(self) -> str:
        """The digest, without blanks."""
        return keys.unblocked(self.root_digest)


class Listen(msgspec.Struct, frozen=True, kw_only=True):
    """Where the agencies come in."""

    host: str = "127.0.0.1"
    port: Port = 8443
    unix: str = ""  #: A Unix socket instead of host and port.
    authorities: tuple[str, ...] = ()  #: What `Host` may say; by default host:port.
    tls: Literal["direct", "proxy", "none"] = "none"  #: `none` on loopback or a Unix socket only.
    proxies: tuple[str, ...] = ()  #: With `proxy`: addresses that may connect.
    connections_max: Annotated[int, msgspec.Meta(ge=64, le=1_000_000)] = 4_096  #: Of each worker, of everybody.
    certificate: str = ""
    certificate_key: str = ""  #: A file.


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """A listener of its own for /livez, /readyz, /metrics."""

    host: str = "127.0.0.1"
    port: Port = 9464
    canary_file: str = ""  #: What `valija canary --report` writes; empty where no canary runs.


class Console(msgspec.Struct, frozen=True, kw_only=True):
    """Where operators come in, by a browser or a program. Off where neither port nor socket is set."""

    host: str = "127.0.0.1"
    port: Port = 0  #: 0: no console is run, unless `unix` is set.
    unix: str = ""  #: A Unix socket instead of host and port.
    address: str = ""  #: As operators type it: `https://console.exchange.example`; by default http://host:port.
    tls: Literal["direct", "proxy", "none"] = "none"  #: As in `Listen`.
    proxies: tuple[str, ...] = ()
    certificate: str = ""
    certificate_key: str = ""

    @property
    def runs(self) -> bool:
        """Whether there is one."""
        return bool(self.port or self.unix)

    @property
    def url(self) -> str:
        """Its address, without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.address or (f"http://{host}" if self.port == 80 else f"http://{host}:{self.port}")


class Store(msgspec.Struct, frozen=True, kw_only=True):
    """Valkey. Without a URL the broker starts one of its own in its data folder."""

    url: str = ""
    password_file: str = ""
    shards: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1  #: Fixed at installation.
    replicas: Annotated[int, msgspec.Meta(ge=0, le=5)] = 0  #: How many replicas must have synced before we answer.
    memory_bytes_max: _Positive = 1024**3  #: Of the embedded server.


class Quotas(msgspec.Struct, frozen=True, kw_only=True):
    """What one broker may choose; the limits of the format are in SPEC.md section 1.8."""

    lease_ms: Annotated[int, msgspec.Meta(ge=1_000, le=limits.HOUR_MS)] = 60_000
    attempts_max: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 10
    lease_bytes_max: Annotated[int, msgspec.Meta(ge=limits.message_bytes_max, le=8 * 1024 * 1024)] = 4 * 1024 * 1024
    pair_messages_max: _Positive = 10_000
    pair_bytes_max: _Positive = 256 * 1024 * 1024
    sender_bytes_max: _Positive = 256 * 1024 * 1024  #: Of one sender, whoever it is for.
    outbox_events_max: _Positive = 1_000_000
    submit_per_minute_max: _Positive = 6_000  #: Messages of one sender, over all workers.
    point_connections_max: _Positive = 256  #: Of one contact point, in each worker.
    open_bytes_max: Annotated[int, msgspec.Meta(ge=16 * 1024 * 1024)] = 64 * 1024 * 1024


class Log(msgspec.Struct, frozen=True, kw_only=True):
    """The transparency log."""

    retain_days: Annotated[int, msgspec.Meta(ge=limits.openings_kept_min_ms // limits.DAY_MS, le=36_500)] = 3_650
    """How long openings stay after a message's last event."""
    witnesses: tuple[str, ...] = ()  #: Addresses of the witnesses that the root names (C2SP tlog-witness).


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that can be set."""

    exchange: Exchange
    data: str  #: Folder of everything that must survive: store, evidence, keys.
    directory: str = ""  #: Folder where the registry authority's signed notes are put; by default <data>/directory.
    keys: str = ""  #: The broker's private keys; by default <data>/keys.toml.
    workers: Annotated[int, msgspec.Meta(ge=1, le=64)] = 2
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    listen: Listen = Listen()
    metrics: Metrics = Metrics()
    console: Console = Console()
    store: Store = Store()
    quotas: Quotas = Quotas()
    log: Log = Log()

    @property
    def data_path(self) -> Path:
        """The data folder."""
        return Path(self.data)

    @property
    def keys_path(self) -> Path:
        """The file of the broker's private keys."""
        return Path(self.keys) if self.keys else self.data_path / "keys.toml"

    @property
    def directory_path(self) -> Path:
        """Where signed roots and directories are put to be published."""
        return Path(self.directory) if self.directory else self.data_path / "directory"

    @property
    def installed_path(self) -> Path:
        """An empty file: a store was set up here before."""
        return self.data_path / "installed"

    @property
    def evidence_path(self) -> Path:
        """The evidence store."""
        return self.data_path / "evidence.sqlite"

    @property
    def disks(self) -> tuple[Path, ...]:
        """Folders on whose disks there must be room before anything new is accepted."""
        return (self.data_path,) if self.store.url else (self.data_path, self.data_path / "valkey")

    @property
    def orders_path(self) -> Path:
        """Where orders of operators wait for upkeep."""
        return self.data_path / "orders"

    @property
    def upkeep_lock_path(self) -> Path:
        """What the one upkeep of the data folder holds while it runs."""
        return self.data_path / "upkeep.lock"

    @property
    def canary_path(self) -> Path | None:
        """What the canary last came back with; None where none is run."""
        return Path(self.metrics.canary_file) if self.metrics.canary_file else None

    @property
    def seen_path(self) -> Path:
        """When each contact point was last heard from."""
        return self.data_path / "seen"

    @property
    def log_path(self) -> Path:
        """The published log: tiles, entry bundles, checkpoint."""
        return self.data_path / "log"


def load(path: Path, environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings in `path`, with the environment over them.

    Raises:
        BadConfig: see the text.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadConfig(f"{path} cannot be read: {error.strerror}") from None
    ours = {name: value for name, value in environ.items() if name != "VALIJA_BROKER_CONFIG"}
    try:
        found = settings.load(Settings, text, ours, ENVIRONMENT_PREFIX)
    except settings.SettingsError as error:
        raise BadConfig(f"{path}: {error}") from None
    check(found, path)
    return found


def check(found: Settings, path: Path) -> None:
    """Refuse settings that contradict each other or are not safe.

    Raises:
        BadConfig: see the text.
    """
    listen = found.listen
    if listen.tls == "proxy" and not listen.authorities:
        raise BadConfig(f"{path}: behind a proxy, `listen.authorities` must name what clients call this broker")
    if listen.tls == "direct" and not listen.authorities and listen.host in {"0.0.0.0", "::"}:  # noqa: S104 - refused
        raise BadConfig(f"{path}: listening on every address, `listen.authorities` must name what clients call it")
    _check_door(listen, "listen", path)
    if found.console.runs:
        _check_door(found.console, "console", path)
        _check_address(found.console, path)
    if not found.store.url and found.store.shards != 1:
        raise BadConfig(f"{path}: the embedded store has one shard")
    if found.store.url and not found.store.url.startswith(("redis://", "rediss://", "unix://")):
        raise BadConfig(f"{path}: `store.url` begins with redis://, rediss:// or unix://")
    for url in found.log.witnesses:
        if not url.startswith(("https://", "http://127.0.0.1:", "http://[::1]:")):
            raise BadConfig(f"{path}: a witness in `log.witnesses` is reached by https, or on loopback")
    if "@" in found.store.url:
        raise BadConfig(f"{path}: the store's password goes into a file that `store.password_file` names")


def _check_door(door: Listen | Console, name: str, path: Path) -> None:
    if door.tls == "direct" and not (door.certificate and door.certificate_key):
        raise BadConfig(f'{path}: `{name}.tls = "direct"` needs `{name}.certificate` and `{name}.certificate_key`')
    if door.tls == "none" and not door.unix and door.host not in {"127.0.0.1", "::1", "localhost"}:
        raise BadConfig(f"{path}: without TLS the broker listens on loopback or on a Unix socket only")
    if door.tls == "proxy" and not door.proxies and not door.unix:
        raise BadConfig(f"{path}: behind a proxy, `{name}.proxies` must list the addresses that may connect")


def _check_address(console: Console, path: Path) -> None:
    if not console.address and (console.tls != "none" or console.unix):
        raise BadConfig(f"{path}: `console.address` must say how operators reach the console")
    scheme = "http" if console.tls == "none" and not console.unix else "https?" if console.tls == "none" else "https"
    usual = console.url.endswith(":443" if console.url.startswith("https") else ":80")
    if usual or not re.fullmatch(rf"{scheme}://([a-z0-9.-]+|\[[0-9a-f:]+\])(:[1-9][0-9]{{0,4}})?", console.url):
        raise BadConfig(
            f"{path}: `console.address` is {scheme.replace('s?', '')}:// and a host in lower case, no path, and the"
            " port only if it is not the usual one"
        )


def require_anchor(found: Settings) -> None:
    """Refuse to serve without the digest of root 1: nothing in a directory could be believed.

    Raises:
        BadConfig: it is not set.
    """
    if not found.exchange.anchor:
        raise BadConfig("`exchange.root_digest` is not set: `valija-registry show` prints it, compare it by telephone")
