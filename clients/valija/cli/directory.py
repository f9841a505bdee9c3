"""`valija directory`: who is who, and whom to write to."""

import click

from valija import whom
from valija.cli import common
from valija.client import Client
from valija_schemas.keys import fingerprint


@click.group("directory", invoke_without_command=True)
@click.option("--state", metavar="MX", help="Only contact points of this State.")
@common.output_option
@common.profile_options
@click.pass_context
@common.reported
def command(ctx: click.Context, profile: str | None, settings: tuple[str, ...], state: str | None, output: str) -> None:
    """List the contact points of the newest directory, fetched and verified from root 1 on."""
    if ctx.invoked_subcommand is None:
        common.run(_show(Client(common.load_config(profile, settings)), state, output))


@command.command("find", cls=common.Command)
@click.option("--state", metavar="PE", help="Whose: a State by code or English name, or an organisation as listed.")
@click.option("--type", "type_", required=True, metavar="TYPE", help="What you want to send: person-alert.")
@click.option("--area", metavar="AREA", help="Only contact points of this area.")
@common.output_option
@common.profile_options
@common.reported
def find(
    profile: str | None, settings: tuple[str, ...], state: str | None, type_: str, area: str | None, output: str
) -> None:
    r"""Say whom to send a document to: who can receive it from you, best first, and why; or why nobody can.

    \b
    valija directory find --state PE --type mutual-legal-assistance-request
    valija directory find --state Peru --type person-alert --area judicial --output json
    """
    common.run(_find(Client(common.load_config(profile, settings)), state, type_, area, output))


async def _find(client: Client, state: str | None, type_: str, area: str | None, output: str) -> None:
    me = client.config.contact_point
    async with client:
        phonebook = await client.directory()
    type_ = whom.newest_type(type_, phonebook)
    found = whom.candidates(phonebook, me, type_, state=state, area=area)
    able = [each for each in found if each.able]
    printer = common.Printer(output, ["id", "state", "area", "name", "why"])
    for each in able if output == "table" else found:
        printer.add(
            {
                "id": each.point.id,
                "state": whom.home(each.point),
                "area": each.point.area,
                "name": each.point.name,
                "able": each.able,
                "why": each.why,
            }
        )
    printer.close()
    if not able:
        common.words(f"Nobody there can be sent {type_} by {me}.")
        for each in found:
            common.words(f"  {each.why}")
        if area is not None:
            others = whom.candidates(phonebook, me, type_, state=state)
            areas = dict.fromkeys(each.point.area for each in others if each.able)
            common.words(f"Areas there that can: {', '.join(areas) or 'none'}.")
        raise SystemExit(common.REFUSED)


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
                "state": whom.home(point),
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
