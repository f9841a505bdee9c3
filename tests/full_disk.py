"""A disk without room, as the kernel tells of it: without root, on every machine, and for one process alone."""

import contextlib
import resource
import sqlite3
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def no_room(beyond: int, *pids: int) -> Iterator[None]:
    """No file of these processes, or of this one, can be written beyond so many bytes.

    The write that crosses the mark is cut short and the next is refused with EFBIG, where a full disk says ENOSPC. What
    is written over stays possible, as on a full disk.
    """
    before = {pid: resource.prlimit(pid, resource.RLIMIT_FSIZE) for pid in pids or (0,)}
    try:
        for pid, (_, hard) in before.items():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (beyond, hard))
        yield
    finally:
        for pid, limits in before.items():
            with contextlib.suppress(ProcessLookupError):  # it may have ended by that
                resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


def wal_bytes(database: Path) -> int:
    """How large the write-ahead log of a database is: a commit that must append to it is refused beyond that."""
    return database.with_name(database.name + "-wal").stat().st_size


def fill(connection: sqlite3.Connection) -> None:
    """From now on the database says SQLITE_FULL when it needs one more page, and rolls back by itself."""
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")
