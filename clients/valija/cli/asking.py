"""A passphrase that a person types. Nothing is read where it could not be hidden.

Before this room: `keys`, and the officers' commands.
"""

import getpass
import warnings

import click

from valija.errors import UsageError


def passphrase(*, confirm: bool = False) -> str:
    """Ask for it, and with `confirm` once more.

    Raises:
        UsageError: there is no terminal to ask on.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            typed: str = click.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm, err=True)
        except getpass.GetPassWarning:
            hint = "Name a file that has it on its first line, with `--passphrase-file`."
            raise UsageError("there is no terminal to ask for the passphrase", hint=hint) from None
    return typed
