"""The feed as the outbox keeps it: every event that the broker told us of, its proof, and what should still come in it.

The promise: an event that was stored stays as it is, but for a proof that more witnesses stand behind.

Before this room: `tracking`, which reads the feed, and `monitor`. After it: `database`. Rules: SPEC.md section 5.
"""

import json
import sqlite3
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from valija.database import transaction

EventVerdict = Literal["verified", "stated", "alarm"]


class StoredEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event of our feed."""

    number: int
    message: str
    event: str
    who: tuple[str, ...]
    time: int
    reason: str | None
    note: bytes
    salt: bytes
    verdict: EventVerdict
    detail: str | None
    leaf: int | None  #: Its place in the log; None where it is not proved to be there.
    proof: bytes | None  #: C2SP tlog-proof with a checkpoint that was verified.
    complete: bool  #: Whether that checkpoint has the witnesses that the root asks for.


class FeedStore:
    """The events of one outbox; `Outbox.feed` makes it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def position(self) -> int:
        """The number of the last event that is stored."""
        return int(self._db.execute("SELECT coalesce(max(number), 0) FROM valija_events").fetchone()[0])

    def newest(self) -> int:
        """The latest time of a stored event that is no alarm, in ms; 0 without any."""
        found = self._db.execute("SELECT coalesce(max(time), 0) FROM valija_events WHERE verdict != 'alarm'").fetchone()
        return int(found[0])

    def add(self, events: Sequence[StoredEvent]) -> None:
        """Store a page of the feed; events that are here already stay as they are."""
        with transaction(self._db):
            # A crash before the commit leaves the position where it was: the page is read again.
            self._db.executemany(
                "INSERT OR IGNORE INTO valija_events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        event.number,
                        event.message,
                        event.event,
                        json.dumps(event.who),
                        event.time,
                        event.reason,
                        event.note,
                        event.salt,
                        event.verdict,
                        event.detail,
                        event.leaf,
                        event.proof,
                        event.complete,
                    )
                    for event in events
                ],
            )
            self._db.executemany(
                "UPDATE valija_messages SET logged = 1 WHERE digest = ?",
                [(event.message,) for event in events if event.event == "SubmissionAcceptance"],
            )

    def first_incomplete(self, after: int) -> int | None:
        """The number of the first event behind `after` whose proof too few witnesses stand behind."""
        row = self._db.execute(
            "SELECT min(number) AS number FROM valija_events WHERE proof IS NOT NULL AND NOT complete AND number > ?",
            (after,),
        ).fetchone()
        return None if row["number"] is None else int(row["number"])

    def complete(self, number: int, proof: bytes) -> None:
        """Put a proof with its witnesses in the place of one without."""
        with transaction(self._db):
            # A crash before the commit leaves the one without: it is asked for again.
            self._db.execute(
                "UPDATE valija_events SET proof = ?, complete = 1 WHERE number = ? AND proof IS NOT NULL",
                (proof, number),
            )

    def of(self, message: str) -> list[StoredEvent]:
        """What is known of one message, in the order of the feed."""
        rows = self._db.execute("SELECT * FROM valija_events WHERE message = ? ORDER BY number", (message,))
        return [_event(row) for row in rows]

    def get(self, number: int) -> StoredEvent | None:
        """Event `number` of the feed."""
        row = self._db.execute("SELECT * FROM valija_events WHERE number = ?", (number,)).fetchone()
        return None if row is None else _event(row)

    def after(self, number: int) -> list[StoredEvent]:
        """The feed behind event `number`, in its order."""
        rows = self._db.execute("SELECT * FROM valija_events WHERE number > ? ORDER BY number", (number,))
        return [_event(row) for row in rows]

    def handed_over(self, me: str) -> list[str]:
        """Digests of the messages that the broker says to have handed to `me`, on its word alone."""
        rows = self._db.execute(
            "SELECT DISTINCT message FROM valija_events WHERE event = 'ContentHandover' AND verdict = 'stated'"
            " AND who = ? ORDER BY number",
            (json.dumps([me]),),
        )
        return [row["message"] for row in rows]

    def handed_in(self, message: str, time_ms: int) -> None:
        """The broker took our receipt for `message`: it has to come in the feed."""
        with transaction(self._db):
            # A crash before the commit: this receipt is not looked for.
            self._db.execute("INSERT OR IGNORE INTO valija_handed_in VALUES (?, ?)", (message, time_ms))

    def receipts_unlogged(self, me: str) -> list[tuple[str, int]]:
        """Digest and time of the receipts of ours that the broker took and that have not come in the feed."""
        with transaction(self._db):
            self._db.execute(
                "DELETE FROM valija_handed_in WHERE EXISTS (SELECT 1 FROM valija_events e"
                " WHERE e.message = valija_handed_in.message AND e.who = ? AND e.verdict = 'verified'"
                " AND e.event IN ('ConsignmentAcceptance', 'ConsignmentRejection'))",
                (json.dumps([me]),),
            )
        rows = self._db.execute("SELECT message, time FROM valija_handed_in ORDER BY time, message")
        return [(row["message"], row["time"]) for row in rows]


def _event(row: sqlite3.Row) -> StoredEvent:
    values: dict[str, Any] = dict(row)
    values["who"] = tuple(json.loads(row["who"]))
    values["complete"] = bool(row["complete"])
    return StoredEvent(**values)
