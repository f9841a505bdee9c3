"""An older copy of the store, as a restored backup brings it, or a replica that was promoted too early."""

import asyncio
import shutil

import pytest
from harness import Peer, digest_of
from sandbox import Sandbox

from valija_broker.database import reading
from valija_broker.evidence import facts_of
from valija_broker.store_age import read_marks


def failures(sandbox):
    """Who was told in their feed of which share that failed, and why."""
    with reading(sandbox.data / "evidence.sqlite") as connection:
        rows = connection.execute(
            "SELECT party, event FROM feed JOIN events USING (seq) WHERE name = 'ContentHandoverFailure'"
        ).fetchall()
    told = [(party, facts_of(event)) for party, event in rows]
    return {(party, facts.message, facts.about, facts.reason) for party, facts in told}


@pytest.mark.faults
async def test_an_older_copy_of_the_store_is_refused_until_a_person_takes_it(tmp_path):
    sandbox = Sandbox(tmp_path / "x", workers=1)
    valkey, old = sandbox.data / "valkey", tmp_path / "old"
    a, b = [point.id for point in sandbox.exchange.phonebook.directory.contact_points if point.status == "active"][:2]
    sandbox.start()
    try:
        async with Peer(sandbox, a) as sender, Peer(sandbox, b) as recipient:
            taken, gone = sender.message(recipient), sender.message(recipient)
            await sender.accepted(taken)
            await sender.feed(1)
            await asyncio.to_thread(sandbox.stop)
            shutil.copytree(valkey, old, ignore=shutil.ignore_patterns("valkey.sock"))
            await asyncio.to_thread(sandbox.start)
            await recipient.done(*await recipient.lease())
            await sender.accepted(gone)
            await sender.feed(4)
            await asyncio.to_thread(sandbox.stop)
            shutil.rmtree(valkey)
            shutil.copytree(old, valkey)

            with pytest.raises(RuntimeError, match="the store is an older copy"):
                await asyncio.to_thread(sandbox.start)
            assert not sandbox.processes()["worker"], "nobody is served by it"
            marks = read_marks(sandbox.data / "evidence.sqlite")
            assert sandbox.command("migrate", "--store-lost").returncode == 0
            await asyncio.to_thread(sandbox.start)
            assert read_marks(sandbox.data / "evidence.sqlite") == marks, "until the first event after it"
            async with asyncio.timeout(30):
                while not (told := [line for line in sandbox.log() if line["event"] == "losses_told"]):
                    await asyncio.sleep(0.1)
            assert [(line["shares"], line["messages"]) for line in told] == [(1, 1)]
            assert failures(sandbox) == {(a, digest_of(gone), b, "lost"), (b, digest_of(gone), b, "lost")}
            found = await asyncio.to_thread(sandbox.command, "reconcile")
            assert found.stdout.splitlines() == [f"queued again after its end: {digest_of(taken)} for {b}"]
            # Once taken, it is the store: it is not refused again, nor is the marker left behind.
            await asyncio.to_thread(sandbox.stop)
            await asyncio.to_thread(sandbox.start)
            assert [line["event"] for line in sandbox.log()].count("store_lost") == 1
            assert [line["event"] for line in sandbox.log()].count("losses_told") == 1

            # One that is gone is begun anew, and said to be lost; what was signed before may be a replay.
            await asyncio.to_thread(sandbox.stop)
            shutil.rmtree(valkey)
            await asyncio.to_thread(sandbox.start)
            assert [line["event"] for line in sandbox.log()].count("store_lost") == 2
            async with Peer(sandbox, a) as late:
                assert (await late.request("GET", "/v1/directory")).status == 503
    finally:
        sandbox.stop()
