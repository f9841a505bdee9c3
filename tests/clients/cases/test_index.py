"""The case index: what lists say is what outbox and inbox hold, however the index came to be."""

import asyncio
import hashlib
import json
import os
import sqlite3
import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from valija.cases import index as indexes
from valija.cases.index import CaseIndex
from valija.client import Client
from valija.keys import own_recipient
from valija.testing import MemoryBroker, config_for
from valija_schemas import documents, limits

EXAMPLES = Path(__file__).parents[3] / "schemas/examples"
REQUEST = json.loads((EXAMPLES / "information-request-1.json").read_text())
RESPONSE = json.loads((EXAMPLES / "response-1.json").read_text())
MX, CO, CA = "mx.enlace", "co.enlace", "ca.liaison"
TYPE = "information-request/1"
UNDATED = REQUEST | {"respond_by": None}
FULL = RESPONSE | {"outcome": "full", "reasons": None, "items_outstanding": []}


async def answer(broker: MemoryBroker, folder: Path, document: Mapping[str, Any], id_: str = CO) -> None:
    async with broker.client(id_, folder) as recipient:
        async for message in recipient.inbox():
            async with message:
                await message.reply(document, type="response/1")


async def take(client: Client) -> None:
    async for message in client.inbox():
        async with message:
            pass


def stored(folder: Path, id_: str = MX) -> bytes:
    """Every byte of the index on the disk."""
    return b"".join(path.read_bytes() for path in (folder / id_).glob("cases.sqlite*"))


async def test_a_case_says_who_owes_whom_an_answer_until_it_is_answered_in_full(broker, tmp_path):
    async with broker.client(MX, tmp_path) as sender:
        sent = await sender.send(UNDATED, CO, type=TYPE, priority="urgent")
        (case,) = await sender.cases()
        assert (case.id, case.state, case.others) == (sent.thread, "theirs", (CO,))
        assert (case.reference, case.title) == (REQUEST["case"]["reference"], REQUEST["case"]["title"])
        assert (case.due, case.overdue) == (sent.sent + 3 * limits.DAY_MS, False)

        async with broker.client(CO, tmp_path) as recipient:
            await take(recipient)
            (theirs,) = await recipient.cases()
            assert (theirs.id, theirs.state, theirs.others) == (sent.thread, "ours", (MX,))
            assert theirs.due >= case.due

        await recipient_replies(broker, tmp_path, sent.digest, RESPONSE)
        await take(sender)
        (case,) = await sender.cases()
        assert (case.state, case.messages) == ("theirs", 2)
        await recipient_replies(broker, tmp_path, sent.digest, FULL)
        await take(sender)
        assert await sender.cases() == []
        (case,) = await sender.cases(every=True)
        assert (case.state, case.due, case.messages) == ("answered", None, 3)


async def recipient_replies(broker: MemoryBroker, folder: Path, digest: str, document: Mapping[str, Any]) -> None:
    async with broker.client(CO, folder) as recipient:
        await recipient.send(document, MX, type="response/1", in_reply_to=digest)


async def test_the_most_overdue_answer_comes_first(broker, tmp_path):
    late = {"by": "2026-03-06T17:00:00-06:00", "reasons": "Audiencia de ejemplo"}
    later = late | {"by": "2025-03-06T17:00:00-06:00"}
    async with broker.client(MX, tmp_path) as sender:
        ids = [(await sender.send(REQUEST | {"respond_by": by}, CO, type=TYPE)).thread for by in (late, later, None)]
        assert [case.id for case in await sender.cases(overdue=True)] == [ids[1], ids[0]]
        assert [case.overdue for case in await sender.cases()] == [False, True, True]
        assert [case.id for case in await sender.cases(limit=1)] == [ids[2]]


async def test_an_answer_is_due_from_its_receipt_on_once_that_is_known(broker, tmp_path):
    async with broker.client(MX, tmp_path) as sender:
        sent = await sender.send(UNDATED, CO, type=TYPE)
        (before,) = await sender.cases()
        async with broker.client(CO, tmp_path) as recipient:
            await take(recipient)
        await sender.track(sent.id)
        (after,) = await sender.cases()
        receipt = broker.receipts[0].time
        assert (before.due, after.due) == (sent.sent + 7 * limits.DAY_MS, receipt + 7 * limits.DAY_MS)


async def test_an_index_that_was_deleted_or_damaged_says_the_same_again(broker, tmp_path):
    async with broker.client(MX, tmp_path) as sender:
        await sender.send(REQUEST, [CO, CA], type=TYPE)
        await answer(broker, tmp_path, RESPONSE)
        await answer(broker, tmp_path, FULL, CA)
        await take(sender)
        before = await sender.cases(every=True)
        for path in (tmp_path / MX).glob("cases.sqlite*"):
            path.unlink()
        assert await sender.cases(every=True) == before
        with sqlite3.connect(tmp_path / MX / "cases.sqlite") as db:
            db.execute("UPDATE valija_meta SET value = x'00' WHERE name = 'key'")
            db.execute("UPDATE valija_meta SET value = x'30' WHERE name = 'received'")
        assert await sender.cases(every=True) == before


async def test_an_index_is_caught_up_in_many_steps_as_in_one(broker, tmp_path, monkeypatch):
    monkeypatch.setattr(indexes, "batch_rows", 1)
    async with broker.client(MX, tmp_path) as sender:
        for _ in range(3):
            await sender.send(REQUEST, CO, type=TYPE)
        await answer(broker, tmp_path, FULL)
        await take(sender)
        stepped = await sender.cases(every=True)
        monkeypatch.undo()
        for path in (tmp_path / MX).glob("cases.sqlite*"):
            path.unlink()
        assert await sender.cases(every=True) == stepped
        assert [case.state for case in stepped] == ["answered"] * 3


async def test_a_catching_up_that_was_cut_off_is_done_again(broker, tmp_path, monkeypatch):
    monkeypatch.setattr(indexes, "batch_rows", 2)
    async with broker.client(MX, tmp_path) as sender:
        threads = [(await sender.send(REQUEST, CO, type=TYPE)).thread for _ in range(3)]
        whole, seen = CaseIndex._arrange, []

        def cut_off(self: CaseIndex, thread: str) -> None:
            whole(self, thread)
            seen.append(thread)
            if len(seen) == 3:  # the first batch of two is committed, the second is not
                raise ZeroDivisionError

        monkeypatch.setattr(CaseIndex, "_arrange", cut_off)
        with pytest.raises(ZeroDivisionError):
            await sender.cases()
        with sqlite3.connect(tmp_path / MX / "cases.sqlite") as db:
            assert db.execute("SELECT count(*) FROM valija_cases").fetchone()[0] == 2
        monkeypatch.setattr(CaseIndex, "_arrange", whole)
        assert [case.id for case in await sender.cases()] == threads[::-1]


async def test_older_files_in_the_place_of_those_that_were_read_are_read_anew(broker, tmp_path):
    folder = tmp_path / MX
    async with broker.client(MX, tmp_path) as sender:
        first = await sender.send(REQUEST, CO, type=TYPE)
    copy = (folder / "outbox.sqlite").read_bytes()
    async with broker.client(MX, tmp_path) as sender:
        await sender.send(REQUEST, CO, type=TYPE)
        assert len(await sender.cases()) == 2
    for path in folder.glob("outbox.sqlite*"):
        path.unlink()
    (folder / "outbox.sqlite").write_bytes(copy)
    async with broker.client(MX, tmp_path) as sender:
        assert [case.id for case in await sender.cases()] == [first.thread]


async def test_nothing_of_the_content_lies_in_clear(broker, tmp_path):
    async with broker.client(MX, tmp_path) as sender:
        await sender.send(REQUEST, CO, type=TYPE)
        await sender.cases()
        assert CO.encode() in stored(tmp_path)
        for secret in (REQUEST["case"]["reference"], REQUEST["case"]["title"], REQUEST["handling"]["retain_until"]):
            assert secret.encode() not in stored(tmp_path)


async def test_a_row_of_the_index_opens_for_its_own_message_alone(broker, tmp_path):
    async with broker.client(MX, tmp_path) as sender:
        for number in (1, 2):
            case = REQUEST["case"] | {"reference": f"EJEMPLO/{number}"}
            await sender.send(REQUEST | {"case": case}, CO, type=TYPE)
        await sender.cases()
        with sqlite3.connect(tmp_path / MX / "cases.sqlite") as db:
            heads = dict(db.execute("SELECT case_id, head FROM valija_cases").fetchall())
            for case_id, head in zip(heads, reversed(heads.values()), strict=True):
                db.execute("UPDATE valija_cases SET head = ? WHERE case_id = ?", (head, case_id))
        with pytest.raises(indexes.StateError, match="damaged") as error:
            await sender.cases()
        assert "cases.sqlite" in error.value.hint


async def test_cases_are_read_after_the_keys_were_rotated(exchange, broker, tmp_path):
    async with broker.client(MX, tmp_path) as sender:
        await sender.send(REQUEST, CO, type=TYPE)
        before = await sender.cases()
    config, keys = config_for(exchange, MX, tmp_path), exchange.keyrings[MX].rotate()
    index = CaseIndex(config.state_folder, config.exchange, keys, lambda: own_recipient(keys, exchange.phonebook))
    now = broker.clock()
    assert index.cases(now, limit=10) == before
    index.close()


async def test_what_does_not_open_yet_counts_once_its_key_is_there(exchange, broker, tmp_path):
    from valija.errors import KeyMissingError

    class Without:
        """Our keys, without the one that seals were made for."""

        def __init__(self) -> None:
            self.missing = True

        def __getattr__(self, name: str) -> Any:
            return getattr(exchange.keyrings[CO], name)

        def seal_identity(self, key_id: str) -> Any:
            if self.missing and key_id == exchange.keyrings[CO].seal.recipient.key_id:
                raise KeyMissingError("not here")
            return spare.seal_identity(key_id) if key_id == other else exchange.keyrings[CO].seal_identity(key_id)

    spare = exchange.keyrings[CO].rotate()
    other = spare.seal.recipient.key_id
    async with broker.client(MX, tmp_path) as sender, broker.client(CO, tmp_path) as recipient:
        await sender.send(REQUEST, CO, type=TYPE)
        await take(recipient)
    config, keys = config_for(exchange, CO, tmp_path), Without()
    index = CaseIndex(config.state_folder, config.exchange, keys, lambda: spare.seal.recipient)
    (case,) = index.cases(broker.clock(), limit=10)
    assert (case.reference, case.state, index.unreadable()) == (None, "information", 1)
    keys.missing = False
    (case,) = index.cases(broker.clock(), limit=10)
    assert (case.reference, case.state, index.unreadable()) == (REQUEST["case"]["reference"], "ours", 0)
    index.close()


async def test_what_was_refused_leaves_nothing_open(broker, tmp_path):
    async with broker.client(MX, tmp_path) as sender, broker.client(CO, tmp_path) as recipient:
        await sender.send(REQUEST, CO, type=TYPE)
        async for message in recipient.inbox():
            (case,) = await recipient.cases()
            assert case.state == "ours"
            async with message:
                await message.reject("Duplicado de ejemplo")
        assert await recipient.cases() == []
        assert [case.state for case in await recipient.cases(every=True)] == ["void"]


async def test_a_thread_of_large_messages_is_read_with_room_for_one_of_them(broker, tmp_path):
    content = os.urandom(650_000)
    scan = {"name": "a.bin", "media_type": "application/pdf", "size": len(content), "content": content}
    scan |= {"sha256": hashlib.sha256(content).hexdigest()}
    count = 16
    async with broker.client(MX, tmp_path) as sender, broker.client(CO, tmp_path) as recipient:
        first = await sender.send(documents.from_builtins(TYPE, UNDATED | {"files": [scan]}), CO)
        order = sender.order(documents.from_builtins(TYPE, UNDATED | {"files": [scan]}), CO)
        for _ in range(count - 1):
            await sender._open.sending.send(replace(order, thread=first.thread))
        await take(recipient)
        for work in (
            lambda: recipient.cases(every=True, limit=1),
            lambda: asyncio.to_thread(recipient._open.threads.apart, first.digest, first.thread),
        ):
            tracemalloc.start()
            await work()
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < count * len(content)  # less than all; what one takes is opened several times over
