"""`valija-broker acts`: what operators ordered, as the log has it."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from valija_broker.cli import common
from valija_broker.cli.common import Columns, Form, Shown, config_option
from valija_schemas import admin

if TYPE_CHECKING:
    from valija_broker.observe.observer import Live

_ACTS: Final[Columns] = {
    "index": lambda act: act.index,
    "time": lambda act: common.when(act.time),
    "act": lambda act: act.act,
    "about": lambda act: act.message or act.contact_point,
    "of": lambda act: act.contact_point,
    "operators": lambda act: act.operators,
    "reason": lambda act: act.reason,
    "digest": lambda act: act.digest,
}
_shown_default: Final = 50


@click.command("acts")
@config_option
@click.option("--before", type=click.IntRange(0), metavar="INDEX", help="Only acts before this index of the log.")
@click.option("--count", type=click.IntRange(1, admin.page_max), default=_shown_default, show_default=True)
@common.output_options
def command(path: Path, form: Form, before: int | None, count: int) -> None:
    """Show what operators ordered, who signed it and why, the newest first. The broker must be running."""

    async def look(live: "Live") -> Shown:
        found = await live.acts(before, count)
        more = f"There may be more: --before {found[-1].index}" if len(found) == count else None
        return Shown(record=found, rows=found, words=more)

    common.show(form, _ACTS, common.observed(path, look))
