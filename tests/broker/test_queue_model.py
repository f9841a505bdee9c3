"""The functions against a model in Python: random interleavings of everything that can happen to a queue.

The model is the specification in its plainest form: dictionaries and loops, no sets by score, no bounds. After
each run all mail is settled, and nothing may be left but the records that are meant to stay.
"""

import random
from dataclasses import dataclass, field

import pytest

from valija_broker.mail import Accepted, Ack, Conflict, Limits, Release, Repeat
from valija_broker.queue import Mailboxes

MAILBOXES = ("ca.liaison", "co.enlace", "br.enlace")
SENDERS = ("mx.enlace", "pe.enlace")
INSTANCES = ("one", "two", "three")
ATTEMPTS_MAX = 3
LEASE_MS = 1000
STEPS = 120
SEEDS = 12


@dataclass
class Pointer:
    """One recipient's share of a message."""

    order: tuple[int, int]
    subject: bytes
    expires: int
    attempts: int = 0
    token: str | None = None
    instance: str | None = None
    deadline: int | None = None  # None: ready
    dead: bool = False
    handed: bool = False


@dataclass
class Model:
    """What the queues should hold."""

    pointers: dict[str, dict[bytes, Pointer]] = field(default_factory=lambda: {m: {} for m in MAILBOXES})
    accepted: dict[tuple[str, str], object] = field(default_factory=dict)
    events: list[tuple[str, str, bytes, str]] = field(default_factory=list)
    sequence: int = 0

    def accept(self, s):
        first = self.accepted.get((s.sender, s.id))
        if first is not None:
            return Repeat(first=first.record()) if first.digest == s.digest else Conflict(first=first.record())
        self.accepted[s.sender, s.id] = s
        self.sequence += 1
        for to in s.to:
            self.pointers[to][s.subject] = Pointer((s.priority, self.sequence), s.subject, s.expires)
        self.events.append(("SubmissionAcceptance", "", s.subject, ""))
        return Accepted(first=s.record())

    def lease(self, mailbox, instance, have, limit, now):
        """Yields what should be lent; the caller fills in fresh tokens."""
        mine = self.pointers[mailbox].values()
        for p in mine:
            if p.deadline is not None and p.deadline <= now and not p.dead:
                p.deadline = None
        own = [
            p for p in mine
            if p.deadline and not p.dead and p.expires > now
            and p.instance == instance and p.token and p.token not in have
        ]  # fmt: skip
        lent = sorted(own, key=lambda p: p.order)[:limit]
        if len(own) > limit:
            return lent
        for p in sorted((p for p in mine if p.deadline is None and not p.dead), key=lambda p: p.order):
            if p.expires <= now:
                continue
            if len(lent) >= limit:
                break
            if p.attempts >= ATTEMPTS_MAX:
                p.dead = True
                self.events.append(("DeadLettered", mailbox, p.subject, "attempts"))
                continue
            p.attempts += 1
            p.instance, p.token = instance, None
            if not p.handed:
                p.handed = True
                self.events.append(("ContentHandover", mailbox, p.subject, ""))
            lent.append(p)
        return lent

    def by_token(self, mailbox, subject, token):
        p = self.pointers[mailbox].get(subject)
        if p is None:
            return None, "gone"
        return (p, "") if p.token == token else (p, "stale")

    def expire(self, now):
        for mailbox, mine in self.pointers.items():
            for p in list(mine.values()):
                held = p.deadline is not None and p.deadline > now and p.token is not None and not p.dead
                if p.expires <= now and not held:
                    del mine[p.subject]
                    self.events.append(("ContentHandoverFailure", mailbox, p.subject, "expired"))


class Run:
    """One seeded run: each step does the same to both and compares."""

    def __init__(self, seed, mailboxes, letters, clock, make, here):
        self.random = random.Random(seed)
        self.mailboxes, self.letters, self.clock, self.make, self.here = mailboxes, letters, clock, make, here
        self.model = Model()
        self.sent = []
        self.known = []  # (mailbox, subject, token) of every delivery ever made
        self.held = {}

    async def accept(self):
        kind = self.random.random()
        if self.sent and kind < 0.1:
            s = self.random.choice(self.sent)
        else:
            s = self.make(
                sender=self.random.choice(SENDERS),
                to=tuple(self.random.sample(MAILBOXES, self.random.randint(1, 3))),
                priority=self.random.randint(0, 2),
                expires=self.clock() + self.random.choice((1500, 6000, 60_000)),
                **({"id": self.random.choice(self.sent).id} if self.sent and kind < 0.2 else {}),
            )
        self.sent.append(s)
        assert await self.mailboxes.accept(s) == self.model.accept(s)

    async def lease(self):
        mailbox, instance = self.random.choice(MAILBOXES), self.random.choice(INSTANCES)
        have = [t for (m, _, t) in self.known if m == mailbox and self.random.random() < 0.5]
        limit, now = self.random.randint(1, 5), self.clock()
        got = await self.mailboxes.lease(
            mailbox, instance=instance, have=have, limit=limit, lease_ms=LEASE_MS, directory=self.here
        )
        expected = self.model.lease(mailbox, instance, have, limit, now)
        assert [(g.subject, g.attempt) for g in got] == [(p.subject, p.attempts) for p in expected]
        for g, p in zip(got, expected, strict=True):
            assert p.token in {None, g.token}
            assert g.deadline == now + LEASE_MS
            p.token, p.deadline = g.token, g.deadline
            self.known.append((mailbox, g.subject, g.token))

    def delivery(self):
        mailbox, subject, token = self.random.choice(self.known)
        if self.random.random() < 0.1:
            mailbox = self.random.choice(MAILBOXES)
        return mailbox, subject, token

    async def acknowledge(self):
        if not self.known:
            return
        mailbox, subject, token = self.delivery()
        event = self.random.choice(("ConsignmentAcceptance", "ConsignmentRejection"))
        stated = b"another" if self.random.random() < 0.1 else subject
        ack = Ack(token=token, subject=stated, event=event, note=b"r", time=self.clock(), directory=self.here)
        (answer,) = await self.mailboxes.acknowledge(mailbox, [ack])
        p, refused = self.model.by_token(mailbox, subject, token)
        assert answer == (refused or ("acknowledged" if stated == subject else "mismatch"))
        if answer == "acknowledged":
            del self.model.pointers[mailbox][p.subject]
            self.model.events.append((event, mailbox, subject, ""))

    async def release(self):
        if not self.known:
            return
        mailbox, subject, token = self.delivery()
        r = Release(
            token=token, delay_ms=self.random.choice((0, 0, 700)), uncounted=self.random.random() < 0.3,
            dead=self.random.random() < 0.1, reason="unverified",
        )  # fmt: skip
        (answer,) = await self.mailboxes.release(mailbox, [r], directory=self.here)
        p, refused = self.model.by_token(mailbox, subject, token)
        assert answer == (refused or ("stale" if p.dead else "released"))
        if answer == "released":
            p.token = p.instance = None
            if r.dead:
                p.dead = True
                self.model.events.append(("DeadLettered", mailbox, subject, "unverified"))
                return
            p.attempts -= r.uncounted and p.attempts > 0
            p.deadline = self.clock() + r.delay_ms if r.delay_ms else None

    async def extend(self):
        if not self.known:
            return
        mailbox, subject, token = self.delivery()
        (answer,) = await self.mailboxes.extend(mailbox, [token], lease_ms=LEASE_MS)
        p, refused = self.model.by_token(mailbox, subject, token)
        assert answer == (refused or ("stale" if p.dead else "extended"))
        if answer == "extended":
            p.deadline = self.clock() + LEASE_MS

    async def expire(self):
        now = self.clock()
        await self.mailboxes.expire(directory=self.here)
        self.model.expire(now)

    async def recall(self):
        mailbox = self.random.choice(MAILBOXES)
        await self.mailboxes.recall(mailbox)
        for p in self.model.pointers[mailbox].values():
            if p.deadline is not None and not p.dead:
                p.attempts -= p.token is not None and p.attempts > 0
                p.token = p.instance = p.deadline = None

    async def revive(self):
        mailbox = self.random.choice(MAILBOXES)
        letters = await self.letters.of(mailbox)
        dead = [p for p in self.model.pointers[mailbox].values() if p.dead]
        assert len(letters) == len(dead)
        assert await self.letters.revive(mailbox, [letter.ref for letter in letters]) == len(dead)
        for p in dead:
            p.dead, p.attempts, p.token, p.instance, p.deadline = False, 0, None, None, None

    async def pass_time(self):
        self.clock.advance(self.random.choice((1, 300, 1000)))

    async def compare(self):
        depths = await self.mailboxes.depths(MAILBOXES)
        for mailbox in MAILBOXES:
            mine = self.model.pointers[mailbox].values()
            dead = sum(p.dead for p in mine)
            assert depths[mailbox].dead == dead
            assert depths[mailbox].ready + depths[mailbox].leased == len(mine) - dead


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_every_interleaving_does_what_the_model_says(
    store, letters, clock, submission, here, outbox, admin, seed
):
    async with Mailboxes(store, clock=clock, limits=Limits(attempts_max=ATTEMPTS_MAX)) as mailboxes:
        run = Run(seed, mailboxes, letters, clock, submission, here)
        steps = [
            run.accept, run.accept, run.accept, run.lease, run.lease, run.lease, run.acknowledge, run.acknowledge,
            run.release, run.extend, run.expire, run.recall, run.revive, run.pass_time, run.pass_time, run.compare,
        ]  # fmt: skip
        for _ in range(STEPS):
            await run.random.choice(steps)()
        # Everything ends: either somebody acknowledged it, or it is settled at its end.
        clock.advance(120_000)
        await run.expire()
        await run.compare()
        seen = [(e.event, e.to, e.subject, e.reason) for e in await outbox.read(0, 10_000)]
        assert sorted(seen) == sorted(run.model.events)
        assert {key.decode().split(":")[1] for key in await admin.keys("*")} <= {
            "d",
            "rate",
            "seq",
            "clock",
            "layout",
            "outbox",
        }
