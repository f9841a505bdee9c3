"""Taking receipts: a recipient's signed word ends its share of a message.

The promise: a pointer leaves the queue only together with a receipt that verifies and speaks of that very message,
in one atomic step. What cannot be verified changes nothing, and the lease lapses.

The walk: routes -> here -> queue.acknowledge. Rules: schemas/SPEC.md sections 2 and 5, broker/DESIGN.md.
"""

from typing import Final

import structlog

from valija_broker import metrics
from valija_broker.directory import Known, now_ms
from valija_broker.mail import Ack
from valija_broker.queue import Mailboxes
from valija_broker.shelves import Directory
from valija_schemas import api, evidence, limits, message, wire
from valija_schemas import note as notes
from valija_schemas.directory import Key

_log: Final = structlog.get_logger("acknowledge")


class Receipts:
    """Takes receipts in. Safe to share between tasks."""

    def __init__(self, known: Known, mailboxes: Mailboxes) -> None:
        self._known = known
        self._mailboxes = mailboxes

    async def acknowledge(
        self, mailbox: str, acknowledgements: tuple[api.Acknowledgement, ...]
    ) -> list[api.LeaseResult]:
        """End `mailbox`'s share of each message, and say what became of each token, in order.

        Raises:
            StoreUnavailable: nothing can be said about the outcome; repeating it is safe.
        """
        results: dict[int, str] = {}
        acks: list[tuple[int, Ack]] = []
        for place, acknowledgement in enumerate(acknowledgements):
            try:
                acks.append((place, self._verify(mailbox, acknowledgement)))
            except ValueError as error:
                _log.warning("receipt_refused", mailbox=mailbox, error=str(error))
                results[place] = "refused"
        outcomes = await self._mailboxes.acknowledge(mailbox, [ack for _, ack in acks]) if acks else []
        for (place, ack), outcome in zip(acks, outcomes, strict=True):
            results[place] = {"acknowledged": "done", "mismatch": "refused"}.get(outcome, outcome)
            if outcome == "acknowledged":
                metrics.acknowledged.labels(ack.event).inc()
            elif outcome == "mismatch":
                _log.warning("receipt_refused", mailbox=mailbox, error="it speaks of another message than the token")
        return [
            api.LeaseResult(token=acknowledgement.token, result=results[place], deadline=None)  # type: ignore[arg-type]
            for place, acknowledgement in enumerate(acknowledgements)
        ]

    def _verify(self, mailbox: str, acknowledgement: api.Acknowledgement) -> Ack:
        """What the queue needs to know, from a receipt that `mailbox` signed.

        Raises:
            ValueError: another recipient's receipt, or not signed by a key in force, or from the future.
        """
        note, receipt = evidence.parse_receipt(acknowledgement.receipt, self._known.origin)
        if receipt.recipient != mailbox:
            raise ValueError(f"{mailbox} hands in a receipt of {receipt.recipient}")
        if receipt.time > now_ms() + limits.sent_ahead_max_ms:
            raise ValueError("the receipt is from the future")
        point = self._known.phonebook.point(mailbox)
        keys = [key for key in point.sign if _still_signs(key, receipt.time)] if point else []
        name = f"{self._known.origin}/{mailbox}"
        notes.verify_one(note, [notes.Verifier(name, bytes.fromhex(key.key)) for key in keys])
        return Ack(
            token=acknowledgement.token,
            subject=wire.encode(evidence.subject_of_receipt(receipt)),
            event=receipt.event,
            note=acknowledgement.receipt,
            time=receipt.time,
            directory=Directory(*self._known.reference),
            reason=receipt.reason or "",
        )


def _still_signs(key: Key, at_ms: int) -> bool:
    """Whether a receipt of `at_ms` counts, handed in now: after a week, nobody can date one back to a retired key."""
    late = key.ended is not None and now_ms() >= key.ended + limits.superseded_directory_max_ms
    return message.key_holds(key, at_ms) and not late
