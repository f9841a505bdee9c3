"""A support bundle helps, and gives nothing away; the doctor names what is wrong, and what to do."""

import asyncio
import base64
import io
import json
import sqlite3
import tarfile
import time
from pathlib import Path

import msgspec
import pytest
from canary import in_files, private_keys, spellings, use
from click.testing import CliRunner
from hypothesis import assume, example, given
from hypothesis import strategies as st
from private_tls import Authority
from sandbox import Sandbox
from small_witness import Witness

from valija.registry.sample import sample_exchange
from valija_broker import config, doctor, gather
from valija_broker.cli import cli
from valija_broker.errors import GatherError
from valija_broker.findings import Report
from valija_broker.keys import Keys
from valija_broker.log.opening import policy_of

CANARY = "canary-4f1d-documents-must-not-leave"


def secrets_of(sandbox, peers):
    """Everything on this host and in this mail that nobody else may have."""
    needles = {"document": CANARY.encode()}
    for peer in peers:
        needles |= private_keys(peer)
    for path in [*(sandbox.data / "valkey").glob("*.password"), sandbox.data / "keys.toml"]:
        for line in path.read_text().splitlines():
            secret = line.split('"')[1] if '"' in line else line
            if len(secret) > 30:
                needles |= spellings(f"{path.name} {line[:12]}", bytes.fromhex(secret))
                needles[f"{path.name} {line[:12]}, text"] = secret.encode()
    with sqlite3.connect(f"file:{sandbox.data / 'evidence.sqlite'}?mode=ro", uri=True) as db:
        newest = db.execute(
            "SELECT seq, salt, message FROM events WHERE message IS NOT NULL ORDER BY seq DESC LIMIT 50"
        )
        for seq, salt, digest in newest:
            needles |= spellings(f"salt {seq}", salt) | {f"digest {digest[:8]}": digest.encode()}
    return needles


async def test_nothing_secret_is_in_a_support_bundle_and_what_helps_is(sandbox, fresh, tmp_path):
    sender, taker = fresh(), fresh()
    await use(sender, taker, CANARY)
    await sender.accepted(sender.message(taker))
    (lent,) = await taker.lease()
    needles = secrets_of(sandbox, (sender, taker)) | {"token": lent.token.encode()}
    await taker.done(lent)
    seed = (sandbox.data / "keys.toml").read_text().split('"')[1]
    log = tmp_path / "broker.log"
    said = [f"lent {needles['token'].decode()}", f"seed {seed}", json.dumps({"event": "last one", "level": "info"})]
    log.write_bytes(sandbox.log_path.read_bytes()[:20_000] + b"\n" + "\n".join(said).encode())
    target = tmp_path / "bundle.tar.gz"
    line = ["gather", str(target), "--log", str(log), "--config", str(sandbox.config_path)]
    done = await asyncio.to_thread(CliRunner().invoke, cli, line)
    assert done.exit_code == 0, done.output
    assert target.stat().st_mode & 0o777 == 0o600
    with tarfile.open(target) as archive:
        archive.extractall(tmp_path / "out", filter="data")
    found = in_files(tmp_path / "out", needles)
    assert {name for names in found.values() for name in names} == set()

    def part(name):
        return json.loads((tmp_path / "out" / gather.FOLDER / name).read_text())

    assert part("errors.json") == {}
    assert {check["name"] for check in part("health.json")["checks"]} >= {"broker", "log", "storage"}
    assert {row["id"] for row in part("depths.json")} >= {sender.id, taker.id}
    assert sum(row["count"] for row in part("dead.json")) >= 1
    assert part("log.json")["checkpoint"]["size"] >= 2
    assert part("about.json")["packages"]["valija"]
    assert part("store.json")["aof_enabled"] == "1"
    assert {row["check"] for row in part("doctor.json")} >= {"keys", "store settings", "store rights"}
    assert {row["name"]: row["mode"] for row in part("files.json")["files"]}["keys.toml"] == "-rw-------"
    text = (tmp_path / "out" / gather.FOLDER / "logs" / "broker.log").read_text()
    assert text.endswith('{"event": "last one", "level": "info"}')
    assert "worker_ready" in text
    assert (tmp_path / "out" / gather.FOLDER / "logs" / "valkey.log").exists()
    with pytest.raises(GatherError, match="is there already"):
        gather.gather(config.load(sandbox.config_path), sandbox.config_path, target)


def test_a_setting_is_shown_with_where_it_comes_from_and_without_a_password(tmp_path):
    path = tmp_path / "broker.toml"
    path.write_text(
        'data = "/nowhere"\n[exchange]\norigin = "x.example"\n[listen]\ncertificate_key = "/k/tls.key"\n'
        '[store]\nurl = "redis://h:1?password=hunter2"\npassword_file = "hunter2"\n'
        '[log]\nwitnesses = ["https://me:hunter2@w.example/add?key=hunter2"]\n'
    )
    environ = {"VALIJA_BROKER_LISTEN__PORT": "9"}
    shown = gather.shown(config.load(path, environ), path, environ)
    assert "hunter2" not in json.dumps(shown)
    assert "tls.key" not in json.dumps(shown)
    assert shown["listen.port"] == {"value": 9, "origin": "environment"}
    assert shown["exchange.origin"] == {"value": "x.example", "origin": "file"}
    assert shown["workers"] == {"value": 2, "origin": "default"}
    assert shown["store.password_file"]["value"] == "***"
    assert shown["log.witnesses"]["value"] == ["https://***w.example/add***"]


def test_no_part_of_a_bundle_tells_what_a_url_of_the_settings_holds_or_steers_a_terminal(tmp_path):
    """The doctor names witnesses and store by their URLs, and so do errors and the log."""
    path, target, url = (
        tmp_path / "broker.toml",
        tmp_path / "bundle.tar.gz",
        "https://me:hunter2@127.0.0.1:1/add/0123456789abcdef0123456789?key=hunter2",
    )
    path.write_text(
        f'data = "{tmp_path}"\n[exchange]\norigin = "x.example"\nroot_digest = "{"0" * 64}"\n'
        '[metrics]\nport = 1\n[store]\nurl = "redis://127.0.0.1:1?password=hunter2"\n'
        f'[log]\nwitnesses = ["{url}"]\n'
    )
    log = f'{{"event": "witness_skipped", "url": "{url}"}}\n\x1b]0;x\x07\x9b2J\u202e'.encode()
    gather.gather(config.load(path), path, target, log)
    with tarfile.open(target) as archive:
        parts = {entry.name: archive.extractfile(entry).read().decode() for entry in archive}
    assert "127.0.0.1:1/add" in parts[f"{gather.FOLDER}/doctor.json"]
    assert [name for name, text in parts.items() if "hunter2" in text] == []
    assert "witness_skipped" in parts[f"{gather.FOLDER}/logs/broker.log"]
    assert all(c == "\n" or c.isprintable() for text in parts.values() for c in text)


@given(st.one_of(st.binary(min_size=16).map(base64.urlsafe_b64encode), st.binary(min_size=16).map(bytes.hex)))
@example("a" * 1_990 + "12")
def test_what_looks_like_a_token_is_hidden_in_a_line_of_a_log(token):
    text = token.decode() if isinstance(token, bytes) else token
    assume(sum(map(str.isdigit, text)) > 3)  # as good as always, where it is random
    assert gather._hidden(f'{{"error": "no {text}, gone"}}') == '{"error": "no ***, gone"}'


def test_what_a_log_means_is_left_in_its_lines():
    for line in (
        '{"event": "SubmissionAcceptance", "level": "info", "timestamp": "2026-11-24T20:40:39.123456Z", "pid": 4242}',
        '{"event": "a stored message was altered and is not handed out", "label": "store_unavailable"}',
        "42:M 24 Nov 2026 20:40:39.123 * Background append only file rewriting terminated with success",
        'File "/opt/valija/lib/python3.11/site-packages/valija_broker/upkeep.py", line 12, in follow',
    ):
        assert gather._hidden(line) == line


def test_a_bundle_is_made_where_nothing_runs_and_nothing_can_be_read(tmp_path):
    (tmp_path / "broker.toml").write_text(f'data = "{tmp_path}/none"\n[exchange]\norigin = "x.example"\n')
    line = ["gather", str(tmp_path / "b.tar.gz"), "--config", str(tmp_path / "broker.toml")]
    done = CliRunner().invoke(cli, line)
    assert done.exit_code == 0, done.output
    with tarfile.open(tmp_path / "b.tar.gz") as archive:
        raw = archive.extractfile(f"{gather.FOLDER}/errors.json")
        assert {"files", "store", "broker"} <= json.loads(raw.read()).keys()


def examined(path: Path):
    done = CliRunner().invoke(cli, ["doctor", "--output", "json", "--config", str(path)])
    found = {}
    for row in json.loads(done.stdout):
        if found.get(row["check"], {}).get("verdict") != "wrong":
            found[row["check"]] = row
    assert done.exit_code == any(row["verdict"] == "wrong" for row in found.values()), done.output
    return found


def test_the_doctor_finds_a_broker_well_and_a_machine_on_which_it_could_start(sandbox):
    for _ in range(100):  # the first checkpoint is published some moments after the broker is ready
        found = examined(sandbox.config_path)
        if found["log"]["verdict"] == "ok":
            break
        time.sleep(0.2)
    assert {name for name, row in found.items() if row["verdict"] == "wrong"} == set(), found
    assert {name for name, row in found.items() if row["verdict"] == "ok"} >= {
        "settings", "files", "directory", "keys", "evidence", "log", "disk", "broker", "port", "port metrics", "store",
        "store age", "directory in force", "store rights", "store settings",
    }  # fmt: skip


@pytest.fixture(scope="module")
def still(tmp_path_factory):
    """An exchange that was set up and never started."""
    return Sandbox(tmp_path_factory.mktemp("still") / "x", sample_exchange(suspended=()), workers=1)


def test_the_doctor_names_what_is_wrong_and_what_to_do(still, tmp_path):
    assert {row["verdict"] for row in examined(still.config_path).values()} <= {"ok", "not checked", "warning"}
    keys = still.data / "keys.toml"
    good, settings = keys.read_bytes(), still.config_path.read_text()

    keys.chmod(0o644)
    found = examined(still.config_path)
    assert (found["files"]["verdict"], found["files"]["hint"]) == ("wrong", f"Run: chmod 600 {keys}")
    keys.unlink()
    assert examined(still.config_path)["keys"]["verdict"] == "wrong"
    Keys.generate().save(keys)
    found = examined(still.config_path)["keys"]
    assert (found["verdict"], "root 1 names other keys" in found["detail"]) == ("wrong", True)
    keys.write_bytes(good)
    ours = Keys.load(keys)
    assert examined(still.config_path)["keys"]["verdict"] == "ok"
    report = Report()
    root = still.exchange.roots.newest
    doctor._keys_of_root(ours, msgspec.structs.replace(root, broker=ours.rotated().public), report)
    assert [(found.verdict, "newer key" in found.detail) for found in report.findings] == [("warning", True)]
    ours.rotated().save(still.data / "new.toml")
    (still.data / "new.toml").replace(keys)
    assert "names other keys for: evidence" in examined(still.config_path)["keys"]["detail"]
    keys.write_bytes(good)

    note = still.data / "directory" / "directory.1.note"
    raw = note.read_bytes()
    note.write_bytes(raw[:300] + bytes([raw[300] ^ 1]) + raw[301:])
    found = examined(still.config_path)["directory"]
    assert (found["verdict"], "directory.1.note" in found["detail"]) == ("wrong", True)
    note.write_bytes(raw)

    (still.data / "log").mkdir()
    (still.data / "log" / "checkpoint").write_text("other.example/log\n1\nAAAA\n\n")
    assert examined(still.config_path)["log"]["verdict"] == "wrong"
    (still.data / "log" / "checkpoint").unlink()

    (still.data / "evidence.sqlite").write_bytes(bytes(5_000))
    assert examined(still.config_path)["evidence"]["verdict"] == "wrong"
    (still.data / "evidence.sqlite").unlink()

    still.config_path.write_text(settings.replace("[exchange]", '[store]\nurl = "redis://127.0.0.1:1"\n[exchange]'))
    assert examined(still.config_path)["store"]["verdict"] == "wrong"
    still.config_path.write_text(settings)


def test_the_doctor_knows_a_port_that_another_program_holds(still, sandbox):
    settings = still.config_path.read_text()
    still.config_path.write_text(settings.replace(f"port = {still.port}", f"port = {sandbox.port}"))
    found = examined(still.config_path)
    still.config_path.write_text(settings)
    assert (found["port"]["verdict"], "cannot be had" in found["port"]["detail"]) == ("wrong", True)


def test_the_doctor_says_when_a_certificate_ends_and_whether_its_key_belongs_to_it(still, tmp_path):
    authority, settings = Authority(tmp_path), still.config_path.read_text()

    def files(days):
        known = set(tmp_path.iterdir())
        authority.server(days=days)
        return (set(tmp_path.iterdir()) - known).pop()

    good, soon, ended = (files(days) for days in (90, 5, -2))
    try:
        for certificate, key, verdict in (
            (good, good, "ok"), (soon, soon, "warning"), (ended, ended, "wrong"), (good, soon, "wrong"),
            (authority.file, authority.file, "wrong"), (good, tmp_path / "none", "wrong"),
        ):  # fmt: skip
            for path in {certificate, key} - {tmp_path / "none"}:
                path.chmod(0o600)
            more = f'tls = "direct"\ncertificate = "{certificate}"\ncertificate_key = "{key}"\n[metrics]'
            still.config_path.write_text(settings.replace("[metrics]", more))
            assert examined(still.config_path)["tls"]["verdict"] == verdict, (certificate, key)
    finally:
        still.config_path.write_text(settings)


async def test_the_doctor_asks_the_witnesses(still):
    settings = config.load(still.config_path)
    async with Witness(policy_of(settings, Keys.load(settings.keys_path))) as witness:
        text = still.config_path.read_text()
        still.config_path.write_text(f'{text}[log]\nwitnesses = ["{witness.url}", "http://127.0.0.1:1/w"]\n')
        try:
            done = await asyncio.to_thread(examined, still.config_path)
        finally:
            still.config_path.write_text(text)
    assert done["witnesses"]["verdict"] == "warning"
    assert "http://127.0.0.1:1/w does not answer" in done["witnesses"]["detail"]
    assert done["clock"]["verdict"] in {"ok", "warning"}


def bundled(config_path: Path, target: Path) -> dict[str, str]:
    """The files of a bundle, made anew."""
    gather.gather(config.load(config_path), config_path, target)
    with tarfile.open(target) as archive:
        return {entry.name.partition("/")[2]: archive.extractfile(entry).read().decode() for entry in archive}


def test_a_bundle_does_not_say_either_where_secrets_lie(tmp_path):
    place, data = tmp_path / "safe-place", tmp_path / "data"
    for folder in (place, data):
        folder.mkdir(mode=0o700)
    (place / "keys.toml").touch(0o644)
    (place / 'pass"word').write_text("hunter2-and-more")
    (place / 'pass"word').chmod(0o644)
    path = tmp_path / "broker.toml"
    path.write_text(
        f'data = "{data}"\nkeys = "{place}/keys.toml"\n[exchange]\norigin = "x.example"\n'
        f'[store]\nurl = "redis://127.0.0.1:1/?password=hunter3"\npassword_file = \'{place}/pass"word\'\n'
    )
    said = [found["detail"] for found in examined(path).values()]
    assert any(str(place) in text for text in said)
    parts = bundled(path, tmp_path / "b.tar.gz")
    assert "others may look at ***" in parts["doctor.json"]
    assert [name for name, text in parts.items() if "safe-place" in text or "hunter" in text] == []


def test_a_bundle_is_made_on_a_host_on_which_everything_fails_otherwise_than_was_thought_of(tmp_path, monkeypatch):
    path = tmp_path / "broker.toml"
    path.write_text(f'data = "{tmp_path}"\n[exchange]\norigin = "x.example"\n')

    def fails(*_):
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(doctor, "examine", fails)
    parts = bundled(path, tmp_path / "b.tar.gz")
    assert json.loads(parts["errors.json"])["doctor"] == "RuntimeError: unforeseen"
    assert "settings.json" in parts


@pytest.mark.parametrize("length", [0, 1, 9, 10, 11, 25, 40])
def test_of_a_log_of_any_length_the_end_is_taken_in_whole_lines_and_in_bounded_memory(monkeypatch, length):
    monkeypatch.setattr(gather, "_tail_bytes", 10)
    for width in (1, 3, 9, 12):
        whole = b"".join(b"%d" % (n % 10) if (n + 1) % width else b"\n" for n in range(length))
        end = gather.end_of(io.BytesIO(whole))
        assert whole.endswith(end)
        assert len(end) <= 10
        if length <= 10:
            assert end == whole
        else:
            assert not end or whole[: -len(end)].endswith(b"\n")
            assert end or b"\n" not in whole[-10:-1]


def test_no_secret_is_cut_so_that_its_beginning_is_no_secret_any_more():
    token = "k3" * 20
    for before in range(1_950, 2_001):
        assert "k3" not in gather._last(f"{' ' * before}{token}".encode(), 1, {})
