"""A visit to the console: sign in, open the browser, show what is proposed, ask, sign, and sign out.

Everything that others wrote is put on the screen so that it steers nothing. A question is asked between two requests,
never during one: Ctrl-C is heard at once.

Before this room: `cli_console`. After it: `console`. Rules: schemas/SPEC.md sections 5.5 and 5.6.
"""

import asyncio
import contextlib
import os
import sys
import time
import webbrowser
from pathlib import Path
from typing import Final

import click

from valija import durable
from valija.connect import Endpoint
from valija.errors import RefusedError, RegistryError, UnavailableError, ValijaError
from valija.paper.safe import isolated
from valija.registry.cli_common import say, say_what_is_signed
from valija.registry.console import Console, Wanted
from valija_schemas import changes
from valija_schemas.note import Signer
from valija_schemas.printable import printable
from valija_schemas.problem import Code
from valija_schemas.proposal import Proposal

poll_s: Final = 2.0  #: A person waits, having just clicked.
words_max: Final = 500  #: Of what became of an order, in the console's words.


def visit(
    endpoint: Endpoint, origin: str, signer: Signer, *, browser: bool, stay: bool, keep: Path | None = None
) -> None:
    """Sign in, and with `stay` sign what is proposed until the person ends it, or the session has ended.

    What was signed here and is handed in is written into the folder `keep`.

    Raises:
        RefusedError, AnswerInvalidError, UnavailableError: nobody was signed in.
    """
    there = Console(endpoint, origin, signer)
    with asyncio.Runner() as runner:
        runner.run(there.__aenter__())
        try:
            begun = runner.run(there.sign_in())
            who, roles = signer.name.removeprefix(f"{origin}/"), begun.session.roles
            say(f"Signed in as {who} ({', '.join(roles)}), until {changes.when(begun.session.expires)}.")
            if not browser or not _opened(begun.link):
                say("Open this link in a browser. It works once, for a minute:")
                click.echo(begun.link)
            if stay:
                say("Ctrl-C signs out. What is proposed in a browser is shown here, to be signed.")
                _stay(runner, there, _Screen(runner, there, who, "operator" in roles, keep))
        finally:
            runner.run(there.__aexit__(None, None, None))


def _stay(runner: asyncio.Runner, there: Console, screen: "_Screen") -> None:
    try:
        while screen.look():
            time.sleep(poll_s)
        say("", "The session has ended.")
    except (KeyboardInterrupt, click.Abort):  # at a question, too: nothing is signed
        _leave(runner, there)
        say("", "Signed out.")
    except ValijaError:
        _leave(runner, there)
        raise


def _leave(runner: asyncio.Runner, there: Console) -> None:
    # Should this fail, the session ends by itself: it is idle from now on.
    with contextlib.suppress(ValijaError):
        runner.run(there.sign_out())


def _opened(link: str) -> bool:
    """Whether a browser has it. One that would run in this terminal is not opened: questions are asked here."""
    named = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    if sys.platform == "linux" and not any(os.environ.get(name) for name in named):
        return False
    return webbrowser.open(link)


class _Screen:
    """What this terminal has asked and said."""

    def __init__(self, runner: asyncio.Runner, there: Console, who: str, may_sign: bool, keep: Path | None) -> None:
        self._runner = runner
        self._there = there
        self._who = who
        self._may_sign = may_sign
        self._keep = keep
        self._asked: set[str] = set()
        self._signed: dict[str, Wanted] = {}
        self._said: dict[str, str] = {}  # of each that was signed here, last
        self._away = ""

    def look(self) -> bool:
        """Ask about what is new, and say what became of what was signed here. Whether the session goes on."""
        try:
            if not self._may_sign:
                self._runner.run(self._there.check())
                return True
            for proposal in self._runner.run(self._there.proposals()):
                if proposal.id in self._signed:
                    self._say_state(proposal)
                elif proposal.id not in self._asked and proposal.state == "open":
                    self._asked.add(proposal.id)
                    self._ask(proposal)
            self._away = ""
        except (RefusedError, UnavailableError) as error:
            if isinstance(error, RefusedError) and error.problem.code == Code.NOT_SIGNED_IN:
                return False
            if str(error) != self._away:  # once; and it is tried again
                _say_error(error)
            self._away = str(error)
        return True

    def _ask(self, proposal: Proposal) -> None:
        try:
            wanted = self._there.wanted(proposal)
        except RegistryError as error:
            _say_error(error)
            return
        say("", "Proposed:")
        say_what_is_signed(*map(printable, _lines(wanted)), indent="  ")
        _forget_what_was_typed()
        if not click.confirm(f"Sign this as {self._who}?", err=True):
            say("Not signed.")
            return
        try:
            answered = self._runner.run(self._there.sign(wanted))
        except RefusedError as error:
            if error.problem.code == Code.NOT_SIGNED_IN:
                raise
            _say_error(error)
            return
        except UnavailableError as error:
            self._asked.discard(proposal.id)  # whether it came there is not known: it is asked again
            _say_error(error)
            return
        say("Signed.")
        self._signed[wanted.id] = wanted
        if answered.id == wanted.id:
            self._say_state(answered)

    def _say_state(self, proposal: Proposal) -> None:
        missing = proposal.needs - len(proposal.signed)
        words = {
            "open": f"{missing} more must sign",
            "handed-in": "the broker has it",
            "done": f"done: {proposal.words}",
            "refused": f"refused: {proposal.words}",
        }[proposal.state]
        if self._said.get(proposal.id) != words:
            self._said[proposal.id] = words
            say(isolated(printable(f"{proposal.id[:16]}: {words}"[:words_max].replace("\n", " "))))
            self._write(proposal)

    def _write(self, proposal: Proposal) -> None:
        """Keep an order with its signatures, if it is the one that was signed here. The officers verify it."""
        wanted = self._signed[proposal.id]
        if self._keep is None or proposal.note is None or not proposal.note.encode().startswith(wanted.text + b"\n"):
            return
        path = self._keep / f"{wanted.value.action}.{wanted.id[:16]}.note"
        if not path.exists():
            durable.write(path, proposal.note.encode())
            say(f"Wrote {path}.")


def _lines(wanted: Wanted) -> list[str]:
    return [wanted.value.action, *wanted.lines, f"digest: {wanted.id}"]


def _forget_what_was_typed() -> None:
    """What was typed before a text was shown does not answer the question about it."""
    if not sys.stdin.isatty():
        return
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415 - there alone

        while msvcrt.kbhit():
            msvcrt.getwch()
    else:
        import termios  # noqa: PLC0415 - not there

        termios.tcflush(sys.stdin, termios.TCIFLUSH)


def _say_error(error: ValijaError) -> None:
    say(printable(str(error)), printable(f"Next: {error.hint}"))
