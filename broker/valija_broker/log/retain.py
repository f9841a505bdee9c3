"""How long openings are kept: erasure by age and by order, and the legal hold that stands against both.

Erasing takes salt, event and whatever names the message from a row, and with the acceptance what operators look up of
the message (`messages`). Its place, id and leaf stay: so the tree, the numbers of the feeds and every proof stay as
they are, and an outbox entry that comes late is known and brings nothing back. It is stated in the same transaction, as
an event of the log. `Ledger.truncate_wal` then empties the file that still has the bytes.

An order and what it orders are one transaction: there is no hold and no erasure by order that the log does not have.

Before this room: `upkeep`, `orders`. After it: `ledger`. SPEC.md sections 5.2 and 5.3.
"""

import secrets
import sqlite3
from collections.abc import Sequence
from typing import Final

import msgspec

from valija_broker.errors import NotEnded, UnderHold
from valija_broker.evidence import Erased, Row
from valija_broker.log import messages, ordered
from valija_broker.log.ledger import Added, Ledger
from valija_schemas import erasure, leaf, order

rows_max: Final = 5_000  #: Looked at, and erased, in one transaction: some tens of ms.

Position = tuple[int, int]  #: Time in ms and row: how far a walk from the oldest event on has come.
BEGIN: Final[Position] = (-1, 0)


class Step(msgspec.Struct, frozen=True):
    """What one transaction of a walk did."""

    erased: int  #: Openings.
    after: Position | None  #: Where the walk goes on; None at its end.


class Given(msgspec.Struct, frozen=True):
    """An order as it enters the ledger."""

    digest: str
    row: Row
    now: int  #: ms


class Retention:
    """Erases and holds in one ledger. One thread at a time, as the ledger."""

    def __init__(self, ledger: Ledger, origin: str) -> None:
        self._ledger = ledger
        self._origin = origin

    def retain(self, what: str, given: Given) -> Added:
        """Hold a message, by its digest, or all messages of a contact point. The same order again changes nothing.

        Raises:
            LogUnknown, sqlite3.Error: as `Ledger.commit`.
        """
        return self._say(what, given, 1)

    def release(self, what: str, given: Given) -> Added:
        """End the hold of `what`, whoever ordered it. The same order again changes nothing, whatever was held since.

        Raises:
            LogUnknown, sqlite3.Error: as `Ledger.commit`.
        """
        return self._say(what, given, 0)

    def _say(self, what: str, given: Given, held: int) -> Added:
        def work(cursor: sqlite3.Cursor) -> list[Row]:
            cursor.execute(
                "INSERT INTO retained (what, by_order, held, time) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (what, given.digest, held, given.now),
            )
            return [given.row]

        return self._ledger.commit(work)

    def erase(self, *, before: int, now: int, reason: str, after: Position = BEGIN) -> Step:
        """Erase openings of messages whose last event is older than `before` (ms), a bounded number of them.

        A crash anywhere leaves this step whole or undone; a walk that begins anew skips what is erased.

        Raises:
            LogUnknown, sqlite3.Error: as `Ledger.commit`.
        """
        step = Step(0, None)

        def work(cursor: sqlite3.Cursor) -> list[Erased]:
            nonlocal step
            seqs, position = _due(cursor, before, after)
            step = Step(len(seqs), position)
            return self._erase(cursor, seqs, None, now, reason)

        self._ledger.commit(work)
        return step

    def erase_message(self, digest: str, given: Given) -> tuple[int, Added]:
        """Erase all openings of one message by an order of operators, however young; how many. Repeating is safe.

        What entered after the order stays: it was not meant, and an order could be handed in again years later.
        Openings of orders stay until they are old: they are what the operators answer for.

        Raises:
            UnderHold: the message or one of its parties is held; nothing was erased.
            NotEnded: it waits for a recipient, when the order enters the ledger; nothing was erased.
            LogUnknown, sqlite3.Error: as `Ledger.commit`.
        """
        erased = 0

        def work(cursor: sqlite3.Cursor) -> list[Row | Erased]:
            nonlocal erased
            if not _of(cursor, digest).isdisjoint(_held(cursor)):
                raise UnderHold(f"a legal hold covers {digest}")
            leaves = _Leaves()
            placed = cursor.execute("SELECT seq FROM events WHERE id = ?", (given.row.id,)).fetchone()
            if placed is None and (waiting := ordered.waiting_in(cursor, digest)):
                raise NotEnded(f"the message has not ended for {', '.join(waiting)}")
            rows = _rows(cursor, digest, but=order.EVENT)
            leaves.add([seq for seq in rows if placed is None or seq < placed[0]])
            erased = len(leaves.seqs)
            # Why, the order says: 400 ranges leave no room here for a long reason.
            return [given.row, *self._erase(cursor, leaves.seqs, given.digest, given.now, "an order of operators")]

        total, rows, parties = 0, 0, frozenset[str]()
        while True:
            # A crash between two of these leaves an order in the log and a part of the openings: the note still waits.
            added = self._ledger.commit(work)
            total, rows, parties = total + erased, rows + added.rows, parties | added.parties
            if not erased:
                return total, Added(rows, parties)

    def _erase(self, cursor: sqlite3.Cursor, seqs: set[int], by: str | None, now: int, reason: str) -> list[Erased]:
        if not seqs:
            return []
        cursor.executemany(
            "UPDATE events SET name = NULL, message = NULL, sender = NULL, time = NULL, event = NULL, salt = NULL"
            " WHERE seq = ?",
            [(seq,) for seq in sorted(seqs)],
        )
        messages.erase(cursor, seqs)
        ranges = erasure.ranges_of(seq - 1 for seq in sorted(seqs))
        said = erasure.Erasure(order=by, leaves=ranges, time=now, reason=reason)
        text = erasure.erasure_text(self._origin, said)
        return [Erased(time=now, event=text, salt=secrets.token_bytes(leaf.SALT_BYTES))]


def _held(cursor: sqlite3.Cursor) -> set[str]:
    return {hold.what for hold in ordered.holds_in(cursor)}


def _due(cursor: sqlite3.Cursor, before: int, after: Position) -> tuple[set[int], Position | None]:
    """Rows to erase, and where to go on. A message comes whole, unless it alone is more than a step."""
    held = _held(cursor)
    old = cursor.execute(
        "SELECT time, seq, message FROM events WHERE message IS NOT NULL AND time < ? AND (time, seq) > (?, ?)"
        " ORDER BY time, seq LIMIT ?",
        (before, *after, rows_max),
    ).fetchall()
    leaves = _Leaves()
    seen: set[str] = set()
    for time, seq, message in old:
        if message not in seen and _is_due(cursor, message, before, held):
            rows = _rows(cursor, message)
            if leaves.seqs and not leaves.fits(rows):
                return leaves.seqs, after
            if not leaves.add(rows):
                return leaves.seqs, after
        seen.add(message)
        after = (time, seq)
    return leaves.seqs, after if len(old) == rows_max else None


def _is_due(cursor: sqlite3.Cursor, message: str, before: int, held: set[str]) -> bool:
    last = cursor.execute("SELECT max(time) FROM events WHERE message = ?", (message,)).fetchone()[0]
    return last < before and (not held or _of(cursor, message).isdisjoint(held))


def _rows(cursor: sqlite3.Cursor, message: str, but: str = "") -> list[int]:
    query = "SELECT seq FROM events WHERE message = ? AND name != ? ORDER BY seq"
    return [row[0] for row in cursor.execute(query, (message, but))]


def _of(cursor: sqlite3.Cursor, message: str) -> set[str]:
    """What a hold of this message may name: its digest and its parties."""
    query = "SELECT sender FROM events WHERE message = :of UNION SELECT party FROM events JOIN feed USING (seq)"
    return {message} | {row[0] for row in cursor.execute(f"{query} WHERE message = :of", {"of": message})}


class _Leaves:
    """Rows that one erasure can speak of."""

    def __init__(self) -> None:
        self.seqs: set[int] = set()
        self._ranges = 0

    def fits(self, rows: Sequence[int]) -> bool:
        """Whether all of `rows` have room, however far they are from what is here."""
        ranges = len(erasure.ranges_of(rows))
        return self._ranges + ranges <= erasure.ranges_max and len(self.seqs) + len(rows) <= rows_max

    def add(self, rows: Sequence[int]) -> bool:
        """Take as many of `rows`, in order, as have room; whether that is all of them."""
        for seq in rows:
            ranges = self._ranges + 1 - (seq - 1 in self.seqs) - (seq + 1 in self.seqs)
            if ranges > erasure.ranges_max or len(self.seqs) == rows_max:
                return False
            self.seqs.add(seq)
            self._ranges = ranges
        return True
