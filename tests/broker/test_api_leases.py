"""Mail out: who is lent what, for how long, and what a receipt must be to end it."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import msgspec
import pytest
from harness import Peer, digest_of, now_ms, read_answer, refused
from sandbox import Sandbox

from valija.registry.sample import sample_exchange
from valija_schemas import api, message

RATE = 15  #: Messages of a sender in a minute, of the broker with small limits.


def digests(lent):
    return [message.read(one.message, "exchange.example").digest for one in lent]


async def test_mail_comes_by_priority_and_then_by_age(fresh):
    sender, recipient = fresh(), fresh()
    order = ["routine", "urgent", "flash", "routine", "urgent", "flash"]
    sent = [sender.message(recipient, priority=priority) for priority in order]
    for data in sent:
        await sender.accepted(data)
    lent = await recipient.lease()
    assert [one.message for one in lent] == [sent[n] for n in (2, 5, 1, 4, 0, 3)]
    assert await recipient.done(*lent) == ["done"] * 6
    assert await recipient.lease() == ()


async def test_what_is_lent_is_what_was_transmitted_with_the_acceptance_that_the_sender_was_given(fresh):
    sender, recipient = fresh(), fresh()
    data = sender.message(recipient)
    acceptance = (await sender.submit(data)).body
    (lent,) = await recipient.lease()
    assert (lent.message, lent.acceptance, lent.attempt) == (data, acceptance, 1)
    assert now_ms() < lent.deadline <= now_ms() + lent.lease_ms


async def test_a_long_poll_is_woken_by_mail_and_ends_when_its_time_is_over(fresh):
    sender, recipient = fresh(), fresh()
    began = time.monotonic()
    assert await recipient.lease(wait_ms=400) == ()
    assert time.monotonic() - began > 0.3
    waiting = asyncio.create_task(recipient.lease(wait_ms=20_000))
    await asyncio.sleep(0.3)
    await sender.accepted(sender.message(recipient))
    assert len(await asyncio.wait_for(waiting, 8)) == 1, "it was woken, and did not look by chance, each 10 s"


async def test_a_lost_answer_costs_no_attempt_and_the_same_worker_gets_it_at_once(fresh):
    sender, recipient = fresh(), fresh()
    await sender.accepted(sender.message(recipient))
    (first,) = await recipient.lease()
    (again,) = await recipient.lease()  # it does not say that it has it
    assert (again.token, again.attempt) == (first.token, 1)
    assert await recipient.lease(have=[first.token]) == ()
    assert await recipient.lease(instance="two") == ()


async def test_a_peer_that_hung_up_while_it_waited_is_lent_nothing(fresh):
    sender, recipient = fresh(), fresh()
    body = api.encode(api.LeaseRequest(instance="gone", have=(), limit=1, wait_ms=20_000))
    reader, writer = await recipient.socket()
    writer.write(recipient.raw("POST", "/v1/leases", recipient.signed("POST", "/v1/leases", body), body))
    await asyncio.sleep(0.3)
    writer.transport.abort()
    await asyncio.sleep(0.2)
    await sender.accepted(sender.message(recipient))
    (lent,) = await recipient.lease(wait_ms=3_000, instance="there")
    assert lent.attempt == 1
    assert not await reader.read()


async def test_only_the_mailbox_s_own_current_token_ends_or_extends_or_releases(fresh):
    sender, recipient, stranger = fresh(), fresh(), fresh()
    await sender.accepted(sender.message(recipient))
    (lent,) = await recipient.lease()
    invented = lent.token[:-1] + ("0" if lent.token[-1] != "0" else "1")
    own = api.Acknowledgement(token=lent.token, receipt=recipient.receipt(lent))
    theirs = stranger.receipt(lent)
    assert await stranger.acknowledge(api.Acknowledgement(token=lent.token, receipt=theirs)) == ["gone"]
    assert await stranger.acknowledge(api.Acknowledgement(token="0.999999." + "0" * 32, receipt=theirs)) == ["gone"]
    assert [one.result for one in await stranger.extend(lent.token, "0.9." + "0" * 32)] == ["gone", "gone"]
    assert await stranger.release(lent.token, "x") == ["gone", "gone"]
    assert [one.result for one in await recipient.extend(invented)] == ["stale"]
    assert await recipient.release(invented) == ["stale"]
    assert await recipient.acknowledge(own) == ["done"]
    assert await recipient.acknowledge(own) == ["gone"], "a repeat changes nothing"


async def test_a_receipt_that_is_not_its_recipient_s_word_on_that_message_changes_nothing(fresh):
    sender, recipient, stranger = fresh(), fresh(), fresh()
    for _ in range(2):
        await sender.accepted(sender.message(recipient))
    one, other = await recipient.lease()
    good = recipient.receipt(one)
    subject = message.read(one.message, recipient.origin)
    bad = {
        "of another message": recipient.receipt(other),
        "of another recipient": recipient.receipt(one, recipient=stranger.id),
        "by another's key": recipient.receipt(one, signer=stranger.keys.sign),
        "by the auth key": recipient.receipt(one, signer=recipient.keys.auth),
        "of another exchange": recipient.receipt(one, origin="other.example"),
        "a rejection without a reason": recipient.receipt(one, event="ConsignmentRejection"),
        "an acceptance with a reason": recipient.receipt(one, reason="none"),
        "from the future": recipient.receipt(one, time=now_ms() + 60_000),
        "the acceptance": one.acceptance,
        "the message": subject.note.raw,
        "cut": good[:-1],
        "empty": b"",
    }
    acks = [api.Acknowledgement(token=one.token, receipt=receipt) for receipt in bad.values()]
    assert dict(zip(bad, await recipient.acknowledge(*acks), strict=True)) == dict.fromkeys(bad, "refused")
    assert [x.result for x in await recipient.extend(one.token)] == ["done"], "the lease stays"
    assert await recipient.acknowledge(api.Acknowledgement(token=one.token, receipt=good)) == ["done"]


async def test_a_release_comes_back_at_once_or_after_its_delay_and_counts(fresh):
    sender, recipient = fresh(), fresh()
    await sender.accepted(sender.message(recipient))
    (first,) = await recipient.lease()
    assert await recipient.release(first.token) == ["done"]
    (second,) = await recipient.lease(instance="two")
    assert (second.attempt, second.token != first.token) == (2, True)
    assert await recipient.done(first) == ["stale"]
    assert await recipient.release(second.token, delay_ms=700) == ["done"]
    assert await recipient.lease() == ()
    (third,) = await recipient.lease(wait_ms=5_000)
    assert third.attempt == 3


async def test_what_cannot_be_verified_goes_to_the_dead_letters_and_both_sides_see_it(fresh):
    sender, recipient = fresh(), fresh()
    await sender.accepted(sender.message(recipient))
    (lent,) = await recipient.lease()
    assert await recipient.release(lent.token, dead=True) == ["done"]
    assert await recipient.lease() == ()
    seen = await sender.feed(3)
    assert [(event["event"], event["reason"]) for event in seen][-1] == ("DeadLettered", "unverified")


async def test_a_lease_ends_at_its_bytes_and_a_large_message_still_goes(fresh):
    sender, recipient = fresh(), fresh()
    document = b'{"t":"' + b"x" * 900_000 + b'"}'
    sent = [sender.message(recipient, document=document) for _ in range(7)]
    for data in sent:
        await sender.accepted(data)
    counts, have = [], []
    while lent := await recipient.lease(have=have):
        counts.append(len(lent))
        have += [one.token for one in lent]
    assert sum(counts) == 7
    assert max(counts) < 7


async def test_one_silent_recipient_does_not_hold_up_another(fresh):
    sender, silent, awake = fresh(), fresh(), fresh()
    for _ in range(5):
        await sender.accepted(sender.message(silent, awake))
    lent = await awake.lease()
    assert await awake.done(*lent) == ["done"] * 5
    assert len(await silent.lease()) == 5


@pytest.mark.parametrize("token", ["", "x y", "0.1", "0" * 81, "ñ"])
async def test_a_token_of_another_shape_is_malformed_or_gone(fresh, token):
    peer = fresh()
    answer = await peer.post("/v1/leases/release", [{"token": token, "delay_ms": 0, "dead": False}])
    if answer.status == 200:
        assert msgspec.msgpack.decode(answer.body)[0]["result"] == "gone"
    else:
        refused(answer, "malformed")


async def test_two_workers_never_hold_the_same_message(fresh):
    sender, recipient = fresh(), fresh()
    for _ in range(40):
        await sender.accepted(sender.message(recipient))
    pages = await asyncio.gather(*(recipient.lease(limit=10, instance=f"w{n}") for n in range(8)))
    found = [digest for page in pages for digest in digests(page)]
    assert len(found) == len(set(found)) == 40


async def test_mail_of_a_killed_connection_is_released_when_the_answer_cannot_be_written(fresh):
    sender, recipient = fresh(), fresh()
    await sender.accepted(sender.message(recipient, document=b'{"t":"' + b"x" * 900_000 + b'"}'))
    body = api.encode(api.LeaseRequest(instance="slow", have=(), limit=1, wait_ms=0))
    reader, writer = await recipient.socket()
    writer.write(recipient.raw("POST", "/v1/leases", recipient.signed("POST", "/v1/leases", body), body))
    answer = await asyncio.wait_for(read_answer(reader), 10)
    writer.close()
    assert answer.status == 200
    other: Peer = recipient
    (again,) = await other.lease(instance="slow")
    assert again.attempt == 1


# A broker of short leases and small quotas


@pytest.fixture(scope="module")
def short(tmp_path_factory) -> Iterator[Sandbox]:
    points = [(f"s{n:02}", "MX", "law-enforcement") for n in range(20)]
    more = "[quotas]\nlease_ms = 1000\nattempts_max = 2\npair_messages_max = 3\npair_bytes_max = 500000\n"
    more += f"submit_per_minute_max = {RATE}\n"
    found = Sandbox(tmp_path_factory.mktemp("short") / "x", sample_exchange(points=points, suspended=()), more=more)
    found.start()
    yield found
    found.stop()


@pytest.fixture(scope="module")
def unused_short(short) -> Iterator[str]:
    return iter(sorted(short.exchange.keyrings))


@pytest.fixture
async def few(short, unused_short) -> AsyncIterator[tuple[Peer, Peer]]:
    """A sender and a recipient that nobody has written to."""
    async with AsyncExitStack() as stack:
        yield tuple([await stack.enter_async_context(Peer(short, next(unused_short))) for _ in range(2)])


async def test_a_lapsed_lease_goes_to_the_next_worker_and_the_attempts_end_in_the_dead_letters(few):
    sender, recipient = few
    data = sender.message(recipient)
    await sender.accepted(data)
    (first,) = await recipient.lease(instance="one")
    # It looks when the lease lapses: by chance it would each 10 s.
    (second,) = await recipient.lease(instance="two", wait_ms=8_000)
    assert (first.attempt, second.attempt, second.message) == (1, 2, data)
    assert await recipient.done(first) == ["stale"]
    assert await recipient.lease(instance="three", wait_ms=1_500) == (), "it went to the dead letters, never away"
    events = [(event["event"], event["reason"]) for event in await sender.feed(3)]
    assert events == [("SubmissionAcceptance", None), ("ContentHandover", None), ("DeadLettered", "attempts")]
    assert await recipient.done(second) == ["done"], "the worker that had it last may still finish"
    assert [event["event"] for event in await recipient.feed(3)][-1] == "ConsignmentAcceptance"


async def test_a_lapsed_lease_that_nobody_took_since_still_counts(few):
    sender, recipient = few
    await sender.accepted(sender.message(recipient))
    (lent,) = await recipient.lease()
    await asyncio.sleep(1.2)
    (result,) = await recipient.extend(lent.token)
    assert (result.result, result.deadline > now_ms()) == ("done", True)
    assert await recipient.lease(instance="two") == ()
    await asyncio.sleep(1.2)
    assert await recipient.done(lent) == ["done"]


async def test_an_extended_lease_stays_with_its_worker(few):
    sender, recipient = few
    await sender.accepted(sender.message(recipient))
    (lent,) = await recipient.lease()
    for _ in range(3):
        await asyncio.sleep(0.6)
        assert [one.result for one in await recipient.extend(lent.token)] == ["done"]
        assert await recipient.lease(instance="two") == ()
    assert await recipient.done(lent) == ["done"]


async def test_a_pair_over_its_quota_is_told_so_and_free_again_when_mail_leaves_or_expires(few, short):
    sender, recipient = few
    sent = now_ms()
    soon = [sender.message(recipient, expires=sent + 1_500, sent=sent) for _ in range(2)]
    kept = sender.message(recipient)
    for data in [*soon, kept]:
        await sender.accepted(data)
    over = sender.message(recipient)
    assert refused(await sender.submit(over), "quota").evidence is None
    assert (await sender.submit(kept)).status == 202, "a repeat needs no room"
    (result, again) = await sender.batch([over, kept])
    assert (result.status, again.status) == (429, 202)
    failed = [e["message"] for e in await sender.feed(5, within_s=6) if e["event"] == "ContentHandoverFailure"]
    assert sorted(failed) == sorted(digest_of(data) for data in soon)
    await sender.accepted(over)
    lent = await recipient.lease()
    assert [one.message for one in lent] == [kept, over]
    assert await recipient.done(*lent) == ["done", "done"]
    large = sender.message(recipient, document=b'{"t":"' + b"x" * 300_000 + b'"}')
    await sender.accepted(large)
    refused(await sender.submit(sender.message(recipient, document=b'{"t":"' + b"x" * 300_000 + b'"}')), "quota")
    for data in soon:
        refused(await sender.submit(data), "expired")


async def test_a_sender_over_its_rate_is_told_when_to_come_back_and_others_are_served(few):
    sender, recipient = few
    for _ in range(2 * RATE + 1):  # of two minutes at most
        reader, writer = await sender.socket()  # whichever worker takes it
        writer.write(sender.raw_submit(sender.message(recipient)))
        answer = await asyncio.wait_for(read_answer(reader), 20)
        writer.close()
        if answer.status != 202:
            break
        assert await recipient.done(*await recipient.lease()) == ["done"]
    found = refused(answer, "rate")
    assert found.evidence is None
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    await recipient.accepted(recipient.message(sender))


async def test_one_recipient_over_its_quota_keeps_a_message_to_two_from_both(few, short, unused_short):
    sender, recipient = few
    async with Peer(short, next(unused_short)) as other:
        for _ in range(3):
            await sender.accepted(sender.message(recipient))
        found = refused(await sender.submit(sender.message(recipient, other)), "quota")
        assert recipient.id in found.detail
        assert other.id not in found.detail
        assert await other.lease() == ()
        await sender.accepted(sender.message(other))
