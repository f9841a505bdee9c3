"""The canary tells whether mail goes round: only what came back is reported, and nothing of its own stays behind."""

import json
from pathlib import Path

import pytest
from commands import MX, World

from valija import round_trip
from valija.cli.common import REFUSED, SETTINGS, UNAVAILABLE
from valija.errors import StillWaitingError, UnavailableError
from valija.registry.sample import sample_exchange


@pytest.fixture
def world(exchange, tmp_path, monkeypatch) -> World:
    return World(exchange, tmp_path, monkeypatch)


def test_what_came_back_is_reported_and_the_mailbox_is_empty_again(world, tmp_path):
    report = tmp_path / "canary.json"
    result = world.run("canary", "--once", "--report", str(report))
    assert result.exit_code == 0, result.output
    found = json.loads(report.read_bytes())
    assert list(found) == ["sent", "returned", "round_trip"]
    assert found["sent"] <= found["returned"] <= found["sent"] + found["round_trip"] + 60_000
    assert f"Back after {found['round_trip']} ms" in result.output
    ((sent, _),) = world.broker.accepted.values()
    assert (sent.header.exercise, list(sent.header.to)) == (True, [MX])
    assert world.broker.mailboxes[MX] == []
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["canary.json"]


def test_what_does_not_come_back_leaves_the_report_as_it_was(world, tmp_path):
    report = tmp_path / "canary.json"
    report.write_text("as it was")
    world.lines[MX].down = True
    result = world.run("canary", "--once", "--report", str(report))
    assert (result.exit_code, report.read_text()) == (UNAVAILABLE, "as it was")
    assert "Next: " in result.output
    assert "Traceback" not in result.output


def test_a_report_that_cannot_be_written_is_said_in_words(world, tmp_path):
    result = world.run("canary", "--once", "--report", str(tmp_path / "missing" / "canary.json"))
    assert result.exit_code == SETTINGS
    assert "cannot be written" in result.output


async def test_what_a_canary_that_was_killed_left_is_answered_for_by_the_next(broker, tmp_path, monkeypatch):
    async def killed(*_):
        raise StillWaitingError("killed")

    async with broker.client(MX, tmp_path) as client:
        with monkeypatch.context() as before, pytest.raises(StillWaitingError):
            before.setattr(round_trip, "fetch", killed)
            await client.round_trip()
    assert len(broker.mailboxes[MX]) == 1
    async with broker.client(MX, tmp_path) as client:
        await client.round_trip()
    assert broker.mailboxes[MX] == []
    assert len(broker.accepted) == 2


def test_a_directory_without_a_route_to_itself_is_said(tmp_path, monkeypatch):
    lonely = World(sample_exchange(routes=()), Path(tmp_path), monkeypatch)
    result = lonely.run("canary", "--once")
    assert result.exit_code == REFUSED
    assert "no route" in result.output


async def test_what_could_not_be_sent_while_the_broker_was_away_stands_in_nobodys_way(broker, tmp_path):
    wire = broker.line(MX)
    wire.down = True
    for _ in range(3):
        async with broker.client(MX, tmp_path, wire) as client:
            with pytest.raises(UnavailableError):
                await client.round_trip()
    wire.down = False
    for _ in range(2):  # what is sent behind the first of these, the second answers for
        async with broker.client(MX, tmp_path, wire) as client:
            await client.flush()
            await client.round_trip()
    assert broker.mailboxes[MX] == []
