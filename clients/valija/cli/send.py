"""`valija send`: from a person's file to an acceptance."""

import json
import re
import tomllib
from datetime import timedelta
from typing import Any

import click

from valija.cli import common
from valija.client import Client
from valija.errors import ConfigError, DeliveryFailedError, DocumentInvalidError, UsageError
from valija.outbox import Sent
from valija_schemas import limits

_UNITS = {"m": 60, "h": 3_600, "d": 86_400}
file_bytes_max = 4 * limits.body_bytes_max  #: A person's file may hold more blanks than the document that it means.


@click.command("send", cls=common.Command)
@click.argument("file", required=False)
@click.option("--type", "type_", metavar="TYPE", help="What the document is: information-request/1.")
@click.option("--to", multiple=True, metavar="ID", help="A recipient; repeat it, or separate several by commas.")
@click.option("--key", help="Names this message for ever: running the same again sends nothing twice.")
@click.option("--priority", type=click.Choice(["flash", "urgent", "routine"]), default="routine", show_default=True)
@click.option("--expires", default="7d", show_default=True, help="How long it may wait: 30m, 12h, 7d; at most 30d.")
@click.option("--in-reply-to", metavar="DIGEST", help="The digest of a received message that this one answers.")
@click.option("--exercise", is_flag=True, help="Mark it as an exercise.")
@click.option(
    "--wait", type=click.Choice(["accepted", "handed-over", "acknowledged", "replied"]), help="Wait for this."
)
@click.option("--timeout", type=float, default=60.0, show_default=True, help="Seconds to wait.")
@click.option("--dry-run", is_flag=True, help="Check everything, seal nothing that is kept, send nothing.")
@click.option("--pending", is_flag=True, help="Send again what waits in the outbox; takes no FILE.")
@common.output_option
@common.profile_options
@common.reported
def command(file: str | None, profile: str | None, settings: tuple[str, ...], pending: bool, **options: Any) -> None:
    r"""Send FILE (JSON, or TOML if it is called .toml; `-` is standard input), sealed for each recipient.

    \b
    valija send request.json --type information-request/1 --to co.enlace --key PE-00431 --wait acknowledged
    valija send request.toml --type information-request/1 --to co.enlace,ca.liaison --dry-run
    valija send --pending
    """
    config = common.load_config(profile, settings)
    if pending == (file is not None):
        raise UsageError("give either a FILE or --pending", hint="valija send --help shows examples.")
    document = None if file is None else _read(file)
    if file is not None and (not options["type_"] or not options["to"]):
        raise UsageError("say what it is and who gets it: --type and --to", hint="valija send --help shows examples.")
    common.run(_send(Client(config), document, **options))


async def _send(client: Client, document: dict[str, Any] | None, *, output: str, **options: Any) -> None:
    printer = common.Printer(output, ["id", "state", "type", "to", "digest"])
    async with client:
        if document is None:
            found = await client.flush()
        else:
            to = [id_.strip() for part in options["to"] for id_ in part.split(",") if id_.strip()]
            how: dict[str, Any] = {
                "type": options["type_"],
                "key": options["key"],
                "priority": options["priority"],
                "expires": lifetime(options["expires"]),
                "in_reply_to": options["in_reply_to"],
                "exercise": options["exercise"],
            }
            if options["dry_run"]:
                order = client.order(document, to, **how)
                size, phonebook = await client.dry_run(order)
                common.words(
                    f"Valid {order.type} for {', '.join(order.to)}: {size} bytes sealed, under directory version "
                    f"{phonebook.version}. Nothing was sent."
                )
                return
            sent = await client.send(document, to, **how)
            if options["wait"]:
                try:
                    sent = await client.wait(sent, options["wait"], options["timeout"])
                except DeliveryFailedError:
                    common.words(f"{sent.id} was sent.")
                    raise
                common.words(f"{sent.id} is {options['wait']}.")
            found = [sent]
    for each in found:
        printer.add(record(each))
    printer.close()
    waiting = [each for each in found if each.state == "pending"]
    if waiting:
        common.words(f"{len(waiting)} stored and not yet accepted. Nothing is lost: do not send it again as a new one.")
        common.words("Next: valija send --pending")
        raise SystemExit(common.LATER)
    if document is None and not found:
        common.words("Nothing waits in the outbox.")
    if any(each.state == "refused" for each in found):
        raise SystemExit(common.REFUSED)


def record(sent: Sent) -> dict[str, Any]:
    """A message of ours, for programs."""
    return {
        "id": sent.id,
        "digest": sent.digest,
        "state": sent.state,
        "type": sent.type,
        "to": list(sent.to),
        "thread": sent.thread,
        "in_reply_to": sent.in_reply_to,
        "sent": common.iso(sent.sent),
        "expires": common.iso(sent.expires),
        "priority": sent.priority,
        "exercise": sent.exercise,
        "key": sent.key,
    }


def lifetime(text: str) -> timedelta:
    """`30m`, `12h` or `7d` as a span of time.

    Raises:
        UsageError: it is none of these.
    """
    match = re.fullmatch(r"([1-9][0-9]{0,4})([mhd])", text)
    if match is None:
        raise UsageError(f"--expires {text}: write 30m, 12h or 7d")
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


def _read(file: str) -> dict[str, Any]:
    data = common.read_file(file, file_bytes_max)
    try:
        value = tomllib.loads(data.decode()) if file.endswith(".toml") else json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DocumentInvalidError(f"{file} cannot be read: {error}") from None
    if not isinstance(value, dict):
        raise ConfigError(f"{file} does not hold one document")
    return value
