"""`valija show`: what a person sees of a message or a file, and what of it is vouched for."""

import importlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result
from commands import environment
from msgspec.structs import replace

from valija import seal
from valija.cli import main
from valija.cli.common import FALSE, INVALID, SETTINGS, UNCHECKED, USAGE
from valija.client import Client
from valija.config import Config
from valija.registry.sample import SampleExchange, sample_exchange
from valija.testing import MemoryBroker
from valija_schemas import limits, message

EXAMPLES = Path(__file__).parents[2] / "schemas/examples"
REQUEST = EXAMPLES / "information-request-1.json"
MX, CO, CA = "mx.enlace", "co.enlace", "ca.liaison"
ID = "01939000-0000-7000-8000-000000000000"


class World:
    """Commands run in this process against a broker in memory."""

    def __init__(self, exchange: SampleExchange, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.exchange, self.folder = exchange, folder
        self.broker = MemoryBroker(exchange)
        lines = {id_: self.broker.line(id_) for id_ in (MX, CO, CA)}

        def client(config: Any) -> Client:
            return Client(config, keys=exchange.keyrings[config.contact_point], line=lines[config.contact_point])

        for name in ("send", "inbox", "directory"):
            monkeypatch.setattr(importlib.import_module(f"valija.cli.{name}"), "Client", client)
        monkeypatch.setattr(Config, "open_keys", lambda config: exchange.keyrings[config.contact_point])

    def run(self, *args: Any, as_: str = MX, **how: Any) -> Result:
        environ = environment(self.exchange, as_, self.folder) | {"LC_ALL": "C", "TZ": "UTC"}
        return CliRunner().invoke(main, [str(arg) for arg in args], env=environ, **how)

    def sent(self, *args: str) -> str:
        result = self.run("send", REQUEST, "--type", "information-request/1", "--to", CO, "--output", "json", *args)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)[0]["id"]

    def received(self) -> Path:
        folder = self.folder / "received"
        result = self.run("inbox", "--save", folder, as_=CO)
        assert result.exit_code == 0, result.output
        assert "Read it: valija show " in result.stderr
        return folder

    def written(self, document: bytes, **changes: Any) -> Path:
        """A message to CO with whatever `document`, as a file."""
        header = message.Header(**{
            "id": ID, "sender": MX, "to": {CO: self.exchange.keyrings[CO].seal.recipient.key_id},
            "type": "information-request/1", "thread": ID, "in_reply_to": None, "sent": self.exchange.now_ms,
            "expires": self.exchange.now_ms + limits.DAY_MS, "priority": "routine", "exercise": False,
            "directory": self.exchange.phonebook.reference, "log": message.EMPTY_LOG, "body": None, "body_length": 0,
            "attachments": (),
        } | changes)  # fmt: skip
        keyring = self.exchange.keyrings
        raw = seal.write(header, document, [keyring[CO].seal.recipient], self.exchange.origin, keyring[MX].sign)
        path = self.folder / "made.message"
        path.write_bytes(raw)
        assert self.run("directory", as_=CO).exit_code == 0
        return path


@pytest.fixture
def world(exchange: SampleExchange, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr("platformdirs.user_config_path", lambda _: tmp_path / "config")
    return World(exchange, tmp_path, monkeypatch)


def test_both_sides_and_the_saved_file_show_the_same_document_and_who_signed_it(world):
    id_ = world.sent("--priority", "urgent")
    folder = world.received()
    ours, theirs = world.run("show", id_), world.run("show", id_, as_=CO)
    saved = world.run("show", folder / f"{MX}.{id_}.message", as_=CO)
    for shown in (ours, theirs, saved):
        assert shown.exit_code == 0, shown.output
        assert "Verified: signed by mx.enlace" in shown.stdout
        assert "H2: not passed on without the sender's consent" in shown.stdout
        assert "Operación Espécimen" in shown.stdout
        assert "Accepted by the broker" in shown.stdout
        assert "mx.enlace: " in shown.stdout
        assert "Mexico (MX), Law enforcement" in " ".join(shown.stdout.split())
    assert ours.stdout.split("\nDocument\n")[1] == theirs.stdout.split("\nDocument\n")[1]
    assert "received and acknowledged" in saved.stdout


def test_a_program_gets_the_document_and_what_is_known_of_it(world):
    id_ = world.sent()
    (record,) = json.loads(world.run("show", id_, "--output", "json").stdout)
    assert record["document"] == json.loads(REQUEST.read_text())
    assert (record["standing"], record["valid"], record["message"]["sender"]["id"]) == ("verified", True, MX)


def test_an_altered_message_is_shown_as_proved_false(world):
    id_ = world.sent()
    path = world.received() / f"{MX}.{id_}.message"
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b'"priority":"routine"', b'"priority":"flash"', 1))
    shown = world.run("show", path, as_=CO)
    assert shown.exit_code == FALSE, shown.output
    assert "NOT VERIFIED: do not rely on it" in shown.stdout
    assert "Verified: " not in shown.stdout
    assert "no confíe en él" in world.run("show", path, "--language", "es", as_=CO).stderr  # what to do next, as well


def test_whoever_is_no_recipient_sees_the_envelope_alone(world):
    id_ = world.sent()
    path = world.received() / f"{MX}.{id_}.message"
    assert world.run("directory", as_=CA).exit_code == 0
    shown = world.run("show", path, as_=CA)
    assert shown.exit_code == UNCHECKED, shown.output
    assert "Its content cannot be shown" in shown.stdout
    assert "Espécimen" not in shown.stdout


def test_what_is_of_no_known_type_is_shown_as_plain_fields_and_not_as_trustworthy(world):
    path = world.written(b'{"secret_plan":"x","list":[{"name":"a"},2]}', type="future-thing/7")
    shown = world.run("show", path, as_=CO)
    assert shown.exit_code == INVALID, shown.output
    assert "It is no valid document: do not rely on it" in shown.stdout
    assert "future-thing/7: no such document type" in shown.stdout
    assert "secret_plan" in shown.stdout


def test_what_is_not_valid_says_every_fault_in_the_language_of_the_reader(world):
    broken = json.loads(REQUEST.read_text())
    broken["subjects"][1]["entity"]["imo"] = "1234568"
    path = world.written(msgspec.json.encode(broken))
    shown = world.run("show", path, "--language", "es", as_=CO)
    assert shown.exit_code == INVALID, shown.output
    assert "$.subjects[1].entity.imo: " in shown.stdout
    assert "The check digit" not in shown.stdout
    assert "1234568" in shown.stdout
    (record,) = json.loads(world.run("show", path, "--output", "json", as_=CO).stdout)
    assert (record["valid"], [each["rule"] for each in record["problems"]]) == (False, ["imo-check-digit"])


def test_an_exercise_is_marked_on_every_line_and_in_the_page(world):
    id_ = world.sent("--exercise")
    page = world.folder / "page.html"
    shown = world.run("show", id_)
    assert all(line.startswith("EXERCISE |") for line in shown.stdout.splitlines())
    assert "nothing in this message is real" in shown.stdout
    assert world.run("show", id_, "--html", page).exit_code == 0
    assert page.read_text().count("EXERCISE · Handling: H1, H2") == 3  # the title, the head, the foot


def test_a_file_that_nobody_signed_says_so_and_needs_no_profile(world, tmp_path):
    draft = tmp_path / "draft.json"
    draft.write_text(json.dumps({"document": "information-request/1"} | json.loads(REQUEST.read_text())))
    shown = CliRunner().invoke(main, ["show", str(draft)], env={"LC_ALL": "pt_BR.UTF-8", "VALIJA_CONFIG": ""})
    assert shown.exit_code == 0, shown.output
    assert "México (MX)" in shown.stdout
    english = CliRunner().invoke(main, ["show", str(draft), "--language", "en"])
    assert "nothing proves who wrote it" in english.stdout


def test_a_saved_document_without_its_type_leads_to_the_message_beside_it(world):
    id_ = world.sent()
    document = world.received() / f"{MX}.{id_}.json"
    shown = world.run("show", document, as_=CO)
    assert shown.exit_code == USAGE
    assert f"Show {document.with_suffix('.message')}" in shown.stderr
    assert world.run("show", document, "--type", "information-request/1", as_=CO).exit_code == 0


def test_files_are_saved_for_their_owner_alone_and_nothing_is_written_over(world):
    alert = EXAMPLES / "person-alert-1.json"
    folder = world.folder / "papers"
    saved = world.run("show", alert, "--type", "person-alert/1", "--save-files", folder)
    assert saved.exit_code == 0, saved.output
    (path,) = folder.iterdir()
    assert path.name == "01-specimen.png"
    assert (path.stat().st_mode & 0o777, folder.stat().st_mode & 0o777) == (0o600, 0o700)
    again = world.run("show", alert, "--type", "person-alert/1", "--save-files", folder)
    assert again.exit_code == SETTINGS
    assert "is there already" in again.stderr
    page = world.folder / "page.html"
    assert world.run("show", alert, "--type", "person-alert/1", "--html", page).exit_code == 0
    assert page.stat().st_mode & 0o777 == 0o600


def test_what_is_neither_a_message_nor_a_document_leads_on(world):
    id_ = world.sent()
    folder = world.received()
    for what, status, said in (
        (ID, UNCHECKED, "was sent or received here"),
        ("nothere.json", UNCHECKED, "is no file, and no id or digest of a message"),
        ("x" * 5_000, UNCHECKED, "is no file, and no id or digest of a message"),
        (folder, UNCHECKED, "is no file, and no id or digest of a message"),
        (folder / f"{MX}.{id_}.acceptance", SETTINGS, "See `valija inspect "),
    ):
        shown = world.run("show", what, as_=CO)
        assert shown.exit_code == status, shown.output
        assert said in shown.stderr


def test_what_was_received_before_its_key_was_revoked_is_not_called_verified_and_leads_to_the_proof(
    tmp_path, monkeypatch
):
    world = World(sample_exchange(), tmp_path, monkeypatch)
    id_ = world.sent()
    world.received()
    assert "Verified: signed by mx.enlace" in world.run("show", id_, as_=CO).stdout

    def revoke(directory):
        points = [
            replace(p, sign=tuple(replace(key, status="revoked", ended=world.exchange.now_ms + 1) for key in p.sign))
            if p.id == MX else p
            for p in directory.contact_points
        ]  # fmt: skip
        return replace(directory, contact_points=tuple(points))

    world.exchange.next_directory(revoke)
    world.broker.learn()
    assert world.run("directory", as_=CO).exit_code == 0
    shown = world.run("show", id_, as_=CO)
    page = " ".join(shown.stdout.split())
    assert shown.exit_code == UNCHECKED, shown.output
    assert "it verified under directory version 1, and since then the sign key of mx.enlace is revoked" in page
    assert "Verified: " not in page
    assert "Operación Espécimen" in page
    assert "`valija prove" in shown.stderr


def test_a_message_under_a_directory_that_is_not_held_is_not_decided(world):
    document = REQUEST.read_bytes().rstrip()
    shown = world.run("show", world.written(document, directory=(9, "ab" * 32)), as_=CO)
    assert shown.exit_code == UNCHECKED, shown.output
    assert "it names directory version 9, which is not held here" in " ".join(shown.stdout.split())
    other = world.run("show", world.written(document, directory=(1, "ab" * 32)), as_=CO)
    assert other.exit_code == FALSE, other.output
    assert "it names another directory version 1" in " ".join(other.stdout.split())


def test_a_message_that_has_expired_can_be_read(world):
    day = limits.DAY_MS
    old = world.exchange.now_ms - 40 * day
    shown = world.run("show", world.written(REQUEST.read_bytes().rstrip(), sent=old, expires=old + day), as_=CO)
    assert shown.exit_code == 0, shown.output
    assert "Verified: signed by mx.enlace" in shown.stdout


def test_an_acceptance_that_is_of_another_message_is_said_to_prove_nothing(world):
    first, second = world.sent(), world.sent()
    folder = world.received()
    path = folder / f"{MX}.{first}.message"
    path.with_suffix(".acceptance").write_bytes((folder / f"{MX}.{second}.acceptance").read_bytes())
    shown = world.run("show", path, as_=CO)
    assert shown.exit_code == 0, shown.output
    page = " ".join(shown.stdout.split())
    assert "The broker's word that it accepted this proves nothing (the acceptance speaks of another message)." in page


def test_what_was_sent_by_a_program_that_did_not_keep_its_key_shows_its_envelope(world):
    id_ = world.sent()
    with sqlite3.connect(world.folder / MX / "outbox.sqlite") as db:
        db.execute("UPDATE valija_messages SET file_key = NULL, file_key_id = NULL")
    db.close()
    shown = world.run("show", id_)
    assert shown.exit_code == UNCHECKED, shown.output
    assert "Its content cannot be shown" in shown.stdout
    assert "co.enlace: " in shown.stdout


def test_a_request_is_overdue_until_it_was_answered(world):
    id_ = world.sent()
    world.received()
    (record,) = json.loads(world.run("show", id_, "--output", "json", as_=CO).stdout)
    digest = record["message"]["digest"]
    assert "OVERDUE" in world.run("show", id_, as_=CO).stdout
    for name, overdue in (("status-update", True), ("response", False)):
        how = ("--type", f"{name}/1", "--to", MX, "--in-reply-to", digest)
        assert world.run("send", EXAMPLES / f"{name}-1.json", *how, as_=CO).exit_code == 0
        shown = world.run("show", id_, as_=CO)
        assert ("OVERDUE" in shown.stdout) is overdue, name
        assert "Replies" in shown.stdout
    assert world.run("inbox", "--save", world.folder / "answers").exit_code == 0
    shown = world.run("show", id_)
    assert shown.stdout.count("co.enlace, 20") == 2
    assert "has passed" not in shown.stdout


def test_a_terminal_without_the_letters_of_a_name_shows_them_spelled_out():
    alert = str(EXAMPLES / "person-alert-1.json")
    shown = CliRunner(charset="latin-1").invoke(main, ["show", alert, "--type", "person-alert/1"])
    assert shown.exit_code == 0, shown.output
    assert "\\u041e\\u0431" in shown.stdout
