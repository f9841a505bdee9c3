"""The view of the log: what is kept, what must be connected, and what is an alarm."""

import asyncio
import json
import logging
import shutil
import sqlite3
from pathlib import Path

import pytest
from msgspec.structs import replace

from valija import bundle, database
from valija.client import Client
from valija.errors import KeyMissingError
from valija.outbox import Outbox
from valija.outbox_layout import LAYOUT
from valija.registry.sample import SampleBroker, sample_exchange
from valija.testing import MemoryBroker
from valija_schemas import evidence, leaf, merkle, tlog_proof
from valija_schemas.checkpoint import Policy
from valija_schemas.message import EMPTY_LOG, read

EXAMPLES = Path(__file__).parents[2] / "schemas/examples"
REQUEST = json.loads((EXAMPLES / "information-request-1.json").read_text())
MX, CO, CA = "mx.enlace", "co.enlace", "ca.liaison"
TYPE = "information-request/1"


async def receive(broker: MemoryBroker, folder: Path, who: str = CO) -> None:
    async with broker.client(who, folder) as recipient:
        async for message in recipient.inbox():
            async with message:
                pass


def outbox(folder: Path, who: str = MX) -> Outbox:
    return Outbox(folder / who / "outbox.sqlite")


def texts(folder: Path, who: str = MX) -> str:
    return "\n".join(alarm.text for alarm in outbox(folder, who).alarms.about())


async def settled(client: Client) -> None:
    """Until everything that was heard is connected."""
    async with asyncio.timeout(5):
        while client._parts.outbox.log.references():
            await asyncio.sleep(0.01)


def invent(broker: MemoryBroker) -> None:
    """The log of a broker that shows somebody another one, from its second entry on."""
    broker.leaves[1:] = [leaf.of_event(bytes(32), b"invented %d" % n) for n in range(len(broker.leaves) - 1)]
    broker._checkpoints.clear()


async def test_every_event_is_kept_with_a_proof_that_stands_by_itself(broker, exchange, tmp_path):
    async with broker.client(MX, tmp_path) as sender:
        sent = await sender.send(REQUEST, CO, type=TYPE)
        await receive(broker, tmp_path)
        timeline = await sender.track(sent.id)
    assert [h.index for h in timeline.happenings] == [None, 2, 3, 4]
    policy = Policy.of_root(exchange.origin, exchange.root)
    for event in outbox(tmp_path).feed.of(sent.digest):
        proved = tlog_proof.verify(tlog_proof.parse(event.proof), leaf.of_event(event.salt, event.note), policy)
        assert proved.index == event.leaf


async def test_what_we_sign_says_which_log_we_saw(broker, tmp_path):
    async with broker.client(MX, tmp_path) as sender:
        first = await sender.send(REQUEST, CO, type=TYPE)
        await sender.track(first.id)
        second = await sender.send(REQUEST, CO, type=TYPE)
        await receive(broker, tmp_path)
        async with broker.client(CO, tmp_path) as recipient:
            await settled(recipient)  # which met the checkpoint in order to connect what the sender saw
            await sender.send(REQUEST, CO, type=TYPE)
            async for message in recipient.inbox():
                async with message:
                    pass
    logs = [broker.accepted[digest][0].header.log for digest in (first.digest, second.digest)]
    assert logs[0] == EMPTY_LOG
    assert logs[1][0] == 3
    assert broker.receipts[-1].log[0] > 3
    assert texts(tmp_path, CO) == ""


async def test_a_program_that_never_tracks_sees_the_log_too(broker, tmp_path):
    async with broker.client(MX, tmp_path) as sender:
        await sender.send(REQUEST, CO, type=TYPE)
    async with broker.client(CO, tmp_path) as recipient, asyncio.timeout(5):
        while recipient._parts.log.reference[0] < 3:
            await asyncio.sleep(0.01)


async def test_the_largest_checkpoint_is_kept_over_restarts_and_smaller_ones_are_connected(broker, tmp_path):
    async with broker.client(MX, tmp_path) as sender:
        sent = await sender.send(REQUEST, CO, type=TYPE)
        await sender.track(sent.id)
        old = broker.checkpoint()
        await sender.send(REQUEST, CO, type=TYPE)
        await sender.track(sent.id)
    async with broker.client(MX, tmp_path) as sender:
        log = sender._parts.log
        assert log.reference[0] == 4
        assert (await log.meet(old, 3)).size == 3
        assert log.reference[0] == 4
    assert texts(tmp_path) == ""


@pytest.mark.parametrize("grows", [True, False])
async def test_another_log_is_an_alarm_and_changes_nothing(broker, tmp_path, caplog, grows):
    async with broker.client(MX, tmp_path) as sender:
        sent = await sender.send(REQUEST, CO, type=TYPE)
        await sender.track(sent.id)
        held = sender._parts.log.reference
        if grows:
            await sender.send(REQUEST, CO, type=TYPE)
        invent(broker)
        timeline = await sender.track(sent.id)
        look = await sender.monitor()
        assert sender._parts.log.reference == held
        assert timeline.state == "accepted"
    assert look.faults
    assert "two logs" in texts(tmp_path)
    assert "ALARM" in caplog.text
    assert outbox(tmp_path).log.checkpoint()[:2] == (held[0], bytes.fromhex(held[1]))


@pytest.mark.parametrize("another", [True, False])
async def test_a_log_does_not_go_back(broker, tmp_path, another):
    async with broker.client(MX, tmp_path) as sender:
        for _ in range(3):
            sent = await sender.send(REQUEST, CO, type=TYPE)
        await sender.track(sent.id)
        del broker.leaves[3 if another else 4 :]  # the versions of root and directory come again
        if another:
            invent(broker)
        assert "went back" in (await sender.monitor()).faults[0]
    assert "shows 4 leaves, and showed 5 before" in texts(tmp_path)


async def test_two_processes_of_one_state_folder_cannot_keep_two_logs(broker, tmp_path, monkeypatch):
    async with broker.client(MX, tmp_path) as sender:
        sent = await sender.send(REQUEST, CO, type=TYPE)
        await sender.track(sent.id)
        await sender.send(REQUEST, CO, type=TYPE)
        right = broker.consistency

        def meanwhile(old: int, new: int) -> tuple[bytes, ...]:
            outbox(tmp_path).log.set_checkpoint(4, b"x" * 32, b"", 3)
            return right(old, new)

        monkeypatch.setattr(broker, "consistency", meanwhile)
        await sender.track(sent.id)
    assert "two logs" in texts(tmp_path)


async def test_what_is_connected_is_not_asked_for_again(broker, tmp_path):
    line = broker.line(MX)
    async with broker.client(MX, tmp_path, line) as sender:
        for _ in range(2):
            sent = await sender.send(REQUEST, CO, type=TYPE)
            await sender.track(sent.id)
        reference = (2, outbox(tmp_path).log.checkpoint()[1].hex())  # of another size, so not connected
        head = merkle.node_hash(*map(merkle.leaf_hash, broker.leaves[:2])).hex()
        asked = line.calls.count("consistency")
        for _ in range(3):
            sender._parts.log.heard((2, head), CO, sent.digest)
            await settled(sender)
        assert line.calls.count("consistency") == asked + 1
        assert texts(tmp_path) == ""
        sender._parts.log.heard(reference, CO, sent.digest)
        await settled(sender)
    assert "two logs" in texts(tmp_path)


async def test_a_log_that_was_begun_anew_with_new_keys_is_an_alarm_that_says_so(tmp_path):
    exchange = sample_exchange()
    broker = MemoryBroker(exchange)
    async with broker.client(MX, tmp_path / "old") as sender:
        for _ in range(3):
            sent = await sender.send(REQUEST, CO, type=TYPE)
        await sender.track(sent.id)
    exchange.broker_keys = SampleBroker(exchange.origin)
    exchange.next_root(lambda root: replace(root, broker=exchange.broker_keys.public()))
    exchange.next_directory()
    anew = MemoryBroker(exchange)
    async with anew.client(MX, tmp_path / "old") as sender:
        look = await sender.monitor()
        proof = await sender.prove(sent.id)
    assert any("lost and begun anew" in fault for fault in look.faults)
    assert any("Root version 2 names other keys for the log" in fault for fault in look.faults)
    assert any(name.startswith("event-") for name in bundle.read(proof))  # what was proved stays so
    async with anew.client(MX, tmp_path / "empty") as sender:
        sent = await sender.send(REQUEST, CO, type=TYPE)
        assert (await sender.track(sent.id)).happenings[-1].index is not None
        assert (await sender.monitor()).faults == ()


async def test_an_event_that_is_not_where_the_broker_says_is_an_alarm(broker, tmp_path):
    async with broker.client(MX, tmp_path) as sender:
        sent = await sender.send(REQUEST, CO, type=TYPE)
        await sender.send(REQUEST, CO, type=TYPE)
        broker.feeds[MX][0] = replace(broker.feeds[MX][0], index=3)
        timeline = await sender.track(sent.id)
    (event,) = [h for h in timeline.happenings if h.event == "SubmissionAcceptance"]
    assert (event.says, event.index) == ("alarm", None)
    assert "not in the log" in event.detail


async def test_a_checkpoint_of_a_stranger_is_an_alarm(broker, tmp_path):
    other = MemoryBroker(sample_exchange())
    async with broker.client(MX, tmp_path) as sender:
        sent = await sender.send(REQUEST, CO, type=TYPE)
        broker._checkpoints[len(broker.leaves)] = other.checkpoint()
        await sender.track(sent.id)
    assert "not believed" in texts(tmp_path)


@pytest.mark.parametrize(("ahead_ms", "alarm"), [(29_000, False), (60_000, True)])
async def test_a_checkpoint_from_the_future_is_an_alarm(exchange, tmp_path, ahead_ms, alarm):
    now = [exchange.now_ms + ahead_ms]
    broker = MemoryBroker(exchange, clock=lambda: now[0])
    broker.checkpoint()
    now[0] -= ahead_ms
    async with broker.client(MX, tmp_path) as member:
        assert bool((await member.monitor()).faults) == alarm
    assert ("in the future" in texts(tmp_path)) == alarm


async def test_a_view_that_followed_the_log_meanwhile_still_sees_a_date_that_goes_back(exchange, tmp_path):
    now = [exchange.now_ms]
    broker = MemoryBroker(exchange, clock=lambda: now[0])
    async with broker.client(MX, tmp_path) as sender:
        sent = await sender.send(REQUEST, CO, type=TYPE)
        await sender.track(sent.id)
        now[0] += 120_000
        broker.learn()
        broker.leaves.append(leaf.of_event(bytes(32), b"of others"))
        await sender._parts.log.follow()
        broker._tell([MX], broker._event(sent.digest, "ContentHandover", CO, None).replace(
            b'"time":%d' % now[0], b'"time":%d' % (now[0] - 90_000)
        ))  # fmt: skip
        await sender._parts.log.follow()
        timeline = await sender.track(sent.id)
    (event,) = [h for h in timeline.happenings if h.event == "ContentHandover"]
    assert "dated back" in event.detail


async def test_alarms_are_told_until_a_person_has_seen_them(broker, tmp_path):
    async with broker.client(MX, tmp_path) as member:
        member._parts.outbox.alarms.add(None, 1, "something")
        assert (await member.monitor()).faults == ("something",)
        member.mark_seen()
        assert (await member.monitor()).faults == ()
        assert [alarm.text for alarm in member._parts.outbox.alarms.about()] == ["something"]


async def test_a_broker_that_is_away_is_no_alarm(broker, tmp_path):
    line = broker.line(MX)
    async with broker.client(MX, tmp_path, line) as sender:
        sent = await sender.send(REQUEST, CO, type=TYPE)
        await sender.track(sent.id)
        await sender.send(REQUEST, CO, type=TYPE)
        line.faults.append(("consistency", "before"))
        assert not (await sender.track(sent.id)).complete
        assert (await sender.track(sent.id)).complete
        assert sender._parts.log.reference[0] == 4
    assert texts(tmp_path) == ""


async def test_an_acceptance_that_never_comes_into_the_log_is_an_alarm(exchange, tmp_path):
    now = [exchange.now_ms]
    broker = MemoryBroker(exchange, clock=lambda: now[0])
    async with broker.client(MX, tmp_path) as sender:
        sent = await sender.send(REQUEST, CO, type=TYPE)
        broker.feeds[MX].clear()
        now[0] += 60_000
        await sender.track(sent.id)
        assert texts(tmp_path) == ""
        now[0] += 1
        timeline = await sender.track(sent.id)
    assert [h.says for h in timeline.happenings][-1] == "alarm"
    assert "did not put that into its log" in texts(tmp_path)


@pytest.mark.parametrize("where", ["message", "receipt"])
async def test_members_find_a_split_view_by_their_own_mail(broker, tmp_path, where):
    """Whoever was shown another log says so without knowing it, in the next message or receipt that they sign."""
    async with broker.client(MX, tmp_path) as sender:
        for _ in range(3):
            sent = await sender.send(REQUEST, CO, type=TYPE)
        await sender.track(sent.id)
        reference = (2, merkle.leaf_hash(b"another log").hex())
        log = sender._parts.log
        if where == "receipt":
            found = read(outbox(tmp_path).raw(sent.digest), broker.exchange.origin)
            receipt = evidence.receipt_note(
                broker.exchange.origin, "ConsignmentAcceptance", evidence.subject_of(found.header, found.note),
                broker.exchange.keyrings[CO].sign, recipient=CO, time=broker.clock(),
                directory=broker.exchange.phonebook.reference, log=reference,
            )  # fmt: skip
            broker._tell_both(CO, sent.digest, receipt)
            await sender.track(sent.id)
        else:
            log.heard(reference, CO, sent.digest)
        await settled(sender)
        timeline = await sender.track(sent.id)
    assert "alarm" in [h.says for h in timeline.happenings]
    assert CO in texts(tmp_path)


async def test_a_tree_that_the_broker_hides_from_us_is_an_alarm_after_a_minute(exchange, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    now = [exchange.now_ms]
    broker = MemoryBroker(exchange, clock=lambda: now[0])
    async with broker.client(MX, tmp_path) as sender:
        log = sender._parts.log
        log.heard((99, "ab" * 32), CO, "0" * 64)
        await log.settle()
        assert texts(tmp_path) == ""
        now[0] += 60_000
        await log.settle()
        assert outbox(tmp_path).log.references() == []
    assert "hides" in texts(tmp_path)


async def test_the_monitor_reads_the_whole_log_and_finds_our_own_entries(broker, tmp_path):
    async with broker.client(MX, tmp_path) as sender:
        for number in (1, 300, 7):
            broker.leaves.extend(leaf.of_event(bytes(32), b"%d" % n) for n in range(number))
            await sender.send(REQUEST, CO, type=TYPE)
            look = await sender.monitor()
            assert look.faults == ()
            assert look.size == len(broker.leaves)
        assert look.own == 3
        good = broker.tile
        broker.tile = lambda path: good(path)[:-1] + b"x" if path.startswith("tile/0/") else good(path)
        await sender.send(REQUEST, CO, type=TYPE)
        assert "not made of its entries" in (await sender.monitor()).faults[0]
        broker.tile = lambda path: b"\x00\x01x" if "entries" in path else good(path)
        assert "cannot be read" in (await sender.monitor()).faults[0]


STEPS_BACK = (  # to layout 4, 3, 2 and 1
    ("DROP INDEX valija_thread",),
    ("DROP INDEX valija_unlogged", "DROP INDEX valija_events_incomplete",
     *(f"ALTER TABLE valija_messages DROP COLUMN {name}" for name in ("file_key", "file_key_id", "logged"))),
    ("ALTER TABLE valija_events DROP COLUMN complete", "ALTER TABLE valija_alarms DROP COLUMN seen",
     "DROP TABLE valija_handed_in"),
    ("ALTER TABLE valija_events DROP COLUMN proof", "ALTER TABLE valija_events DROP COLUMN leaf",
     "DROP TABLE valija_checkpoint", "DROP TABLE valija_references"),
)  # fmt: skip


def bring_back(path: Path, layout: int) -> None:
    with sqlite3.connect(path) as db:
        for statements in STEPS_BACK[: LAYOUT - layout]:
            for statement in statements:
                db.execute(statement)
        db.execute(f"PRAGMA user_version = {layout}")


@pytest.mark.parametrize("layout", [1, 2, 3])
async def test_an_outbox_of_a_layout_before_is_brought_up(broker, tmp_path, layout):
    async with broker.client(MX, tmp_path) as sender:
        sent = await sender.send(REQUEST, CO, type=TYPE)
        if layout > 1:
            await sender.track(sent.id)
    bring_back(tmp_path / MX / "outbox.sqlite", layout)
    assert [found.digest for found in outbox(tmp_path).unlogged()] == ([sent.digest] if layout == 1 else [])
    with pytest.raises(KeyMissingError, match="did not keep its key"):
        async with broker.client(MX, tmp_path) as sender:
            await sender.prove(sent.id, disclose=True)
    async with broker.client(MX, tmp_path) as sender:
        assert (await sender.track(sent.id)).happenings[1].index == 2


@pytest.mark.parametrize("layout", [1, 2, 3])
async def test_an_outbox_whose_upgrade_is_killed_at_any_statement_loses_nothing(broker, tmp_path, monkeypatch, layout):
    async with broker.client(MX, tmp_path) as sender:
        sent = await sender.send(REQUEST, CO, type=TYPE)
        if layout > 1:
            await sender.track(sent.id)
    path = tmp_path / MX / "outbox.sqlite"
    bring_back(path, layout)
    killed: list[Path] = []

    def connect(path: Path) -> sqlite3.Connection:
        connection = database_connect(path)

        def copy(_: str) -> None:
            killed.append(tmp_path / f"killed-{len(killed)}")
            shutil.copytree(path.parent, killed[-1], ignore=lambda _, names: {n for n in names if "outbox" not in n})

        connection.set_trace_callback(copy)
        return connection

    database_connect = database.connect
    with monkeypatch.context() as patch:
        patch.setattr(database, "connect", connect)
        Outbox(path).close()
    assert len(killed) > 5
    for folder in killed:
        box = Outbox(folder / "outbox.sqlite")
        assert (box.get(sent.digest).state, box.file_key(sent.digest)) == ("accepted", None)
        assert len(box.feed.of(sent.digest)) == (1 if layout > 1 else 0)
        assert [found.digest for found in box.unlogged()] == ([sent.digest] if layout == 1 else [])
        box.close()
