"""`valija-broker dead`: mail that no worker managed to take."""

import asyncio
from pathlib import Path
from typing import Final

import click

from valija_broker import config
from valija_broker.cli import common
from valija_broker.cli.common import Columns, Form, Shown, config_option
from valija_broker.dead_letters import DeadLetters
from valija_broker.observe import dead

_LETTERS: Final[Columns] = {
    "mailbox": lambda letter: letter.mailbox,
    "sender": lambda letter: letter.sender,
    "since": lambda letter: common.when(letter.since),
    "attempts": lambda letter: letter.attempts,
    "reason": lambda letter: letter.reason,
    "digest": lambda letter: letter.digest,
    "id": lambda letter: letter.id,
}


@click.group("dead")
def command() -> None:
    """Look after dead letters: mail that no worker managed to take."""


@command.command("list")
@config_option
@common.output_options
def list_(path: Path, form: Form) -> None:
    """Show the dead letters of every contact point, the oldest first. The store must be running."""
    settings = config.load(path)
    common.show(form, _LETTERS, lambda: asyncio.run(_letters(settings)))


async def _letters(settings: config.Settings) -> Shown:
    async with common.running(settings) as (store, names):
        letters = await dead.letters(DeadLetters(store), names)
    letters.sort(key=lambda letter: letter.since)
    return Shown(record=letters, rows=letters, words=f"{len(letters)} in all")
