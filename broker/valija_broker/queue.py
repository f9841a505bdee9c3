"""The mailbox of a contact point: a queue in each shard, kept by Lua functions.

An accepted message is stored once, lent to whichever of the recipient's workers asks first, and dropped when the
last recipient acknowledged it. A lease left longer than `lease_ms` goes to the next worker that asks: a crash
means a second delivery, never a lost one. What no worker manages to take ends in the dead letters (`dead_letters`),
where a person finds it, and at `expires` both sides are told.

Before this room: `accept`, `deliver`, `acknowledge`. After it: `batch`, `store`. Rules: broker/DESIGN.md, "Queues".
"""

import asyncio
import hashlib
import itertools
import re
import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, Self, TypeAlias

import structlog

from valija_broker.batch import Batcher, Item
from valija_broker.errors import BrokerError, OutboxFull, StoreUnavailable
from valija_broker.mail import (
    Accepted,
    Ack,
    Conflict,
    Depth,
    Lease,
    Limits,
    QuotaExceeded,
    RateExceeded,
    Record,
    Release,
    Repeat,
    Submission,
)  # fmt: skip
from valija_broker.shelves import Directory
from valija_broker.store import Store, pack

dedup_margin_ms: Final = 600_000  #: How long after `expires` a repeat is still recognised, whoever's clock is off.
rejection_known_ms: Final = 4 * 86_400_000  #: Longer than a submission stays live (`sent` is at most 72 h old).
release_delay_ms_max: Final = 86_400_000  #: A day; a longer wait is a dead letter.
expire_events_max: Final = 100  #: Of one call; the server answers nobody else meanwhile.
depths_mailboxes_max: Final = 100  #: Of one call.

_PRIORITIES: Final = (0, 1, 2)  #: flash, urgent, routine
_ID: Final = re.compile(r"[a-z][a-z0-9.-]{0,63}\Z")
_MESSAGE_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
_TOKEN: Final = re.compile(r"(\d{1,3})\.(\d{1,16})\.[0-9a-f]{32}\Z", re.ASCII)

_log = structlog.get_logger(__name__)

AckOutcome: TypeAlias = Literal["acknowledged", "gone", "stale", "mismatch"]


class Mailboxes:
    """Every mailbox of the store. Safe to share between tasks; an `async with`.

    `disks` are folders of the broker and, where it is on this host, the store: nothing new is accepted while one of
    their disks is nearly full.
    """

    def __init__(
        self,
        store: Store,
        *,
        limits: Limits | None = None,
        clock: Callable[[], int] | None = None,
        disks: Sequence[Path] = (),
    ) -> None:
        self._store = store
        self._limits = limits or Limits()
        self._clock = clock or (lambda: time.time_ns() // 1_000_000)
        self._batchers = [Batcher(store, shard, self._accept_head, disks) for shard in range(store.shards)]
        self._turn = itertools.count()

    async def __aenter__(self) -> Self:
        for batcher in self._batchers:
            batcher.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        for batcher in self._batchers:
            await batcher.stop()

    def shard_of(self, sender: str) -> int:
        """The shard that all messages of `sender` live in."""
        return int.from_bytes(hashlib.sha256(sender.encode()).digest(), "big") % self._store.shards

    # In

    def _accept_head(self) -> bytes:
        return pack(
            {
                "now": self._clock(),
                "events_max": self._limits.outbox_events_max,
                "quota_messages": self._limits.pair_quota_messages,
                "quota_bytes": self._limits.pair_quota_bytes,
                "sender_bytes": self._limits.sender_quota_bytes,
                "rate_max": self._limits.submit_per_minute_max,
            }
        )

    async def accept(self, submission: Submission) -> Accepted | Repeat | Conflict | QuotaExceeded | RateExceeded:
        """Store `submission` once for all its recipients, together with those that arrive at the same time.

        Once this returns `Accepted`, the message is synced to the primary's disk and to the disks of as many
        replicas as the store is set to. Repeating a call after a lost reply returns the first answer and stores
        nothing twice. A caller that is cancelled leaves; the submission goes through regardless.

        Raises:
            StoreUnavailable: nothing can be said about the outcome; repeat with the same ids.
            StoreFull, OutboxFull: no room; nothing was stored, unless an earlier call stored it.
            CorruptRecord: what is stored under this id was altered.
            ValueError: the submission breaks a rule that `accept` should have checked.
        """
        s = submission
        _check(s)
        record = s.record()
        encoded = record.encode(s.sender, s.id)
        prefix = self._store.prefix(self.shard_of(s.sender))
        keys = [f"{prefix}d:{s.sender}|{s.id}"]
        for to in s.to:
            keys += [f"{prefix}r:{to}", f"{prefix}q:{s.sender}|{to}"]
        argument = pack({
            "from": s.sender, "id": s.id, "digest": encoded[:32], "record": encoded, "note": s.note, "body": s.body,
            "sha": _sum(s.note, s.body, s.accepted, s.subject), "accepted": s.accepted, "subject": s.subject,
            "priority": s.priority, "expires": s.expires, "forget": s.expires + dedup_margin_ms, "time": s.time,
            "to": s.to, "salt": s.salt, "directory": s.directory.text(), "key": s.evidence_key_id,
            "headline": s.headline,
        })  # fmt: skip
        item = Item(keys, argument)
        outcome, *rest = await self._batchers[self.shard_of(s.sender)].put(item)
        if outcome == b"accepted":
            return Accepted(first=record)
        if outcome == b"quota":
            return QuotaExceeded(recipients=tuple(to.decode() for to in rest))
        if outcome == b"rate":
            return RateExceeded(wait_ms=int(rest[0]))
        if outcome == b"busy":
            raise OutboxFull(f"{self._limits.outbox_events_max} events wait")
        first = Record.decode(rest[0], s.sender, s.id)
        if outcome == b"conflict":
            return Conflict(first=first)
        # Our own first call may have stored it and lost its reply; then the first answer is this one.
        return Accepted(first=first) if item.calls > 1 and first == record else Repeat(first=first)

    async def first(self, sender: str, message_id: str) -> Record | None:
        """What is kept of the message that `sender` submitted under this id, or None; saves reading a repeat's body.

        What it tells is as durable as what `accept` tells: with replicas, it waits for them.

        Raises:
            StoreUnavailable: it could not be reached, or too few replicas have it.
            StoreFull: there is no room for the write that tells what the replicas have.
            CorruptRecord: it was altered.
        """
        shard = self.shard_of(sender)
        data = await self._store.run("GET", f"{self._store.prefix(shard)}d:{sender}|{message_id}")
        if data is None:
            return None
        first = Record.decode(data, sender, message_id)
        if self._store.replicas:
            # A replica that has the write which this makes has every one before it.
            await self._batchers[shard].synced()
        return first

    async def record_rejection(
        self,
        *,
        sender: str,
        subject: bytes,
        time: int,
        directory: Directory,
        reason: str,
        salt: bytes,
        evidence_key_id: str,
        note: bytes,
    ) -> bool:
        """Put a SubmissionRejection in the outbox, once for each subject and reason; False when it was there.

        Raises:
            StoreUnavailable: nothing can be said; repeating it records it once.
            StoreFull: there is no room for it.
        """
        prefix = self._store.prefix(self.shard_of(sender))
        known = hashlib.sha256(subject + b"\0" + reason.encode()).hexdigest()
        call = {
            "now": self._clock(), "events_max": self._limits.outbox_events_max, "keep_ms": rejection_known_ms,
            "from": sender, "subject": subject, "time": time, "directory": directory.text(), "reason": reason,
            "salt": salt, "key": evidence_key_id, "note": note,
        }  # fmt: skip
        keys = [f"{prefix}clock", f"{prefix}outbox", f"{prefix}j:{known}"]
        return bool(await self._store.call("reject_3", keys, [pack(call)]))

    # Out

    async def lease(
        self, mailbox: str, *, instance: str, have: Sequence[str] = (), limit: int, lease_ms: int, directory: Directory
    ) -> list[Lease]:
        """Lend up to `limit` messages of `mailbox` to the worker `instance` for `lease_ms`.

        Flash goes first across all shards, then urgent, then routine; among equals the oldest of a sender first.
        Open leases of the same instance whose tokens are not in `have` (its last reply was lost) are given
        again first, uncounted and under their old tokens. `directory` is named by the handover events.

        Raises:
            StoreUnavailable: nothing can be said; ask again as the same instance and nothing is skipped.
        """
        shards = await self._shards_with_mail(mailbox)
        given: list[Lease] = []
        room = self._limits.lease_bytes_max
        # One shard needs no rounds: its function goes by priority itself.
        rounds = _PRIORITIES if len(shards) > 1 else _PRIORITIES[-1:]
        for priority, shard in ((p, s) for p in rounds for s in shards):
            if len(given) >= limit or (given and room <= 0):
                break
            try:
                part, used = await self._lease_shard(
                    mailbox, shard, priority, room, must=not given, limit=limit - len(given), instance=instance,
                    have=[*have, *(lease.token for lease in given)], lease_ms=lease_ms, directory=directory,
                )  # fmt: skip
            except StoreUnavailable:
                if given:
                    break  # what was lent so far is worth a reply; the rest comes with the next call
                raise
            given += part
            room -= used
        return given

    async def _shards_with_mail(self, mailbox: str) -> list[int]:
        """Shards that may have something for `mailbox`, starting from another one each time."""
        count = self._store.shards
        if count == 1:
            return [0]
        start = next(self._turn)
        order = [(start + n) % count for n in range(count)]
        depths = await asyncio.gather(*(self._depths_shard(shard, [mailbox]) for shard in order))
        return [shard for shard, (depth,) in zip(order, depths, strict=True) if depth[0] or depth[1]]

    async def _lease_shard(
        self, mailbox: str, shard: int, priority_max: int, room: int, *, must: bool, limit: int, instance: str,
        have: Sequence[str], lease_ms: int, directory: Directory,
    ) -> tuple[list[Lease], int]:  # fmt: skip
        call = {
            "now": self._clock(), "mailbox": mailbox, "instance": instance, "have": have, "limit": limit,
            "bytes_max": room, "must": must, "lease_ms": lease_ms, "attempts_max": self._limits.attempts_max,
            "priority_max": priority_max, "shard": str(shard), "directory": directory.text(),
            "randoms": [secrets.token_hex(16) for _ in range(limit)],
            "salts": [secrets.token_bytes(32) for _ in range(limit + 16)],
        }  # fmt: skip
        # A crash after this call: the messages are lent and nobody has them. The same instance gets them again
        # when it asks; anybody does when the lease lapses.
        rows = await self._store.call(
            "lease_3", keys_of(self._store, shard, mailbox, "clock", "outbox", "r", "l", "dead"), [pack(call)]
        )
        given: list[Lease] = []
        used = 0
        for token, attempt, deadline, note, body, sha, accepted, subject in rows:
            if not token:  # the function found what it may not tell anybody of, and has set it aside
                _log.critical("a stored message was altered and is set aside", mailbox=mailbox, sequence=note.decode())
                continue
            if _sum(note, body, accepted, subject) != sha:
                await self._bury_corrupt(mailbox, token.decode(), directory)
                continue
            used += len(note) + len(body)
            given.append(
                Lease(
                    token=token.decode(), attempt=attempt, deadline=deadline, accepted=accepted, note=note, body=body,
                    subject=subject,
                )
            )  # fmt: skip
        return given, used

    async def _bury_corrupt(self, mailbox: str, token: str, directory: Directory) -> None:
        # A crash before this leaves it leased: it lapses, is checked again, and is found altered again.
        _log.critical("a stored message was altered and is not handed out", mailbox=mailbox, place=token[:-32])
        try:
            await self.release(mailbox, [Release(token=token, dead=True, reason="corrupt")], directory=directory)
        except BrokerError:
            _log.exception("it could not be moved to the dead letters and will be met again", mailbox=mailbox)

    async def acknowledge(self, mailbox: str, acks: Sequence[Ack]) -> list[AckOutcome]:
        """Take these deliveries out of `mailbox` and put their receipts in the outbox; say what became of each.

        `acknowledged`; `gone` (nothing of this mailbox, for whatever reason, a repeated acknowledgement among
        them); `stale` (lent to somebody else since); `mismatch` (the receipt speaks of another message).

        Raises:
            StoreUnavailable: nothing can be said; a repeat answers `gone` for those that had gone through.
        """
        return await self._by_token(
            "acknowledge_3", mailbox, acks, ("clock", "outbox", "r", "l", "dead"), {},
            lambda a: {
                "subject": a.subject, "event": a.event, "note": a.note, "time": a.time,
                "directory": a.directory.text(), "reason": a.reason, "salt": a.salt,
            },
        )  # fmt: skip

    async def extend(self, mailbox: str, tokens: Sequence[str], *, lease_ms: int) -> list[str]:
        """Let these leases end `lease_ms` from now; say of each `extended`, `gone` or `stale`.

        Raises:
            StoreUnavailable: nothing can be said; repeat.
        """
        return await self._by_token(
            "extend_3", mailbox, [Release(token=token) for token in tokens], ("clock", "r", "l", "dead"),
            {"lease_ms": lease_ms}, lambda _: {},
        )  # fmt: skip

    async def release(self, mailbox: str, releases: Sequence[Release], *, directory: Directory) -> list[str]:
        """Give these deliveries back; say of each `released`, `gone` or `stale`.

        Raises:
            StoreUnavailable: nothing can be said; a repeat answers `stale` for those that had gone through.
        """
        return await self._by_token(
            "release_3", mailbox, releases, ("clock", "outbox", "r", "l", "dead"), {"directory": directory.text()},
            lambda r: {
                "delay_ms": min(max(r.delay_ms, 0), release_delay_ms_max), "uncounted": r.uncounted, "dead": r.dead,
                "reason": r.reason, "salt": r.salt,
            },
        )  # fmt: skip

    async def _by_token(
        self, function: str, mailbox: str, items: Sequence[Any], keys: Sequence[str], head: Mapping[str, Any],
        rest: Callable[[Any], dict[str, Any]],
    ) -> list[Any]:  # fmt: skip
        """Send each item to the shard that its token names; a token of no shape or shard is `gone`."""
        answers: list[str] = ["gone"] * len(items)
        by_shard: dict[int, list[tuple[int, bytes]]] = defaultdict(list)
        for at, item in enumerate(items):
            if (match := _TOKEN.match(item.token)) and int(match[1]) < self._store.shards:
                packed = {"token": item.token, "sequence": match[2], **rest(item)}
                by_shard[int(match[1])].append((at, pack(packed)))
        for shard, members in by_shard.items():
            first = pack({"now": self._clock(), "mailbox": mailbox, **head})
            replies = await self._store.call(
                function, keys_of(self._store, shard, mailbox, *keys), [first, *(argument for _, argument in members)]
            )
            for (at, _), reply in zip(members, replies, strict=True):
                answers[at] = reply.decode()
        return answers

    async def recall(self, mailbox: str) -> None:
        """End every lease of `mailbox`, uncounted: its contact point is suspended or held. Repeating is safe.

        Raises:
            StoreUnavailable: nothing can be said; repeat.
        """
        for shard in range(self._store.shards):
            call = pack({"now": self._clock(), "mailbox": mailbox})
            while await self._store.call("recall_3", keys_of(self._store, shard, mailbox, "clock", "r", "l"), [call]):
                pass

    # The end

    async def expire(
        self, *, directory: Directory, reasons: Mapping[str, str] | None = None, now: int | None = None
    ) -> int:
        """Settle messages past their `expires`, in bounded steps until none is left; return how many failures.

        `reasons` says for a mailbox why its mail was not taken when that is not plain expiry: `suspended`, `held`.

        Raises:
            StoreUnavailable: some steps may have been done; the next run does the rest.
        """
        total = 0
        for shard in range(self._store.shards):
            more = 1
            while more:
                call = {
                    "now": self._clock() if now is None else now, "directory": directory.text(), "limit": 100,
                    "salts": [secrets.token_bytes(32) for _ in range(expire_events_max)], "reasons": reasons or {},
                }  # fmt: skip
                keys = keys_of(self._store, shard, "", "clock", "outbox", "x")
                events, more, altered = await self._store.call("expire_3", keys, [pack(call)])
                total += events
                if altered:
                    _log.critical("stored messages were altered and cannot expire", shard=shard, messages=altered)
        return total

    async def depths(self, mailboxes: Sequence[str]) -> dict[str, Depth]:
        """How full these mailboxes are.

        Raises:
            StoreUnavailable: it could not be reached.
        """
        totals = {mailbox: [0, 0, 0, 0] for mailbox in mailboxes}
        for shard in range(self._store.shards):
            for at in range(0, len(mailboxes), depths_mailboxes_max):
                part = mailboxes[at : at + depths_mailboxes_max]
                for mailbox, row in zip(part, await self._depths_shard(shard, part), strict=True):
                    total = totals[mailbox]
                    oldest = min((t for t in (total[3], row[3]) if t), default=0)
                    totals[mailbox] = [total[0] + row[0], total[1] + row[1], total[2] + row[2], oldest]
        return {m: Depth(ready=t[0], leased=t[1], dead=t[2], oldest=t[3]) for m, t in totals.items()}

    async def _depths_shard(self, shard: int, mailboxes: Sequence[str]) -> list[list[int]]:
        keys = [key for mailbox in mailboxes for key in keys_of(self._store, shard, mailbox, "r", "l", "dead")]
        rows: list[list[int]] = await self._store.call("depths_3", keys, [])
        return rows

    async def next_deadline(self, mailbox: str) -> int | None:
        """When the next lease of `mailbox` lapses or a delay ends, in ms: the time to look again without a wake-up.

        Raises:
            StoreUnavailable: it could not be reached.
        """
        deadlines: list[int] = []
        for shard in range(self._store.shards):
            (key,) = keys_of(self._store, shard, mailbox, "l")
            row = await self._store.run("ZRANGE", key, 0, 0, "WITHSCORES")
            deadlines += [int(float(score)) for score in row[1::2]]
        return min(deadlines, default=None)


def keys_of(store: Store, shard: int, mailbox: str, *names: str) -> list[str]:
    """The keys of a shard by their names in broker/DESIGN.md, section 4.1: `r`, `l` and `dead` those of `mailbox`."""
    prefix = store.prefix(shard)
    return [prefix + (f"{name}:{mailbox}" if name in {"r", "l", "dead"} else name) for name in names]


def _sum(*parts: bytes) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()


def _check(s: Submission) -> None:
    """Refuse here what the function would refuse for the whole batch."""
    hexes = (s.digest, s.note_digest, s.directory.digest)
    if (
        not all(_ID.match(name) for name in (s.sender, *s.to))
        or not _MESSAGE_ID.match(s.id)
        or not 1 <= len(s.to) <= 64
        or len(set(s.to)) != len(s.to)
        or s.priority not in _PRIORITIES
        or len(s.salt) != 32
        or any(len(text) != 64 or len(bytes.fromhex(text)) != 32 for text in hexes)
    ):
        raise ValueError("the submission breaks a rule of the queue")
