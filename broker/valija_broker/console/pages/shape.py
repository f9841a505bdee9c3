"""How values look on a page: times in UTC, spans, counts, digests, and a line of numbers as a picture.

Before this room: `view`. After it: nothing.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from valija_broker.console.pages.language import Words

_SECOND: Final = 1_000
_MINUTE: Final = 60 * _SECOND
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR
_YEAR_MAX: Final = 253_402_300_799_000  #: 9999-12-31; a time after it is shown as a number.


def time(at_ms: int | None) -> str:
    """`2026-11-24 19:20:53 UTC`, or a dash for none."""
    if at_ms is None:
        return "—"
    if at_ms > _YEAR_MAX:
        return f"{at_ms} ms"
    return datetime.fromtimestamp(at_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def machine_time(at_ms: int) -> str:
    """For the `datetime` of a `<time>`."""
    return datetime.fromtimestamp(min(at_ms, _YEAR_MAX) / 1_000, UTC).isoformat(timespec="seconds")


def span(words: Words, length_ms: int | None) -> str:
    """A length of time in one or two units, `3 h 20 min`; a dash for none."""
    if length_ms is None:
        return "—"
    length = abs(length_ms)
    if length < _SECOND:
        return words.say("{number} ms", number=length)
    if length < _MINUTE:
        return words.say("{number} s", number=length // _SECOND)
    if length < _HOUR:
        return words.say("{number} min", number=length // _MINUTE)
    if length < _DAY:
        hours, minutes = length // _HOUR, length % _HOUR // _MINUTE
        return words.say("{hours} h {minutes} min", hours=hours, minutes=minutes)
    return words.say("{days} d {hours} h", days=length // _DAY, hours=length % _DAY // _HOUR)


def count(number: int | None) -> str:
    """A number with a thin space between thousands, which every language here reads."""
    return "—" if number is None else f"{number:,}".replace(",", "\u202f")


def figure(number: float) -> str:
    """A figure as programs have it, without what is beyond a thousandth."""
    return f"{number:.3f}".rstrip("0").rstrip(".")


def size(number: int | None) -> str:
    """Bytes."""
    if number is None:
        return "—"
    for unit, below in (("B", 1 << 10), ("KiB", 1 << 20), ("MiB", 1 << 30)):
        if number < below:
            value = number * 1024 / below
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
    return f"{number / (1 << 30):.1f} GiB"


def short(digest: str) -> str:
    """The beginning of a digest."""
    return digest[:12]


def spark(numbers: Sequence[int], width: int = 96, height: int = 20) -> str:
    """The points of a `<polyline>` for a line of numbers; empty for fewer than two."""
    if len(numbers) < 2:
        return ""
    top = max(numbers) or 1
    step = width / (len(numbers) - 1)
    return " ".join(
        f"{at * step:.1f},{height - 1 - number / top * (height - 2):.1f}" for at, number in enumerate(numbers)
    )
