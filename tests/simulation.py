"""The queues simulated: the real functions on a real Valkey that does not sync, one client, injected time, and a model.

`play` makes one seeded run. After each step the whole of the store is compared with what the model says it holds
(`simulation_model`), and what entered the outbox with what happened. A run that fails says its seed and its steps.
`simulation_faults` has damaged functions, to see that each kind of failure is found.
"""

import asyncio
import contextlib
import hashlib
import os
import random
import signal
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis.asyncio
from simulation_model import MAILBOXES, MINUTE_MS, SENDERS, Model

from valija_broker import embedded
from valija_broker.dead_letters import DeadLetters
from valija_broker.embedded import EmbeddedValkey
from valija_broker.errors import BrokerError, OutboxFull, StoreUnavailable
from valija_broker.mail import Accepted, Ack, Limits, Release, Repeat, Submission
from valija_broker.queue import Mailboxes
from valija_broker.shelves import Directory, Outbox
from valija_broker.store import Store

HERE = Directory(1, "ab" * 32)
INSTANCES = ("one", "two", "three")
LEASE_MS = 1000
LIMITS = Limits(
    lease_bytes_max=900, attempts_max=2, pair_quota_messages=6, pair_quota_bytes=1_500, sender_quota_bytes=3_000,
    outbox_events_max=40, submit_per_minute_max=8,
)  # fmt: skip

#: What a few runs must have seen, or they prove little.
ANSWERS = frozenset({
    "Accepted", "Repeat", "Conflict", "QuotaExceeded", "RateExceeded", "OutboxFull", "lent", "acknowledged", "gone",
    "stale", "mismatch", "released", "extended", "ConsignmentAcceptance", "ConsignmentRejection", "ContentHandover",
    "ContentHandoverFailure expired", "ContentHandoverFailure held", "ContentHandoverFailure discarded",
    "DeadLettered attempts", "DeadLettered unverified",
})  # fmt: skip

#: How often each step is taken, of 100. A crash is drawn apart: it takes a tenth of a second.
STEPS = {
    "accept": 20, "lease": 20, "acknowledge": 13, "release": 7, "extend": 5, "expire": 4, "hold": 2, "lift": 3,
    "recall": 2, "revive": 3, "discard": 2, "reject": 2, "drain": 5, "forget": 2, "pass_time": 10,
}  # fmt: skip

#: Everything in the shard as text, and the outbox after the entry that was seen last. Content is compared when lent.
_PICTURE = """
local hidden = { note = true, body = true, sha = true, digest = true, subject = true, accepted = true, sum = true }
local keys = {}
for _, key in ipairs(redis.call('KEYS', '{s0}:*')) do
  local name, kind, flat = string.sub(key, 6), redis.call('TYPE', key).ok, {}
  if kind == 'zset' then
    flat = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
  elseif kind == 'hash' then
    local all = redis.call('HGETALL', key)
    for n = 1, #all, 2 do
      if not hidden[all[n]] then
        flat[#flat + 1], flat[#flat + 2] = all[n], all[n + 1]
      end
    end
  elseif kind == 'string' and string.sub(name, 1, 2) ~= 'd:' then
    flat = { '', redis.call('GET', key) }
  end
  keys[name] = flat
end
local entries = redis.call('XRANGE', '{s0}:outbox', ARGV[1], '+')
for n, entry in ipairs(entries) do
  local told = {}
  for f = 1, #entry[2], 2 do
    told[entry[2][f]] = entry[2][f + 1]
  end
  entries[n] = { entry[1], told.event, told.to, told.subject, told.reason }
end
return cmsgpack.pack({ keys, redis.call('XLEN', '{s0}:outbox'), entries })
"""


@dataclass
class Ground:
    """A server to play on."""

    server: EmbeddedValkey
    store: Store
    admin: redis.asyncio.Redis
    steps: Counter[str] = field(default_factory=Counter)  #: Of all runs, by kind.
    answers: Counter[str] = field(default_factory=Counter)  #: What the queues said.
    memory: list[int] = field(default_factory=list)  #: Bytes in use before each run.

    async def load(self, code: str) -> None:
        """Put these functions into the server."""
        await self.admin.execute_command("FUNCTION", "LOAD", "REPLACE", code)

    async def fresh(self) -> None:
        """Empty the store and lift the bound on time."""
        await self.admin.execute_command("FLUSHALL")
        await self.admin.execute_command("CONFIG", "SET", "appendfsync", "no")
        self.memory.append(int((await self.admin.info("memory"))["used_memory"]))
        await self.store.run("HSET", "{s0}:clock", "lifted", "1")


@contextlib.asynccontextmanager
async def ground(path: Path) -> AsyncIterator[Ground]:
    """A running server in `path`, with one user more that may do everything."""
    lines = embedded.acl_lines
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedded, "acl_lines", lambda hashes: [*lines(hashes), "admin on nopass ~* &* +@all"])
        async with EmbeddedValkey(path) as server, Store(server.endpoint) as store:
            socket = server.endpoint.url.removeprefix("unix://")
            async with redis.asyncio.Redis(
                unix_socket_path=socket, username="admin", password="any", protocol=2
            ) as admin:
                yield Ground(server, store, admin)


async def play(here: Ground, seed: int, *, steps: int, crashes: float = 0.0) -> None:
    """One run: `steps` steps, then everything ends. `crashes` is the chance of a SIGKILL before a step.

    Raises:
        AssertionError: the store is not what the model says; with the seed and the steps.
    """
    await here.fresh()
    run = Run(here, seed)
    try:
        async with run.mailboxes:
            for _ in range(steps):
                await run.step(crashes)
            await run.end()
    except (AssertionError, BrokerError) as error:
        told = "\n  ".join(run.told)
        raise AssertionError(f"SEED={seed}, {len(run.told)} steps:\n  {told}\n{error}") from error
    finally:
        here.steps += run.counts


class Run:
    """One seeded run: each step does the same to both and compares."""

    def __init__(self, here: Ground, seed: int) -> None:
        self.here, self.random = here, random.Random(seed)
        # Ahead of the real time, since the server's own expiry is not simulated.
        self.now = (time.time_ns() // 1_000_000 // MINUTE_MS + 60) * MINUTE_MS + self.random.randrange(MINUTE_MS)
        self.mailboxes = Mailboxes(here.store, clock=lambda: self.now, limits=LIMITS)
        self.letters = DeadLetters(here.store, clock=lambda: self.now)
        self.outbox = Outbox(here.store)
        self.model = Model(LIMITS)
        self.sent: list[Submission] = []
        self.known: list[tuple[str, str, bytes, str]] = []  #: (mailbox, instance, subject, token) of each delivery
        self.held: set[str] = set()
        self.seen: list[str] = []  #: Ids in the outbox that were not drained yet.
        self.last = "-"  #: Of the outbox, the entry that was seen last.
        self.told: list[str] = []
        self.counts: Counter[str] = Counter()

    async def step(self, crashes: float) -> None:
        if crashes and self.random.random() < crashes:
            await self._do("crash")
        await self._do(self.random.choices(list(STEPS), list(STEPS.values()))[0])

    async def _do(self, name: str) -> None:
        self.counts[name] += 1
        self.told.append(name)
        await getattr(self, name)()
        await self.compare()

    def say(self, *what: object) -> None:
        self.told[-1] += " " + " ".join(map(str, what))

    # In

    def _submission(self) -> Submission:
        if self.sent and self.random.random() < 0.1:
            return self.random.choice(self.sent)
        number = len(self.sent)
        digest = hashlib.sha256(b"%d" % number).hexdigest()
        id_ = str(uuid.UUID(int=self.random.getrandbits(128), version=4))
        if self.sent and self.random.random() < 0.1:
            id_ = self.random.choice(self.sent).id
        s = Submission(
            sender=self.random.choice(SENDERS), id=id_, digest=digest, note_digest=digest[::-1], directory=HERE,
            evidence_key_id="cd" * 32, note=b"note of %d" % number, body=b"x" * self.random.choice((20, 150, 400)),
            subject=b"subject of %d" % number, accepted=b"acceptance of %d" % number,
            priority=self.random.randint(0, 2), expires=self.now + self.random.choice((1500, 6000, 60_000, 60_000)),
            to=tuple(self.random.sample(MAILBOXES, self.random.randint(1, 3))), salt=bytes(32), time=self.now,
        )  # fmt: skip
        self.sent.append(s)
        return s

    def _batch(self) -> list[Submission]:
        batch = [self._submission() for _ in range(self.random.choice((1, 1, 1, 2, 4)))]
        self.say(*(f"{s.subject.decode()} p{s.priority} {s.sender}>{','.join(s.to)}" for s in batch))
        return batch

    def _together(self, batch: list[Submission]) -> asyncio.Future[list[Any]]:
        """What each is answered, or what is raised; they arrive as one batch."""
        return asyncio.gather(*map(self.mailboxes.accept, batch), return_exceptions=True)

    async def accept(self) -> None:
        batch = self._batch()
        for s, answer in zip(batch, await self._together(batch), strict=True):
            expected = self.model.accept(s, self.now)
            self.here.answers[type(answer).__name__] += 1
            assert isinstance(answer, OutboxFull) if expected is None else answer == expected, (answer, expected)

    async def reject(self) -> None:
        subject, reason = b"refused %d" % self.random.randrange(3), self.random.choice(("format", "signature"))
        recorded = await self.mailboxes.record_rejection(
            sender=SENDERS[0], subject=subject, time=self.now, directory=HERE, reason=reason, salt=bytes(32),
            evidence_key_id="cd" * 32, note=b"r",
        )  # fmt: skip
        assert recorded == self.model.reject(subject, reason)

    # Out

    async def lease(self) -> None:
        mailbox, instance = self.random.choice(MAILBOXES), self.random.choice(INSTANCES)
        have = [t for (m, _, _, t) in self.known if m == mailbox and self.random.random() < 0.5]
        limit = self.random.randint(1, 5)
        self.say(mailbox, instance, limit)
        if mailbox in self.held:
            return  # as the broker does: it lends nothing of a mailbox under a hold
        got = await self.mailboxes.lease(
            mailbox, instance=instance, have=have, limit=limit, lease_ms=LEASE_MS, directory=HERE
        )
        expected = self.model.lease(mailbox, instance, have, limit, self.now)
        self.here.answers["lent"] += len(got)
        assert [(g.subject, g.attempt) for g in got] == [(m.sent.subject, m.shares[mailbox].attempts) for m in expected]
        for g, m in zip(got, expected, strict=True):
            share = m.shares[mailbox]
            assert (g.note, g.body, g.accepted) == (m.sent.note, m.sent.body, m.sent.accepted)
            assert share.token in {None, g.token}
            assert g.deadline == self.now + LEASE_MS
            share.token, share.deadline = g.token, g.deadline
            self.known.append((mailbox, instance, g.subject, g.token))

    def _deliveries(self) -> tuple[str, list[tuple[bytes, str]]]:
        """One to three deliveries to a mailbox, old ones, doubles and another's among them."""
        if not self.known:
            return MAILBOXES[0], []
        mailbox = self.random.choice(self.known)[0]
        own = [(subject, token) for m, _, subject, token in self.known if m == mailbox]
        recent = own[-6:] if self.random.random() < 0.8 else own
        chosen = self.random.choices(recent, k=self.random.randint(1, 3))
        if self.random.random() < 0.1:
            mailbox = self.random.choice(MAILBOXES)
        self.say(mailbox, *(subject.decode() for subject, _ in chosen))
        return mailbox, chosen

    async def acknowledge(self) -> None:
        mailbox, chosen = self._deliveries()
        acks = [
            Ack(
                token=token, subject=b"another" if self.random.random() < 0.1 else subject, note=b"r", time=self.now,
                event=self.random.choice(("ConsignmentAcceptance", "ConsignmentRejection")), directory=HERE,
            )
            for subject, token in chosen
        ]  # fmt: skip
        answers = await self.mailboxes.acknowledge(mailbox, acks)
        expected = [
            self.model.acknowledge(mailbox, subject, ack) for (subject, _), ack in zip(chosen, acks, strict=True)
        ]
        assert answers == expected
        self.here.answers.update(answers)

    async def release(self) -> None:
        mailbox, chosen = self._deliveries()
        releases = [
            Release(
                token=token, delay_ms=self.random.choice((0, 0, 700)), uncounted=self.random.random() < 0.3,
                dead=self.random.random() < 0.2, reason="unverified",
            )
            for _, token in chosen
        ]  # fmt: skip
        answers = await self.mailboxes.release(mailbox, releases, directory=HERE)
        pairs = zip(chosen, releases, strict=True)
        assert answers == [self.model.release(mailbox, subject, r, self.now) for (subject, _), r in pairs]
        self.here.answers.update(answers)

    async def extend(self) -> None:
        mailbox, chosen = self._deliveries()
        answers = await self.mailboxes.extend(mailbox, [token for _, token in chosen], lease_ms=LEASE_MS)
        deadline = self.now + LEASE_MS
        assert answers == [self.model.extend(mailbox, subject, token, deadline) for subject, token in chosen]
        self.here.answers.update(answers)

    async def forget(self) -> None:
        """A worker loses what it knew."""
        instance = self.random.choice(INSTANCES)
        self.known = [one for one in self.known if one[1] != instance]

    # What operators and time do

    async def expire(self) -> None:
        reasons = dict.fromkeys(sorted(self.held), "held")
        failures = await self.mailboxes.expire(directory=HERE, reasons=reasons)
        assert failures == self.model.expire(self.now, reasons)

    async def recall(self) -> None:
        mailbox = self.random.choice(MAILBOXES)
        await self.mailboxes.recall(mailbox)
        self.model.recall(mailbox, self.now)

    async def hold(self) -> None:
        mailbox = self.random.choice(MAILBOXES)
        self.held.add(mailbox)
        await self.mailboxes.recall(mailbox)
        self.model.recall(mailbox, self.now)

    async def lift(self) -> None:
        self.held.discard(self.random.choice(MAILBOXES))

    async def _dead(self) -> tuple[str, list[int]]:
        """Some dead letters of a mailbox, and mostly one that is none."""
        mailbox = self.random.choice([m for m in MAILBOXES if self.model.dead(m)] or MAILBOXES)
        dead = self.model.dead(mailbox)
        assert sorted(letter.ref for letter in await self.letters.of(mailbox)) == sorted(f"0.{n}" for n in dead)
        chosen = self.random.sample(dead, self.random.randint(min(1, len(dead)), len(dead)))
        self.say(mailbox, *chosen)
        return mailbox, [*chosen, self.random.randint(1, 40)]

    async def revive(self) -> None:
        mailbox, numbers = await self._dead()
        revived = await self.letters.revive(mailbox, [f"0.{n}" for n in numbers])
        assert revived == sum(self.model.revive(mailbox, n) for n in numbers)

    async def discard(self) -> None:
        mailbox, numbers = await self._dead()
        refs = [f"0.{n}" for n in numbers]
        discarded = await self.letters.discard(mailbox, refs, reason="discarded", directory=HERE)
        assert discarded == sum(self.model.discard(mailbox, n) for n in numbers)

    async def drain(self) -> None:
        """As upkeep does, once the evidence store holds them."""
        ids = [entry.id for entry in await self.outbox.read(0, self.random.choice((3, 1000)))]
        assert ids == self.seen[: len(ids)]
        assert await self.outbox.remove(0, ids) == len(ids)
        del self.seen[: len(ids)]
        self.model.outbox -= len(ids)

    async def pass_time(self) -> None:
        ms = self.random.choice((1, 300, 300, 1000, 1000, 5000, 30_000))
        self.say(ms)
        self.now += ms

    async def crash(self) -> None:
        """The server is killed under a batch and loads its append-only file; who had no answer repeats."""
        assert self.here.server.pid is not None
        batch = self._batch()
        waiting = self._together(batch)
        for _ in range(self.random.randrange(12)):
            await asyncio.sleep(0)
        os.kill(self.here.server.pid, signal.SIGKILL)
        self.here.answers["killed before the answer"] += not waiting.done()
        await self.here.server.wait()
        await self.here.server.restart()
        answers = await waiting
        await self.mailboxes.__aexit__()
        await self.here.store.close()
        await self.here.admin.aclose()
        await self.here.admin.execute_command("CONFIG", "SET", "appendfsync", "no")
        await self.mailboxes.__aenter__()
        if any(isinstance(answer, StoreUnavailable) for answer in answers):
            answers = await self._together(batch)
        for s, answer in zip(batch, answers, strict=True):
            expected = self.model.accept(s, self.now)
            # Whether the call that was answered is the one that stored it cannot be known.
            if isinstance(answer, Accepted | Repeat) and isinstance(expected, Accepted | Repeat):
                assert answer.first == expected.first
            else:
                assert isinstance(answer, OutboxFull) if expected is None else answer == expected, (answer, expected)

    # What must hold

    async def compare(self) -> None:
        after = "-" if self.last == "-" else f"({self.last}"
        packed = await self.here.admin.execute_command("EVAL", _PICTURE, 0, after)
        keys, length, entries = msgspec.msgpack.decode(packed)
        holds = {name: _dict(flat) for name, flat in keys.items() if name not in {"clock", "layout", "outbox"}}
        for name, value in self.model.holds().items():
            assert holds.pop(name, None) == value, name
        assert not holds, holds
        happened = []
        for id_, *event in entries:
            self.seen.append(id_)
            self.last = id_
            happened.append(tuple(event))
        assert sorted(happened) == sorted(self.model.take_events())
        self.here.answers.update(" ".join(filter(None, (event, reason))) for event, _, _, reason in happened)
        assert length == self.model.outbox == len(self.seen)
        self.model.check_history(happened)

    async def end(self) -> None:
        """Everything ends: somebody acknowledged it, or it is settled at its end. Only what is meant to stay does."""
        self.now += 2 * MINUTE_MS
        await self._do("expire")
        assert not self.model.messages
        await self._do("drain")
        while self.seen:
            await self._do("drain")
        left = {name.partition(":")[0] for name in self.model.holds()}
        assert left <= {"d", "j", "rate", "seq"}, left


def _dict(flat: list[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
