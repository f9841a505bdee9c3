"""The evidence store as its readers open it. The one writer is `log.ledger`."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path


def open_readonly(path: Path) -> sqlite3.Connection:
    """A connection that can write nothing, each statement a transaction of its own unless one is begun.

    Raises:
        sqlite3.Error: it is not there, or cannot be read.
    """
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)


@contextlib.contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """As `open_readonly`, for as long as this lasts."""
    with contextlib.closing(open_readonly(path)) as connection:
        yield connection
