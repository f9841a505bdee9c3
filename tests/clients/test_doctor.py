"""The doctor says what is wrong before a message does: each line true, with its hint, and nothing secret in any."""

import asyncio
import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from valija import config, doctor, keyring, probe
from valija.cli import main
from valija.cli.common import SETTINGS, UNAVAILABLE
from valija.doctor_directory import examine_ourselves
from valija.registry.sample import sample_exchange
from valija.testing import MemoryBroker
from valija_schemas import limits

MX, CO, PE = "mx.enlace", "co.enlace", "pe.enlace"
TYPE = "information-request/1"
REQUEST = json.loads((Path(__file__).parents[2] / "schemas/examples/information-request-1.json").read_text())


def verdicts(findings) -> dict[str, str]:
    """The worst verdict of each check."""
    order = ("ok", "not checked", "warning", "wrong")
    found: dict[str, str] = {}
    for finding in findings:
        found[finding.check] = max(finding.verdict, found.get(finding.check, "ok"), key=order.index)
        assert (finding.hint is not None) == (finding.verdict in {"warning", "wrong"}), finding
    return found


def line(findings, check: str, verdict: str) -> doctor.Finding:
    (found,) = [each for each in findings if (each.check, each.verdict) == (check, verdict)]
    return found


@pytest.fixture
def environ(exchange, tmp_path):
    """A machine of mx.enlace, as settings: keyring, host key and state folder, each its own."""
    for name in ("keyring", "host-key"):
        (tmp_path / name).unlink(missing_ok=True)
    host = keyring.make_host_key(tmp_path / "host-key")
    keyring.save(tmp_path / "keyring", exchange.keyrings[MX], host.recipient)
    (tmp_path / "state").mkdir(mode=0o700)
    return {
        "VALIJA_CONFIG": "",
        "VALIJA_PROFILE": "",
        "VALIJA_EXCHANGE": exchange.origin,
        "VALIJA_CONTACT_POINT": MX,
        "VALIJA_BROKER": "http://127.0.0.1:9",
        "VALIJA_ROOT": exchange.root_digest,
        "VALIJA_KEYRING": str(tmp_path / "keyring"),
        "VALIJA_HOST_KEY": str(tmp_path / "host-key"),
        "VALIJA_STATE": str(tmp_path / "state"),
    }


def change(exchange, how) -> None:
    """The next directory, in which the entry of mx.enlace is what `how` makes of it."""
    exchange.next_directory(
        lambda directory: replace(
            directory,
            contact_points=tuple(how(point) if point.id == MX else point for point in directory.contact_points),
        )
    )


def machine(environ) -> list[doctor.Finding]:
    report = doctor.Report()
    doctor.examine_machine(config.load(None, None, environ), report)
    return report.findings


def run(environ, *args: str):
    return CliRunner().invoke(main, ["doctor", *args], env=environ)


async def test_all_is_well_and_an_exercise_goes_round(broker, tmp_path):
    async with broker.client(MX, tmp_path) as client:
        findings = await client.examine()
    assert set(verdicts(findings).values()) == {"ok"}
    assert {"root", "directory", "freshness", "entry", "sign key", "seal key", "auth key", "routes", "log"} < set(
        verdicts(findings)
    )
    line(findings, "round trip", "ok")
    ((exercise, _),) = broker.accepted.values()
    assert (exercise.header.exercise, list(exercise.header.to)) == (True, [MX])
    assert broker.mailboxes[MX] == []
    assert [receipt.event for receipt in broker.receipts] == ["ConsignmentAcceptance"]


async def test_the_exercise_leaves_the_mail_of_others_as_it_was(broker, tmp_path):
    async with broker.client(CO, tmp_path) as sender, broker.client(MX, tmp_path) as client:
        await sender.send(REQUEST, MX, type=TYPE, priority="urgent")
        flash = await sender.send(REQUEST, MX, type=TYPE, priority="flash")
        line(await client.examine(), "round trip", "ok")
        await client._open.mailbox.close()
    waiting = {broker.accepted[entry.digest][0].header.priority: entry for entry in broker.mailboxes[MX]}
    assert waiting["urgent"].attempt == 0
    assert (waiting["flash"].digest, waiting["flash"].token) == (flash.digest, None), "it was given back"


async def test_no_exercise_is_sent_where_it_would_reach_another_program_or_no_route_leads(broker, tmp_path):
    async with broker.client(MX, tmp_path) as reader, broker.client(MX, tmp_path) as client:
        await reader._open.mailbox.open()
        assert "another program" in line(await client.examine(), "round trip", "not checked").detail
    lonely = MemoryBroker(sample_exchange(routes=()))
    async with lonely.client(MX, tmp_path / "lonely") as client:
        findings = await client.examine()
        assert "no route" in line(findings, "round trip", "not checked").detail
        line(findings, "routes", "warning")
    assert broker.accepted == lonely.accepted == {}


async def test_a_broker_that_is_away_is_wrong_and_what_is_held_is_still_examined(broker, tmp_path):
    wire = broker.line(MX)
    async with broker.client(MX, tmp_path, wire) as client:
        await client.examine(round_trip=False)
        wire.down = True
        found = verdicts(await client.examine())
    assert (found["directory"], found["log"], found["round trip"]) == ("wrong", "wrong", "wrong")
    assert (found["root"], found["sign key"]) == ("ok", "ok")
    empty = broker.line(CO)
    empty.down = True
    async with broker.client(CO, tmp_path, empty) as client:
        assert verdicts(await client.examine()) == {"directory": "wrong", "keys": "not checked"}


async def test_a_log_that_goes_back_is_wrong(broker, tmp_path):
    async with broker.client(MX, tmp_path) as client:
        await client.examine()
        del broker.leaves[1:]
        line(await client.examine(round_trip=False), "log", "wrong")


async def test_validity_is_told_before_it_ends(tmp_path):
    broker = MemoryBroker(sample_exchange())
    at = {"now": broker.exchange.now_ms + 1000}
    broker.clock = lambda: at["now"]
    async with broker.client(MX, tmp_path) as client:
        client._clock = broker.clock
        assert set(verdicts(await client.examine(round_trip=False)).values()) == {"ok"}
        at["now"] += 27 * limits.DAY_MS
        assert verdicts(await client.examine(round_trip=False))["directory"] == "warning"
        at["now"] += 4 * limits.DAY_MS
        found = verdicts(await client.examine(round_trip=False))
        assert found["directory"] == "wrong"
        assert found["root"] == "ok"
        at["now"] += 300 * limits.DAY_MS
        assert verdicts(await client.examine(round_trip=False))["root"] == "warning"


async def test_own_keys_are_held_against_the_directory(tmp_path):
    exchange = sample_exchange()
    broker = MemoryBroker(exchange)
    first = exchange.keyrings[MX]
    stranger = keyring.Keyring.generate(exchange.origin, MX)

    async def examine(keys, folder):
        exchange.keyrings[MX] = keys
        async with broker.client(MX, tmp_path / folder) as client:
            return await client.examine(round_trip=False)

    findings = await examine(stranger, "stranger")
    assert [verdicts(findings)[f"{use} key"] for use in ("sign", "seal", "auth")] == ["wrong"] * 3

    newer = first.rotate()
    findings = await examine(newer, "newer")
    assert [verdicts(findings)[f"{use} key"] for use in ("sign", "seal", "auth")] == ["warning"] * 3
    assert "does not name yet" in line(findings, "seal key", "warning").detail

    revoked = {"key": newer.sign.public.hex(), "status": "revoked", "ended": 1}
    change(exchange, lambda point: replace(point, sign=(*point.sign, replace(point.sign[0], **revoked))))
    assert "revoked" in line(await examine(newer, "revoked"), "sign key", "wrong").detail

    report = doctor.Report()
    examine_ourselves(report, first, exchange.phonebooks[0], exchange.now_ms + 400 * limits.DAY_MS)
    assert "keys rotate" in line(report.findings, "seal key", "warning").hint


async def test_a_retired_seal_key_that_still_receives_is_missed(tmp_path):
    exchange = sample_exchange()
    broker = MemoryBroker(exchange)
    mine = keyring.Keyring.generate(exchange.origin, MX)
    seal = next(key.public for key in mine.held if key.seal)

    def renew(point):
        old = replace(point.seal[0], status="retired", ended=exchange.now_ms)
        return replace(
            point,
            sign=(replace(point.sign[0], key=mine.sign.public.hex()),),
            auth=(replace(point.auth[0], key=mine.auth.public.hex()),),
            seal=(replace(point.seal[0], key=seal), old),
        )

    change(exchange, renew)
    for days, verdict in ((6, "warning"), (8, "ok")):
        report = doctor.Report()
        examine_ourselves(report, mine, broker.exchange.phonebook, exchange.now_ms + days * limits.DAY_MS)
        assert verdicts(report.findings)["seal key"] == verdict


async def test_a_suspended_contact_point_is_told_so(broker, tmp_path):
    async with broker.client(PE, tmp_path) as client:
        findings = await client.examine()
    assert "suspended" in line(findings, "entry", "wrong").detail
    line(findings, "round trip", "not checked")


def test_a_sound_machine_is_told_in_lines_and_in_json_without_a_secret(environ, exchange, tmp_path):
    result = run(environ, "--offline")
    assert result.exit_code == 0, result.output
    told = json.loads(run(environ, "--offline", "--json").stdout)
    assert [set(each) for each in told] == [{"check", "verdict", "detail", "hint", "code"}] * len(told)
    assert {each["check"]: each["verdict"] for each in told} == {
        "settings": "ok", "files": "ok", "keyring": "ok", "outbox": "ok", "inbox": "ok", "disk": "ok",
        "directory": "not checked",
    }  # fmt: skip
    secrets = [(tmp_path / "host-key").read_text().splitlines()[-1], *exchange.keyrings[MX].to_text().split('"')]
    for secret in (each for each in secrets if len(each) > 40):
        assert secret not in result.output


def test_offline_what_is_held_is_examined_without_asking_anybody(environ, broker, tmp_path):
    async def fetch() -> None:
        client = broker.client(MX, tmp_path)
        client.config = config.load(None, None, environ)
        async with client:
            await client.examine(round_trip=False)

    asyncio.run(fetch())
    result = run(environ, "--offline", "--json")
    assert result.exit_code == 0, result.output
    found = {each["check"]: each["verdict"] for each in json.loads(result.stdout)}
    assert {"root", "directory", "freshness", "entry", "seal key", "routes", "log"} < set(found)
    assert set(found.values()) == {"ok"}
    (tmp_path / "state/trust/root.1.note").write_text("nothing")
    assert '"directory-invalid"' in run(environ, "--offline", "--json").stdout


def test_a_line_that_is_wrong_gives_its_status(environ, tmp_path):
    assert run(environ | {"VALIJA_BROKR": "x"}, "--offline").exit_code == SETTINGS
    assert run(environ).exit_code == UNAVAILABLE
    (tmp_path / "host-key").chmod(0o644)
    result = run(environ, "--offline")
    assert result.exit_code == SETTINGS
    assert f"chmod 600 {tmp_path / 'host-key'}" in result.stdout


def test_rights_that_are_too_wide_are_named(environ, tmp_path):
    (tmp_path / "state").chmod(0o755)
    (tmp_path / "keyring").chmod(0o644)
    hints = {finding.hint for finding in machine(environ) if finding.check == "files"}
    assert hints == {f"Run: chmod 700 {tmp_path / 'state'}", f"Run: chmod 600 {tmp_path / 'keyring'}"}


def test_a_damaged_database_and_one_of_a_newer_program_are_named(environ, tmp_path):
    state = tmp_path / "state"
    doctor.Outbox(state / "outbox.sqlite").close()
    shutil.copy(state / "outbox.sqlite", state / "inbox.sqlite")
    with (state / "inbox.sqlite").open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 8192)
    with closing(sqlite3.connect(state / "outbox.sqlite")) as db:
        db.execute("PRAGMA user_version = 99")
    findings = machine(environ)
    assert "newer version" in line(findings, "outbox", "wrong").detail
    line(findings, "inbox", "wrong")


async def test_what_waits_in_the_outbox_is_told(environ, broker, tmp_path):
    wire = broker.line(MX)
    async with broker.client(MX, tmp_path, wire) as client:
        await client.directory()
        wire.down = True
        await client.send(REQUEST, CO, type=TYPE)
        client._open.outbox.alarms.add(None, 1, "of this test", None)
    findings = machine(environ | {"VALIJA_STATE": str(tmp_path / MX)})
    assert {finding.hint for finding in findings if finding.check == "outbox"} == {
        "Run: valija monitor --once; then --seen.",
        "Run: valija send --pending",
    }


@pytest.mark.parametrize(("free", "verdict"), [(1 << 20, "wrong"), (500 << 20, "warning"), (5 << 30, "ok")])
def test_a_disk_that_fills_is_told_in_time(environ, monkeypatch, free, verdict):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    line(machine(environ), "disk", verdict)


@pytest.mark.parametrize(
    ("ahead", "verdict"),
    [(0, "ok"), (-6_000, "warning"), (29_000, "warning"), (31_000, "wrong"), (None, "not checked")],
)
def test_a_clock_is_wrong_where_the_broker_would_refuse_it(ahead, verdict):
    report = doctor.Report()
    doctor._clock(ahead, report)
    line(report.findings, "clock", verdict)


def test_a_certificate_that_ends_soon_and_keys_that_are_written_down_are_told(monkeypatch):
    monkeypatch.setenv("SSLKEYLOGFILE", os.devnull)
    report = doctor.Report()
    doctor._tls(
        probe.Certificate(version="TLSv1.3", names=("b.example",), issuer="CA", expires_ms=20 * limits.DAY_MS),
        0,
        report,
    )
    assert [finding.verdict for finding in report.findings] == ["warning", "warning"]
