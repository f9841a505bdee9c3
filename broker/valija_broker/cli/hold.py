"""`valija-broker hold`: contact points that operators stopped for some hours."""

from pathlib import Path
from typing import Final

import click
import msgspec

from valija_broker import config, holds
from valija_broker.cli import common
from valija_broker.cli.common import Columns, Form, Shown, config_option
from valija_broker.directory import now_ms

_HOLDS: Final[Columns] = {
    "contact_point": lambda row: row["contact_point"],
    "until": lambda row: common.when(row["until"]),
    "reason": lambda row: row["reason"],
    "order": lambda row: row["digest"],
}


@click.group("hold")
def command() -> None:
    """Look after holds: contact points that two operators stopped for some hours."""


@command.command("list")
@config_option
@common.output_options
def list_(path: Path, form: Form) -> None:
    """Show the contact points that are held now: until when, why, and the order."""
    settings = config.load(path)

    def look() -> Shown:
        entries = holds.in_force(holds.logged(settings.evidence_path, settings.exchange.origin), now_ms())
        rows = [{"digest": entry.digest, **msgspec.structs.asdict(entry.hold)} for entry in entries]
        return Shown(record=rows, rows=rows, words=f"{len(rows)} in all")

    common.show(form, _HOLDS, look)
