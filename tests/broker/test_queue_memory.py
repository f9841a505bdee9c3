"""A full store: nothing new gets in, and what drains it still works."""

from pathlib import Path

import pytest

from valija_broker import batch
from valija_broker.embedded import EmbeddedValkey
from valija_broker.errors import StoreFull
from valija_broker.mail import Ack
from valija_broker.queue import Mailboxes
from valija_broker.shelves import Directory, Nonces, Outbox
from valija_broker.store import Store

MAILBOX = "ca.liaison"


@pytest.mark.parametrize("share", [0.8, 2.0], ids=["our own mark", "the server's limit"])
async def test_when_memory_is_full_accept_is_refused_and_the_rest_drains(
    tmp_path: Path, submission, here: Directory, monkeypatch, share
):
    monkeypatch.setattr(batch, "memory_share_max", share)
    monkeypatch.setattr(batch, "room_look_s", 0.0)
    async with (
        EmbeddedValkey(tmp_path / "full", maxmemory_bytes=6 << 20) as server,
        Store(server.endpoint) as store,
        Mailboxes(store) as mailboxes,
    ):
        stored = []
        with pytest.raises(StoreFull):
            for _ in range(100):
                s = submission(body=b"x" * 200_000)
                await mailboxes.accept(s)
                stored.append(s.subject)
        assert await Nonces(store).record("key", "nonce", 1000)
        drained = []
        while leases := await mailboxes.lease(MAILBOX, instance="one", limit=5, lease_ms=60_000, directory=here):
            acks = [
                Ack(
                    token=lease.token, subject=lease.subject, event="ConsignmentAcceptance", note=b"r" * 1000,
                    time=lease.deadline, directory=here,
                )
                for lease in leases
            ]  # fmt: skip
            assert set(await mailboxes.acknowledge(MAILBOX, acks)) == {"acknowledged"}
            drained += [lease.subject for lease in leases]
        assert drained == stored
        outbox = Outbox(store)
        ids = [entry.id for entry in await outbox.read(0)]
        assert await outbox.remove(0, ids) == len(ids) == 3 * len(stored)
        await mailboxes.accept(submission())


async def test_when_the_disk_is_nearly_full_nothing_new_is_accepted(
    store, clock, submission, here, tmp_path, monkeypatch
):
    monkeypatch.setattr(batch, "room_look_s", 0.0)
    async with Mailboxes(store, clock=clock, disks=[tmp_path]) as mailboxes:
        await mailboxes.accept(submission())
        monkeypatch.setattr(batch, "disk_free_bytes_min", 1 << 62)
        with pytest.raises(StoreFull, match="disk"):
            await mailboxes.accept(submission())
        assert len(await mailboxes.lease(MAILBOX, instance="one", limit=5, lease_ms=1000, directory=here)) == 1
