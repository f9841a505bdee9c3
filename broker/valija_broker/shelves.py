"""The store's smaller shelves: the outbox of events, the nonces of requests, and the published directory.

Outbox: nothing changes in a queue without its event, written in the same atomic step; upkeep copies events into
the evidence store and removes them here by exact id, so a crash between the two repeats and never loses.

Before this room: `upkeep`, `caller`, `directory`. After it: `store`. Rules: broker/DESIGN.md, "Queues".
"""

import hashlib
import secrets
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from valija_broker.errors import CorruptRecord, ShelfConflict, StoreFault, StoreUnavailable
from valija_broker.store import Store

forget_ids_max: Final = 1000  #: Of one removal call.

_encode: Final = msgspec.msgpack.Encoder().encode
_decode_holds: Final = msgspec.msgpack.Decoder(list[bytes]).decode

_FIELDS: Final = ("event", "from", "to", "subject", "time", "directory", "reason", "salt", "key", "note", "headline")


class Directory(msgspec.Struct, frozen=True, array_like=True):
    """A directory version as evidence names it."""

    version: int
    digest: str  #: Hex SHA-256.

    def text(self) -> str:
        """As it stands in the store."""
        return f"{self.version} {self.digest}"

    @classmethod
    def parse(cls, text: str) -> "Directory":
        """Read what `text` wrote."""
        version, digest = text.split(" ")
        return cls(int(version), digest)


class OutboxEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One event, as the step that caused it wrote it."""

    shard: int
    id: str  #: Of the stream entry; with the shard it names the event for ever.
    event: str  #: A name of SPEC.md section 5.
    sender: str  #: Of the message that it speaks of.
    to: str  #: The one recipient that it speaks of, or empty for all.
    subject: bytes  #: What the evidence room builds for the message; the store compares it and reads nothing in it.
    time: int  #: ms.
    directory: Directory
    reason: str  #: Empty when there is none.
    salt: bytes  #: 32 random bytes, drawn with the event.
    key: str  #: Id of the evidence key of a note that the broker signed, or empty.
    note: bytes  #: The signed note, where there is one.
    headline: bytes = b""  #: Of an acceptance: what its message's header says besides (`evidence.Headline`).

    @property
    def taken_ms(self) -> int:
        """When the step that wrote it took place, by the store's clock; a receipt's `time` is its recipient's word."""
        return int(self.id.partition("-")[0])


class CorruptEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the outbox that does not match its sum."""

    shard: int
    id: str


class Outbox:
    """The events that the evidence store does not hold yet. Safe to share between tasks."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def _key(self, shard: int) -> str:
        return self._store.prefix(shard) + "outbox"

    async def read(self, shard: int, count: int = 500, *, after: str = "") -> list[OutboxEntry | CorruptEntry]:
        """The oldest `count` entries of a shard, in order, or those after the entry `after`. Reading removes nothing.

        An entry that was altered comes as a `CorruptEntry` in its place, so that it cannot stand in the way of others.

        Raises:
            StoreUnavailable: it could not be reached.
        """
        start = f"({after}" if after else "-"
        rows = await self._store.run("XRANGE", self._key(shard), start, "+", "COUNT", count)
        return [_entry(shard, row_id, fields) for row_id, fields in rows]

    async def remove(self, shard: int, ids: Sequence[str]) -> int:
        """Remove exactly these entries, and return how many were there.

        Call it after the evidence store committed them. A crash before it means that they are read again.

        Raises:
            StoreUnavailable: nothing can be said; the same call again is safe.
        """
        removed = 0
        for at in range(0, len(ids), forget_ids_max):
            part = ids[at : at + forget_ids_max]
            removed += await self._store.call("forget_3", [self._key(shard)], part)
        return removed

    async def newest(self, shard: int) -> tuple[int, int]:
        """The id of the newest entry that a shard ever had, removed or not; zeros where it never had one.

        Raises:
            StoreUnavailable: it could not be reached.
        """
        try:
            fields = await self._store.run("XINFO", "STREAM", self._key(shard))
        except StoreFault:  # it has no stream yet
            return 0, 0
        return entry_number(dict(zip(fields[::2], fields[1::2], strict=True))[b"last-generated-id"].decode())

    async def oldest(self, shard: int) -> int | None:
        """When the first entry that waits was written, in ms by the server's clock; None where none waits.

        Raises:
            StoreUnavailable: it could not be reached.
        """
        rows = await self._store.run("XRANGE", self._key(shard), "-", "+", "COUNT", 1)
        return entry_number(rows[0][0].decode())[0] if rows else None

    async def pending(self) -> int:
        """How many entries wait, in all shards."""
        total = 0
        for shard in range(self._store.shards):
            total += await self._store.run("XLEN", self._key(shard))
        return total


def entry_number(id_: str) -> tuple[int, int]:
    """The two numbers of an entry's id, by which entries are ordered."""
    time, _, count = id_.partition("-")
    return int(time), int(count)


def sum_of(parts: Sequence[bytes]) -> bytes:
    """The sum that the functions keep with what must not change unseen (`sum_of` in common.lua).

    It finds flipped bits, not forgers: who can write into the store can write a sum.
    """
    joined = b"".join(b"%d:%b" % (len(part), part) for part in parts)
    return hashlib.sha1(joined, usedforsecurity=False).hexdigest().encode()


def _pairs(fields: Sequence[bytes]) -> dict[str, bytes]:
    return {key.decode(errors="replace"): value for key, value in zip(fields[::2], fields[1::2], strict=True)}


def _entry(shard: int, row_id: bytes, row: Sequence[bytes]) -> OutboxEntry | CorruptEntry:
    """An entry as the stream holds it. One whose sum fits and that says nothing is no better than an altered one."""
    try:
        found = _summed(shard, row_id, _pairs(row))
    except ValueError:
        found = None
    return found or CorruptEntry(shard=shard, id=row_id.decode())


def _summed(shard: int, row_id: bytes, fields: dict[str, bytes]) -> OutboxEntry | None:
    parts = {name: fields.get(name, b"") for name in _FIELDS}  # a name that was altered has lost an empty value only
    if sum_of(list(parts.values())) != fields.get("sum"):
        return None
    return OutboxEntry(
        shard=shard,
        id=row_id.decode(),
        event=parts["event"].decode(),
        sender=parts["from"].decode(),
        to=parts["to"].decode(),
        subject=parts["subject"],
        time=int(parts["time"]),
        directory=Directory.parse(parts["directory"].decode()),
        reason=parts["reason"].decode(),
        salt=parts["salt"],
        key=parts["key"].decode(),
        note=parts["note"],
        headline=parts["headline"],
    )


class Nonces:
    """Which nonces requests have used. They live in shard 0: a key id says nothing about a shard."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def record(self, key_id: str, nonce: str, ttl_ms: int) -> bool:
        """Note a nonce for `ttl_ms`; False when it was used before.

        Raises:
            StoreUnavailable: nothing can be said; the request must not be carried out.
        """
        key = f"{self._store.prefix(0)}n:{key_id}:{nonce}"
        caller = secrets.token_hex(8)
        try:
            first = await self._store.call("nonce_3", [key], [caller, ttl_ms])
        except StoreUnavailable:
            first = await self._store.call("nonce_3", [key], [caller, ttl_ms])  # our own first call answers as first
        return bool(first == 1)


class Heads(msgspec.Struct, frozen=True, kw_only=True):
    """The newest of what is published; 0 and empty before the first."""

    root: int = 0
    directory: int = 0
    freshness: bytes = b""
    holds: str = ""  #: What the list of holds has to be: its SHA-1, in hex. It says that the list changed, and no more.


class DirectoryShelf:
    """The root, directory and freshness notes that the broker serves, and the holds. Verified by whoever reads them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._prefix = store.prefix(0)

    async def publish_root(self, number: int, note: bytes) -> None:
        """Publish root `number`, the one after the newest. The same note again changes nothing.

        Raises:
            ShelfConflict: another note has this number, or the one before is missing.
            StoreUnavailable: nothing can be said; repeat.
        """
        await self._publish("root", number, note)

    async def publish_directory(self, number: int, note: bytes) -> None:
        """Publish directory `number`, the one after the newest. The same note again changes nothing.

        Raises:
            ShelfConflict: another note has this number, or the one before is missing.
            StoreUnavailable: nothing can be said; repeat.
        """
        await self._publish("directory", number, note)

    async def set_freshness(self, note: bytes) -> None:
        """Replace the freshness note."""
        heads = self._prefix + "heads"
        await self._store.call("publish_3", [heads, heads], ["freshness", 0, note])

    async def set_holds(self, holds: Sequence[bytes]) -> None:
        """Replace the notes of the holds in force."""
        heads = self._prefix + "heads"
        await self._store.call("publish_3", [heads, self._prefix + "holds"], ["holds", 0, _encode(list(holds))])

    async def shows(self, holds: Sequence[bytes]) -> bool:
        """Whether exactly these holds are there, with what tells every process of them; or none ever were."""
        tag = (await self.heads()).holds
        if not tag and not holds:
            return True
        return await self.holds(tag) == list(holds)

    async def holds(self, tag: str) -> list[bytes] | None:
        """The notes of the holds in force; None where the list is not the one that `tag` of the heads tells of."""
        raw = await self._read("holds") or b""
        try:
            return _decode_holds(raw) if hashlib.sha1(raw, usedforsecurity=False).hexdigest() == tag else None
        except msgspec.MsgspecError:
            return None

    async def _publish(self, kind: Literal["root", "directory"], number: int, note: bytes) -> None:
        # A crash after this call leaves the version published: the caller that repeats it hears `same`.
        keys = [self._prefix + "heads", f"{self._prefix}{kind}:{number}"]
        answer = (await self._store.call("publish_3", keys, [kind, number, note])).decode()
        if answer == "gap":
            raise ShelfConflict(f"{kind} {number} does not follow the newest one")
        if answer == "conflict":
            raise ShelfConflict(f"another note is published as {kind} {number}")

    async def heads(self) -> Heads:
        """The newest versions and the freshness note."""
        names = ("root", "directory", "freshness", "holds")
        root, directory, freshness, holds = await self._store.run("HMGET", self._prefix + "heads", *names)
        try:
            return Heads(
                root=int(root or 0),
                directory=int(directory or 0),
                freshness=freshness or b"",
                holds=(holds or b"").decode(errors="replace"),
            )
        except ValueError:
            raise CorruptRecord("the number of the newest root or directory was altered") from None

    async def root(self, number: int) -> bytes | None:
        """The note of root `number`, or None."""
        return await self._read(f"root:{number}")

    async def directory(self, number: int) -> bytes | None:
        """The note of directory `number`, or None."""
        return await self._read(f"directory:{number}")

    async def _read(self, name: str) -> bytes | None:
        note: bytes | None = await self._store.run("GET", self._prefix + name)
        return note
