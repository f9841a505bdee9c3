"""`valija check`: everything that is wrong at once, with its line, with no profile and no network."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from valija.cli import main
from valija.cli.common import INVALID, USAGE
from valija_schemas import documents

EXAMPLES = Path(__file__).parents[2] / "schemas/examples"


@pytest.fixture(autouse=True)
def nobody(tmp_path, monkeypatch):
    """No profile and no settings: a machine on which nothing was set up."""
    monkeypatch.setattr("platformdirs.user_config_path", lambda _: tmp_path / "config")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")


def check(*args: object, **how) -> Result:
    return CliRunner().invoke(main, ["check", *map(str, args)], **how)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.json")), ids=lambda path: path.stem)
def test_every_example_is_valid_and_its_handling_is_said(path):
    name, _, version = path.stem.rpartition("-")
    found = check(path, "--type", f"{name}/{version}")
    assert found.exit_code == 0, found.output
    assert found.stdout == ""
    assert "is valid" in found.stderr
    for use in json.loads(path.read_text())["handling"]["use"]:
        assert f"\n{use}: " in found.stderr


def test_everything_that_is_wrong_is_told_with_line_field_and_rule(tmp_path):
    written = json.loads((EXAMPLES / "firearms-trace-request-1.json").read_text())
    written["authority"] |= {"country": "ZZ", "duty_line": None}
    written["urgency_justification"] = None
    path = tmp_path / "trace.json"
    path.write_text(json.dumps({"document": "firearms-trace-request/1"} | written, indent=1))
    lines = path.read_text().splitlines()
    found = check(path)
    assert found.exit_code == INVALID
    assert found.stderr.endswith("is not valid. Faults: 3.\n")
    rows = [row.split("\t") for row in found.stdout.splitlines()]
    assert rows[0] == ["LINE", "FIELD", "PROBLEM", "RULE"]
    told = {(row[1], row[3]): lines[int(row[0]) - 1].strip() for row in rows[1:]}
    assert told == {
        ("$.authority.country", "country-code"): '"country": "ZZ",',
        ("$.authority", "authority-contact"): '"authority": {',
        ("$.urgency_justification", "trace-urgency"): '"urgency_justification": null,',
    }
    (facts,) = json.loads(check(path, "--output", "json").stdout)
    assert (facts["valid"], facts["type"]) == (False, "firearms-trace-request/1")
    assert {(each["field"], each["rule"]): lines[each["line"] - 1].strip() for each in facts["problems"]} == told


def test_a_program_reads_size_and_handling_of_a_valid_document():
    data = (EXAMPLES / "response-1.json").read_bytes()
    found = check("-", "--type", "response/1", "--output", "json", input=data)
    (facts,) = json.loads(found.stdout)
    assert facts["valid"]
    assert facts["problems"] == []
    assert facts["bytes"] == len(documents.encode(documents.decode("response/1", data)))


def test_it_must_be_said_what_a_document_is():
    found = check(EXAMPLES / "response-1.json")
    assert found.exit_code == USAGE
    assert "does not say what it is" in found.stderr


def test_a_shell_completes_the_types():
    asked = {"_VALIJA_COMPLETE": "bash_complete", "COMP_WORDS": "valija check --type firearms", "COMP_CWORD": "3"}
    found = CliRunner().invoke(main, env=asked, prog_name="valija")
    assert found.output.split() == ["plain,firearms-trace-request/1", "plain,firearms-trace-result/1"]
