"""Every command of officers and broker is written where a person looks, and every one that is named there exists."""

import re
from pathlib import Path

import click
from click.testing import CliRunner

from valija.registry.cli import main
from valija_broker.cli import COMMANDS, common
from valija_broker.cli import cli as broker

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"valija-registry(?: --registry [A-Z]+)? ([a-z][a-z-]*)(?: ([a-z]+))?")

NAMED_OF_BROKER = re.compile(r"valija-broker ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?")


def names(group: click.Group) -> set[str]:
    """Commands, and subcommands behind the name of their group."""
    found = set()
    for name, command in group.commands.items():
        found |= {f"{name} {each}" for each in names(command)} if isinstance(command, click.Group) else {name}
    return found


def named(text: str) -> set[str]:
    found = set()
    for first, second in NAMED.findall(text):
        group = isinstance(main.commands.get(first), click.Group)
        found.add(f"{first} {second}".strip() if group else first)
    return found


def test_every_command_of_the_registry_is_in_the_runbook():
    written = " ".join((ROOT / "deploy" / "RUNBOOK.md").read_text().split())
    missing = [name for name in names(main) if not re.search(rf"(valija-registry [^`]*|`){re.escape(name)}\b", written)]
    assert missing == []


def test_a_command_of_the_registry_that_is_named_anywhere_exists():
    pages = [*ROOT.glob("*.md"), *ROOT.glob("*/*.md"), *ROOT.glob("schemas/decisions/*.md")]
    sources = [*ROOT.glob("clients/valija/**/*.py"), *ROOT.glob("broker/valija_broker/**/*.py")]
    known = names(main) | main.commands.keys()
    for path in [*pages, *sources]:
        assert named(path.read_text("utf-8")) - known == set(), path


def test_the_help_of_the_broker_has_a_line_for_each_command_and_no_other():
    assert isinstance(broker, click.Group)
    ctx = click.Context(broker)
    found = set()
    for name in broker.list_commands(ctx):
        command = broker.get_command(ctx, name)
        if isinstance(command, click.Group):
            found |= {f"{name} {each}" for each in names(command)} | (
                {name} if command.invoke_without_command else set()
            )
        else:
            found.add(name)
    listed = [name for section in COMMANDS.values() for name in section]
    assert sorted(listed) == sorted(found)
    lines = CliRunner().invoke(broker, ["--help"]).output.splitlines()
    assert [name for name in listed if not any(line.startswith(f"  {name}  ") for line in lines)] == []


def test_the_help_of_the_broker_is_shown_whole_in_the_runbook():
    printed = CliRunner().invoke(broker, ["--help"], prog_name="valija-broker").output
    assert f"```console\n$ valija-broker --help\n{printed}```" in (ROOT / "deploy" / "RUNBOOK.md").read_text()


def test_a_command_of_the_broker_that_is_named_anywhere_exists():
    listed = {name for section in COMMANDS.values() for name in section}
    groups = {name.split()[0] for name in listed if " " in name}
    pages = [*ROOT.glob("*.md"), *ROOT.glob("*/*.md"), *ROOT.glob("schemas/decisions/*.md")]
    rooms = ("broker/valija_broker/**/*.*", "clients/valija/**/*.py", "deploy/**/*.*")
    for path in [*pages, *(path for room in rooms for path in ROOT.glob(room))]:
        if path.suffix in {".md", ".py", ".html", ".po", ".yml", ".yaml", ".toml", ".service"}:
            for first, second in re.findall(
                r"valija-broker ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?", path.read_text("utf-8")
            ):
                assert f"{first} {second}" in listed or first in listed | groups, path


def test_every_command_of_the_broker_is_in_the_runbook():
    written = " ".join((ROOT / "deploy" / "RUNBOOK.md").read_text().split())
    assert [
        name
        for section in COMMANDS.values()
        for name in section
        if not re.search(rf"(valija-broker |`){re.escape(name)}\b", written)
    ] == []


def test_the_table_of_statuses_of_the_broker_is_that_of_the_help_and_of_the_code():
    rows = re.findall(r"^\| (\d+) \| ", (ROOT / "deploy" / "RUNBOOK.md").read_text(), re.MULTILINE)
    help_ = CliRunner().invoke(broker, ["--help"]).output
    listed = re.findall(r"(?:^|  )(\d+)  ", help_[help_.index("Exit status:") : help_.index("Options:")], re.MULTILINE)
    known = {0, common.FAILED, common.USAGE, common.STORE, common.LATER, common.SETTINGS, common.INTERRUPTED}
    assert sorted(map(int, rows)) == sorted(map(int, listed)) == sorted(known)


def test_the_help_of_the_registry_says_whole_sentences():
    _, commands = CliRunner().invoke(main, ["--help"]).output.split("Commands:")
    assert "..." not in commands
