"""What is kept of the log: the largest checkpoint that was verified, and what others saw until it is connected.

The promise: a checkpoint gives way only to one that was compared with it.

Before this room: `log`. After it: `database`. Rules: SPEC.md section 5.3.
"""

import sqlite3

import msgspec

from valija.database import transaction


class Reference(msgspec.Struct, frozen=True):
    """Somebody signed that they verified a checkpoint of this size and root."""

    size: int
    root: str
    who: str
    about: str  #: Digest of the message that it was said in, or in whose receipt.
    time: int  #: When it was heard here.


class LogStore:
    """The view of the log of one outbox; `Outbox.log` makes it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def checkpoint(self) -> tuple[int, bytes, bytes] | None:
        """Size, root and note of the largest checkpoint that was verified."""
        row = self._db.execute("SELECT size, root, raw FROM valija_checkpoint").fetchone()
        return None if row is None else (row["size"], row["root"], row["raw"])

    def set_checkpoint(self, size: int, root: bytes, raw: bytes, held: int | None) -> bool:
        """Keep a checkpoint that continues the one of size `held`, or is the first; False if another is held by now."""
        with transaction(self._db):
            # A crash before the commit leaves the smaller one, which the next one continues as well.
            if held is None:
                done = self._db.execute(
                    "INSERT OR IGNORE INTO valija_checkpoint VALUES (1, ?, ?, ?)", (size, root, raw)
                )
            else:
                done = self._db.execute(
                    "UPDATE valija_checkpoint SET size = ?, root = ?, raw = ? WHERE size = ?", (size, root, raw, held)
                )
            return done.rowcount == 1

    def add_reference(self, reference: Reference) -> None:
        """Keep what somebody saw of the log, until it is connected with ours."""
        with transaction(self._db):
            self._db.execute(
                "INSERT OR IGNORE INTO valija_references VALUES (?, ?, ?, ?, ?)", msgspec.structs.astuple(reference)
            )

    def references(self) -> list[Reference]:
        """What is not connected yet, the smallest first."""
        rows = self._db.execute("SELECT * FROM valija_references ORDER BY size, root, who")
        return [Reference(**dict(row)) for row in rows]

    def drop_reference(self, reference: Reference) -> None:
        """It is connected, or an alarm says that it cannot be."""
        with transaction(self._db):
            # A crash before the commit leaves it open: it is connected once more.
            self._db.execute(
                "DELETE FROM valija_references WHERE size = ? AND root = ? AND who = ?",
                (reference.size, reference.root, reference.who),
            )
