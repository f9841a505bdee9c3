"""`valija-broker directory`: the versions of the directory that the broker serves."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from valija_broker.cli import common
from valija_broker.cli.common import Columns, Form, Shown, config_option
from valija_broker.directory import now_ms

if TYPE_CHECKING:
    from valija_broker.observe.observer import Live

_changes_shown: Final = 3  #: In a table; `json` and `ndjson` have all of them.
_VERSIONS: Final[Columns] = {
    "version": lambda version: version.version,
    "root": lambda version: version.root,
    "issued": lambda version: common.when(version.issued),
    "expires": lambda version: common.when(version.expires),
    "contact_points": lambda version: version.contact_points,
    "changes": lambda version: _short(version.changes),
    "digest": lambda version: version.digest,
}


@click.group("directory")
def command() -> None:
    """Look at the directory. `valija-registry` makes and signs it."""


@command.command()
@config_option
@common.output_options
def versions(path: Path, form: Form) -> None:
    """Show the versions of the directory, the newest first, and what each changed. The broker must be running."""
    common.show(form, _VERSIONS, common.observed(path, _look))


async def _look(live: "Live") -> Shown:
    found = await live.versions()
    words = None
    if found:
        left = found[0].expires - now_ms()
        words = f"The newest expires in {common.span(left)}." if left > 0 else "The newest has EXPIRED."
    return Shown(record=found, rows=found, words=words)


def _short(changes: tuple[str, ...]) -> str | None:
    heads = [line for line in changes if not line.startswith(" ")]  # what is set in tells more of the line above it
    more = len(heads) - _changes_shown
    shown = "; ".join(heads[:_changes_shown])
    return f"{shown}; and {more} more" if more > 0 else shown or None
