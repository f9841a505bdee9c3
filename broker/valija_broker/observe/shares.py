"""Where the shares of messages are that have no end yet: ready, lent, or among the dead letters.

The evidence knows ends; only the store knows what lies between. A message is found there by its pointers, so those of
the leased and of the dead of its recipients are read, so many and no more; what is in neither is ready.

Before this room: `observer`. After it: `dead_letters`, `store`.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import msgspec

from valija_broker.queue import Mailboxes, keys_of
from valija_broker.store import Store
from valija_schemas import admin, limits

pointers_max: Final = 1_000  #: Of one mailbox and kind, the newest; more than a program can have leased.
pointers_all_max: Final = 20_000  #: Of one page: some 0.2 s.

_WAITING: Final = frozenset({"ready", "leased", "dead"})


async def placed(store: Store, queues: Mailboxes, rows: Sequence[admin.MessageRow]) -> tuple[admin.MessageRow, ...]:
    """The same rows, each share that has no end with where it is now.

    A share that ended this moment is in no mailbox any more, and is ready here until the evidence has its end.

    Raises:
        StoreUnavailable: the store could not be reached, and something has no end.
    """
    wanted: dict[tuple[int, str], set[str]] = defaultdict(set)
    for row in rows:
        for share in row.shares:
            if share.state in _WAITING:
                wanted[queues.shard_of(row.sender), share.recipient].add(row.digest)
    found: dict[tuple[str, str], admin.Share] = {}
    left = pointers_all_max
    for (shard, mailbox), digests in wanted.items():
        left -= await _look(store, shard, mailbox, digests, left, found)
    return tuple(
        msgspec.structs.replace(
            row, shares=tuple(found.get((row.digest, share.recipient), share) for share in row.shares)
        )
        for row in rows
    )


async def _look(
    store: Store, shard: int, mailbox: str, digests: set[str], left: int, found: dict[tuple[str, str], admin.Share]
) -> int:
    """Find these messages among the leased and the dead of a mailbox, and say how many pointers were read."""
    read = 0
    for kind in ("l", "dead"):
        count = min(pointers_max, left - read)
        if count <= 0:
            break
        (key,) = keys_of(store, shard, mailbox, kind)
        row = await store.run("ZRANGE", key, -count, -1, "WITHSCORES")
        read += len(row) // 2
        messages = [f"{store.prefix(shard)}m:{pointer.decode('utf-8', 'backslashreplace')}" for pointer in row[::2]]
        fields = await store.fields(messages, ("digest", f"a:{mailbox}", f"e:{mailbox}"))
        for since, (digest, attempts, reason) in zip(row[1::2], fields, strict=True):
            if digest is not None and attempts is not None and digest.hex() in digests:
                dead = kind == "dead"
                found[digest.hex(), mailbox] = admin.Share(
                    recipient=mailbox, state="dead" if dead else "leased", since=_time(since) if dead else None,
                    attempts=_count(attempts),
                    reason=reason.decode("utf-8", "backslashreplace") if reason and dead else None,
                )  # fmt: skip
    return read


def _time(score: bytes) -> int | None:
    value = float(score)
    return int(value) if 0 <= value <= limits.integer_max else None  # a flipped bit


def _count(value: bytes) -> int | None:
    return int(value) if value.isdigit() and len(value) < 10 else None
