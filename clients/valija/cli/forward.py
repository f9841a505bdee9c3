"""`valija forward`: somebody else's document, passed on with what its sender said about it."""

from typing import Any

import click

from valija.cases.forwarding import CARRIER
from valija.cli import common, dry_run, recipients, send
from valija.client import Client
from valija.paper.language import Words
from valija_schemas.message import PRIORITIES


@click.command("forward", cls=common.Command)
@click.argument("digest")
@click.option("--to", multiple=True, required=True, metavar="ID", help="Who gets it; repeat it, or use commas.")
@click.option("--why", required=True, metavar="TEXT", help="Why it may assist whoever gets it.")
@click.option(
    "--authority",
    metavar="FILE",
    help="Your office, with the fields of that block, as TOML or JSON.  [default: as in the newest document you sent]",
)
@click.option("--yes", is_flag=True, help="Do not ask before a group of more than five is written to.")
@click.option("--key", help="Names this message for ever: running the same again sends nothing twice.")
@click.option("--priority", type=click.Choice(PRIORITIES), default="routine", show_default=True)
@click.option("--expires", default="7d", show_default=True, help="How long it may wait: 30m, 12h, 7d; at most 30d.")
@click.option("--dry-run", is_flag=True, help="Show what would be sent, and to whom; keep nothing, send nothing.")
@common.language_option
@common.output_option
@common.profile_options
@common.reported
def command(
    digest: str, profile: str | None, settings: tuple[str, ...], language: str | None, output: str, **options: Any
) -> None:
    r"""Pass the document of the received message DIGEST on, as spontaneous information with the original attached.

    Its sender's handling goes with it. Under H2, or while its sender wants it kept confidential, it goes only to
    whoever a consent is on record for: see `valija case show`, and `valija case consent`.

    \b
    valija forward DIGEST --to ca.liaison --why "The vessel is bound for Halifax." --dry-run
    """
    config = common.load_config(profile, settings)
    authority = None
    if options["authority"]:
        authority = common.read_persons_file(options["authority"]).document
    common.run(_forward(Client(config), digest, authority, common.reader(language, config), output, options))


async def _forward(
    client: Client, digest: str, authority: Any, words: Words, output: str, options: dict[str, Any]
) -> None:
    how = {name: options[name] for name in ("why", "key", "priority")} | {"authority": authority}
    how["expires"] = send.lifetime(options["expires"])
    async with client:
        yes = options["yes"] or options["dry_run"]
        to = await recipients.named(client, recipients.listed(options["to"]), CARRIER, words, yes=yes)
        if options["dry_run"]:
            await dry_run.show(client, await client.forward_order(digest, to, **how), words, output)
            return
        sent = await client.forward(digest, to, **how)
    send.tell([sent], output)
