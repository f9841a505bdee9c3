"""A bit that changed in the store: nothing altered is handed out or told, and one damaged value stops nobody else.

The append-only file has no checksum. broker/DESIGN.md, section 6, "What a flipped bit does".
"""

import itertools
import random

import pytest
from flips import Kept
from structlog.testing import capture_logs

from valija_broker.mail import Accepted, Ack
from valija_broker.shelves import OutboxEntry

CA, CO = "ca.liaison", "co.enlace"
DAY_MS = 86_400_000
FIXED = ("from", "id", "digest", "subject", "priority", "expires", "time", "size", "to", "sha")

flips_in_store = 8  #: Each starts a server. `make soak` takes more.


async def lend(mailboxes, mailbox, here, limit=10):
    return await mailboxes.lease(mailbox, instance="one", limit=limit, lease_ms=60_000, directory=here)


async def done(mailboxes, mailbox, leases, here):
    acks = [
        Ack(token=x.token, subject=x.subject, event="ConsignmentAcceptance", note=b"r", time=1, directory=here)
        for x in leases
    ]
    return await mailboxes.acknowledge(mailbox, acks)


@pytest.mark.parametrize("field", FIXED)
async def test_nothing_is_told_of_a_message_that_was_altered(
    mailboxes, letters, submission, outbox, here, admin, clock, field
):
    sent = [submission(to=(CA, CO)) for _ in range(3)]
    for s in sent:
        await mailboxes.accept(s)
    (held,) = await lend(mailboxes, CO, here, limit=1)
    before = await outbox.read(0)
    for number in (1, 2):
        value = bytearray(await admin.hget(f"{{s0}}:m:{number}", field))
        value[-1] ^= 1
        await admin.hset(f"{{s0}}:m:{number}", field, bytes(value))
    with capture_logs() as logs:
        assert [x.subject for x in await lend(mailboxes, CA, here)] == [sent[2].subject]
        assert await done(mailboxes, CO, [held], here) == ["mismatch"]
        clock.advance(8 * DAY_MS)
        assert await mailboxes.expire(directory=here) == 2
        assert await mailboxes.expire(directory=here) == 0
    assert {line["log_level"] for line in logs} == {"critical"}
    told = [(e.event, e.subject, e.sender) for e in (await outbox.read(0))[len(before) :]]
    assert {(subject, sender) for _, subject, sender in told} == {(sent[2].subject, "mx.enlace")}
    assert sorted(letter.ref for letter in await letters.of(CA)) == ["0.1", "0.2"], "kept for a person"


async def test_no_bit_of_a_message_takes_it_from_those_who_wait(mailboxes, submission, here, admin):
    await mailboxes.accept(submission(to=(CA, CO)))
    await lend(mailboxes, CA, here)
    names = sorted((await admin.hgetall("{s0}:m:1")).keys() - {b"note", b"body", b"accepted"})
    flips = list(itertools.product(names, range(8)))
    for _ in flips:
        await mailboxes.accept(submission(to=(CA, CO)))
    leases = await mailboxes.lease(CA, instance="two", limit=len(flips), lease_ms=60_000, directory=here)
    for number, (lease, (name, bit)) in enumerate(zip(leases, flips, strict=True), 2):
        value = bytearray(await admin.hget(f"{{s0}}:m:{number}", name))
        value[-1] ^= 1 << bit
        await admin.hset(f"{{s0}}:m:{number}", name, bytes(value))
        assert await done(mailboxes, CA, [lease], here)
        assert await admin.hexists(f"{{s0}}:m:{number}", f"a:{CO}"), (name, bit)


async def test_a_message_goes_with_its_last_recipient_and_no_sooner(mailboxes, submission, here, admin):
    await mailboxes.accept(submission(to=(CA, CO)))
    await done(mailboxes, CA, await lend(mailboxes, CA, here), here)
    assert await admin.exists("{s0}:m:1")
    await done(mailboxes, CO, await lend(mailboxes, CO, here), here)
    assert not await admin.exists("{s0}:m:1")
    assert not await admin.exists("{s0}:x")


@pytest.mark.parametrize("count", ["", "!", " 4", "x"])
async def test_a_counter_that_cannot_be_read_stops_nobody(mailboxes, submission, here, admin, outbox, count):
    for _ in range(2):
        await mailboxes.accept(submission())
    quota = f"{{s0}}:q:mx.enlace|{CA}"
    await admin.hset(quota, mapping={"messages": count, "bytes": count})
    await admin.hset("{s0}:m:1", mapping={f"a:{CA}": count})
    assert isinstance(await mailboxes.accept(submission()), Accepted)
    leases = await lend(mailboxes, CA, here)
    await admin.hset(quota, mapping={"messages": count, "bytes": count})
    assert await done(mailboxes, CA, leases, here) == ["acknowledged"] * 3
    assert [e.event for e in await outbox.read(0)].count("ConsignmentAcceptance") == 3


async def test_a_sequence_that_lost_a_step_writes_over_nothing(mailboxes, submission, here, admin):
    sent = [submission() for _ in range(3)]
    await mailboxes.accept(sent[0])
    await mailboxes.accept(sent[1])
    await admin.decrby("{s0}:seq", 2)
    await mailboxes.accept(sent[2])
    assert [x.body for x in await lend(mailboxes, CA, here)] == [s.body for s in sent]


@pytest.mark.parametrize("key", ["r", "l"])
async def test_a_pointer_far_out_of_its_place_is_found_again(mailboxes, submission, here, admin, key):
    s = submission()
    await mailboxes.accept(s)
    if key == "l":
        await lend(mailboxes, CA, here)
    await admin.zadd(f"{{s0}}:{key}:{CA}", {"1": 2**52})
    (lease,) = await lend(mailboxes, CA, here)
    assert lease.subject == s.subject


async def test_a_deadline_that_no_lease_can_have_does_not_keep_mail_past_its_end(
    mailboxes, submission, here, admin, clock
):
    await mailboxes.accept(submission())
    await lend(mailboxes, CA, here)
    await admin.zadd(f"{{s0}}:l:{CA}", {"1": 2**52})
    clock.advance(8 * DAY_MS)
    assert await mailboxes.expire(directory=here) == 1


async def test_a_name_that_was_altered_in_the_outbox_stops_no_drain(mailboxes, submission, outbox, here, admin):
    await mailboxes.accept(submission())
    await lend(mailboxes, CA, here)
    before = await outbox.read(0)
    raw = (await admin.xrange("{s0}:outbox"))[-1][1]
    for name in raw:
        altered = bytes([*name[:-1], name[-1] ^ 1])
        await admin.xadd("{s0}:outbox", {altered if key == name else key: value for key, value in raw.items()})
    found = (await outbox.read(0))[len(before) :]
    whole = [entry for entry in found if isinstance(entry, OutboxEntry)]
    assert len(found) == len(raw)
    # A name whose value is empty takes nothing with it.
    assert [(e.subject, e.salt, e.reason, e.key, e.note) for e in whole] == [
        (before[-1].subject, before[-1].salt, "", "", b"")
    ] * list(raw.values()).count(b"")


@pytest.mark.faults
async def test_a_flipped_bit_of_the_append_only_file_is_refused_or_told_or_harmless(tmp_path):
    kept = Kept(tmp_path)
    await kept.fill()
    dice, seen = random.Random(21), set()
    for bit in kept.bits(flips_in_store, dice):
        seen.add(await kept.judge(kept.file, bit))
    assert seen <= {"refused", "told", "lent again", "harmless"}
    assert seen & {"refused", "told"}
    assert await kept.judge(kept.base, dice.randrange(kept.base.stat().st_size * 8)) == "refused"
    # Functions are loaded afresh; text that is no program any more ends the server that reads it.
    assert await kept.judge(kept.file, kept.code) in {"harmless", "refused"}
