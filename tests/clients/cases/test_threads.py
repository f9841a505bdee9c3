"""A reply stays in its thread and among its parties; what only claims to is marked, and an exercise never mixes."""

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from valija import UnknownMessageError, UsageError
from valija.client import Client
from valija.received import Message

EXAMPLES = Path(__file__).parents[3] / "schemas/examples"
REQUEST, RESPONSE, CLARIFICATION = (
    json.loads((EXAMPLES / f"{name}-1.json").read_text())
    for name in ("information-request", "response", "clarification")
)
MX, CO, CA = "mx.enlace", "co.enlace", "ca.liaison"
TYPE = "information-request/1"


async def handled(client: Client, *, reply: bool = False, **options: Any) -> list[Message]:
    found = []
    async for message in client.inbox():
        async with message:
            found.append(message)
            if reply:
                await message.reply(RESPONSE, type="response/1", **options)
    return found


async def stray(client: Client, to: str, **header: Any) -> None:
    """Send a response whose header says what our own program would refuse."""
    order = client.order(RESPONSE, to, type="response/1")
    await client._open.sending.send(replace(order, **header))


async def test_a_reply_that_would_leave_its_exchange_is_refused_before_sealing(broker, tmp_path):
    async with broker.client(MX, tmp_path) as sender, broker.client(CO, tmp_path) as recipient:
        sent = await sender.send(REQUEST, CO, type=TYPE)
        await handled(recipient)
        refused: list[tuple[type[Exception], str, dict[str, Any]]] = [
            (UnknownMessageError, "was received or sent here", {"in_reply_to": "0" * 64}),
            (UnknownMessageError, "no thread", {"thread": sent.thread.replace("-7", "-8")}),
            (UsageError, "stays in its thread", {"in_reply_to": sent.digest, "thread": sent.thread.upper()}),
            (UsageError, "goes to mx.enlace", {"in_reply_to": sent.digest, "to": CA}),
            (UsageError, "is no party", {"thread": sent.thread, "to": [MX, CA]}),
            (UsageError, "an exercise and a real case", {"in_reply_to": sent.digest, "exercise": True}),
            (UsageError, "an exercise and a real case", {"thread": sent.thread, "exercise": True}),
        ]
        for error, text, how in refused:
            with pytest.raises(error, match=text):
                await recipient.send(RESPONSE, how.pop("to", MX), type="response/1", **how)
        with pytest.raises(UsageError, match="is no party"):
            await sender.send(CLARIFICATION, CA, type="clarification/1", in_reply_to=sent.digest)
        assert len(broker.accepted) == 1
        await recipient.send(CLARIFICATION, MX, type="clarification/1", thread=sent.thread)
        assert [message.apart for message in await handled(sender)] == [None]


async def test_what_only_names_a_thread_is_marked_and_stands_apart_from_it(broker, tmp_path):
    async with broker.client(MX, tmp_path) as sender, broker.client(CA, tmp_path) as stranger:
        sent = await sender.send(REQUEST, CO, type=TYPE)
        other = await sender.send(REQUEST, CA, type=TYPE)
        await stray(stranger, MX, in_reply_to=sent.digest, thread=sent.thread)
        await stray(stranger, MX, in_reply_to=other.digest, thread=sent.thread)
        await stray(stranger, MX, in_reply_to="0" * 64, thread=other.thread)
        await stray(stranger, MX, in_reply_to=other.digest, thread=other.thread, exercise=True)
        found = await handled(sender)
        assert [message.apart for message in found] == ["not-a-party", "not-a-party", "unknown", "exercise"]
        cases = await sender.cases(every=True)
        assert {case.id: (case.apart, case.messages) for case in cases} == {
            sent.thread: (None, 1),
            other.thread: (None, 1),
            f"{sent.thread}/{CA}": ("not-a-party", 2),
            f"{other.thread}/{CA}": ("unknown", 1),
        }
        (drill,) = await sender.cases(exercise=True)
        assert (drill.id, drill.apart) == (f"{other.thread}/{CA}/exercise", "exercise")
        assert [case.state for case in cases if case.apart is None] == ["theirs", "theirs"]


@pytest.mark.parametrize("key", [None, "mine"])
async def test_an_answer_to_an_exercise_is_an_exercise(broker, tmp_path, key):
    async with broker.client(MX, tmp_path) as sender, broker.client(CO, tmp_path) as recipient:
        sent = await sender.send(REQUEST, CO, type=TYPE, exercise=True)
        (message,) = await handled(recipient, reply=True, key=key)
        assert message.exercise
        (answer,) = await handled(sender)
        assert (answer.exercise, answer.apart) == (True, None)
        again = await recipient.reply(message, CLARIFICATION, type="clarification/1")
        assert (again.exercise, again.to, again.thread) == (True, (MX,), sent.thread)
        assert await sender.cases(every=True) == []


async def test_a_type_that_does_not_answer_another_is_warned_of_and_sent(broker, tmp_path, caplog):
    async with broker.client(MX, tmp_path) as sender, broker.client(CO, tmp_path) as recipient:
        sent = await sender.send(REQUEST, CO, type=TYPE)
        await handled(recipient)
        await recipient.reply(sent.digest, CLARIFICATION, type="clarification/1")
        assert "does not usually answer" not in caplog.text
        await recipient.reply(sent.digest, REQUEST, type=TYPE)
        assert "information-request/1 does not usually answer information-request/1" in caplog.text


async def test_cases_are_asked_for_while_a_handler_writes(broker, tmp_path):
    async with broker.client(MX, tmp_path) as sender, broker.client(CO, tmp_path) as recipient:
        await sender.send(REQUEST, CO, type=TYPE)
        async for message in recipient.inbox():
            async with message, message.transaction() as db:
                db.execute("CREATE TABLE mine (digest TEXT)")
                assert message.apart is None
                assert [case.state for case in await recipient.cases()] == ["ours"]
