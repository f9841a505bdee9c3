"""`valija monitor`: the log, read from its first entry to its last, as somebody who trusts nobody reads it."""

import asyncio

import click

from valija.cli import common
from valija.client import Client
from valija.errors import UnavailableError

pause_s = 30.0


@click.command("monitor", cls=common.Command)
@click.option("--once", is_flag=True, help="Look once, then stop.")
@common.profile_options
@common.reported
def command(profile: str | None, settings: tuple[str, ...], once: bool) -> None:
    """Follow the log: derive the root again from all entries, connect every checkpoint, find our own entries.

    Status 10 as soon as something is not as it must be.
    """
    common.run(_follow(Client(common.load_config(profile, settings)), once))


async def _follow(client: Client, once: bool) -> None:
    async with client:
        while True:
            try:
                look = await client.monitor()
            except UnavailableError as error:
                if once:
                    raise
                common.words(f"The broker could not be asked: {error}")
            else:
                click.echo(f"{look.size} entries read, {look.own} of ours in their places, {len(look.faults)} alarms")
                for fault in look.faults:
                    common.words(f"ALARM: {fault}")
                if look.faults:
                    common.words("Next: keep the state folder, and tell a registry officer what is an alarm.")
                    raise SystemExit(common.FALSE)
            if once:
                return
            await asyncio.sleep(pause_s)
