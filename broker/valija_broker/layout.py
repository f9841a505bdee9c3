"""What a store is before its first message: our functions and the layout in it; and which servers are fit to be one.

`library` puts the Lua files of functions/ together, `migrate` loads them and writes the layout (deploy rights), `check`
refuses a server that would lose mail, or that another release set up. All of it may be repeated at every start.

Before this room: `cli`, `embedded`, `app`, `upkeep`. After it: `store`. Rules: broker/DESIGN.md, "Queues".
"""

import functools
import hashlib
import importlib.resources
import re
from typing import Final

import msgspec

from valija_broker.errors import StoreRefused, StoreUnavailable
from valija_broker.store import Store

LIBRARY: Final = "valija_3"
DATA_VERSION: Final = 3  #: Of the data layout; the same number stands in functions/common.lua.
VALKEY_9_FLOOR: Final = (9, 0, 3)  #: Before it anybody who can connect can stop the server (CVE-2026-27623).


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

    about = await store.call("about_3", [], [])
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
