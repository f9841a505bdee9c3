"""`valija bilateral`: the schemas of the types that we agreed on with another contact point.

Before this room: a person. After it: `valija.bilateral`. Rules: schemas/SPEC.md, section 4.2.
"""

import click

from valija.bilateral import Schemas, schema_bytes_max
from valija.cli import common
from valija.client import Client


@click.group("bilateral")
def command() -> None:
    """Keep the schemas of types that we agreed on with one other contact point, and see which the directory names."""


@command.command("add", cls=common.Command)
@click.argument("file")
@common.profile_options
@common.reported
def add(file: str, profile: str | None, settings: tuple[str, ...]) -> None:
    """Keep FILE, a JSON Schema 2020-12 that we agreed on, byte for byte, and print its SHA-256.

    The directory names a schema by that digest: `valija bilateral list` says which it wants.
    """
    config = common.load_config(profile, settings)
    schema = Schemas(config.state_folder).add(common.read_file(file, schema_bytes_max))
    click.echo(schema.digest)
    common.words(f"Kept{': ' if schema.title else ''}{common.printable(schema.title)}.")


@command.command("list", cls=common.Command)
@common.output_option
@common.profile_options
@common.reported
def list_(profile: str | None, settings: tuple[str, ...], output: str) -> None:
    """List the types that we agreed on, by the newest directory, with whom, and whether their schemas are here."""
    config = common.load_config(profile, settings)
    common.run(_list(Client(config), Schemas(config.state_folder), output))


async def _list(client: Client, schemas: Schemas, output: str) -> None:
    me = client.config.contact_point
    async with client:
        phonebook = await client.directory()
    printer = common.Printer(output, ["type", "with", "schema", "here"])
    here = set(schemas.digests())
    for each in phonebook.directory.bilateral:
        if me in each.between:
            (other,) = set(each.between) - {me}
            printer.add({"type": each.type, "with": other, "schema": each.schema, "here": each.schema in here})
    printer.close()
