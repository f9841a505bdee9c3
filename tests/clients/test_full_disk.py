"""A full disk under a client: it says so, loses nothing that was accepted, hands nothing over twice, and goes on."""

import contextlib
import json
import sqlite3
from pathlib import Path

import pytest
from full_disk import fill, no_room, wal_bytes

from valija import StateError
from valija.feed_store import FeedStore
from valija.inbox_store import InboxStore
from valija.outbox import Outbox
from valija.testing import MemoryBroker

REQUEST = json.loads((Path(__file__).parents[2] / "schemas/examples/information-request-1.json").read_text())
MX, CO = "mx.enlace", "co.enlace"


class World:
    def __init__(self, exchange, folder):
        self.now = exchange.now_ms + 2_000
        self.broker = MemoryBroker(exchange, clock=lambda: self.now)
        self.folder = folder

    def client(self, who):
        return self.broker.client(who, self.folder)

    async def send(self, key):
        async with self.client(MX) as sender:
            return await sender.send(REQUEST, CO, type="information-request/1", key=key)

    async def receive(self, handle=None):
        """What was delivered."""
        found = []
        async with self.client(CO) as recipient:
            async for message in recipient.inbox():
                async with message:
                    if handle is not None:
                        await handle(message)
                    found.append(message.digest)
        return found


@pytest.fixture
def world(exchange, tmp_path):
    return World(exchange, tmp_path)


def full_within(monkeypatch, store, step):
    """The disk is full for one call of `step`; the calls that found it so."""
    real, met = getattr(store, step), []

    def call(self, *args):
        if met:
            return real(self, *args)
        met.append(step)
        (path,) = [row["file"] for row in self._db.execute("PRAGMA database_list")]
        with no_room(wal_bytes(Path(path))):
            return real(self, *args)

    monkeypatch.setattr(store, step, call)
    return met


@pytest.mark.parametrize(("store", "step"), [(Outbox, "put_all"), (Outbox, "accept_all"), (FeedStore, "add")])
async def test_a_full_disk_under_the_outbox_loses_nothing_that_was_accepted(world, monkeypatch, store, step):
    await world.send("first")
    met = full_within(monkeypatch, store, step)
    with contextlib.suppress(StateError):
        sent = await world.send("second")
        async with world.client(MX) as sender:
            await sender.wait(sent, timeout=0.1)
    assert met == [step]
    assert len(world.broker.mailboxes[CO]) == (1 if step == "put_all" else 2), "nothing is sent that was not stored"
    again = await world.send("second")
    assert again.state == "accepted"
    assert len(world.broker.mailboxes[CO]) == 2
    assert len(await world.receive()) == 2
    async with world.client(MX) as sender:
        track = await sender.track(again.digest)
    assert track.complete


@pytest.mark.parametrize("step", ["put", "begin", "settle", "set_receipt", "answered"])
async def test_a_full_disk_under_the_inbox_hands_over_once_and_answers_once(world, monkeypatch, step):
    await world.send("one")
    await world.receive()
    await world.send("two")
    met = full_within(monkeypatch, InboxStore, step)
    found = []
    with contextlib.suppress(StateError):
        found += await world.receive()
    assert met == [step]
    world.now += 3_600_000
    marked = step in {"set_receipt", "answered"}
    assert len(await world.receive()) == (0 if marked else 1)
    assert [receipt.event for receipt in world.broker.receipts] == ["ConsignmentAcceptance"] * 2
    assert world.broker.mailboxes[CO] == []


async def test_a_full_disk_says_that_it_is_full(world):
    await world.send("one")
    async with world.client(MX) as sender:
        fill(sender._open.outbox._db)
        with pytest.raises(StateError, match="full"):
            for number in range(9):
                await sender.send(REQUEST, CO, type="information-request/1", key=f"more {number}")


async def test_a_handler_that_goes_on_when_the_disk_was_full_writes_nothing_beside_its_message(world):
    await world.send("one")

    async def handle(message):
        async with message.transaction() as db:
            db.execute("CREATE TABLE IF NOT EXISTS mine (text TEXT)")
        fill(message._handling._connection)
        async with message.transaction() as db:
            with pytest.raises(sqlite3.OperationalError, match="full"):
                db.execute("INSERT INTO mine VALUES (?)", ("x" * 20_000,))
            with contextlib.suppress(StateError):
                db.execute("INSERT INTO mine VALUES ('within')")
        async with message.transaction() as db:
            db.execute("INSERT INTO mine VALUES ('after')")

    with pytest.raises(StateError):
        await world.receive(handle)
    with contextlib.closing(sqlite3.connect(world.folder / CO / "inbox.sqlite")) as db:
        assert db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'mine'").fetchone() == (0,)
    world.now += 3_600_000
    assert len(await world.receive()) == 1
    assert [receipt.event for receipt in world.broker.receipts] == ["ConsignmentAcceptance"]
