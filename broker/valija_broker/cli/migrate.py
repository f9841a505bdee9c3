"""`valija-broker migrate`: our functions in a store that others run, or a lost store given up."""

import asyncio
import time
from pathlib import Path

import click

from valija_broker import config, layout
from valija_broker.cli.common import config_option
from valija_broker.store import Endpoint, Store
from valija_broker.store_age import LOST_MARKER


@click.command("migrate")
@config_option
@click.option(
    "--deploy-password-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Password of the user `deploy`, who may load functions.",
)
@click.option(
    "--store-lost",
    is_flag=True,
    help="The newest store is gone for good: take the one that is there, and refuse requests signed before now.",
)
def command(path: Path, deploy_password_file: Path | None, store_lost: bool) -> None:
    """Load this release's functions into a configured store. The embedded one does this by itself at its start."""
    settings = config.load(path)
    if not settings.store.url and store_lost:
        (settings.data_path / LOST_MARKER).touch(mode=0o600)
        click.echo("The next `valija-broker serve` takes the store that is there.", err=True)
        return
    if not settings.store.url:
        click.echo("The embedded store is migrated whenever it starts; nothing to do.", err=True)
        return
    password = deploy_password_file.read_text(encoding="utf-8").strip() if deploy_password_file else None
    asyncio.run(_migrate(settings, password, lost=store_lost))
    click.echo("The functions are loaded.", err=True)


async def _migrate(settings: config.Settings, password: str | None, *, lost: bool) -> None:
    where = Endpoint(url=settings.store.url, username="deploy" if password else None, password=password)
    async with Store(where, shards=settings.store.shards) as store:
        await layout.migrate(store, now=time.time_ns() // 1_000_000, lost=lost)
        await layout.check_settings(store)
