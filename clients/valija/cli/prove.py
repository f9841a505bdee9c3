"""`valija prove`: the evidence of one message in one file."""

from pathlib import Path

import click

from valija.bundle import BundleError
from valija.cli import common
from valija.cli.verify import tell
from valija.client import Client
from valija.errors import ConfigError
from valija.verify import verify


@click.command("prove", cls=common.Command)
@click.argument("id_or_digest", metavar="ID")
@click.option("-o", "--into", type=click.Path(path_type=Path, dir_okay=False), required=True, metavar="FILE")
@click.option("--disclose", is_flag=True, help="Add the key of this one message: whoever has FILE reads its content.")
@common.profile_options
@common.reported
def command(id_or_digest: str, profile: str | None, settings: tuple[str, ...], into: Path, disclose: bool) -> None:
    r"""Write the evidence of the message ID (or digest) to FILE: who signed what, and its places in the log.

    The file is judged at once as its reader will judge it, by `valija verify`; the status is that of the judgement.

    \b
    valija prove ID -o case.zip
    valija verify case.zip --root DIGEST
    """
    client = Client(common.load_config(profile, settings))
    data = common.run(_prove(client, id_or_digest, disclose))
    common.write_new(into, data)
    click.echo(into)
    tell(verify(data, client.config.root), "words", "prove it again later, while the broker can be asked")


async def _prove(client: Client, id_or_digest: str, disclose: bool) -> bytes:
    async with client:
        try:
            return await client.prove(id_or_digest, disclose=disclose)
        except BundleError as error:
            raise ConfigError(str(error)) from None
