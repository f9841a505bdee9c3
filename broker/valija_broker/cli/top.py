"""`valija-broker top`: how it stands, again and again, until somebody interrupts."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from valija_broker.cli import common
from valija_broker.cli.common import Form, Shown, config_option
from valija_broker.cli.queues import QUEUES, longest_first
from valija_schemas import admin

if TYPE_CHECKING:
    from valija_broker.observe.observer import Live

_SORTS: Final[dict[str, Callable[[admin.Mailbox], Any]]] = {
    "waits": longest_first,
    "ready": lambda box: -box.ready,
    "leased": lambda box: -box.leased,
    "dead": lambda box: -box.dead,
    "collect_p95": lambda box: -(box.collect_p95 or 0),
    "id": lambda box: box.id,
}


@click.command("top")
@config_option
@click.option("--sort", type=click.Choice(list(_SORTS)), default="waits", show_default=True, help="What comes first.")
@click.option(
    "--interval", type=click.FloatRange(0.1, 86_400), default=2.0, show_default=True, metavar="SECONDS",
    help="How long until it looks again.",
)  # fmt: skip
@click.option("--times", type=click.IntRange(1), metavar="COUNT", help="End after so many looks.")
def command(path: Path, sort: str, interval: float, times: int | None) -> None:
    """Show what needs attention and the mailboxes, and look again every few seconds. Control-C ends it.

    Where no terminal sees it, each look is a table of its own. A terminal shows as many mailboxes as fit.
    """

    async def look(live: "Live") -> Shown:
        overview, boxes = await live.overview(), sorted(await live.mailboxes(), key=_SORTS[sort])
        facts = facts_of(overview)
        if sys.stdout.isatty():
            boxes = boxes[: max(shutil.get_terminal_size().lines - len(facts) - 3, 1)]
        return Shown(record=boxes, rows=boxes, facts=facts)

    common.show(Form(watch=interval), QUEUES, common.observed(path, look), times)


def facts_of(overview: admin.Overview) -> list[tuple[str, object]]:
    """What stands above the mailboxes; None where a young broker has none of it."""
    minute = overview.minutes[-2] if len(overview.minutes) > 1 else None  # the last one that is over
    head = overview.checkpoint
    return [
        ("time", f"{common.when(overview.time)}, {overview.origin}, version {overview.version}"),
        ("waiting", f"{overview.ready} ready, {overview.leased} leased, {overview.dead} dead"),
        ("oldest", f"{common.age(overview.oldest)} in {overview.oldest_in}" if overview.oldest else None),
        (
            "last minute",
            f"{minute.accepted} accepted, {minute.handed_over} handed over, {minute.acknowledged} acknowledged,"
            f" {minute.died} died"
            if minute
            else None,
        ),
        (
            "log",
            f"{head.size} leaves, checkpoint {common.age(head.time)} old" if head and head.time is not None else None,
        ),
        (
            "directory",
            f"version {overview.directory}, expires {common.when(overview.directory_expires)}"
            if overview.directory_expires is not None
            else None,
        ),
        ("canary", common.when(overview.canary)),
        *(
            ("NOTE" if one.verdict == "ok" else one.verdict.upper(), f"{one.words} ({one.command})")
            for one in overview.attention
        ),
    ]
