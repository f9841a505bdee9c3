"""The alarms of a state folder: kept for ever, and told until a person has said to have seen them.

Before this room: whoever finds something that should not be. After it: `database`.
"""

import sqlite3

import msgspec

from valija.database import transaction


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """Something that should not be possible if everybody keeps the rules."""

    message: str | None
    time: int
    text: str


class Alarms:
    """The alarms of one outbox; `Outbox.alarms` makes it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def add(self, message: str | None, time_ms: int, text: str, note: bytes | None = None) -> None:
        """Keep an alarm and the note that caused it, once."""
        with transaction(self._db):
            self._db.execute(
                "INSERT INTO valija_alarms (message, time, text, note) SELECT :message, :time, :text, :note"
                " WHERE NOT EXISTS (SELECT 1 FROM valija_alarms WHERE message IS :message AND text = :text)",
                {"message": message, "time": time_ms, "text": text, "note": note},
            )

    def about(self, message: str | None = None) -> list[Alarm]:
        """The alarms about one message, or all of them."""
        rows = self._db.execute(
            "SELECT message, time, text FROM valija_alarms WHERE :message IS NULL OR message = :message"
            " ORDER BY number",
            {"message": message},
        )
        return [Alarm(**dict(row)) for row in rows]

    def unseen(self) -> list[Alarm]:
        """The alarms that no person has said to have seen."""
        rows = self._db.execute("SELECT message, time, text FROM valija_alarms WHERE NOT seen ORDER BY number")
        return [Alarm(**dict(row)) for row in rows]

    def mark_seen(self) -> None:
        """A person has seen every alarm; they stay where they are."""
        with transaction(self._db):
            self._db.execute("UPDATE valija_alarms SET seen = 1")
