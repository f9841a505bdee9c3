"""Compares what was promised with what is there: `valija-broker reconcile`.

Every recipient of every SubmissionAcceptance must have the message queued, leased or dead, or have an event that ends
its share; and nothing may be queued that was never accepted, or that had ended. It only reads, and may run beside a
broker that works: the places are read one after the other, so what moves meanwhile looks lost. Only what is amiss in
every round is told.

Before this room: `cli`. It reads the ledger, the outbox and the queues. broker/DESIGN.md, invariants I2 to I5.
"""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from valija_broker.database import reading
from valija_broker.evidence import derive
from valija_broker.queue import Outbox, OutboxEntry
from valija_broker.store import Store

rounds: Final = 3
pause_s: Final = 0.5
page_entries: Final = 1_000

Share = tuple[str, str]  #: Digest of a message, and a recipient.


class Found(msgspec.Struct, frozen=True):
    """What is amiss, and how much was looked at."""

    accepted: int
    queued: int
    lost: frozenset[Share]  #: Accepted, and neither queued nor ended.
    stray: frozenset[Share]  #: Queued, and never accepted.
    again: frozenset[Share]  #: Queued, although it had ended: an older copy of the store was restored.


async def reconcile(database: Path, store: Store, mailboxes: Iterable[str], origin: str) -> Found:
    """What is amiss in every one of three rounds.

    Raises:
        StoreUnavailable: the store could not be read.
        sqlite3.Error: the ledger could not be read.
    """
    names = sorted(mailboxes)
    found = await _look(database, store, names, origin)
    for _ in range(rounds - 1):
        if not found.lost and not found.stray and not found.again:
            break
        await asyncio.sleep(pause_s)
        next_ = await _look(database, store, names, origin)
        found = Found(
            next_.accepted,
            next_.queued,
            found.lost & next_.lost,
            found.stray & next_.stray,
            found.again & next_.again,
        )
    return found


async def _look(database: Path, store: Store, mailboxes: Iterable[str], origin: str) -> Found:
    accepted, early = await asyncio.to_thread(_ledger, database)
    # From here on things only move towards their end: what leaves the queue is in the outbox, then in the ledger.
    queued: set[Share] = set()
    for mailbox in mailboxes:
        for shard in range(store.shards):
            queued |= {(digest, mailbox) for digest in await _mailbox(store, shard, mailbox)}
    waiting, ending = await _outbox(store, origin)
    late, ended = await asyncio.to_thread(_ledger, database)
    lost = accepted - queued - ended - ending
    stray, again = queued - late - waiting, queued & early
    return Found(len(accepted), len(queued), frozenset(lost), frozenset(stray), frozenset(again))


async def _mailbox(store: Store, shard: int, mailbox: str) -> set[str]:
    """Digests of the messages that wait, are lent or lie dead for a mailbox in one shard."""
    prefix, digests = store.prefix(shard), set()
    for kind in ("r", "l", "dead"):
        begin = 0
        while page := await store.run("ZRANGE", f"{prefix}{kind}:{mailbox}", begin, begin + page_entries - 1):
            begin += len(page)
            for sequence in page:
                digest = await store.run("HGET", f"{prefix}m:{sequence.decode()}", "digest")
                if digest is not None:  # else it was settled meanwhile
                    digests.add(digest.decode() if len(digest) == 64 else digest.hex())
    return digests


async def _outbox(store: Store, origin: str) -> tuple[set[Share], set[Share]]:
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


class _Parties(msgspec.Struct):
    to: tuple[str, ...] = ()
    recipient: str = ""


_read = msgspec.json.Decoder(_Parties)


def sort_share(name: str, message: str, event: bytes, accepted: set[Share], ended: set[Share]) -> None:
    """Add the shares that an event begins to `accepted`, and the one that it ends to `ended`."""
    if name == "SubmissionAcceptance":
        accepted.update((message, to) for to in _read.decode(event.split(b"\n", 2)[1]).to)
    elif name in {"ConsignmentAcceptance", "ConsignmentRejection", "ContentHandoverFailure"}:
        parties = _read.decode(event.split(b"\n", 2)[1])
        ended.update((message, to) for to in (*parties.to, parties.recipient) if to)
