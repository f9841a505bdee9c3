"""`valija-broker`: install, run, look, act. Data on standard output, words on standard error, a status for programs.

Each command is a module of its first word (`check-config`: `cli.check_config.command`), imported when it is asked for:
`valija-broker --version` answers at once.

Before this room: a person or a script on the broker's host. After it: `supervisor`, `observe`, `orders`. Rules:
deploy/RUNBOOK.md, section 9.
"""

import sys
from importlib import import_module
from typing import Any, Final

import click

#: What one wants to do or know, and the commands that do or tell, each in a few words.
COMMANDS: Final = {
    "Install and run": {
        "init": "make the broker's keys and folders",
        "check-config": "try the settings",
        "rotate": "make a new key for what the broker signs about mail",
        "serve": "run",
        "migrate": "prepare a separate store, or one that is lost",
        "completion": "print what teaches your shell to complete our commands",
    },
    "See how it stands": {
        "health": "show how each part stands",
        "top": "show what needs attention and the mailboxes, and look again",
        "check": "look at one part, for a monitoring system",
        "doctor": "see whether all is well on this host, and what to do",
    },
    "Find what is stuck": {
        "queues": "show every mailbox: what waits, and how long",
        "dead groups": "show dead letters by cause, and what to do",
        "dead list": "show every dead letter",
    },
    "Look something up": {
        "messages": "show accepted messages, the newest first",
        "messages show": "show one message and what happened to it",
        "contact-points": "show the contact points of the directory",
        "contact-points show": "show one contact point and its mailbox",
        "directory versions": "show the directory's versions and what each changed",
        "log show": "show the newest checkpoint and its witnesses",
    },
    "Report": {
        "report": "show who exchanged how much in a month, and how soon",
    },
    "Keep copies": {
        "backup": "write a copy of everything but the keys, while the broker runs",
        "restore": "make a data folder of a copy",
    },
    "See that all is there": {
        "reconcile": "compare what was accepted with what is there",
        "log fsck": "check the whole log",
    },
    "Ask for help": {
        "gather": "put what helps others to help into one file, without secrets",
    },
    "Order, and see what was ordered": {
        "order submit": "have an order of operators carried out",
        "acts": "show what operators ordered, and why",
        "hold list": "show which contact points operators hold",
        "log retained": "show the legal holds on what is kept",
    },
}


class _Commands(click.Group):
    """Commands that are imported when they are used."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.help = (self.help or "").replace("\\b", "\b")  # click's mark for lines that stay as they are

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the help, each once."""
        del ctx
        return list(dict.fromkeys(name.split()[0] for section in COMMANDS.values() for name in section))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = import_module(f"valija_broker.cli.{cmd_name.replace('-', '_')}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by what one wants, without importing them."""
        del ctx
        width = max(len(name) for section in COMMANDS.values() for name in section)
        for title, section in COMMANDS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), words) for name, words in section.items()])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="valija", message="%(version)s")
def cli() -> None:
    r"""Run a Valija broker: it carries sealed messages between contact points and cannot read them.

    \b
    Exit status:
       0  done                             69  the store cannot be used, or no broker runs
       1  failed, or something is amiss    75  not answered yet: run the same again
       2  wrong use                        78  settings, keys or directory cannot be used
                                          130  interrupted
    """


def main() -> None:
    """The command."""
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except Exception as error:
        from valija_broker.cli.common import explained  # noqa: PLC0415 - not before something failed

        status = explained(error)
        if status is None:
            raise
        sys.exit(status)
