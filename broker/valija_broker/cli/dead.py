"""`valija-broker dead`: mail that no worker managed to take."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from valija_broker import config
from valija_broker.cli import common
from valija_broker.cli.common import Columns, Form, Shown, config_option
from valija_broker.dead_letters import DeadLetters
from valija_broker.observe import dead

if TYPE_CHECKING:
    from valija_broker.observe.observer import Live

_LETTERS: Final[Columns] = {
    "mailbox": lambda letter: letter.mailbox,
    "sender": lambda letter: letter.sender,
    "since": lambda letter: common.when(letter.since),
    "attempts": lambda letter: letter.attempts,
    "reason": lambda letter: letter.reason,
    "digest": lambda letter: letter.digest,
    "id": lambda letter: letter.id,
}


_GROUPS: Final[Columns] = {
    "reason": lambda group: group.reason,
    "count": lambda group: group.count,
    "oldest": lambda group: common.when(group.oldest),
    "mailboxes": lambda group: group.mailboxes,
    "words": lambda group: group.words,
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


@command.command()
@config_option
@common.output_options
def groups(path: Path, form: Form) -> None:
    """Show the dead letters by cause, the commonest first, and what to do about each. The broker must be running."""
    common.show(form, _GROUPS, common.observed(path, _groups))


async def _groups(live: "Live") -> Shown:
    found = await live.dead()
    return Shown(record=found, rows=found, words=f"{sum(group.count for group in found)} in all")


async def _letters(settings: config.Settings) -> Shown:
    async with common.running(settings) as (store, names):
        letters = await dead.letters(DeadLetters(store), names)
    letters.sort(key=lambda letter: letter.since)
    return Shown(record=letters, rows=letters, words=f"{len(letters)} in all")
