"""`valija canary`: a contact point that does nothing but send itself an exercise, and says when it came back.

What it says is about the whole walk, seen from outside: the way, the broker, its store, its log. Each time it begins
anew, as a program that was just started does, and leaves nothing in its mailbox.

Before this room: a service manager. After it: `valija.client`. Rules: deploy/RUNBOOK.md, "The canary".
"""

import asyncio
import json
import time
from pathlib import Path

import click

from valija import config as configs
from valija import durable
from valija.cli import common
from valija.client import Client
from valija.clock import now_ms
from valija.errors import ConfigError, ValijaError

round_trip_s = 30.0  #: Longer, and it did not come back: who waits in earnest would have given up.


@click.command("canary", cls=common.Command)
@click.option("--report", metavar="FILE", type=click.Path(path_type=Path), help="Replaced each time it came back.")
@click.option(
    "--every", metavar="SECONDS", type=click.IntRange(5, 3_600), default=60, show_default=True, help="How often."
)
@click.option("--once", is_flag=True, help="Send one, then stop.")
@common.profile_options
@common.reported
def command(profile: str | None, settings: tuple[str, ...], report: Path | None, every: int, once: bool) -> None:
    r"""Send ourselves an exercise, take it, acknowledge it, wait until the log has proved it; and again.

    For a contact point of its own, which whoever runs the broker has admitted for this. FILE gets when it was sent and
    when it was back, in milliseconds since 1970, and how many it took; what does not come back leaves FILE as it was.

    \b
    valija canary --report /run/valija-canary/canary.json
    """
    common.run(_sing(common.load_config(profile, settings), report, every, once=once))


async def _sing(config: configs.Config, report: Path | None, every: int, *, once: bool) -> None:
    while True:
        began = time.monotonic()
        try:
            click.echo(f"Back after {await _round(config, report)} ms")
        except ValijaError as error:
            if once:
                raise
            common.words(f"It did not come back: {error}")
            common.words(f"Next: {error.hint}")
        if once:
            return
        await asyncio.sleep(max(0.0, began + every - time.monotonic()))


async def _round(config: configs.Config, report: Path | None) -> int:
    """One exercise; how many milliseconds it took."""
    async with Client(config) as client:
        sent, began = now_ms(), time.monotonic()
        await client.round_trip(round_trip_s)
        took, returned = round((time.monotonic() - began) * 1000), now_ms()
    if report is not None:
        data = json.dumps({"sent": sent, "returned": returned, "round_trip": took}).encode()
        try:
            durable.write(report, data + b"\n", replace=True)
        except OSError as error:
            raise ConfigError(
                f"{report} cannot be written: {error.strerror}", hint="Name a file in a folder that is ours."
            ) from None
    return took
