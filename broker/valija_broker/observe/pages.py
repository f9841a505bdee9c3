"""Pages of messages, the newest first, over as many as there are.

A page is a walk along one index, from the place where the page before ended, never a count of what was passed over.
What is wanted besides is looked at row by row, and at most `walked_max` of them: where few of many fit, a page is
short, and `next` says that there is more. So each costs about the same, whatever is asked and however much there is.

Before this room: `observer`. After it: `database`; the tables are those of `log.messages`.
"""

import json
import re
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from valija_broker.database import reading
from valija_broker.log import messages as rows
from valija_schemas import admin, limits

walked_max: Final = 20_000  #: Rows looked at for one page: some 60 ms.

_CURSOR: Final = re.compile(r"(0|[1-9][0-9]{0,15})-([1-9][0-9]{0,15})\Z", re.ASCII)
_LAST: Final = "~"  #: Behind every character that an id or a digest may have.
_COLUMNS: Final = (
    "m.seq, e.message, m.id, m.sender, m.type, m.priority, m.exercise, m.thread, m.in_reply_to, m.bytes, m.accepted,"
    " m.expires"
)

Position = tuple[int, int]  #: Time of acceptance, and place: a page goes on before it.


class _Walk(msgspec.Struct, frozen=True):
    """An index to walk along."""

    table: str
    where: str
    values: tuple[object, ...]

    def along(
        self, connection: sqlite3.Connection, times: tuple[int, int], position: Position, count: int
    ) -> list[Position]:
        """At most so many places before `position`, from the first of `times` up to the second, the newest first.

        The index is bound by one number: by the row value SQLite would begin at the newest, and pass over the rest.
        """
        since, until = times[0], min(times[1], position[0] + 1)
        query = (
            f"SELECT DISTINCT accepted, seq FROM {self.table} WHERE {self.where}"  # noqa: S608
            " AND accepted >= ? AND accepted < ? AND (accepted, seq) < (?, ?)"
            " ORDER BY accepted DESC, seq DESC LIMIT ?"
        )
        return connection.execute(query, (*self.values, since, until, *position, count)).fetchall()


def page(database: Path, wanted: admin.Wanted, after: str | None, count: int) -> admin.Messages:
    """At most `count` messages that are as `wanted`, from where `next` of the page before says.

    Raises:
        ValueError: `after` is not of a page, or `wanted` holds what no message can have.
        sqlite3.Error: the evidence database cannot be read.
    """
    position = _position(after)
    try:
        wanted = msgspec.convert(msgspec.structs.asdict(wanted), admin.Wanted)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    if wanted.prefix is not None:
        return _named(database, wanted.prefix, wanted, position, count)
    where, values = _also(wanted)
    query = (
        f"SELECT {_COLUMNS} FROM json_each(?) CROSS JOIN messages m ON m.seq = value"  # noqa: S608
        f" CROSS JOIN events e ON e.seq = m.seq WHERE {where}"
    )
    walk, found, walked, step = _walk(wanted), list[tuple[object, ...]](), 0, count + 1
    with reading(database) as connection:
        connection.execute("BEGIN")  # one state for all that a page is made of
        while walked < walked_max:
            step = min(step, walked_max - walked)
            places = walk.along(connection, _times(wanted), position, step)
            fit = {_place(row): row for row in connection.execute(query, (_seqs(places), *values))}
            found += [fit[place] for place in places if place in fit]
            if len(found) > count:
                return _messages(connection, found[:count], more=_place(found[count - 1]))
            if len(places) < step:
                return _messages(connection, found, more=None)
            position, walked, step = places[-1], walked + step, step * 8
        return _messages(connection, found, more=position)


def _seqs(places: Iterable[Position]) -> str:
    return json.dumps([seq for _, seq in places])


def message(database: Path, digest: str) -> admin.MessageRow | None:
    """One message; None where none of this digest was accepted, or it was erased.

    Raises:
        sqlite3.Error: the evidence database cannot be read.
    """
    with reading(database) as connection:
        connection.execute("BEGIN")
        return message_in(connection, digest)


def message_in(connection: sqlite3.Connection, digest: str) -> admin.MessageRow | None:
    """As `message`, in the transaction of a connection."""
    found = connection.execute(
        f"SELECT {_COLUMNS} FROM events e JOIN messages m USING (seq) WHERE e.message = ?",  # noqa: S608
        (digest,),
    ).fetchall()
    return next(iter(_messages(connection, found, more=None).messages), None)


def _position(after: str | None) -> Position:
    if after is None:
        return limits.integer_max + 1, 0
    place = _CURSOR.match(after)
    if not place:
        raise ValueError("this is no place of a page")
    return int(place[1]), int(place[2])


def _place(row: tuple[object, ...]) -> Position:
    seq, accepted = row[0], row[10]
    assert isinstance(seq, int) and isinstance(accepted, int)  # noqa: S101, PT018 - STRICT columns
    return accepted, seq


def _walk(wanted: admin.Wanted) -> _Walk:
    """Along what is likely to be rarest. What ended as it should is the rule; what waits, or failed, is not."""
    if wanted.state not in {None, "delivered"}:
        # `state != 1` says what the index is of: SQLite compares it as it is written. The recipient stands in it too.
        where = "state = ? AND state != 1"
        of: tuple[object, ...] = (rows.STATES.index(wanted.state),)
        if wanted.recipient is not None:
            where, of = f"{where} AND recipient = ?", (*of, wanted.recipient)
        return _Walk("shares INDEXED BY shares_by_state", where, of)
    if wanted.exercise:
        return _Walk("messages INDEXED BY messages_of_exercises", "exercise = 1", ())
    if wanted.sender is not None:
        return _Walk("messages INDEXED BY messages_by_sender", "sender = ?", (wanted.sender,))
    if wanted.recipient is not None:
        return _Walk("shares INDEXED BY shares_by_recipient", "recipient = ?", (wanted.recipient,))
    if wanted.type is not None:
        return _Walk("messages INDEXED BY messages_by_type", "type = ?", (wanted.type,))
    return _Walk("messages INDEXED BY messages_by_time", "true", ())


def _times(wanted: admin.Wanted) -> tuple[int, int]:
    """From when on, and until before when."""
    return wanted.since or 0, limits.integer_max + 1 if wanted.until is None else wanted.until


def _also(wanted: admin.Wanted) -> tuple[str, list[object]]:
    """All that is wanted, of a message `m`."""
    parts, values = ["true"], list[object]()
    for column, value in (("sender", wanted.sender), ("type", wanted.type), ("exercise", wanted.exercise)):
        if value is not None:
            parts.append(f"m.{column} = ?")
            values.append(value)
    share = []
    if wanted.recipient is not None:
        share.append("recipient = ?")
        values.append(wanted.recipient)
    if wanted.state is not None:
        share.append("state = ?")
        values.append(rows.STATES.index(wanted.state))
    if share:
        parts.append(f"EXISTS (SELECT 1 FROM shares s WHERE s.seq = m.seq AND {' AND '.join(share)})")  # noqa: S608
    return " AND ".join(parts), values


def _named(database: Path, prefix: str, wanted: admin.Wanted, position: Position, count: int) -> admin.Messages:
    """Those whose digest or id begins so: few, unless an id is no random one; the newest of `walked_max` of each."""
    where, values = _also(wanted)
    ends = (prefix, prefix + _LAST)
    with reading(database) as connection:
        connection.execute("BEGIN")
        found = connection.execute(
            "WITH named AS ("  # noqa: S608
            " SELECT seq FROM (SELECT seq FROM events WHERE message >= ? AND message < ? LIMIT ?)"
            " UNION SELECT seq FROM (SELECT seq FROM messages WHERE id >= ? AND id < ? ORDER BY id DESC LIMIT ?))"
            f" SELECT {_COLUMNS} FROM named JOIN messages m USING (seq) JOIN events e USING (seq)"
            f" WHERE {where} AND m.accepted >= ? AND m.accepted < ? AND (m.accepted, m.seq) < (?, ?)"
            " ORDER BY m.accepted DESC, m.seq DESC LIMIT ?",
            (*ends, walked_max, *ends, walked_max, *values, *_times(wanted), *position, count + 1),
        ).fetchall()
        return _messages(connection, found[:count], more=_place(found[count - 1]) if len(found) > count else None)


def _messages(
    connection: sqlite3.Connection, found: Iterable[tuple[object, ...]], more: Position | None
) -> admin.Messages:
    messages = tuple(_row(connection, *row) for row in found)
    return admin.Messages(messages=messages, next=f"{more[0]}-{more[1]}" if more else None)


def _row(connection: sqlite3.Connection, seq: object, *columns: object) -> admin.MessageRow:
    names = (
        "digest", "id", "sender", "type", "priority", "exercise", "thread", "in_reply_to", "bytes", "accepted",
        "expires",
    )  # fmt: skip
    values = dict(zip(names, columns, strict=True))
    values["exercise"] = None if values["exercise"] is None else bool(values["exercise"])
    values["shares"] = [_share(*share) for share in connection.execute(
        "SELECT recipient, state, since, reason FROM shares WHERE seq = ? ORDER BY recipient", (seq,)
    )]  # fmt: skip
    return msgspec.convert(values, admin.MessageRow)


def _share(recipient: str, state: int, since: int | None, reason: str | None) -> admin.Share:
    ended = rows.STATES[state]
    # What waits is shown as ready: who looks into the store knows whether it is lent, or lies dead.
    return admin.Share(
        recipient=recipient, state="ready" if ended == "waiting" else ended, since=since, attempts=None, reason=reason
    )
