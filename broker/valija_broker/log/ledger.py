"""The ledger: every event, once, with its opening and its leaf, each party's own feed, and the head of the log.

Upkeep alone writes it. One transaction adds a batch: rows, feeds, the grown tree and the checkpoint that the log signs
over it. That is the only commit point of the log; what is published afterwards is derived from these rows, as often
as needed. A row's place is its leaf's: `seq` is the index plus 1, without gaps, for ever.

Before this room: `evidence`, which derives rows. After it: `publish`; for workers `view`. SPEC.md section 5.
"""

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec

from valija_broker.errors import BadConfig, LogUnknown
from valija_broker.evidence import Erased, Row, Version
from valija_broker.log import messages
from valija_schemas import checkpoint as checkpoints
from valija_schemas import note as notes
from valija_schemas.checkpoint import Head
from valija_schemas.merkle import EMPTY_ROOT, HASH_BYTES, leaf_hash, node_hash

SCHEMA_VERSION: Final = 1  #: `user_version` of the file. Files of releases before it say 0.

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS events (
    seq     INTEGER PRIMARY KEY,   -- index of the leaf + 1
    id      BLOB NOT NULL UNIQUE,  -- 32 bytes, derived from what the event says
    leaf    BLOB NOT NULL,         -- 33 bytes
    name    TEXT,                  -- NULL, with all that follow, for a version of the root or directory, or when erased
    message TEXT,                  -- digest of the message; NULL for an erasure, as the sender
    sender  TEXT,
    time    INTEGER,               -- ms
    event   BLOB,                  -- the note, or the text of an unsigned event
    salt    BLOB                   -- 32 bytes
) STRICT;
CREATE TABLE IF NOT EXISTS feed (
    party   TEXT NOT NULL,
    number  INTEGER NOT NULL,      -- 1, 2, 3 for each party
    seq     INTEGER NOT NULL REFERENCES events (seq),
    PRIMARY KEY (party, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS head (
    one        INTEGER PRIMARY KEY CHECK (one = 1),
    size       INTEGER NOT NULL,   -- leaves
    root       BLOB NOT NULL,
    frontier   BLOB NOT NULL,      -- roots of the whole subtrees, the largest first, one for each 1 bit of size
    checkpoint BLOB NOT NULL       -- signed by the log alone; empty before the first leaf
) STRICT;
CREATE TABLE IF NOT EXISTS read_to (
    shard INTEGER PRIMARY KEY,
    epoch INTEGER NOT NULL,        -- of the store, ms
    entry TEXT NOT NULL            -- the newest entry of its outbox that was read
) STRICT;
CREATE TABLE IF NOT EXISTS retained (
    number   INTEGER PRIMARY KEY,
    what     TEXT NOT NULL,        -- digest of a message, or a contact point
    by_order TEXT NOT NULL,        -- digest of the operators' order
    held     INTEGER NOT NULL,     -- 1: hold, 0: release. The last one for `what` holds good
    time     INTEGER NOT NULL,     -- ms
    UNIQUE (what, by_order)
) STRICT;
CREATE INDEX IF NOT EXISTS feed_of_event ON feed (seq);
CREATE INDEX IF NOT EXISTS events_of_message ON events (message, name) WHERE message IS NOT NULL;
CREATE INDEX IF NOT EXISTS events_of_holds ON events (seq) WHERE name = 'OperatorHold';
CREATE INDEX IF NOT EXISTS events_by_age ON events (time) WHERE message IS NOT NULL;
"""


class State(msgspec.Struct, frozen=True):
    """The head of the log as the database has it."""

    size: int
    root: bytes
    frontier: tuple[bytes, ...]
    checkpoint: bytes


class Added(msgspec.Struct, frozen=True):
    """What a transaction added."""

    rows: int
    parties: frozenset[str]  #: Whose feeds grew.


def grow(size: int, frontier: Sequence[bytes], leaf_hashes: Iterable[bytes]) -> tuple[int, tuple[bytes, ...]]:
    """A tree's size and frontier after leaves were added."""
    stack = list(frontier)
    for value in leaf_hashes:
        found, bits = value, size
        while bits & 1:
            found = node_hash(stack.pop(), found)
            bits >>= 1
        stack.append(found)
        size += 1
    return size, tuple(stack)


def root_of(frontier: Sequence[bytes]) -> bytes:
    """The root over a frontier."""
    if not frontier:
        return EMPTY_ROOT
    *left, found = frontier
    for value in reversed(left):
        found = node_hash(value, found)
    return found


class Ledger:
    """The one writer. One thread at a time; upkeep owns it."""

    def __init__(self, path: Path, origin: str, signer: notes.Signer, cosigner: checkpoints.Cosigner) -> None:
        """Open the file, or make it.

        Raises:
            BadConfig: another release made it.
            sqlite3.Error: it cannot be used.
        """
        self._origin = checkpoints.origin_of(origin)
        self._signer = signer
        self._cosigner = cosigner
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        path.chmod(0o600)
        self._connection.execute("PRAGMA journal_mode = WAL")
        # FULL: outbox entries are removed, and tiles published, after the commit: so it must be on the disk.
        self._connection.execute("PRAGMA synchronous = FULL")
        # What is erased is overwritten: a deleted salt must not stay in a page that is free.
        self._connection.execute("PRAGMA secure_delete = ON")
        made = bool(self._connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'events'").fetchall())
        found = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if found != SCHEMA_VERSION and (made or found):
            raise BadConfig(
                f"{path} was made by another release (version {found}, and this one reads {SCHEMA_VERSION}): keep it"
                " aside with the log beside it, and begin another exchange (deploy/RUNBOOK.md, section 3)"
            )
        # A crash here leaves the mark, some of the tables, and nothing in them; the next start makes the rest.
        self._connection.executescript(f"PRAGMA user_version = {SCHEMA_VERSION};{_SCHEMA}{messages.SCHEMA}")
        self._connection.execute(
            "INSERT INTO head (one, size, root, frontier, checkpoint) VALUES (1, 0, ?, x'', x'')"
            " ON CONFLICT DO NOTHING",
            (EMPTY_ROOT,),
        )
        self._state = self.read_state()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @property
    def state(self) -> State:
        """The head after the last commit of this process."""
        return self._state

    def read_state(self) -> State:
        """The head that the file has."""
        size, root, frontier, checkpoint = self._connection.execute(
            "SELECT size, root, frontier, checkpoint FROM head"
        ).fetchone()
        parts = tuple(frontier[at : at + HASH_BYTES] for at in range(0, len(frontier), HASH_BYTES))
        return State(size, root, parts, checkpoint)

    def leaves(self, begin: int, end: int) -> list[bytes]:
        """The leaves from index `begin` up to, not including, `end`."""
        rows = self._connection.execute(
            "SELECT leaf FROM events WHERE seq > ? AND seq <= ? ORDER BY seq", (begin, end)
        ).fetchall()
        return [row[0] for row in rows]

    def has(self, version: Version) -> bool:
        """Whether a version of the root or of the directory is a leaf."""
        return bool(self._connection.execute("SELECT 1 FROM events WHERE id = ?", (version.id,)).fetchall())

    def waited(self, taken: Iterable[tuple[str, int]]) -> list[int]:
        """Of messages that were collected, by digest and time, how long after acceptance, in ms; exercises left out."""
        found: list[int] = []
        for message, taken_ms in taken:
            for (accepted,) in self._connection.execute(
                "SELECT time FROM events JOIN messages USING (seq)"
                " WHERE message = ? AND name = 'SubmissionAcceptance' AND exercise IS NOT 1",
                (message,),
            ):
                found.append(max(0, taken_ms - accepted))
        return found

    def add(
        self, rows: Iterable[Row | Version], *, read_to: Mapping[int, str] = MappingProxyType({}), epoch: int = 0
    ) -> Added:
        """Commit `rows` and the checkpoint over them in one transaction; those that are there change nothing.

        `read_to` says up to which entry each shard's outbox was read, of a store of `epoch`: by that an old copy of
        the store is known (`store_age`).

        Raises:
            LogUnknown, sqlite3.Error: as `commit`.
        """

        def work(cursor: sqlite3.Cursor) -> Iterable[Row | Version]:
            for shard, entry in read_to.items():
                cursor.execute(
                    "INSERT INTO read_to (shard, epoch, entry) VALUES (?, ?, ?)"
                    " ON CONFLICT (shard) DO UPDATE SET epoch = excluded.epoch, entry = excluded.entry",
                    (shard, epoch, entry),
                )
            return rows

        return self.commit(work)

    def commit(self, work: Callable[[sqlite3.Cursor], Iterable[Row | Version | Erased]]) -> Added:
        """Do `work`, add the rows that it returns, and sign the checkpoint over them, in one transaction.

        Raises:
            LogUnknown: another process committed meanwhile, or whether this commit took place is not known. End the
                process: what it believes of the log may be wrong.
            sqlite3.Error: nothing was written.
        """
        old = self._state
        parties: set[str] = set()
        added: list[bytes] = []
        with self.transaction() as cursor:
            if cursor.execute("SELECT size FROM head").fetchone()[0] != old.size:
                raise LogUnknown("another process wrote into the log")
            numbers: dict[str, int] = {}
            batch = messages.Batch()
            for row in work(cursor):
                seq = old.size + len(added) + 1
                if not self._insert(cursor, seq, row):
                    continue
                added.append(leaf_hash(row.leaf))
                batch.add(seq, row)
                for party in () if isinstance(row, Version) else row.parties:
                    number = numbers[party] = self._last(cursor, numbers, party) + 1
                    cursor.execute("INSERT INTO feed (party, number, seq) VALUES (?, ?, ?)", (party, number, seq))
                    parties.add(party)
            batch.write(cursor)
            size, frontier = grow(old.size, old.frontier, added)
            new = old if not added else State(size, root_of(frontier), frontier, b"")
            if added:
                new = msgspec.structs.replace(new, checkpoint=self._sign(new))
                cursor.execute(
                    "UPDATE head SET size = ?, root = ?, frontier = ?, checkpoint = ? WHERE size = ?",
                    (new.size, new.root, b"".join(new.frontier), new.checkpoint, old.size),
                )
                if cursor.rowcount != 1:  # the fence: never two checkpoints that grew from one size
                    raise LogUnknown("another process wrote into the log")
        self._state = new
        return Added(len(added), frozenset(parties))

    def truncate_wal(self) -> bool:
        """Bring the write-ahead log into the file and empty it; False where a reader was in the way: ask again."""
        busy, _, _ = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Cursor]:
        """All of what is done with the cursor or nothing, on the disk when this ends.

        Raises:
            LogUnknown: whether the commit took place is not known.
        """
        cursor = self._connection.cursor()
        cursor.execute("BEGIN IMMEDIATE")
        try:
            yield cursor
        except BaseException:
            if self._connection.in_transaction:  # where the disk was full, SQLite has rolled back by itself
                cursor.execute("ROLLBACK")
            raise
        try:
            # A crash before this line leaves the outbox as it was, and no leaf; after it, leaves that are not yet
            # published, and entries of the outbox that are known when they come again.
            self._commit(cursor)
        except sqlite3.Error as error:
            raise LogUnknown(f"the commit failed, whether it took place is not known: {error}") from None

    def _commit(self, cursor: sqlite3.Cursor) -> None:
        cursor.execute("COMMIT")

    def _insert(self, cursor: sqlite3.Cursor, seq: int, row: Row | Version | Erased) -> bool:
        more: tuple[object, ...] = (None,) * 6
        if not isinstance(row, Version):
            more = (row.name, row.message, row.sender, row.time, row.event, row.salt)
        cursor.execute(
            "INSERT INTO events (seq, id, leaf, name, message, sender, time, event, salt)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
            (seq, row.id, row.leaf, *more),
        )
        return cursor.rowcount == 1

    def _last(self, cursor: sqlite3.Cursor, numbers: dict[str, int], party: str) -> int:
        if party not in numbers:
            found = cursor.execute("SELECT coalesce(max(number), 0) FROM feed WHERE party = ?", (party,)).fetchone()
            numbers[party] = found[0]
        return numbers[party]

    def _sign(self, state: State) -> bytes:
        head = Head(self._origin, state.size, state.root)
        lines = [
            checkpoints.log_line(self._signer, head),
            checkpoints.cosignature_line(self._cosigner, head, int(time.time())),
        ]
        return checkpoints.write(head, lines)
