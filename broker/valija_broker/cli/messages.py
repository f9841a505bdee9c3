"""`valija-broker messages`: what was accepted and what became of it. Nobody here can open any of it."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from valija_broker.cli import common
from valija_broker.cli.common import Columns, Form, Shown, config_option
from valija_broker.cli.completion import complete_contact_point
from valija_broker.directory import now_ms
from valija_schemas import admin

if TYPE_CHECKING:
    from valija_broker.observe.observer import Live

_MESSAGES: Final[Columns] = {
    "accepted": lambda row: common.when(row.accepted),
    "sender": lambda row: row.sender,
    "type": lambda row: row.type,
    "exercise": lambda row: row.exercise,
    "shares": lambda row: tuple(f"{share.recipient} {share.state}" for share in row.shares),
    "digest": lambda row: row.digest,
    "id": lambda row: row.id,
}
_EVENTS: Final[Columns] = {
    "index": lambda event: event.index,
    "time": lambda event: common.when(event.time),
    "event": lambda event: event.event,
    "by": lambda event: event.by,
    "to": lambda event: event.to,
    "reason": lambda event: event.reason,
    "proof": lambda event: event.proof,
}
_shown_default: Final = 50
_SPAN: Final = re.compile(r"([1-9][0-9]{0,5})(min|h|d)\Z", re.ASCII)
_STAMP: Final = re.compile(r"[0-9]{10,15}\Z", re.ASCII)  #: As records and the console's addresses have it.
_UNITS_MS: Final = {"min": 60_000, "h": 3_600_000, "d": 86_400_000}


class Moment(click.ParamType[int]):
    """A time in ms since 1970, written so, in ISO 8601 (UTC where no offset is given), or as how long ago it is."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The time, or words about what is wrong with it."""
        if _STAMP.match(str(value)):
            return int(value)
        if span := _SPAN.match(str(value)):
            return max(now_ms() - int(span[1]) * _UNITS_MS[span[2]], 0)
        try:
            found = datetime.fromisoformat(value)
            at = (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no time: write 2026-10-31, 2026-10-31T08:00, 90min, 12h or 7d", param, ctx)
        return max(int(at * 1000), 0)


@click.group("messages", invoke_without_command=True)
@config_option
@click.option("--sender", metavar="ID", shell_complete=complete_contact_point, help="Only what ID sent.")
@click.option("--recipient", metavar="ID", shell_complete=complete_contact_point, help="Only what is for ID.")
@click.option("--type", "type", metavar="TYPE", help="Only documents of this type: information-request/1.")
@click.option(
    "--state",
    type=click.Choice(["waiting", "delivered", "refused", "failed"]),
    help="Only where a recipient's share is so; waiting has not ended yet.",
)
@click.option("--exercise/--no-exercise", default=None, help="Only exercises, or none of them.")
@click.option("--prefix", metavar="TEXT", help="Only where the digest or the id begins so.")
@click.option("--since", type=Moment(), metavar="TIME", help="Accepted then or later: 2026-10-31, 12h, 7d.")
@click.option("--until", type=Moment(), metavar="TIME", help="Accepted before.")
@click.option("--after", metavar="PLACE", help="Go on where the page before ended.")
@click.option("--count", type=click.IntRange(1, admin.page_max), default=_shown_default, show_default=True)
@common.output_options
def command(path: Path, form: Form, after: str | None, count: int, **wanted: Any) -> None:
    """Show accepted messages, the newest first. The broker must be running.

    Behind each recipient stands what became of its share: ready, leased, dead, delivered, refused, failed.
    """
    if not common.alone():
        return
    try:
        sought = msgspec.convert(wanted, admin.Wanted)
    except msgspec.ValidationError as error:
        raise click.UsageError(str(error)) from None

    async def look(live: "Live") -> Shown:
        try:
            page = await live.messages(sought, after, count)
        except ValueError as error:
            raise click.UsageError(str(error)) from None
        more = f"There are more: --after {page.next}" if page.next else None
        return Shown(record=page, rows=page.messages, words=more)

    common.show(form, _MESSAGES, common.observed(path, look))


@command.command()
@config_option
@common.output_options
@click.argument("digest")
def show(path: Path, form: Form, digest: str) -> None:
    """Show what is known of one message and what happened to it, each event with its proof in the log, checked now.

    DIGEST is that of the message, or how it or the message's id begins, from four signs on.
    """
    try:
        sought = msgspec.convert({"prefix": digest}, admin.Wanted)
    except msgspec.ValidationError:
        raise click.UsageError(f"{digest!r} is not how a digest or an id begins: 4 to 64 of 0-9, a-f, -") from None

    async def look(live: "Live") -> Shown:
        found = (await live.messages(sought, None, 2)).messages
        if len(found) > 1:
            raise common.NotThereError(f"more than one message begins with {digest}", "Write more of it.")
        story = await live.story(found[0].digest) if found else None
        if story is None:
            raise common.NotThereError(
                f"no message begins with {digest}", "It was never accepted here, or it was erased by its age."
            )
        return Shown(record=story, rows=story.events, facts=_facts(story.message))

    common.show(form, _EVENTS, common.observed(path, look))


def _facts(message: admin.MessageRow) -> list[tuple[str, object]]:
    return [
        ("digest", message.digest),
        ("id", message.id),
        ("sender", message.sender),
        ("type", message.type),
        ("priority", message.priority),
        ("exercise", message.exercise),
        ("thread", message.thread),
        ("in reply to", message.in_reply_to),
        ("bytes", message.bytes),
        ("accepted", common.when(message.accepted)),
        ("expires", common.when(message.expires)),
        *((f"to {share.recipient}", _share(share)) for share in message.shares),
    ]


def _share(share: admin.Share) -> str:
    words = share.state if share.since is None else f"{share.state} since {common.when(share.since)}"
    if share.attempts is not None:
        words += f", {share.attempts} attempts"
    return f"{words}, {share.reason}" if share.reason else words
