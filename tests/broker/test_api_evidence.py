"""What is told to whom: the feed of each party, evidence of a message, and what expires."""

import asyncio

from harness import facts, now_ms, refused

from valija_schemas import api, evidence, message
from valija_schemas import note as notes


async def test_each_party_is_told_its_own_events_in_order_and_nothing_else(fresh):
    sender, one, other, stranger = fresh(), fresh(), fresh(), fresh()
    data = sender.message(one, other)
    await sender.accepted(data)
    (lent,) = await one.lease()
    await one.done(lent)
    (lent,) = await other.lease()
    rejection = other.receipt(lent, event="ConsignmentRejection", reason="schema")
    assert await other.acknowledge(api.Acknowledgement(token=lent.token, receipt=rejection)) == ["done"]
    told = [(event["event"], event.get("recipient") or event["to"][0]) for event in await sender.feed(5)]
    assert told[0][0] == "SubmissionAcceptance"
    assert sorted(told[1:]) == sorted(
        [
            ("ContentHandover", one.id),
            ("ConsignmentAcceptance", one.id),
            ("ContentHandover", other.id),
            ("ConsignmentRejection", other.id),
        ]
    )
    assert [event["event"] for event in await one.feed(2)] == ["ContentHandover", "ConsignmentAcceptance"]
    assert [event["event"] for event in await other.feed(2)] == ["ContentHandover", "ConsignmentRejection"]
    assert await stranger.feed(1, within_s=0.2) == []


async def test_the_feed_has_no_gaps_and_every_event_its_own_salt(fresh):
    sender, recipient = fresh(), fresh()
    for _ in range(5):
        await sender.accepted(sender.message(recipient))
    await recipient.done(*await recipient.lease())
    await sender.feed(15)
    found = await sender.events()
    assert [event.number for event in found] == list(range(1, 16))
    assert len({event.salt for event in found}) == 15
    assert all(len(event.salt) == 32 for event in found)
    assert [event.number for event in await sender.events(after=12)] == [13, 14, 15]


async def test_a_receipt_is_handed_on_as_its_recipient_signed_it(fresh):
    sender, recipient = fresh(), fresh()
    await sender.accepted(sender.message(recipient))
    (lent,) = await recipient.lease()
    await recipient.done(lent)
    await sender.feed(3)
    raw = [e.event for e in await sender.events() if facts(e.event)["event"] == "ConsignmentAcceptance"]
    note, receipt = evidence.parse_receipt(raw[0], sender.origin)
    notes.verify_one(note, [notes.Verifier(recipient.name, recipient.keys.sign.public)])
    assert receipt.recipient == recipient.id


async def test_evidence_of_a_message_is_for_its_parties_and_absent_looks_like_forbidden(fresh):
    sender, recipient, stranger = fresh(), fresh(), fresh()
    data = sender.message(recipient)
    event = await sender.accepted(data)
    await recipient.done(*await recipient.lease())
    await sender.feed(3)
    assert len(await sender.evidence(event.message)) == 3
    assert len(await recipient.evidence(event.message)) == 2, "the acceptance is opened to the sender alone"
    forbidden = await stranger.request("GET", f"/v1/evidence/{event.message}")
    absent = await stranger.request("GET", f"/v1/evidence/{'0' * 64}")
    odd = await stranger.request("GET", "/v1/evidence/x")
    seen = [refused(answer, "not-found") for answer in (forbidden, absent, odd)]
    assert len({(p.title, p.detail, p.type, p.status) for p in seen}) == 1


async def test_the_feed_wakes_a_long_poll(fresh):
    sender, recipient = fresh(), fresh()
    waiting = asyncio.create_task(sender.events(wait_ms=20_000))
    await asyncio.sleep(0.2)
    await sender.accepted(sender.message(recipient))
    assert len(await asyncio.wait_for(waiting, 8)) == 1


async def test_what_nobody_takes_in_time_fails_and_both_sides_are_told(fresh):
    sender, recipient = fresh(), fresh()
    sent = now_ms()
    await sender.accepted(sender.message(recipient, sent=sent, expires=sent + 1_500))
    seen = await sender.feed(2, within_s=10)
    assert [(event["event"], event["reason"]) for event in seen][1:] == [("ContentHandoverFailure", "expired")]
    assert [event["event"] for event in await recipient.feed(1)] == ["ContentHandoverFailure"]
    assert await recipient.lease() == ()


async def test_a_message_in_a_worker_s_hands_is_not_failed_under_it(fresh):
    sender, recipient = fresh(), fresh()
    sent = now_ms()
    await sender.accepted(sender.message(recipient, sent=sent, expires=sent + 1_500))
    (lent,) = await recipient.lease()
    await asyncio.sleep(3)
    assert await recipient.done(lent) == ["done"]
    assert [event["event"] for event in await sender.feed(3)][1:] == ["ContentHandover", "ConsignmentAcceptance"]
    assert message.read(lent.message, sender.origin).header.expires < now_ms()
