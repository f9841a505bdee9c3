"""A connection that breaks at the worst moment: between the store's commit and the broker's reading of it.

Each fault is met twice: it failed and nothing had happened, and it failed although it had happened. From where
the broker stands the two look the same.
"""

import asyncio
import contextlib
import hashlib
import os
import signal
import time
from pathlib import Path

import pytest

from valija_broker import batch
from valija_broker.embedded import EmbeddedValkey
from valija_broker.errors import StoreUnavailable
from valija_broker.mail import Accepted, Repeat, Submission
from valija_broker.queue import Mailboxes
from valija_broker.shelves import Directory, DirectoryShelf, Nonces, Outbox
from valija_broker.store import Endpoint, Store

pytestmark = pytest.mark.faults

HERE = Directory(1, "ab" * 32)
MAILBOX = "ca.liaison"


class Proxy:
    """Passes bytes on to the server, until it is told to break a connection.

    `requests`: how many more requests that name `word` vanish on their way; `replies`: how many are carried out and
    their replies vanish.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.word = b"FCALL"
        self.requests = 0
        self.replies = 0
        self.broken = 0
        self._tasks = set()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()
        await self._server.wait_closed()
        await asyncio.sleep(0.02)  # connections that were just taken begin to be served
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader, writer):
        self._tasks.add(task := asyncio.current_task())
        up_reader, up_writer = await asyncio.open_unix_connection(self.path)
        lost = asyncio.Event()

        async def up():
            while data := await reader.read(1 << 20):
                if self.word in data and self.requests:
                    self.requests -= 1
                    self.broken += 1
                    return
                if self.word in data and self.replies:
                    self.replies -= 1
                    self.broken += 1
                    lost.set()
                up_writer.write(data)
                await up_writer.drain()

        async def down():
            while data := await up_reader.read(1 << 20):
                if lost.is_set():
                    return
                writer.write(data)
                await writer.drain()

        both = [asyncio.create_task(up()), asyncio.create_task(down())]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in both:
                one.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            for end in (writer, up_writer):
                end.close()
                with contextlib.suppress(OSError):
                    await end.wait_closed()
            self._tasks.discard(task)


@pytest.fixture
async def server(tmp_path: Path):
    async with EmbeddedValkey(tmp_path) as found:
        yield found


@pytest.fixture
async def direct(server):
    async with Store(server.endpoint) as found:
        yield found


@pytest.fixture
async def proxy(server):
    async with Proxy(server.endpoint.url.removeprefix("unix://")) as found:
        yield found


@pytest.fixture
async def store(server, proxy):
    endpoint = Endpoint(url=f"redis://127.0.0.1:{proxy.port}", username="valija", password=server.endpoint.password)
    async with Store(endpoint) as found:
        yield found


@pytest.fixture
async def mailboxes(store, monkeypatch):
    monkeypatch.setattr(batch, "repeat_pause_s", 0.01)
    async with Mailboxes(store) as found:
        yield found


def submission(number: int) -> Submission:
    now = time.time_ns() // 1_000_000
    digest = hashlib.sha256(b"%d" % number).hexdigest()
    return Submission(
        sender="mx.enlace", id=f"00000000-0000-4000-8000-{number:012d}", digest=digest, note_digest=digest,
        directory=HERE, evidence_key_id="k", note=b"note", body=b"body %d" % number, subject=b"s%d" % number,
        accepted=b"a", priority=2, expires=now + 60_000, to=(MAILBOX,), salt=bytes(32), time=now,
    )  # fmt: skip


@pytest.mark.parametrize("fault", ["requests", "replies"])
async def test_retry_after_a_lost_reply_stores_nothing_twice(mailboxes, proxy, direct, fault):
    setattr(proxy, fault, 1)
    s = submission(1)
    assert await mailboxes.accept(s) == Accepted(first=s.record())
    assert proxy.broken == 1
    assert await direct.run("GET", "{s0}:seq") == b"1"
    assert await direct.run("ZRANGE", "{s0}:r:" + MAILBOX, 0, -1) == [b"1"]
    assert await direct.run("XLEN", "{s0}:outbox") == 1
    assert await mailboxes.accept(s) == Repeat(first=s.record())


@pytest.mark.parametrize("fault", ["requests", "replies"])
async def test_a_batch_whose_reply_is_lost_is_answered_each_with_its_own(mailboxes, proxy, direct, fault):
    setattr(proxy, fault, 2)
    sent = [submission(n) for n in range(50)]
    outcomes = await asyncio.gather(*(mailboxes.accept(s) for s in sent))
    assert outcomes == [Accepted(first=s.record()) for s in sent]
    assert await direct.run("GET", "{s0}:seq") == b"50"


async def test_an_outcome_that_stays_unknown_is_said_to_be_unknown(mailboxes, proxy, direct):
    proxy.replies = batch.repeats_max
    s = submission(1)
    with pytest.raises(StoreUnavailable):
        await mailboxes.accept(s)
    # It had happened; the sender repeats and learns the first answer.
    assert await mailboxes.accept(s) == Repeat(first=s.record())
    assert await direct.run("GET", "{s0}:seq") == b"1"


@pytest.mark.parametrize("fault", ["requests", "replies"])
async def test_mail_that_was_lent_into_the_void_comes_again_uncounted(mailboxes, proxy, fault):
    await mailboxes.accept(submission(1))
    setattr(proxy, fault, 1)
    ask = {"instance": "one", "limit": 5, "lease_ms": 60_000, "directory": HERE}
    with pytest.raises(StoreUnavailable):
        await mailboxes.lease(MAILBOX, **ask)
    (lease,) = await mailboxes.lease(MAILBOX, **ask)
    assert lease.attempt == 1


@pytest.mark.parametrize("fault", ["requests", "replies"])
async def test_a_nonce_whose_reply_is_lost_still_counts_as_the_first(store, proxy, fault):
    nonces = Nonces(store)
    setattr(proxy, fault, 1)
    assert await nonces.record("k", "n", 1000)
    assert not await nonces.record("k", "n", 1000)


@pytest.mark.parametrize("fault", ["requests", "replies"])
async def test_a_publication_whose_reply_is_lost_can_be_repeated(store, proxy, fault):
    shelf = DirectoryShelf(store)
    setattr(proxy, fault, 1)
    with pytest.raises(StoreUnavailable):
        await shelf.publish_directory(1, b"one")
    await shelf.publish_directory(1, b"one")
    assert (await shelf.heads()).directory == 1


async def test_the_command_client_never_repeats_by_itself(store, proxy, direct):
    proxy.word, proxy.replies = b"PUBLISH", 1
    with pytest.raises(StoreUnavailable):
        await store.run("PUBLISH", "{s0}:wake", "d")
    assert proxy.broken == 1
    info = await direct.run("INFO", "commandstats")
    assert b"cmdstat_publish:calls=1," in info


async def test_no_reply_goes_to_another_caller_when_callers_leave(store, proxy):
    async def ask(n):
        return await store.run("HMGET", "{s0}:nothing", *[f"f{n}"] * n)

    for round_ in range(20):
        tasks = [asyncio.create_task(ask(n)) for n in range(1, 20)]
        await asyncio.sleep(0.0005 * (round_ % 5))
        for task in tasks[::2]:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        for n, outcome in enumerate(outcomes, 1):
            assert isinstance(outcome, asyncio.CancelledError) or len(outcome) == n


async def test_killing_the_server_loses_nothing_that_was_accepted(server, direct, monkeypatch):
    monkeypatch.setattr(batch, "repeat_pause_s", 0.01)
    keeper = asyncio.create_task(server.keep())
    accepted = []

    async def send(mailboxes, worker):
        for n in range(40):
            s = submission(worker * 1000 + n)
            while True:
                try:
                    outcome = await mailboxes.accept(s)
                except StoreUnavailable:
                    await asyncio.sleep(0.05)
                else:
                    assert isinstance(outcome, Accepted | Repeat)
                    accepted.append(s.subject)
                    break

    try:
        async with Mailboxes(direct) as mailboxes:
            workers = [asyncio.create_task(send(mailboxes, n)) for n in range(10)]
            while len(accepted) < 100:
                await asyncio.sleep(0.001)
            os.kill(server.pid, signal.SIGKILL)
            await asyncio.gather(*workers)
            got = []
            while part := await mailboxes.lease(
                MAILBOX, instance="one", have=[x.token for x in got], limit=100, lease_ms=60_000, directory=HERE
            ):
                got += part
            assert sorted(x.subject for x in got) == sorted(accepted)
            assert len(got) == len({x.subject for x in got}) == 400
            outbox = Outbox(direct)
            events = [e.subject for e in await outbox.read(0, 10_000) if e.event == "SubmissionAcceptance"]
            assert sorted(events) == sorted(accepted)
    finally:
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)
