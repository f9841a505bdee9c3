"""`valija-broker serve`."""

from pathlib import Path

import click

from valija_broker import config, supervisor
from valija_broker.cli.common import config_option


@click.command("serve")
@config_option
def command(path: Path) -> None:
    """Run the broker until SIGTERM, which lets what is in flight finish."""
    supervisor.run(config.load(path), path.resolve())
