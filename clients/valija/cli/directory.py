"""`valija directory`: who is who."""

import click

from valija.cli import common
from valija.client import Client
from valija_schemas.keys import fingerprint


@click.command("directory", cls=common.Command)
@click.option("--state", metavar="MX", help="Only contact points of this State.")
@common.output_option
@common.profile_options
@common.reported
def command(profile: str | None, settings: tuple[str, ...], state: str | None, output: str) -> None:
    """List the contact points of the newest directory, fetched and verified from root 1 on."""
    common.run(_show(Client(common.load_config(profile, settings)), state, output))


async def _show(client: Client, state: str | None, output: str) -> None:
    async with client:
        phonebook = await client.directory()
    printer = common.Printer(output, ["id", "state", "area", "status", "name"])
    for point in phonebook.directory.contact_points:
        if state is not None and point.state != state.upper():
            continue
        active = next((key for key in point.sign if key.status == "active"), None)
        printer.add(
            {
                "id": point.id,
                "state": point.state or point.organisation,
                "area": point.area,
                "status": point.status,
                "name": point.name,
                "sign_fingerprint": fingerprint(bytes.fromhex(active.key)) if active else None,
                "seal_key": point.seal_key.key_id if point.seal_key else None,
            }
        )
    printer.close()
    directory = phonebook.directory
    common.words(f"Directory version {phonebook.version}, verified; in force until {common.iso(directory.expires)}.")
