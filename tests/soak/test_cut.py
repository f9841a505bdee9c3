"""Answers that are lost at each hop, and askers that leave, ten thousand times or for as long as there is time."""

import asyncio
import random
import time
import uuid
from collections import Counter
from pathlib import Path

from broker.conftest import submissions
from cutting import Cutter, leave_at_random, lose_answers

from valija_broker import batch
from valija_broker.embedded import EmbeddedValkey
from valija_broker.errors import StoreUnavailable
from valija_broker.mail import Accepted, Limits, Repeat
from valija_broker.queue import Mailboxes
from valija_broker.shelves import Outbox
from valija_broker.store import Endpoint, Store

COUNT = 10_000
portion = 160
MAILBOX = "ca.liaison"
ROOM = Limits(submit_per_minute_max=1_000_000_000)  #: One sender, as fast as it can.


async def test_answers_of_the_broker_are_lost(fresh, soak_seconds, figure):
    seed = random.randrange(2**32)
    figure("seed", seed)
    dice, seen = random.Random(seed), Counter()
    ends = time.monotonic() + soak_seconds
    while seen["messages"] < COUNT and time.monotonic() < ends:
        seen += await lose_answers(fresh(), fresh(), portion, dice)
    for name, count in seen.items():
        figure(name, count)
    figure("stored twice, lost, or answered with other bytes", 0)


async def test_answers_of_the_store_are_lost(tmp_path: Path, monkeypatch, soak_seconds, figure):
    """Each connection from the broker's batcher to the store breaks after a number of bytes, there or back."""
    monkeypatch.setattr(batch, "repeat_pause_s", 0.005)
    seed = random.randrange(2**32)
    figure("seed", seed)
    dice = random.Random(seed)
    ends = time.monotonic() + soak_seconds
    make = submissions(lambda: time.time_ns() // 1_000_000)
    outcomes: Counter[str] = Counter()

    def draw() -> tuple[int | None, int | None]:
        return (dice.randrange(1, 20_000), None) if dice.random() < 0.5 else (None, dice.randrange(1, 5_000))

    async with EmbeddedValkey(tmp_path) as server, Store(server.endpoint) as direct:
        path = server.endpoint.url.removeprefix("unix://")
        async with Cutter(lambda: asyncio.open_unix_connection(path), draw) as cutter:
            where = Endpoint(
                url=f"redis://127.0.0.1:{cutter.port}", username="valija", password=server.endpoint.password
            )
            async with Store(where) as store, Mailboxes(store, limits=ROOM) as mailboxes:

                async def send() -> None:
                    s = make(id=str(uuid.UUID(int=dice.getrandbits(128), version=4)))
                    for _ in range(100):
                        try:
                            outcome = await mailboxes.accept(s)
                        except StoreUnavailable:
                            outcomes["unknown, and sent again"] += 1
                            continue
                        assert isinstance(outcome, Accepted | Repeat)
                        assert outcome.first == s.record()
                        outcomes[type(outcome).__name__] += 1
                        sent.add(s.subject)
                        return
                    raise AssertionError("never answered")

                sent: set[bytes] = set()
                while len(sent) < COUNT and time.monotonic() < ends:
                    await asyncio.gather(*(send() for _ in range(dice.randint(1, 8))))
        stored = int(await direct.run("GET", "{s0}:seq"))
        events = Counter()
        outbox, after = Outbox(direct), ""
        while entries := await outbox.read(0, after=after):
            events.update(entry.subject for entry in entries)
            after = entries[-1].id
        figure("messages", len(sent))
        figure("outcomes", dict(outcomes))
        figure("connections cut", cutter.cut)
        figure("stored", stored)
        figure("stored twice", sum(count > 1 for count in events.values()))
        assert events == Counter(sent)
        assert stored == len(sent) == await direct.run("ZCARD", "{s0}:r:" + MAILBOX)


async def test_askers_leave(fresh, soak_seconds, figure):
    seed = random.randrange(2**32)
    figure("seed", seed)
    dice, seen = random.Random(seed), Counter()
    peers = [fresh() for _ in range(12)]
    ends = time.monotonic() + soak_seconds
    while time.monotonic() < ends:
        seen += await leave_at_random(peers, 20, dice)
    for name, count in seen.items():
        figure(name, count)
    figure("told what was said to another", 0)
