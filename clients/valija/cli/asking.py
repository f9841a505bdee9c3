"""What a person is asked on a terminal: a passphrase, or yes or no. Where there is no terminal, nothing is assumed.

Before this room: `keys`, `send`, and the officers' commands.
"""

import getpass
import sys
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


def agree(question: str, option: str) -> None:
    """Ask whether to go on; `option` is how a script, which nobody watches, says yes beforehand.

    Raises:
        UsageError: the answer is no, or there is no terminal to ask on.
    """
    if not terminal():
        raise UsageError(
            "nobody can be asked here, and nothing was sent", hint=f"Read what is above, then add {option}."
        )
    if not click.confirm(question, err=True):
        raise UsageError("you said no; nothing was sent", hint=f"Say yes, or add {option}, if it is as you want it.")


def terminal() -> bool:
    """Whether somebody can be asked: standard input is a terminal."""
    return sys.stdin.isatty()
