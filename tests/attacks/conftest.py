"""An exchange with a past, a witness, and an operator between its members and its broker."""

import functools
import importlib
import io
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from attack_table import ROWS
from click.testing import CliRunner
from demo import profile_path, write_profiles
from dishonest import Operator, Row, Version
from msgspec.structs import replace
from promises import EXAMPLES
from sandbox import Sandbox, free_port
from small_witness import Witness

from valija import client as clients
from valija.cli import main
from valija.registry.sample import sample_exchange
from valija_schemas.checkpoint import Policy

MX, CO, CA = "mx.enlace", "co.enlace", "ca.liaison"
TYPE = "information-request/1"
REQUEST = str(EXAMPLES / "information-request-1.json")
COMMANDS = ("send", "inbox", "track", "directory", "prove", "monitor")


class Shown(NamedTuple):
    """What a person saw."""

    exit_code: int
    stdout: str
    output: str


class Member:
    """A contact point at its terminal, with a state folder of its own."""

    def __init__(self, world: "World", who: str, state: Path) -> None:
        self.world, self.who, self.state = world, who, state

    def run(self, *command: str, later_ms: int = 0, alone: bool = False) -> "Shown":
        """A command of `valija`; with `later_ms` its clock is ahead.

        Other tests send in its name, so its monitor is told that it shares its keys unless it is `alone`.
        """
        if command[0] == "monitor" and not alone:
            command = (*command, "--shared")
        log = io.StringIO()
        handler = logging.StreamHandler(log)  # what goes to standard error: pytest has the root's handlers
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(logging.getLogger("valija"), "handlers", [handler])
            if later_ms:
                late = functools.partial(clients.Client, clock=lambda: clients.now_ms() + later_ms)
                for name in COMMANDS:
                    patch.setattr(importlib.import_module(f"valija.cli.{name}"), "Client", late)
            environ = {name: "" for name in os.environ if name.startswith("VALIJA")}
            environ["VALIJA_CONFIG"] = str(profile_path(self.world.sandbox, self.who))
            result = CliRunner().invoke(main, [*command, "--set", f"state={self.state}"], env=environ)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return Shown(result.exit_code, result.stdout, result.output + log.getvalue())

    def send(self, *to: str) -> str:
        """Send the sample request; its digest."""
        return self.done("send", REQUEST, "--type", TYPE, "--to", ",".join(to), "--output", "ndjson", digest=True)

    def receive(self) -> str:
        """Receive and acknowledge what there is; the digest of the first."""
        return self.done("inbox", "--output", "ndjson", digest=True)

    def done(self, *command: str, digest: bool = False) -> str:
        result = self.run(*command)
        assert result.exit_code == 0, result.output
        return result.stdout.split('"digest": "')[1][:64] if digest else result.stdout


class World:
    """What all attacks begin with."""

    def __init__(self, sandbox: Sandbox, operator: Operator, witness: Witness) -> None:
        self.sandbox, self.operator, self.witness = sandbox, operator, witness
        self.folder = sandbox.folder / "work"
        self._count = 0

    def member(self, who: str, *, new: bool = False) -> Member:
        """A contact point as it was at the beginning, or with nothing but its keys."""
        self._count += 1
        state = self.folder / f"{who}.{self._count}"
        past = self.sandbox.folder / "agencies" / who / "state"
        if not new:
            shutil.copytree(past, state)
        return Member(self, who, state)

    def path(self) -> Path:
        """For a forged log."""
        self._count += 1
        return self.folder / f"log.{self._count}"

    def logged(self) -> None:
        """Wait until the true log has everything that happened, and the witness has seen it."""
        deadline = time.monotonic() + 30
        versions = len(self.sandbox.exchange.root_raws) + len(self.sandbox.exchange.directory_raws)
        while True:
            entries = self.operator.entries()
            there = {(row.message, row.name) for row in entries if isinstance(row, Row)}
            whole = self.operator.owed <= there and sum(isinstance(row, Version) for row in entries) == versions
            if whole and self.witness.size == len(entries):
                return
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.fixture(scope="session")
def _world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    exchange = sample_exchange(suspended=())
    witness = Witness(Policy.of_root(exchange.origin, exchange.root))
    exchange.next_root(lambda root: replace(root, witnesses=(witness.entry,), quorum=1))
    exchange.next_directory()
    with witness.in_thread():
        more = f'[log]\nwitnesses = ["{witness.url}"]'
        sandbox = Sandbox(tmp_path_factory.mktemp("attacks") / "x", exchange, workers=1, more=more)
        port = free_port()
        names = f'authorities = ["127.0.0.1:{port}"]'
        config = sandbox.config_path.read_text().replace("[listen]\n", f"[listen]\n{names}\n")
        sandbox.config_path.write_text(config)
        write_profiles(sandbox)
        for who in exchange.keyrings:
            path = profile_path(sandbox, who)
            path.write_text(path.read_text().replace(sandbox.url, f"http://127.0.0.1:{port}"))
        sandbox.start()
        try:
            with Operator(sandbox, port).listening() as operator:
                world = World(sandbox, operator, witness)
                world.folder.mkdir()
                _past(world)
                yield world
        finally:
            sandbox.stop()


def _past(world: World) -> None:
    """One message that was sent, received and acknowledged; everybody has looked at the log."""
    members = {who: Member(world, who, world.sandbox.folder / "agencies" / who / "state") for who in (MX, CO, CA)}
    members[MX].send(CO)
    members[CO].receive()
    world.logged()
    for member in members.values():
        member.done("monitor", "--once")


@pytest.fixture
def world(_world: World) -> Iterator[World]:
    _world.logged()  # nothing of the test before comes in between
    yield _world
    _world.operator.be_honest()


@pytest.fixture
def told(request: pytest.FixtureRequest) -> Iterator[Callable[..., None]]:
    """Says that a row of the table is true: its words were shown, with its status."""
    said: list[str] = []

    def check(key: str, found: Shown | str, status: int | None = None) -> None:
        row = ROWS[key]
        text = found if isinstance(found, str) else found.output
        assert all(words in text for words in row.words), (row.words, text)
        assert row.status == (status if isinstance(found, str) else found.exit_code), text
        said.append(key)

    yield check
    assert said, "a test of an attack says what is seen of it"
