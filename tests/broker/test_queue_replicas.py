"""With a replica: accepted means synced there too, and the answer speaks of our own write."""

import asyncio
import os
import re
import signal
import socket
import sys
from pathlib import Path

import pytest
from harness import Peer, digest_of
from sandbox import Sandbox

from valija_broker import batch
from valija_broker.accept import Desk
from valija_broker.directory import Known, publish_folder
from valija_broker.embedded import find_binary
from valija_broker.errors import BrokerError, StoreUnavailable
from valija_broker.keys import Keys
from valija_broker.layout import check, migrate
from valija_broker.log.view import EvidenceReader, LogView
from valija_broker.mail import Accepted, Repeat
from valija_broker.queue import Mailboxes
from valija_broker.seen import Seen
from valija_broker.shelves import DirectoryShelf
from valija_broker.store import Endpoint, Store
from valija_schemas import note as notes


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


async def start(folder: Path, port: int, *more: str):
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "valija_broker.tether", str(os.getpid()), "--", str(find_binary()), "--port", str(port),
        "--bind", "127.0.0.1", "--dir", str(folder), "--appendonly", "yes", "--appendfsync", "always", "--save", "",
        "--maxmemory", "100mb", "--repl-diskless-sync-delay", "0", *more, stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip


async def until(store: Store, what: bytes) -> None:
    for _ in range(500):
        try:
            if what in await store.run("INFO"):
                return
        except BrokerError:
            pass
        await asyncio.sleep(0.02)
    raise AssertionError(what)


async def calls(store: Store, command: str) -> int:
    found = re.search(rf"cmdstat_{command}:calls=(\d+)", (await store.run("INFO", "commandstats")).decode())
    return int(found[1]) if found else 0


async def accept_at_last(mailboxes, submission):
    for _ in range(20):
        try:
            return await mailboxes.accept(submission)
        except StoreUnavailable:
            continue
    raise AssertionError("still unavailable")


@pytest.fixture
async def pair(tmp_path):
    first, second = free_port(), free_port()
    (tmp_path / "primary").mkdir()
    (tmp_path / "replica").mkdir()
    processes = [
        await start(tmp_path / "primary", first),
        await start(tmp_path / "replica", second, "--replicaof", f"127.0.0.1 {first}"),
    ]
    try:
        async with (
            Store(Endpoint(url=f"redis://127.0.0.1:{first}"), replicas=1, timeout_s=0.4) as primary,
            Store(Endpoint(url=f"redis://127.0.0.1:{second}")) as replica,
        ):
            await until(replica, b"master_link_status:up")
            await until(replica, b"aof_rewrite_in_progress:0")
            await migrate(primary, now=0)
            yield primary, replica, processes[1]
    finally:
        for process in processes:
            process.send_signal(signal.SIGCONT)
            process.kill()
            await process.wait()


async def test_accepted_means_synced_on_the_replica_too(pair, submission_now, monkeypatch):
    primary, replica, process = pair
    monkeypatch.setattr(batch, "repeat_pause_s", 0.01)
    make = submission_now
    assert (await check(primary))[1] == []
    async with Mailboxes(primary) as mailboxes:
        assert isinstance(await accept_at_last(mailboxes, make()), Accepted | Repeat)
        before = await calls(primary, "fcall"), await calls(primary, "waitaof")
        assert isinstance(await mailboxes.accept(make()), Accepted)
        # Both commands ran on one node: anywhere else WAITAOF would speak of somebody else's writes.
        after = await calls(primary, "fcall"), await calls(primary, "waitaof")
        assert after[1] - before[1] >= after[0] - before[0] >= 1  # it asks again while the replica is busy
        assert (await calls(replica, "fcall"), await calls(replica, "waitaof")) == (0, 0)

        process.send_signal(signal.SIGSTOP)
        s = make()
        with pytest.raises(StoreUnavailable):
            await mailboxes.accept(s)
    # A fresh connection that repeats must not be told that all is well: it has to wait for the same data.
    async with Mailboxes(primary) as mailboxes:
        with pytest.raises(StoreUnavailable):
            await mailboxes.accept(s)
        process.send_signal(signal.SIGCONT)
        await until(replica, b"master_link_status:up")
        assert (await accept_at_last(mailboxes, s)).first == s.record()


async def test_a_replica_is_not_taken_for_the_store(pair):
    with pytest.raises(BrokerError, match="replica"):
        await check(pair[1])


async def test_whoever_holds_a_copy_of_a_message_makes_no_broker_wait_for_its_body_again(pair, tmp_path, monkeypatch):
    primary, _, process = pair
    monkeypatch.setattr(batch, "repeat_pause_s", 0.01)
    box = Sandbox(tmp_path / "exchange")
    sender, recipient = Peer(box, "mx.enlace"), Peer(box, "co.enlace")
    known, keys = (
        Known(sender.origin, box.exchange.root_digest, DirectoryShelf(primary)),
        Keys.load(box.data / "keys.toml"),
    )
    await publish_folder(box.data / "directory", known, DirectoryShelf(primary))
    data = sender.message(recipient)
    note, body = notes.split(data)

    async def whole(_):
        return body

    async def never(_):
        raise AssertionError("its body is read, and counts as the sender's, for as long as it takes to come")

    async with Mailboxes(primary) as mailboxes:
        reader = EvidenceReader(tmp_path / "evidence.sqlite", LogView(tmp_path / "log"))
        desk = Desk(known, mailboxes, reader, keys.evidence_signers(sender.origin), keys.evidence_id, Seen(tmp_path))

        async def accept_at_last(read_body):
            for _ in range(20):
                try:
                    return await desk.accept(note, read_body, arrived=False)
                except StoreUnavailable:
                    continue
            raise AssertionError("still unavailable")

        first = await accept_at_last(whole)
        assert sender.verify(first).message == digest_of(data)
        assert await accept_at_last(never) == first
        # It is an answer like every other: not given while fewer replicas than there must be have the message.
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(StoreUnavailable):
            await desk.accept(note, never, arrived=False)
