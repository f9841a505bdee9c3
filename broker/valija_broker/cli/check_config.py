"""`valija-broker check-config`: everything that can be tried without starting anything."""

import asyncio
from pathlib import Path

import click

from valija_broker import config
from valija_broker.cli.common import config_option
from valija_broker.keys import Keys
from valija_broker.layout import check
from valija_broker.process import endpoint
from valija_broker.store import Store


@click.command("check-config")
@config_option
def command(path: Path) -> None:
    """Try the settings: read them, and open what they name, without starting anything."""
    settings = config.load(path)
    Keys.load(settings.keys_path)
    config.require_anchor(settings)
    if settings.store.url:
        asyncio.run(_check_store(settings))
    click.echo(f"{path}: good", err=True)


async def _check_store(settings: config.Settings) -> None:
    async with Store(endpoint(settings), shards=settings.store.shards, replicas=settings.store.replicas) as store:
        _, warnings = await check(store)
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)
