"""The dead letters of each mailbox: what no worker managed to take, kept for a person and never dropped.

Anybody who runs the broker may look at them; only an order that operators signed sends one back to its queue or gives
it up. Each of both is one atomic step, and what ended meanwhile is not touched.

Before this room: `cli`, `orders`. After it: `store`. Rules: broker/DESIGN.md, "Queues"; schemas/SPEC.md section 5.4.
"""

import re
import secrets
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from valija_broker.directory import now_ms
from valija_broker.queue import keys_of
from valija_broker.shelves import Directory
from valija_broker.store import Store, pack
from valija_schemas import limits

dead_letters_max: Final = 500  #: Of one listing.

_REF: Final = re.compile(r"(\d{1,3})\.(\d{1,16})\Z", re.ASCII)


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A message that nobody managed to take."""

    ref: str  #: Names it for `revive` and `discard`.
    sender: str
    id: str
    digest: str
    attempts: int
    since: int  #: ms.
    reason: str


class DeadLetters:
    """The dead letters of every mailbox of the store. Safe to share between tasks."""

    def __init__(self, store: Store, *, clock: Callable[[], int] = now_ms) -> None:
        self._store = store
        self._clock = clock

    async def of(self, mailbox: str, *, limit: int = dead_letters_max) -> list[DeadLetter]:
        """The dead letters of `mailbox`, the oldest first, without their content.

        Raises:
            StoreUnavailable: it could not be reached.
        """
        found: list[DeadLetter] = []
        for shard in range(self._store.shards):
            found += await self._of_shard(mailbox, shard, 0, limit)
        return sorted(found, key=lambda letter: letter.since)[:limit]

    async def find(self, mailbox: str, digest: str) -> DeadLetter | None:
        """The dead letter of `mailbox` that is the message `digest`, however many there are; None where none is.

        Raises:
            StoreUnavailable: it could not be reached.
        """
        for shard in range(self._store.shards):
            (key,) = keys_of(self._store, shard, mailbox, "dead")
            for begin in range(0, await self._store.run("ZCARD", key), dead_letters_max):
                for letter in await self._of_shard(mailbox, shard, begin, dead_letters_max):
                    if letter.digest == digest:
                        return letter
        return None

    async def _of_shard(self, mailbox: str, shard: int, begin: int, limit: int) -> list[DeadLetter]:
        found: list[DeadLetter] = []
        names = ("from", "id", "digest", f"a:{mailbox}", f"e:{mailbox}")
        (key,) = keys_of(self._store, shard, mailbox, "dead")
        row = await self._store.run("ZRANGE", key, begin, begin + limit - 1, "WITHSCORES")
        numbers = [_shown(sequence) for sequence in row[::2]]
        messages = [f"{self._store.prefix(shard)}m:{number}" for number in numbers]
        fields = await self._store.fields(messages, names)
        for number, since, m in zip(numbers, row[1::2], fields, strict=True):
            if m[3] is None and m[4] is None:
                continue  # settled since
            found.append(
                DeadLetter(
                    ref=f"{shard}.{number}", sender=_shown(m[0]), id=_shown(m[1]), digest=(m[2] or b"").hex(),
                    attempts=_number(m[3]), since=_number(since), reason=_shown(m[4]),
                )
            )  # fmt: skip
        return found

    async def revive(self, mailbox: str, refs: Sequence[str]) -> int:
        """Send dead letters back to the queue with their attempts at zero; return how many were there."""
        revived = 0
        for shard, sequences in self._refs(refs).items():
            call = {"now": self._clock(), "mailbox": mailbox, "sequences": sequences}
            keys = keys_of(self._store, shard, mailbox, "clock", "r", "dead")
            revived += await self._store.call("revive_3", keys, [pack(call)])
        return revived

    async def discard(self, mailbox: str, refs: Sequence[str], *, reason: str, directory: Directory) -> int:
        """Settle dead letters for good, with a ContentHandoverFailure each; return how many were there.

        Only after the approval that the rules ask for: this is one of the two ends of a message that nobody took.
        """
        discarded = 0
        for shard, sequences in self._refs(refs).items():
            call = {
                "now": self._clock(), "mailbox": mailbox, "directory": directory.text(), "reason": reason,
                "sequences": sequences, "salts": [secrets.token_bytes(32) for _ in sequences],
            }  # fmt: skip
            keys = keys_of(self._store, shard, mailbox, "clock", "outbox", "dead")
            discarded += await self._store.call("discard_3", keys, [pack(call)])
        return discarded

    def _refs(self, refs: Sequence[str]) -> dict[int, list[str]]:
        found: dict[int, list[str]] = defaultdict(list)
        for ref in refs:
            if (match := _REF.match(ref)) and int(match[1]) < self._store.shards:
                found[int(match[1])].append(match[2])
        return found


def _number(value: bytes | None) -> int:
    """A number, or 0 for what is none any more."""
    try:
        return min(max(int(float(value or b"0")), 0), limits.integer_max)
    except (ValueError, OverflowError):
        return 0


def _shown(value: bytes | None) -> str:
    """For a person; a dead letter may lie here because it was altered."""
    return (value or b"").decode("utf-8", "backslashreplace")
