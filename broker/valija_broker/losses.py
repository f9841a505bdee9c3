"""What went with a lost store: each share that was accepted and is nowhere any more ends with an event that says so.

A store that was deleted, or exchanged for an older copy, counts as new from an epoch on (`layout`). Upkeep then looks
once for what was accepted before that, has no end in the evidence, and is not queued, and states a
ContentHandoverFailure with the reason `lost`: the sender and that recipient read it in their feeds, and the sender can
send it again.

The promise: nothing that waits, or whose end is on its way, is called lost; each loss is told once.

Before this room: `upkeep`. After it: `reconcile`, `drain`. Rules: schemas/SPEC.md section 5.1.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import msgspec
import structlog

from valija_broker.database import reading
from valija_broker.directory import Known, now_ms
from valija_broker.evidence import Row, facts_of, row_of
from valija_broker.reconcile import Share, in_mailbox, in_outbox
from valija_broker.store import Store
from valija_schemas import evidence, leaf
from valija_schemas import note as notes

_log: Final = structlog.get_logger("losses")

REASON: Final = "lost"
pause_s: Final = 1.0  #: Between two looks: what moves from one place to another may be missed by one.
rows_max: Final = 1_000  #: Events that wait for one commit.


class Losses:
    """Tells what went with a store. One task at a time; upkeep owns it."""

    def __init__(
        self,
        *,
        database: Path,
        marker: Path,
        store: Store,
        known: Known,
        epoch: int,
        commit: Callable[[Row], Awaitable[None]],
    ) -> None:
        """`marker` is a file that keeps the epoch whose losses were told; `commit` returns once a row is recorded."""
        self._database = database
        self._marker = marker
        self._store = store
        self._known = known
        self._epoch = epoch
        self._commit = commit
        self._told = epoch == 0  # nothing was ever lost

    async def tell(self) -> None:
        """Tell what went with the store of before the epoch, unless it was told.

        Raises:
            StoreUnavailable: the queues could not be read; nothing was told.
            sqlite3.Error, OSError: the ledger or the marker cannot be used.
        """
        if self._told or not self._known.ready:
            return
        if not self._marker.exists() or self._marker.read_text() != str(self._epoch):
            gone = await self._gone()
            if gone:
                await asyncio.sleep(pause_s)
                again = await self._gone()
                gone = {share: event for share, event in gone.items() if share in again}
            rows = [self._row(share[1], event) for share, event in gone.items()]
            # A crash among these leaves some told: the next start finds the others.
            for at in range(0, len(rows), rows_max):
                await asyncio.gather(*map(self._commit, rows[at : at + rows_max]))
            if rows:
                _log.warning("losses_told", shares=len(rows), messages=len({row.message for row in rows}))
            self._marker.write_text(str(self._epoch))
        self._told = True

    async def _gone(self) -> dict[Share, bytes]:
        """Shares of before the epoch that have no end and are not queued, with their acceptances."""
        found = await asyncio.to_thread(_open, self._database, self._epoch)
        for mailbox in sorted({mailbox for _, mailbox in found}):
            for shard in range(self._store.shards):
                there, _ = await in_mailbox(self._store, shard, mailbox)
                for digest in there:
                    found.pop((digest, mailbox), None)
        # What left the queue before it was looked at is in the outbox, or in the ledger by now.
        _, ending = await in_outbox(self._store, self._known.origin)
        still = await asyncio.to_thread(_open, self._database, self._epoch)
        return {share: event for share, event in found.items() if share in still and share not in ending}

    def _row(self, mailbox: str, acceptance: bytes) -> Row:
        accepted = evidence.read_event(notes.parse(acceptance).json)
        subject = msgspec.convert(accepted, evidence.Subject, from_attributes=True)
        text = evidence.event_text(
            self._known.origin,
            "ContentHandoverFailure",
            subject,
            to=(mailbox,),
            time=now_ms(),
            directory=self._known.reference,
            reason=REASON,
        )
        return row_of(text, secrets.token_bytes(leaf.SALT_BYTES))


def _open(database: Path, before: int) -> dict[Share, bytes]:
    """Shares accepted before `before` that have no end in the ledger, with their acceptances."""
    found: dict[Share, bytes] = {}
    with reading(database) as connection:
        for name, message, event in connection.execute(
            "SELECT name, message, event FROM events WHERE name IN ('SubmissionAcceptance', 'ConsignmentAcceptance',"
            " 'ConsignmentRejection', 'ContentHandoverFailure') ORDER BY seq"
        ):
            facts = facts_of(event)
            if name != "SubmissionAcceptance":
                found.pop((message, facts.about), None)
            elif facts.time < before:
                found |= {(message, to): event for to in facts.to}
    return found
