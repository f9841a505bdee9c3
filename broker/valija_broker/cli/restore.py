"""`valija-broker restore`: a backup becomes the data folder of a broker."""

from pathlib import Path

import click

from valija_broker import backup, config
from valija_broker.cli import common
from valija_broker.cli.common import config_option


@click.command("restore")
@config_option
@click.option("--check", "only_check", is_flag=True, help="Only compare the backup with what it says of itself.")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
def command(path: Path, only_check: bool, folder: Path) -> None:
    """Put the backup FOLDER into the data folder of the settings, which must be empty but for keys.toml.

    What happened after the backup is not in it. If the old broker published anything since, the restored one must not
    serve under its log's keys: deploy/RUNBOOK.md, section 4, says how to go on.
    """
    if only_check:
        found = backup.check(folder)
        common.words(f"{folder}: whole, {found.leaves} leaves of the log, as of {common.when(found.time)}.")
        return
    settings = config.load(path)
    found = backup.restore(folder, settings)
    common.words(
        f"Restored into {settings.data_path}: {found.leaves} leaves of the log, as of {common.when(found.time)}."
    )
    if not settings.keys_path.exists():
        common.words(f"Next: put the broker's keys there, {settings.keys_path}, mode 0600.")
    common.words(
        "If the old broker ran on after this, members hold proofs that this log lacks, and their clients will say so."
        " Do not start it before you have read deploy/RUNBOOK.md, section 4."
    )
    common.words("Then: `valija-broker serve`, `valija-broker log fsck`, `valija-broker reconcile`.")
