"""`valija inbox`: receive, save, acknowledge."""

from pathlib import Path
from typing import Any

import click
import msgspec

from valija import durable
from valija.cli import common
from valija.client import Client
from valija.errors import StateError, UsageError
from valija.received import Message


@click.command("inbox", cls=common.Command)
@click.option("--type", "types", multiple=True, metavar="TYPE", help="Only these; others wait for another program.")
@click.option("--follow", is_flag=True, help="Go on for ever.")
@click.option("--save", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Where documents go.")
@click.option("--limit", type=click.IntRange(min=1), help="Stop after so many.")
@common.output_option
@common.profile_options
@common.reported
def command(profile: str | None, settings: tuple[str, ...], save: Path | None, output: str, **options: Any) -> None:
    r"""Receive messages: each is verified, opened, written out, and only then acknowledged.

    In DIR a message becomes SENDER.ID.json, its document; SENDER.ID.message, as it was transmitted, which proves who
    sent it; and SENDER.ID.acceptance, which proves when. An interruption writes the same files again.

    EXERCISE marks a drill, on which nobody acts; APART what does not belong into the thread that it names.

    \b
    valija inbox --save received
    valija inbox --follow --save received --output ndjson
    valija inbox --output json --limit 1
    """
    if save is None and output == "table":
        raise UsageError("a table has no room for documents", hint="Add --save DIR, or --output json or ndjson.")
    common.run(_receive(Client(common.load_config(profile, settings)), save, output, **options))


async def _receive(
    client: Client, save: Path | None, output: str, *, types: tuple[str, ...], follow: bool, limit: int | None
) -> None:
    printer = common.Printer(output, ["id", "marks", "sender", "type", "priority", "sent", "saved"])
    words = common.sentences(client.config)
    count, last = 0, ""
    try:
        async with client:
            async for message in client.inbox(types or None, follow=follow):
                async with message:
                    saved = None if save is None else str(_save(message, save))
                    found = record(message, saved, with_document=save is None)
                    if output == "table":
                        found["marks"] = common.marks(words, exercise=message.exercise, apart=found["apart"])
                    printer.add(found)
                count, last = count + 1, message.id
                if count == limit:
                    break
    finally:
        printer.close()
    common.words(f"{count} received.")
    if count and output == "table":
        common.words(f"Read it: valija show {last}")


def record(message: Message, saved: str | None, *, with_document: bool) -> dict[str, Any]:
    """A received message, for programs."""
    found = {
        "id": message.id,
        "digest": message.digest,
        "sender": message.sender,
        "to": list(message.to),
        "type": message.type,
        "thread": message.thread,
        "in_reply_to": message.in_reply_to,
        "sent": common.iso(message.sent),
        "expires": common.iso(message.expires),
        "priority": message.priority,
        "exercise": message.exercise,
        "apart": message.apart,
        "attempt": message.attempt,
        "saved": saved,
    }
    return found | ({"document": msgspec.json.decode(message.json)} if with_document else {})


def _save(message: Message, folder: Path) -> Path:
    """Write the document and what proves it; on the disk before the message is acknowledged."""
    document = folder / f"{message.sender}.{message.id}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        durable.write(document.with_suffix(".message"), message.raw, mode=0o600, replace=True)
        durable.write(document.with_suffix(".acceptance"), message.acceptance, mode=0o600, replace=True)
        durable.write(document, message.json + b"\n", mode=0o600, replace=True)
    except OSError as error:
        raise StateError(f"{document} cannot be written: {error.strerror}") from None
    return document
