"""Looks at a real store: what lies there without an event, what is away, and how long anything of it may take."""

import asyncio
import os
import signal

import msgspec
import pytest
from harness import now_ms
from sandbox import free_port

from valija.registry.sample import sample_exchange
from valija_broker import config, dead_letters
from valija_broker.directory import Known, publish_folder
from valija_broker.errors import StoreUnavailable
from valija_broker.mail import Release
from valija_broker.observe import attention, shares
from valija_broker.observe.observer import Live, watching
from valija_broker.shelves import DirectoryShelf
from valija_broker.store import Store
from valija_schemas import admin as records
from valija_schemas import wire

CA, CO = "ca.liaison", "co.enlace"


@pytest.fixture
def exchange():
    return sample_exchange()


@pytest.fixture
async def live(exchange, store, clock, tmp_path):
    """An observer of a store, with a directory in it and no broker beside it."""
    settings = config.Settings(
        exchange=config.Exchange(origin=exchange.origin, root_digest=exchange.root_digest),
        data=str(tmp_path),
        metrics=config.Metrics(port=free_port()),
    )
    exchange.publish(settings.directory_path)
    known = Known(exchange.origin, exchange.root_digest, DirectoryShelf(store))
    await publish_folder(settings.directory_path, known, DirectoryShelf(store))
    found = Live(settings, store, known)
    found.boxes_kept = 0
    return found


@pytest.fixture
def functions_run(admin):
    """How many functions the store has run."""

    async def count():
        return (await admin.info("commandstats"))["cmdstat_fcall"]["calls"]

    return count


async def lend(mailboxes, here, to=CA):
    return await mailboxes.lease(to, instance="one", limit=10, lease_ms=60_000, directory=here)


def codes(overview):
    return {item.code for item in overview.attention}


async def test_a_mailbox_is_stuck_while_nobody_holds_a_lease_that_lasts(live, mailboxes, submission, clock, here):
    await mailboxes.accept(submission(to=(CA,), time=now_ms() - attention.stuck_ms - 1_000))
    assert "mailbox-stuck" in codes(await live.overview())
    assert len(await lend(mailboxes, here)) == 1
    assert "mailbox-stuck" not in codes(await live.overview())
    # Its worker dies: the lease lapses, and stays among the leased until somebody asks.
    await mailboxes.extend(CA, [(await lend(mailboxes, here))[0].token], lease_ms=1)
    clock.advance(10)
    while "mailbox-stuck" not in codes(found := await live.overview()):
        await asyncio.sleep(0.01)
    assert (found.ready, found.leased, found.oldest_in) == (0, 1, CA)


async def test_letters_that_were_altered_have_no_event_and_are_shown_all_the_same(
    live, mailboxes, letters, submission, here, admin
):
    await mailboxes.accept(submission(to=(CA,)))
    await mailboxes.accept(submission(to=(CA,)))
    await admin.hset("{s0}:m:1", mapping={"from": b"\xff", "digest": b"short", "id": b"none"})
    await admin.hdel("{s0}:m:2", "from")
    assert await lend(mailboxes, here) == []
    (group,) = await live.dead()
    assert (group.reason, group.count, group.mailboxes) == ("altered", 2, (CA,))
    first, second = group.letters
    assert (first.sender, first.digest, first.id) == (None, None, None)
    assert second.sender is None
    assert second.digest is not None
    assert wire.Decoder(records.DeadGroup, 100_000)(wire.encode(group)) == group


async def test_what_one_look_does_not_read_is_counted(live, mailboxes, submission, here, monkeypatch):
    for number in range(5):
        await mailboxes.accept(submission(to=(CA, CO) if number < 3 else (CA,)))
    for to, reason in ((CA, "attempts"), (CO, "unverified")):
        releases = [Release(token=lease.token, dead=True, reason=reason) for lease in await lend(mailboxes, here, to)]
        await mailboxes.release(to, releases, directory=here)
    assert [(group.reason, group.count) for group in await live.dead()] == [("attempts", 5), ("unverified", 3)]
    monkeypatch.setattr(dead_letters, "dead_letters_max", 2)
    groups = await live.dead()
    assert [(group.reason, group.count) for group in groups] == [("attempts", 2), ("unverified", 2), ("more", 4)]
    assert groups[2].mailboxes == (CA, CO)
    assert groups[2].letters == ()


async def test_an_outage_of_the_store_is_said_and_hides_nothing_else(live, valkey, mailboxes, submission):
    await mailboxes.accept(submission(to=(CA,)))
    assert {"store-away", "evidence-away"} & codes(await live.overview()) == {"evidence-away"}  # nobody made one here
    os.kill(valkey.pid, signal.SIGKILL)
    await valkey.wait()
    found = await live.overview()
    assert {"store-away", "broker-away", "evidence-away"} <= codes(found)
    assert found.directory == 1
    checks = {check.name: check for check in (await live.health()).checks}
    assert checks["queue"].code == "store-away"
    assert checks["storage"].values["free_bytes"] > 0
    with pytest.raises(StoreUnavailable):
        await live.mailboxes()
    async with watching(live._settings, away=True) as late:  # a command that begins now knows no directory
        checks = {check.name: check for check in (await late.health()).checks}
        assert (checks["queue"].verdict, checks["directory"].verdict) == ("critical", "unknown")
        for look in (late.mailboxes(), late.mailbox(CA), late.dead()):
            with pytest.raises(StoreUnavailable):
                await look


async def test_a_store_that_stands_still_holds_up_no_overview(exchange, live, valkey):
    async with Store(valkey.endpoint, timeout_s=0.2) as impatient:
        watched = Live(live._settings, impatient, live._known)
        os.kill(valkey.pid, signal.SIGSTOP)
        try:
            found = await watched.overview()
        finally:
            os.kill(valkey.pid, signal.SIGCONT)
    assert "store-away" in codes(found)
    assert found.directory == exchange.phonebook.version


async def test_who_has_no_key_of_some_use_is_named(live, exchange, store):
    assert "keys-retired" not in codes(await live.overview())

    def retire(directory):
        points = {point.id: point for point in directory.contact_points}
        ended = msgspec.structs.replace(points[CA].auth[0], status="retired", ended=directory.issued)
        points[CA] = msgspec.structs.replace(points[CA], auth=(ended,))
        return msgspec.structs.replace(directory, contact_points=tuple(points.values()))

    exchange.next_directory(retire)
    exchange.publish(live._settings.directory_path)
    await publish_folder(live._settings.directory_path, live._known, DirectoryShelf(store))
    (item,) = [item for item in (await live.overview()).attention if item.code == "keys-retired"]
    assert (item.values, item.place) == ({"contact_point": CA}, f"/contact-points/{CA}")
    assert (await live.mailbox(CA)).keys == {"sign": (1, 0, 0), "seal": (1, 0, 0), "auth": (0, 1, 0)}


async def test_many_who_look_cost_the_store_one_look(live, functions_run):
    live.boxes_kept = 10**6
    before = await functions_run()
    for found in await asyncio.gather(*(live.overview() for _ in range(20)), *(live.mailboxes() for _ in range(20))):
        assert found
    assert await functions_run() - before == 1


async def test_a_clock_that_was_put_back_is_seen_in_the_store(live, store, clock):
    assert "clock-back" not in codes(await live.overview())
    await store.run("HSET", "{s0}:clock", "last", str(clock.now + 3_600_000))
    (item,) = [item for item in (await live.overview()).attention if item.code == "clock-back"]
    assert abs(int(item.values["ms"]) - 3_600_000) < 60_000


async def test_a_page_reads_so_many_pointers_and_no_more(store, mailboxes, submission, here, monkeypatch):
    sent = [submission(to=(CA,)) for _ in range(4)]
    for one in sent:
        await mailboxes.accept(one)
    assert len(await lend(mailboxes, here)) == 4
    waits = records.Share(recipient=CA, state="ready", since=None, attempts=None, reason=None)
    rows = [
        records.MessageRow(
            digest=one.digest, id=one.id, sender=one.sender, type=None, priority=None, exercise=None, thread=None,
            in_reply_to=None, bytes=None, accepted=one.time, expires=None, shares=(waits,),
        )
        for one in sent
    ]  # fmt: skip

    async def leased():
        return [row.shares[0].state for row in await shares.placed(store, mailboxes, rows)].count("leased")

    assert await leased() == 4
    monkeypatch.setattr(shares, "pointers_max", 3)
    assert await leased() == 3
    monkeypatch.setattr(shares, "pointers_all_max", 2)
    assert await leased() == 2
