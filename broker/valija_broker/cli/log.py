"""`valija-broker log`: the transparency log, as it lies here."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from valija_broker import config
from valija_broker.cli import common
from valija_broker.cli.common import Columns, Form, Shown, config_option
from valija_broker.keys import Keys
from valija_broker.log import fsck as checks
from valija_broker.log import ordered
from valija_broker.log.opening import policy_of

if TYPE_CHECKING:
    from valija_broker.observe.observer import Live

_WITNESSES: Final[Columns] = {
    "witness": lambda witness: witness.name,
    "cosigned": lambda witness: witness.cosigned,
}
_HOLDS: Final[Columns] = {
    "what": lambda hold: hold.what,
    "since": lambda hold: common.when(hold.since),
    "order": lambda hold: hold.order,
}


@click.group("log")
def command() -> None:
    """Look after the transparency log."""


@command.command()
@config_option
def fsck(path: Path) -> None:
    """Rebuild the whole log from the database and compare: leaves, openings, feeds, tiles, bundles, checkpoints.

    Prints what differs, and ends with 1 if anything does. The broker may run meanwhile.
    """
    settings = config.load(path)
    policy = policy_of(settings, Keys.load(settings.keys_path))
    checked = checks.Checked()
    found = 0
    for difference in checks.fsck(settings.evidence_path, settings.log_path, policy, checked):
        found += 1
        if found <= checks.differences_max:
            click.echo(common.printable(str(difference)))
    click.echo(
        f"{checked.leaves} leaves, {checked.published} published, {checked.erased} without opening, "
        f"{checked.files} files: {found or 'no'} differences",
        err=True,
    )
    if found:
        sys.exit(common.FAILED)


@command.command()
@config_option
@common.output_options
def retained(path: Path, form: Form) -> None:
    """Show the legal holds that operators ordered: what is not erased, since when, and by which order."""
    database = config.load(path).evidence_path

    def look() -> Shown:
        holds = ordered.holds(database)
        return Shown(record=holds, rows=holds, words=f"{len(holds)} in all")

    common.show(form, _HOLDS, look)


@command.command()
@config_option
@common.output_options
def show(path: Path, form: Form) -> None:
    """Show the newest checkpoint, and which witnesses cosigned it. The broker must be running."""
    common.show(form, _WITNESSES, common.observed(path, _state))


async def _state(live: "Live") -> Shown:
    state = await live.log()
    head = state.checkpoint
    facts: list[tuple[str, object]] = [
        ("origin", state.origin),
        ("leaves", head.size if head else None),
        ("root", head.root if head else None),
        ("signed", common.when(head.time) if head else None),
        ("cosigned", f"{len(head.cosigned)} of {head.quorum} that must" if head else None),
        ("legal holds", len(state.retained)),
    ]
    return Shown(record=state, rows=state.witnesses, facts=facts)
