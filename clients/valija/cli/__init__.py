"""`valija`: an agency's command. Data on standard output, words on standard error, a status that programs can read.

Each command is a module that is imported when it is asked for, so that `valija --version` answers at once.

Before this room: a person or a script. After it: `valija.client`. Rules: clients/README.md.
"""

import io
import sys
from importlib import import_module
from typing import Any, Final

import click

_COMMANDS: Final = {
    "init": ("valija.cli.init", "Make the keys and the profile of a contact point, and its request to the officers."),
    "doctor": ("valija.cli.doctor", "Look at keys, clock, TLS, directory, log and mailbox; say what is wrong."),
    "profile": ("valija.cli.profile", "Contact points and exchanges on this machine: list, show, use, new."),
    "keys": ("valija.cli.keys", "Show, back up, restore and rotate the keys of a contact point."),
    "new": ("valija.cli.new", "Write a document: by questions and answers, or an empty form to fill in."),
    "check": ("valija.cli.check", "What is wrong with a document in a file, all at once; without a network."),
    "send": ("valija.cli.send", "Send a document, sealed for each recipient."),
    "inbox": ("valija.cli.inbox", "Receive: verify, open, save, acknowledge."),
    "show": ("valija.cli.show", "A document as it is read, verified again; in four languages, or for a browser."),
    "reply": ("valija.cli.reply", "Answer a message, or follow up one that was sent, in its thread."),
    "forward": ("valija.cli.forward", "Pass a received document on, so far as its sender lets you."),
    "case": ("valija.cli.case", "Which cases there are, who owes whom an answer, and what was said."),
    "track": ("valija.cli.track", "What happened to a message, who says so, and what is proved."),
    "directory": ("valija.cli.directory", "The contact points, from the newest verified directory."),
    "bilateral": ("valija.cli.bilateral", "Schemas of types that we agreed on with one other contact point."),
    "prove": ("valija.cli.prove", "Write the evidence of one message into one file."),
    "verify": ("valija.cli.verify", "What a file of evidence proves, offline: by whom, when, on which root."),
    "monitor": ("valija.cli.monitor", "Read the whole log again, and find our own entries in it."),
    "canary": ("valija.cli.canary", "Send ourselves an exercise each minute, for whoever watches the exchange."),
    "inspect": ("valija.cli.inspect", "What a message or a note says and what of it verifies, without opening it."),
    "split": ("valija.cli.split", "Cut a message into `note` and `body.age`, for stock tools."),
    "exercise": ("valija.cli.exercise", "Play a scenario on this machine, for those who train."),
    "completion": ("valija.cli.completion", "Print what teaches your shell to complete our commands."),
}


class _Commands(click.Group):
    """Commands that are imported when they are used."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.help = (self.help or "").replace("\\b", "\b")  # click's mark for lines that stay as they are

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which an agency meets them."""
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = import_module(_COMMANDS[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, words) for name, (_, words) in _COMMANDS.items()])


def _version(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    del parameter
    if value and not ctx.resilient_parsing:
        from importlib.metadata import version  # noqa: PLC0415 - slow, and only needed here

        click.echo(version("valija"))
        ctx.exit()


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version.")
def main() -> None:
    r"""Exchange sealed, signed case information with other contact points.

    \b
    Exit status:
       0  done                             20  refused: by the broker, a recipient, the directory
       1  failed for another reason        21  the document is not valid
       2  wrong use                        69  the broker cannot be reached
      10  proved false                     75  not yet: try again later
      11  could not be checked             78  settings or keys cannot be used
                                          130  interrupted
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name in letters that this terminal, or a file in an old encoding, lacks is spelled out and ends no command.
        sys.stdout.reconfigure(errors="backslashreplace")
