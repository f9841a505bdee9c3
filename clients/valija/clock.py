"""The clock of this machine, and how a time is written. Whoever needs another one, a test for instance, passes that in.

Before this room: `client`, `cli`. After it: nothing.
"""

import time
from datetime import UTC, datetime


def now_ms() -> int:
    """The time, in milliseconds since 1970-01-01T00:00:00Z."""
    return time.time_ns() // 1_000_000


def iso(time_ms: int) -> str:
    """A time for programs and people alike: ISO 8601 in UTC."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def day_of(time_ms: int) -> str:
    """The day of a time, in UTC, as documents write it."""
    return iso(time_ms)[:10]
