"""What a person or a program can meet at the command stands in the pages: settings, statuses, errors, commands."""

import ast
import importlib
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from valija import cli, config, errors
from valija.cli import common

ROOT = Path(__file__).parents[2]
README = (ROOT / "clients/README.md").read_text("utf-8")
OPERATING = (ROOT / "clients/OPERATING.md").read_text("utf-8")
STATUSES = {value for name, value in vars(common).items() if name.isupper() and type(value) is int}
COMMANDS = sorted((ROOT / "clients/valija/cli").glob("*.py"))


def classes() -> list[type[errors.ValijaError]]:
    """Every error of the client, in the order of its module."""
    found = [value for value in vars(errors).values() if isinstance(value, type)]
    return [value for value in found if issubclass(value, errors.ValijaError)]


def test_the_readme_shows_every_setting():
    for field in set(config.Config.__struct_fields__) - {"passphrase_file", "folder"}:
        assert f"    {field} = " in README


def test_the_table_of_statuses_is_that_of_the_code_and_of_the_help():
    rows = {int(row) for row in re.findall(r"^\| (\d+) \| ", README, re.MULTILINE)}
    assert rows == {0, *STATUSES}
    help_ = CliRunner().invoke(cli.main, ["--help"]).output
    listed = help_[help_.index("Exit status:") : help_.index("Options:")]
    assert {int(each) for each in re.findall(r"\b\d+\b", listed)} == rows


def test_the_table_of_errors_is_that_of_the_code():
    rows = re.findall(r"^\| `([a-z-]+)` \| (\d+) \| (yes|no) \|", OPERATING, re.MULTILINE)
    expected = {}
    for class_ in classes():
        error = class_.__new__(class_)
        expected[class_.code] = (common.status_of(error), class_.retryable)
    assert {code: (int(status), word == "yes") for code, status, word in rows} == expected


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.stem)
def test_a_command_ends_with_no_other_status(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        ends = isinstance(node, ast.Call) and ast.unparse(node.func) in {"SystemExit", "sys.exit"}
        if ends and node.args:
            # A name of `common`, whichever, and no number of its own.
            assert not any(isinstance(part, ast.Constant) for part in ast.walk(node.args[0])), ast.unparse(node)


def test_every_command_stands_in_a_page_and_says_what_it_is_for():
    for name, (home, words) in cli._COMMANDS.items():
        command = importlib.import_module(home).command
        assert f"valija {name}" in README + OPERATING, name
        assert words.endswith(".")
        assert command.help
        for under in getattr(command, "commands", {}):
            assert f"valija {name} {under}" in README + OPERATING, under
