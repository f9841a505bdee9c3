"""The evidence store: every event, once, with its opening, and each party's own ordered feed of them.

Upkeep alone writes it, draining the outbox: one transaction commits a batch, and only then are the entries removed
from the outbox. A crash between the two means that the same entries come again and change nothing, since an event's
id is derived from what it says. Workers read, in WAL mode, each thread with a connection of its own.

Before this room: the outbox in the store, filled in the same atomic step as what it tells of. After it: the feed,
`GET /v1/events`, from which `track` and `wait` live. Rules: schemas/SPEC.md section 5.
"""

import asyncio
import hashlib
import sqlite3
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from valija_broker.errors import StoreUnavailable
from valija_broker.queue import OutboxEntry
from valija_broker.shelves import CorruptEntry
from valija_schemas import api, evidence, wire
from valija_schemas import note as notes

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS events (
    seq     INTEGER PRIMARY KEY,
    id      BLOB NOT NULL UNIQUE,  -- 32 bytes, derived from what the event says
    name    TEXT NOT NULL,
    message TEXT NOT NULL,         -- digest of the message
    sender  TEXT NOT NULL,
    time    INTEGER NOT NULL,      -- ms
    event   BLOB NOT NULL,         -- the note, or the text of an unsigned event
    salt    BLOB NOT NULL          -- 32 bytes
) STRICT;
CREATE TABLE IF NOT EXISTS feed (
    party   TEXT NOT NULL,
    number  INTEGER NOT NULL,      -- 1, 2, 3 for each party
    seq     INTEGER NOT NULL REFERENCES events (seq),
    PRIMARY KEY (party, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS feed_of_event ON feed (seq);
CREATE INDEX IF NOT EXISTS events_of_message ON events (message);
"""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """An event ready to be stored."""

    id: bytes
    name: str
    message: str
    sender: str
    time: int
    event: bytes
    salt: bytes
    parties: tuple[str, ...]  #: Who gets the opening: the sender, and the one recipient that it speaks of.


def derive(entry: OutboxEntry | CorruptEntry, origin: str) -> Row:
    """The event that an outbox entry stands for. The same entry gives the same row, however often it is derived.

    Raises:
        ValueError: the entry was altered, or is none of ours (someone wrote into the store).
    """
    if isinstance(entry, CorruptEntry):
        raise ValueError("it does not match its sum")  # noqa: TRY004 - of its bytes, not of our types
    subject = evidence.read_subject(entry.subject)
    if entry.note:
        event = entry.note
    else:
        event = evidence.event_text(
            origin,
            msgspec.convert(entry.event, evidence.BrokerEventName),
            subject,
            to=(entry.to,),
            time=entry.time,
            directory=(entry.directory.version, entry.directory.digest),
            reason=entry.reason or None,
        )
        # Read back: a text that no party can read would stand in its feed for ever.
        evidence.parse_event_text(event, origin)
    parties = (entry.sender, entry.to) if entry.to else (entry.sender,)
    return Row(
        id=_event_id(entry, subject),
        name=entry.event,
        message=subject.message,
        sender=entry.sender,
        time=entry.time,
        event=event,
        salt=entry.salt,
        parties=tuple(dict.fromkeys(parties)),
    )


def _event_id(entry: OutboxEntry, subject: evidence.Subject) -> bytes:
    """What makes an event the same event: a message is accepted once, handed over once, but may die more than once."""
    when = str(entry.time) if entry.event == "DeadLettered" else ""
    parts = (entry.event, subject.sender, subject.id, subject.message, entry.to, entry.reason, when)
    return hashlib.sha256(wire.encode(parts)).digest()


class EvidenceWriter:
    """The one writer. Not safe to share; upkeep owns it."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)  # one thread at a time
        path.chmod(0o600)
        self._connection.execute("PRAGMA journal_mode = WAL")
        # FULL: the outbox entry is removed after the commit, so the commit must be on the disk.
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def add(self, rows: Iterable[Row]) -> set[str]:
        """Commit `rows` in one transaction; those that are there already change nothing. Says whose feed grew.

        Raises:
            sqlite3.Error: nothing was written, or, if the commit itself failed, it is not known; add them again.
        """
        parties: set[str] = set()
        cursor = self._connection.cursor()
        cursor.execute("BEGIN IMMEDIATE")
        try:
            for row in rows:
                cursor.execute(
                    "INSERT INTO events (id, name, message, sender, time, event, salt) VALUES (?, ?, ?, ?, ?, ?, ?)"
                    " ON CONFLICT (id) DO NOTHING RETURNING seq",
                    (row.id, row.name, row.message, row.sender, row.time, row.event, row.salt),
                )
                found = cursor.fetchone()
                if found is None:
                    continue
                for party in row.parties:
                    cursor.execute(
                        "INSERT INTO feed (party, number, seq)"
                        " SELECT ?, coalesce(max(number), 0) + 1, ? FROM feed WHERE party = ?",
                        (party, found[0], party),
                    )
                    parties.add(party)
        except BaseException:
            cursor.execute("ROLLBACK")
            raise
        # A crash before this line leaves the outbox as it was; after it, the same entries come again and are known.
        cursor.execute("COMMIT")
        return parties

    @property
    def empty(self) -> bool:
        """Whether this broker has never recorded an event."""
        return self._connection.execute("SELECT 1 FROM events LIMIT 1").fetchone() is None


class EvidenceReader:
    """Reads the evidence store from threads. Safe to share between tasks."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()

    async def feed(self, party: str, after: int, limit: int) -> tuple[api.FeedEvent, ...]:
        """The events of `party` that come after number `after`, in order, `limit` at most."""
        return await asyncio.to_thread(
            self._select,
            "SELECT number, event, salt FROM feed JOIN events USING (seq)"
            " WHERE party = ? AND number > ? ORDER BY number LIMIT ?",
            (party, after, limit),
        )

    async def of_message(self, party: str, message: str) -> tuple[api.FeedEvent, ...]:
        """The events of one message that `party` may see, in the order of its feed. Empty for one that is not its."""
        return await asyncio.to_thread(
            self._select,
            "SELECT number, event, salt FROM events CROSS JOIN feed USING (seq)"
            " WHERE message = ? AND party = ? ORDER BY number LIMIT ?",
            (message, party, api.events_page_max),
        )

    async def acceptance(self, sender: str, message: str) -> bytes | None:
        """The SubmissionAcceptance note of a message, once upkeep has recorded it."""
        for found in await self.of_message(sender, message):
            if b'{"event":"SubmissionAcceptance"' in found.event:
                return found.event
        return None

    def _select(self, query: str, values: tuple[object, ...]) -> tuple[api.FeedEvent, ...]:
        try:
            rows = self._connect().execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise StoreUnavailable(f"the evidence store cannot be read: {error}") from None
        return tuple(api.FeedEvent(number=number, event=event, salt=salt) for number, event, salt in rows)

    def _connect(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
            self._local.connection = connection
        return connection


def acceptance_note(
    origin: str,
    subject: evidence.Subject,
    *,
    to: Iterable[str],
    time: int,
    directory: tuple[int, str],
    signer: notes.Signer,
) -> bytes:
    """The signed promise: verified, stored durably, queued for each recipient. The same facts give the same bytes."""
    text = evidence.event_text(
        origin, "SubmissionAcceptance", subject, to=tuple(to), time=time, directory=directory, reason=None
    )
    return notes.sign(text, [signer])


def rejection_note(
    origin: str,
    subject: evidence.Subject,
    *,
    to: Iterable[str],
    time: int,
    directory: tuple[int, str],
    reason: str,
    signer: notes.Signer,
) -> bytes:
    """The signed refusal of a message that its sender did sign."""
    text = evidence.event_text(
        origin, "SubmissionRejection", subject, to=tuple(to), time=time, directory=directory, reason=reason
    )
    return notes.sign(text, [signer])
