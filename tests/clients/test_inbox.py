"""Exactly once: whatever is interrupted, repeated or broken, a message is delivered once and answered once."""

import asyncio
import json
import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest

from valija import InboxBusyError, UnavailableError, UsageError, bundle, inbox
from valija.client import Client
from valija.errors import KeyMissingError
from valija.inbox_store import InboxStore
from valija.registry.sample import SampleExchange
from valija.testing import MemoryBroker, MemoryLine
from valija_schemas import evidence
from valija_schemas.message import compose

EXAMPLES = Path(__file__).parents[2] / "schemas/examples"
REQUEST = json.loads((EXAMPLES / "information-request-1.json").read_text())
RESPONSE = json.loads((EXAMPLES / "response-1.json").read_text())
MX, CO = "mx.enlace", "co.enlace"


class Clock:
    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms


class World:
    """A broker, a sender, and a recipient that is started as often as a test likes."""

    def __init__(self, exchange: SampleExchange, folder: Path) -> None:
        self.clock = Clock(exchange.now_ms + 2_000)
        self.broker = MemoryBroker(exchange, clock=self.clock)
        self.exchange, self.folder = exchange, folder

    async def send(self, count: int = 1, **how: Any) -> list[Any]:
        async with self.broker.client(MX, self.folder) as sender:
            type_ = how.pop("type", "information-request/1")
            document = RESPONSE if type_ == "response/1" else REQUEST
            return [await sender.send(document, CO, type=type_, **how) for _ in range(count)]

    def recipient(self, line: MemoryLine | None = None) -> Client:
        return self.broker.client(CO, self.folder, line)

    async def receive(self, line: MemoryLine | None = None, **how: Any) -> list[Any]:
        """Everything there is, delivered."""
        found = []
        async with self.recipient(line) as client:
            async for message in client.inbox(**how):
                async with message:
                    found.append(message)
        return found

    @property
    def events(self) -> list[str]:
        return [receipt.event for receipt in self.broker.receipts]

    def later(self, ms: int = 3_600_000) -> None:
        """So much later that every lease and delay is over."""
        self.clock.now_ms += ms


@pytest.fixture
def world(exchange: SampleExchange, tmp_path: Path) -> World:
    return World(exchange, tmp_path)


def own_rows(world: World) -> list[str]:
    with sqlite3.connect(world.folder / CO / "inbox.sqlite") as db:
        rows = [row[0] for row in db.execute("SELECT text FROM mine ORDER BY rowid")]
    db.close()
    return rows


async def test_a_clean_exit_delivers_and_signs_one_receipt(world):
    (sent,) = await world.send()
    (message,) = await world.receive()
    assert (message.digest, message.sender, message.attempt) == (sent.digest, MX, 1)
    assert world.events == ["ConsignmentAcceptance"]
    assert await world.receive() == []


async def test_an_exception_gives_the_message_back_and_it_comes_again(world):
    await world.send()
    async with world.recipient() as client:
        with pytest.raises(ZeroDivisionError):
            async for message in client.inbox():
                async with message:
                    raise ZeroDivisionError
    assert world.events == []
    assert await world.receive() == []  # not at once
    world.later()
    (again,) = await world.receive()
    assert again.attempt == 2
    assert world.events == ["ConsignmentAcceptance"]


async def test_a_handlers_writes_commit_with_the_message_or_not_at_all(world):
    await world.send()
    for fails in (True, False):
        async with world.recipient() as client:
            async for message in client.inbox():
                try:
                    async with message:
                        async with message.transaction() as db:
                            db.execute("CREATE TABLE IF NOT EXISTS mine (text TEXT)")
                            db.execute("INSERT INTO mine VALUES (?)", (f"attempt {message.attempt}",))
                        if fails:
                            raise ZeroDivisionError
                except ZeroDivisionError:
                    break
        world.later()
    assert own_rows(world) == ["attempt 2"]
    assert world.events == ["ConsignmentAcceptance"]


async def test_a_handler_cannot_commit_by_itself_or_touch_the_marks(world):
    await world.send()
    async with world.recipient() as client:
        async for message in client.inbox():
            async with message:
                for statement in ("COMMIT", "ROLLBACK", "DELETE FROM valija_messages", "PRAGMA user_version = 9"):
                    with pytest.raises(sqlite3.DatabaseError):
                        async with message.transaction() as db:
                            db.execute(statement)
    assert world.events == ["ConsignmentAcceptance"]


async def test_a_block_that_failed_leaves_nothing_even_if_the_handler_goes_on(world):
    await world.send()
    async with world.recipient() as client:
        async for message in client.inbox():
            async with message:
                async with message.transaction() as db:
                    db.execute("CREATE TABLE mine (text TEXT)")
                try:
                    async with message.transaction() as db:
                        db.execute("INSERT INTO mine VALUES ('half')")
                        raise ZeroDivisionError
                except ZeroDivisionError:
                    pass
    assert own_rows(world) == []


class Crash(BaseException):
    """The process ends here."""


async def crash_at(world: World, monkeypatch: pytest.MonkeyPatch, step: str, *, after: bool) -> None:
    """Receive, and die before or after a step of the store."""
    real = getattr(InboxStore, step)

    def dying(self: InboxStore, *args: Any) -> Any:
        if after:
            real(self, *args)
        raise Crash

    line = world.broker.line(CO)
    client = world.recipient(line)
    await client.__aenter__()
    monkeypatch.setattr(InboxStore, step, dying)
    with pytest.raises(Crash):
        async for message in client.inbox():
            async with message:
                pass
    monkeypatch.undo()
    # A process that died says nothing more to anybody.
    line.down = True
    await client.__aexit__(None, None, None)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", ["put", "begin", "settle", "set_receipt"])
async def test_a_crash_between_any_two_steps_is_repaired_by_the_next_run(world, monkeypatch, step, after):
    await world.send()
    await crash_at(world, monkeypatch, step, after=after)
    found = await world.receive()
    settled = (step, after) in {("settle", True), ("set_receipt", False), ("set_receipt", True)}
    assert len(found) == (0 if settled else 1)
    assert world.events == ["ConsignmentAcceptance"]
    assert world.broker.mailboxes[CO] == []
    if not settled:
        assert (found[0].attempt > 1) == (step in {"begin", "settle"} and (step, after) != ("begin", False))


@pytest.mark.parametrize("call", ["lease", "acknowledge"])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_lost_answer_delivers_nothing_twice(world, call, when):
    await world.send(3)
    line = world.broker.line(CO)
    line.faults.append((call, when))
    found: list[Any] = []
    for _ in range(2):
        try:
            found += await world.receive(line)
        except UnavailableError:
            continue
    assert len(found) == 3
    assert world.events == ["ConsignmentAcceptance"] * 3
    assert {message.attempt for message in found} == {1}


async def test_a_delivered_message_that_comes_again_gets_the_receipt_that_was_given(world):
    (sent,) = await world.send()
    await world.receive()
    first = InboxStore(world.folder / CO / "inbox.sqlite")
    receipt = first.get(sent.digest).receipt
    first.close()
    found, _ = world.broker.accepted[sent.digest]
    world.broker.put(found)  # a broker that lost its memory of the receipt
    world.later(60_000)
    assert await world.receive() == []
    assert len(world.events) == 2
    feed = [event.event for event in world.broker.feeds[CO]]
    assert feed.count(receipt) == 2


async def test_a_message_that_cannot_be_opened_never_blocks_the_mailbox(world):
    (broken,) = await world.send()
    found, _ = world.broker.accepted[broken.digest]
    world.broker.mailboxes[CO].clear()
    unsigned = msgspec.structs.replace(found, body=found.body[:-1] + b"x")
    world.broker.put(unsigned)
    (good,) = await world.send()
    (message,) = await world.receive()
    assert message.digest == good.digest
    assert world.broker.dead == [(CO, broken.digest)]
    assert world.events == ["ConsignmentAcceptance"]


async def test_a_refused_message_is_refused_with_evidence_and_once(world):
    await world.send()
    async with world.recipient() as client:
        async for message in client.inbox():
            async with message:
                await message.reject("No es de nuestra competencia")
    assert [(r.event, r.reason) for r in world.broker.receipts] == [
        ("ConsignmentRejection", "No es de nuestra competencia")
    ]
    world.later()
    assert await world.receive() == []


async def test_the_key_of_a_body_that_was_copied_from_another_message_is_never_disclosed(world, exchange):
    """Else whoever has a copy of mail, and no key, sends it to its recipient again and asks for a proof of that."""
    (sent,) = await world.send()
    await world.receive()
    copied, _ = world.broker.accepted[sent.digest]
    header = msgspec.structs.replace(copied.header, sender="ca.liaison", id="01939000-0000-4000-8000-000000000001")
    note = compose(header, exchange.origin, exchange.keyrings["ca.liaison"].sign)
    world.broker.accept(note + copied.body)
    assert await world.receive() == []
    assert [(found.event, found.reason) for found in world.broker.receipts][1:] == [
        ("ConsignmentRejection", "cannot-open")
    ]
    async with world.recipient() as client:
        with pytest.raises(KeyMissingError, match="not sealed for us under this note"):
            await client.prove(header.id, disclose=True)
        assert bundle.FILE_KEY not in bundle.read(await client.prove(header.id))
        assert bundle.FILE_KEY in bundle.read(await client.prove(sent.digest, disclose=True))


async def test_a_local_fault_gives_no_receipt_and_the_message_waits(world, exchange):
    await world.send()
    keyring = exchange.keyrings[CO]
    exchange.keyrings[CO] = type(keyring).generate(exchange.origin, CO)
    try:
        line = world.broker.line(CO)
        async with Client(world.recipient().config, keys=keyring, line=line, clock=world.clock) as client:
            client._parts.mailbox._keys = exchange.keyrings[CO]  # the new keyring, before it is published
            assert [message async for message in client.inbox()] == []
    finally:
        exchange.keyrings[CO] = keyring
    assert world.events == []
    assert world.broker.dead == []
    world.later()
    assert len(await world.receive()) == 1


async def test_finding_a_message_costs_no_more_when_many_were_received(world):
    costs = []
    for count in (1, 20):
        await world.send(count)
        digest = (await world.receive())[-1].digest
        store = InboxStore(world.folder / CO / "inbox.sqlite")
        steps: list[int] = []
        store._db.set_progress_handler(lambda steps=steps: steps.append(1), 1)
        assert store.get(digest).digest == digest
        costs.append(len(steps))
        store.close()
    assert 0 < costs[1] <= costs[0] + 10


async def test_the_most_urgent_message_comes_first(world):
    await world.send(2)
    (flash,) = await world.send(priority="flash")
    found = await world.receive()
    assert found[0].digest == flash.digest


async def test_other_types_wait_for_whoever_asks_for_them(world, exchange):
    async with world.broker.client("ca.liaison", world.folder) as other:
        await other.send(RESPONSE, CO, type="response/1")
    await world.send()
    async with world.recipient() as client:
        for type_ in ("information-request/1", "response/1"):
            found = [message async for message in delivered(client, type=type_)]
            assert [message.type for message in found] == [type_]
    assert len(world.events) == 2


async def delivered(client: Client, **how: Any) -> Any:
    async for message in client.inbox(**how):
        async with message:
            yield message


async def test_a_long_handler_keeps_its_lease(world):
    world.broker.lease_ms = 100
    await world.send()
    line = world.broker.line(CO)
    async with world.recipient(line) as client:
        async for message in client.inbox():
            async with message:
                await asyncio.sleep(0.3)
    assert line.calls.count("extend") >= 3
    assert world.events == ["ConsignmentAcceptance"]


async def test_one_process_reads_an_inbox_at_a_time(world):
    await world.send()
    async with world.recipient() as one, world.recipient() as two:
        async for message in one.inbox():
            async with message:
                with pytest.raises(InboxBusyError):
                    await anext(two.inbox())
    assert len(world.events) == 1


async def test_two_machines_share_a_mailbox(world):
    await world.send(20)
    config = world.recipient().config
    found = []
    keys = world.exchange.keyrings[CO]
    for name in ("one", "two"):
        there = msgspec.structs.replace(config, state=str(world.folder / name))
        async with Client(there, keys=keys, line=world.broker.line(CO), clock=world.clock) as client:
            async for message in client.inbox():
                async with message:
                    found.append((name, message.digest))
                if name == "one" and len(found) == 5:
                    break
    assert len({digest for _, digest in found}) == len(found) == 20


async def test_what_was_fetched_and_not_handled_goes_back_when_the_client_closes(world):
    await world.send(3)
    async with world.recipient() as client:
        async for message in client.inbox():
            async with message:
                break
    assert len(world.events) == 1
    assert len(await world.receive()) == 2


async def test_a_message_that_ends_the_process_again_and_again_is_put_aside(world, monkeypatch):
    monkeypatch.setattr(inbox, "begun_max", 2)
    (poison,) = await world.send()
    for _ in range(2):
        line = world.broker.line(CO)
        client = world.recipient(line)
        await client.__aenter__()
        message = await anext(client.inbox())
        await message.__aenter__()
        line.down = True  # the process dies
        await client.__aexit__(None, None, None)
    (good,) = await world.send()
    assert [message.digest for message in await world.receive()] == [good.digest]
    assert [entry.digest for entry in world.broker.mailboxes[CO]] == [poison.digest]


async def test_a_following_inbox_outlives_a_broker_that_is_away(world, monkeypatch):
    monkeypatch.setattr(asyncio, "sleep", lambda _, sleep=asyncio.sleep: sleep(0.01))
    line = world.broker.line(CO)
    async with world.recipient(line) as client:
        await client.directory()
        line.down = True
        waiting = asyncio.ensure_future(anext(client.inbox(follow=True)))
        await asyncio.sleep(0)
        line.down = False
        (sent,) = await world.send()
        async with asyncio.timeout(10), await waiting as message:
            assert message.digest == sent.digest


async def test_what_is_for_inside_the_block_says_so_outside(world):
    await world.send()
    async with world.recipient() as client:
        message = await anext(client.inbox())
        with pytest.raises(UsageError):
            await message.reject("no")
        with pytest.raises(UsageError):
            await message.reply(RESPONSE, type="response/1")
        async with message:
            pass
        with pytest.raises(UsageError):
            async with message:
                pass


async def test_the_state_folder_holds_no_plaintext_and_is_private(world):
    await world.send()
    await world.receive()
    secret = REQUEST["case"]["title"].encode()
    files = [path for path in world.folder.rglob("*.sqlite*") if path.is_file()]
    assert len(files) >= 4
    assert all(secret not in path.read_bytes() for path in files)
    assert all(path.stat().st_mode & 0o077 == 0 for path in files)


async def test_receipts_verify_under_the_recipients_key(world, exchange):
    await world.send()
    await world.receive()
    raw = next(e.event for e in world.broker.feeds[MX] if e.event.startswith(b"valija/receipt"))
    _, receipt = evidence.parse_receipt(raw, exchange.origin)
    assert (receipt.recipient, receipt.directory) == (CO, exchange.phonebook.reference)
