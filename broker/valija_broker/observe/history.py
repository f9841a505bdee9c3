"""What the evidence database says besides pages of messages: events, acts of operators, counts over time.

Each function reads anew, in the caller's thread, and writes nothing. What was erased is not there any more.

Before this room: `observer`. After it: `database`, `evidence`, `log.view`, `log.messages`.
"""

from collections import Counter
from pathlib import Path
from typing import Final, Literal

import msgspec

from valija_broker import evidence
from valija_broker.database import reading
from valija_broker.log import messages as rows
from valija_broker.log import prove
from valija_broker.log.view import LogView
from valija_broker.observe import pages
from valija_schemas import admin, hold, leaf, merkle, order
from valija_schemas import note as notes

minutes_shown: Final = 60
hours_shown: Final = 24

_COUNTED: Final = {
    "SubmissionAcceptance": 0, "ContentHandover": 1, "ConsignmentAcceptance": 2, "ConsignmentRejection": 2,
    "DeadLettered": 3,
}  # fmt: skip


class Collected(msgspec.Struct, frozen=True):
    """What a contact point took in the last 24 hours."""

    hours: tuple[int, ...]  #: Messages in each, the oldest first.
    p95: int | None  #: Acceptance to receipt, in ms: at most 19 % over what it was; None: it took nothing.


def minutes(database: Path, now: int) -> tuple[admin.Minute, ...]:
    """What happened in each of the last 60 minutes, the oldest first.

    Raises:
        sqlite3.Error: the evidence database cannot be read.
    """
    first = now // rows.MINUTE_MS - minutes_shown + 1
    counts = [[0, 0, 0, 0] for _ in range(minutes_shown)]
    with reading(database) as connection:
        found = connection.execute(
            "SELECT minute, name, count FROM counted WHERE minute >= ? AND minute < ?", (first, first + minutes_shown)
        )
        for minute, name, count in found:
            if name in _COUNTED:
                counts[minute - first][_COUNTED[name]] += count
    return tuple(
        admin.Minute(time=(first + at) * rows.MINUTE_MS, accepted=a, handed_over=h, acknowledged=k, died=d)
        for at, (a, h, k, d) in enumerate(counts)
    )


def collected(database: Path, now: int) -> dict[str, Collected]:
    """What each contact point collected in the last 24 hours; none of those that collected nothing.

    Raises:
        sqlite3.Error: the evidence database cannot be read.
    """
    first = now // rows.HOUR_MS - hours_shown + 1
    hours: dict[str, list[int]] = {}
    classes: dict[str, Counter[int]] = {}
    with reading(database) as connection:
        found = connection.execute(
            "SELECT recipient, hour, class, count FROM collected WHERE hour >= ? AND hour < ?",
            (first, first + hours_shown),
        )
        for recipient, hour, class_, count in found:
            if recipient not in hours:
                hours[recipient], classes[recipient] = [0] * hours_shown, Counter()
            hours[recipient][hour - first] += count
            classes[recipient][class_] += count
    return {
        recipient: Collected(tuple(counts), _percentile(classes[recipient], 95)) for recipient, counts in hours.items()
    }


def _percentile(classes: Counter[int], percent: int) -> int:
    """The bound of the class in which it lies."""
    before, wanted = 0, classes.total() * percent
    for class_ in sorted(classes):
        before += classes[class_] * 100
        if before >= wanted:
            break
    return rows.bound_of(class_)


def story(database: Path, log: LogView, digest: str) -> admin.MessageStory | None:
    """A message, and its events in the order of the log, each with a proof under the newest checkpoint, checked now.

    None where none of this digest was accepted, or it was erased. What is said of its shares is what the events say.

    Raises:
        sqlite3.Error: the evidence database cannot be read.
    """
    head = log.checkpoint()[1]
    page = log.page(head.size)
    with reading(database) as connection:
        connection.execute("BEGIN")
        row = pages.message_in(connection, digest)
        if row is None:
            return None
        found = connection.execute(
            "SELECT seq, name, time, event, salt, leaf FROM events WHERE message = ? ORDER BY seq", (digest,)
        ).fetchall()
    events = []
    for seq, name, time, event, salt, stored in found:
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
        found = connection.execute(
            "SELECT seq, name, event FROM feed CROSS JOIN events USING (seq)"
            " WHERE party = ? AND name IN (?, ?) AND seq <= ? ORDER BY number DESC LIMIT ?",
            (evidence.OPERATORS, order.EVENT, hold.EVENT, before if before is not None else 1 << 62, count),
        ).fetchall()
    return tuple(_act(seq, name, event) for seq, name, event in found)


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
