"""What the evidence database says: messages and what became of them, acts of operators, counts over time.

Each function reads anew, in the caller's thread, and writes nothing. What was erased is not there any more.

Before this room: `observer`. After it: `database`, `evidence`, `log.view`.
"""

import re
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, Literal

from valija_broker import evidence
from valija_broker.database import reading
from valija_broker.log import prove
from valija_broker.log.view import LogView
from valija_schemas import admin, hold, leaf, merkle, order
from valija_schemas import note as notes

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
minutes_shown: Final = 60
hours_shown: Final = 24

_ENDS: Final[dict[str, admin.ShareState]] = {
    "ConsignmentAcceptance": "delivered",
    "ConsignmentRejection": "refused",
    "ContentHandoverFailure": "failed",
}
_COUNTED: Final = {
    "SubmissionAcceptance": 0, "ContentHandover": 1, "ConsignmentAcceptance": 2, "ConsignmentRejection": 2,
    "DeadLettered": 3,
}  # fmt: skip
_CURSOR: Final = re.compile(r"[1-9][0-9]{0,15}\Z", re.ASCII)


def minutes(database: Path, now: int) -> tuple[admin.Minute, ...]:
    """What happened in each of the last 60 minutes, the oldest first."""
    first = now // MINUTE_MS - minutes_shown + 1
    counts = [[0, 0, 0, 0] for _ in range(minutes_shown)]
    with reading(database) as connection:
        rows = connection.execute(
            "SELECT time / ? AS minute, name, count(*) FROM events"
            " WHERE message IS NOT NULL AND time >= ? GROUP BY minute, name",
            (MINUTE_MS, first * MINUTE_MS),
        )
        for minute, name, count in rows:
            if name in _COUNTED and 0 <= minute - first < minutes_shown:
                counts[minute - first][_COUNTED[name]] += count
    return tuple(
        admin.Minute(time=(first + at) * MINUTE_MS, accepted=a, handed_over=h, acknowledged=k, died=d)
        for at, (a, h, k, d) in enumerate(counts)
    )


def messages(database: Path, wanted: admin.Wanted, after: str | None, count: int) -> admin.Messages:
    """A page of messages, the newest first; `after` is `next` of the page before.

    Raises:
        ValueError: `after` is not of a page.
    """
    if after is not None and not _CURSOR.match(after):
        raise ValueError("this is no place of a page")
    found: list[admin.MessageRow] = []
    with reading(database) as connection:
        for seq, row in _accepted(connection, int(after) if after else None, wanted):
            if len(found) == count:
                return admin.Messages(messages=tuple(found), next=str(seq + 1))
            if _fits(row, wanted):
                found.append(row)
    return admin.Messages(messages=tuple(found), next=None)


def message(database: Path, digest: str) -> admin.MessageRow | None:
    """One message; None where none of this digest was accepted, or all of it was erased."""
    with reading(database) as connection:
        rows = connection.execute("SELECT name, event, time FROM events WHERE message = ?", (digest,)).fetchall()
    return _row(rows)


def story(database: Path, log: LogView, row: admin.MessageRow) -> admin.MessageStory:
    """The events of a message in the order of the log, each with a proof under the newest checkpoint, checked now."""
    head = log.checkpoint()[1]
    page = log.page(head.size)
    with reading(database) as connection:
        rows = connection.execute(
            "SELECT seq, name, time, event, salt, leaf FROM events WHERE message = ? ORDER BY seq", (row.digest,)
        ).fetchall()
    events = []
    for seq, name, time, event, salt, stored in rows:
        by, to, reason = _said(name, event)
        events.append(
            admin.Happened(
                event=name, time=time, by=by, to=to, reason=reason, index=seq - 1,
                proof=_proof(page, head.size, head.root, seq - 1, event, salt, stored),
            )
        )  # fmt: skip
    return admin.MessageStory(message=row, events=tuple(events))


def acts(database: Path, before: int | None, count: int) -> tuple[admin.Act, ...]:
    """At most `count` acts of operators, the newest first, of leaves before index `before`."""
    with reading(database) as connection:
        rows = connection.execute(
            "SELECT seq, name, event FROM feed CROSS JOIN events USING (seq)"
            " WHERE party = ? AND name IN (?, ?) AND seq <= ? ORDER BY number DESC LIMIT ?",
            (evidence.OPERATORS, order.EVENT, hold.EVENT, before if before is not None else 1 << 62, count),
        ).fetchall()
    return tuple(_act(seq, name, event) for seq, name, event in rows)


def _accepted(
    connection: sqlite3.Connection, before: int | None, wanted: admin.Wanted
) -> Iterator[tuple[int, admin.MessageRow]]:
    query = "SELECT seq, message FROM events WHERE name = 'SubmissionAcceptance' AND seq < ?"
    values: list[Any] = [before if before is not None else 1 << 62]
    for column, value in (("sender =", wanted.sender), ("time >=", wanted.since), ("time <", wanted.until)):
        if value is not None:
            query += f" AND {column} ?"
            values.append(value)
    for seq, digest in connection.execute(f"{query} ORDER BY seq DESC", values):
        rows = connection.execute("SELECT name, event, time FROM events WHERE message = ?", (digest,)).fetchall()
        row = _row(rows)
        if row is not None:
            yield seq, row


def _row(rows: Iterable[tuple[str, bytes, int]]) -> admin.MessageRow | None:
    accepted = None
    ends: dict[str, admin.Share] = {}
    for name, event, time in rows:
        if name == "SubmissionAcceptance":
            accepted = evidence.facts_of(event)
        elif name in _ENDS:
            facts = evidence.facts_of(event)
            ends[facts.about] = admin.Share(
                recipient=facts.about, state=_ENDS[name], since=time, attempts=None, reason=facts.reason
            )
    if accepted is None:
        return None
    waiting = {
        id_: admin.Share(recipient=id_, state="ready", since=None, attempts=None, reason=None) for id_ in accepted.to
    }
    return admin.MessageRow(
        digest=accepted.message, id=accepted.id, sender=accepted.sender, type=None, priority=None, exercise=None,
        thread=None, in_reply_to=None, bytes=None, accepted=accepted.time, expires=None,
        shares=tuple((waiting | ends)[id_] for id_ in accepted.to),
    )  # fmt: skip


def _fits(row: admin.MessageRow, wanted: admin.Wanted) -> bool:
    states = {"ready": "waiting", "leased": "waiting", "dead": "waiting"}
    return (
        (wanted.recipient is None or any(share.recipient == wanted.recipient for share in row.shares))
        and (wanted.type is None or row.type == wanted.type)
        and (wanted.exercise is None or row.exercise == wanted.exercise)
        and (wanted.state is None or any(states.get(s.state, s.state) == wanted.state for s in row.shares))
        and (wanted.prefix is None or row.digest.startswith(wanted.prefix) or row.id.startswith(wanted.prefix))
    )


def _said(name: str, event: bytes) -> tuple[str, tuple[str, ...], str | None]:
    """Who an event is by, whom it speaks of, and its reason."""
    if name == order.EVENT:
        note, action = order.parse_order(event, notes.parse(event).origin)
        named = (action.contact_point,) if action.contact_point else ()
        return ", ".join(_who(note)), named, action.reason
    facts = evidence.facts_of(event)
    return facts.recipient or "broker", facts.to or (facts.recipient,), facts.reason


def _act(seq: int, name: str, event: bytes) -> admin.Act:
    origin = notes.parse(event).origin
    if name == order.EVENT:
        note, action = order.parse_order(event, origin)
        return admin.Act(
            digest=note.digest, act=action.action, operators=_who(note), message=action.message,
            contact_point=action.contact_point, reason=action.reason, time=action.time, index=seq - 1,
        )  # fmt: skip
    note, held = hold.parse_hold(event, origin)
    return admin.Act(
        digest=note.digest, act=held.action, operators=_who(note), message=None, contact_point=held.contact_point,
        reason=held.reason, time=held.time, index=seq - 1,
    )  # fmt: skip


def _who(note: notes.Note) -> tuple[str, ...]:
    return tuple(sorted(line.name.partition("/")[2] for line in note.signatures))


def _proof(
    page: prove.Hashes, size: int, root: bytes, index: int, event: bytes, salt: bytes, stored: bytes
) -> Literal["proved", "waiting", "false"]:
    if index >= size:
        return "waiting"
    try:
        path = tuple(prove.inclusion(page, index, size))
        merkle.verify_inclusion(merkle.leaf_hash(leaf.of_event(salt, event)), index, size, path, root)
    except (merkle.MerkleError, TypeError, ValueError):
        return "false"
    return "proved" if leaf.of_event(salt, event) == stored else "false"
