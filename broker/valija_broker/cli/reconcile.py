"""`valija-broker reconcile`: what was promised against what is there."""

import asyncio
import sys
from pathlib import Path

import click

from valija_broker import config
from valija_broker import reconcile as promises
from valija_broker.cli import common
from valija_broker.cli.common import config_option


@click.command("reconcile")
@config_option
def command(path: Path) -> None:
    """Compare what was accepted with what is queued, lent, dead or ended. The store must be running.

    Prints each message and recipient that is amiss, and ends with 1 if there is any.
    """
    found = asyncio.run(_reconcile(config.load(path)))
    kinds = (
        ("lost", found.lost), ("never accepted", found.stray), ("never ended", found.overdue),
        ("queued again after its end", found.again),
    )  # fmt: skip
    for word, shares in kinds:
        for message, recipient in sorted(shares):
            click.echo(f"{word}: {message} for {recipient}")
    click.echo(f"{found.accepted} accepted, {found.queued} waiting: {found.amiss or 'nothing'} amiss", err=True)
    if found.amiss:
        sys.exit(common.FAILED)


async def _reconcile(settings: config.Settings) -> promises.Found:
    async with common.running(settings) as (store, names):
        return await promises.reconcile(settings.evidence_path, store, names, settings.exchange.origin)
