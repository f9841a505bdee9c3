"""`valija new`: a form to fill in, or questions on a terminal, and what was typed is kept."""

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from valija.cli import main
from valija.cli.common import INTERRUPTED, SETTINGS, USAGE
from valija.paper import file
from valija.registry.sample import SampleExchange
from valija_schemas import documents

DIGEST = "ab" * 32
AUTHORITY = 'name = "Oficina de ejemplo"\ncountry = "PE"\nfunctions = "Enlace"\nphone = "+12025550141"\n'


@pytest.fixture(autouse=True)
def desk(tmp_path, monkeypatch):
    """A folder of one's own, on a machine with no profile."""
    monkeypatch.setattr("platformdirs.user_config_path", lambda _: tmp_path / "config")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def new(*args: str, **how) -> Result:
    return CliRunner().invoke(main, ["new", *args], **how)


def test_without_a_terminal_an_empty_form_is_written(desk):
    found = new("person-alert")
    assert found.exit_code == 0, found.output
    assert file.read("-", found.stdout.encode(), desk).type_ == "person-alert/1"
    assert new("person-alert", "alert.toml").exit_code == 0
    assert Path("alert.toml").read_text() == found.stdout
    assert Path("alert.toml").stat().st_mode & 0o077 == 0
    assert new("person-alert/1", "alert.json").exit_code == 0
    assert json.loads(Path("alert.json").read_text())["document"] == "person-alert/1"


def test_nothing_is_written_over(desk):
    Path("alert.toml").write_text("mine")
    found = new("person-alert", "alert.toml")
    assert found.exit_code == SETTINGS
    assert Path("alert.toml").read_text() == "mine"


def test_the_form_in_json_names_the_page_that_explains_it():
    found = new("person-alert", "--skeleton", "json")
    assert json.loads(found.stdout)["person"]["kind"] == "person"
    assert "schemas/types/person-alert-1.md" in found.stderr


def test_without_a_type_all_are_listed_with_what_they_are():
    found = new()
    assert found.exit_code == USAGE
    rows = found.stdout.splitlines()
    assert [row.split()[1].rstrip(":") for row in rows] == [type_.name for type_ in documents.types().values()]
    assert all(len(row.split(": ", 1)[1]) > 20 for row in rows)


def test_a_type_that_is_not_there_is_answered_with_the_nearest():
    found = new("firearm-trace")
    assert found.exit_code == USAGE
    assert "did you mean firearms-trace-re" in found.stderr


def test_a_reply_knows_what_it_answers(desk):
    written = file.read("-", new("clarification", "--in-reply-to", DIGEST).stdout.encode(), desk)
    assert written.document["regarding"] == {"message": DIGEST}
    assert written.send.in_reply_to == DIGEST
    written = file.read("-", new("response", "--in-reply-to", DIGEST).stdout.encode(), desk)
    assert written.send.in_reply_to == DIGEST
    assert new("response", "--in-reply-to", "the last one").exit_code == USAGE


def test_what_the_profile_knows_is_filled_in(desk, exchange: SampleExchange):
    settings = {
        "exchange": exchange.origin, "contact_point": "mx.enlace", "broker": "http://127.0.0.1:9",
        "root": exchange.root_digest, "keyring": "unused", "language": "pt", "authority": "us.toml",
    }  # fmt: skip
    config = desk / "config/default.toml"
    config.parent.mkdir()
    config.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items()))
    (config.parent / "us.toml").write_text(AUTHORITY)
    written = file.read("-", new("status-update").stdout.encode(), desk)
    assert written.document["language"] == "pt"
    assert written.document["authority"]["name"] == "Oficina de ejemplo"
    (config.parent / "us.toml").write_text('name = "Oficina"\n')
    found = new("status-update")
    assert found.exit_code == SETTINGS
    assert "us.toml" in found.stderr


def test_continuing_needs_a_terminal(desk):
    Path("a.toml").write_text('document = "withdrawal/1"\n')
    found = new("--continue", "a.toml")
    assert found.exit_code == USAGE
    assert "valija check a.toml" in found.stderr
    assert new("withdrawal", "--continue", "a.toml").exit_code == USAGE


class Screen:
    """`valija` on a terminal of its own, and somebody who types."""

    def __init__(self, desk: Path, *args: str) -> None:
        self.mine, theirs = pty.openpty()
        environ = os.environ | {"XDG_CONFIG_HOME": str(desk / "none"), "TERM": "dumb"}
        command = [Path(sys.executable).parent / "valija", *args]
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=environ, cwd=desk, start_new_session=True
        )
        os.close(theirs)
        self.seen, self._from = "", 0

    def until(self, text: str) -> None:
        """Read until `text` is shown, after what was awaited before."""
        deadline = time.monotonic() + 60
        while text not in self.seen[self._from :]:
            assert time.monotonic() < deadline, self.seen
            try:
                self.seen += os.read(self.mine, 65536).decode(errors="replace")
            except OSError:  # it ended
                assert text in self.seen[self._from :], self.seen
        self._from = self.seen.index(text, self._from) + len(text)

    def types(self, *dialogue: tuple[str, str]) -> None:
        """Type each answer when its question is shown."""
        for question, said in dialogue:
            self.until(question)
            self.until("> ")
            os.write(self.mine, said.encode() + b"\r")

    def ends(self) -> int:
        """Read to the end; the status."""
        with contextlib.suppress(OSError):
            while piece := os.read(self.mine, 65536):
                self.seen += piece.decode(errors="replace")
        os.close(self.mine)
        return self.process.wait(60)


@pytest.fixture
def terminal(desk):
    """Opens terminals, and ends what is left in them."""
    with contextlib.ExitStack() as stack:

        def opens(*args: str) -> Screen:
            screen = Screen(desk, *args)
            stack.callback(screen.process.wait)
            stack.callback(screen.process.kill)
            return screen

        yield opens


def test_a_document_is_written_on_a_terminal_interrupted_and_gone_on_with(desk, terminal):
    screen = terminal("new", "withdrawal", "w.toml")
    screen.types(
        ("Language (required)", "2"),
        ("Authority > Name (required)", "Oficina \x1b[31mroja"),
        ("invisible character", "Oficina de ejemplo"),
        ("Authority > Country (required)", "PE"),
        ("Authority > Functions (required)", "Cooperación judicial"),
    )
    screen.until("Authority > Officer")
    screen.until("> ")
    screen.process.send_signal(signal.SIGINT)
    assert screen.ends() == INTERRUPTED, screen.seen
    assert "valija new --continue w.toml" in screen.seen
    written = file.read("w.toml", (desk / "w.toml").read_bytes(), desk)
    assert (written.draft, written.document["language"]) == ("$.authority.officer", "es")
    assert written.document["authority"]["functions"] == "Cooperación judicial"

    screen = terminal("new", "--continue", "w.toml")
    screen.types(
        ("Authority > Officer", ""),
        ("Authority > Phone", "+12025550141"),
        ("Authority > E-mail", "."),
        ("Reference", ""),
        ("Handling > Use (required)", "1"),
        ("one more, or Enter", ""),
        ("Handling > Text", ""),
        ("Handling > Purpose (required)", "Para terminar la solicitud"),
    )
    os.write(screen.mine, b".\r")
    screen.types(
        ("Handling > Retain until", "31-12-2029"),
        ("year-month-day", "."),
        ("Regarding > ", ""),
        ("Regarding > Reference", "EJEMPLO-17"),
        ("Reason", "El imputado confesó."),
    )
    os.write(screen.mine, b".\r")
    screen.types(("Questions", ""), ("Information", "1"))
    screen.until("Enter ends")
    os.write(screen.mine, b"\r")
    assert screen.ends() == 0, screen.seen
    written = file.read("w.toml", (desk / "w.toml").read_bytes(), desk)
    assert written.draft is None
    document = documents.from_builtins("withdrawal/1", written.document)
    assert document.authority.country == "PE"
    assert document.regarding.reference == "EJEMPLO-17"


def test_a_type_that_there_is_not_is_answered_in_the_readers_language_with_the_nearest(terminal):
    screen = terminal("new", "--language", "es")
    screen.until("¿Cuál?")
    os.write(screen.mine, b"withdrawl\r")
    screen.until("withdrawl: no hay tal tipo de documento")
    screen.until("Parecidos: withdrawal")
    screen.until("¿Cuál?")
    os.write(screen.mine, b"withdrawal\r")
    screen.until("withdrawal.toml")
