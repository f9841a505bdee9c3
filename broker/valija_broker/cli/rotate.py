"""`valija-broker rotate`: a new key for what the broker signs about mail."""

from pathlib import Path

import click

from valija_broker import config
from valija_broker.cli.common import config_option
from valija_broker.cli.init import tell, write_public
from valija_broker.keys import Keys


@click.command("rotate")
@config_option
@click.argument("new", type=click.Path(path_type=Path, dir_okay=False))
def command(path: Path, new: Path) -> None:
    """Write the file NEW: the broker's keys with a new evidence key, and the public halves beside it.

    The older evidence keys stay in it, to repeat what they said. The log's keys cannot be changed: a log is its keys.
    Nothing changes until the officers have published a root that names the new key, first, and you have put NEW in the
    place of keys.toml and started the broker again: deploy/RUNBOOK.md, section 8.8.
    """
    keys = Keys.load(config.load(path).keys_path).rotated()
    keys.save(new)
    public = write_public(keys, new.with_suffix(".public.toml"))
    tell(keys, new, public)
