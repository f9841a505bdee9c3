"""The clock of this machine, and how a time is written. Whoever needs another one, a test for instance, passes that in.

Before this room: `client`, `cli`. After it: nothing.
"""

import time
from datetime import UTC, datetime
from typing import Final

#: 9999-12-30T00:00Z: a day before the calendar of Python ends, so that every time zone can write it.
_LAST_MS: Final = 253_402_128_000_000


def now_ms() -> int:
    """The time, in milliseconds since 1970-01-01T00:00:00Z."""
    return time.time_ns() // 1_000_000


def iso(time_ms: int) -> str:
    """A time for programs and people alike: ISO 8601 in UTC."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def ms_of(text: str) -> int:
    """A time of a document (ISO 8601 with its offset), in ms since 1970, that can be written in every time zone.

    What is before 1970 counts as then, and what is after 9999-12-30 as that: a sender may name any year.
    """
    return min(max(int(datetime.fromisoformat(text).timestamp() * 1000), 0), _LAST_MS)


def day_of(time_ms: int) -> str:
    """The day of a time, in UTC, as documents write it."""
    return iso(time_ms)[:10]
