"""The evidence store: every event once, each party its own, whatever is killed in between. SPEC.md section 5."""

import asyncio
import os
import signal
import sqlite3
import uuid

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from harness import Peer, digest_of, facts, refused, with_body
from log_folder import Log
from sandbox import Sandbox
from structlog.testing import capture_logs

from valija.registry.sample import sample_exchange
from valija_broker.drain import Drain
from valija_broker.errors import StoreUnavailable
from valija_broker.evidence import derive
from valija_broker.log.view import EvidenceReader, LogView
from valija_broker.mail import Ack
from valija_broker.shelves import Directory, OutboxEntry
from valija_broker.turn import Turn
from valija_broker.wake import Waker
from valija_schemas import evidence, message, wire
from valija_schemas import note as notes

ORIGIN = "exchange.example"
HERE = Directory(1, "ab" * 32)
SIGNER = notes.Ed25519Signer("exchange.example/any", Ed25519PrivateKey.generate())  # nothing here verifies


def subject(sender: str = "mx.enlace", **changes) -> bytes:
    values = {"id": str(uuid.uuid4()), "message": os.urandom(32).hex(), "note": "cd" * 32, "body": "ef" * 32,
              "body_length": 10, "sender": sender}  # fmt: skip
    return wire.encode(evidence.Subject(**(values | changes)))


def entry(event: str = "ContentHandover", to: str = "ca.liaison", **changes) -> OutboxEntry:
    values = {"shard": 0, "id": "1-1", "event": event, "sender": "mx.enlace", "to": to, "subject": subject(), "time": 5,
              "directory": HERE, "reason": "", "salt": os.urandom(32), "key": "", "note": b""}  # fmt: skip
    return OutboxEntry(**(values | changes))


class Writer:
    """The ledger and what publishes it: an event is read once it is published."""

    def __init__(self, log: Log) -> None:
        self.ledger = log.ledger()
        self.publisher = log.publisher(self.ledger)

    @property
    def empty(self) -> bool:
        return self.ledger.state.size == 0

    async def add(self, rows) -> set[str]:
        added = self.ledger.add(rows)
        await self.publisher.publish()
        return set(added.parties)


@pytest.fixture
def writer(tmp_path):
    found = Writer(Log(tmp_path))
    yield found
    found.ledger.close()


@pytest.fixture
def reader(writer, tmp_path):
    return EvidenceReader(tmp_path / "evidence.sqlite", LogView(tmp_path / "log"))


async def feed(reader, party, after=0, limit=100):
    return (await reader.feed(party, after, limit)).events


# One event


def test_an_entry_stands_for_the_same_event_however_often_it_is_read():
    one = entry()
    assert derive(one, ORIGIN) == derive(one, ORIGIN)
    moved = msgspec.structs.replace(one, id="9-9", salt=bytes(32), time=6)
    assert derive(moved, ORIGIN).id == derive(one, ORIGIN).id, "a handover is one event, whenever it is told"
    assert len({derive(msgspec.structs.replace(one, **change), ORIGIN).id for change in (
        {}, {"event": "ContentHandoverFailure", "reason": "expired"}, {"to": "co.enlace"}, {"subject": subject()},
    )}) == 4  # fmt: skip


def test_a_message_may_die_twice_and_fail_once():
    dead = [
        derive(entry("DeadLettered", reason="attempts", time=t, subject=b_), ORIGIN).id
        for b_ in [subject()]
        for t in (1, 2)
    ]
    assert len(set(dead)) == 2


def test_an_unsigned_event_is_a_text_that_anybody_can_read_back():
    one = entry("ContentHandoverFailure", reason="expired")
    found = evidence.parse_event_text(derive(one, ORIGIN).event, ORIGIN)
    assert (found.event, found.to, found.reason, found.time) == (
        "ContentHandoverFailure",
        ("ca.liaison",),
        "expired",
        5,
    )
    assert evidence.subject_of_receipt(found) == evidence.read_subject(one.subject)


def test_an_entry_that_is_none_of_ours_is_refused_and_never_half_read():
    for change in ({"subject": b""}, {"subject": b"{}"}, {"event": "Invented"}, {"to": "Not A Name"}, {"to": ""},
                   {"subject": subject() + b" "}, {"reason": "two\nlines"}):  # fmt: skip
        with pytest.raises(ValueError):
            derive(entry(**change), ORIGIN)


# The file


async def test_what_is_added_twice_is_there_once_and_feeds_have_no_gaps(writer, reader):
    rows = [derive(entry(to=to), ORIGIN) for to in ("ca.liaison", "co.enlace") for _ in range(10)]
    assert writer.empty
    assert await writer.add(rows[:12]) == {"mx.enlace", "ca.liaison", "co.enlace"}
    assert await writer.add(rows) == {"mx.enlace", "co.enlace"}
    assert await writer.add(rows) == set()
    for party, count in (("mx.enlace", 20), ("ca.liaison", 10), ("co.enlace", 10), ("pe.enlace", 0)):
        assert [event.number for event in await feed(reader, party, 0, 100)] == list(range(1, count + 1))
    assert [event.number for event in await feed(reader, "mx.enlace", 7, 3)] == [8, 9, 10]


async def test_a_message_to_oneself_is_told_once(writer, reader):
    await writer.add([derive(entry(to="mx.enlace"), ORIGIN)])
    assert len(await feed(reader, "mx.enlace", 0, 10)) == 1


async def test_a_party_reads_of_a_message_what_its_own_feed_holds_and_no_more(writer, reader):
    about = subject()
    signer = notes.Ed25519Signer(f"{ORIGIN}/broker", sample_exchange().broker_keys.evidence)
    text = evidence.event_text(ORIGIN, "SubmissionAcceptance", evidence.read_subject(about), to=("ca.liaison",), time=1,
                               directory=(1, "ab" * 32))  # fmt: skip
    acceptance = notes.sign(text, [signer])
    await writer.add([derive(e, ORIGIN) for e in (
        entry("SubmissionAcceptance", to="", subject=about, note=acceptance),
        entry("ContentHandover", to="ca.liaison", subject=about),
        entry("ContentHandover", to="co.enlace", subject=about),
        entry("ContentHandover", to="ca.liaison"),
    )])  # fmt: skip
    digest = evidence.read_subject(about).message
    found = {
        p: len((await reader.of_message(p, digest)).events)
        for p in ("mx.enlace", "ca.liaison", "co.enlace", "pe.enlace")
    }
    assert found == {"mx.enlace": 3, "ca.liaison": 1, "co.enlace": 1, "pe.enlace": 0}
    assert await reader.acceptance("mx.enlace", digest) == acceptance
    assert await reader.acceptance("ca.liaison", digest) is None, "the acceptance is opened to the sender alone"


async def test_a_batch_that_fails_half_way_leaves_nothing(writer, reader):
    good = derive(entry(), ORIGIN)
    bad = msgspec.structs.replace(derive(entry(), ORIGIN), leaf=None)
    with pytest.raises(sqlite3.Error):
        await writer.add([good, bad])
    assert writer.empty
    assert await feed(reader, "mx.enlace", 0, 10) == ()
    await writer.add([good])
    assert len(await feed(reader, "mx.enlace", 0, 10)) == 1


async def test_a_store_that_cannot_be_read_is_said_to_be_unavailable(tmp_path):
    with pytest.raises(StoreUnavailable):
        await EvidenceReader(tmp_path / "absent.sqlite", LogView(tmp_path)).feed("mx.enlace", 0, 10)


async def test_the_file_is_for_its_owner_alone_and_readers_cannot_write(writer, tmp_path):
    await writer.add([derive(entry(), ORIGIN)])
    for path in tmp_path.glob("evidence.sqlite*"):
        assert path.stat().st_mode & 0o077 == 0, path
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        EvidenceReader(tmp_path / "evidence.sqlite", LogView(tmp_path))._connect().execute("DELETE FROM feed")


# From the outbox


@pytest.fixture
async def drain(store, outbox, writer, tmp_path):
    async with Waker(store) as waker:
        yield Drain(
            origin=ORIGIN, retain_days=3_650, outbox=outbox, shards=1, ledger=writer.ledger,
            publisher=writer.publisher, waker=waker, turn=Turn(tmp_path),
        )  # fmt: skip


@pytest.fixture
def life(mailboxes, submission, here):
    """A whole life of a message, three events, in the queues."""

    async def live(sender: str = "mx.enlace") -> None:
        about = subject(sender)
        text = evidence.event_text(ORIGIN, "SubmissionAcceptance", evidence.read_subject(about), to=("ca.liaison",),
                                   time=5, directory=(1, "ab" * 32))  # fmt: skip
        accepted = notes.sign(text, [SIGNER])
        await mailboxes.accept(submission(sender=sender, subject=about, accepted=accepted))
        (lease,) = await mailboxes.lease("ca.liaison", instance="one", limit=1, lease_ms=60_000, directory=here)
        about = evidence.read_subject(lease.subject)
        note = evidence.receipt_note(ORIGIN, "ConsignmentAcceptance", about, SIGNER, recipient="ca.liaison",
                                     time=lease.deadline, directory=(1, "ab" * 32), log=message.EMPTY_LOG)  # fmt: skip
        ack = Ack(token=lease.token, subject=lease.subject, event="ConsignmentAcceptance", note=note,
                  time=lease.deadline, directory=here)  # fmt: skip
        assert await mailboxes.acknowledge("ca.liaison", [ack]) == ["acknowledged"]

    return live


async def test_a_crash_between_recording_and_removing_records_nothing_twice(drain, outbox, life, reader, monkeypatch):
    for _ in range(3):
        await life()

    async def power_cut(*_: object) -> int:
        raise StoreUnavailable("gone")

    with monkeypatch.context() as patch:
        patch.setattr(drain._outbox, "remove", power_cut)
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                await drain.drain()
    before = [event.number for event in await feed(reader, "ca.liaison", 0, 100)]
    assert before == list(range(1, 7))
    await drain.drain()
    assert await outbox.pending() == 0
    assert [event.number for event in await feed(reader, "ca.liaison", 0, 100)] == before


async def test_an_altered_entry_stays_and_stands_in_nobody_s_way(drain, outbox, admin, life, reader):
    await life()
    first, *_ = await outbox.read(0)
    fields = (await admin.xrange("{s0}:outbox", first.id, first.id))[0][1]
    fields[b"to"] = b"attacker"
    await admin.xdel("{s0}:outbox", first.id)
    for _ in range(600):  # more than one page of them
        await admin.xadd("{s0}:outbox", fields)
    await admin.xadd("{s0}:outbox", {"event": "ContentHandover"})
    await life()
    with capture_logs() as logs:
        await drain.drain()
        await drain.drain()
    assert len([line for line in logs if line["event"] == "outbox_entry_unreadable"]) == 601, "each is named, once"
    assert await outbox.pending() == 601
    assert await feed(reader, "attacker", 0, 10) == ()
    assert len(await feed(reader, "ca.liaison", 0, 100)) == 4, "handover and receipt of each message"


# A running broker


@pytest.mark.faults
async def test_killing_upkeep_again_and_again_loses_no_event_and_tells_none_twice(tmp_path):
    sandbox = Sandbox(tmp_path / "x", sample_exchange(suspended=()), workers=1)
    await asyncio.to_thread(sandbox.start)
    try:
        async with Peer(sandbox, "mx.enlace") as sender, Peer(sandbox, "ca.liaison") as recipient:
            sent = [sender.message(recipient) for _ in range(90)]

            async def work() -> None:
                for at in range(0, 90, 15):
                    await asyncio.gather(*(sender.accepted(data) for data in sent[at : at + 15]))
                    lent = await recipient.lease()
                    assert set(await recipient.done(*lent)) == {"done"}

            async def kill() -> None:
                for _ in range(4):
                    for pid in sandbox.processes()["upkeep"]:
                        os.kill(pid, signal.SIGKILL)
                    await asyncio.sleep(0.25)

            await asyncio.gather(work(), kill())
            feed = await sender.feed(270, within_s=15)
            kinds = [(event["event"], event["message"]) for event in feed]
            assert len(kinds) == len(set(kinds)) == 270
            for data in sent:
                order = [event["event"] for event in feed if event["message"] == digest_of(data)]
                assert order == ["SubmissionAcceptance", "ContentHandover", "ConsignmentAcceptance"]
            assert [e.number for e in await sender.events()] == list(range(1, 271))
            assert [e.number for e in await recipient.events()] == list(range(1, 181))
    finally:
        await asyncio.to_thread(sandbox.stop)


async def test_what_a_refused_message_held_in_plain_text_stands_in_no_file(fresh, sandbox):
    """A client that forgot to seal, or to spell, told its secret to a broker that must not keep it."""
    canary = b"canary-" + uuid.uuid4().hex.encode()
    sender, recipient = fresh(), fresh()
    header = sender.header(recipient)
    good = message.read(sender.message(recipient), sender.origin)
    plain = notes.BODY_BEGINS + canary
    unsealed = sender.sign(with_body(header, plain)) + plain
    json = wire.encode(good.header)[:-1] + b',"secret":"%s"}' % canary
    odd = notes.sign(notes.text(message.KIND, sender.origin, json), [sender.keys.sign]) + good.body
    typed = wire.encode(good.header).replace(b'"routine"', b'"%s"' % canary)
    odder = notes.sign(notes.text(message.KIND, sender.origin, typed), [sender.keys.sign]) + good.body
    refused(await sender.submit(unsealed), "body-shape")
    refused(await sender.submit(odd), "malformed")
    refused(await sender.submit(odder), "malformed")
    refused(await sender.submit(canary * 10), "malformed")
    refused(await sender.submit(good.note.raw + canary), "malformed")
    await sender.batch([unsealed, odd, canary])
    await sender.send("GET", f"/v1/{canary.decode()}", headers={"X-Secret": canary.decode()})
    refused(await sender.request("POST", "/v1/leases", canary), "malformed")
    await sender.accepted(sender.message(recipient, document=b'{"t":"%s"}' % canary))
    assert await recipient.done(*await recipient.lease()) == ["done"]
    feed = await sender.feed(4)
    assert [event["event"] for event in feed].count("SubmissionRejection") == 1
    assert canary.decode() not in str([facts(e.event) for e in await sender.events()])
    secrets = [canary]
    for peer in (sender, recipient):
        keys = [record.secret for record in peer.keys._records]
        secrets += [key.encode() for key in keys] + [bytes.fromhex(key) for key in keys if len(key) == 64]
    looked_at = []
    for path in sandbox.folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            looked_at.append(path.name)
            assert not [secret for secret in secrets if secret in content], path
    assert {"broker.log", "evidence.sqlite"} <= set(looked_at)
    assert any("appendonly" in name for name in looked_at)
