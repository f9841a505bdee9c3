"""What operators type to see a broker that runs: the same records in every form, and words for what goes wrong."""

import asyncio
import contextlib
import csv
import datetime as dt
import io
import json
import os
import pty
import re
import signal
import threading

import msgspec
import pytest
from click.shell_completion import get_completion_class
from click.testing import CliRunner
from harness import digest_of

from valija_broker.cli import check, cli, common, main, top
from valija_broker.errors import StoreUnavailable
from valija_schemas import admin

LISTS = ("queues", "contact-points", "messages", "dead list", "dead groups", "acts", "directory versions")


@pytest.fixture
def types(sandbox):
    """Type a command of an operator; its result, which must have the status that is named."""

    async def command(line, code=0):
        words = [*line.split(), "--config", str(sandbox.config_path)]
        found = await asyncio.to_thread(CliRunner().invoke, cli, words)
        assert found.exit_code == code, (line, found.output)
        return found

    return command


async def logged(types, sender, count=1):
    """What `messages` says of a sender, once it speaks of so many."""
    for _ in range(300):
        found = json.loads((await types(f"messages --sender {sender.id} --output json")).stdout)
        if len(found["messages"]) >= count:
            return found["messages"]
        await asyncio.sleep(0.1)
    raise AssertionError(found)


async def test_each_list_says_the_same_records_in_every_form(types, fresh):
    sender, taker = fresh(), fresh()
    await sender.accepted(sender.message(taker))
    (lent,) = await taker.lease()
    await taker.release(lent.token, dead=True)
    await logged(types, sender)
    for line in LISTS:
        answer = json.loads((await types(f"{line} --output json")).stdout)
        records = answer["messages"] if isinstance(answer, dict) else answer
        assert records or line == "acts"
        lines = (await types(f"{line} --output ndjson")).stdout.splitlines()
        table = [row.split("\t") for row in (await types(line)).stdout.splitlines()]
        sheet = list(csv.reader(io.StringIO((await types(f"{line} --output csv")).stdout)))
        assert [list(json.loads(row)) for row in lines] == [list(record) for record in records], line
        assert [name.upper() for name in sheet[0]] == table[0]
        assert len(sheet) == len(table) == len(records) + 1
    table = (await types("queues --columns dead,id")).stdout.splitlines()
    assert table[0] == "DEAD\tID"
    assert f"1\t{taker.id}" in table


async def test_health_says_each_part_and_the_worst_decides(types):
    found = msgspec.json.decode((await types("health --output json")).stdout, type=admin.Health)
    table = (await types("health")).stdout.splitlines()
    assert table[0] == f"verdict\t{found.verdict}"
    assert [row.split("\t")[0] for row in table[3:]] == [check.name for check in found.checks]
    assert len(table) == 10


async def test_a_report_names_states_and_areas_and_no_contact_point(types, fresh):
    sender, taker = fresh(), fresh()
    await sender.accepted(sender.message(taker, exercise=False))
    (row,) = await logged(types, sender)
    month = dt.datetime.fromtimestamp(row["accepted"] / 1000, dt.UTC).strftime("%Y-%m")
    shown = (await types(f"report --month {month} --output json")).stdout
    report = msgspec.json.decode(shown, type=admin.Report)
    assert (report.month, report.messages >= 1) == (month, True)
    assert {(row.sender, row.recipient, row.area) for row in report.exchanged} >= {("MX", "MX", "law-enforcement")}
    table = (await types(f"report --month {month}")).stdout
    assert f"messages\t{report.messages}\n" in table
    assert "\nMX\tMX\tlaw-enforcement\t" in table
    assert not any(id_ in shown + table for id_ in (sender.id, taker.id))


async def test_a_message_is_found_by_how_it_begins_and_told_with_its_proofs(types, fresh):
    sender, taker = fresh(), fresh()
    raw = sender.message(taker)
    await sender.accepted(raw)
    (row,) = await logged(types, sender)
    digest = digest_of(raw)
    assert (row["digest"], row["shares"][0]["recipient"]) == (digest, taker.id)
    shown = (await types(f"messages show {digest[:20]}")).stdout
    assert f"digest\t{digest}" in shown
    assert f"to {taker.id}\tready" in shown
    assert re.search(r"\tSubmissionAcceptance\t.*\t(proved|waiting)$", shown, re.MULTILINE)
    shown = (await types(f"messages show {row['id']} --output json")).stdout
    story = msgspec.json.decode(shown, type=admin.MessageStory)
    assert story.message.digest == digest
    for line, found in (
        (f"--recipient {taker.id} --since 1h", 1), (f"--recipient {sender.id}", 0), ("--until 2020-01-01", 0),
        (f"--sender {sender.id} --since {row['accepted']}", 1), (f"--sender {sender.id} --until {row['accepted']}", 0),
        (f"--prefix {digest[:9]} --state waiting", 1), (f"--prefix {digest[:9]} --state refused", 0),
        (f"--sender {sender.id} --since 2020-01-01T00:00+02:00 --until 9999-12-31", 1),
    ):  # fmt: skip
        assert len((await types(f"messages --output ndjson {line}")).stdout.splitlines()) == found, line
    page = await types("messages --count 1")
    assert "There are more: --after " in page.stderr


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("messages --since yesterday", "is no time"),
        ("messages --since 99999999d", "is no time"),
        ("messages --until -5h", "is no time"),
        ("messages --prefix %", "Expected `str` matching regex"),
        ("messages --sender ../x", "Expected `str` matching regex"),
        ("messages --type x", "Expected `str` matching regex"),
        ("messages --after 1;DROP", "no place of a page"),
        ("messages --count 201", "not in the range"),
        ("messages show zz", "is not how a digest or an id begins"),
        ("messages --count 3 show 0000", "Write options behind `show`"),
        ("contact-points --output json show p001", "Write options behind `show`"),
        ("queues --columns id,name", "there are id, status, ready"),
        ("queues --watch 0", "not in the range"),
        ("top --sort name", "is not one of"),
        ("acts --before -1", "not in the range"),
        ("report --month 2026-13", "write it as 2026-10"),
        ("report --month last", "write it as 2026-10"),
    ],
)
async def test_what_is_typed_wrong_is_told_and_ends_with_2(types, line, words):
    assert words in " ".join((await types(line, 2)).stderr.split())


async def test_what_is_not_there_is_told_with_what_is_near(sandbox, monkeypatch, capsys, types):
    assert json.loads((await types("contact-points show p001 --output json")).stdout)["id"] == "p001"

    def told(*line):
        monkeypatch.setattr("sys.argv", ["valija-broker", *line, "--config", str(sandbox.config_path)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, capsys.readouterr().err

    status, words = await asyncio.to_thread(told, "contact-points", "show", "p001x")
    assert (status, "p001" in words) == (1, True)
    status, words = await asyncio.to_thread(told, "messages", "show", "f" * 64)
    assert (status, "no message begins with" in words) == (1, True)


async def test_top_writes_one_table_a_look_where_no_terminal_sees_it(types, fresh):
    waiter, sender = fresh(), fresh()
    await sender.accepted(sender.message(waiter))
    shown = (await types("top --times 2 --interval 0.1 --sort ready")).stdout
    assert "\x1b" not in shown
    tables = shown.split("\n\ntime\t")
    assert len(tables) == 2
    for table in tables:
        counts = [int(row.split("\t")[2]) for row in table.split("\nID\t")[1].splitlines()[1:]]
        assert counts == sorted(counts, reverse=True)
        assert counts[0] >= 1
    assert f"\n{waiter.id}\tactive\t1\t0\t0\t" in shown


def test_top_of_a_young_broker_says_what_there_is_and_no_more():
    young = admin.Overview(
        time=1_795_000_000_000, origin="x.example", version="0", attention=(), minutes=(), ready=0, leased=0, dead=0,
        outbox=0, oldest=None, oldest_in=None, checkpoint=None, directory=0, directory_expires=None, canary=None,
    )  # fmt: skip
    said = dict(top.facts_of(young))
    assert [name for name, value in said.items() if value is None] == [
        "oldest", "last minute", "log", "directory", "canary",
    ]  # fmt: skip
    assert "None" not in "".join(str(value) for value in said.values() if value)


def test_who_watches_sees_the_store_go_and_come_back(capsys):
    answers = iter([common.Shown(record=[], rows=[1]), StoreUnavailable("gone"), common.Shown(record=[], rows=[2])])

    def look():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    common.show(common.Form(watch=0.01), {"number": lambda row: row}, look, times=3)
    seen = capsys.readouterr()
    assert seen.out == "NUMBER\n1\n\nNUMBER\n2\n"
    assert "Z: gone" in seen.err


def test_whoever_watches_ends_it_with_control_c_and_gets_130(sandbox, monkeypatch, capsys):
    line = ["valija-broker", "queues", "--watch", "600", "--config", str(sandbox.config_path)]
    monkeypatch.setattr("sys.argv", line)
    before = signal.getsignal(signal.SIGINT)
    try:
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(SystemExit) as ended:
            main()
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended.value.code == 130
    assert "Traceback" not in capsys.readouterr().err


def test_an_interruption_is_not_forgotten_whenever_it_comes():
    """The event loop's handler cancels a task, and a library that swallows that would have let the watch go on."""

    async def swallows():
        os.kill(os.getpid(), signal.SIGINT)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
        return common.Shown(record=[], rows=[])

    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(KeyboardInterrupt):
            common.show(common.Form(output="json", columns=None, watch=0.1), {}, lambda: asyncio.run(swallows()), 2)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("form", ["text", "json", "nagios", "prometheus"])
def test_what_a_store_answers_steers_neither_a_monitor_nor_its_terminal(capsys, form):
    said = "\x1b]0;x\x07\x7f\x9b2J\u202e | a=1\nVALIJA STORE OK"
    found = admin.Check(
        name="storage", verdict="unknown", code="x", words=said, said={"error": said}, values={"a": 1.0}
    )  # fmt: skip
    with pytest.raises(SystemExit, match="3"):
        check._end(found, form)
    shown = capsys.readouterr().out
    assert not set("\x1b\x07\x7f\x9b\u202e") & set(shown)
    assert len(shown.splitlines()) == (4 if form == "prometheus" else 1)
    if form == "nagios":
        assert shown.count("|") == 1


def test_nothing_that_others_wrote_steers_the_terminal_or_is_computed_by_a_spreadsheet(capsys):
    hostile = [
        "\x1b[2J\x9b31m",
        "\u202eexe.pdf\u2066",
        "two\nlines\tand tabs",
        "=HYPERLINK(1)",
        "@x",
        'here;=HYPERLINK(1);there; +1;"-1 ;;@x; a=b',
        "\U000e0041",
        "ñ",
    ]
    columns = {"value": lambda row: row["value"]}
    shown = common.Shown(record=[{"value": text} for text in hostile], rows=[{"value": text} for text in hostile])
    for output in ("table", "json", "ndjson", "csv"):
        common.show(common.Form(output=output), columns, lambda: shown)
        out = capsys.readouterr().out
        assert all(c == "\n" or c.isprintable() for c in out.replace("\t", "")), (output, out)
        if output == "table":
            assert len(out.splitlines()) == len(hostile) + 1
        if output == "ndjson":
            assert [json.loads(line)["value"] for line in out.splitlines()] == hostile
        if output == "json":
            assert [row["value"] for row in json.loads(out)] == hostile
        if output == "csv":
            # Where commas are in numbers, spreadsheets take a semicolon for the end of a cell.
            assert [row[0] for row in csv.reader(io.StringIO(out))][4:7] == [
                "'=HYPERLINK(1)", "'@x", "here;'=HYPERLINK(1);there;' +1;'\"-1 ;;'@x; a=b",
            ]  # fmt: skip


async def test_a_narrow_terminal_gets_every_column_and_no_colour_where_none_is_wanted(
    sandbox, types, fresh, monkeypatch
):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    sender = fresh()
    await sender.accepted(sender.message(fresh()))
    (row,) = await logged(types, sender)
    said = await asyncio.to_thread(on_terminal, sandbox, "messages", "--sender", sender.id)
    assert said.split()[:7] == ["ACCEPTED", "SENDER", "TYPE", "EXERCISE", "SHARES", "DIGEST", "ID"]
    for cell in (sender.id, f"{row['digest'][:12]}…", f"{row['id'][:12]}…"):
        assert cell in said.split()
    assert "\x1b[" not in said
    assert "\t" not in said


def on_terminal(sandbox, *words):
    """What somebody reads who types this at a terminal."""
    mine, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal, contextlib.redirect_stdout(terminal):
        cli.main([*words, "--config", str(sandbox.config_path)], standalone_mode=False)
        terminal.flush()
        said = os.read(mine, 65_536).decode()  # short enough for one go
    os.close(mine)
    return said


def test_where_no_broker_runs_it_ends_with_69_and_says_so(tmp_path, monkeypatch, capsys):
    path = tmp_path / "broker.toml"
    path.write_text(f'data = "{tmp_path}"\n[exchange]\norigin = "exchange.example"\nroot_digest = "{"0" * 64}"\n')
    for words in ("queues", "dead list", "messages", "top", "reconcile"):
        monkeypatch.setattr("sys.argv", ["valija-broker", *words.split(), "--config", str(path)])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 69, words
        assert "valija-broker: " in capsys.readouterr().err


def test_a_shell_completes_commands_and_contact_points(sandbox, tmp_path):
    class_ = get_completion_class("bash")
    assert class_ is not None
    shell = class_(cli, {}, "valija-broker", "_VALIJA_BROKER_COMPLETE")

    def offered(*words, begun):
        return [item.value for item in shell.get_completions(list(words), begun)]

    assert offered(begun="contact") == ["contact-points"]
    settings = ("--config", str(sandbox.config_path))
    assert offered("messages", *settings, "--sender", begun="p00") == [f"p00{digit}" for digit in range(10)]
    assert offered("contact-points", "show", *settings, begun="judg") == ["judge"]
    assert offered("messages", "--config", str(tmp_path / "none.toml"), "--sender", begun="") == []
    for name in ("bash", "zsh", "fish"):
        script = CliRunner().invoke(cli, ["completion", name]).output
        assert "_VALIJA_BROKER_COMPLETE" in script
