"""The inbox on disk: every message that was fetched, what became of it, and the receipt that was given.

A message is `stored` when it was verified and opened and nobody has finished with it; `delivered` when a handler left
cleanly; `rejected` when it was refused. The two last are final and have a receipt. What lies here is the sealed message
as it was transmitted, never its plaintext. A handler may keep its own tables in the same file and write to them in the
transaction that marks the message as delivered.

The promise: the mark and the handler's writes are one commit; a mark is never taken back.

Before this room: `inbox`. After it: `database`. Rules: schemas/SPEC.md section 2.
"""

import contextlib
import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from valija.database import connect, hold, open_database, transaction
from valija.errors import InboxBusyError, StateError
from valija_schemas.message import Message

State = Literal["stored", "delivered", "rejected"]

LAYOUT: Final = 2
_THREADS: Final = "CREATE INDEX valija_thread ON valija_messages (thread)"
#: Each leads from one layout to the next, the first from 1. What stands here has run on disks and does not change.
UPGRADES: Final = (_THREADS,)
_TABLES: Final = """
CREATE TABLE valija_meta (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
);
CREATE TABLE valija_messages (
  digest TEXT PRIMARY KEY,
  sender TEXT NOT NULL,
  id TEXT NOT NULL,
  type TEXT NOT NULL,
  thread TEXT NOT NULL,
  in_reply_to TEXT,
  raw BLOB NOT NULL,              -- as transmitted, sealed
  acceptance BLOB NOT NULL,       -- the broker's promise to the sender, as it came with the message
  fault TEXT,                     -- why that promise is none, where it does not verify
  state TEXT NOT NULL,
  reason TEXT,                    -- of a rejection
  begun INTEGER NOT NULL,         -- how often a handler began with it
  fetched INTEGER NOT NULL,
  settled INTEGER,
  receipt BLOB,
  token TEXT NOT NULL,            -- of the last delivery
  acknowledged TEXT,              -- what the broker said to the receipt; null while it has not answered
  UNIQUE (sender, id)
);
CREATE INDEX valija_unanswered ON valija_messages (settled) WHERE settled IS NOT NULL AND acknowledged IS NULL"""
SCHEMA: Final = f"{_TABLES};\n{_THREADS}"

_NOT_FOR_HANDLERS: Final = frozenset(
    {sqlite3.SQLITE_TRANSACTION, sqlite3.SQLITE_SAVEPOINT, sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH}
    | {sqlite3.SQLITE_PRAGMA}
)
_WRITES: Final = frozenset(
    {
        sqlite3.SQLITE_INSERT,
        sqlite3.SQLITE_UPDATE,
        sqlite3.SQLITE_DELETE,
        sqlite3.SQLITE_DROP_TABLE,
        sqlite3.SQLITE_ALTER_TABLE,
        sqlite3.SQLITE_CREATE_TRIGGER,
    }
)


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """A message as the inbox knows it. Nothing here is content."""

    digest: str
    sender: str
    id: str
    type: str
    thread: str
    in_reply_to: str | None
    raw: bytes
    acceptance: bytes
    fault: str | None
    state: State
    reason: str | None
    begun: int
    fetched: int
    settled: int | None
    receipt: bytes | None
    token: str
    acknowledged: str | None

    def __repr__(self) -> str:
        return f"Received(id={self.id!r}, type={self.type!r}, state={self.state!r})"


class Transaction:
    """What a handler writes through: it commits with the message, or not at all. It cannot be committed by hand."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(self, statement: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> sqlite3.Cursor:
        """Run one statement; `sqlite3.Row` rows."""
        _require_open(self._connection)
        return self._connection.execute(statement, parameters)

    def executemany(self, statement: str, parameters: Sequence[Sequence[Any]]) -> sqlite3.Cursor:
        """Run one statement for each of `parameters`."""
        _require_open(self._connection)
        return self._connection.executemany(statement, parameters)


class InboxStore:
    """The inbox of one state folder. It also remembers, for `receive`, what was seen."""

    def __init__(self, path: Path) -> None:
        self._path: Final = path
        self._db = open_database(path, SCHEMA, LAYOUT, UPGRADES)
        self._lock: sqlite3.Connection | None = None
        with transaction(self._db):
            self._db.execute("INSERT OR IGNORE INTO valija_meta VALUES ('instance', ?)", (secrets.token_hex(8),))
        self.instance: str = self._db.execute("SELECT value FROM valija_meta WHERE name = 'instance'").fetchone()[0]

    def acquire(self) -> None:
        """Become the one process that reads this inbox, until `close` or the end of the process.

        Raises:
            InboxBusyError: another one is.
        """
        if self._lock is not None:
            return
        self._lock = hold(self._path.with_suffix(".lock"))
        if self._lock is None:
            raise InboxBusyError(f"another process reads the inbox {self._path}")

    def close(self) -> None:
        """Let go of the files."""
        self._db.close()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    # What `receive` asks

    def first_fetched(self, digest: str) -> int | None:
        """When a message with this digest was first stored here."""
        fetched: int | None = self._value("SELECT fetched FROM valija_messages WHERE digest = ?", digest)
        return fetched

    def settled(self, digest: str) -> bool:
        """Whether it was delivered or rejected."""
        return self._value("SELECT settled FROM valija_messages WHERE digest = ?", digest) is not None

    def digest_of(self, sender: str, id_: str) -> str | None:
        """The digest of the message that came with this submission key."""
        digest: str | None = self._value("SELECT digest FROM valija_messages WHERE sender = ? AND id = ?", sender, id_)
        return digest

    # The steps of a message, in their order

    def put(self, messages: Sequence[tuple[Message, bytes, str | None, str]], now_ms: int) -> None:
        """Store messages, each with its acceptance, the fault in that, and the token of its delivery.

        One that is here already keeps what is known of it and takes the new token.
        """
        with transaction(self._db):
            # A crash before the commit leaves nothing, and the leases lapse: the messages come again. After it, they
            # come again as well, and are found here.
            for message, acceptance, fault, token in messages:
                header = message.header
                self._db.execute(
                    "INSERT INTO valija_messages (digest, sender, id, type, thread, in_reply_to, raw, acceptance,"
                    " fault, state, begun, fetched, token) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'stored', 0, ?, ?)"
                    " ON CONFLICT (digest) DO UPDATE SET token = excluded.token",
                    (
                        message.digest,
                        header.sender,
                        header.id,
                        header.type,
                        header.thread,
                        header.in_reply_to,
                        message.raw,
                        acceptance,
                        fault,
                        now_ms,
                        token,
                    ),
                )

    def begin(self, digest: str) -> int:
        """Count that a handler begins, before it does: an interrupted one is then known to have been. The count."""
        with transaction(self._db):
            # A crash after the commit and before the handler's first step counts a beginning that nobody saw.
            self._db.execute("UPDATE valija_messages SET begun = begun + 1 WHERE digest = ?", (digest,))
        return self.get(digest).begun

    def settle(self, digest: str, state: State, reason: str | None, now_ms: int) -> None:
        """Mark a message that no handler wrote for as delivered or rejected, for ever."""
        with transaction(self._db):
            # A crash before the commit leaves it `stored`: it is handed over again. After it, never.
            _mark(self._db, digest, state, reason, now_ms)

    def set_receipt(self, digest: str, receipt: bytes) -> None:
        """Keep the receipt that is about to be given."""
        with transaction(self._db):
            # A crash before the commit leaves a mark without a receipt: one is signed at the next delivery or start.
            self._db.execute(
                "UPDATE valija_messages SET receipt = ? WHERE digest = ? AND receipt IS NULL", (receipt, digest)
            )

    def set_token(self, digest: str, token: str) -> None:
        """The message was delivered once more; its receipt has not been taken for this delivery."""
        with transaction(self._db):
            self._db.execute(
                "UPDATE valija_messages SET token = ?, acknowledged = NULL WHERE digest = ?", (token, digest)
            )

    def answered(self, outcomes: Sequence[tuple[str, str]]) -> None:
        """Keep what the broker said to receipts, by digest."""
        with transaction(self._db):
            # A crash before the commit leaves receipts that are handed in again, which changes nothing.
            self._db.executemany(
                "UPDATE valija_messages SET acknowledged = ? WHERE digest = ?",
                [(outcome, digest) for digest, outcome in outcomes],
            )
            # A receipt whose key was revoked before it was handed in never counts: the next delivery gets a new one.
            self._db.executemany(
                "UPDATE valija_messages SET receipt = NULL WHERE digest = ?",
                [(digest,) for digest, outcome in outcomes if outcome == "refused"],
            )

    def unanswered(self) -> list[tuple[str, str]]:
        """Digest and token of what is settled and whose receipt the broker has not taken."""
        rows = self._db.execute(
            "SELECT digest, token FROM valija_messages WHERE settled IS NOT NULL AND acknowledged IS NULL"
            " ORDER BY settled"
        )
        return [(row["digest"], row["token"]) for row in rows]

    # Reading

    def get(self, digest: str) -> Received:
        """The message with this digest, which is here.

        Raises:
            KeyError: it is not.
        """
        found = self.find(digest)
        if found is None:
            raise KeyError(digest)
        return found

    def find(self, id_or_digest: str) -> Received | None:
        """The message with this digest, or the newest with this id."""
        row = self._db.execute("SELECT * FROM valija_messages WHERE digest = ?", (id_or_digest,)).fetchone()
        if row is None:  # only now: it reads every message that was ever received
            row = self._db.execute(
                "SELECT * FROM valija_messages WHERE id = ? ORDER BY fetched DESC LIMIT 1", (id_or_digest,)
            ).fetchone()
        return None if row is None else Received(**dict(row))

    # A handler's own writes

    @contextlib.contextmanager
    def handling(self, digest: str) -> Iterator["Handling"]:
        """A transaction in which a handler may write; ended by `Handling.settle`, else rolled back."""
        connection = connect(self._path)
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield Handling(connection, digest)
        finally:
            if connection.in_transaction:
                connection.set_authorizer(None)
                connection.execute("ROLLBACK")
            connection.close()

    def _value(self, statement: str, *parameters: str) -> Any:
        row = self._db.execute(statement, parameters).fetchone()
        return None if row is None else row[0]


class Handling:
    """An open transaction of one handler."""

    def __init__(self, connection: sqlite3.Connection, digest: str) -> None:
        self._connection = connection
        self._digest = digest

    @contextlib.contextmanager
    def block(self) -> Iterator[Transaction]:
        """What a handler writes inside stands or falls together, also if the handler goes on after an exception.

        Raises:
            StateError: a full disk, say, ended the transaction earlier.
        """
        _require_open(self._connection)
        self._connection.execute("SAVEPOINT valija_block")
        self._connection.set_authorizer(_authorize)
        try:
            yield Transaction(self._connection)
        except BaseException:
            self._connection.set_authorizer(None)
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK TO valija_block")
                self._connection.execute("RELEASE valija_block")
            raise
        self._connection.set_authorizer(None)
        _require_open(self._connection)
        self._connection.execute("RELEASE valija_block")

    def settle(self, state: State, reason: str | None, now_ms: int) -> None:
        """Commit what the handler wrote together with the message's mark.

        Raises:
            StateError: the database could not do it (a full disk, say); nothing was committed.
        """
        _require_open(self._connection)
        try:
            _mark(self._connection, self._digest, state, reason, now_ms)
            # A crash before the commit leaves neither the handler's writes nor the mark. After it, both.
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise StateError(f"the state folder cannot be written: {error}") from None


def _require_open(connection: sqlite3.Connection) -> None:
    """Write nothing outside the handler's transaction: where the disk was full, SQLite has ended it by itself."""
    if not connection.in_transaction:
        raise StateError("the transaction of this handler is over, and nothing of it was kept")


def _mark(connection: sqlite3.Connection, digest: str, state: State, reason: str | None, now_ms: int) -> None:
    connection.execute(
        "UPDATE valija_messages SET state = ?, reason = ?, settled = ? WHERE digest = ? AND settled IS NULL",
        (state, reason, now_ms, digest),
    )


def _authorize(action: int, first: str | None, second: str | None, database: str | None, trigger: str | None) -> int:
    """What a handler may do: everything but ending the transaction and writing to our tables."""
    del database, trigger
    if action in _NOT_FOR_HANDLERS:
        return sqlite3.SQLITE_DENY
    if action in _WRITES and any(name is not None and name.startswith("valija_") for name in (first, second)):
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK
