"""Times as they are read: year-month-day, which no language takes for another day, and always with the offset.

Before this room: `reading`. After it: nothing.
"""

import datetime as dt


def written(text: str) -> str:
    """A time of a document (ISO 8601) as it is read: `2026-03-31 17:00:00 UTC-06:00`."""
    day, _, rest = text.partition("T")
    clock, offset = rest[:8], rest[8:]
    return f"{day} {clock} UTC{'' if offset in {'Z', '+00:00'} else offset}"


def local_and_utc(at: dt.datetime, zone: dt.tzinfo | None) -> tuple[str, str]:
    """A time where the reader is and in UTC; `zone` is the reader's, None that of the machine.

    Raises:
        OverflowError, ValueError, OSError: no calendar reaches so far.
    """
    return _shown(at.astimezone(zone)), _shown(at.astimezone(dt.UTC))


def instant(time_ms: int, zone: dt.tzinfo | None) -> str:
    """A time in milliseconds since 1970, where the reader is and in UTC; the number where no calendar reaches it."""
    try:
        local, utc = local_and_utc(dt.datetime.fromtimestamp(time_ms / 1000, dt.UTC), zone)
    except (OverflowError, ValueError, OSError):
        return str(time_ms)
    return utc if local == utc else f"{local} ({utc})"


def utc(time_ms: int) -> str:
    """The same in UTC alone, where there is no room for both."""
    return instant(time_ms, dt.UTC)


def _shown(at: dt.datetime) -> str:
    return written(at.isoformat(timespec="seconds"))
