"""A month of the exchange as an evaluation mechanism may know it: counts and medians by State pair and area.

No case, no content, no contact point, no exercise. What was erased meanwhile is not counted: a report is made before
`retain_days` have gone by. Contact points are attributed by the newest directory; a message from or to one that it does
not name counts among all, and in no pair.

Before this room: `observer`. After it: `database`; the tables are those of `log.messages`.
"""

import datetime as dt
import re
import sqlite3
import statistics
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from valija_broker.database import reading
from valija_schemas import admin
from valija_schemas.directory import Area, ContactPoint

Pair = tuple[str, str, Area]  #: Of the sender, of the recipient, and the recipient's area.

_MONTH: Final = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])\Z", re.ASCII)


class _Figures:
    """Of one pair and area."""

    def __init__(self) -> None:
        self.messages = 0
        self.collected: list[int] = []
        self.answered: list[int] = []


def report(database: Path, origin: str, points: Iterable[ContactPoint], month: str) -> admin.Report:
    """The report of a month, in UTC, by when messages were accepted.

    Raises:
        ValueError: it is no month.
        sqlite3.Error: the evidence database cannot be read.
    """
    begin, end = bounds(month)
    homes = {point.id: (point.state or point.organisation or point.id, point.area) for point in points}
    figures: dict[Pair, _Figures] = defaultdict(_Figures)

    def of(sender: str, recipient: str) -> _Figures:
        if sender not in homes or recipient not in homes:
            return _Figures()
        return figures[homes[sender][0], *homes[recipient]]

    with reading(database) as connection:
        connection.execute("BEGIN")  # one state
        by_type, exercises = _types(connection, begin, end)
        for sender, recipient, took in connection.execute(
            "SELECT sender, recipient, iif(state IN (1, 2), max(since - m.accepted, 0), NULL) FROM messages m"
            " JOIN shares USING (seq) WHERE m.accepted >= ? AND m.accepted < ? AND exercise IS NOT 1",
            (begin, end),
        ):
            found = of(sender, recipient)
            found.messages += 1
            if took is not None:
                found.collected.append(took)
        for sender, recipient, took in connection.execute(_ANSWERS, (begin, begin, end)):
            of(sender, recipient).answered.append(took)
    return admin.Report(
        month=month,
        origin=origin,
        messages=sum(by_type.values()),
        exercises=exercises,
        by_type=by_type,
        exchanged=tuple(
            admin.Exchanged(
                sender=sender, recipient=recipient, area=area, messages=one.messages, answered=len(one.answered),
                answer_median=_median(one.answered), collect_median=_median(one.collected),
            )
            for (sender, recipient, area), one in sorted(figures.items())
        ),
    )  # fmt: skip


# A reply counts where it is from a recipient of what it answers, and for its sender (SPEC.md section 1.7).
_ANSWERS: Final = """
SELECT asked.sender, reply.sender, max(min(reply.accepted) - asked.accepted, 0)
FROM messages reply
    CROSS JOIN events ON events.message = reply.in_reply_to AND events.name = 'SubmissionAcceptance'
    CROSS JOIN messages asked ON asked.seq = events.seq
    CROSS JOIN shares given ON given.seq = asked.seq AND given.recipient = reply.sender
    CROSS JOIN shares back ON back.seq = reply.seq AND back.recipient = asked.sender
WHERE reply.accepted >= ? AND reply.in_reply_to IS NOT NULL AND reply.exercise IS NOT 1
    AND asked.accepted >= ? AND asked.accepted < ? AND asked.exercise IS NOT 1
GROUP BY asked.seq, reply.sender
"""


def bounds(month: str) -> tuple[int, int]:
    """When a month begins and when the next one does, in ms.

    Raises:
        ValueError: it is no month.
    """
    named = _MONTH.match(month)
    if not named or not 1970 <= int(named[1]) < 9999:
        raise ValueError(f"{month!r} is no month: 2026-10 is one")
    year, number = int(named[1]), int(named[2])
    begin = dt.datetime(year, number, 1, tzinfo=dt.UTC)
    end = dt.datetime(year + number // 12, number % 12 + 1, 1, tzinfo=dt.UTC)
    return int(begin.timestamp()) * 1000, int(end.timestamp()) * 1000


def _types(connection: sqlite3.Connection, begin: int, end: int) -> tuple[dict[str, int], int]:
    """How many of each type, and how many exercises."""
    by_type: dict[str, int] = {}
    exercises = 0
    for type_, exercise, count in connection.execute(
        "SELECT type, exercise, count(*) FROM messages WHERE accepted >= ? AND accepted < ? GROUP BY type, exercise",
        (begin, end),
    ):
        if exercise:
            exercises += count
        else:
            by_type[type_ or "unknown"] = by_type.get(type_ or "unknown", 0) + count
    return by_type, exercises


def _median(spans: list[int]) -> int | None:
    return int(statistics.median(spans)) if spans else None
