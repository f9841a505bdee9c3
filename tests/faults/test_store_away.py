"""The store away, full, restarted, or on a full disk under a running broker; and what never stands in any file."""

import asyncio
import os
import signal
import time

import pytest
from full_disk import no_room
from harness import Peer, refused
from sandbox import Sandbox

from valija.registry.sample import sample_exchange

SECRET = "canary-4f1c9d2e77"


async def until_accepted(sender: Peer, data: bytes) -> bytes:
    """Repeat as a sender does, until there is an answer."""
    deadline = time.monotonic() + 20
    while (answer := await sender.submit(data)).status != 202:
        assert (answer.status, answer.code) in {(503, "unavailable"), (503, "full")}
        assert answer.headers["Retry-After"]
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)
    return answer.body


@pytest.mark.faults
async def test_a_store_that_dies_or_a_disk_that_is_full_loses_nothing_and_all_goes_on(tmp_path):
    sandbox = Sandbox(tmp_path / "x", sample_exchange(suspended=()))
    sandbox.start()
    try:
        async with Peer(sandbox, "mx.enlace") as sender, Peer(sandbox, "ca.liaison") as recipient:
            messages = [sender.message(recipient, document=f'{{"t":"{SECRET}"}}'.encode()) for _ in range(30)]
            first = [await sender.submit(data) for data in messages[:10]]
            (valkey,) = sandbox.processes()["valkey"]
            os.kill(valkey, signal.SIGKILL)
            during = await asyncio.gather(*(sender.submit(data) for data in messages[10:20]))
            assert {answer.status for answer in during} <= {202, 503}
            for answer in during:
                if answer.status == 503:
                    assert answer.headers["Retry-After"]
                    assert answer.code in {"unavailable", "full"}
            accepted = {data: await until_accepted(sender, data) for data in messages[:25]}
            assert [accepted[data] for data in messages[:10]] == [answer.body for answer in first]
            running = sandbox.processes()
            assert running["valkey"] != [valkey]
            with no_room(1_000, *running["valkey"]):
                assert (await sender.submit(messages[25])).status == 503
            with no_room(1_000, *running["upkeep"]):
                for data in messages[25:]:
                    await until_accepted(sender, data)
                deadline = time.monotonic() + 20
                while set(running["upkeep"]) & set(sandbox.processes()["upkeep"]):
                    assert time.monotonic() < deadline
                    await asyncio.sleep(0.05)
            found = []
            while lent := await recipient.lease():
                found += [one.message for one in lent]
                assert set(await recipient.done(*lent)) == {"done"}
            assert sorted(found) == sorted(messages)
            assert len(await sender.feed(90, within_s=20)) == 90
        assert not set(running["valkey"]) & set(sandbox.processes()["valkey"])
        for words in (("log", "fsck"), ("reconcile",)):
            report = await asyncio.to_thread(sandbox.command, *words)
            assert report.returncode == 0, (words, report.stdout, report.stderr)
    finally:
        sandbox.stop()
    secrets = [SECRET.encode()]
    for keyring in sandbox.exchange.keyrings.values():
        secrets += [key.encode() for key in (keyring.seal.to_text(),)]
    for path in sandbox.folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not [secret for secret in secrets if secret in content], path


@pytest.mark.faults
async def test_a_full_store_takes_nothing_new_while_what_drains_it_works(tmp_path):
    more = f"[store]\nmemory_bytes_max = {24 * 1024 * 1024}\n"
    sandbox = Sandbox(tmp_path / "x", sample_exchange(suspended=()), more=more)
    sandbox.start()
    try:
        async with Peer(sandbox, "mx.enlace") as sender, Peer(sandbox, "ca.liaison") as recipient:
            early = sender.message(recipient)
            first = await sender.submit(early)
            document = b'{"t":"' + b"x" * 700_000 + b'"}'
            accepted = 0
            while (answer := await sender.submit(sender.message(recipient, document=document))).status == 202:
                accepted += 1
                assert accepted < 60
            assert accepted > 5
            refused(answer, "full")
            assert (await sender.submit(early)).body == first.body, "what was accepted before is not new"
            drained = 0
            while lent := await recipient.lease():
                assert set(await recipient.done(*lent)) == {"done"}
                drained += len(lent)
            assert drained == accepted + 1
            deadline = time.monotonic() + 10  # a reading of the server's memory may be a second old
            while (answer := await sender.submit(sender.message(recipient, document=document))).status != 202:
                refused(answer, "full")
                assert time.monotonic() < deadline
                await asyncio.sleep(0.2)
    finally:
        sandbox.stop()
