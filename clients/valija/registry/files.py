"""The files that officers write or are handed: officers and thresholds, the broker's public keys, routes. TOML.

Before this room: `folder`. After it: `core`. An unknown key is an error, so that a slip of the pen is not a silent
default.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec

from valija.errors import ConfigError
from valija.registry import core
from valija_schemas.directory import Area, Officer, Operator, Route, Threshold, TypeName, Witness
from valija_schemas.wire import KeyHex

S = TypeVar("S", bound=msgspec.Struct)


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file that a person writes: an unknown key is an error."""


class RouteRow(_File, frozen=True, kw_only=True):
    """One row of routes: `type` may go from each of `senders` to each of `recipients`."""

    type: TypeName
    senders: list[Area]
    recipients: list[Area]


class RoutesFile(_File, frozen=True, kw_only=True):
    """`routes.toml`."""

    route: list[RouteRow]


class BrokerFile(_File, frozen=True, kw_only=True):
    """The public keys of the broker, as `valija-broker init` writes them: hex."""

    evidence: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")] | list[KeyHex]
    freshness: str
    log: str
    log_ml_dsa: str


class RootFile(_File, frozen=True, kw_only=True):
    """The file that `init` and `new-root` read."""

    origin: str
    officers: list[Officer]
    threshold: Threshold
    broker: str | None = None  #: Path of the broker's public keys file, from the folder of this file.
    operators: list[Operator] = []
    witnesses: list[Witness] = []
    quorum: int = 0
    days: int = core.root_days_default
    route: list[RouteRow] | None = None


def read(path: Path, type_: type[S]) -> S:
    """What a TOML file says.

    Raises:
        ConfigError: it is not there, or not of this form.
    """
    try:
        return msgspec.toml.decode(path.read_bytes(), type=type_)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except (msgspec.MsgspecError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from None


def rows(table: Sequence[RouteRow]) -> tuple[Route, ...]:
    """The routes that rows stand for."""
    return core.in_order(
        Route(type=row.type, sender=sender, recipient=recipient)
        for row in table
        for sender in row.senders
        for recipient in row.recipients
    )


def routes_text(table: Sequence[RouteRow]) -> bytes:
    """`routes.toml` for these rows."""
    lines = ["# Which types may go from which areas to which. The next draft takes its routes from here."]
    for row in table:
        lines += ["", "[[route]]", f'type = "{row.type}"']
        lines += [f"senders = {_strings(row.senders)}", f"recipients = {_strings(row.recipients)}"]
    return "\n".join(lines).encode() + b"\n"


def _strings(values: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{value}"' for value in values) + "]"
