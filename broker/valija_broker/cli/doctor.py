"""`valija-broker doctor`: is everything on this host as it must be."""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from valija_broker import config
from valija_broker.cli import common
from valija_broker.cli.common import Columns, Form, Shown, config_option

if TYPE_CHECKING:
    from valija_broker.findings import Finding

_FINDINGS: Final[Columns] = {
    "check": lambda found: found.check,
    "verdict": lambda found: found.verdict,
    "detail": lambda found: found.detail,
    "hint": lambda found: found.hint,
}


@click.command("doctor")
@config_option
@click.option(
    "--deploy-password-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Password of the user `deploy` of a separate store, to look at its settings.",
)
@common.output_options
def command(path: Path, deploy_password_file: Path | None, form: Form) -> None:
    """Look at settings, files, keys, directory, TLS, disk, ports, store, clock and witnesses, and say what to do.

    The broker may run or not; nothing is changed. Ends with 1 where something is wrong.
    """
    from valija_broker import doctor  # noqa: PLC0415 - no other command needs what it imports

    settings = config.load(path)
    password = deploy_password_file.read_text("utf-8").strip() if deploy_password_file else None
    last: list[Finding] = []

    def look() -> Shown:
        found = asyncio.run(doctor.examine(settings, password))
        last[:] = found
        wrong = sum(one.verdict == "wrong" for one in found)
        warnings = sum(one.verdict == "warning" for one in found)
        return Shown(record=found, rows=found, words=f"{wrong} wrong, {warnings} to look at, of {len(found)}")

    common.show(form, _FINDINGS, look)
    if any(one.verdict == "wrong" for one in last):
        sys.exit(common.FAILED)
