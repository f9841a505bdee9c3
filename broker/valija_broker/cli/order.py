"""`valija-broker order`: what operators signed, handed to the broker that runs."""

import sys
import time
from pathlib import Path
from typing import Final

import click

from valija_broker import config, orders
from valija_broker.cli import common
from valija_broker.cli.common import config_option
from valija_schemas.hold import HOLD

_answer_s: Final = 30.0  #: How long `submit` waits; upkeep looks twice a second.


@click.group("order")
def command() -> None:
    """Hand orders of operators to the broker. `valija-registry order` makes and signs them."""


@command.command()
@config_option
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def submit(path: Path, file: Path) -> None:
    """Give the signed order FILE to the running broker, wait for its answer and print it.

    Ends with 0 when it is done, 1 when it is refused, 75 when it could not be handed over, or the broker did not answer
    within 30 s: run it again.
    """
    settings = config.load(path)
    raw = file.read_bytes()
    note, answer = orders.place(settings.orders_path, raw)
    result = orders.read_result(answer)
    # What became of an order stays so; a hold that was done may be lifted since.
    if result is None or result.status == "refused" or raw.startswith(HOLD.encode()):
        try:
            orders.make_folder(settings.orders_path)
            answer.unlink(missing_ok=True)
            orders.put(note, raw)
        except OSError as error:
            click.echo(f"Not handed over: {settings.orders_path}: {error}. Run the same again.", err=True)
            sys.exit(common.LATER)
        deadline = time.monotonic() + _answer_s
        while (result := orders.read_result(answer)) is None and time.monotonic() < deadline:
            time.sleep(0.1)
    if result is None:
        click.echo("Not answered: does the broker run? The order waits. Run the same again.", err=True)
        sys.exit(common.LATER)
    click.echo(common.printable(f"{result.status}: {result.words}"))
    if result.status == "refused":
        sys.exit(common.FAILED)
