"""At most one message a call, one message a key: through lost answers, restarts, refusals and a changing directory."""

import base64
import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from valija import (
    DocumentInvalidError,
    EvidenceInvalidError,
    KeyConflictError,
    RecipientError,
    RefusedError,
    StateError,
    UsageError,
    age,
    bundle,
    seal,
)
from valija.client import Client
from valija.errors import DirectoryExpiredError, KeyMissingError
from valija.keyring import Keyring
from valija.outbox import Outbox
from valija.registry.sample import sample_exchange
from valija.sending import uuid7
from valija.testing import MemoryBroker
from valija_schemas import limits, message
from valija_schemas import note as notes
from valija_schemas.directory import Directory, Key, SealKey

EXAMPLES = Path(__file__).parents[2] / "schemas/examples"
REQUEST = json.loads((EXAMPLES / "information-request-1.json").read_text())
MX, CO, CA = "mx.enlace", "co.enlace", "ca.liaison"
TYPE = "information-request/1"


class Clock:
    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms


class World:
    def __init__(self, folder: Path) -> None:
        self.exchange = sample_exchange()
        self.clock = Clock(self.exchange.now_ms + 2_000)
        self.broker = MemoryBroker(self.exchange, clock=self.clock)
        self.broker.superseded_ms = 0  # as if every directory before the newest had been superseded a week ago
        self.folder = folder
        self.line = self.broker.line(MX)

    def sender(self) -> Client:
        return self.broker.client(MX, self.folder, self.line)

    def next_directory(self, change: Any = lambda directory: directory) -> None:
        self.exchange.next_directory(change, now_ms=self.clock.now_ms)

    @property
    def outbox(self) -> Outbox:
        return Outbox(self.folder / MX / "outbox.sqlite")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def change_point(id_: str, **changes: Any) -> Any:
    def change(directory: Directory) -> Directory:
        points = [
            msgspec.structs.replace(point, **changes) if point.id == id_ else point
            for point in directory.contact_points
        ]
        return msgspec.structs.replace(directory, contact_points=tuple(points))

    return change


async def send(client: Client, **how: Any) -> Any:
    return await client.send(how.pop("document", REQUEST), how.pop("to", CO), type=TYPE, **how)


async def test_a_script_that_runs_again_with_its_key_sends_nothing_twice(world):
    results = []
    for _ in range(3):
        async with world.sender() as client:
            results.append(await send(client, key="case-1"))
    assert len({sent.digest for sent in results}) == 1
    assert {sent.state for sent in results} == {"accepted"}
    assert len(world.broker.accepted) == 1
    assert world.line.calls.count("submit") == 1


async def test_without_a_key_a_rerun_is_a_new_message(world):
    async with world.sender() as client:
        one, two = await send(client), await send(client)
    assert one.id != two.id
    assert len(world.broker.accepted) == 2


@pytest.mark.parametrize(
    "other",
    [
        {"document": REQUEST | {"risk_to_life": "Peligro de ejemplo"}},
        {"to": "ca.liaison"},
        {"exercise": True},
        {"priority": "flash"},
    ],
)
async def test_a_key_with_anything_else_to_send_is_an_error(world, other):
    async with world.sender() as client:
        await send(client, key="case-1")
        with pytest.raises(KeyConflictError):
            await send(client, key="case-1", **other)
    assert len(world.broker.accepted) == 1


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_lost_answer_is_repeated_with_the_same_bytes(world, when):
    world.line.faults.append(("submit", when))
    async with world.sender() as client:
        sent = await send(client)
        assert sent.state == "pending"
        await client.wait(sent, "accepted", timeout=10)
    assert list(world.broker.accepted) == [sent.digest]


async def test_what_waits_is_sent_by_the_next_start(world):
    async with world.sender() as client:
        await client.directory()
        world.line.down = True
        sent = await send(client, key="case-1")
        assert sent.state == "pending"
    world.line.down = False
    async with world.sender() as client:
        await client.wait(sent, "accepted", timeout=10)
        assert (await send(client, key="case-1")).digest == sent.digest
    assert list(world.broker.accepted) == [sent.digest]


async def test_a_message_is_stored_before_it_is_first_sent(world, monkeypatch):
    async with world.sender() as client:

        async def dying(raw: bytes) -> bytes:
            assert world.outbox.raw(notes.split(raw)[0].digest) == raw
            raise KeyboardInterrupt

        await client.directory()
        monkeypatch.setattr(world.line, "submit", dying)
        with pytest.raises(KeyboardInterrupt):
            await client._parts.sending.send(client.order(REQUEST, CO, type=TYPE))
    assert len(world.outbox.pending()) == 1


async def test_a_message_too_old_to_be_accepted_is_sealed_again_under_a_new_id(world):
    async with world.sender() as client:
        await client.directory()
        world.line.down = True
        first = await send(client, key="case-1")
    world.line.down = False
    world.clock.now_ms += limits.sent_age_max_ms + 1
    async with world.sender() as client:
        (again,) = [sent for sent in await client.flush() if sent.state == "accepted"] or [
            await send(client, key="case-1")
        ]
    assert again.id != first.id
    assert again.replaced == (first.digest,)
    assert list(world.broker.accepted) == [again.digest]
    assert again.expires - again.sent == first.expires - first.sent


async def test_a_message_that_was_accepted_unknown_to_us_is_not_sealed_again(world):
    world.line.faults.append(("submit", "after"))
    async with world.sender() as client:
        await client.directory()
        client._parts.sending._left.set = lambda: None  # nobody sends it again for now
        first = await send(client, key="case-1")
        assert first.state == "pending"
    found = world.broker
    found._first.clear()  # a broker whose memory of ids has passed its time
    world.clock.now_ms += limits.sent_age_max_ms + 1
    async with world.sender() as client:
        again = await send(client, key="case-1")
    assert again.digest == first.digest
    assert len(found.accepted) == 1


async def test_a_directory_that_changed_meanwhile_makes_the_client_seal_again(world):
    async with world.sender() as client:
        await client.directory()
        world.line.down = True
        first = await send(client)
        world.line.down = False
        world.next_directory()
        await client.wait(first, "accepted", timeout=10)
        (accepted,) = world.broker.accepted
    assert accepted != first.digest
    assert world.broker.accepted[accepted][0].header.directory[0] == 2


async def test_what_was_sent_can_be_disclosed_after_it_was_sealed_again_and_the_seal_key_replaced(world):
    async with world.sender() as client:
        await client.directory()
        world.line.down = True
        first = await send(client, key="case-1")
        old = client._parts.outbox.file_key(first.digest)
        world.line.down = False
        world.next_directory()
        sent = await client.wait(first, "accepted", timeout=10)
        assert sent.digest != first.digest
        kept, key_id = client._parts.outbox.file_key(sent.digest)
        assert kept != old[0]
        world.exchange.keyrings[MX] = new = world.exchange.keyrings[MX].rotate(["seal"])
        point = world.exchange.phonebook.point(MX)
        retired = msgspec.structs.replace(point.seal[0], status="retired", ended=world.clock.now_ms)
        key = SealKey(key=base64.b64encode(new.seal.recipient.to_bytes()).decode(), status="active", ended=None)
        world.next_directory(change_point(MX, seal=(key, retired)))
    async with world.sender() as client:
        later = await send(client)
        for digest in (sent.digest, later.digest):
            parts = bundle.read(await client.prove(digest, disclose=True))
            found = message.read(parts[bundle.MESSAGE] + parts[bundle.BODY], world.exchange.origin)
            file_key = age.FileKey(bytes.fromhex(parts[bundle.FILE_KEY].decode()))
            assert json.loads(seal.open_disclosed(found, file_key)[1])["language"] == REQUEST["language"]
            # In plain it lies nowhere in the state folder.
            for path in (world.folder / MX).rglob("*"):
                assert not path.is_file() or file_key.to_bytes() not in path.read_bytes(), path
        assert {world.outbox.file_key(digest)[1] for digest in (sent.digest, later.digest)} == {
            key_id,
            new.seal.recipient.key_id,
        }
        # A keyring that has lost the older key discloses what the newer one opens, and says so of the rest.
        bare = Keyring.generate(world.exchange.origin, MX)
        client._parts.keys = bare
        with pytest.raises(KeyMissingError, match="does not hold the seal key"):
            await client.prove(sent.digest, disclose=True)


async def test_what_is_kept_for_us_is_sealed_to_no_key_that_we_do_not_hold(world):
    """Whatever the directory says: keys of messages in the outbox open with this keyring alone."""
    stranger = Keyring.generate(world.exchange.origin, MX)
    key = base64.b64encode(stranger.seal.recipient.to_bytes()).decode()
    theirs = SealKey(key=key, status="active", ended=None)
    (ours,) = world.exchange.phonebook.point(MX).seal
    retired = msgspec.structs.replace(ours, status="retired", ended=world.clock.now_ms)
    world.next_directory(change_point(MX, seal=(theirs, retired)))
    async with world.sender() as client:
        sent = await send(client)
        assert world.outbox.file_key(sent.digest)[1] == ours.key_id
        assert bundle.FILE_KEY in bundle.read(await client.prove(sent.digest, disclose=True))
        world.next_directory(change_point(MX, seal=(theirs, msgspec.structs.replace(retired, status="revoked"))))
        await client.directory()
        with pytest.raises(KeyMissingError, match=r"no seal key of mx\.enlace that directory version 3 names"):
            await send(client)
    assert len(world.broker.accepted) == 1
    assert world.outbox.pending() == []


async def test_whoever_writes_to_the_outbox_cannot_have_the_key_of_another_message_disclosed(world):
    async with world.sender() as client:
        first, second = await send(client), await send(client)
        box = client._parts.outbox
        box._db.execute(
            "UPDATE valija_messages SET file_key = ? WHERE digest = ?", (box.file_key(second.digest)[0], first.digest)
        )
        with pytest.raises(StateError, match="is not the key of this message"):
            await client.prove(first.digest, disclose=True)
        assert bundle.FILE_KEY in bundle.read(await client.prove(second.digest, disclose=True))


@pytest.mark.parametrize("rest", [", raw = :raw", ", raw = :raw, digest = :digest"])
async def test_whoever_writes_to_the_outbox_has_no_document_sealed_for_other_recipients(world, rest):
    """Nor one of their own signed: what is sealed again is what was signed here, for those whom that named."""
    async with world.sender() as client:
        await client.directory()
        world.line.down = True
        sent, stranger = await send(client), Keyring.generate(world.exchange.origin, MX)
    old = message.read(world.outbox.raw(sent.digest), world.exchange.origin)
    to = {CA: world.exchange.keyrings[CA].seal.recipient.key_id}
    header = msgspec.structs.replace(old.header, to=to, body=None, body_length=0)
    key = age.FileKey.generate()
    recipient = world.exchange.keyrings[CA].seal.recipient
    forged = seal.write(header, b'{"text":"theirs"}', [recipient], world.exchange.origin, stranger.sign, key=key)
    sealed = age.encrypt(key.to_bytes(), [world.exchange.keyrings[MX].seal.recipient])
    values = {"raw": forged, "digest": message.read(forged, world.exchange.origin).digest, "key": sealed}
    world.line.down = False
    world.next_directory()
    with contextlib.closing(world.outbox) as box:
        box._db.execute("UPDATE valija_messages SET recipients = ?", (json.dumps([CA]),))
    async with world.sender() as client:
        (again,) = await client.flush() or world.outbox.recent(1)
    assert world.broker.accepted[again.digest][0].header.to.keys() == {CO}
    with contextlib.closing(world.outbox) as box:
        box._db.execute(f"UPDATE valija_messages SET state = 'pending', file_key = :key{rest}", values)
    world.next_directory()
    async with world.sender() as client:
        await client.flush()
    assert [found for found, _ in world.broker.accepted.values() if CA in found.header.to] == []
    assert world.outbox.recent(1)[0].state == "refused"


@pytest.mark.parametrize("status", ["retired", "revoked"])
async def test_what_waited_while_its_sign_key_ended_is_sealed_again_with_the_one_that_counts(world, status):
    async with world.sender() as client:
        await client.directory()
        world.line.down = True
        sent = await send(client, key="case-1")
    world.line.down = False
    (old,) = world.exchange.phonebook.point(MX).sign
    world.exchange.keyrings[MX] = new = world.exchange.keyrings[MX].rotate(["sign"])
    keys = (
        Key(key=new.sign.public.hex(), status="active", ended=None),
        msgspec.structs.replace(old, status=status, ended=sent.sent - 1),
    )
    world.next_directory(change_point(MX, sign=keys))
    async with world.sender() as client:
        await client.flush()
        assert world.outbox.get(sent.digest).state == "refused"
        again = await send(client, key="case-1")
    assert (again.state, again.replaced) == ("accepted", (sent.digest,))


async def test_what_waits_for_the_log_is_found_by_an_index(world):
    async with world.sender() as client:
        sent = [await send(client) for _ in range(3)]
        assert [found.digest for found in client._parts.outbox.unlogged()] == [found.digest for found in sent]
        await client.track(sent[0].digest)
        assert client._parts.outbox.unlogged() == []
    statements: list[str] = []
    with contextlib.closing(world.outbox) as box:
        box._db.set_trace_callback(statements.append)
        assert box.unlogged() == []
        assert box.feed.first_incomplete(0) is None
        box._db.set_trace_callback(None)
        plans = [
            row["detail"] for statement in statements for row in box._db.execute(f"EXPLAIN QUERY PLAN {statement}")
        ]
    assert "valija_unlogged" in plans[0]
    assert "valija_events_incomplete" in plans[-1]
    assert all("INDEX" in plan or "SUBQUERY" in plan for plan in plans), plans


async def test_a_recipients_new_seal_key_is_used(world):
    point = world.exchange.phonebook.point(CO)
    new = world.exchange.keyrings[CO].rotate(["seal"])
    key = SealKey(key=base64.b64encode(new.seal.recipient.to_bytes()).decode(), status="active", ended=None)
    old = msgspec.structs.replace(point.seal[0], status="retired", ended=world.clock.now_ms)
    async with world.sender() as client:
        await send(client)
        world.next_directory(change_point(CO, seal=(key, old)))
        world.clock.now_ms += limits.DAY_MS // 2
        sent = await send(client)
    assert world.broker.accepted[sent.digest][0].header.to == {CO: new.seal.recipient.key_id}


async def test_a_refusal_is_told_kept_and_may_be_sent_again_with_the_same_key(world, monkeypatch):
    async with world.sender() as client:
        await client.directory()
        world.next_directory(change_point(CO, status="suspended"))
        # The client still holds the version before; the broker refuses that, and then the recipient is suspended.
        with pytest.raises(RecipientError):
            await send(client, key="case-1")
        assert world.broker.accepted == {}
        world.next_directory(change_point(CO, status="active"))
        sent = await send(client, key="case-1")
    assert list(world.broker.accepted) == [sent.digest]


async def test_the_brokers_word_of_refusal_is_kept(world, monkeypatch):
    async with world.sender() as client:
        await client.directory()

        def check(*args: Any) -> None:
            raise message.MessageError("route-not-allowed", "a sample refusal")

        monkeypatch.setattr(message, "check_recipients", check)
        with pytest.raises(RefusedError) as caught:
            await send(client, key="case-1")
        assert caught.value.problem.code == "route-not-allowed"
        assert caught.value.hint
        monkeypatch.undo()
        timeline = await client.track(world.outbox.recent(1)[0].id)
        assert timeline.state == "refused"
        assert (await send(client, key="case-1")).state == "accepted"
    assert len(world.broker.accepted) == 1


async def test_an_acceptance_that_proves_nothing_is_an_alarm_and_counts_for_nothing(world, monkeypatch):
    async with world.sender() as client:
        real = world.broker.accept
        monkeypatch.setattr(world.broker, "accept", lambda raw: real(raw).replace(b"mx.enlace", b"mx.enlacf"))
        with pytest.raises(EvidenceInvalidError):
            await send(client)
        (sent,) = world.outbox.recent(1)
        assert sent.state == "pending"
        assert world.outbox.alarms.about(sent.digest)


@pytest.mark.parametrize(
    ("to", "words"),
    [
        ("xx.nobody", "not in directory"),
        ("pe.enlace", "suspended"),
        ([], "recipients"),
        (["xx.nobody", "pe.enlace"], "pe.enlace is suspended; xx.nobody is not"),
    ],
)
async def test_recipients_that_cannot_be_sent_to_are_all_named(world, to, words):
    async with world.sender() as client:
        with pytest.raises(RecipientError, match=words):
            await send(client, to=to)
    assert world.broker.accepted == {}


async def test_a_type_without_a_route_is_refused_before_sealing(world):
    world.next_directory(change_point(CO, area="political"))
    async with world.sender() as client:
        with pytest.raises(RecipientError, match=r"co\.enlace is political; in CO nobody can receive it"):
            await send(client)


async def test_a_document_that_breaks_its_rules_is_never_sealed(world):
    async with world.sender() as client:
        with pytest.raises(DocumentInvalidError) as caught:
            await send(client, document=REQUEST | {"questions": []})
        assert caught.value.flaws
        with pytest.raises(DocumentInvalidError):
            await client.send(REQUEST, CO, type="no-such-type/1")
        with pytest.raises(UsageError):
            await client.send(REQUEST, CO)
    assert world.outbox.recent(9) == []


async def test_an_expired_directory_stops_sending(world):
    async with world.sender() as client:
        await send(client)
        world.clock.now_ms += limits.directory_lifetime_max_ms
        with pytest.raises(DirectoryExpiredError):
            await send(client)


def steps(store: Outbox, call: Callable[[], object]) -> int:
    """How many steps SQLite took for `call`."""
    count = 0

    def step() -> None:
        nonlocal count
        count += 1

    store._db.set_progress_handler(step, 1)
    call()
    store._db.set_progress_handler(None, 1)
    return count


async def test_finding_a_message_costs_no_more_when_many_were_sent(world):
    async with world.sender() as client:
        first = await send(client)
        outbox = world.outbox
        alone = steps(outbox, lambda: outbox.get(first.digest))
        last = [await send(client) for _ in range(20)][-1]
    for name in (first.digest, last.digest, first.id, last.id):
        assert 0 < steps(outbox, lambda name=name: outbox.find(name)) <= alone + 10
    assert outbox.find(last.id).digest == last.digest
    outbox.close()


async def test_ids_are_in_the_order_of_time_and_of_version_7():
    now = time.time_ns() // 1_000_000
    ids = [uuid7(now + n) for n in range(50)]
    assert ids == sorted(ids)
    assert all(id_[14] == "7" and id_[19] in "89ab" and len(id_) == 36 for id_ in ids)
    assert len({uuid7(now) for _ in range(50)}) == 50


async def test_nothing_of_the_content_shows_in_a_repr(world):
    async with world.sender() as client:
        order = client.order(REQUEST, CO, type=TYPE)
        sent = await send(client)
    assert REQUEST["case"]["title"] not in repr(order) + repr(sent) + repr(client)
