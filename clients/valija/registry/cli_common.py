"""What the commands of officers and operators share: files, passphrases, and words on stderr.

Before this room: `cli`, `cli_orders`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from valija.errors import ConfigError

F = TypeVar("F", bound=Callable[..., Any])
FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
PATH: Final = click.Path(path_type=Path)


def passphrase_option(function: F) -> F:
    """Adds `--passphrase-file`."""
    return click.option(
        "--passphrase-file", type=FILE, help="Read the passphrase from the first line of this file; else it is asked."
    )(function)


def read_passphrase(path: Path | None, *, confirm: bool = False) -> str:
    """The passphrase in the first line of `path`, or the one that a person types.

    Raises:
        ConfigError: that line is empty.
    """
    if path is None:
        text: str = click.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm, err=True)
        return text
    lines = path.read_text("utf-8").splitlines()
    if not lines or not lines[0]:
        raise ConfigError(f"the first line of {path} is empty", hint="Put the passphrase on its first line.")
    return lines[0]


def say(*lines: str) -> None:
    """Words for people, on stderr."""
    for line in lines:
        click.echo(line, err=True)
