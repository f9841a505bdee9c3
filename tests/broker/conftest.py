"""A real Valkey for every test, and the small helpers that fill it."""

import hashlib
import itertools
import random
import time
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import redis.asyncio

from valija_broker import embedded
from valija_broker.dead_letters import DeadLetters
from valija_broker.embedded import EmbeddedValkey
from valija_broker.mail import Submission
from valija_broker.queue import Mailboxes
from valija_broker.shelves import Directory, Outbox
from valija_broker.store import Store

HERE = Directory(1, "ab" * 32)


class Clock:
    """The time of a test. It starts at the real one: the server's own expiry is not simulated."""

    def __init__(self) -> None:
        self.now = time.time_ns() // 1_000_000

    def __call__(self) -> int:
        return self.now

    def advance(self, ms: int) -> None:
        self.now += ms


@pytest.fixture
async def valkey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[EmbeddedValkey]:
    """A running server, set up, with one user more that may do everything."""
    lines = embedded.acl_lines
    monkeypatch.setattr(embedded, "acl_lines", lambda hashes: [*lines(hashes), "admin on nopass ~* &* +@all"])
    async with EmbeddedValkey(tmp_path) as server:
        yield server


@pytest.fixture
async def admin(valkey: EmbeddedValkey) -> AsyncIterator[redis.asyncio.Redis]:
    """What no process of ours may do: list keys, edit anything, count commands."""
    path = valkey.endpoint.url.removeprefix("unix://")
    async with redis.asyncio.Redis(unix_socket_path=path, username="admin", password="any", protocol=2) as client:
        yield client


@pytest.fixture
async def store(valkey: EmbeddedValkey) -> AsyncIterator[Store]:
    async with Store(valkey.endpoint) as found:
        yield found


@pytest.fixture
async def clock(store: Store) -> Clock:
    """An injected time; the functions' bound against the server's own is lifted."""
    await store.run("HSET", "{s0}:clock", "lifted", "1")
    return Clock()


@pytest.fixture
async def mailboxes(store: Store, clock: Clock) -> AsyncIterator[Mailboxes]:
    async with Mailboxes(store, clock=clock) as found:
        yield found


@pytest.fixture
def letters(store: Store, clock: Clock) -> DeadLetters:
    return DeadLetters(store, clock=clock)


@pytest.fixture
def outbox(store: Store) -> Outbox:
    return Outbox(store)


@pytest.fixture
def submission(clock: Clock) -> Callable[..., Submission]:
    """Makes submissions; each call another message, unless told otherwise."""
    return submissions(clock)


@pytest.fixture
def submission_now() -> Callable[..., Submission]:
    """The same, for stores that go by the real time."""
    return submissions(lambda: time.time_ns() // 1_000_000)


@pytest.fixture
def here() -> Directory:
    return HERE


def submissions(clock: Callable[[], int]) -> Callable[..., Submission]:
    count = itertools.count()
    source = random.Random(7)

    def make(**changes: object) -> Submission:
        number = next(count)
        body = changes.get("body", b"age-encryption.org/v1\n%d" % number)
        digest = hashlib.sha256(b"%d" % number).hexdigest()
        values: dict[str, object] = {
            "sender": "mx.enlace",
            "id": str(uuid.UUID(int=source.getrandbits(128), version=4)),
            "digest": digest,
            "note_digest": hashlib.sha256(digest.encode()).hexdigest(),
            "directory": HERE,
            "evidence_key_id": "cd" * 32,
            "note": b"valija/message/v1 %d\n" % number,
            "body": body,
            "subject": b"subject of %d" % number,
            "accepted": b"acceptance of %d" % number,
            "priority": 2,
            "expires": clock() + 7 * 86_400_000,
            "to": ("ca.liaison",),
            "salt": bytes(32),
            "time": clock(),
        }
        return Submission(**(values | changes))  # type: ignore[arg-type]

    return make
