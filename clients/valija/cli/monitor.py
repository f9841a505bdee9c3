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
@click.option("--shared", is_flag=True, help="Other machines send and receive in our name: what they do is no alarm.")
@common.profile_options
@common.reported
def command(profile: str | None, settings: tuple[str, ...], once: bool, seen: bool, shared: bool) -> None:
    """Follow the log: derive the root again from all entries, connect every checkpoint, find our own entries.

    Reads on from where it was. What goes out in our name and not by this state folder is an alarm, and so is a change
    of our entry in the directory that our keys do not explain.

    Tells the alarms that any program raised on this state folder, too. Status 10 as soon as there is one; with --once,
    11 where too few witnesses saw the newest tree.
    """
    client = Client(common.load_config(profile, settings))
    common.run(_mark_seen(client) if seen else _follow(client, once, shared))


async def _mark_seen(client: Client) -> None:
    async with client:
        client.mark_seen()


async def _follow(client: Client, once: bool, shared: bool) -> None:
    async with client:
        while True:
            try:
                look = await client.monitor(shared=shared)
            except UnavailableError as error:
                if once:
                    raise
                common.words(f"The broker could not be asked: {error}")
            else:
                if look.word:
                    common.words(look.word)
                alarms = "1 alarm" if len(look.faults) == 1 else f"{len(look.faults)} alarms"
                click.echo(f"{look.size} entries read, {look.own} of ours in their places, {alarms}")
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
