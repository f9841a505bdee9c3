"""`valija-broker gather`: what helps others to help, in one file without secrets."""

import contextlib
import sys
from pathlib import Path

import click

from valija_broker import config
from valija_broker.cli import common
from valija_broker.cli.common import config_option
from valija_broker.errors import GatherError


@click.command("gather")
@config_option
@click.option(
    "--log",
    type=click.Path(path_type=Path, allow_dash=True),
    help="What the broker wrote to standard error; - for a pipe.",
)
@click.option(
    "--lines",
    type=click.IntRange(0, 100_000),
    default=500,
    show_default=True,
    help="Last lines that are taken of a log.",
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def command(path: Path, log: Path | None, lines: int, file: Path) -> None:
    """Put versions, settings, health, depths, state of the log, files and last log lines into the new tar.gz FILE.

    Secrets are left out or shown as ***; nothing of any message is in it. It names contact points, and how much waits
    for each: send it to somebody who may know that. `journalctl -u valija-broker -o cat | valija-broker gather FILE
    --log -` takes the broker's own log.
    """
    from valija_broker import gather  # noqa: PLC0415 - no other command needs what it imports

    settings = config.load(path)
    try:
        raw = None
        if log is not None:
            with contextlib.nullcontext(sys.stdin.buffer) if str(log) == "-" else log.open("rb") as source:
                raw = gather.end_of(source)
    except OSError as error:
        raise GatherError(f"{log} cannot be read: {error.strerror}") from None
    count = gather.gather(settings, path, file, raw, lines)
    common.words(f"{file}: {count} files. Look into it before you send it: tar -xzOf {file} | less")
