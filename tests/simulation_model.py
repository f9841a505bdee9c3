"""What the queues should hold, in the plainest form: dictionaries and loops, no sets by score, no bounds."""

import hashlib
from collections import defaultdict
from dataclasses import dataclass, field

from valija_broker.mail import Accepted, Ack, Conflict, Limits, QuotaExceeded, RateExceeded, Release, Repeat, Submission

MAILBOXES = ("ca.liaison", "co.enlace", "br.enlace")
SENDERS = ("mx.enlace", "pe.enlace")
MINUTE_MS = 60_000
ENDS = frozenset({"ConsignmentAcceptance", "ConsignmentRejection", "ContentHandoverFailure"})

Event = tuple[str, str, str, str]  #: event, recipient, subject, reason


@dataclass
class Share:
    """One recipient's share of a message."""

    attempts: int = 0
    token: str | None = None
    instance: str | None = None
    deadline: int | None = None  #: None: ready
    dead: str = ""  #: Why.
    since: int = 0
    handed: bool = False


@dataclass
class Message:
    """A message of which somebody's share is left."""

    sequence: int
    sent: Submission
    due: int  #: When `expire` looks at it.
    shares: dict[str, Share]

    @property
    def size(self) -> int:
        return len(self.sent.note) + len(self.sent.body)

    @property
    def order(self) -> tuple[int, int]:
        return self.sent.priority, self.sequence


@dataclass
class Model:
    """The whole store."""

    limits: Limits
    messages: dict[int, Message] = field(default_factory=dict)
    accepted: dict[tuple[str, str], Submission] = field(default_factory=dict)
    rejected: set[tuple[bytes, str]] = field(default_factory=set)
    rate: dict[str, tuple[int, int]] = field(default_factory=dict)  #: By sender: a minute, and how many it took.
    sequence: int = 0
    outbox: int = 0  #: Events that nobody drained.
    events: list[Event] = field(default_factory=list)  #: Since `take_events`.
    number_of: dict[bytes, int] = field(default_factory=dict)  #: Sequence by subject, of every message ever accepted.
    ended: set[tuple[str, str]] = field(default_factory=set)  #: (recipient, subject) of shares that had their end.
    handed: dict[tuple[str, str, int], int] = field(default_factory=dict)  #: Newest by sender, recipient, priority.

    # In

    def accept(
        self, s: Submission, now: int
    ) -> Accepted | Repeat | Conflict | RateExceeded | QuotaExceeded | None:  # None: the outbox is full
        first = self.accepted.get((s.sender, s.id))
        if first is not None:
            return (Repeat if first.digest == s.digest else Conflict)(first=first.record())
        if self.outbox >= self.limits.outbox_events_max:
            return None
        minute, count = now // MINUTE_MS, 0
        if self.rate.get(s.sender, (0, 0))[0] == minute:
            count = self.rate[s.sender][1]
        if count >= self.limits.submit_per_minute_max:
            return RateExceeded(wait_ms=(minute + 1) * MINUTE_MS - now)
        m = Message(self.sequence + 1, s, s.expires, {to: Share() for to in s.to})
        pairs, stored = self.quotas()
        over = tuple(
            to for to in s.to
            if pairs[s.sender, to][0] + 1 > self.limits.pair_quota_messages
            or pairs[s.sender, to][1] + m.size > self.limits.pair_quota_bytes
        )  # fmt: skip
        if over or stored[s.sender] + m.size > self.limits.sender_quota_bytes:
            return QuotaExceeded(recipients=over)
        self.sequence += 1
        self.messages[m.sequence] = m
        self.number_of[s.subject] = m.sequence
        self.accepted[s.sender, s.id] = s
        self.rate[s.sender] = minute, count + 1
        self.emit("SubmissionAcceptance", "", s.subject)
        return Accepted(first=s.record())

    def reject(self, subject: bytes, reason: str) -> bool:
        if (subject, reason) in self.rejected or self.outbox >= self.limits.outbox_events_max:
            return False
        self.rejected.add((subject, reason))
        self.emit("SubmissionRejection", "", subject, reason)
        return True

    # Out

    def of(self, mailbox: str) -> list[Message]:
        """The messages with a share of `mailbox`, by priority and age."""
        return sorted((m for m in self.messages.values() if mailbox in m.shares), key=lambda m: m.order)

    def lease(self, mailbox: str, instance: str, have: list[str], limit: int, now: int) -> list[Message]:
        """What should be lent; the caller fills in tokens and deadlines."""
        mine = [(m, m.shares[mailbox]) for m in self.of(mailbox)]
        for _, share in mine:
            if share.deadline is not None and share.deadline <= now:
                share.deadline = None
        mine = [(m, share) for m, share in mine if m.sent.expires > now and not share.dead]
        lent: list[Message] = []
        room = self.limits.lease_bytes_max

        def full(m: Message) -> bool:
            return len(lent) >= limit or (bool(lent) and m.size > room)

        own = [m for m, s in mine if s.deadline and s.instance == instance and s.token and s.token not in have]
        for m in own:
            if full(m):
                return lent
            lent.append(m)
            room -= m.size
        for m, share in [pair for pair in mine if pair[1].deadline is None]:
            if len(lent) >= limit:
                break
            if share.attempts >= self.limits.attempts_max:
                self.bury(m, mailbox, "attempts", now)
                continue
            if full(m):
                break
            share.attempts += 1
            share.instance, share.token = instance, None
            if not share.handed:
                share.handed = True
                self.emit("ContentHandover", mailbox, m.sent.subject)
            lent.append(m)
            room -= m.size
        return lent

    def by_token(self, mailbox: str, subject: bytes, token: str) -> tuple[Message | None, str]:
        """The message of a delivery, or why there is none to speak of."""
        m = self.messages.get(self.number_of[subject])
        if m is None or mailbox not in m.shares:
            return None, "gone"
        return (m, "") if m.shares[mailbox].token == token else (None, "stale")

    def acknowledge(self, mailbox: str, subject: bytes, ack: Ack) -> str:
        m, refused = self.by_token(mailbox, subject, ack.token)
        if m is None or ack.subject != subject:
            return refused or "mismatch"
        self.emit(ack.event, mailbox, subject)
        self.settle(m, mailbox)
        return "acknowledged"

    def release(self, mailbox: str, subject: bytes, r: Release, now: int) -> str:
        m, refused = self.by_token(mailbox, subject, r.token)
        if m is None or m.shares[mailbox].dead:
            return refused or "stale"
        share = m.shares[mailbox]
        share.token = share.instance = None
        self.look_again(m, now)
        if r.dead:
            self.bury(m, mailbox, r.reason, now)
        else:
            share.attempts -= r.uncounted and share.attempts > 0
            share.deadline = now + r.delay_ms if r.delay_ms else None
        return "released"

    def extend(self, mailbox: str, subject: bytes, token: str, deadline: int) -> str:
        m, refused = self.by_token(mailbox, subject, token)
        if m is None or m.shares[mailbox].dead:
            return refused or "stale"
        m.shares[mailbox].deadline = deadline
        return "extended"

    # What operators and time do

    def expire(self, now: int, reasons: dict[str, str]) -> int:
        failures = 0
        for m in list(self.messages.values()):
            if m.due > now:
                continue
            for to, share in list(m.shares.items()):
                if not (share.token and share.deadline and share.deadline > now):
                    self.emit("ContentHandoverFailure", to, m.sent.subject, reasons.get(to, "expired"))
                    self.settle(m, to)
                    failures += 1
            m.due = min((share.deadline for share in m.shares.values() if share.deadline), default=m.due)
        return failures

    def recall(self, mailbox: str, now: int) -> None:
        for m in self.of(mailbox):
            share = m.shares[mailbox]
            if share.deadline is not None:
                share.attempts -= share.token is not None and share.attempts > 0
                share.token = share.instance = share.deadline = None
                self.look_again(m, now)

    def dead(self, mailbox: str) -> list[int]:
        return [m.sequence for m in self.of(mailbox) if m.shares[mailbox].dead]

    def revive(self, mailbox: str, number: int) -> bool:
        if number not in self.dead(mailbox):
            return False
        share = self.messages[number].shares[mailbox]
        self.messages[number].shares[mailbox] = Share(handed=share.handed)
        return True

    def discard(self, mailbox: str, number: int) -> bool:
        if number not in self.dead(mailbox):
            return False
        m = self.messages[number]
        self.emit("ContentHandoverFailure", mailbox, m.sent.subject, "discarded")
        self.settle(m, mailbox)
        return True

    # Parts of the above

    def emit(self, event: str, to: str, subject: bytes, reason: str = "") -> None:
        self.outbox += 1
        self.events.append((event, to, subject.decode(), reason))

    def settle(self, m: Message, to: str) -> None:
        del m.shares[to]
        if not m.shares:
            del self.messages[m.sequence]

    def bury(self, m: Message, to: str, reason: str, now: int) -> None:
        share = m.shares[to]
        share.dead, share.since, share.deadline = reason, now, None
        self.emit("DeadLettered", to, m.sent.subject, reason)

    def look_again(self, m: Message, now: int) -> None:
        if m.sent.expires <= now:
            m.due = m.sent.expires

    # What must hold

    def take_events(self) -> list[Event]:
        events, self.events = self.events, []
        return events

    def quotas(self) -> tuple[dict[tuple[str, str], tuple[int, int]], dict[str, int]]:
        """Messages and bytes of each pair, and bytes of each sender."""
        pairs: dict[tuple[str, str], tuple[int, int]] = defaultdict(lambda: (0, 0))
        stored: dict[str, int] = defaultdict(int)
        for m in self.messages.values():
            stored[m.sent.sender] += m.size
            for to in m.shares:
                count, size = pairs[m.sent.sender, to]
                pairs[m.sent.sender, to] = count + 1, size + m.size
        return pairs, stored

    def holds(self) -> dict[str, dict[str, str]]:
        """Every key of the store, by its name in broker/DESIGN.md, section 4.1."""
        found: dict[str, dict[str, str]] = defaultdict(dict)
        for m in self.messages.values():
            number, s = str(m.sequence), m.sent
            found["x"][number] = str(m.due)
            fields = {
                "from": s.sender, "id": s.id, "priority": str(s.priority), "expires": str(s.expires),
                "time": str(s.time), "size": str(m.size), "to": " ".join(s.to),
            }  # fmt: skip
            for to, share in m.shares.items():
                fields[f"a:{to}"] = str(share.attempts)
                optional = {"t": share.token, "i": share.instance, "h": "1" if share.handed else "", "e": share.dead}
                fields |= {f"{name}:{to}": value for name, value in optional.items() if value}
                if share.dead:
                    found[f"dead:{to}"][number] = str(share.since)
                elif share.deadline is None:
                    found[f"r:{to}"][number] = str(s.priority * 2**48 + m.sequence)
                else:
                    found[f"l:{to}"][number] = str(share.deadline)
            found[f"m:{number}"] = fields
        pairs, stored = self.quotas()
        for (sender, to), (count, size) in pairs.items():
            found[f"q:{sender}|{to}"] = {"messages": str(count), "bytes": str(size)}
        for sender, size in stored.items():
            found[f"u:{sender}"] = {"bytes": str(size)}
        for sender, (minute, count) in self.rate.items():
            found[f"rate:{sender}"] = {"": f"{minute} {count}"}
        for sender, id_ in self.accepted:
            found[f"d:{sender}|{id_}"] = {}
        for subject, reason in self.rejected:
            found[_rejection(subject, reason)] = {"": "1"}
        if self.sequence:
            found["seq"] = {"": str(self.sequence)}
        return dict(found)

    def check_history(self, happened: list[Event]) -> None:
        """By the events alone: one end for each share, and first deliveries in the order of their pair and priority."""
        sent = {s.subject.decode(): s for s in self.accepted.values()}
        for event, to, subject, _ in happened:
            if event in ENDS:
                assert (to, subject) not in self.ended, f"{subject} ended twice for {to}"
                self.ended.add((to, subject))
            if event == "ContentHandover":
                s = sent[subject]
                number, lane = self.number_of[s.subject], (s.sender, to, s.priority)
                assert number > self.handed.get(lane, 0), f"{subject} was overtaken"
                self.handed[lane] = number


def _rejection(subject: bytes, reason: str) -> str:
    return "j:" + hashlib.sha256(subject + b"\0" + reason.encode()).hexdigest()
