"""`valija completion`: what teaches a shell to complete our commands, options and profiles."""

from typing import Final

import click
from click.shell_completion import get_completion_class

from valija.cli import common

_SHELLS: Final = ("bash", "zsh", "fish", "powershell")
_VARIABLE: Final = "_VALIJA_COMPLETE"  # By which the script that is printed asks us; made of the program's name.


@click.command("completion", cls=common.Command)
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    r"""Print the script of SHELL. Load it where your shell starts.

    \b
    eval "$(valija completion bash)"                                      in ~/.bashrc
    eval "$(valija completion zsh)"                                       in ~/.zshrc
    valija completion fish > ~/.config/fish/completions/valija.fish
    valija completion powershell | Out-String | Invoke-Expression         in $PROFILE
    """
    class_ = get_completion_class(shell)
    assert class_ is not None  # noqa: S101 - each of _SHELLS has one
    click.echo(class_(ctx.find_root().command, {}, "valija", _VARIABLE).source())
