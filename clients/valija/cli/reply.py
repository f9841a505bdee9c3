"""`valija reply`: an answer, in the thread of what it answers, to whoever wrote that."""

from typing import Any

import click

from valija.cli import common, legal_basis, send
from valija.client import Client
from valija.errors import UsageError
from valija_schemas.message import PRIORITIES


@click.command("reply", cls=common.Command)
@click.argument("digest")
@click.argument("file")
@click.option(
    "--type", "type_", metavar="TYPE", shell_complete=common.complete_type, help="What it is, if FILE does not say it."
)
@click.option("--to", multiple=True, metavar="ID", help="Whom it goes to, in the place of whoever wrote that.")
@click.option("--key", help="Names this message for ever: running the same again sends nothing twice.")
@click.option("--priority", type=click.Choice(PRIORITIES), help="How urgent it is.  [default: routine]")
@click.option("--expires", help="How long it may wait: 30m, 12h, 7d; at most 30d.  [default: 7d]")
@legal_basis.option
@common.language_option
@common.output_option
@common.profile_options
@common.reported
def command(
    digest: str,
    file: str,
    profile: str | None,
    settings: tuple[str, ...],
    language: str | None,
    output: str,
    **options: Any,
) -> None:
    r"""Answer the message DIGEST with FILE (TOML or JSON; `-` is standard input), in its thread.

    It goes to whoever sent that message; where you sent it yourself, to everybody to whom you did. An answer to an
    exercise is one. What goes to anybody else passes the message on: see `valija forward`.

    \b
    valija reply DIGEST response.toml
    valija reply DIGEST withdrawal.json --type withdrawal/1 --key PE-00431-withdrawn
    """
    config = common.load_config(profile, settings)
    document, how = send.document_in(file, common.reader(language, config), **options)
    if how.pop("in_reply_to") not in {None, digest}:
        raise UsageError(f"{file} says that it answers another message")
    how["legal_basis_confirmed"] = options["legal_basis_confirmed"]
    common.run(_reply(Client(config), digest, document, how, output))


async def _reply(client: Client, digest: str, document: Any, how: dict[str, Any], output: str) -> None:
    to = how.pop("to") or None
    async with client:
        sent = await client.reply(digest, document, to=to, **how)
    send.tell([sent], output)
