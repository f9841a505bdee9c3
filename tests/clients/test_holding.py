"""Who is held is told by whom, until when and why; a broker that only claims it is found out. SPEC.md 4.7."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from valija import HeldError, holding
from valija.cli.common import LATER, status_of
from valija.outbox import Outbox
from valija.registry.sample import sample_exchange
from valija.testing import MemoryBroker
from valija_schemas import hold, limits
from valija_schemas import note as notes
from valija_schemas.directory import Operator
from valija_schemas.hold import Hold

EXAMPLES = Path(__file__).parents[2] / "schemas/examples"
REQUEST = json.loads((EXAMPLES / "information-request-1.json").read_text())
MX, CO, CA = "mx.enlace", "co.enlace", "ca.liaison"
TYPE = "information-request/1"


def note(broker, signers=None, **changes):
    exchange, now = broker.exchange, broker.clock()
    values = {"action": "hold", "contact_point": MX, "hold": None, "directory": exchange.phonebook.reference,
              "time": now, "until": now + limits.HOUR_MS, "reason": "a laptop was stolen"}  # fmt: skip
    text = hold.text(exchange.origin, Hold(**(values | changes)))
    return notes.sign(text, signers or exchange.operators)


@pytest.fixture(autouse=True)
def spread(monkeypatch):
    monkeypatch.setattr(holding, "spread_s", 0.0)


def alarms(folder):
    return [alarm.text for alarm in Outbox(folder / MX / "outbox.sqlite").alarms.about()]


async def test_what_is_sent_under_a_hold_is_stored_and_goes_when_it_is_lifted(broker, tmp_path, caplog):
    broker.holds[MX] = note(broker)
    async with broker.client(MX, tmp_path) as client:
        sent = await client.send(REQUEST, CO, type=TYPE)
        assert sent.state == "pending"
        for words in ("operator.a, operator.b held mx.enlace until 20", "a laptop was stolen", "Call the operators"):
            assert words in caplog.text
        with pytest.raises(HeldError, match="a laptop was stolen") as found:
            async for _ in client.inbox():
                raise AssertionError
        assert status_of(found.value) == LATER
        del broker.holds[MX]
        assert [each.state for each in await client.flush()] == ["accepted"]
        found = {each.check: each for each in await client.examine(round_trip=False)}
        assert found["hold"].verdict == "ok"
        broker.holds[MX] = note(broker)
        found = {each.check: each for each in await client.examine()}
        assert (found["hold"].verdict, "a laptop was stolen" in found["hold"].detail) == ("wrong", True)
        assert found["round trip"].verdict == "not checked"
        del broker.holds[MX]
        assert await client.flush() == [], "no exercise waits for the end of a hold"
    assert alarms(tmp_path) == []


async def test_a_receipt_that_is_given_under_a_hold_waits_for_its_end(broker, tmp_path):
    async with broker.client(CO, tmp_path) as sender:
        await sender.send(REQUEST, MX, type=TYPE)
    async with broker.client(MX, tmp_path) as client:
        async for message in client.inbox():
            async with message:
                broker.holds[MX] = note(broker)
            break
    del broker.holds[MX]
    broker.lapse(MX)
    async with broker.client(MX, tmp_path) as client:
        assert [message async for message in client.inbox()] == []
    assert [event.event for event in broker.feeds[CO]][-1].startswith(b"valija/receipt/v1")


@pytest.mark.parametrize("shown", ["nothing", "one operator", "strangers", "another's", "a lifting", "over", "garbage"])
async def test_a_broker_that_claims_a_hold_and_cannot_show_it_raises_an_alarm(broker, tmp_path, shown):
    now, operators = broker.clock(), broker.exchange.operators
    broker.holds[MX] = {
        "nothing": b"",
        "one operator": note(broker, operators[:1]),
        "strangers": note(broker, sample_exchange().operators),
        "another's": note(broker, contact_point=CA),
        "a lifting": note(broker, action="lift", hold="ab" * 32, directory=None, until=None),
        "over": note(broker, time=now - 2, until=now - 1),
        "garbage": b"\xff",
    }[shown]
    async with broker.client(MX, tmp_path) as client:
        with pytest.raises(HeldError, match="does not show an order") as found:
            async for _ in client.inbox():
                raise AssertionError
        assert "registry officer" in found.value.hint
        assert (await client.send(REQUEST, CO, type=TYPE)).state == "pending"
    assert len(alarms(tmp_path)) == 1


async def test_a_hold_that_was_lifted_is_no_order_however_long_a_broker_shows_it(broker, tmp_path):
    broker.holds[MX] = held = note(broker)
    lift = note(broker, action="lift", hold=notes.parse(held).digest, directory=None, until=None, reason="found again")
    broker._tell([MX], held)
    async with broker.client(MX, tmp_path) as client:
        with pytest.raises(HeldError, match="a laptop was stolen"):
            async for _ in client.inbox():
                raise AssertionError
        broker._tell([MX], lift)
        with pytest.raises(HeldError, match="does not show an order"):
            async for _ in client.inbox():
                raise AssertionError
        later = note(broker, time=broker.clock() + 1)
        broker.holds[MX] = later
        with pytest.raises(HeldError, match="a laptop was stolen"):
            async for _ in client.inbox():
                raise AssertionError
    assert len(alarms(tmp_path)) == 1


async def test_a_hold_that_ends_between_two_questions_is_no_alarm(broker, tmp_path, monkeypatch):
    async with broker.client(MX, tmp_path, line := broker.line(MX)) as client:
        broker.holds[MX] = b""

        async def ended():
            del broker.holds[MX]
            return ()

        monkeypatch.setattr(line, "holds", ended)
        assert (await client.send(REQUEST, CO, type=TYPE)).state == "accepted"
    assert alarms(tmp_path) == []


async def test_operators_of_a_root_that_is_not_here_yet_are_looked_up(tmp_path):
    broker = MemoryBroker(sample_exchange())
    async with broker.client(MX, tmp_path) as client:
        await client.directory()
        signers = [
            notes.Ed25519Signer(f"{broker.exchange.origin}/operator.{name}", Ed25519PrivateKey.generate())
            for name in "yz"
        ]
        named = tuple(
            Operator(id=f"operator.{n}", roles=("operator",), key=s.public.hex())
            for n, s in zip("yz", signers, strict=True)
        )
        broker.exchange.next_root(lambda root: replace(root, operators=named))
        broker.exchange.next_directory()
        broker.holds[MX] = note(broker, signers)
        with pytest.raises(HeldError, match=r"operator\.y, operator\.z held"):
            async for _ in client.inbox():
                raise AssertionError


async def test_holds_are_told_in_the_feed_with_their_names_and_those_of_others_are_alarms(broker, tmp_path):
    held = note(broker)
    lift = note(broker, action="lift", hold=notes.parse(held).digest, directory=None, until=None, reason="found again")
    for event in (held, lift, note(broker, contact_point=CA), note(broker, broker.exchange.operators[:1])):
        broker._tell([MX], event)
    async with broker.client(MX, tmp_path) as client:
        complete, told = await client.track_operators()
    assert complete
    assert [(found.event, found.says, found.by) for found in told[:2]] == [
        ("OperatorHold", "verified", "operators")
    ] * 2
    assert told[0].detail.startswith("operator.a, operator.b held mx.enlace until 20")
    assert told[1].detail == "operator.a, operator.b lifted the hold on mx.enlace: found again"
    assert [(found.says, found.detail) for found in told[2:]] == [
        ("alarm", f"it is an event of {CA}, not of ours"),
        ("alarm", "it needs the signatures of 2 operators, and bears 1"),
    ]
