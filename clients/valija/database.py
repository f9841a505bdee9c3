"""One way to open the client's SQLite files: durable, private, and never by an older version of this program.

The promise: what a transaction committed is on the disk when it returns (`synchronous=FULL`, write-ahead log), and a
file is readable by its owner alone.

Before this room: `outbox` and `inbox`. After it: the disk.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from valija.errors import StateError

busy_timeout_s: Final = 30.0  #: How long a second process on the same file waits for the first one's transaction.


def open_database(path: Path, schema: str, layout: int, upgrades: Sequence[str] = ()) -> sqlite3.Connection:
    """The database at `path`, made by `schema` if it is new. It may be used from any thread, by one at a time.

    `upgrades[n]` leads from layout n + 1 to the next; a file of an older program is brought up to `layout` by them.

    Raises:
        StateError: it cannot be opened, is damaged, or was written by a newer version of this program.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Made before SQLite makes it, so that it never exists with a wider mode; its side files take the same one.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = connect(path)
        with transaction(connection):
            found = connection.execute("PRAGMA user_version").fetchone()[0]
            if found < layout:
                for step in [schema] if found == 0 else upgrades[found - 1 : layout - 1]:
                    for statement in step.split(";\n"):
                        connection.execute(statement)
                # A crash before the commit leaves an empty file, which the next start fills.
                connection.execute(f"PRAGMA user_version = {layout:d}")
    except (OSError, sqlite3.Error) as error:
        raise StateError(f"{path} cannot be opened: {error}") from None
    if found > layout:
        connection.close()
        raise StateError(
            f"{path} was written by a newer version of this program", hint="Use that version; nothing was changed."
        )
    return connection


def connect(path: Path) -> sqlite3.Connection:
    """One more connection to a database that is there, with the same promises."""
    connection = sqlite3.connect(path, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def hold(path: Path) -> sqlite3.Connection | None:
    """Hold the lock file at `path` until the connection is closed or this process ends; None if another one holds it.

    It is a lock of SQLite's, since that works on every system and goes with the process that held it.

    Raises:
        StateError: it cannot be locked.
    """
    lock = None
    try:
        lock = sqlite3.connect(path, timeout=0, isolation_level=None)
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        if lock is not None:
            lock.close()
        if "locked" in str(error):
            return None
        raise StateError(f"{path} cannot be locked: {error}") from None
    return lock


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of what is done inside is committed, or none of it.

    Raises:
        StateError: the database could not do it (a full disk, say); nothing was committed.
    """
    try:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if connection.in_transaction:  # where the disk was full, SQLite has rolled back by itself
                connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        if connection.in_transaction:  # a commit that failed
            connection.execute("ROLLBACK")
        raise StateError(f"the state folder cannot be written: {error}") from None
