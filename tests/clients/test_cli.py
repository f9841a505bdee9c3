"""The command: data on standard output, words on standard error, and a status that programs can read."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from commands import CO, MX, REQUEST, TYPE, World

from valija import age, bundle, keyring
from valija.cli import common, main
from valija.cli.common import FALSE, INVALID, LATER, REFUSED, SETTINGS, UNCHECKED, USAGE
from valija.registry.sample import SampleExchange
from valija_schemas import hold, keys, limits, message, wire
from valija_schemas import note as notes
from valija_schemas.directory import read_request


@pytest.fixture
def world(exchange: SampleExchange, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr("platformdirs.user_config_path", lambda _: tmp_path / "config")
    return World(exchange, tmp_path, monkeypatch)


def test_a_document_is_sent_received_and_tracked(world):
    sent = world.send("--key", "case-1", "--output", "json")
    assert sent.exit_code == 0, sent.output
    (record,) = json.loads(sent.stdout)
    assert (record["state"], record["to"]) == ("accepted", [CO])
    again = world.send("--key", "case-1", "--output", "ndjson")
    assert json.loads(again.stdout)["digest"] == record["digest"]

    folder = world.folder / "received"
    got = world.run("inbox", "--save", str(folder), "--output", "ndjson", as_=CO)
    assert got.exit_code == 0, got.output
    saved = Path(json.loads(got.stdout)["saved"])
    assert json.loads(saved.read_text()) == json.loads(REQUEST.read_text())
    assert saved.name == f"{MX}.{record['id']}.json"
    assert {path.suffix for path in folder.iterdir()} == {".json", ".message", ".acceptance"}
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.iterdir())

    tracked = world.run("track", record["id"], "--output", "json")
    assert tracked.exit_code == 0, tracked.output
    assert [line["event"] for line in json.loads(tracked.stdout)][-1] == "ConsignmentAcceptance"


def test_a_person_who_is_held_reads_by_whom_until_when_why_and_what_to_do(world):
    now = world.broker.clock()
    held = hold.Hold(
        action="hold", contact_point=MX, hold=None, directory=world.exchange.phonebook.reference, time=now,
        until=now + limits.HOUR_MS, reason="a laptop was stolen",
    )  # fmt: skip
    note = notes.sign(hold.text(world.exchange.origin, held), world.exchange.operators)
    world.broker.holds[MX] = note
    world.broker._tell([MX], note)
    sent = world.send()
    assert sent.exit_code == LATER, sent.output
    assert "1 stored and not yet accepted" in sent.stderr
    for args in (("send", "--pending"), ("inbox", "--output", "ndjson")):
        found = world.run(*args)
        assert found.exit_code == LATER, found.output
        assert "operator.a, operator.b held mx.enlace until 20" in found.stderr
        assert "a laptop was stolen" in found.stderr
        assert "Next: Call the operators, by telephone" in found.stderr
    tracked = world.run("track", "--output", "json")
    (line,) = json.loads(tracked.stdout)
    assert (line["event"], line["says"], line["by"]) == ("OperatorHold", "verified", "operators")
    del world.broker.holds[MX]
    assert world.run("send", "--pending").exit_code == 0


def test_a_dry_run_sends_nothing_and_says_what_would_be(world):
    result = world.send("--dry-run", "--priority", "flash", "--exercise")
    assert result.exit_code == 0, result.output
    assert "Nothing was sent" in result.stderr
    for said in (
        "co.enlace\tCO\tlaw-enforcement\tSample contact point, CO, law-enforcement",
        "EXERCISE",
        "Information request (information-request/1)",
        "Legal basis: United Nations Convention against Transnational Organized Crime (UNTOC), 27(1)",
        "Handling: H1: not in judicial proceedings",
        "2026-03-06 23:00:00 UTC",
        ": La audiencia inicial",
        "OVERDUE: the time by which an answer is wanted has passed.",
        "Priority flash; it waits",
    ):
        assert said in result.stdout
    (facts,) = json.loads(world.send("--dry-run", "--output", "json").stdout)
    assert (facts["to"], facts["handling"], facts["priority"]) == ([CO], ["H1", "H2"], "routine")
    assert facts["sealed_bytes"] > facts["bytes"]
    assert world.broker.accepted == {}


def test_an_interrupted_question_ends_as_every_interruption_does():
    @common.reported
    def asked() -> None:
        raise click.Abort

    with pytest.raises(SystemExit) as ended:
        asked()
    assert ended.value.code == common.INTERRUPTED


def test_an_id_is_never_broken_on_a_narrow_screen(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    printer = common.Printer("table", ["id", "sender", "type", "sent"])
    found = "01a20e8b-6893-7b26-b5db-08d0b43af0ec"
    printer.add({"id": found, "sender": MX, "type": "mutual-legal-assistance-request/1", "sent": "2026-11-24 17:12:27"})
    printer.close()
    assert found in capsys.readouterr().out


def test_a_file_says_what_it_is_and_how_it_travels_and_an_option_goes_over_it(world):
    written = json.loads(REQUEST.read_text())
    path = world.folder / "request.json"
    path.write_text(json.dumps({"document": TYPE, "send": {"to": CO, "priority": "urgent", "key": "K"}} | written))
    sent = world.run("send", str(path), "--output", "json")
    assert sent.exit_code == 0, sent.output
    (record,) = json.loads(sent.stdout)
    assert (record["type"], record["to"], record["priority"], record["key"]) == (TYPE, [CO], "urgent", "K")
    other = world.run("send", str(path), "--priority", "flash", "--key", "L", "--output", "json")
    assert [json.loads(other.stdout)[0][name] for name in ("priority", "key")] == ["flash", "L"]


def test_two_types_for_one_document_send_nothing_and_both_are_said(world):
    path = world.folder / "request.json"
    path.write_text(json.dumps({"document": TYPE} | json.loads(REQUEST.read_text())))
    found = world.run("send", str(path), "--type", "response/1", "--to", CO)
    assert found.exit_code == USAGE
    assert f"says document = {TYPE}, and --type says response/1" in found.stderr
    assert world.broker.accepted == {}


def test_a_draft_is_not_sent(world):
    path = world.folder / "request.json"
    path.write_text(json.dumps({"document": TYPE, "draft": "$.questions"} | json.loads(REQUEST.read_text())))
    found = world.run("send", str(path), "--to", CO)
    assert found.exit_code == INVALID
    assert f"valija new --continue {path}" in found.stderr
    assert world.broker.accepted == {}


def test_standard_input_and_toml_are_read(world, tmp_path):
    piped = world.run("send", "-", "--type", TYPE, "--to", CO, "--dry-run", input=REQUEST.read_text())
    assert piped.exit_code == 0, piped.output
    toml = tmp_path / "a.toml"
    toml.write_text('language = "es"\n')
    result = world.run("send", str(toml), "--type", TYPE, "--to", CO)
    assert result.exit_code == INVALID
    assert "authority" in result.stderr


@pytest.mark.parametrize(
    ("args", "status", "text"),
    [
        (["send"], USAGE, "--pending"),
        (["send", str(REQUEST)], USAGE, "--type"),
        (["send", str(REQUEST), "--type", TYPE, "--to", CO, "--expires", "soon"], USAGE, "12h"),
        (["send", str(REQUEST), "--type", "no-such/1", "--to", CO], INVALID, "no such document type"),
        (["send", str(REQUEST), "--type", TYPE, "--to", "xx.nobody"], REFUSED, "valija directory"),
        (["send", "no-such-file", "--type", TYPE, "--to", CO], SETTINGS, "cannot be read"),
        (
            ["send", str(REQUEST), "--type", TYPE, "--to", CO, "--wait", "acknowledged", "--timeout", "0.1"],
            LATER,
            "track",
        ),
        (["track", "0" * 64], UNCHECKED, "state folder"),
        (["inbox"], USAGE, "--save"),
        (["inspect", str(REQUEST)], SETTINGS, "not a message"),
        (["track", "x", "--set", "brokr=x"], SETTINGS, "did you mean `broker`"),
        (["track", "x", "--set", "broker"], USAGE, "NAME=VALUE"),
    ],
)
def test_a_failure_has_its_status_and_ends_with_what_to_do_next(world, args, status, text):
    result = world.run(*args)
    assert result.exit_code == status, result.output
    assert "Next: " in result.stderr
    assert text in result.stderr
    assert result.stdout == ""


def test_a_broker_that_is_away_leaves_the_message_for_later(world):
    assert world.run("directory").exit_code == 0
    world.lines[MX].down = True
    later = world.send("--key", "case-1")
    assert later.exit_code == LATER
    assert "valija send --pending" in later.stderr
    world.lines[MX].down = False
    result = world.run("send", "--pending", "--output", "json")
    assert result.exit_code == 0, result.output
    assert len(world.broker.accepted) == 1


def test_the_directory_is_listed_by_state(world):
    result = world.run("directory", "--state", "mx", "--output", "json")
    (point,) = json.loads(result.stdout)
    assert point["id"] == MX
    assert "verified" in result.stderr
    assert world.run("directory").stdout.splitlines()[0] == "ID\tSTATE\tAREA\tSTATUS\tNAME"


def received(world: World) -> tuple[Path, Path]:
    world.send()
    folder = world.folder / "received"
    assert world.run("inbox", "--save", str(folder), as_=CO).exit_code == 0
    return next(folder.glob("*.message")), next(folder.glob("*.acceptance"))


def test_inspect_tells_what_is_proved_from_what_is_not(world, tmp_path):
    message, acceptance = received(world)
    for path in (message, acceptance):
        good = world.run("inspect", str(path), "--output", "json", as_=CO)
        assert good.exit_code == 0, good.output
        (found,) = json.loads(good.stdout)
        assert {check["result"] for check in found["checks"]} == {"verified"}
        stranger = world.run("inspect", str(path), as_="ca.liaison")
        assert stranger.exit_code == UNCHECKED
    assert json.loads(world.run("inspect", str(message), "--output", "json").stdout)[0]["from"] == MX

    data = message.read_bytes()
    for bad in (data.replace(b'"exercise":false', b'"exercise":true'), data + b"x", data[:-1]):
        assert bad != data
        forged = tmp_path / "forged"
        forged.write_bytes(bad)
        result = world.run("inspect", str(forged), as_=CO)
        assert result.exit_code == FALSE, result.output
        assert "Next: " in result.stderr


def test_split_gives_stock_tools_their_halves(world, exchange, tmp_path):
    message, acceptance = received(world)
    result = world.run("split", str(message), "--into", str(tmp_path / "halves"))
    assert result.exit_code == 0, result.output
    note, body = (tmp_path / "halves" / name for name in ("note", "body.age"))
    assert note.read_bytes() + body.read_bytes() == message.read_bytes()
    assert b'"language":"' in age.decrypt(body.read_bytes(), exchange.keyrings[CO].seal)
    assert world.run("split", str(message), "--into", str(tmp_path / "halves")).exit_code == SETTINGS
    assert world.run("split", str(acceptance)).exit_code == SETTINGS


def test_a_message_is_proved_and_the_proof_verified_by_somebody_with_the_roots_digest_alone(world, tmp_path):
    received(world)
    (sent,) = world.broker.accepted
    file = str(tmp_path / "case.zip")
    made = world.run("prove", sent, "-o", file)
    assert made.exit_code == 0, made.output
    assert made.stdout == f"{file}\n"
    assert Path(file).stat().st_mode & 0o077 == 0
    assert world.run("prove", sent, "-o", file).exit_code == SETTINGS
    assert world.run("prove", sent, "-o", file + "2", "--disclose").exit_code == 0  # its sender may show it too
    assert world.run("prove", sent, "-o", file + "3", "--disclose", as_=CO).exit_code == 0
    assert world.run("prove", "0" * 64, "-o", file + "4").exit_code == UNCHECKED

    auditor = {"VALIJA_CONFIG": str(tmp_path / "none.toml")}
    good = ["verify", file, "--root", keys.blocks(world.exchange.root_digest).upper()]  # as it is read out
    result = CliRunner().invoke(main, good, env=auditor)
    assert result.exit_code == 0, result.output
    assert "PROVED" in result.stderr
    assert world.exchange.root_digest in keys.unblocked(result.stderr)
    assert {line.split("\t")[0] for line in result.stdout.splitlines()} == {"proved", "stated", "silent"}, result.stdout
    report = json.loads(CliRunner().invoke(main, [*good, "--json"], env=auditor).stdout)
    assert (report["result"], report["digest"]) == ("proved", sent)
    assert world.run("verify", file).exit_code == 0  # under the profile's root

    forged = {**bundle.read(Path(file).read_bytes())}
    forged["body.age"] = forged["body.age"][:-1] + b"x"
    Path(file + "5").write_bytes(bundle.write(forged))
    for args, status in (
        (["verify", file, "--root", "0" * 64], FALSE),
        (["verify", file + "5", "--root", world.exchange.root_digest], FALSE),
        (["verify", str(REQUEST), "--root", "0" * 64], UNCHECKED),
        (["verify", "no-such-file", "--root", "0" * 64], UNCHECKED),
        (["verify", file, "--root", "x"], USAGE),
    ):
        result = CliRunner().invoke(main, args, env=auditor)
        assert result.exit_code == status, result.output
        assert "Next: " in result.stderr
        assert "PROVED" not in result.stderr.replace("NOT PROVED", "")


def test_a_reader_of_a_disclosed_file_reads_that_message_and_of_another_file_nothing(world, tmp_path):
    received(world)
    (sent,) = world.broker.accepted
    auditor = {"VALIJA_CONFIG": str(tmp_path / "none.toml")}

    def read(*words: str) -> Any:
        root = ("--root", world.exchange.root_digest)
        return CliRunner().invoke(main, ["verify", *words, *root], env=auditor)

    for who in (MX, CO):
        file, content = str(tmp_path / f"{who}.zip"), tmp_path / f"{who}.json"
        assert world.run("prove", sent, "-o", file, "--disclose", as_=who).exit_code == 0
        result = read(file, "--content", str(content))
        assert result.exit_code == 0, result.output
        assert "it opens the body" in result.stdout
        assert json.loads(content.read_bytes()) == json.loads(REQUEST.read_text())
        assert content.stat().st_mode & 0o077 == 0
        assert read(file, "--content", str(content)).exit_code == SETTINGS  # nothing is written over
    spoilt = tmp_path / "spoilt.zip"
    parts = bundle.read(Path(file).read_bytes())
    spoilt.write_bytes(bundle.write({**parts, "event-01.salt": b"0" * 64 + b"\n"}))
    closed = str(tmp_path / "closed.zip")
    assert world.run("prove", sent, "-o", closed).exit_code == 0
    for other, status, words in ((str(spoilt), FALSE, "FALSE"), (closed, UNCHECKED, "holds no key of its content")):
        result = read(other, "--content", str(tmp_path / "nothing"))
        assert (result.exit_code, words in result.stderr) == (status, True), result.output
        assert "Nothing is written" in result.stderr
        assert not (tmp_path / "nothing").exists()


def test_whoever_has_no_profile_is_asked_for_the_roots_digest(tmp_path):
    environ = {name: "" for name in os.environ if name.startswith("VALIJA")} | {"XDG_CONFIG_HOME": str(tmp_path)}
    result = CliRunner().invoke(main, ["verify", str(REQUEST)], env=environ)
    assert result.exit_code == SETTINGS
    assert "without a profile nothing says what to rest on: there is no " in result.stderr
    assert "the environment does not say all: missing: `exchange`" in result.stderr
    assert "Next: Give --root DIGEST, which you have from a registry officer" in result.stderr


def test_a_proof_that_is_not_whole_yet_says_to_make_it_again(world, tmp_path):
    world.run("directory")  # while the broker can be asked
    world.lines[MX].down = True
    result = world.send("--output", "ndjson")
    id_ = json.loads(result.stdout)["id"]
    result = world.run("prove", id_, "-o", str(tmp_path / "case.zip"))
    assert result.exit_code == UNCHECKED
    assert "no event of this message is shown to be in the log" in result.stderr
    assert "Next: prove it again later, while the broker can be asked." in result.stderr


def test_the_monitor_tells_how_much_it_read_and_ends_at_an_alarm(world):
    received(world)
    world.run("track", next(iter(world.broker.accepted)))
    good = world.run("monitor", "--once")
    assert good.exit_code == 0, good.output
    assert good.stdout == "5 entries read, 3 of ours in their places, 0 alarms\n"
    world.broker.leaves[2] = world.broker.leaves[1]
    world.broker._checkpoints.clear()
    assert world.run("monitor", "--once").exit_code == FALSE


INIT = [
    "init", "--exchange", "exchange.example", "--contact-point", MX, "--broker", "https://broker.example",
    "--root", "0" * 64, "--name", "Oficina de ejemplo", "--area", "judicial",
]  # fmt: skip


def test_init_makes_keys_a_profile_and_a_request_and_shows_no_secret(world, tmp_path):
    result = world.run(*INIT, "--state", "MX", "--folder", str(tmp_path / "keys"), "--profile", "new")
    assert result.exit_code == 0, result.output
    raw = (tmp_path / "keys" / f"{MX}.request").read_bytes()
    request, _ = read_request(raw, "exchange.example")
    assert (request.contact_point, request.area) == (MX, "judicial")
    assert [line.split("\t")[0] for line in result.stdout.splitlines()] == ["sign", "seal", "auth"]
    host = keyring.load_host_key(tmp_path / "keys" / f"{MX}.host-key")
    keys = keyring.load(tmp_path / "keys" / f"{MX}.keyring", host)
    secrets = [line.split('"')[1] for line in keys.to_text().splitlines() if line.startswith("secret")]
    assert all(secret not in result.output for secret in [*secrets, host.to_text()])

    challenge = tmp_path / "challenge"
    challenge.write_bytes(age.encrypt(b"c" * 32, [keys.seal.recipient]))
    environ = {"VALIJA_CONFIG": str(tmp_path / "config" / "new.toml")}
    answer = CliRunner().invoke(main, ["init", "--answer", str(challenge)], env=environ)
    assert answer.stdout == (b"c" * 32).hex() + "\n", answer.output

    again = world.run(*INIT, "--state", "MX", "--folder", str(tmp_path / "keys"), "--profile", "other")
    assert again.exit_code == SETTINGS
    assert "never written over" in again.stderr
    assert (tmp_path / "keys" / f"{MX}.request").read_bytes() == raw


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ([], USAGE),
        (["--state", "MX", "--organisation", "OAS"], USAGE),
        (["--state", "MX", "--root", "00 00"], USAGE),
        (["--state", "Mexico"], SETTINGS),
        (["--state", "MX", "--passphrase-file", "no-such-file"], SETTINGS),
    ],
)
def test_init_with_a_mistake_leaves_nothing_behind(world, tmp_path, more, status):
    result = world.run(*INIT, "--folder", str(tmp_path / "keys"), "--profile", "new", *more)
    assert result.exit_code == status, result.output
    assert list(tmp_path.rglob("*.keyring")) == []
    assert not (tmp_path / "config" / "new.toml").exists()


def test_every_error_has_a_status_and_a_next_step():
    from valija import errors

    for class_ in vars(errors).values():
        if isinstance(class_, type) and issubclass(class_, errors.ValijaError):
            assert class_.__doc__
            assert class_.code
            if class_ is not errors.RefusedError:
                assert class_("x").hint
                assert common.status_of(class_("x")) > 0


def test_what_a_file_says_cannot_move_the_cursor():
    assert common.printable("a\x1b[2Jb\u202ec") == "a\ufffd[2Jb\ufffdc"


def test_what_a_sender_wrote_steers_no_terminal_from_the_log():
    """The words of an error hold what was wrong, in the sender's own spelling: a field that is none, for instance."""
    with pytest.raises(wire.WireError) as caught:
        message.read_header(b'{"\\u001b[2J\\u202eproved\\nALARM":1}')
    assert "\x1b" in str(caught.value)
    record = logging.LogRecord("valija.inbox", logging.ERROR, "", 0, "refused: %s", (caught.value,), None)
    found = common.LogFormatter("%(levelname)s %(message)s").format(record)
    assert not {"\x1b", "\u202e", "\n"} & set(found)
    assert "proved" in found


def test_the_version_is_told_at_once():
    done = subprocess.run([sys.executable, "-m", "valija", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.count(".") == 2
    slow = "('aiohttp', 'cryptography', 'msgspec', 'rich')"
    code = f"import sys, valija.cli; print([name for name in sys.modules if name.startswith({slow})])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_shows_examples_as_they_are_typed():
    for command in ("init", "send", "inbox"):
        lines = CliRunner().invoke(main, [command, "--help"]).output.splitlines()
        assert any(line.startswith(f"  valija {command}") for line in lines)
        assert not any("\\b" in line for line in lines)


def test_a_note_alone_is_inspected_without_its_body(world, tmp_path):
    message, _ = received(world)
    path = tmp_path / "note"
    path.write_bytes(notes.split(message.read_bytes())[0].raw)
    result = world.run("inspect", str(path), as_=CO)
    assert result.exit_code == UNCHECKED
    assert "the file holds the note alone" in result.stdout


def test_a_passphrase_is_asked_for_on_a_terminal_or_not_at_all(tmp_path):
    program = Path(sys.executable).with_name("valija-registry")
    command = [program, "officer", "a", "--organisation", "a", "--origin", "exchange.example", "--out", "a.age"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        input="secret\nsecret\n",
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,
    )
    assert done.returncode == 1, done.stderr
    assert "--passphrase-file" in done.stderr
    assert list(tmp_path.iterdir()) == []
