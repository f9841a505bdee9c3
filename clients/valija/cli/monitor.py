"""`valija monitor`: the log, read from its first entry to its last, as somebody who trusts nobody reads it."""

import asyncio

import click

from valija.cli import common
from valija.client import Client
from valija.errors import UnavailableError

pause_s = 30.0


@click.command("monitor", cls=common.Command)
@click.option("--once", is_flag=True, help="Look once, then stop.")
@click.option(
    "--seen", is_flag=True, help="A person has seen the alarms up to now: tell new ones only. Looks at nothing."
)
@common.profile_options
@common.reported
def command(profile: str | None, settings: tuple[str, ...], once: bool, seen: bool) -> None:
    """Follow the log: derive the root again from all entries, connect every checkpoint, find our own entries.

    Tells the alarms that any program raised on this state folder, too. Status 10 as soon as there is one; with --once,
    11 where too few witnesses saw the newest tree.
    """
    client = Client(common.load_config(profile, settings))
    common.run(_mark_seen(client) if seen else _follow(client, once))


async def _mark_seen(client: Client) -> None:
    async with client:
        client.mark_seen()


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
                for digest in look.unknown:
                    common.words(f"The broker says that it handed us {digest}: no such message is here.")
                    common.words("Next: if no other machine of ours has it, that is false; tell its sender.")
                if look.unwitnessed:
                    common.words(f"UNWITNESSED: {look.unwitnessed}.")
                for fault in look.faults:
                    common.words(f"ALARM: {fault}")
                if look.faults:
                    common.words("Next: keep the state folder, and tell a registry officer what is an alarm.")
                    raise SystemExit(common.FALSE)
                if once and look.unwitnessed:
                    common.words("Next: look again in some minutes; if it lasts, ask the operators and the witnesses.")
                    raise SystemExit(common.UNCHECKED)
            if once:
                return
            await asyncio.sleep(pause_s)
