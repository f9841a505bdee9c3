"""The connection to Valkey: how a call reaches the store, and what comes back.

Three kinds of connection, never mixed: the command client for short calls, a `Line` that the group commit owns
alone (a function call and its WAITAOF must be on one connection), and a subscription. None of them retries: a
library's retry after a lost reply is a second write. Whoever repeats, repeats with the same ids, above this room.

Before this room: `queue`, `shelves`, `wake`, `layout`. After it: nothing. Rules: broker/DESIGN.md, "Queues".
"""

import asyncio
import math
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
    StoreUnavailable,
)

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
        "fcall", "get", "hgetall", "hmget", "info", "ping", "publish", "subscribe", "time", "unsubscribe", "waitaof",
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


fields_keys_max: Final = 500  #: Read in one write: the server answers others in between.


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where a store is and who we are there."""

    url: str  #: `unix:///path`, `redis://host:port` or `rediss://host:port`, without credentials.
    username: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        """Without the password: this lands in logs."""
        return f"Endpoint(url={self.url!r}, username={self.username!r})"


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

    async def fields(self, keys: Sequence[str], names: Sequence[str]) -> list[list[bytes | None]]:
        """These fields of each of these hashes, `fields_keys_max` in one write; None for what is not there.

        Raises:
            StoreUnavailable: it could not be reached.
            StoreFault: one is no hash.
        """
        found: list[list[bytes | None]] = []
        for at in range(0, len(keys), fields_keys_max):
            pipeline = self._commands.pipeline(transaction=False)
            for key in keys[at : at + fields_keys_max]:
                pipeline.execute_command("HMGET", key, *names)
            try:
                found += await pipeline.execute()
            except (redis.exceptions.RedisError, OSError) as error:
                raise translate(error) from error
        return found

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
