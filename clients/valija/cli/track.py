"""`valija track`: what happened to a message."""

from typing import Any

import click

from valija.cli import common
from valija.client import Client
from valija.timeline import Happening


@click.command("track", cls=common.Command)
@click.argument("id_or_digest", metavar="[ID]", required=False)
@common.output_option
@common.profile_options
@common.reported
def command(id_or_digest: str | None, profile: str | None, settings: tuple[str, ...], output: str) -> None:
    """Show what happened to the message ID (or digest), who says so, and what is proved by a signature.

    Without ID: what operators did to this contact point as a whole, a hold for instance.
    """
    common.run(_track(Client(common.load_config(profile, settings)), id_or_digest, output))


async def _track(client: Client, id_or_digest: str | None, output: str) -> None:
    about: dict[str, Any] = {}
    async with client:
        if id_or_digest is None:
            complete, happenings = await client.track_operators()
        else:
            found = await client.track(id_or_digest)
            complete, happenings = found.complete, found.happenings
            about = {"message": found.digest}
            common.words(f"{found.type} {found.id}, from {found.sender} to {', '.join(found.to)}: {found.state}")
    printer = common.Printer(output, ["time", "event", "to", "says", "log", "by", "detail"])
    alarms = 0
    for happening in happenings:
        alarms += happening.says == "alarm"
        record: dict[str, Any] = {
            "time": common.iso(happening.time),
            "event": happening.event,
            "to": list(happening.to),
            "says": happening.says,
            "log": _place(happening),
            "by": happening.by,
            "detail": happening.detail,
        }
        if output != "table":
            record = about | record
        printer.add(record)
    printer.close()
    if not complete:
        common.words("The broker could not be asked: there may be more.")
    if alarms:
        common.words("Next: keep the state folder, and tell a registry officer what is marked as an alarm.")
        raise SystemExit(common.FALSE)
    if not complete:
        raise SystemExit(common.UNAVAILABLE)


def _place(happening: Happening) -> str | None:
    if happening.index is None:
        return None
    return f"{happening.index}, {'proved' if happening.witnessed else 'unwitnessed'}"
