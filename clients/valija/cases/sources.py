"""Outbox and inbox, read in the order in which their rows were written, through connections of our own.

Reading only: what happens to a message is written by `outbox` and `inbox_store`. Opening a message takes the seal key
that it was sealed for; a message of ours is opened by the file key that the outbox keeps sealed for us.

Before this room: `index`, `exchange`. After it: `seal`, `database`.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec

from valija import age, inbox_store, outbox_layout
from valija.cases.place import Link
from valija.database import connect, open_database
from valija.errors import KeyMissingError
from valija.keys import Keys
from valija.seal import SealError, open_disclosed, open_sealed
from valija_schemas import limits
from valija_schemas import note as notes
from valija_schemas.message import Header, Message, read_note

Source = Literal["sent", "received"]

_COLUMNS: Final[dict[Source, str]] = {
    "sent": "number, digest, state, raw, sent AS known, file_key, file_key_id",
    "received": "rowid AS number, digest, state, raw, fetched AS known, NULL AS file_key, NULL AS file_key_id",
}
_KNOWN: Final[dict[Source, str]] = {"sent": "sent", "received": "fetched"}
_NUMBER: Final[dict[Source, str]] = {"sent": "number", "received": "rowid"}
_HEAD_BYTES: Final = limits.note_bytes_max + len(notes.BODY_BEGINS)  #: A note, and what shows that a body follows.


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A message as outbox or inbox keeps it."""

    source: Source
    number: int  #: Of its row.
    digest: str
    state: str
    known: int  #: When it was sealed or fetched, in ms by our own clock.
    raw: bytes
    kept: tuple[bytes, str] | None  #: Of a message of ours: the key of its body, and our seal key that opens that.

    def __repr__(self) -> str:
        return f"Row({self.source!r}, {self.number})"


class Sources:
    """The two files of one state folder. One thread at a time."""

    def __init__(self, folder: Path) -> None:
        outbox = folder / "outbox.sqlite", outbox_layout.SCHEMA, outbox_layout.LAYOUT, outbox_layout.UPGRADES
        inbox = folder / "inbox.sqlite", inbox_store.SCHEMA, inbox_store.LAYOUT, inbox_store.UPGRADES
        self._files: Final[dict[Source, sqlite3.Connection]] = {
            "sent": _open(*outbox),
            "received": _open(*inbox),
        }

    def close(self) -> None:
        """Let go of the files."""
        for file in self._files.values():
            file.close()

    def last(self, source: Source) -> int:
        """The number of the newest row; 0 without any."""
        statement = f"SELECT coalesce(max({_NUMBER[source]}), 0) FROM valija_messages"  # noqa: S608 - a constant
        return int(self._files[source].execute(statement).fetchone()[0])

    def after(self, source: Source, number: int, limit: int) -> Iterator[Row]:
        """The rows that follow on `number`, in order; read one by one, since each may have a megabyte."""
        column = _NUMBER[source]
        return self._rows(source, f"{column} > ? ORDER BY {column} LIMIT ?", (number, limit))

    def at(self, source: Source, numbers: Sequence[int]) -> Iterator[Row]:
        """The rows with these numbers, read one by one."""
        marks = ", ".join("?" * len(numbers))
        return self._rows(source, f"{_NUMBER[source]} IN ({marks})", numbers)

    def states(self, source: Source, numbers: Sequence[int]) -> dict[int, tuple[str, str]]:
        """Digest and state of the rows with these numbers."""
        column, marks = _NUMBER[source], ", ".join("?" * len(numbers))
        rows = self._files[source].execute(
            f"SELECT {column}, digest, state FROM valija_messages WHERE {column} IN ({marks})",  # noqa: S608
            numbers,
        )
        return {row[0]: (row[1], row[2]) for row in rows}

    def find(self, digest: str) -> Row | None:
        """The message with this digest; one that we sent to ourselves, as we sent it."""
        sources: tuple[Source, ...] = ("sent", "received")
        rows = (row for source in sources for row in self._rows(source, "digest = ?", (digest,)))
        return next(rows, None)

    def links(self, thread: str, origin: str) -> Iterator[Link]:
        """What each message of a thread says of its place in it; its note is read, its body is not."""
        sources: tuple[Source, ...] = ("sent", "received")
        for source in sources:
            rows = self._files[source].execute(
                f"SELECT substr(raw, 1, ?) AS head, {_KNOWN[source]} AS known"  # noqa: S608 - constants
                " FROM valija_messages WHERE thread = ?",
                (_HEAD_BYTES, thread),
            )
            for row in rows:
                note, _ = notes.split(row["head"])
                yield link(note.digest, read_note(note, origin), row["known"])

    def last_event(self) -> int:
        """The number of the newest event of the feed."""
        return int(self._files["sent"].execute("SELECT coalesce(max(number), 0) FROM valija_events").fetchone()[0])

    def receipts_after(self, number: int) -> list[tuple[str, int]]:
        """Digest and time of each receipt of the feed that follows on event `number` and verified."""
        rows = self._files["sent"].execute(
            "SELECT message, time FROM valija_events WHERE number > ? AND event = 'ConsignmentAcceptance'"
            " AND verdict != 'alarm'",
            (number,),
        )
        return [(row[0], row[1]) for row in rows]

    def receipt_of(self, digest: str) -> int | None:
        """When the first recipient of a message of ours received it, as far as the feed tells."""
        found = self._files["sent"].execute(
            "SELECT min(time) FROM valija_events WHERE message = ? AND event = 'ConsignmentAcceptance'"
            " AND verdict != 'alarm'",
            (digest,),
        )
        time_ms: int | None = found.fetchone()[0]
        return time_ms

    def _rows(self, source: Source, where: str, parameters: Sequence[str | int]) -> Iterator[Row]:
        rows = self._files[source].execute(
            f"SELECT {_COLUMNS[source]} FROM valija_messages WHERE {where}",  # noqa: S608 - constants
            parameters,
        )
        for row in rows:
            yield Row(
                source=source,
                number=row["number"],
                digest=row["digest"],
                state=row["state"],
                known=row["known"],
                raw=row["raw"],
                kept=None if row["file_key"] is None else (row["file_key"], row["file_key_id"]),
            )


def _open(path: Path, schema: str, layout: int, upgrades: Sequence[str]) -> sqlite3.Connection:
    """A database to be read. No lock is taken on one that is there: a handler may be writing to it for long."""
    if path.exists():
        connection = connect(path)
        if connection.execute("PRAGMA user_version").fetchone()[0] == layout:
            return connection
        connection.close()
    return open_database(path, schema, layout, upgrades)


class UnreadableError(Exception):
    """A stored message does not open. `key_id` is the seal key that would open it, where that is all it takes."""

    def __init__(self, text: str, key_id: str | None = None) -> None:
        super().__init__(text)
        self.key_id = key_id


def link(digest: str, header: Header, known: int) -> Link:
    """What a message says of its place in its thread."""
    return Link(
        digest=digest,
        id=header.id,
        thread=header.thread,
        sender=header.sender,
        to=tuple(header.to),
        in_reply_to=header.in_reply_to,
        exercise=header.exercise,
        known=known,
    )


def open_row(row: Row, message: Message, keys: Keys) -> tuple[Header, bytes]:
    """The header inside the seal of a stored message, and its document's JSON.

    Raises:
        UnreadableError: see there.
    """
    wanted = row.kept[1] if row.kept is not None else message.header.to.get(keys.id)
    if wanted is None or (row.source == "sent" and row.kept is None):
        raise UnreadableError("the program that sealed it did not keep its key")
    try:
        identity = keys.seal_identity(wanted)
    except KeyMissingError as error:
        raise UnreadableError(str(error), wanted) from None
    try:
        if row.kept is not None:
            return open_disclosed(message, age.FileKey(age.decrypt(row.kept[0], identity)))
        return open_sealed(message, identity, list(message.header.to).index(keys.id))
    except (SealError, age.AgeError) as error:
        raise UnreadableError(str(error)) from None
