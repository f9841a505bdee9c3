"""The commands of officers about what was agreed: who is party to which treaty, and types of two contact points alone.

Each drafts the next directory; several may follow one another before anybody signs.

Before this room: `cli`. After it: `agreements`, `folder`, `valija.bilateral`. Rules: schemas/SPEC.md section 4.2.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import click

from valija.bilateral import Schema, schema_bytes_max
from valija.errors import RegistryError
from valija.registry import agreements, entries
from valija.registry.cli_common import FILE, days_option, drafted
from valija.registry.folder import Registry
from valija_schemas import changes
from valija_schemas.agreements import TreatyCode
from valija_schemas.documents.labels import STATES

_TREATY = click.Choice(get_args(TreatyCode))
_STATE = click.Choice(sorted(STATES), case_sensitive=False)


@click.group()
def treaty() -> None:
    """Which States are parties to which treaties, with the source and the day of each statement."""


@treaty.command("set")
@click.argument("state", type=_STATE, metavar="STATE")
@click.argument("instrument", type=_TREATY, metavar="TREATY")
@click.option("--party/--no-party", default=None, help="Whether the State is a party.")
@click.option("--since", metavar="YYYY-MM-DD", help="From when the treaty is in force for it.")
@click.option("--source", required=True, help="Where that was read, in one line.")
@click.option("--read", metavar="YYYY-MM-DD", help="When it was read there; today unless given.")
@days_option
@click.pass_obj
def set_treaty(
    folder: Path,
    state: str,
    instrument: str,
    party: bool | None,
    since: str | None,
    source: str,
    read: str | None,
    days: int,
) -> None:
    """Say whether STATE (`MX`) is a party to TREATY (`untoc`), in place of what was said of it."""
    if party is None:
        raise click.UsageError("say --party or --no-party")
    said = agreements.cell(
        state=state.upper(),
        instrument=instrument,
        party=party,
        since=since,
        source=source,
        read=read or datetime.now(UTC).date().isoformat(),
    )
    registry = Registry(folder)
    table = agreements.with_cells(registry.treaties(), [said])
    drafted(registry, registry.draft_directory(treaties=table, days=days))


@treaty.command("read")
@click.argument("file", type=FILE)
@days_option
@click.pass_obj
def read_treaties(folder: Path, file: Path, days: int) -> None:
    """Read FILE, a TOML table of `[[treaty]]`, each in place of what was said of that State and treaty before."""
    registry = Registry(folder)
    table = agreements.with_cells(registry.treaties(), agreements.read_table(file))
    drafted(registry, registry.draft_directory(treaties=table, days=days))


@treaty.command("remove")
@click.argument("state", type=_STATE, metavar="STATE")
@click.argument("instruments", type=_TREATY, metavar="TREATY...", nargs=-1, required=True)
@days_option
@click.pass_obj
def remove_treaty(folder: Path, state: str, instruments: tuple[str, ...], days: int) -> None:
    """Say nothing any more of STATE and TREATY: unknown, not "no party"."""
    registry = Registry(folder)
    table = agreements.without_cells(registry.treaties(), state.upper(), instruments)
    drafted(registry, registry.draft_directory(treaties=table, days=days))


@treaty.command("list")
@click.option("--state", type=_STATE, metavar="STATE", help="Only what is said of this State.")
@click.pass_obj
def list_treaties(folder: Path, state: str | None) -> None:
    """List what the draft says, or the newest published directory where there is none."""
    for each in Registry(folder).treaties():
        if state is None or each.state == state.upper():
            click.echo(changes.treaty_line(each))


@click.group()
def bilateral() -> None:
    """Document types that two contact points agreed on, each by the SHA-256 of its JSON Schema."""


@bilateral.command("add")
@click.argument("type_", metavar="TYPE")
@click.argument("schema", type=FILE)
@click.argument("one", metavar="ID")
@click.argument("other", metavar="ID")
@days_option
@click.pass_obj
def add_bilateral(folder: Path, type_: str, schema: Path, one: str, other: str, days: int) -> None:
    """Let documents of TYPE (`x-vehicle-report/1`) go between two contact points, and keep SCHEMA.

    SCHEMA is a JSON Schema 2020-12 that is closed and refers to nothing outside of itself. Both offices keep the same
    file: `valija bilateral add`.
    """
    registry = Registry(folder)
    for id_ in (one, other):
        entries.find(registry.points(), id_)
    if one == other:
        raise RegistryError("a bilateral type is of two contact points", hint="Nothing was changed.")
    with schema.open("rb") as file:
        digest = Schema(file.read(schema_bytes_max + 1)).digest
    agreed = agreements.with_bilateral(registry.bilateral(), agreements.bilateral(type_, one, other, digest))
    drafted(registry, registry.draft_directory(bilateral=agreed, days=days))


@bilateral.command("remove")
@click.argument("type_", metavar="TYPE")
@click.argument("one", metavar="ID")
@click.argument("other", metavar="ID")
@days_option
@click.pass_obj
def remove_bilateral(folder: Path, type_: str, one: str, other: str, days: int) -> None:
    """Let documents of TYPE no longer go between two contact points. What was accepted goes on."""
    registry = Registry(folder)
    first, second = sorted((one, other))
    agreed = agreements.without_bilateral(registry.bilateral(), type_, (first, second))
    drafted(registry, registry.draft_directory(bilateral=agreed, days=days))


@bilateral.command("list")
@click.pass_obj
def list_bilateral(folder: Path) -> None:
    """List the bilateral types of the draft, or of the newest published directory where there is none."""
    for each in Registry(folder).bilateral():
        click.echo(changes.bilateral_line(each))


COMMANDS = (treaty, bilateral)
