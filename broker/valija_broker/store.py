"""The connection to Valkey: how a call reaches the store, and which stores are fit for it.

Three kinds of connection, never mixed: the command client for short calls, a `Line` that the group commit owns
alone (a function call and its WAITAOF must be on one connection), and a subscription. None of them retries: a
library's retry after a lost reply is a second write. Whoever repeats, repeats with the same ids, above this room.

`library` puts the Lua files of functions/ together, `migrate` loads them (deploy rights), `check` refuses a server
that would lose mail. Before this room: nothing. After it: `queue`, `wake`. Rules: broker/DESIGN.md, "Queues".
"""

import asyncio
import functools
import hashlib
import importlib.resources
import math
import re
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

import msgspec
import redis.asyncio
import redis.exceptions
from redis.asyncio.connection import AbstractConnection, Connection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from valija_broker.errors import (
    BrokerError,
    ClockSkew,
    StoreFault,
    StoreFull,
    StoreRefused,
    StoreUnavailable,
)

LIBRARY: Final = "valija_2"
DATA_VERSION: Final = 2  #: Of the data layout; the same number stands in functions/common.lua.
VALKEY_9_FLOOR: Final = (9, 0, 3)  #: Before it anybody who can connect can stop the server (CVE-2026-27623).

#: What the Lua files call. A function runs with its caller's rights, so the application user needs these too;
#: a test derives the list from the files.
FUNCTION_COMMANDS: Final = frozenset(
    {
        "del", "get", "hdel", "hget", "hincrby", "hmget", "hset", "incr", "publish", "set", "time",
        "xadd", "xdel", "xlen", "zadd", "zcard", "zrange", "zrem", "zscore",
    }
)  # fmt: skip
#: What this package calls beside FCALL. No command here can take data away.
OWN_COMMANDS: Final = frozenset(
    {
        "fcall", "get", "hgetall", "hmget", "info", "ping", "publish", "subscribe", "unsubscribe", "waitaof",
        "xinfo", "xlen", "xrange", "zcard", "zrange",
    }
)  # fmt: skip

#: Error replies that speak of the server's state and not of the call. The library drops the word from the text of
#: those that it has a class for.
_STATES: Final = (
    redis.exceptions.ReadOnlyError, redis.exceptions.ClusterDownError, redis.exceptions.MasterDownError,
    redis.exceptions.AskError, redis.exceptions.TryAgainError, redis.exceptions.AuthenticationError,
)  # fmt: skip
_STATE_WORDS: Final = ("LOADING", "MISCONF", "NOREPLICAS", "BUSY", "UNBLOCKED", "NOAUTH", "WRONGPASS")


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where a store is and who we are there."""

    url: str  #: `unix:///path`, `redis://host:port` or `rediss://host:port`, without credentials.
    username: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        """Without the password: this lands in logs."""
        return f"Endpoint(url={self.url!r}, username={self.username!r})"


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """What the store says about itself (`{s0}:layout`)."""

    version: int  #: Of the data layout.
    epoch: int  #: 0 on a first installation, else when the store was set up again after a loss, in ms.
    shards: int  #: Fixed at installation.


class Library(msgspec.Struct, frozen=True, kw_only=True):
    """The Lua files put together."""

    code: str
    hash: str  #: Hex SHA-256 of the code before the hash was written into it.


@functools.cache
def library() -> Library:
    """Put the packaged Lua files together: what they share first, then each in a block of its own."""
    folder = importlib.resources.files("valija_broker") / "functions"
    files = {entry.name: entry.read_text("utf-8") for entry in folder.iterdir() if entry.name.endswith(".lua")}
    common = files.pop("common.lua")
    blocks = [f"do -- {name}\n{text}end\n" for name, text in sorted(files.items())]
    code = f"#!lua name={LIBRARY}\n" + "\n".join([common, *blocks])
    digest = hashlib.sha256(code.encode()).hexdigest()
    return Library(code=code.replace("@CODE_HASH@", digest), hash=digest)


def translate(error: Exception) -> BrokerError:
    """Say what an error of the client library means for the caller."""
    text = str(error)
    if isinstance(error, redis.exceptions.OutOfMemoryError) or text.startswith("OOM"):
        return StoreFull(text)
    if text.startswith("CLOCK"):
        return ClockSkew(text)
    about_the_server = isinstance(error, _STATES) or text.startswith(_STATE_WORDS) or "Function not found" in text
    if isinstance(error, redis.exceptions.ResponseError) and not about_the_server:
        return StoreFault(text)
    return StoreUnavailable(text or type(error).__name__)


class Line:
    """One connection that one task owns. Not safe to share.

    After any failure or cancellation the connection is closed, so that no reply can be taken for another's.
    """

    def __init__(self, connection: AbstractConnection) -> None:
        self._connection = connection

    async def send(self, *commands: Sequence[Any]) -> list[Any]:
        """Send `commands` in one write and return their replies, an error reply as an exception in its place.

        Raises:
            StoreUnavailable: the connection failed; nothing can be said about the outcome.
        """
        connection = self._connection
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
            await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
            replies: list[Any] = []
            for _ in commands:
                try:
                    replies.append(await connection.read_response())
                except redis.exceptions.ResponseError as error:
                    replies.append(error)
        except redis.exceptions.RedisError as error:
            await self.close()
            raise StoreUnavailable(str(error) or type(error).__name__) from error
        except BaseException:
            await asyncio.shield(self.close())
            raise
        return replies

    async def close(self) -> None:
        """Close the connection; the next `send` opens it again."""
        await self._connection.disconnect(nowait=True)


class Store:
    """The store as this process reaches it. Safe to share between tasks; an `async with`.

    A sharded store on several servers is reached through one `Store` a server; on one server all shards are here.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        shards: int = 1,
        replicas: int = 0,
        timeout_s: float = 5.0,
        connections_max: int = 64,
    ) -> None:
        self.endpoint = endpoint
        self.shards = shards
        self.replicas = replicas  #: How many must have synced a write before it counts.
        self.timeout_s = timeout_s
        self._connections_max = connections_max
        self._commands = self._client(timeout_s)

    def _kwargs(self, timeout_s: float) -> tuple[type[AbstractConnection], dict[str, Any]]:
        kwargs: dict[str, Any] = dict(parse_url(self.endpoint.url))
        kind = kwargs.pop("connection_class", Connection)
        kwargs |= {
            "username": self.endpoint.username,
            "password": self.endpoint.password,
            "socket_timeout": timeout_s,
            "socket_connect_timeout": self.timeout_s,
            "retry": Retry(NoBackoff(), 0),  # the default of ten retries turns one lost reply into two writes
            "protocol": 2,
            "driver_info": None,  # CLIENT SETINFO is not among our rights
        }
        return kind, kwargs

    def _client(self, timeout_s: float) -> redis.asyncio.Redis:
        kind, kwargs = self._kwargs(timeout_s)
        pool = redis.asyncio.BlockingConnectionPool(
            connection_class=kind, max_connections=self._connections_max, timeout=self.timeout_s, **kwargs
        )
        client = redis.asyncio.Redis.from_pool(pool)
        client.response_callbacks.clear()  # replies as the server sends them, whatever the library's version
        return client

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the command client; lines and subscriptions close with their owners."""
        await self._commands.aclose()

    def line(self) -> Line:
        """A connection of its own for one task."""
        kind, kwargs = self._kwargs(self.timeout_s)
        return Line(kind(**kwargs))

    def subscriber(self) -> redis.asyncio.Redis:
        """A client for one subscription; its reads may wait for ever, and the caller closes it."""
        return self._client(math.inf)

    def prefix(self, shard: int) -> str:
        """The hash tag and colon that every key of `shard` starts with."""
        return f"{{s{shard}}}:"

    async def call(self, function: str, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """Call a function of the library once.

        Raises:
            StoreUnavailable: nothing can be said about the outcome.
            StoreFull: the server has no memory left; nothing was done.
            StoreFault: the function refused its arguments; nothing was done.
        """
        return await self.run("FCALL", function, len(keys), *keys, *args)

    async def run(self, *command: Any) -> Any:
        """Send one command once and return its reply as the server sent it. For reading; changes go by `call`.

        Raises:
            StoreUnavailable: nothing can be said about the outcome.
        """
        try:
            return await self._commands.execute_command(*command)  # type: ignore[no-untyped-call]
        except (redis.exceptions.RedisError, OSError) as error:
            raise translate(error) from error


_u32: Final = struct.Struct(">I").pack
_u64: Final = struct.Struct(">Q").pack


def pack(value: Any) -> bytes:
    """MessagePack as the server's Lua reads it: bytes and text alike as its string type, since it knows no other."""
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return b"\xdb" + _u32(len(value)) + value
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return b"\xcf" + _u64(value)
    if isinstance(value, Mapping):
        members = [pack(part) for member in value.items() for part in member]
        return b"\xdf" + _u32(len(value)) + b"".join(members)
    return b"\xdd" + _u32(len(value)) + b"".join([pack(member) for member in value])


# Setting up and checking


async def migrate(deploy: Store, *, now: int, lost: bool = False) -> Layout:
    """Load the library and write the layout; `deploy` connects as the deploy user. Repeating it changes nothing.

    `now` is in ms. With `lost` the caller knows that an earlier store is gone, and the epoch says since when this
    one counts: nonces and deduplication records of before are unknown.

    Raises:
        StoreRefused: the store is of another release, or has another number of shards; nothing was changed.
        StoreUnavailable: it could not be reached, or stopped half way; repeat.
    """
    layouts = [await _layout(deploy, shard) for shard in range(deploy.shards)]
    for known in layouts:
        if known is not None:
            _accept_layout(known, deploy.shards)
    # A crash after this line leaves the library and no layout, which no broker takes for a store that is set up.
    await deploy.run("FUNCTION", "LOAD", "REPLACE", library().code)
    for shard, known in enumerate(layouts):
        epoch = now if lost else (known.epoch if known else 0)
        # A crash between shards leaves some without a layout: the next run writes them.
        values = ("version", DATA_VERSION, "epoch", epoch, "shards", deploy.shards)
        await deploy.run("HSET", deploy.prefix(shard) + "layout", *values)
    layout = await _layout(deploy, 0)
    if layout is None:
        raise StoreUnavailable("the layout that was just written is not there")
    return layout


async def _layout(store: Store, shard: int) -> Layout | None:
    flat = await store.run("HGETALL", store.prefix(shard) + "layout")
    if not flat:
        return None
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    try:
        return Layout(version=int(fields[b"version"]), epoch=int(fields[b"epoch"]), shards=int(fields[b"shards"]))
    except (KeyError, ValueError):
        raise StoreRefused("what the store says of itself was altered: see deploy/RUNBOOK.md, section 5") from None


def _accept_layout(layout: Layout, shards: int) -> None:
    if layout.version > DATA_VERSION:
        raise StoreRefused(f"the store has data version {layout.version}; this broker knows up to {DATA_VERSION}")
    if layout.version < DATA_VERSION:
        raise StoreRefused(
            f"the store has data version {layout.version}, and this broker reads {DATA_VERSION}: let the earlier"
            " release hand over what waits, then begin with an empty store (deploy/RUNBOOK.md, section 3)"
        )
    if layout.shards != shards:
        raise StoreRefused(f"the store was installed with {layout.shards} shards, the settings say {shards}")


async def epoch_of(store: Store) -> int:
    """Since when the store counts, in ms; 0 for a first installation, and for one that is not set up.

    Raises:
        StoreUnavailable: it could not be reached.
    """
    layout = await _layout(store, 0)
    return layout.epoch if layout else 0


async def check(store: Store, *, durable: bool = True) -> tuple[Layout, list[str]]:
    """Refuse a server that would lose mail, and return the layout and warnings for the operator.

    `durable=False` is for tests of other things: it lets a server without an append-only file pass.

    Raises:
        StoreRefused: the message says what to change.
        StoreUnavailable: it could not be reached.
    """
    lines = (await store.run("INFO")).decode().splitlines()
    info = dict(line.split(":", 1) for line in lines if ":" in line)
    warnings: list[str] = []
    name = "valkey" if "valkey_version" in info else "redis"
    version = tuple(int(n) for n in re.findall(r"\d+", str(info.get("valkey_version", info["redis_version"])))[:3])
    if name == "redis" and version < (7, 0):
        raise StoreRefused(f"Redis {_dotted(version)} has no functions: use Valkey, or Redis 7.0 or later")
    if name == "valkey" and (9, 0) <= version < VALKEY_9_FLOOR:
        warnings.append(f"Valkey {_dotted(version)} can be stopped by anybody who can connect: use 9.0.3 or later")
    if store.replicas and name == "redis" and version < (7, 2):
        raise StoreRefused(f"replicas are configured, and Redis {_dotted(version)} has no WAITAOF: use 7.2 or later")
    if info.get("cluster_enabled") == "1":
        raise StoreRefused(
            "this server is part of a cluster, which this release does not route to: use a single primary"
        )
    if info.get("role", "master") != "master":
        raise StoreRefused("this server is a replica")
    if info.get("maxmemory_policy") != "noeviction":
        raise StoreRefused(
            f"maxmemory-policy is {info.get('maxmemory_policy')}: the server would drop mail; set noeviction"
        )
    if not int(info.get("maxmemory", 0)):
        warnings.append("maxmemory is 0: the system would kill the server before it could refuse; set it")
    if not int(info.get("aof_enabled", 0)):
        if durable:
            raise StoreRefused("appendonly is off: mail would be lost with the process; set appendonly yes")
        warnings.append("appendonly is off")
    if info.get("aof_last_write_status", "ok") != "ok":
        warnings.append("the last write to the append-only file failed")
    if store.replicas > int(info.get("connected_slaves", 0)):
        warnings.append(f"{store.replicas} replicas are required, {info.get('connected_slaves', 0)} are connected")

    about = await store.call("about_2", [], [])
    if about[0].decode() != library().hash:
        raise StoreRefused("the functions in the store are of another release: run `valija-broker migrate`")
    layouts = [await _layout(store, shard) for shard in range(store.shards)]
    for layout in layouts:
        if layout is None:
            raise StoreRefused("the store was not set up: run `valija-broker migrate`")
        _accept_layout(layout, store.shards)
    first = layouts[0]
    if first is None:  # pragma: no cover - the loop above refused it
        raise StoreRefused("the store was not set up: run `valija-broker migrate`")
    return first, warnings


async def check_settings(deploy: Store) -> None:
    """Refuse settings that only a deploy user can read. `migrate` is run with such a user.

    Raises:
        StoreRefused: the message says what to change.
    """
    wanted = {
        "appendfsync": "always", "aof-load-truncated": "no", "no-appendfsync-on-rewrite": "no",
        "propagation-error-behavior": "panic",
    }  # fmt: skip
    for name, value in wanted.items():
        flat = await deploy.run("CONFIG", "GET", name)
        found = flat[1].decode() if flat else "not known to this server"
        if found != value:
            raise StoreRefused(f"{name} is {found}: an acknowledged message could be lost; set {value}")


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(n) for n in version)
