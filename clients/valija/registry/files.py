"""The files that officers write or are handed: officers and thresholds, the broker's public keys, routes. TOML.

Before this room: `folder`. After it: `core`, `table`. An unknown key is an error, so that a slip of the pen is not a
silent default.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec

from valija.errors import ConfigError
from valija.registry import core, table
from valija_schemas.directory import (
    Area,
    BrokerKeys,
    MlDsa44Hex,
    Officer,
    Operator,
    Route,
    Threshold,
    TypeName,
    Witness,
)
from valija_schemas.wire import KeyHex

S = TypeVar("S", bound=msgspec.Struct)


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file that a person writes: an unknown key is an error."""


class RouteRow(_File, frozen=True, kw_only=True):
    """One row of routes: `type` may go from each of `senders` to each of `recipients`."""

    type: TypeName
    senders: Annotated[list[Area], msgspec.Meta(min_length=1)]
    recipients: Annotated[list[Area], msgspec.Meta(min_length=1)]


class RoutesFile(_File, frozen=True, kw_only=True):
    """`routes.toml`."""

    route: list[RouteRow]


class BrokerFile(_File, frozen=True, kw_only=True):
    """The public keys of the broker, as `valija-broker init` writes them: hex."""

    evidence: KeyHex | list[KeyHex]
    freshness: KeyHex
    log: KeyHex
    log_ml_dsa: MlDsa44Hex


class RootFile(_File, frozen=True, kw_only=True):
    """The file that `init` and `new-root` read."""

    origin: Annotated[str, msgspec.Meta(pattern=table.ORIGIN)]
    officers: list[Officer]
    threshold: Threshold
    broker: str | None = None  #: Path of the broker's public keys file, from the folder of this file.
    operators: list[Operator] = []
    witnesses: list[Witness] = []
    quorum: int = 0
    days: int = core.root_days_default
    route: list[RouteRow] | None = None


def read(path: Path, type_: type[S], hint: str = ConfigError.hint) -> S:
    """What a TOML file says. `hint` goes with an error.

    Raises:
        ConfigError: it is not there, or not of this form.
    """
    try:
        return table.read(path.read_text("utf-8"), type_)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", hint=hint) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} holds no text", hint="Write it in UTF-8.") from None
    except table.TableError as error:
        raise ConfigError(f"{path}: {error}", hint=hint) from None


def read_root(config: Path, broker_file: Path | None) -> tuple[RootFile, BrokerKeys]:
    """What the file for `init` and `new-root` says, and the broker's public keys: in `broker_file`, or where it says.

    Raises:
        ConfigError: one of the two is not there, or not of its form, or asks for more than it lists.
    """
    listed = read(config, RootFile, "deploy/RUNBOOK.md, section 1.3, shows a whole file.")
    _require_enough(config, listed)
    if broker_file is None and listed.broker is None:
        raise ConfigError("where are the broker's public keys?", hint="Give --broker, or `broker` in the file.")
    path = broker_file or config.parent / str(listed.broker)
    broker = read(path, BrokerFile, "It is the file broker.public.toml that `valija-broker init` writes.")
    evidence = (broker.evidence,) if isinstance(broker.evidence, str) else tuple(broker.evidence)
    return listed, BrokerKeys(
        evidence=evidence, freshness=broker.freshness, log=broker.log, log_ml_dsa=broker.log_ml_dsa
    )


def _require_enough(config: Path, listed: RootFile) -> None:
    """Refuse what nobody could ever sign or witness, with the numbers."""
    organisations = {officer.organisation for officer in listed.officers}
    for name, wanted, found in (
        ("officers who sign (`keys`)", listed.threshold.keys, len(listed.officers)),
        ("organisations of officers (`organisations`)", listed.threshold.organisations, len(organisations)),
        ("witnesses (`quorum`)", listed.quorum, len(listed.witnesses)),
    ):
        if wanted > found:
            raise ConfigError(
                f"{config} asks for {wanted} {name} and lists {found}: that can never be met",
                hint="List more of them, or ask for fewer. One more than needed is there when a key is lost.",
            )
    if not 1 <= listed.days <= core.root_days_max:
        raise ConfigError(
            f"{config}: `days` is {listed.days}; a root holds for 1 to {core.root_days_max} days",
            hint=f"Leave it out for {core.root_days_default} days.",
        )


def rows(listed: Sequence[RouteRow]) -> tuple[Route, ...]:
    """The routes that rows stand for."""
    return core.in_order(route for row in listed for route in core.cross(row.type, row.senders, row.recipients))


def routes_text(listed: Sequence[RouteRow]) -> bytes:
    """`routes.toml` for these rows."""
    lines = [
        "# Which types may go from which areas to which, in the first directory; after it, `valija-registry route`."
    ]
    for row in listed:
        lines += ["", "[[route]]", f'type = "{row.type}"']
        lines += [f"senders = {_strings(row.senders)}", f"recipients = {_strings(row.recipients)}"]
    return "\n".join(lines).encode() + b"\n"


def _strings(values: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{value}"' for value in values) + "]"
