"""`valija-broker health`: how each part stands."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from valija_broker.cli import common
from valija_broker.cli.common import Columns, Form, Shown, config_option

if TYPE_CHECKING:
    from valija_broker.observe.observer import Live
    from valija_schemas.admin import Verdict

_CHECKS: Final[Columns] = {
    "part": lambda check: check.name,
    "verdict": lambda check: check.verdict,
    "words": lambda check: check.words,
}


@click.command("health")
@config_option
@common.output_options
def command(path: Path, form: Form) -> None:
    """Look at every part: broker, queue, log, directory, clock, storage, canary; the worst decides.

    Ends with 1 where the verdict is critical. `ndjson` and `json` have the figures, too.
    """
    last: list[Verdict] = []

    async def look(live: "Live") -> Shown:
        found = await live.health()
        last[:] = [found.verdict]
        return Shown(record=found, rows=found.checks, facts=[("verdict", found.verdict)])

    common.show(form, _CHECKS, common.observed(path, look, away=True))
    if last == ["critical"]:
        sys.exit(common.FAILED)
