"""The log as workers see it: public checkpoint and tiles, read from the folder, and each party's feed with proofs.

Nothing here writes, and nothing is shown before a published checkpoint covers it. A page of a feed is proved against
the one checkpoint that was read at its start. Neither SQLite nor the files have sums of their own: each event is
compared with its leaf, and its leaf with the tree, before it leaves. Safe to share between tasks: what reads files and
SQLite runs in threads.

Before this room: `publish`. After it: `routes`. SPEC.md sections 5.2 and 5.3.
"""

import asyncio
import collections
import sqlite3
import threading
from pathlib import Path
from typing import Any, Final

import structlog

from valija_broker.database import open_readonly
from valija_broker.errors import EvidenceAltered, LogError, StoreUnavailable
from valija_broker.evidence import Place, Version, place_of
from valija_broker.log import prove
from valija_broker.log.publish import CHECKPOINT, read_tile
from valija_schemas import api, leaf, merkle, tiles
from valija_schemas import checkpoint as checkpoints
from valija_schemas.checkpoint import Head
from valija_schemas.tiles import WIDTH, Tile

_log: Final = structlog.get_logger("log")

full_tiles_max: Final = 256  #: Kept in memory: 2 MiB, which proves the newest 65,536 leaves.


class LogView:
    """The published log in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: tuple[int, int, int] | None = None
        self._checkpoint: tuple[bytes, Head] = (b"", Head("", 0, merkle.EMPTY_ROOT))
        self._full: collections.OrderedDict[Tile, bytes] = collections.OrderedDict()
        self._lock = threading.Lock()

    def checkpoint(self) -> tuple[bytes, Head]:
        """The public checkpoint and what it says; empty before the first. Read again when the file changes."""
        try:
            stat = (self._folder / CHECKPOINT).stat()
            seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if seen != self._seen:
                raw = (self._folder / CHECKPOINT).read_bytes()
                # Between the two lines it may have been replaced: then it is read once more at the next call.
                self._checkpoint = (raw, checkpoints.parse(raw)[0])
                self._seen = seen
        except FileNotFoundError:
            return b"", Head("", 0, merkle.EMPTY_ROOT)
        except (OSError, checkpoints.CheckpointError) as error:
            raise LogError(f"the public checkpoint cannot be read: {error}") from None
        return self._checkpoint

    def file(self, path: str) -> bytes | None:
        """The bytes of a tile or a bundle, by its path under the log's prefix; None where there is none.

        Raises:
            TileError: this is not such a path.
        """
        tiles.parse_path(path)
        return self._read(path)

    def consistency(self, old: int, new: int) -> list[bytes]:
        """The proof that the tree of `old` leaves begins the one of `new`.

        Raises:
            ProveError: the numbers are the wrong way round, or `new` is not published.
        """
        return prove.consistency(self._published(new), old, new)

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """The proof that leaf `index` stands in the tree of `size` leaves.

        Raises:
            ProveError: the tree has no such leaf, or is not published.
        """
        return prove.inclusion(self._published(size), index, size)

    def _published(self, size: int) -> "_Page":
        # The hashes of a smaller tree are among those of the published one; of its own tiles, the last ones were
        # written only if it was published itself.
        published = self.checkpoint()[1].size
        if size > published:
            raise prove.ProveError(f"{size} leaves are not published")
        return self.page(published)

    def page(self, size: int) -> "_Page":
        """The hashes of the tree of `size` leaves, each computed once."""
        return _Page(self, size)

    def tile(self, tile: Tile) -> bytes:
        """A tile, from memory where it is full."""
        if tile.width < WIDTH:
            return read_tile(self._read, tile)
        with self._lock:
            found = self._full.get(tile)
            if found is not None:
                self._full.move_to_end(tile)
                return found
        data = read_tile(self._read, tile)
        with self._lock:
            self._full[tile] = data
            while len(self._full) > full_tiles_max:
                self._full.popitem(last=False)
        return data

    def _read(self, path: str) -> bytes | None:
        try:
            return (self._folder / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise LogError(f"{path} cannot be read: {error.strerror}") from None


class _Page:
    """The hashes of one tree, remembered for as long as a page takes."""

    def __init__(self, view: LogView, size: int) -> None:
        self._view = view
        self._tiles: dict[Tile, bytes] = {}
        self._hashes = tiles.TileHashes(size, self._tile)
        self._known: dict[tuple[int, int], bytes] = {}

    def hash(self, level: int, index: int) -> bytes:
        """As `prove.Hashes`."""
        found = self._known.get((level, index))
        if found is None:
            try:
                found = self._known[level, index] = self._hashes.hash(level, index)
            except tiles.TileError as error:
                raise LogError(f"the published log is not whole: {error}") from None
        return found

    def _tile(self, tile: Tile) -> bytes:
        if tile not in self._tiles:
            self._tiles[tile] = self._view.tile(tile)
        return self._tiles[tile]


class EvidenceReader:
    """Reads the parties' events from threads. Safe to share between tasks."""

    def __init__(self, path: Path, view: LogView) -> None:
        self._path = path
        self._view = view
        self._local = threading.local()

    async def feed(self, party: str, after: int, limit: int) -> api.Feed:
        """The published events of `party` that come after number `after`, in order, `limit` at most."""
        return await asyncio.to_thread(
            self._feed,
            party,
            "SELECT number, seq, event, salt, leaf, sender FROM feed JOIN events USING (seq)"
            " WHERE party = ? AND number > ? AND seq <= ? ORDER BY number LIMIT ?",
            (party, after),
            limit,
        )

    async def of_message(self, party: str, message: str) -> api.Feed:
        """The published events of one message that `party` may see, in the order of its feed."""
        return await asyncio.to_thread(
            self._feed,
            party,
            "SELECT number, seq, event, salt, leaf, sender FROM events CROSS JOIN feed USING (seq)"
            " WHERE party = ? AND message = ? AND seq <= ? ORDER BY number LIMIT ?",
            (party, message),
            api.events_page_max,
        )

    async def acceptance(self, sender: str, message: str) -> bytes | None:
        """The SubmissionAcceptance note of a message, once upkeep has recorded it."""
        rows = await asyncio.to_thread(
            self._select,
            "SELECT seq, event, salt, leaf, sender FROM events"
            " WHERE message = ? AND sender = ? AND name = 'SubmissionAcceptance' LIMIT 1",
            (message, sender),
        )
        if not rows:
            return None
        found = _opened(*rows[0])
        if found is None or (found.name, found.message, found.sender) != ("SubmissionAcceptance", message, sender):
            raise _altered(rows[0][0], "it is another event")
        return bytes(rows[0][1])

    async def version(self, digest: str) -> int | None:
        """The index of the leaf of a root or directory version, published or not; None where there is none."""
        rows = await asyncio.to_thread(self._select, "SELECT seq FROM events WHERE id = ?", (Version(digest).id,))
        return int(rows[0][0]) - 1 if rows else None

    def _feed(self, party: str, query: str, values: tuple[object, ...], limit: int) -> api.Feed:
        checkpoint, head = self._view.checkpoint()
        page = self._view.page(head.size)
        events: list[api.FeedEvent] = []
        for number, *stored in self._select(query, (*values, head.size, limit)):
            seq, event, salt, leaf_, _ = stored
            self._require(party, *stored)
            proof = tuple(prove.inclusion(page, seq - 1, head.size))
            try:
                merkle.verify_inclusion(merkle.leaf_hash(leaf_), seq - 1, head.size, proof, head.root)
            except merkle.MerkleError as error:
                raise _altered(seq, f"the published tree does not have it: {error}") from None
            # What was erased is empty: its number stays.
            found = api.FeedEvent(number=number, event=event or b"", salt=salt or b"", index=seq - 1, proof=proof)
            events.append(found)
        return api.Feed(checkpoint=checkpoint, events=tuple(events))

    def _require(self, party: str, seq: int, *stored: Any) -> None:
        """Refuse an event that is not what was recorded, or that says itself that it is for others."""
        place = _opened(seq, *stored)
        if place is not None and place.parties is not None and party not in place.parties:
            raise _altered(seq, f"it is not for {party}")

    def _select(self, query: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        try:
            return self._connect().execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise StoreUnavailable(f"the evidence store cannot be read: {error}") from None

    def _connect(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = open_readonly(self._path)
        return connection


def _opened(seq: int, event: Any, salt: Any, stored: Any, sender: Any) -> Place | None:
    """What a stored event says, once its leaf is the one that event and salt make; None where both were erased.

    Raises:
        EvidenceAltered: it is not.
    """
    if event is None and salt is None:
        return None
    try:
        if leaf.of_event(salt, event) == stored:
            return place_of(event, sender)
    except (TypeError, ValueError) as error:  # of another type, or no bytes of an event
        raise _altered(seq, str(error)) from None
    raise _altered(seq, "event and salt do not open its leaf")


def _altered(seq: int, why: str) -> EvidenceAltered:
    _log.critical("evidence_altered", leaf=seq - 1, error=why)
    return EvidenceAltered(f"leaf {seq - 1}: {why}")
