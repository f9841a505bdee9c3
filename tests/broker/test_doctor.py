"""The doctor knows who works on a data folder, and whether the canary comes back; it says what it may not see."""

import asyncio
import json
import os
import time

import pytest
from click.testing import CliRunner
from private_tls import Authority
from sandbox import Sandbox, free_port

from valija_broker import config, doctor
from valija_broker.cli import cli
from valija_broker.findings import Report


@pytest.fixture
def lines(sandbox, tmp_path):
    """What the doctor says under one name, of the exchange that runs, with its settings changed."""

    def look(check, *changes):
        text = sandbox.config_path.read_text()
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "broker.toml").write_text(text)
        line = ["doctor", "--output", "json", "--config", str(tmp_path / "broker.toml")]
        found = json.loads(CliRunner().invoke(cli, line).stdout)
        (row,) = (row for row in found if row["check"] == check)
        return row

    return look


def test_the_doctor_sees_a_second_broker_on_a_data_folder_before_it_is_started(sandbox, lines, tmp_path):
    assert lines("lock")["verdict"] == "ok"
    elsewhere = [(f"port = {port}", f"port = {free_port()}") for port in (sandbox.port, sandbox.metrics_port)]
    found = lines("lock", *elsewhere)
    assert (found["verdict"], "fuser" in found["hint"]) == ("wrong", True)
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    folder = (f'data = "{sandbox.data}"', f'data = "{other}"')
    assert lines("lock", folder)["verdict"] == "not checked"
    (other / "upkeep.lock").touch()
    found = lines("lock", folder)
    assert (found["verdict"], "another data folder" in found["hint"]) == ("warning", True)


def test_the_doctor_says_whether_the_canary_comes_back(lines, sandbox, tmp_path):
    path = tmp_path / "canary.json"
    setting = ("[metrics]\n", f'[metrics]\ncanary_file = "{path}"\n')
    assert lines("canary")["verdict"] == "not checked"
    assert lines("canary", setting)["verdict"] == "warning"
    now = time.time_ns() // 1_000_000
    for returned, took, verdict in (
        (now, 900, "ok"), (now, 16_000, "warning"), (now - 6 * 60_000, 900, "wrong"),
    ):  # fmt: skip
        path.write_text(json.dumps({"sent": returned - took, "returned": returned, "round_trip": took}))
        assert lines("canary", setting)["verdict"] == verdict
    away = (f"port = {sandbox.metrics_port}", f"port = {free_port()}")
    assert lines("canary", setting, away)["verdict"] == "warning"


def test_the_doctor_tells_what_another_user_may_not_see_and_goes_on(tmp_path):
    still = Sandbox(tmp_path / "x", workers=1)
    settings, me = config.load(still.config_path), os.geteuid()
    still.data.chmod(0)  # enough for whoever is not root
    try:
        if me == 0:
            os.seteuid(65_534)
        found = asyncio.run(doctor.examine(settings))
    finally:
        os.seteuid(me)
        still.data.chmod(0o700)
    verdicts = {row.check: row.verdict for row in found}
    assert (verdicts["keys"], verdicts["evidence"], verdicts["port"]) == ("wrong", "warning", "ok")
    assert verdicts["files"] in {"warning", "wrong"}


def test_the_doctor_does_not_call_a_folder_empty_whose_note_does_not_verify(tmp_path):
    still = Sandbox(tmp_path / "x", workers=1)
    (still.data / "directory" / "root.2.note").mkdir()
    found = [row for row in asyncio.run(doctor.examine(config.load(still.config_path))) if row.check == "directory"]
    assert [(row.verdict, "root.2.note cannot be read" in row.detail) for row in found] == [("wrong", True)]


@pytest.mark.parametrize(
    ("name", "authorities", "strange"),
    [
        ("broker.example", '"broker.example", "BROKER.example:8443"', ""),
        ("*.exchange.example", '"broker.exchange.example"', ""),
        ("*.exchange.example", '"a.b.exchange.example", "exchange.example"', "a.b.exchange.example, exchange.example"),
        ("127.0.0.1", "", ""),
        ("broker.example", "", "127.0.0.1"),
        ("::1", '"[::1]:8443", "[::2]"', "::2"),
    ],
)
def test_the_doctor_says_that_clients_will_refuse_a_certificate_for_its_names(tmp_path, name, authorities, strange):
    Authority(tmp_path).server(name)
    (path,) = set(tmp_path.glob("*.pem")) - {tmp_path / "ca.pem"}
    report = Report()
    told = tuple(json.loads(f"[{authorities}]"))
    door = config.Listen(tls="direct", certificate=str(path), certificate_key=str(path), authorities=told)
    doctor._tls("tls", door, report)
    (found,) = report.findings
    assert found.verdict == ("warning" if strange else "ok")
    assert f"is not for {strange}, as which" in found.detail or not strange


async def test_the_doctor_asks_a_separate_store_with_the_rights_that_it_is_given(valkey, tmp_path):
    still = Sandbox(tmp_path / "x", workers=1)
    with still.config_path.open("a") as file:
        file.write(f'[store]\nurl = "{valkey.endpoint.url}"\npassword_file = "{valkey.password_path}"\n')
    settings = config.load(still.config_path)

    async def said(password):
        return {row.check: row for row in await doctor.examine(settings, password)}

    found = await said(None)
    assert [found[name].verdict for name in ("store", "store age", "store rights")] == ["ok"] * 3
    assert found["store settings"].verdict == "not checked"
    assert (await said(valkey.deploy_endpoint.password))["store settings"].verdict == "ok"
    found = (await said("guessed"))["store settings"]
    assert (found.verdict, "`deploy`" in found.hint) == ("warning", True)
    valkey.password_path.write_text("guessed")
    found = (await said(None))["store"]
    assert (found.verdict, "`valija`" in found.hint) == ("wrong", True)
