"""What the commands of officers and operators share: files, passphrases, drafts, and words on stderr.

Before this room: `cli`, `cli_points`, `cli_show`, `cli_orders`.
"""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from valija.cli import asking
from valija.errors import ConfigError
from valija.paper.safe import isolated
from valija.registry import core, show
from valija.registry.folder import Registry, read_file
from valija_schemas import changes

F = TypeVar("F", bound=Callable[..., Any])
FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
PATH: Final = click.Path(path_type=Path)
exit_waiting: Final = 75  #: EX_TEMPFAIL: run the same command again once the other party has acted.


def passphrase_option(function: F) -> F:
    """Adds `--passphrase-file`."""
    return click.option(
        "--passphrase-file", type=FILE, help="Read the passphrase from the first line of this file; else it is asked."
    )(function)


def days_option(function: F) -> F:
    """Adds `--days` of a directory."""
    return click.option(
        "--days",
        type=click.IntRange(1, core.directory_days_max),
        default=core.directory_days_max,
        show_default=True,
        help="How long the directory holds.",
    )(function)


def read_passphrase(path: Path | None, *, confirm: bool = False) -> str:
    """The passphrase in the first line of `path`, or the one that a person types.

    Raises:
        ConfigError: that line is empty, or no text.
        UsageError: there is no terminal to type on.
    """
    if path is None:
        return asking.passphrase(confirm=confirm)
    try:
        lines = path.read_text("utf-8").splitlines()
    except UnicodeDecodeError:
        raise ConfigError(f"{path} holds no text", hint="Put the passphrase on its first line, in UTF-8.") from None
    if not lines or not lines[0]:
        raise ConfigError(f"the first line of {path} is empty", hint="Put the passphrase on its first line.")
    return lines[0]


def say(*lines: str) -> None:
    """Words for people, on stderr."""
    for line in lines:
        click.echo(line, err=True)


def say_what_is_signed(*lines: str, indent: str = "") -> None:
    """What others wrote, on stderr, to be read before it is signed: each line in as many as the terminal needs.

    The terminal would break a line where it likes, so that a name or a reason with many blanks in it could look like
    lines of ours. From the second on each part is marked.
    """
    for line in lines:
        rest, mark = line, indent
        while True:
            end = _fitting(rest, mark)
            say(f"{mark}{isolated(rest[:end])}")
            rest, mark = rest[end:], f"{indent}  > "
            if not rest:
                break


def _fitting(text: str, mark: str) -> int:
    """How many signs of `text` stand in a line of the terminal behind `mark`, at least one; all where there is none."""
    columns = terminal_columns()
    if columns is None:
        return len(text)
    room, end = columns - len(mark) - 1, 0
    while end < len(text) and (room > 1 or not end):
        room -= 1 if text[end].isascii() else 2  # wide letters take two columns
        end += 1
    return end


def terminal_columns() -> int | None:
    """How wide the terminal is that a person reads; None where there is none."""
    return shutil.get_terminal_size().columns if sys.stderr.isatty() else None


def drafted(registry: Registry, path: Path, *before: str) -> None:
    """Print the path of a new draft; say what is in it, what it changes, and what comes next, after `before`."""
    read = read_file(path)
    click.echo(path)
    say(*show.heading(read, registry.missing(read)), "")
    say_what_is_signed(*changes.changes(registry.before(read), read.value), "")
    if registry.dropped:
        say(f"The signatures of {', '.join(registry.dropped)} were given to the older draft and are gone.")
    say(
        *before,
        f"Next: each officer runs `valija-registry sign {path} --officer KEYRING`; then one runs publish.",
        "Whoever wants it undone deletes that file.",
    )
