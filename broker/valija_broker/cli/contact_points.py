"""`valija-broker contact-points`: who is in the newest directory, and how each of them does."""

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from valija_broker.cli import common
from valija_broker.cli.common import Columns, Form, Shown, config_option
from valija_broker.cli.completion import complete_contact_point

if TYPE_CHECKING:
    from valija_broker.observe.observer import Live
    from valija_schemas import admin

_POINTS: Final[Columns] = {
    "id": lambda point: point.id,
    "of": lambda point: point.state or point.organisation,
    "area": lambda point: point.area,
    "status": lambda point: point.status,
    "held_until": lambda point: common.when(point.held_until),
    "sign": lambda point: point.keys["sign"][0],
    "seal": lambda point: point.keys["seal"][0],
    "auth": lambda point: point.keys["auth"][0],
    "last_seen": lambda point: common.when(point.last_seen),
    "name": lambda point: point.name,
}


@click.group("contact-points", invoke_without_command=True)
@config_option
@common.output_options
def command(path: Path, form: Form) -> None:
    """Show the contact points of the newest directory, with how many active keys each has.

    The broker must be running.
    """
    if common.alone():
        common.show(form, _POINTS, common.observed(path, _all))


@command.command()
@config_option
@common.output_options
@click.argument("id_", metavar="ID", shell_complete=complete_contact_point)
def show(path: Path, form: Form, id_: str) -> None:
    """Show all that is known of the contact point ID, its mailbox included."""

    async def look(live: "Live") -> Shown:
        found = await live.mailbox(id_)
        if found is None:
            near = difflib.get_close_matches(id_, [box.id for box in await live.mailboxes()], 3)
            raise common.NotThereError(
                f"the directory has no contact point {id_}",
                f"Near it are: {', '.join(near)}." if near else "`valija-broker contact-points` lists all of them.",
            )
        return Shown(record=found, rows=[found], facts=_facts(found), table=False)

    common.show(form, _POINTS, common.observed(path, look))


async def _all(live: "Live") -> Shown:
    points = await live.mailboxes()
    return Shown(record=points, rows=points)


def _facts(point: "admin.Mailbox") -> list[tuple[str, object]]:
    keys = [
        (f"{use} keys", f"{active} active, {retired} retired, {revoked} revoked")
        for use, (active, retired, revoked) in point.keys.items()
    ]
    return [
        ("id", point.id),
        ("name", point.name),
        ("of", point.state or point.organisation),
        ("area", point.area),
        ("status", point.status),
        ("held until", common.when(point.held_until)),
        ("ready", point.ready),
        ("leased", point.leased),
        ("dead", point.dead),
        ("oldest waits", common.age(point.oldest)),
        ("collect p95", common.span(point.collect_p95)),
        ("taken in 24 h", sum(point.hours) if point.hours else None),
        ("last seen", common.when(point.last_seen)),
        *keys,
    ]
