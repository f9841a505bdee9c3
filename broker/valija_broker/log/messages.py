"""A row for each message and for each recipient's share of it, and counts of the last two days: what operators look up.

Written in the transaction that commits the events, from what these say and from the headline that came with the
acceptance, which stands in no event; erased with the opening of the acceptance. No decision and no proof rests on it.

Counts are kept as they grow, so that an overview costs the same whatever the ledger holds: events by minute, and how
long recipients took to collect by hour, in classes of a quarter of an octave (a figure read from one is at most 19 %
over what it was). A count names no message, is not erased with one, and goes after two days.

Before this room: `ledger`, `retain`. After it: `observe.history`, `observe.report`. broker/DESIGN.md, "Operators".
"""

import json
import math
import sqlite3
from collections import Counter
from collections.abc import Iterable
from typing import Final, Literal

from valija_broker.evidence import Began, Ended, Erased, Row, Version

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
kept_minutes: Final = 2 * 24 * 60  #: Of counts: twice what is shown, since a time of another clock may be behind.
classes_an_octave: Final = 4

End = Literal["delivered", "refused", "failed"]

WAITING: Final = 0
STATES: Final[tuple[Literal["waiting"] | End, ...]] = ("waiting", "delivered", "refused", "failed")  #: By number.
STATE_OF: Final = {"ConsignmentAcceptance": 1, "ConsignmentRejection": 2, "ContentHandoverFailure": 3}
COUNTED: Final = frozenset((*STATE_OF, "SubmissionAcceptance", "ContentHandover", "DeadLettered"))

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS messages (
    seq         INTEGER PRIMARY KEY,  -- of its acceptance in events, which has the digest
    id          TEXT NOT NULL,
    sender      TEXT NOT NULL,
    accepted    INTEGER NOT NULL,     -- ms
    type        TEXT,                 -- NULL, with all that follow, where the acceptance came without a headline
    priority    TEXT,
    exercise    INTEGER,              -- 0 or 1
    thread      TEXT,
    in_reply_to TEXT,
    bytes       INTEGER,
    expires     INTEGER               -- ms
) STRICT;
CREATE TABLE IF NOT EXISTS shares (
    seq       INTEGER NOT NULL,       -- of the message
    recipient TEXT NOT NULL,
    accepted  INTEGER NOT NULL,       -- of the message
    state     INTEGER NOT NULL,       -- 0 no end yet, 1 delivered, 2 refused, 3 failed
    since     INTEGER,                -- of the end, ms
    reason    TEXT,
    PRIMARY KEY (seq, recipient)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counted (
    minute INTEGER NOT NULL,          -- since 1970
    name   TEXT NOT NULL,             -- of the event
    count  INTEGER NOT NULL,
    PRIMARY KEY (minute, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS collected (
    hour      INTEGER NOT NULL,       -- since 1970
    recipient TEXT NOT NULL,
    class     INTEGER NOT NULL,       -- of how long it took
    count     INTEGER NOT NULL,
    PRIMARY KEY (hour, recipient, class)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS messages_by_time ON messages (accepted);
CREATE INDEX IF NOT EXISTS messages_by_sender ON messages (sender, accepted);
CREATE INDEX IF NOT EXISTS messages_by_type ON messages (type, accepted);
CREATE INDEX IF NOT EXISTS messages_by_id ON messages (id);
CREATE INDEX IF NOT EXISTS messages_of_exercises ON messages (accepted) WHERE exercise = 1;
CREATE INDEX IF NOT EXISTS shares_by_recipient ON shares (recipient, accepted);
CREATE INDEX IF NOT EXISTS shares_by_state ON shares (state, accepted) WHERE state != 1;
"""

_SHARES: Final = """
SELECT ends.key, shares.seq, shares.accepted FROM json_each(?) ends
    CROSS JOIN events ON message = ends.value ->> 0 AND name = 'SubmissionAcceptance'
    CROSS JOIN shares ON shares.seq = events.seq AND recipient = ends.value ->> 1 AND state = 0
ORDER BY ends.key
"""


def class_of(span_ms: int) -> int:
    """The class of a span of time."""
    return math.floor(classes_an_octave * math.log2(max(span_ms, 1)))


def bound_of(class_: int) -> int:
    """The longest span of a class, in ms."""
    return math.ceil(2 ** ((class_ + 1) / classes_an_octave))


class Batch:
    """What one transaction adds. Give it each row that is new, then `write`, within that transaction."""

    def __init__(self) -> None:
        self._messages: list[tuple[object, ...]] = []
        self._shares: list[tuple[object, ...]] = []
        self._ends: list[tuple[int, str | None, Ended]] = []
        self._counts: Counter[tuple[int, str]] = Counter()
        self._newest = 0

    def add(self, seq: int, row: Row | Version | Erased) -> None:
        """Note what `row`, at place `seq`, says of a message."""
        if not isinstance(row, Row) or row.name not in COUNTED:
            return
        time = row.time
        if isinstance(row.about, Began):
            head = row.about.headline
            more = (
                (head.type, head.priority, int(head.exercise), head.thread, head.in_reply_to, head.bytes, head.expires)
                if head
                else (None,) * 7
            )
            self._messages.append((seq, row.about.id, row.sender, time, *more))
            self._shares += [(seq, to, time, WAITING) for to in row.about.to]
            self._newest = max(self._newest, time)
        elif isinstance(row.about, Ended):
            time = row.about.time
            self._ends.append((STATE_OF[row.name], row.message, row.about))
        self._counts[time // MINUTE_MS, row.name] += 1

    def write(self, cursor: sqlite3.Cursor) -> None:
        """Write all of it. The first end of a share stands: what the log has after it changes nothing.

        Raises:
            sqlite3.Error: it cannot be written.
        """
        cursor.executemany("INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", self._messages)
        cursor.executemany("INSERT INTO shares (seq, recipient, accepted, state) VALUES (?, ?, ?, ?)", self._shares)
        ended: dict[tuple[int, str], tuple[int, Ended, int]] = {}
        places = cursor.execute(_SHARES, (json.dumps([(message, end.recipient) for _, message, end in self._ends]),))
        for number, seq, accepted in places.fetchall():
            state, _, end = self._ends[number]
            ended.setdefault((seq, end.recipient), (state, end, accepted))
        cursor.executemany(
            "UPDATE shares SET state = ?, since = ?, reason = ? WHERE seq = ? AND recipient = ?",
            [(state, end.time, end.reason, *share) for share, (state, end, _) in ended.items()],
        )
        collected = Counter(
            (end.time // HOUR_MS, end.recipient, class_of(end.time - accepted))
            for state, end, accepted in ended.values()
            if STATES[state] != "failed"
        )
        cursor.executemany(
            "INSERT INTO counted VALUES (?, ?, ?)"
            " ON CONFLICT (minute, name) DO UPDATE SET count = count + excluded.count",
            [(*key, count) for key, count in self._counts.items()],
        )
        cursor.executemany(
            "INSERT INTO collected VALUES (?, ?, ?, ?)"
            " ON CONFLICT (hour, recipient, class) DO UPDATE SET count = count + excluded.count",
            [(*key, count) for key, count in collected.items()],
        )
        oldest = self._newest // MINUTE_MS - kept_minutes
        cursor.execute("DELETE FROM counted WHERE minute < ?", (oldest,))
        cursor.execute("DELETE FROM collected WHERE hour < ?", (oldest // 60,))


def erase(cursor: sqlite3.Cursor, seqs: Iterable[int]) -> None:
    """Take away the rows of those of the events `seqs` that are acceptances, and the shares of their messages."""
    gone = [(seq,) for seq in seqs]
    cursor.executemany("DELETE FROM messages WHERE seq = ?", gone)
    cursor.executemany("DELETE FROM shares WHERE seq = ?", gone)
