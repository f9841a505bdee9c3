"""Following a message: what is verified, what is said, what is wrong; and the blocking twin."""

import inspect
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

import valija
from valija import (
    DeliveryFailedError,
    StillWaitingError,
    UnknownMessageError,
    UsageError,
    bundle,
    client,
    received,
    sync,
)
from valija.connect import check_url
from valija.outbox import Outbox
from valija.registry.sample import SampleExchange
from valija.testing import MemoryBroker, config_for
from valija.verify import verify
from valija_schemas import limits, order
from valija_schemas import note as notes

EXAMPLES = Path(__file__).parents[2] / "schemas/examples"
REQUEST = json.loads((EXAMPLES / "information-request-1.json").read_text())
RESPONSE = json.loads((EXAMPLES / "response-1.json").read_text())
MX, CO, CA = "mx.enlace", "co.enlace", "ca.liaison"
TYPE = "information-request/1"


async def receive(broker: MemoryBroker, id_: str, folder: Path, *, reply: bool = False, reject: bool = False) -> None:
    async with broker.client(id_, folder) as recipient:
        async for message in recipient.inbox():
            async with message:
                if reply:
                    await message.reply(RESPONSE, type="response/1")
                if reject:
                    await message.reject("Duplicado de ejemplo")


async def test_waiting_ends_when_every_recipient_has_answered(broker, tmp_path):
    async with broker.client(MX, tmp_path) as sender:
        sent = await sender.send(REQUEST, [CO, CA], type=TYPE)
        await sender.wait(sent, "accepted", timeout=20)
        await receive(broker, CO, tmp_path)
        for until in ("handed-over", "acknowledged"):
            with pytest.raises(StillWaitingError):
                await sender.wait(sent, until, timeout=0.05)
        await receive(broker, CA, tmp_path)
        for until in ("handed-over", "acknowledged"):
            await sender.wait(sent, until, timeout=20)


async def test_a_refusal_ends_the_waiting_with_its_reason(broker, tmp_path):
    async with broker.client(MX, tmp_path) as sender:
        sent = await sender.send(REQUEST, CO, type=TYPE)
        await receive(broker, CO, tmp_path, reject=True)
        await sender.wait(sent, "handed-over", timeout=20)
        with pytest.raises(DeliveryFailedError, match="Duplicado de ejemplo"):
            await sender.wait(sent, "acknowledged", timeout=20)


async def test_a_reply_counts_when_it_answers_our_message_and_stays_in_its_thread(broker, tmp_path):
    async with broker.client(MX, tmp_path) as sender:
        sent = await sender.send(REQUEST, CO, type=TYPE)
        await receive(broker, CO, tmp_path, reply=True)
        with pytest.raises(StillWaitingError):
            await sender.wait(sent, "replied", timeout=0.05)
        async for message in sender.inbox():
            async with message:
                assert (message.in_reply_to, message.thread) == (sent.digest, sent.thread)
                assert message.document.outcome == "partial"
        await sender.wait(sent, "replied", timeout=20)
        assert any(happening.event == "Reply" for happening in (await sender.track(sent.id)).happenings)


async def test_an_answer_from_somebody_who_was_not_asked_is_no_reply(broker, tmp_path):
    async with broker.client(MX, tmp_path) as sender, broker.client(CA, tmp_path) as stranger:
        sent = await sender.send(REQUEST, CO, type=TYPE)
        order = stranger.order(RESPONSE, MX, type="response/1")
        # Our own program refuses this before it seals anything.
        await stranger._open.sending.send(replace(order, in_reply_to=sent.digest, thread=sent.thread))
        async for message in sender.inbox():
            async with message:
                pass
        with pytest.raises(StillWaitingError):
            await sender.wait(sent, "replied", timeout=0.05)


async def test_a_handler_that_runs_again_replies_once(broker, tmp_path):
    async with broker.client(MX, tmp_path) as sender:
        await sender.send(REQUEST, CO, type=TYPE)
    for fails in (True, False):
        async with broker.client(CO, tmp_path) as recipient:
            broker.lapse(CO)
            async for message in recipient.inbox():
                try:
                    async with message:
                        text = f"Respuesta {message.attempt}"
                        await message.reply(RESPONSE | {"reference": text}, type="response/1")
                        if fails:
                            raise ZeroDivisionError
                except ZeroDivisionError:
                    pass
    assert [entry.digest for entry in broker.mailboxes[MX]] == list(broker.accepted)[1:]
    assert len(broker.accepted) == 2


async def test_a_timeline_says_who_says_what(broker, tmp_path):
    async with broker.client(MX, tmp_path) as sender:
        sent = await sender.send(REQUEST, CO, type=TYPE)
        await receive(broker, CO, tmp_path)
        timeline = await sender.track(sent.digest)
    assert [(h.event, h.says, h.by) for h in timeline.happenings] == [
        ("Sealed", "here", MX),
        ("SubmissionAcceptance", "verified", "broker"),
        ("ContentHandover", "the broker says", "broker"),
        ("ConsignmentAcceptance", "verified", CO),
    ]
    assert timeline.complete
    async with broker.client(CO, tmp_path) as recipient:
        timeline = await recipient.track(sent.id)
        assert (timeline.direction, timeline.state) == ("received", "delivered")
        with pytest.raises(UnknownMessageError):
            await recipient.track("0" * 64)


async def test_a_receipt_that_does_not_verify_is_an_alarm_and_counts_for_nothing(broker, exchange, tmp_path, caplog):
    async with broker.client(MX, tmp_path) as sender:
        sent = await sender.send(REQUEST, CO, type=TYPE)
        await receive(broker, CO, tmp_path)
        good = broker.feeds[MX].pop()
        forged = notes.sign(notes.parse(good.event).text, [_renamed(exchange, CA, CO)])
        broker.feeds[MX].append(replace(good, event=forged))
        with pytest.raises(StillWaitingError):
            await sender.wait(sent, "acknowledged", timeout=0.05)
        timeline = await sender.track(sent.id)
    assert [h.says for h in timeline.happenings if h.event == "ConsignmentAcceptance"] == ["alarm"]
    assert "ALARM" in caplog.text


@pytest.mark.parametrize("what", ["unsigned", "gap", "garbage", "salt", "stranger"])
async def test_an_unexpected_event_is_an_alarm_and_never_silent(broker, exchange, tmp_path, caplog, what):
    async with broker.client(MX, tmp_path) as sender:
        sent = await sender.send(REQUEST, CO, type=TYPE)
        (good,) = broker.feeds[MX]
        text = notes.parse(good.event).text
        broker.feeds[MX][0] = {
            "unsigned": replace(good, event=text),
            "gap": replace(good, number=3),
            "garbage": replace(good, event=b"\xff\x00"),
            "salt": replace(good, salt=b"short"),
            "stranger": replace(good, event=notes.sign(text, [_renamed(exchange, CA, "broker")])),
        }[what]
        await sender.track(sent.id)
    assert "ALARM" in caplog.text
    outbox = Outbox(tmp_path / MX / "outbox.sqlite")
    assert outbox.alarms.about() or any(
        event.verdict == "alarm" for event in outbox.feed.of(sent.digest) + outbox.feed.of("")
    )


@pytest.mark.parametrize(
    ("action", "did"),
    [
        ("replay", "sent it back to the queue"),
        ("discard", "gave it up"),
        ("retain", "put a legal hold on its evidence"),
        ("release", "ended the legal hold on its evidence"),
        ("erase", "had the broker's copies of its events erased"),
    ],
)
async def test_what_operators_did_is_shown_with_their_names_and_proved_to_others(
    broker, exchange, tmp_path, action, did
):
    who = (CO,) if action in {"replay", "discard"} else ()
    async with broker.client(MX, tmp_path) as sender:
        sent = await sender.send(REQUEST, CO, type=TYPE)
        await sender.track(sent.id)
        signed_ms = time.time_ns() // 1_000_000 - 48 * 3_600_000  # and handed in much later
        named = {"message": sent.digest, "contact_point": who[0] if who else None}
        given = _order(exchange, exchange.operators, action=action, time=signed_ms, **named)
        broker._tell_both(CO, sent.digest, given)
        timeline = await sender.track(sent.id)
        shown = timeline.happenings[0]
        assert (shown.event, shown.says, shown.by, shown.to) == ("OperatorAction", "verified", "operators", who)
        assert shown.detail == f"operator.a, operator.b {did}: a reason"
        report = verify(await sender.prove(sent.id), exchange.root_digest)
    assert report.result == "proved", report.findings
    (words,) = [found.words for found in report.findings if "operator.a" in found.words]
    assert f"operator.a, operator.b: ordered {action}{f' for {CO}' if who else ''} at" in words
    assert "reason: a reason" in words


async def test_an_order_that_too_few_operators_gave_is_an_alarm_and_proves_nothing(broker, exchange, tmp_path, caplog):
    a, b = exchange.operators
    async with broker.client(MX, tmp_path) as sender:
        sent = await sender.send(REQUEST, CO, type=TYPE)
        good = {"message": sent.digest}
        bad = [
            _order(exchange, [a], **good),
            _order(exchange, [exchange.officers[0], a], **good),
            _order(exchange, [a, b], **good, contact_point=CA),
        ]
        for event in bad:
            broker._tell_both(CO, sent.digest, event)
        timeline = await sender.track(sent.id)
        assert [h.says for h in timeline.happenings if h.event == "OperatorAction"] == ["alarm"] * 3
        parts = bundle.read(await sender.prove(sent.id))
        assert not [name for name in parts if name.startswith("event-02")]
        broker._tell_both(CO, sent.digest, _order(exchange, [a, b], **good))
        parts = bundle.read(await sender.prove(sent.id))
    assert "ALARM" in caplog.text
    (name,) = [name for name, raw in parts.items() if raw.startswith(order.ACTION.encode())]
    for event in bad:
        assert verify(bundle.write(parts | {name: event}), exchange.root_digest).result == "false"


async def test_a_legal_hold_on_a_contact_point_is_told_to_that_one_and_an_alarm_to_another(broker, exchange, tmp_path):
    async with broker.client(MX, tmp_path) as sender:
        for whose in (MX, CA):
            held = _order(exchange, exchange.operators[:1], action="retain", message=None, contact_point=whose)
            broker._tell([MX], held)
        await sender._parts.tracking.pull()
    ours, theirs = Outbox(tmp_path / MX / "outbox.sqlite").feed.of("")
    assert (ours.verdict, ours.detail) == (
        "verified", f"operator.a put a legal hold on all evidence of {MX}: a reason",
    )  # fmt: skip
    assert (theirs.verdict, theirs.detail) == ("alarm", f"it is an event of {CA}, not of ours")


def _order(exchange: SampleExchange, signers: Sequence[notes.Signer], **changes: Any) -> bytes:
    values = {"action": "discard", "contact_point": CO, "time": time.time_ns() // 1_000_000, "reason": "a reason"}
    return notes.sign(order.text(exchange.origin, order.Action(**(values | changes))), signers)


async def test_an_erased_event_is_an_alarm_where_the_events_before_it_are_young(broker, tmp_path, caplog):
    async with broker.client(MX, tmp_path) as sender:
        for _ in range(2):
            await sender.send(REQUEST, CO, type=TYPE)
        gone = broker.feeds[MX][1] = replace(broker.feeds[MX][1], event=b"", salt=b"")
        await sender._parts.tracking.pull()
        assert "less than 90 days old" in caplog.text
        aged = sender._parts.tracking._check.event(gone, broker.clock() - limits.openings_kept_min_ms)
    assert (aged.event, aged.verdict) == ("erased", "stated")
    assert [e.verdict for e in Outbox(tmp_path / MX / "outbox.sqlite").feed.of("")] == ["alarm"]


async def test_old_events_that_are_erased_before_they_are_read_are_counted_and_no_alarm(broker, tmp_path, caplog):
    async with broker.client(MX, tmp_path) as sender:
        for _ in range(2):
            await sender.send(REQUEST, CO, type=TYPE)
        broker.feeds[MX][0] = replace(broker.feeds[MX][0], event=b"", salt=b"")
        await sender._parts.tracking.pull()
    assert "ALARM" not in caplog.text
    outbox = Outbox(tmp_path / MX / "outbox.sqlite")
    assert outbox.feed.position() == 2
    ((event, verdict, proof),) = [(e.event, e.verdict, e.proof) for e in outbox.feed.of("")]
    assert (event, verdict, proof) == ("erased", "stated", None)


async def test_an_event_that_was_read_stays_when_the_broker_erases_it(broker, tmp_path):
    async with broker.client(MX, tmp_path) as sender:
        sent = await sender.send(REQUEST, CO, type=TYPE)
        await sender.track(sent.id)
        broker.feeds[MX][0] = replace(broker.feeds[MX][0], event=b"", salt=b"")
        with sqlite3.connect(tmp_path / MX / "outbox.sqlite") as database:  # as if too few witnesses had seen it
            database.execute("UPDATE valija_events SET complete = 0")
        database.close()
        timeline = await sender.track(sent.id)
    assert [e.complete for e in Outbox(tmp_path / MX / "outbox.sqlite").feed.of(sent.digest)] == [True]
    assert [(h.event, h.says) for h in timeline.happenings][-1] == ("SubmissionAcceptance", "verified")


def _renamed(exchange: SampleExchange, key_of: str, name: str) -> notes.Signer:
    return notes.Ed25519Signer(f"{exchange.origin}/{name}", exchange.keyrings[key_of].sign._key)


async def test_events_are_kept_and_told_without_a_broker(broker, tmp_path):
    async with broker.client(MX, tmp_path) as sender:
        sent = await sender.send(REQUEST, CO, type=TYPE)
        await receive(broker, CO, tmp_path)
        await sender.wait(sent, "acknowledged", timeout=20)
    line = broker.line(MX)
    line.down = True
    async with broker.client(MX, tmp_path, line) as sender:
        timeline = await sender.track(sent.id)
    assert not timeline.complete
    assert timeline.happenings[-1].event == "ConsignmentAcceptance"


def blocking(broker: MemoryBroker, id_: str, folder: Path) -> sync.Client:
    keys = broker.exchange.keyrings[id_]
    return sync.Client(config_for(broker.exchange, id_, folder), keys=keys, line=broker.line(id_))


def test_the_blocking_client_sends_receives_and_replies(broker, tmp_path):
    with blocking(broker, MX, tmp_path) as sender, blocking(broker, CO, tmp_path) as recipient:
        sent = sender.send(REQUEST, CO, type=TYPE, key="case-1")
        for message in recipient.inbox():
            with message:
                with message.transaction() as db:
                    db.execute("CREATE TABLE mine (text TEXT)")
                    db.execute("INSERT INTO mine VALUES (?)", (message.sender,))
                assert message.attempt == 1
                message.reply(RESPONSE, type="response/1")
        sender.wait(sent, "acknowledged", timeout=20)
        assert [message.type for message in taken(sender)] == ["response/1"]
        sender.wait(sent, "replied", timeout=20)
    with sqlite3.connect(tmp_path / CO / "inbox.sqlite") as db:
        assert db.execute("SELECT text FROM mine").fetchall() == [(MX,)]
    db.close()


def taken(client: sync.Client) -> list[Any]:
    found = []
    for message in client.inbox():
        with message:
            found.append(message)
    return found


def test_a_blocking_handler_that_works_long_keeps_its_lease(broker, tmp_path):
    broker.lease_ms = 100
    with blocking(broker, MX, tmp_path) as sender, blocking(broker, CO, tmp_path) as recipient:
        sender.send(REQUEST, CO, type=TYPE)
        for message in recipient.inbox():
            with message:
                time.sleep(0.3)
    assert len(broker.receipts) == 1
    assert broker.mailboxes[CO] == []


def test_a_blocking_handlers_exception_rolls_back(broker, tmp_path):
    with blocking(broker, MX, tmp_path) as sender, blocking(broker, CO, tmp_path) as recipient:
        sender.send(REQUEST, CO, type=TYPE)
        with pytest.raises(ZeroDivisionError):
            for message in recipient.inbox():
                with message, message.transaction() as db:
                    db.execute("CREATE TABLE mine (text TEXT)")
                    raise ZeroDivisionError
    with sqlite3.connect(tmp_path / CO / "inbox.sqlite") as db:
        assert db.execute("SELECT name FROM sqlite_master WHERE name = 'mine'").fetchall() == []
    db.close()


@pytest.mark.parametrize(("blocking", "other"), [(sync.Client, client.Client), (sync.Message, received.Message)])
def test_both_clients_have_the_same_names_and_arguments(blocking, other):
    def public(class_: type) -> dict[str, Any]:
        return {name: getattr(class_, name) for name in dir(class_) if not name.startswith("_")}

    names = public(blocking).keys() - {"attempt"}
    assert names == public(other).keys() - {"attempt"}
    for name in names:
        one, two = public(blocking)[name], public(other)[name]
        if callable(one) and name != "transaction":
            assert list(inspect.signature(one).parameters.values()) == list(inspect.signature(two).parameters.values())


def test_a_client_that_is_not_open_says_so(broker, tmp_path):
    with pytest.raises(UsageError):
        blocking(broker, MX, tmp_path).send(REQUEST, CO, type=TYPE)


def test_public_names_are_there_and_are_loaded_late():
    for name in valija.__all__:
        assert getattr(valija, name).__module__.startswith("valija.")
    code = (
        "import sys, valija; print(sorted(m for m in sys.modules if m.startswith(('aiohttp', 'cryptography', 'rich'))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("https://broker.example", True),
        ("https://broker.example:8443/", True),
        ("http://127.0.0.1:8443", True),
        ("http://[::1]:8443", True),
        ("http://localhost:1", True),
        ("http://broker.example", False),
        ("http://127.0.0.1.example", False),
        ("ftp://broker.example", False),
        ("https://user:secret@broker.example", False),
        ("https://broker.example/path", False),
        ("broker.example", False),
        ("", False),
    ],
)
def test_only_an_encrypted_line_or_this_machine_will_do(url, good):
    if good:
        check_url(url)
    else:
        with pytest.raises(valija.ConfigError):
            check_url(url)
