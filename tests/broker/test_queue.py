"""What the queues promise, one promise a test, against a real Valkey."""

import asyncio
import time
import uuid

import msgspec
import pytest
from structlog.testing import capture_logs

from valija_broker import batch
from valija_broker.batch import Item
from valija_broker.errors import (
    ClockSkew,
    CorruptRecord,
    OutboxFull,
    StoreFault,
)
from valija_broker.layout import DATA_VERSION
from valija_broker.mail import Accepted, Ack, Conflict, Limits, QuotaExceeded, RateExceeded, Record, Release, Repeat
from valija_broker.queue import Mailboxes
from valija_broker.shelves import CorruptEntry, Directory, OutboxEntry
from valija_broker.store import Store, pack

CA, CO = "ca.liaison", "co.enlace"
LEASE_MS = 60_000


def lend(mailboxes, mailbox, here, *, instance="one", have=(), limit=10):
    return mailboxes.lease(mailbox, instance=instance, have=have, limit=limit, lease_ms=LEASE_MS, directory=here)


def receipt(lease, here, **changes):
    values = {
        "token": lease.token,
        "subject": lease.subject,
        "event": "ConsignmentAcceptance",
        "note": b"receipt for " + lease.subject,
        "time": lease.deadline - LEASE_MS,
        "directory": here,
    }
    return Ack(**(values | changes))


async def events(outbox, shard=0):
    return [(e.event, e.to, e.reason) for e in await outbox.read(shard)]


async def leftovers(admin):
    """Keys that should not be there when all is done. A sender's rate goes with its minute."""
    keys = {key.decode() for key in await admin.keys("*")}
    kept = {"d", "seq", "clock", "layout", "outbox", "heads", "j", "rate"}
    return sorted(k for k in keys if k.split(":")[1] not in kept)


# In


async def test_a_message_comes_out_as_it_went_in(mailboxes, submission, here):
    s = submission(body=b"\x00\xff" * 100_000, note=b"\xe2\x80\x94 note\n")
    assert isinstance(await mailboxes.accept(s), Accepted)
    (lease,) = await lend(mailboxes, CA, here)
    assert (lease.note, lease.body, lease.accepted, lease.attempt) == (s.note, s.body, s.accepted, 1)


async def test_the_same_message_again_gets_the_first_answer(mailboxes, submission, clock, admin):
    first = submission()
    assert await mailboxes.first(first.sender, first.id) is None
    assert await mailboxes.accept(first) == Accepted(first=first.record())
    clock.advance(5000)
    later = msgspec.structs.replace(
        first, time=clock(), accepted=b"another", evidence_key_id="another", directory=Directory(2, "ef" * 32)
    )
    assert await mailboxes.accept(later) == Repeat(first=first.record())
    assert await mailboxes.first(first.sender, first.id) == first.record()
    assert await admin.zcard("{s0}:r:" + CA) == 1
    assert await admin.xlen("{s0}:outbox") == 1


async def test_another_message_under_the_same_id_is_a_conflict_with_the_first(mailboxes, submission, here):
    first = submission()
    await mailboxes.accept(first)
    other = submission(id=first.id)
    assert await mailboxes.accept(other) == Conflict(first=first.record())
    assert [lease.subject for lease in await lend(mailboxes, CA, here)] == [first.subject]


async def test_the_same_id_of_another_sender_is_another_message(mailboxes, submission):
    first = submission()
    await mailboxes.accept(first)
    assert isinstance(await mailboxes.accept(submission(id=first.id, sender="co.enlace")), Accepted)


async def test_the_first_answer_is_known_until_a_margin_after_expiry(mailboxes, submission, clock, admin):
    s = submission(expires=clock() + 1000)
    await mailboxes.accept(s)
    left = await admin.pttl(f"{{s0}}:d:{s.sender}|{s.id}")
    assert 600_000 < left <= 601_000


async def test_submissions_that_arrive_together_share_a_call(mailboxes, submission):
    outcomes = await asyncio.gather(*(mailboxes.accept(submission()) for _ in range(200)))
    assert all(isinstance(outcome, Accepted) for outcome in outcomes)
    assert mailboxes._batchers[0].batches <= 100


async def test_the_waiting_line_is_bounded(mailboxes, submission, monkeypatch):
    monkeypatch.setattr(batch, "waiting_max", 10)
    outcomes = await asyncio.gather(
        *(mailboxes.accept(submission(id=str(uuid.uuid4()))) for _ in range(30)), return_exceptions=True
    )
    assert sum(isinstance(o, Accepted) for o in outcomes) == 10


async def test_two_with_one_id_in_one_batch_see_each_other(mailboxes, submission):
    first = submission()
    other = submission(id=first.id)
    outcomes = await asyncio.gather(*(mailboxes.accept(s) for s in (first, first, other)))
    assert [type(outcome) for outcome in outcomes] == [Accepted, Repeat, Conflict]


async def test_a_submission_that_the_function_refuses_takes_no_other_with_it(mailboxes, submission):
    bad = Item(["{s0}:d:x|y"], pack({"to": ["a"]}))
    outcomes = await asyncio.gather(
        mailboxes.accept(submission()), mailboxes._batchers[0].put(bad), mailboxes.accept(submission()),
        return_exceptions=True,
    )  # fmt: skip
    assert [type(outcome) for outcome in outcomes] == [Accepted, StoreFault, Accepted]


@pytest.mark.parametrize(
    "change",
    [
        {"sender": "MX"}, {"sender": "mx|ca"}, {"to": ()}, {"to": (CA, CA)}, {"to": ("a:b",)}, {"priority": 3},
        {"id": "x"}, {"salt": b""}, {"digest": "zz" * 32}, {"digest": "ab"},
    ],
)  # fmt: skip
async def test_a_submission_that_breaks_a_rule_does_not_reach_the_store(mailboxes, submission, change):
    with pytest.raises(ValueError):
        await mailboxes.accept(submission(**change))


async def test_a_cancelled_caller_does_not_stop_its_submission(mailboxes, submission, here):
    sent = [submission() for _ in range(100)]
    tasks = [asyncio.create_task(mailboxes.accept(s)) for s in sent]
    for n, task in enumerate(tasks):
        if n % 3 == 0:
            await asyncio.sleep(0)
            task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    # The connection is not confused: each of the others got its own answer ...
    for s, outcome in zip(sent, outcomes, strict=True):
        assert isinstance(outcome, asyncio.CancelledError) or outcome == Accepted(first=s.record())
    # ... and the cancelled ones that had begun are stored too.
    again = [await mailboxes.accept(s) for s in sent]
    started = [o for o, a in zip(outcomes, again, strict=True) if isinstance(a, Repeat)]
    assert len(started) >= 66
    assert len(await lend(mailboxes, CA, here, limit=200)) == 100


async def test_a_pair_over_its_quota_blocks_no_other_pair(store, clock, submission, here):
    async with Mailboxes(store, clock=clock, limits=Limits(pair_quota_messages=2)) as mailboxes:
        for _ in range(2):
            assert isinstance(await mailboxes.accept(submission()), Accepted)
        assert await mailboxes.accept(submission(to=(CO, CA))) == QuotaExceeded(recipients=(CA,))
        assert isinstance(await mailboxes.accept(submission(to=(CO,))), Accepted)
        assert isinstance(await mailboxes.accept(submission(sender="br.enlace")), Accepted)
        assert len(await lend(mailboxes, CO, here)) == 1  # nothing of the refused one was stored
        (first, *_) = await lend(mailboxes, CA, here)
        await mailboxes.acknowledge(CA, [receipt(first, here)])
        assert isinstance(await mailboxes.accept(submission()), Accepted)


async def test_a_sender_over_its_rate_is_told_when_the_next_minute_begins_by_whichever_worker(store, clock, submission):
    limits = Limits(submit_per_minute_max=3)
    clock.now += 60_000 - clock.now % 60_000 + 1_000  # a second into a minute
    async with (
        Mailboxes(store, clock=clock, limits=limits) as one,
        Mailboxes(store, clock=clock, limits=limits) as other,
    ):
        first = submission()
        assert isinstance(await one.accept(first), Accepted)
        assert isinstance(await other.accept(submission()), Accepted)
        assert isinstance(await one.accept(first), Repeat)  # repeats and conflicts store nothing, and do not count
        assert isinstance(await one.accept(submission(id=first.id)), Conflict)
        outcomes = await asyncio.gather(*(other.accept(submission()) for _ in range(3)))
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Accepted", "RateExceeded", "RateExceeded"]
        assert await one.accept(submission()) == RateExceeded(wait_ms=59_000)
        assert isinstance(await one.accept(submission(sender="co.enlace")), Accepted)
        assert isinstance(await one.accept(first), Repeat)
        clock.advance(59_000)
        assert isinstance(await other.accept(submission()), Accepted)


async def test_a_quota_in_bytes_counts_notes_and_bodies(store, clock, submission):
    async with Mailboxes(store, clock=clock, limits=Limits(pair_quota_bytes=1000)) as mailboxes:
        assert isinstance(await mailboxes.accept(submission(body=b"x" * 600)), Accepted)
        assert isinstance(await mailboxes.accept(submission(body=b"x" * 600)), QuotaExceeded)


async def test_a_sender_cannot_fill_the_store_by_writing_to_many(store, clock, submission, here):
    async with Mailboxes(store, clock=clock, limits=Limits(sender_quota_bytes=1_500)) as mailboxes:
        first = submission(to=(CA, CO), body=b"x" * 600)
        assert isinstance(await mailboxes.accept(first), Accepted)
        assert isinstance(await mailboxes.accept(submission(body=b"x" * 600)), Accepted), "to two, it is stored once"
        assert await mailboxes.accept(submission(to=("pe.enlace",), body=b"x" * 600)) == QuotaExceeded(recipients=())
        assert isinstance(await mailboxes.accept(submission(sender="br.enlace", body=b"x" * 600)), Accepted)
        assert isinstance(await mailboxes.accept(first), Repeat)
        one, *_ = await lend(mailboxes, CA, here)
        await mailboxes.acknowledge(CA, [receipt(one, here)])
        assert await mailboxes.accept(submission(to=(CO,), body=b"x" * 600)) == QuotaExceeded(recipients=())
        (two,) = await lend(mailboxes, CO, here)
        await mailboxes.acknowledge(CO, [receipt(two, here)])
        assert isinstance(await mailboxes.accept(submission(to=(CO,), body=b"x" * 600)), Accepted)


async def test_a_full_outbox_stops_new_mail_and_still_answers_repeats(store, clock, submission, outbox):
    async with Mailboxes(store, clock=clock, limits=Limits(outbox_events_max=1)) as mailboxes:
        first = submission()
        await mailboxes.accept(first)
        with pytest.raises(OutboxFull):
            await mailboxes.accept(submission())
        assert isinstance(await mailboxes.accept(first), Repeat)
        await outbox.remove(0, [e.id for e in await outbox.read(0)])
        assert isinstance(await mailboxes.accept(submission()), Accepted)


async def test_a_refusal_is_recorded_once(mailboxes, clock, here, outbox):
    values = {
        "sender": "mx.enlace", "subject": b"s", "time": clock(), "directory": here, "reason": "quota",
        "salt": bytes(32), "evidence_key_id": "k", "note": b"n",
    }  # fmt: skip
    assert await mailboxes.record_rejection(**values)
    assert not await mailboxes.record_rejection(**values)
    assert await mailboxes.record_rejection(**(values | {"reason": "expired"}))
    assert [e[2] for e in await events(outbox)] == ["quota", "expired"]


# Out


async def test_mail_of_a_pair_keeps_its_order_and_flash_goes_first(mailboxes, submission, here):
    sent = [submission(priority=p) for p in (2, 1, 2, 0, 1, 0, 2)]
    for s in sent:
        await mailboxes.accept(s)
    got = [lease.subject for lease in await lend(mailboxes, CA, here)]
    assert got == [s.subject for s in sorted(sent, key=lambda s: s.priority)]


async def test_flash_goes_first_across_all_shards(valkey, submission, here):
    async with Store(valkey.endpoint, shards=4) as store:
        for shard in range(4):
            await store.run("HSET", f"{{s{shard}}}:layout", "version", DATA_VERSION, "epoch", 0, "shards", 4)
        async with Mailboxes(store) as mailboxes:
            senders = ["mx.enlace", "co.enlace", "br.enlace", "cl.enlace", "pe.enlace", "uy.enlace"]
            assert len({mailboxes.shard_of(sender) for sender in senders}) >= 3
            for priority in (2, 1, 0):
                for sender in senders:
                    await mailboxes.accept(submission(sender=sender, priority=priority, note=b"%d" % priority))
            got = await lend(mailboxes, CA, here, limit=100)
            assert [lease.note for lease in got] == [b"0"] * 6 + [b"1"] * 6 + [b"2"] * 6
            assert {int(lease.token.split(".")[0]) for lease in got} == {mailboxes.shard_of(s) for s in senders}
            answers = await mailboxes.acknowledge(CA, [receipt(lease, here) for lease in got])
            assert answers == ["acknowledged"] * 18
            assert (await mailboxes.depths([CA]))[CA].ready == 0


async def test_a_lease_that_lapsed_goes_to_the_next_worker(mailboxes, submission, clock, here):
    old = submission()
    await mailboxes.accept(old)
    (first,) = await lend(mailboxes, CA, here, instance="one")
    for _ in range(5):
        await mailboxes.accept(submission())
    assert old.subject not in [lease.subject for lease in await lend(mailboxes, CA, here, instance="two", limit=2)]
    assert await mailboxes.next_deadline(CA) == first.deadline
    clock.advance(LEASE_MS)
    again, *_ = await lend(mailboxes, CA, here, instance="two")
    assert (again.subject, again.attempt) == (old.subject, 2)  # ahead of everything newer
    assert again.token != first.token


async def test_an_instance_that_lost_the_reply_gets_its_own_leases_again_uncounted(mailboxes, submission, clock, here):
    for _ in range(3):
        await mailboxes.accept(submission())
    lost = await lend(mailboxes, CA, here, instance="one", limit=2)
    clock.advance(1000)
    assert [x.subject for x in await lend(mailboxes, CA, here, instance="two", limit=1)] != [lost[0].subject]
    again = await lend(mailboxes, CA, here, instance="one")
    assert [(x.token, x.attempt, x.body) for x in again] == [(x.token, 1, x.body) for x in lost]
    assert again[0].deadline == lost[0].deadline + 1000
    assert await lend(mailboxes, CA, here, instance="one", have=[x.token for x in again]) == []


async def test_a_batch_ends_at_its_bytes_but_a_large_message_still_goes(store, clock, submission, here):
    async with Mailboxes(store, clock=clock, limits=Limits(lease_bytes_max=1000)) as mailboxes:
        for size in (5000, 300, 300, 300, 300):
            await mailboxes.accept(submission(body=b"x" * size))
        sizes = [[len(x.body) for x in await lend(mailboxes, CA, here, instance=str(n))] for n in range(3)]
        assert sizes == [[5000], [300, 300, 300], [300]]


async def test_a_message_past_its_end_is_not_handed_out(mailboxes, submission, clock, here):
    await mailboxes.accept(submission(expires=clock() + 1000))
    live = submission()
    await mailboxes.accept(live)
    clock.advance(1000)
    assert [x.subject for x in await lend(mailboxes, CA, here)] == [live.subject]


async def test_a_delivery_given_back_is_ready_at_its_old_place(mailboxes, submission, clock, here):
    sent = [submission() for _ in range(3)]
    for s in sent:
        await mailboxes.accept(s)
    first, second, _ = await lend(mailboxes, CA, here)
    answers = await mailboxes.release(
        CA, [Release(token=second.token), Release(token=first.token, uncounted=True)], directory=here
    )
    assert answers == ["released", "released"]
    again = await lend(mailboxes, CA, here, instance="two")
    assert [(x.subject, x.attempt) for x in again] == [(sent[0].subject, 1), (sent[1].subject, 2)]
    assert await mailboxes.acknowledge(CA, [receipt(first, here)]) == ["stale"]


async def test_a_delivery_given_back_with_a_delay_waits(mailboxes, submission, clock, here):
    await mailboxes.accept(submission())
    (lease,) = await lend(mailboxes, CA, here)
    await mailboxes.release(CA, [Release(token=lease.token, delay_ms=5000)], directory=here)
    assert await lend(mailboxes, CA, here) == []
    clock.advance(5000)
    (again,) = await lend(mailboxes, CA, here)
    assert again.attempt == 2


async def test_a_long_handler_extends_its_lease(mailboxes, submission, clock, here):
    await mailboxes.accept(submission())
    (lease,) = await lend(mailboxes, CA, here)
    clock.advance(LEASE_MS - 1)
    assert await mailboxes.extend(CA, [lease.token, "0.1." + "0" * 32, "0.99." + "0" * 32], lease_ms=LEASE_MS) == [
        "extended", "stale", "gone",
    ]  # fmt: skip
    clock.advance(LEASE_MS - 1)
    assert await lend(mailboxes, CA, here, instance="two") == []
    assert await mailboxes.acknowledge(CA, [receipt(lease, here)]) == ["acknowledged"]


async def test_a_recall_ends_leases_uncounted(mailboxes, submission, clock, here):
    for _ in range(150):
        await mailboxes.accept(submission())
    leases = await lend(mailboxes, CA, here, limit=150)
    await mailboxes.recall(CA)
    assert await mailboxes.acknowledge(CA, [receipt(leases[0], here)]) == ["stale"]
    assert {x.attempt for x in await lend(mailboxes, CA, here, limit=150)} == {1}


# Acknowledging


async def test_a_message_goes_when_its_last_recipient_is_done(mailboxes, submission, here, admin, outbox):
    s = submission(to=(CA, CO))
    await mailboxes.accept(s)
    (ours,) = await lend(mailboxes, CA, here)
    (theirs,) = await lend(mailboxes, CO, here)
    assert await mailboxes.acknowledge(CA, [receipt(ours, here)]) == ["acknowledged"]
    assert await admin.exists("{s0}:m:1")
    assert await mailboxes.acknowledge(CO, [receipt(theirs, here, event="ConsignmentRejection", reason="schema")]) == [
        "acknowledged"
    ]
    assert await leftovers(admin) == []
    assert await events(outbox) == [
        ("SubmissionAcceptance", "", ""), ("ContentHandover", CA, ""), ("ContentHandover", CO, ""),
        ("ConsignmentAcceptance", CA, ""), ("ConsignmentRejection", CO, "schema"),
    ]  # fmt: skip
    assert await mailboxes.acknowledge(CA, [receipt(ours, here)]) == ["gone"]


async def test_only_the_current_token_acknowledges(mailboxes, submission, clock, here):
    await mailboxes.accept(submission())
    (first,) = await lend(mailboxes, CA, here, instance="one")
    clock.advance(LEASE_MS)
    (second,) = await lend(mailboxes, CA, here, instance="two")
    assert await mailboxes.acknowledge(CA, [receipt(first, here)]) == ["stale"]
    clock.advance(LEASE_MS)  # lapsed, but nobody took it since
    assert await mailboxes.acknowledge(CA, [receipt(second, here)]) == ["acknowledged"]


async def test_a_foreign_token_cannot_be_told_from_an_absent_one(mailboxes, submission, here):
    await mailboxes.accept(submission())
    await mailboxes.accept(submission(to=(CA, CO)))
    alone, shared = await lend(mailboxes, CA, here)
    absent = "0.77." + "0" * 32
    tokens = [alone.token, absent, "7.1." + "0" * 32, "", "0.1", "\u0660.1." + "0" * 32, alone.token + "\n"]
    acks = [receipt(alone, here, token=token) for token in tokens]
    assert set(await mailboxes.acknowledge(CO, acks)) == {"gone"}
    assert set(await mailboxes.extend(CO, tokens, lease_ms=1)) == {"gone"}
    assert set(await mailboxes.release(CO, [Release(token=t) for t in tokens], directory=here)) == {"gone"}
    # A recipient of the same message learns no more than that it is one.
    guess = f"0.2.{'0' * 32}"
    acks = [receipt(shared, here, token=token) for token in (shared.token, guess)]
    assert await mailboxes.acknowledge(CO, acks) == ["stale", "stale"]


async def test_a_receipt_that_speaks_of_another_message_changes_nothing(mailboxes, submission, here, outbox):
    await mailboxes.accept(submission())
    (lease,) = await lend(mailboxes, CA, here)
    before = await outbox.pending()
    assert await mailboxes.acknowledge(CA, [receipt(lease, here, subject=b"another")]) == ["mismatch"]
    assert await outbox.pending() == before
    assert await mailboxes.acknowledge(CA, [receipt(lease, here)]) == ["acknowledged"]


# The end


async def test_dead_letters_are_never_dropped(store, letters, clock, submission, here, outbox):
    async with Mailboxes(store, clock=clock, limits=Limits(attempts_max=2)) as mailboxes:
        s, other = submission(), submission()
        await mailboxes.accept(s)
        for attempt in (1, 2):
            assert [x.attempt for x in await lend(mailboxes, CA, here)] == [attempt]
            clock.advance(LEASE_MS)
        await mailboxes.accept(other)
        assert [x.subject for x in await lend(mailboxes, CA, here)] == [other.subject]
        (letter,) = await letters.of(CA)
        assert (letter.id, letter.digest, letter.attempts, letter.reason) == (s.id, s.digest, 2, "attempts")
        assert (await mailboxes.depths([CA]))[CA].dead == 1
        assert ("DeadLettered", CA, "attempts") in await events(outbox)
        assert await letters.revive(CA, [letter.ref, "0.99", "x"]) == 1
        again = next(x for x in await lend(mailboxes, CA, here) if x.subject == s.subject)
        assert again.attempt == 1
        assert await mailboxes.release(
            CA, [Release(token=again.token, dead=True, reason="unverified")], directory=here
        ) == ["released"]
        assert await mailboxes.extend(CA, [again.token], lease_ms=1) == ["stale"]
        (letter,) = await letters.of(CA)
        assert await letters.discard(CA, [letter.ref], reason="discarded", directory=here) == 1
        assert await letters.of(CA) == []
        assert (await events(outbox))[-1] == ("ContentHandoverFailure", CA, "discarded")


async def test_at_its_end_a_message_is_settled_except_where_somebody_holds_it(
    mailboxes, submission, clock, here, outbox, admin
):
    s = submission(to=(CA, CO, "br.enlace"), expires=clock() + 1000)
    await mailboxes.accept(s)
    (held,) = await lend(mailboxes, CA, here)
    clock.advance(1000)
    assert await mailboxes.expire(directory=here, reasons={CO: "suspended"}) == 2
    failures = [e for e in await events(outbox) if e[0] == "ContentHandoverFailure"]
    assert sorted(failures) == [
        ("ContentHandoverFailure", "br.enlace", "expired"), ("ContentHandoverFailure", CO, "suspended"),
    ]  # fmt: skip
    assert await mailboxes.expire(directory=here) == 0  # looked at again at the lease's end, not before
    assert await mailboxes.acknowledge(CA, [receipt(held, here)]) == ["acknowledged"]
    assert await leftovers(admin) == []


async def test_a_lease_that_is_given_back_after_the_end_is_settled_at_once(mailboxes, submission, clock, here):
    await mailboxes.accept(submission(to=(CA, CO), expires=clock() + 1000))
    (ours,) = await lend(mailboxes, CA, here)
    await lend(mailboxes, CO, here)
    clock.advance(1000)
    assert await mailboxes.expire(directory=here) == 0
    await mailboxes.release(CA, [Release(token=ours.token)], directory=here)
    assert await mailboxes.expire(directory=here) == 1
    await mailboxes.recall(CO)
    assert await mailboxes.expire(directory=here) == 1


async def test_at_its_end_lapsed_waiting_and_dead_ones_are_settled_too(mailboxes, submission, clock, here, admin):
    for _ in range(3):
        await mailboxes.accept(submission(expires=clock() + 2 * LEASE_MS))
    _lapsed, waiting, dead = await lend(mailboxes, CA, here)
    await mailboxes.release(
        CA,
        [Release(token=waiting.token, delay_ms=10 * LEASE_MS), Release(token=dead.token, dead=True, reason="x")],
        directory=here,
    )
    clock.advance(2 * LEASE_MS)
    assert await mailboxes.expire(directory=here) == 3
    assert await leftovers(admin) == []


async def test_expiry_works_in_bounded_steps_until_none_is_left(mailboxes, submission, clock, here, admin):
    to = tuple(f"x{n}.enlace" for n in range(64))
    sent = [submission(to=to, expires=clock() + 1000) for _ in range(5)]
    sent += [submission(expires=clock() + 1000) for _ in range(150)]
    await asyncio.gather(*(mailboxes.accept(s) for s in sent))
    clock.advance(1000)
    assert await mailboxes.expire(directory=here) == 5 * 64 + 150
    assert await leftovers(admin) == []


async def test_when_all_is_done_nothing_is_left_in_memory(mailboxes, submission, here, admin, outbox):
    await asyncio.gather(*(mailboxes.accept(submission(to=(CA, CO), priority=n % 3)) for n in range(50)))
    for mailbox in (CA, CO):
        leases = await lend(mailboxes, mailbox, here, limit=100)
        answers = await mailboxes.acknowledge(mailbox, [receipt(lease, here) for lease in leases])
        assert answers == ["acknowledged"] * 50
    await outbox.remove(0, [e.id for e in await outbox.read(0)])
    assert await leftovers(admin) == []
    assert await outbox.pending() == 0


async def test_depths_tell_what_waits_and_since_when(mailboxes, submission, clock, here):
    oldest = clock()
    for priority in (2, 0, 1):
        await mailboxes.accept(submission(priority=priority))
        clock.advance(100)
    await lend(mailboxes, CA, here, limit=1)
    depths = await mailboxes.depths([CA, CO])
    assert (depths[CA].ready, depths[CA].leased, depths[CA].dead, depths[CA].oldest) == (2, 1, 0, oldest)
    assert (depths[CO].ready, depths[CO].oldest) == (0, 0)


# Damage


@pytest.mark.parametrize("field", ["note", "body", "accepted", "subject", "sha"])
async def test_an_altered_byte_is_never_handed_out(mailboxes, letters, submission, outbox, here, admin, field):
    s, good = submission(), submission()
    await mailboxes.accept(s)
    await mailboxes.accept(good)
    value = bytearray(await admin.hget("{s0}:m:1", field))
    value[-1] ^= 1
    await admin.hset("{s0}:m:1", field, bytes(value))
    with capture_logs() as logs:
        assert [x.subject for x in await lend(mailboxes, CA, here)] == [good.subject]
    assert [entry["log_level"] for entry in logs] == ["critical"]
    (letter,) = await letters.of(CA)
    assert letter.reason == ("altered" if field in {"subject", "sha"} else "corrupt")
    told = {e.subject for e in await outbox.read(0)}
    assert told == {s.subject, good.subject}, "no event speaks of what nobody accepted"


async def test_an_altered_outbox_entry_is_not_read(mailboxes, submission, outbox, admin):
    await mailboxes.accept(submission())
    ((entry, fields),) = await admin.xrange("{s0}:outbox")
    fields[b"time"] = b"1"
    await admin.delete("{s0}:outbox")
    await admin.xadd("{s0}:outbox", fields, id=entry)
    await mailboxes.accept(submission())
    altered, whole = await outbox.read(0)
    assert altered == CorruptEntry(shard=0, id=entry.decode())
    assert isinstance(whole, OutboxEntry), "an altered entry does not stand in the way of others"


async def test_an_altered_deduplication_record_is_not_believed(mailboxes, submission, admin):
    s = submission()
    await mailboxes.accept(s)
    key = f"{{s0}}:d:{s.sender}|{s.id}"
    await admin.setrange(key, 0, b"\0\0")
    with pytest.raises(CorruptRecord):
        await mailboxes.accept(s)
    with pytest.raises(CorruptRecord):
        Record.decode(b"", s.sender, s.id)


async def test_a_record_under_a_key_that_was_altered_is_no_conflict(mailboxes, submission, admin):
    s, other = submission(), submission()
    await mailboxes.accept(s)
    await admin.rename(f"{{s0}}:d:{s.sender}|{s.id}", f"{{s0}}:d:{other.sender}|{other.id}")
    with pytest.raises(CorruptRecord):
        await mailboxes.accept(other)
    with pytest.raises(CorruptRecord):
        await mailboxes.first(other.sender, other.id)


# Time


async def test_a_caller_whose_clock_is_off_is_refused(store, submission, admin):
    await admin.hdel("{s0}:clock", "lifted")
    real = time.time_ns() // 1_000_000
    async with Mailboxes(store, clock=lambda: real + 60_000) as mailboxes:
        with pytest.raises(ClockSkew):
            await mailboxes.accept(submission())


async def test_time_does_not_go_back(mailboxes, submission, clock, here):
    await mailboxes.accept(submission())
    (lease,) = await lend(mailboxes, CA, here)
    clock.advance(-30_000)
    await mailboxes.accept(submission())
    (later,) = await lend(mailboxes, CA, here, instance="two")
    assert later.deadline == lease.deadline


async def test_a_clock_that_was_once_far_ahead_is_not_followed(mailboxes, store, submission, clock, here, admin):
    clock.advance(86_400_000)
    await mailboxes.accept(submission())
    await admin.hdel("{s0}:clock", "lifted")
    clock.now = time.time_ns() // 1_000_000
    (lease,) = await lend(mailboxes, CA, here)
    assert lease.deadline <= time.time_ns() // 1_000_000 + LEASE_MS
