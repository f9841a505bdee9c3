"""An exchange from nothing, by the commands alone: what the first hour of an operator, officers and agencies types."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sandbox import ask, free_port, wait_ready

BIN = Path(sys.executable).parent
OFFICERS = ("a", "b", "c")
POINTS = {"mx.enlace": "MX", "ca.liaison": "CA"}
REQUEST = Path(__file__).parents[2] / "schemas" / "examples" / "information-request-1.json"


class Desk:
    """A folder in which somebody types commands."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        clean = {name: value for name, value in os.environ.items() if not name.startswith("VALIJA")}
        self.environment = {**clean, "HOME": str(folder), "XDG_CONFIG_HOME": str(folder / "config"), **environment}

    def types(self, *command: str, status: int = 0, stdin: str = "") -> str:
        done = subprocess.run(
            [BIN / command[0], *command[1:]],
            cwd=self.folder,
            env=self.environment,
            input=stdin,
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == status, f"{command}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        self.said = done.stderr
        return done.stdout


@pytest.fixture
def served(tmp_path):
    """An exchange whose broker serves, made by commands, and the desks of its contact points."""
    operator = Desk(tmp_path / "operator")
    port, metrics_port = free_port(), free_port()
    settings = (
        'data = "data"\n[exchange]\norigin = "exchange.example"\nroot_digest = "{digest}"\n'
        f"[listen]\nport = {port}\n[metrics]\nport = {metrics_port}\n"
    ).replace('"data"', json.dumps(str(operator.folder / "data")))
    (operator.folder / "broker.toml").write_text(settings.format(digest=""))
    operator.types("valija-broker", "init")
    fingerprints = re.findall(r"broker [a-z]+.*(?: [0-9a-f]{4}){8}", operator.said)
    assert len(fingerprints) == 4
    operator.types("valija-broker", "check-config", status=78)
    assert "root_digest" in operator.said

    # Three officers of three organisations, each with a machine; one folder goes round. A passphrase costs a guesser a
    # second, and a test as well: hence the work factor.
    office = Desk(tmp_path / "office")
    blocks = ""
    for name in OFFICERS:
        (office.folder / f"{name}.passphrase").write_text(f"sample passphrase of {name}\n")
        blocks += office.types(
            "valija-registry", "officer", name, "--origin", "exchange.example",
            "--organisation", f"Organisation {name}", "--passphrase-file", f"{name}.passphrase", "--work-factor", "2",
        )  # fmt: skip
    (office.folder / "root.toml").write_text(
        f'origin = "exchange.example"\nbroker = "{operator.folder}/data/broker.public.toml"\n{blocks}\n'
        "[threshold]\nkeys = 2\norganisations = 2\n"
    )
    office.types("valija-registry", "init", "root.toml")
    assert all(line in office.said for line in fingerprints), "officers see what the operator reads to them"
    sign(office, "root.1.draft")
    office.types("valija-registry", "publish", "--to", str(operator.folder / "data" / "directory"))
    digest = json.loads(office.types("valija-registry", "show", "root.1.note", "--json"))["digest"]

    desks = {}
    for version, (id_, state) in enumerate(POINTS.items(), start=1):
        desk = desks[id_] = Desk(tmp_path / id_)
        desk.types(
            "valija", "init", "--exchange", "exchange.example", "--contact-point", id_, "--root", digest,
            "--broker", f"http://127.0.0.1:{port}", "--name", f"Sample office {state}", "--state", state,
            "--area", "law-enforcement", "--folder", ".",
        )  # fmt: skip
        request = next(desk.folder.glob("*.request*"))
        office.types("valija-registry", "admit", str(request), status=75)
        challenge = next(office.folder.glob(f"{id_}*.challenge"))
        answer = desk.types("valija", "init", "--answer", str(challenge))
        (office.folder / f"{id_}.answer").write_text(answer)
        office.types("valija-registry", "admit", str(request), "--answer", f"{id_}.answer")
        # A version each: whoever comes later reads on from versions that do not know its keys.
        sign(office, f"directory.{version}.draft")
        office.types("valija-registry", "publish", "--to", str(operator.folder / "data" / "directory"))

    (operator.folder / "broker.toml").write_text(settings.format(digest=digest))
    operator.types("valija-broker", "check-config")
    with (operator.folder / "log").open("wb") as log:
        broker = subprocess.Popen(
            [BIN / "valija-broker", "serve"],
            cwd=operator.folder, env=operator.environment, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        wait_ready(metrics_port, broker)
        yield desks, office, metrics_port
    finally:
        broker.terminate()
        assert broker.wait(30) == 0


def sign(office: Desk, draft: str) -> None:
    """Two of the three sign."""
    for name in OFFICERS[:2]:
        office.types(
            "valija-registry", "sign", draft, "--officer", f"officer.{name}.keyring",
            "--passphrase-file", f"{name}.passphrase", "--yes",
        )  # fmt: skip


def test_the_first_hour_leads_from_nothing_to_a_tracked_message(served):
    desks, office, metrics_port = served
    mexico, canada = desks["mx.enlace"], desks["ca.liaison"]

    points = json.loads(mexico.types("valija", "directory", "--output", "json"))
    assert {point["id"] for point in points} == set(POINTS)

    dry = mexico.types(
        "valija", "send", str(REQUEST), "--type", "information-request/1", "--to", "ca.liaison", "--dry-run"
    )
    assert "ca.liaison" in dry + mexico.said
    send = (
        "valija", "send", str(REQUEST), "--type", "information-request/1", "--to", "ca.liaison",
        "--priority", "urgent", "--key", "first-hour", "--output", "json",
    )  # fmt: skip
    (sent,) = json.loads(mexico.types(*send))
    assert json.loads(mexico.types(*send))[0]["id"] == sent["id"], "a rerun with the same key sends nothing twice"

    received = canada.types("valija", "inbox", "--save", "mail", "--output", "ndjson").splitlines()
    assert [json.loads(line)["id"] for line in received] == [sent["id"]]
    assert canada.types("valija", "inbox", "--output", "ndjson") == "", "what was delivered is not delivered again"

    shown = canada.types("valija", "show", sent["id"], "--language", "es")
    assert "H2: sin" in shown
    assert "Sample office MX" in shown

    assert "waiting for our answer" in canada.types("valija", "case", "list")
    assert "waiting for theirs" in mexico.types("valija", "case", "show", sent["digest"])

    timeline = json.loads(mexico.types("valija", "track", sent["id"], "--output", "json"))
    says = {step["event"]: step["says"] for step in timeline}
    assert says["SubmissionAcceptance"] == says["ConsignmentAcceptance"] == "verified"
    assert says["ContentHandover"] == "the broker says"

    office.types("valija-registry", "suspend", "mx.enlace")
    sign(office, "directory.3.draft")
    office.types("valija-registry", "publish", "--to", str(office.folder.parent / "operator" / "data" / "directory"))
    deadline = time.monotonic() + 20
    while "valija_directory_version 3.0" not in ask(metrics_port, "/metrics")[1]:  # the lowest of all processes
        assert time.monotonic() < deadline
        time.sleep(0.05)
    refused = mexico.types(
        "valija", "send", str(REQUEST), "--type", "information-request/1", "--to", "ca.liaison", status=20
    )
    assert refused == ""
    assert "suspended" in mexico.said
