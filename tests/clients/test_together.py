"""What several tasks send at once is stored together: each hears its own outcome, and nobody pays for another."""

import asyncio
import json
from pathlib import Path

import pytest

from valija import KeyConflictError, StateError
from valija.together import Together

REQUEST = json.loads((Path(__file__).parents[2] / "schemas/examples/information-request-1.json").read_text())
TYPE = "information-request/1"


@pytest.fixture
async def client(broker, tmp_path):
    async with broker.client("mx.enlace", tmp_path) as found:
        await found.send(REQUEST, "ca.liaison", type=TYPE)
        yield found


async def test_messages_sent_at_once_share_their_commits_and_are_all_accepted(client, broker):
    statements = []
    client._open.outbox._db.set_trace_callback(statements.append)
    sent = await asyncio.gather(*(client.send(REQUEST, "ca.liaison", type=TYPE) for _ in range(32)))
    assert statements.count("COMMIT") < 8
    assert len({each.digest for each in sent} & broker.accepted.keys()) == 32
    assert {each.state for each in sent} == {"accepted"}


async def test_a_key_that_is_taken_by_another_message_fails_alone(client, broker):
    other = REQUEST | {"language": "pt"}
    orders = [(REQUEST, "one"), (other, "one"), (REQUEST, "two"), (REQUEST, "one"), (REQUEST, None)]
    found = await asyncio.gather(
        *(client.send(document, "ca.liaison", type=TYPE, key=key) for document, key in orders), return_exceptions=True
    )
    assert isinstance(found.pop(1), KeyConflictError)
    assert found[0].id == found[2].id, "one key is one message"
    assert {each.state for each in found} == {"accepted"}
    assert len(broker.accepted) == 1 + 3


async def test_what_could_not_be_stored_is_not_sent(client, broker):
    db = client._open.outbox._db
    db.execute(f"PRAGMA max_page_count = {db.execute('PRAGMA page_count').fetchone()[0]}")  # a full disk
    found = await asyncio.gather(
        *(client.send(REQUEST, "ca.liaison", type=TYPE) for _ in range(32)), return_exceptions=True
    )
    assert {type(each) for each in found} == {StateError}
    assert len(broker.accepted) == 1
    db.execute("PRAGMA max_page_count = 1000000")
    assert (await client.send(REQUEST, "ca.liaison", type=TYPE)).state == "accepted"


async def test_who_left_before_the_call_is_left_out_and_the_next_turn_is_a_call_of_its_own():
    calls = []

    def call(items):
        calls.append(list(items))
        return items

    together = Together(call)
    tasks = [asyncio.create_task(together(n)) for n in range(3)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    first, left, last = await asyncio.gather(*tasks, return_exceptions=True)
    assert (first, type(left), last) == (0, asyncio.CancelledError, 2)
    assert calls == [[0, 2]]
    assert await together(3) == 3
    assert calls == [[0, 2], [3]]
