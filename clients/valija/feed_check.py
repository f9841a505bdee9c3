"""What one event of the feed says, and how well it is proved.

A receipt is believed because its recipient signed it, an acceptance because the broker did; the other events are the
broker's statement. What should verify and does not is an alarm.

The promise: no event looks better proved than it is, and none of them raises.

Before this room: `tracking`. After it: `refresh`, `outbox`. Rules: schemas/SPEC.md section 5.2.
"""

from collections.abc import Callable
from typing import Final

from valija.feed_store import EventVerdict, StoredEvent
from valija.log import Log
from valija.outbox import Outbox
from valija.receive import verify_promise
from valija.refresh import Library
from valija.standing import time_words
from valija_schemas import api, evidence, hold, limits, message, order
from valija_schemas import note as notes

ERASED: Final = "erased"  #: Stands where the feed has a number and no longer an event.
_SIGNED_BY_BROKER: Final = frozenset({"SubmissionAcceptance", "SubmissionRejection"})


class FeedCheck:
    """Judges the events of one contact point's feed."""

    def __init__(
        self, *, origin: str, me: str, library: Library, outbox: Outbox, log: Log, clock: Callable[[], int]
    ) -> None:
        self._origin = origin
        self._me = me
        self._library = library
        self._outbox = outbox
        self._log = log
        self._clock = clock

    def event(self, found: api.FeedEvent, newest: int) -> StoredEvent:
        """What an event of the feed says, and how well it is proved. Never fails: what cannot be read is an alarm.

        `newest` is the latest time (ms) of the events before it in the feed, 0 without any; an erasure needs it.
        """
        if is_erased(found):
            return self._erased(found, newest)
        try:
            if found.event.startswith(f"{evidence.RECEIPT} ".encode()):
                return self._receipt(found)
            if found.event.startswith(f"{order.ACTION} ".encode()):
                return self._order(found)
            if found.event.startswith(f"{hold.HOLD} ".encode()):
                return self._hold(found)
            return self._broker_event(found)
        except ValueError as error:
            return _stored(found, "unreadable", "", (), 0, None, "alarm", str(error))

    def _erased(self, found: api.FeedEvent, newest: int) -> StoredEvent:
        """An event whose opening is gone. It came into the log after those before it: it is no older than they are."""
        if self._clock() - newest < limits.openings_kept_min_ms:
            detail = "the broker erased this event, and it is less than 90 days old; an order of operators may say why"
            return _stored(found, ERASED, "", (), 0, None, "alarm", detail)
        return _stored(found, ERASED, "", (), 0, "the broker erased this event's opening", "stated", None)

    def _receipt(self, found: api.FeedEvent) -> StoredEvent:
        note, receipt = evidence.parse_receipt(found.event, self._origin)
        verdict: EventVerdict = "verified"
        detail = None
        try:
            self._check_receipt(note, receipt)
        except ValueError as error:
            verdict, detail = "alarm", str(error)
        else:
            self._log.heard(receipt.log, receipt.recipient, receipt.message)
        who = (receipt.recipient,)
        return _stored(found, receipt.event, receipt.message, who, receipt.time, receipt.reason, verdict, detail)

    def _check_receipt(self, note: notes.Note, receipt: evidence.Receipt) -> None:
        point = self._library.phonebook.point(receipt.recipient)
        if point is None:
            raise ValueError(f"{receipt.recipient} is not in the directory")
        name = f"{self._origin}/{receipt.recipient}"
        keys = {bytes.fromhex(key.key): key for key in point.sign}
        key = keys[notes.verify_one(note, [notes.Verifier(name, public) for public in keys]).public]
        if not message.key_holds(key, receipt.time):
            raise ValueError(f"the sign key of {receipt.recipient} is {key.status}")
        sent = self._sent(receipt.message)
        if sent is not None:
            if receipt.recipient not in sent.header.to:
                raise ValueError(f"{receipt.recipient} is no recipient of this message")
            if evidence.subject_of_receipt(receipt) != evidence.subject_of(sent.header, sent.note):
                raise ValueError("the receipt speaks of another note or body")
        self._require_party(receipt.sender, (receipt.recipient,))

    def _order(self, found: api.FeedEvent) -> StoredEvent:
        _, action = order.parse_order(found.event, self._origin)
        verdict: EventVerdict = "verified"
        try:
            given = order.read_logged(found.event, self._origin, self._library.roots.newest_first())
            sent = self._sent(action.message or "")
            if sent is not None and action.contact_point not in {None, *sent.header.to}:
                raise ValueError(f"{action.contact_point} is no recipient of this message")
            if action.message is None:
                self._require_party(action.what, ())
            detail = f"{order.words(given)}: {action.reason}"
        except ValueError as error:
            verdict, detail = "alarm", str(error)
        who = (action.contact_point,) if action.contact_point else ()
        return _stored(found, order.EVENT, action.message or "", who, action.time, action.reason, verdict, detail)

    def _hold(self, found: api.FeedEvent) -> StoredEvent:
        _, held = hold.parse_hold(found.event, self._origin)
        verdict: EventVerdict = "verified"
        try:
            given = hold.read_logged(found.event, self._origin, self._library.roots.newest_first())
            self._require_party(held.contact_point, ())
            until = f" until {time_words(held.until)} at the latest" if held.until is not None else ""
            detail = f"{hold.words(given)}{until}: {held.reason}"
        except ValueError as error:
            verdict, detail = "alarm", str(error)
        return _stored(found, hold.EVENT, "", (held.contact_point,), held.time, held.reason, verdict, detail)

    def _broker_event(self, found: api.FeedEvent) -> StoredEvent:
        signed = b"\n\n" in found.event
        text = found.event[: found.event.index(b"\n\n") + 1] if signed else found.event
        event = evidence.parse_event_text(text, self._origin)
        verdict: EventVerdict = "stated"
        detail = None
        try:
            if signed:
                evidence.verify_evidence(found.event, self._origin, self._library.roots.evidence_verifiers())
                verdict = "verified"
            elif event.event in _SIGNED_BY_BROKER:
                raise ValueError("the broker did not sign it")
            self._check_event(event)
        except ValueError as error:
            verdict, detail = "alarm", str(error)
        return _stored(found, event.event, event.message, event.to, event.time, event.reason, verdict, detail)

    def _require_party(self, sender: str, to: tuple[str, ...]) -> None:
        if self._me != sender and self._me not in to:
            raise ValueError(f"it is an event of {' and '.join((sender, *to))}, not of ours")

    def _check_event(self, event: evidence.Event) -> None:
        self._require_party(event.sender, () if event.event in _SIGNED_BY_BROKER else event.to)
        sent = self._sent(event.message)
        if sent is None:
            return
        subject = evidence.subject_of(sent.header, sent.note)
        if event.event == "SubmissionAcceptance":
            _, fault = verify_promise(event, sent.header, subject)
            if fault:
                raise ValueError(fault)
        elif evidence.subject_of_receipt(event) != subject:
            raise ValueError("the event speaks of another note or body")
        if not set(event.to) <= set(sent.header.to):
            raise ValueError("the event speaks of somebody who is no recipient")

    def _sent(self, digest: str) -> message.Message | None:
        sent = self._outbox.find(digest)
        return message.read(self._outbox.raw(digest), self._origin) if sent and sent.digest == digest else None


def is_erased(found: api.FeedEvent) -> bool:
    """Whether the opening of an event is gone: its number stays."""
    return not found.event and not found.salt


def _stored(
    found: api.FeedEvent,
    event: str,
    digest: str,
    who: tuple[str, ...],
    at: int,
    reason: str | None,
    verdict: EventVerdict,
    detail: str | None,
) -> StoredEvent:
    if len(found.salt) != 32 and event != ERASED and verdict != "alarm":
        verdict, detail = "alarm", "its salt is not 32 bytes long"
    return StoredEvent(
        number=found.number,
        message=digest,
        event=event,
        who=who,
        time=at,
        reason=reason,
        note=found.event,
        salt=found.salt,
        verdict=verdict,
        detail=detail,
        leaf=None,
        proof=None,
        complete=False,
    )
