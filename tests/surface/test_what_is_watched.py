"""Metrics, alerts, dashboard and log are what RUNBOOK.md says of them; and nothing secret is put into the log."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import Counter, Gauge, Histogram

from valija_broker import metrics, scrape

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
RUNBOOK = (DEPLOY / "RUNBOOK.md").read_text("utf-8")
ALERTS = (DEPLOY / "prometheus" / "alerts.yml").read_text("utf-8")
CASES = (DEPLOY / "prometheus" / "alerts.test.yml").read_text("utf-8")
DASHBOARD = (DEPLOY / "grafana" / "dashboards" / "valija-overview.json").read_text("utf-8")

#: What a log entry may never have as a field, whatever is in it.
SECRET = {
    "token", "key", "note", "body", "document", "message", "password", "passphrase", "secret", "nonce", "salt",
    "cookie", "link", "csrf", "signature", "receipt", "seal", "headers", "content", "event",
}  # fmt: skip


def section(title: str) -> str:
    found = re.search(rf"^(#+) {re.escape(title)}.*?(?=^##? |\Z)", RUNBOOK, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[0]


def counted() -> dict[str, tuple[str, ...]]:
    """Every metric of the broker as Prometheus names it, with its labels."""
    found = {}
    for value in vars(metrics).values():
        if isinstance(value, Counter | Gauge | Histogram) and not value._labelvalues:
            name = value._name + ("_total" if isinstance(value, Counter) else "")
            found[name] = tuple(value._labelnames)
    looked = scrape.Looked(gauges=dict.fromkeys(scrape.GAUGES, 1.0), restarts={"worker": 0})
    for family in scrape.Collector(looked).collect():
        (sample,) = family.samples
        found[sample.name] = tuple(sample.labels)
    return found


COUNTED = counted()


def named(text: str) -> set[str]:
    """Metrics that a text names, a histogram by its own name."""
    names = set(re.findall(r"\bvalija_[a-z_]+\b", text))
    return {re.sub(r"_(bucket|sum|count)$", "", name) if name not in COUNTED else name for name in names}


def test_the_table_of_metrics_is_that_of_the_code() -> None:
    table = [line for line in section("2 Every day").splitlines() if line.startswith("| `valija_")]
    rows = [row for line in table for row in re.findall(r"`(valija_\w+)(?:\{([\w,]*)\})?`", line.split(" | ")[0])]
    assert {name: tuple(filter(None, labels.split(","))) for name, labels in rows} == COUNTED
    assert len(rows) == len(COUNTED), "each once"


def test_a_contact_point_is_a_label_of_its_own_mailbox_alone() -> None:
    labels = {name: set(found) for name, found in COUNTED.items()}
    assert {name for name, found in labels.items() if "mailbox" in found} == {
        "valija_queue_messages", "valija_queue_oldest_age_seconds",
    }  # fmt: skip
    allowed = {
        "version", "type", "priority", "reason", "direction", "mailbox", "state", "event", "witness", "route", "status",
        "why", "child",
    }  # fmt: skip
    assert set().union(*labels.values()) == allowed


@pytest.mark.parametrize("text", [ALERTS, CASES, DASHBOARD, RUNBOOK], ids=["alerts", "cases", "dashboard", "runbook"])
def test_no_metric_is_named_that_is_not_there(text: str) -> None:
    assert named(text) - COUNTED.keys() == set()


def alerts() -> dict[str, str]:
    return dict(re.findall(r"- alert: (\w+)\n.*?severity: (\w+)", ALERTS, re.DOTALL))


def test_each_alert_has_a_section_that_says_what_it_means_where_to_look_and_what_to_do() -> None:
    parts = dict(re.findall(r"^#### (\w+)\n\n(.*?)(?=^####? )", section("2 Every day"), re.MULTILINE | re.DOTALL))
    assert list(parts) == list(alerts())
    for name, severity in alerts().items():
        words = " ".join(parts[name].split())
        assert words.startswith(severity.capitalize()), name
        assert re.search(r"\. .*Look: .*Do: ", words), name
        assert f'runbook: "deploy/RUNBOOK.md, section 2.2, {name}"' in ALERTS


def test_each_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    found = re.findall(r"alertname: (\w+)\n +exp_alerts:( \[\])?", CASES)
    assert [name for name, quiet in found if not quiet] == list(alerts())
    assert list(dict.fromkeys(name for name, quiet in found if quiet)) == list(alerts())


def test_a_panel_that_names_an_alert_names_one() -> None:
    names = set(re.findall(r"\bValija[A-Z]\w+", DASHBOARD + section("2 Every day")))
    assert names <= alerts().keys()
    assert len({panel["title"] for panel in json.loads(DASHBOARD)["panels"]}) == len(json.loads(DASHBOARD)["panels"])


def logged() -> Iterator[tuple[Path, str, str, list[str]]]:
    """Every entry that the broker's code may write: where, level, event, fields."""
    for path in sorted((ROOT / "broker" / "valija_broker").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            called = node.func if isinstance(node, ast.Call) else None
            if (
                isinstance(node, ast.Call)
                and isinstance(called, ast.Attribute)
                and isinstance(called.value, ast.Name)
                and called.value.id == "_log"
            ):
                assert isinstance(node.args[0], ast.Constant), (path, "an event has one name, and not one that is made")
                assert len(node.args) == 1, path
                assert all(keyword.arg for keyword in node.keywords), path
                yield path, called.attr, str(node.args[0].value), [str(keyword.arg) for keyword in node.keywords]


LOGGED = list(logged())


def test_the_table_of_the_log_is_that_of_the_code() -> None:
    table = [line for line in section("7 What the log says").splitlines() if line.startswith("| `")]
    rows = {name for line in table for name in re.findall(r"`([^`]+)`", line.split(" | ")[0])} - {"status"}
    assert rows == {event for _, _, event, _ in LOGGED}


def test_the_levels_of_the_table_are_those_of_the_code() -> None:
    said: dict[str, str] = {}
    for line in section("7 What the log says").splitlines():
        cells = line.split(" | ")
        if line.startswith("| `"):
            for event in re.findall(r"`([^`]+)`", cells[0]):
                said[event] = said.get(event, "") + cells[1]
    for path, level, event, _ in LOGGED:
        assert {"exception": "error"}.get(level, level) in said[event], (path, event)


def test_no_entry_of_the_log_has_a_field_for_what_is_secret() -> None:
    for path, _, event, fields in LOGGED:
        assert SECRET.isdisjoint(fields), (path, event)
