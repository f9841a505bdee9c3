"""A scenario as it is written: who takes part, what happens when, and the documents that they exchange.

A TOML file. What the trainer reads aloud stands in four languages; documents are in the language of the State that
writes them, as in life. Times in documents are relative to the beginning, since a story is played again and again.

Before this room: `play`. After it: `valija_schemas.documents`.
"""

import re
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from valija import durable
from valija.errors import ConfigError
from valija_schemas import limits
from valija_schemas.directory import Area
from valija_schemas.documents import Language
from valija_schemas.message import Priority

FOLDER: Final = Path(__file__).parent
scenario_bytes_max: Final = 1 << 20

_CLOCK: Final = re.compile(r"@T([+-])([0-9]{2,3}):([0-5][0-9])")
_DAY: Final = re.compile(r"@D([+-])([0-9]{1,4})")
_MESSAGE: Final = re.compile(r"@message:([a-z-]+)")


class Told(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A text in the four official languages of the OAS."""

    en: str
    es: str
    fr: str
    pt: str

    def to(self, language: Language) -> str:
        """The text in one of them."""
        return str(getattr(self, language))


class Participant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A contact point of the story."""

    id: str
    state: str  #: ISO 3166-1 alpha-2.
    area: Area


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One message of the story."""

    name: Annotated[str, msgspec.Meta(pattern="^[a-z-]+$")]  #: How later steps call it.
    at: Annotated[str, msgspec.Meta(pattern="^[0-9]{2,3}:[0-5][0-9]$")]  #: Hours and minutes since the beginning.
    sender: str = msgspec.field(name="from")
    to: tuple[str, ...]
    type: str
    document: dict[str, Any]
    story: Told  #: What the trainer tells before the message is shown.
    priority: Priority = "routine"
    reply_to: str | None = None  #: The name of an earlier step.
    ask: Told | None = None  #: What the trainer asks afterwards.

    @property
    def at_ms(self) -> int:
        """Milliseconds since the beginning."""
        hours, minutes = map(int, self.at.split(":"))
        return hours * limits.HOUR_MS + minutes * 60 * limits.SECOND_MS


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole story."""

    name: str
    title: Told
    about: Told
    points: tuple[Participant, ...]
    steps: tuple[Step, ...]


def names() -> list[str]:
    """The scenarios that come with this client."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def read(path: Path) -> Scenario:
    """A scenario from its file.

    Raises:
        ConfigError: it cannot be read, or its steps do not fit together.
    """
    try:
        found = msgspec.convert(tomllib.loads(durable.read(path, scenario_bytes_max).decode()), Scenario)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is no scenario: {error}") from None
    known: dict[str, Step] = {}
    for step in found.steps:
        ids = {point.id for point in found.points}
        if strangers := {step.sender, *step.to} - ids:
            raise ConfigError(f"{path}: step {step.name} names {', '.join(sorted(strangers))}, who is no participant")
        if step.reply_to is not None and step.reply_to not in known:
            raise ConfigError(f"{path}: step {step.name} replies to {step.reply_to}, which is no earlier step")
        if step.name in known or any(earlier.at_ms > step.at_ms for earlier in known.values()):
            raise ConfigError(f"{path}: step {step.name} has the name of another, or comes before an earlier one")
        known[step.name] = step
    return found


def written(value: Any, began_ms: int, digests: Mapping[str, str]) -> Any:
    """A step's document with its times and digests filled in. `digests` are those of the earlier steps, by name."""
    match value:
        case str():
            return _written(value, began_ms, digests)
        case dict():
            return {name: written(inner, began_ms, digests) for name, inner in value.items()}
        case list():
            return [written(inner, began_ms, digests) for inner in value]
        case _:
            return value


def _written(text: str, began_ms: int, digests: Mapping[str, str]) -> str:
    if match := _CLOCK.fullmatch(text):
        span = int(match[2]) * limits.HOUR_MS + int(match[3]) * 60 * limits.SECOND_MS
        return _utc(began_ms + (span if match[1] == "+" else -span)).isoformat(timespec="seconds")
    if match := _DAY.fullmatch(text):
        span = int(match[2]) * limits.DAY_MS
        return _utc(began_ms + (span if match[1] == "+" else -span)).date().isoformat()
    if (match := _MESSAGE.fullmatch(text)) and match[1] in digests:
        return digests[match[1]]
    return text


def _utc(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms // 1000, UTC)
