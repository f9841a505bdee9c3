"""Wake-ups are hints: quick when all is well, and nothing rests on them."""

import asyncio
import time

from valija_broker import wake
from valija_broker.mail import Release
from valija_broker.shelves import DirectoryShelf
from valija_broker.wake import Waker


async def timed(waiter, timeout=5.0):
    start = time.monotonic()
    return await waiter.wait(timeout), time.monotonic() - start


async def test_mail_wakes_its_mailbox_and_no_other(store, mailboxes, submission, here):
    async with Waker(store) as waker:
        with waker.subscribe("ca.liaison") as mine, waker.subscribe("co.enlace") as other, waker.outbox() as outbox:
            await asyncio.wait_for(waker.connected.wait(), 5)
            for waiter in (mine, other, outbox):
                await waiter.wait(1)  # everybody looks once after a connection
            await mailboxes.accept(submission())
            woken, took = await timed(mine)
            assert woken
            assert took < 30
            assert await outbox.wait(1)
            assert not await other.wait(0.05)
            (lease,) = await mailboxes.lease("ca.liaison", instance="one", limit=1, lease_ms=1000, directory=here)
            await mailboxes.release("ca.liaison", [Release(token=lease.token)], directory=here)
            assert await mine.wait(1)
        assert not waker._waiters


async def test_what_comes_between_a_look_and_the_wait_is_not_missed(store, mailboxes, submission):
    async with Waker(store) as waker:
        with waker.subscribe("ca.liaison") as mine:
            await asyncio.wait_for(waker.connected.wait(), 5)
            await mine.wait(1)
            await mailboxes.accept(submission())
            await asyncio.sleep(0.1)
            assert (await timed(mine))[1] < 0.05


async def test_parties_and_readers_of_the_directory_are_woken(store):
    async with Waker(store) as waker:
        with waker.events("mx.enlace") as party, waker.directory() as directory:
            await asyncio.wait_for(waker.connected.wait(), 5)
            await party.wait(1)
            await directory.wait(1)
            await waker.publish("e", "mx.enlace")
            assert await party.wait(1)
            await DirectoryShelf(store).publish_root(1, b"root")
            assert await directory.wait(1)


async def test_a_thousand_waiters_cost_one_connection(store, admin):
    async with Waker(store) as waker:
        await asyncio.wait_for(waker.connected.wait(), 5)
        before = len(await admin.client_list())
        waiters = [waker.subscribe(f"x{n}.enlace") for n in range(1000)]
        for waiter in waiters:
            waiter.__enter__()
        assert len(await admin.client_list()) == before
        for waiter in waiters:
            waiter.__exit__(None, None, None)


async def test_after_a_broken_connection_everybody_looks(store, admin):
    async with Waker(store) as waker:
        with waker.subscribe("ca.liaison") as mine:
            await asyncio.wait_for(waker.connected.wait(), 5)
            await mine.wait(1)
            await admin.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            assert await mine.wait(5)
            await asyncio.wait_for(waker.connected.wait(), 5)


async def test_a_quiet_subscription_stays_up(store, monkeypatch, mailboxes, submission):
    monkeypatch.setattr(wake, "_ping_every_s", 0.5)
    async with Waker(store) as waker:
        with waker.subscribe("ca.liaison") as mine:
            await asyncio.wait_for(waker.connected.wait(), 5)
            await mine.wait(1)
            await asyncio.sleep(1.6)  # three pings, each answered within 0.5 s
            assert waker.connected.is_set()
            assert not await mine.wait(0.01)
            await mailboxes.accept(submission())
            assert await mine.wait(1)


async def test_everybody_looks_now_and_then_however_quiet_it_is(store, monkeypatch):
    monkeypatch.setattr(wake, "look_every_s", 0.05)
    waker = Waker(store)
    with waker.subscribe("ca.liaison") as mine:
        woken, took = await timed(mine, 60)
    assert not woken
    assert took < 30
