"""Alerts and dashboard, asked of a real Prometheus that watches a real broker: nothing in them is only believed.

Needs `prometheus` and `promtool` (Debian: prometheus); `make alerts` runs it, and `.ci/run` installs them.
"""

import asyncio
import json
import math
import re
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from harness import Peer
from msgspec.structs import replace
from sandbox import Sandbox, free_port
from small_witness import Witness

from valija import keyring
from valija.cli import main
from valija.registry.sample import sample_exchange
from valija_schemas.checkpoint import Policy

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "prometheus"
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "dashboards" / "valija-overview.json").read_text("utf-8"))
PANELS = [(panel["title"], target["expr"]) for panel in DASHBOARD["panels"] for target in panel["targets"]]
MX, CO, CA = "mx.enlace", "co.enlace", "ca.liaison"
within_s = 60

#: Only there where the broker ends TLS itself; tests/broker/test_metrics.py has it.
ABSENT = {"valija_certificate_expiry_timestamp_seconds"}
#: Without a series until the first of its kind, as it should be: an alert about failures where nothing ever failed.
MAY_BE_EMPTY = {'valija_http_request_duration_seconds_count{status=~"5.."}'}


def promtool(*words: str) -> str:
    done = subprocess.run(["promtool", *words], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_rules_and_configuration_are_ones():
    assert "SUCCESS" in promtool("check", "rules", "alerts.yml")
    assert "SUCCESS" in promtool("check", "config", "prometheus.yml")


def test_each_alert_fires_at_what_it_is_for_and_not_at_what_is_like_it():
    assert "SUCCESS" in promtool("test", "rules", "alerts.test.yml")


class Prometheus:
    """One that runs on loopback until the test is over."""

    def __init__(self, folder: Path, metrics_port: int) -> None:
        self.port = free_port()
        text = (FOLDER / "prometheus.yml").read_text("utf-8").replace(": 15s", ": 1s")
        (folder / "prometheus.yml").write_text(text)
        text = (FOLDER / "targets.yml").read_text("utf-8").replace("9464", str(metrics_port))
        (folder / "targets.yml").write_text(text)
        (folder / "alerts.yml").write_bytes((FOLDER / "alerts.yml").read_bytes())
        command = [
            "prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn",
        ]  # fmt: skip
        with (folder / "prometheus.log").open("wb") as log:
            self.process = subprocess.Popen(command, stderr=log)

    def ask(self, path: str, **arguments: str) -> Any:
        """What its API answers."""
        query = urllib.parse.urlencode(arguments)
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/{path}?{query}", timeout=10) as answer:
            return json.load(answer)["data"]

    def query(self, expression: str) -> list[float]:
        """The values of an expression now."""
        return [float(row["value"][1]) for row in self.ask("query", query=expression)["result"]]

    def wait(self, expression: str) -> None:
        """Wait until an expression has a value."""
        deadline = time.monotonic() + within_s
        while True:
            try:
                if self.query(expression):
                    return
            except OSError:
                pass
            assert self.process.poll() is None, "Prometheus ended"
            assert time.monotonic() < deadline, expression
            time.sleep(0.1)


async def load(sandbox: Sandbox) -> None:
    """A message of each fate: taken, given up, given back, sent twice, refused; and a request that does not verify."""
    async with Peer(sandbox, MX) as sender, Peer(sandbox, CO) as recipient:
        for _ in range(3):
            await sender.accepted(sender.message(recipient, exercise=False))
        taken, given_up, *left = await recipient.lease()
        assert await recipient.done(taken) == ["done"]
        assert await recipient.release(given_up.token, dead=True) == ["done"]
        assert set(await recipient.release(*(lent.token for lent in left))) == {"done"}
        message = sender.message(recipient, exercise=False)
        assert [(await sender.submit(message)).status for _ in range(2)] == [202, 202]
        assert (await sender.submit(sender.message(recipient, type="unknown-thing/1"))).status >= 400
        fields = sender.signed("GET", "/v1/limits")
        assert (await sender.send("GET", "/v1/directory", b"", fields)).status == 401
        await sender.feed(3)


def sing(sandbox: Sandbox, report: Path) -> None:
    """A canary, as it is run."""
    folder = report.parent / "canary"
    folder.mkdir(mode=0o700, exist_ok=True)
    if not (folder / "keyring").exists():
        host = keyring.make_host_key(folder / "host-key")
        keyring.save(folder / "keyring", sandbox.exchange.keyrings[CA], host.recipient)
    settings = {
        "exchange": sandbox.exchange.origin, "contact_point": CA, "broker": sandbox.url,
        "root": sandbox.exchange.root_digest, "keyring": f"{folder}/keyring", "host_key": f"{folder}/host-key",
        "state": f"{folder}/state",
    }  # fmt: skip
    environ = {"VALIJA_CONFIG": "", "VALIJA_PROFILE": ""} | {
        f"VALIJA_{name.upper()}": v for name, v in settings.items()
    }
    done = CliRunner().invoke(main, ["canary", "--once", "--report", str(report)], env=environ)
    assert done.exit_code == 0, done.output


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that has looked at a broker before, during and after some mail."""
    folder = tmp_path_factory.mktemp("watched")
    exchange = sample_exchange(suspended=())
    witness = Witness(Policy.of_root(exchange.origin, exchange.root), time_s=int(time.time()))
    exchange.next_root(lambda root: replace(root, witnesses=(witness.entry,), quorum=1))
    exchange.next_directory()
    report = folder / "canary.json"
    with witness.in_thread(), pytest.MonkeyPatch.context() as environment:
        environment.setenv("VALIJA_BROKER_METRICS__CANARY_FILE", str(report))
        sandbox = Sandbox(folder / "x", exchange, workers=1, more=f'[log]\nwitnesses = ["{witness.url}"]\n')
        sandbox.start()
        try:
            found = Prometheus(folder, sandbox.metrics_port)
            try:
                found.wait("valija_ready == 1")
                asyncio.run(load(sandbox))
                sing(sandbox, report)
                found.wait("valija_time_to_collect_seconds_count > 0")
                asyncio.run(load(sandbox))
                found.wait("valija_time_to_collect_seconds_count > 1")
                found.wait('valija_queue_messages{state="dead"} == 2')
                found.wait("valija_canary_last_success_timestamp_seconds > 0")
                found.wait("min(count_over_time(valija_messages_accepted_total[1m])) > 3")  # a rate needs two looks
                yield found
            finally:
                found.process.terminate()
                found.process.wait(20)
        finally:
            sandbox.stop()


def selectors(expression: str) -> Iterator[tuple[str, str]]:
    """Each metric that an expression names, alone and with its labels."""
    for match in re.finditer(r"\b(valija_\w+|up)\b(\{[^}]*\})?", expression):
        yield match[1], match[0]


def test_every_alert_is_evaluated_and_speaks_of_what_the_broker_counts(prometheus):
    (file,) = {group["file"] for group in prometheus.ask("rules")["groups"]}
    assert file.endswith("alerts.yml")
    rules = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
    assert len(rules) > 20
    deadline = time.monotonic() + within_s
    while any(rule["health"] == "unknown" for rule in rules) and time.monotonic() < deadline:
        time.sleep(0.2)
        rules = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
    for rule in rules:
        assert (rule["health"], rule.get("lastError", "")) == ("ok", ""), rule
        for name, selector in selectors(rule["query"]):
            if name not in ABSENT and selector not in MAY_BE_EMPTY:
                assert prometheus.query(selector), (rule["name"], selector)


def test_what_happened_is_what_is_alerted(prometheus):
    """Two dead letters lie there; nothing else of what happened is worth a call."""
    prometheus.wait('ALERTS{alertname="ValijaDeadLetters"}')
    rules = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
    assert {rule["name"] for rule in rules if rule["state"] != "inactive"} == {"ValijaDeadLetters"}


@pytest.mark.parametrize(("title", "expression"), PANELS, ids=[f"{title} {n}" for n, (title, _) in enumerate(PANELS)])
def test_every_panel_of_the_dashboard_shows_something(prometheus, title, expression):
    values = prometheus.query(expression.replace("$instance", ".*").replace("$__rate_interval", "1m"))
    assert any(not math.isnan(value) for value in values), (title, values)  # nothing of one route is no number
    for name, _ in selectors(expression):
        assert prometheus.query(name), (title, name)


def test_the_variables_of_the_dashboard_are_those_that_it_uses():
    text = json.dumps(DASHBOARD)
    declared = {each["name"] for each in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", text)) - {"__rate_interval", "__all"}
    assert used == declared == {"DS_PROMETHEUS", "instance"}
    assert {panel["datasource"]["uid"] for panel in DASHBOARD["panels"]} == {"${DS_PROMETHEUS}"}
