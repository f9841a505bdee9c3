"""Compares what was promised with what is there: `valija-broker reconcile`.

Every recipient of every SubmissionAcceptance must have the message queued, leased or dead, or have an event that ends
its share; nothing may be queued that was never accepted, that had ended, or long after its end. What does not match
the sum that it was stored with does not count as queued: an altered pointer or message shows as a lost one. It only
reads, and may run beside a broker that works: the places are read one after the other, so what moves meanwhile looks
lost. Only what is amiss in every round is told.

Before this room: `cli`. It reads the ledger, the outbox and the queues. broker/DESIGN.md, invariants I2 to I5.
"""

import asyncio
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from valija_broker.database import reading
from valija_broker.evidence import ENDS, derive, facts_of
from valija_broker.shelves import Outbox, OutboxEntry, sum_of
from valija_broker.store import Store

rounds: Final = 3
pause_s: Final = 0.5
page_entries: Final = 1_000
overdue_ms: Final = 60_000  #: `expire` settles a message within seconds of its end, or of the last lease.

_FIXED: Final = ("sha", "from", "id", "digest", "subject", "priority", "expires", "time", "size", "to")  #: common.lua

Share = tuple[str, str]  #: Digest of a message, and a recipient.


class Found(msgspec.Struct, frozen=True):
    """What is amiss, and how much was looked at."""

    accepted: int
    queued: int
    lost: frozenset[Share]  #: Accepted, and neither queued nor ended.
    stray: frozenset[Share]  #: Queued, and never accepted.
    again: frozenset[Share]  #: Queued, although it had ended: an older copy of the store was restored.
    overdue: frozenset[Share]  #: Queued and not lent, long after the end.

    @property
    def amiss(self) -> int:
        """How many there are."""
        return len(self.lost) + len(self.stray) + len(self.again) + len(self.overdue)


async def reconcile(database: Path, store: Store, mailboxes: Iterable[str], origin: str) -> Found:
    """What is amiss in every one of three rounds.

    Raises:
        StoreUnavailable: the store could not be read.
        sqlite3.Error: the ledger could not be read.
    """
    names = sorted(mailboxes)
    found = await _look(database, store, names, origin)
    for _ in range(rounds - 1):
        if not found.amiss:
            break
        await asyncio.sleep(pause_s)
        next_ = await _look(database, store, names, origin)
        found = Found(
            next_.accepted,
            next_.queued,
            lost=found.lost & next_.lost,
            stray=found.stray & next_.stray,
            again=found.again & next_.again,
            overdue=found.overdue & next_.overdue,
        )
    return found


async def _look(database: Path, store: Store, mailboxes: Iterable[str], origin: str) -> Found:
    accepted, _ = await in_outbox(store, origin)
    recorded, early = await asyncio.to_thread(_ledger, database)
    accepted |= recorded
    # From here on things only move towards their end: what leaves the queue is in the outbox, then in the ledger.
    queued: set[Share] = set()
    overdue: set[Share] = set()
    for mailbox in mailboxes:
        for shard in range(store.shards):
            there, late_ = await in_mailbox(store, shard, mailbox)
            queued |= {(digest, mailbox) for digest in there}
            overdue |= {(digest, mailbox) for digest in late_}
    waiting, ending = await in_outbox(store, origin)
    late, ended = await asyncio.to_thread(_ledger, database)
    lost = accepted - queued - ended - ending
    stray, again = queued - late - waiting, queued & early
    return Found(
        len(accepted),
        len(queued),
        lost=frozenset(lost),
        stray=frozenset(stray),
        again=frozenset(again),
        overdue=frozenset(overdue),
    )


async def in_mailbox(store: Store, shard: int, mailbox: str) -> tuple[set[str], set[str]]:
    """Digests of the messages that wait, are lent or lie dead for a mailbox in one shard; and of the overdue ones."""
    prefix = store.prefix(shard)
    digests: set[str] = set()
    overdue: set[str] = set()
    latest = time.time_ns() // 1_000_000 - overdue_ms
    for kind in ("r", "l", "dead"):
        begin = 0
        while page := await store.run("ZRANGE", f"{prefix}{kind}:{mailbox}", begin, begin + page_entries - 1):
            begin += len(page)
            for sequence in page:
                message = f"{prefix}m:{sequence.decode()}"
                share, total, *fields = await store.run("HMGET", message, f"a:{mailbox}", "sum", *_FIXED)
                if share is None or total != sum_of([field or b"" for field in fields]):
                    continue  # settled meanwhile, or altered
                digest = fields[_FIXED.index("digest")].hex()
                digests.add(digest)
                if kind != "l" and int(fields[_FIXED.index("expires")]) < latest:
                    overdue.add(digest)
    return digests, overdue


async def in_outbox(store: Store, origin: str) -> tuple[set[Share], set[Share]]:
    """Shares that an event in the outbox begins, and those that one ends."""
    accepted: set[Share] = set()
    ended: set[Share] = set()
    for shard in range(store.shards):
        after = ""
        while entries := await Outbox(store).read(shard, page_entries, after=after):
            after = entries[-1].id
            for entry in entries:
                if isinstance(entry, OutboxEntry):
                    try:
                        found = derive(entry, origin)
                    except ValueError:
                        continue  # upkeep reports it
                    sort_share(found.name, found.message or "", found.event, accepted, ended)
    return accepted, ended


def _ledger(database: Path) -> tuple[set[Share], set[Share]]:
    accepted: set[Share] = set()
    ended: set[Share] = set()
    with reading(database) as connection:
        for name, message, event in connection.execute(
            "SELECT name, message, event FROM events WHERE name IS NOT NULL"
        ):
            sort_share(name, message, event, accepted, ended)
    return accepted, ended


def sort_share(name: str, message: str, event: bytes, accepted: set[Share], ended: set[Share]) -> None:
    """Add the shares that an event begins to `accepted`, and the one that it ends to `ended`."""
    if name == "SubmissionAcceptance":
        accepted.update((message, to) for to in facts_of(event).to)
    elif name in ENDS:
        ended.add((message, facts_of(event).about))
