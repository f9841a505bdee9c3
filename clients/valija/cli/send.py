"""`valija send`: from a person's file to an acceptance."""

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import click

from valija.cli import common, dry_run, legal_basis, recipients
from valija.client import Client
from valija.errors import DeliveryFailedError, DocumentInvalidError, UsageError
from valija.outbox import Sent
from valija.paper import file as files
from valija.paper.language import Words
from valija_schemas import documents
from valija_schemas.agreements import is_bilateral
from valija_schemas.documents.bilateral import BilateralDocument
from valija_schemas.message import PRIORITIES

AnyDocument = documents.Document | BilateralDocument
_UNITS = {"m": 60, "h": 3_600, "d": 86_400}


@click.command("send", cls=common.Command)
@click.argument("file", required=False)
@click.option(
    "--type", "type_", metavar="TYPE", shell_complete=common.complete_type, help="What it is, if FILE does not say it."
)
@click.option(
    "--to",
    multiple=True,
    metavar="ID",
    help="A recipient, or a group as state:PE+area:judicial; repeat it, or separate several by commas.",
)
@click.option("--yes", is_flag=True, help="Do not ask before a group of more than five is written to.")
@click.option("--key", help="Names this message for ever: running the same again sends nothing twice.")
@click.option("--priority", type=click.Choice(PRIORITIES), help="How urgent it is.  [default: routine]")
@click.option("--expires", help="How long it may wait: 30m, 12h, 7d; at most 30d.  [default: 7d]")
@click.option("--in-reply-to", metavar="DIGEST", help="The digest of a received message that this one answers.")
@click.option("--exercise", is_flag=True, help="Mark it as an exercise.")
@click.option(
    "--wait", type=click.Choice(["accepted", "handed-over", "acknowledged", "replied"]), help="Wait for this."
)
@click.option("--timeout", type=float, default=60.0, show_default=True, help="Seconds to wait.")
@legal_basis.option
@click.option("--dry-run", is_flag=True, help="Show what would be sent, and to whom; keep nothing, send nothing.")
@click.option("--pending", is_flag=True, help="Send again what waits in the outbox; takes no FILE.")
@common.language_option
@common.output_option
@common.profile_options
@common.reported
def command(
    file: str | None,
    profile: str | None,
    settings: tuple[str, ...],
    pending: bool,
    language: str | None,
    output: str,
    **options: Any,
) -> None:
    r"""Send FILE (TOML or JSON; `-` is standard input), sealed for each recipient.

    What FILE says in its table `send` stands in for the options --to, --key, --priority, --expires and --in-reply-to.

    \b
    valija send request.toml --to co.enlace --key PE-00431 --wait acknowledged
    valija send request.toml --to co.enlace,ca.liaison --dry-run
    valija send request.json --type information-request/1 --to state:CO+area:judicial
    valija send --pending
    """
    config = common.load_config(profile, settings)
    if pending == (file is not None):
        raise UsageError("give either a FILE or --pending", hint="valija send --help shows examples.")
    words = common.reader(language, config)
    if file is None:
        common.run(_flush(Client(config), output))
    else:
        document, how = document_in(file, words, **options)
        if not how["to"]:
            raise UsageError(f"say who gets it: --to, or to in the table {files.SEND} of {file}")
        how["exercise"] = options["exercise"]
        common.run(_send(Client(config), document, how, words=words, output=output, **options))


def document_in(file: str, words: Words, **options: Any) -> tuple[AnyDocument, dict[str, Any]]:
    """The document in a person's file and how it is to travel: an option goes over the file."""
    written = common.read_persons_file(file)
    type_, said = written.type_for(options["type_"]), written.send
    how: dict[str, Any] = {"to": recipients.listed(options["to"]) or list(said.to)}
    for name, default in (("key", None), ("priority", "routine"), ("expires", "7d"), ("in_reply_to", None)):
        how[name] = options.get(name) or getattr(said, name) or default
    how["expires"] = lifetime(how["expires"])
    if written.draft is not None:
        raise DocumentInvalidError(
            f"{file} is a draft: it was left at {written.draft}",
            hint=f"Finish it with valija new --continue {file}, or remove the line {files.DRAFT}.",
        )
    if is_bilateral(type_):
        return BilateralDocument(type=type_, fields=written.document), how  # its schema is asked for when it is sealed
    document, flaws = files.validate(type_, written.document, written.folder, words)
    if document is None:
        lines = [f"{file}:{written.line_of(flaw.path)}: {flaw}" for flaw in flaws]
        raise DocumentInvalidError("\n".join(["the document is not valid:", *lines]), flaws=tuple(map(str, flaws)))
    return document, how


async def _send(
    client: Client, document: AnyDocument, how: dict[str, Any], *, words: Words, output: str, **options: Any
) -> None:
    type_ = document.type if isinstance(document, BilateralDocument) else documents.type_of(document).type_
    async with client:
        yes = options["yes"] or options["dry_run"]
        how["to"] = await recipients.named(client, how["to"], type_, words, yes=yes)
        if options["dry_run"]:
            await dry_run.show(client, client.order(document, **how), words, output)
            return
        how["legal_basis_confirmed"] = options["legal_basis_confirmed"] or await legal_basis.confirmed(
            client, client.order(document, **how), words
        )
        sent = await client.send(document, **how)
        if options["wait"]:
            try:
                sent = await client.wait(sent, options["wait"], options["timeout"])
            except DeliveryFailedError:
                common.words(f"{sent.id} was sent.")
                raise
            common.words(f"{sent.id} is {options['wait']}.")
    tell([sent], output)


async def _flush(client: Client, output: str) -> None:
    async with client:
        found = await client.flush()
    if not found:
        common.words("Nothing waits in the outbox.")
    tell(found, output)


def tell(found: Sequence[Sent], output: str) -> None:
    """What became of messages of ours; ends with a status of its own where they wait or were refused."""
    printer = common.Printer(output, ["id", "state", "type", "to", "digest"])
    for each in found:
        printer.add(record(each))
    printer.close()
    waiting = [each for each in found if each.state == "pending"]
    if waiting:
        common.words(f"{len(waiting)} stored and not yet accepted. Nothing is lost: do not send it again as a new one.")
        common.words("Next: valija send --pending")
        raise SystemExit(common.LATER)
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
