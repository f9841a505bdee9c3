"""Lending mail to whichever worker of a contact point asks first.

The promise: what is lent comes back to the queue unless it is acknowledged, and a lease whose reply could not be
written comes back at once. Waiting costs no connection to the store: a waiter sleeps until it is woken, or until it
is time to look for itself.

The walk: routes -> here -> queue.lease. Rules: schemas/SPEC.md section 3.3, broker/DESIGN.md.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final

from valija_broker import metrics
from valija_broker.directory import Known, now_ms
from valija_broker.mail import Lease, Release
from valija_broker.queue import Mailboxes
from valija_broker.shelves import Directory
from valija_broker.wake import Waker
from valija_schemas import api

timer_margin_s: Final = 0.005  #: After a lease lapses, so that the look finds it lapsed.


class Counter:
    """Hands mail out. Safe to share between tasks."""

    def __init__(self, known: Known, mailboxes: Mailboxes, waker: Waker, *, lease_ms: int) -> None:
        self._known = known
        self._mailboxes = mailboxes
        self._waker = waker
        self._lease_ms = lease_ms

    async def deliver(self, mailbox: str, request: api.LeaseRequest, gone: Callable[[], bool]) -> list[Lease]:
        """Lend up to `request.limit` messages; wait for the first of them if there is none. Empty after the wait.

        `gone` says whether the peer has left: nothing is lent to a peer that cannot take it.

        Raises:
            StoreUnavailable: it cannot be said what was lent; the same instance asks again and gets it.
        """
        deadline = time.monotonic() + request.wait_ms / 1000
        with self._waker.subscribe(mailbox) as bell:
            while not gone() and self._known.is_active(mailbox):
                found = await self._mailboxes.lease(
                    mailbox,
                    instance=request.instance,
                    have=request.have,
                    limit=request.limit,
                    lease_ms=self._lease_ms,
                    directory=Directory(*self._known.reference),
                )
                left = deadline - time.monotonic()
                if found or left <= 0:
                    metrics.lent.inc(len(found))
                    metrics.payload_out.inc(sum(len(lease.note) + len(lease.body) for lease in found))
                    metrics.lent_again.inc(sum(lease.attempt > 1 for lease in found))
                    return found
                lapses = await self._mailboxes.next_deadline(mailbox)
                soon = max(0.0, (lapses - now_ms()) / 1000) + timer_margin_s if lapses else left
                await bell.wait(min(left, soon))
        return []

    async def undo(self, mailbox: str, leases: Sequence[Lease]) -> None:
        """Take back what could not be handed over: the reply was not written, so nobody has seen it."""
        metrics.undone.inc(len(leases))
        await self._mailboxes.release(
            mailbox,
            [Release(token=lease.token, uncounted=True) for lease in leases],
            directory=Directory(*self._known.reference),
        )
