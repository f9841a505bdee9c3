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
from valija_schemas.directory import Area, BrokerKeys, Officer, Operator, Route, Threshold, TypeName, Witness
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


def read_root(config: Path, broker_file: Path | None) -> tuple[RootFile, BrokerKeys]:
    """What the file for `init` and `new-root` says, and the broker's public keys: in `broker_file`, or where it says.

    Raises:
        ConfigError: one of the two is not there, or not of its form.
    """
    listed = read(config, RootFile)
    if broker_file is None and listed.broker is None:
        raise ConfigError("where are the broker's public keys?", hint="Give --broker, or `broker` in the file.")
    path = broker_file or config.parent / str(listed.broker)
    broker = read(path, BrokerFile)
    evidence = (broker.evidence,) if isinstance(broker.evidence, str) else tuple(broker.evidence)
    return listed, BrokerKeys(
        evidence=evidence, freshness=broker.freshness, log=broker.log, log_ml_dsa=broker.log_ml_dsa
    )


def rows(table: Sequence[RouteRow]) -> tuple[Route, ...]:
    """The routes that rows stand for."""
    return core.in_order(route for row in table for route in core.cross(row.type, row.senders, row.recipients))


def routes_text(table: Sequence[RouteRow]) -> bytes:
    """`routes.toml` for these rows."""
    lines = [
        "# Which types may go from which areas to which, in the first directory; after it, `valija-registry route`."
    ]
    for row in table:
        lines += ["", "[[route]]", f'type = "{row.type}"']
        lines += [f"senders = {_strings(row.senders)}", f"recipients = {_strings(row.recipients)}"]
    return "\n".join(lines).encode() + b"\n"


def _strings(values: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{value}"' for value in values) + "]"
