"""`valija-broker completion`: what teaches a shell to complete our commands, options and contact points."""

import os
import re
from pathlib import Path
from typing import Final

import click
from click.shell_completion import get_completion_class

from valija_broker import config
from valija_broker.errors import BrokerError
from valija_schemas import limits, wire
from valija_schemas import note as notes
from valija_schemas.directory import Directory

_SHELLS: Final = ("bash", "zsh", "fish")
_VARIABLE: Final = "_VALIJA_BROKER_COMPLETE"  # By which the script that is printed asks us; made of the program's name.
_FILE: Final = re.compile(r"directory\.([1-9][0-9]{0,8})\.note\Z", re.ASCII)

_read: Final = wire.Decoder(Directory, limits.directory_bytes_max)


@click.command("completion")
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    r"""Print the script of SHELL. Load it where your shell starts.

    \b
    eval "$(valija-broker completion bash)"                                           in ~/.bashrc
    eval "$(valija-broker completion zsh)"                                            in ~/.zshrc
    valija-broker completion fish > ~/.config/fish/completions/valija-broker.fish
    """
    class_ = get_completion_class(shell)
    assert class_ is not None  # noqa: S101 - each of _SHELLS has one
    click.echo(class_(ctx.find_root().command, {}, "valija-broker", _VARIABLE).source())


command.help = (command.help or "").replace("\\b", "\b")  # click's mark for lines that stay as they are


def complete_contact_point(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Contact points that begin like `incomplete`, for the shell: from the newest file of the directory folder.

    Nothing is verified and no broker is asked: a name that is offered is not yet one that is used.
    """
    del parameter
    path = ctx.params.get("path") or os.environ.get("VALIJA_BROKER_CONFIG") or "broker.toml"
    try:
        folder = config.load(Path(path)).directory_path
        numbers = [int(found[1]) for file in folder.iterdir() if (found := _FILE.match(file.name))]
        raw = (folder / f"directory.{max(numbers)}.note").read_bytes()
        points = _read(notes.parse(raw, limits.directory_bytes_max).json).contact_points
    except (BrokerError, OSError, ValueError):  # whoever types wants no words about it here
        return []
    return [point.id for point in points if point.id.startswith(incomplete)]
