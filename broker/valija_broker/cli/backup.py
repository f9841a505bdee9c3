"""`valija-broker backup`: a copy of everything but the keys, while the broker runs."""

import shlex
from pathlib import Path

import click

from valija_broker import backup, config
from valija_broker.cli import common
from valija_broker.cli.common import config_option


@click.command("backup")
@config_option
@click.option(
    "--during",
    metavar="COMMAND",
    help="Run this while the evidence and the store agree: what copies a separate store.",
)
@click.argument("folder", type=click.Path(path_type=Path))
def command(path: Path, during: str | None, folder: Path) -> None:
    """Write a backup into the new folder FOLDER: evidence, mail that waits, orders, directory, settings.

    The broker may run; proofs come some seconds later meanwhile. Its keys are never in a backup: keep the copy that you
    made of keys.toml when you began. Nothing in a backup opens a message, but it says who wrote to whom: guard it.
    """
    made = backup.make(config.load(path), path, folder, shlex.split(during or ""))
    common.words(f"{folder}: {len(made.files)} files, {made.leaves} leaves of the log, of {common.when(made.time)}.")
    if made.store == "separate" and not during:
        common.words("The store is a separate one and is NOT in it. Copy it by its own means meanwhile: --during.")
