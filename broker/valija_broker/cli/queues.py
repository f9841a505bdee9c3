"""`valija-broker queues`: how full each mailbox is, and how long what is in it waits."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from valija_broker.cli import common
from valija_broker.cli.common import Columns, Form, Shown, config_option

if TYPE_CHECKING:
    from valija_broker.observe.observer import Live
    from valija_schemas import admin

QUEUES: Final[Columns] = {
    "id": lambda box: box.id,
    "status": lambda box: "held" if box.held_until else box.status,
    "ready": lambda box: box.ready,
    "leased": lambda box: box.leased,
    "dead": lambda box: box.dead,
    "waits": lambda box: common.age(box.oldest),
    "collect_p95": lambda box: common.span(box.collect_p95),
    "last_seen": lambda box: common.when(box.last_seen),
}


@click.command("queues")
@config_option
@common.output_options
def command(path: Path, form: Form) -> None:
    """Show every mailbox, the one whose oldest message waits longest first. The broker must be running.

    READY waits to be fetched, LEASED is lent to a worker of the contact point, DEAD is what no worker managed to take.
    WAITS is the age of the oldest message that is ready or leased; COLLECT_P95 how long 95 of 100 messages of the last
    24 hours took from acceptance to receipt; LAST_SEEN when the contact point last asked for something.
    """
    common.show(form, QUEUES, common.observed(path, _look))


async def _look(live: "Live") -> Shown:
    boxes = sorted(await live.mailboxes(), key=longest_first)
    return Shown(record=boxes, rows=boxes)


def longest_first(box: "admin.Mailbox") -> tuple[float, int]:
    """Orders mailboxes: by the oldest message in them, then by how many letters are dead."""
    return (box.oldest or float("inf"), -box.dead)
