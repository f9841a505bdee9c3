"""`valija-broker report`: what an evaluation mechanism may know of a month."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from valija_broker.cli import common
from valija_broker.cli.common import Columns, Form, Shown, config_option

if TYPE_CHECKING:
    from valija_broker.observe.observer import Live

_EXCHANGED: Final[Columns] = {
    "sender": lambda row: row.sender,
    "recipient": lambda row: row.recipient,
    "area": lambda row: row.area,
    "messages": lambda row: row.messages,
    "answered": lambda row: row.answered,
    "answer_median": lambda row: common.span(row.answer_median),
    "collect_median": lambda row: common.span(row.collect_median),
}


@click.command("report")
@config_option
@click.option("--month", metavar="MONTH", required=True, help="Such as 2026-10.")
@common.output_options
def command(path: Path, month: str, form: Form) -> None:
    """Show who exchanged how much with whom in a month, by States and areas, and how soon it was answered.

    It names no case, no person and no contact point, and has nothing of any content. Exercises are counted and left out
    of all else. The broker must be running.
    """

    async def look(live: "Live") -> Shown:
        try:
            found = await live.report(month)
        except ValueError:
            raise click.UsageError(f"--month: {month!r} is none; write it as 2026-10") from None
        facts: list[tuple[str, object]] = [
            ("exchange", found.origin),
            ("month", found.month),
            ("messages", found.messages),
            ("exercises", found.exercises),
            *sorted(found.by_type.items()),
        ]
        return Shown(record=found, rows=found.exchanged, facts=facts)

    common.show(form, _EXCHANGED, common.observed(path, look))
