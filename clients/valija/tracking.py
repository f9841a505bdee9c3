"""What happened to a message: the feed of events, each checked, and the words of who says so.

The broker keeps one feed a contact point, in order and without gaps. A receipt is believed because its recipient signed
it, an acceptance because the broker did; the other events are the broker's statement, and are shown as that. What
should verify and does not is an alarm: it is stored, logged and shown, never dropped.

The promise: nothing in a timeline looks better proved than it is.

Before this room: `client`. After it: `outbox`, `transport`. Rules: schemas/SPEC.md section 5.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final, Literal

import msgspec

from valija.errors import DeliveryFailedError, StillWaitingError, UnavailableError, UnknownMessageError, ValijaError
from valija.line import Line
from valija.log import Log, LogError, merge_max_ms
from valija.outbox import EventVerdict, Outbox, Sent, StoredEvent
from valija.receive import verify_promise
from valija.refresh import Library
from valija_schemas import api, evidence, limits, message, order
from valija_schemas import note as notes
from valija_schemas.checkpoint import Checkpoint

Until = Literal["accepted", "handed-over", "acknowledged", "replied"]
UNTIL: Final[tuple[Until, ...]] = ("accepted", "handed-over", "acknowledged", "replied")

_log: Final = logging.getLogger("valija.tracking")

poll_wait_ms: Final = 20_000  #: How long one question for events waits: short of what proxies cut off.
look_again_s: Final = 0.5  #: For what happens in this state folder and not in the feed.
_pages_max: Final = 1_000  #: Of one reading; a feed that never ends is somebody's mistake.

ERASED: Final = "erased"  #: Stands where the feed has a number and no longer an event.
_HANDED: Final = frozenset({"ContentHandover", "ConsignmentAcceptance", "ConsignmentRejection"})
_FAILED: Final = frozenset({"ConsignmentRejection", "ContentHandoverFailure"})
_SIGNED_BY_BROKER: Final = frozenset({"SubmissionAcceptance", "SubmissionRejection"})


class Happening(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a timeline."""

    time: int
    event: str
    to: tuple[str, ...]  #: The recipients that it speaks of.
    says: Literal["verified", "the broker says", "here", "alarm"]
    by: str  #: Who signed it, or whose statement it is.
    detail: str | None
    index: int | None = None  #: Its place in the log, where it is proved to be there.
    witnessed: bool = False  #: Whether as many witnesses saw that tree as the root asks for.


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one message, in the order of time."""

    id: str
    digest: str
    direction: Literal["sent", "received"]
    type: str
    sender: str
    to: tuple[str, ...]
    state: str
    complete: bool  #: Whether the broker could be asked for what is new.
    happenings: tuple[Happening, ...]


class Tracking:
    """Reads the feed and answers from what it stored. Safe to share between tasks."""

    def __init__(
        self,
        *,
        origin: str,
        me: str,
        library: Library,
        line: Line,
        outbox: Outbox,
        log: Log,
        clock: Callable[[], int],
    ) -> None:
        self._origin = origin
        self._me = me
        self._library = library
        self._line = line
        self._outbox = outbox
        self._log = log
        self._clock = clock
        self._pulling = asyncio.Lock()

    async def pull(self, wait_ms: int = 0) -> None:
        """Store the events that follow those that are stored; wait up to `wait_ms` for the first.

        Raises:
            UnavailableError: the broker cannot be asked now.
        """
        before = self._outbox.feed_position()
        async with self._pulling:
            if self._outbox.feed_position() > before:
                return  # while we waited for our turn somebody else read on
            for _ in range(_pages_max):
                after, floor = self._outbox.feed_position(), self._log.size
                page = await self._line.events(after, wait_ms)
                if page.events:
                    await self._take(page, after, floor)
                wait_ms = 0
                if len(page.events) < api.events_page_max:
                    self._miss()
                    await self._complete()
                    return

    async def _take(self, page: api.Feed, after: int, floor: int) -> None:
        checked = []
        try:
            checkpoint: Checkpoint | LogError = await self._log.meet(page.checkpoint, floor)
        except LogError as error:
            checkpoint = error
        # Only an erasure is judged by what came before it; to look that up reads the whole feed.
        newest = self._outbox.newest_event() if any(_is_erased(found) for found in page.events) else 0
        for expected, found in enumerate(page.events, start=after + 1):
            if found.number != expected:
                self._alarm(None, f"the feed goes from event {expected - 1} to {found.number}", found.event)
            event = self.check(found, newest)
            if event.verdict == "alarm" and self._may_be_new_keys(event):
                await self._library.refresh(force=True)
                event = self.check(found, newest)
            event = self._in_log(event, found, checkpoint)
            if event.verdict != "alarm":
                newest = max(newest, event.time)
            if event.verdict == "alarm":
                about = f" of message {event.message}" if event.message else ""
                self._alarm(None, f"event {event.number}, {event.event}{about}: {event.detail}", found.event)
            checked.append(event)
        self._outbox.add_events(checked)
        # A crash between the two leaves an acceptance in the feed and a row that is pending: it is submitted again.
        for event in checked:
            if event.event == "SubmissionAcceptance" and event.verdict == "verified":
                sent = self._outbox.find(event.message)
                if sent is not None and sent.digest == event.message and sent.state != "accepted":
                    self._outbox.accept(event.message, event.note)

    def _in_log(self, event: StoredEvent, found: api.FeedEvent, checkpoint: Checkpoint | LogError) -> StoredEvent:
        try:
            if isinstance(checkpoint, LogError):
                raise checkpoint
            if event.event == ERASED:
                return event  # its leaf cannot be computed any more
            proof = self._log.prove(found, checkpoint)
        except LogError as error:
            detail = event.detail if event.verdict == "alarm" else str(error)
            return msgspec.structs.replace(event, verdict="alarm", detail=detail)
        event = msgspec.structs.replace(event, leaf=found.index, proof=proof, complete=checkpoint.complete)
        fault = None
        if checkpoint.is_older_than(event.time):
            fault = "it is dated after the checkpoint that proves it"
        elif not event.event.startswith(("Consignment", order.EVENT)):
            # A receipt bears its recipient's time, an order its operators': both may be handed in long after it.
            fault = self._log.dated_back(event.time, found.index)
        if fault and event.verdict != "alarm":
            return msgspec.structs.replace(event, verdict="alarm", detail=fault)
        return event

    async def _complete(self) -> None:
        """Ask again for proofs that too few witnesses stood behind, once enough of them stand behind the log."""
        after = 0
        for _ in range(_pages_max):
            number, floor = self._outbox.first_incomplete(after), self._log.size
            if number is None:
                return
            page = await self._line.events(number - 1, 0)
            if not page.events or page.events[0].number != number:
                self._alarm(None, f"the feed does not show event {number} any more", page.checkpoint)
                return
            try:
                checkpoint = await self._log.meet(page.checkpoint, floor)
                if not checkpoint.complete:
                    return
                for found in page.events:
                    self._complete_one(found, checkpoint)
                after = page.events[-1].number
            except LogError:
                return  # the alarm is raised

    def _complete_one(self, found: api.FeedEvent, checkpoint: Checkpoint) -> None:
        stored = self._outbox.event(found.number)
        if stored is None or stored.proof is None or stored.complete:
            return
        if _is_erased(found):  # erased by the broker, and not by us
            found = msgspec.structs.replace(found, event=stored.note, salt=stored.salt)
        if (stored.note, stored.salt, stored.leaf) != (found.event, found.salt, found.index):
            raise self._log.alarm(f"event {found.number} of the feed is another one than it was", found.event)
        try:
            self._outbox.complete_proof(found.number, self._log.prove(found, checkpoint))
        except LogError as error:
            raise self._log.alarm(f"event {found.number} of the feed: {error}", found.event) from None

    def _miss(self) -> None:
        """The feed is read to its end: what should be in it by now and is not is a broken promise."""
        for sent in self._outbox.unlogged():
            accepted = evidence.read_event(notes.parse(sent.acceptance or b"").json)
            if self._clock() - accepted.time > merge_max_ms:
                text = f"the broker accepted {sent.id} and did not put that into its log within 60 s"
                self._alarm(sent.digest, text, sent.acceptance or b"")
        for digest, at in self._outbox.receipts_unlogged(self._me):
            if self._clock() - at > merge_max_ms:
                self._alarm(digest, "the broker took our receipt and did not put that into its log within 60 s", b"")

    def _alarm(self, digest: str | None, text: str, note: bytes) -> None:
        _log.error("ALARM %s: %s", digest or "(no message)", text)
        self._outbox.add_alarm(digest, self._clock(), text, note or None)

    def check(self, found: api.FeedEvent, newest: int) -> StoredEvent:
        """What an event of the feed says, and how well it is proved. Never fails: what cannot be read is an alarm.

        `newest` is the latest time (ms) of the events before it in the feed, 0 without any; an erasure needs it.
        """
        if _is_erased(found):
            return self._erased(found, newest)
        try:
            if found.event.startswith(f"{evidence.RECEIPT} ".encode()):
                return self._receipt(found)
            if found.event.startswith(f"{order.ACTION} ".encode()):
                return self._order(found)
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

    def _may_be_new_keys(self, event: StoredEvent) -> bool:
        return event.detail is not None and ("signature" in event.detail or "directory" in event.detail)

    # Waiting

    async def wait(self, sent: Sent, until: Until, timeout: float | None) -> Sent:
        """Return once `until` holds for every recipient of `sent` (`replied`: for one of them).

        Raises:
            StillWaitingError: `timeout` seconds have passed.
            DeliveryFailedError: it can no longer happen.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            found = self._outbox.find(sent.digest)
            if found is None:
                raise UnknownMessageError(f"the outbox holds no message {sent.id}")
            if self._reached(found, until):
                return found
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise StillWaitingError(f"{found.id} is not {until} after {timeout:g} s")
            if until == "replied":  # a reply comes to the inbox of this state folder, not to the feed
                await asyncio.sleep(look_again_s if left is None else min(look_again_s, left))
                continue
            try:
                wait_ms = poll_wait_ms if left is None else min(poll_wait_ms, max(1, int(left * 1000)))
                await self.pull(wait_ms)
            except UnavailableError as error:
                _log.info("the feed cannot be read now: %s", error)
                await asyncio.sleep(1.0 if left is None else min(1.0, left))

    def _reached(self, sent: Sent, until: Until) -> bool:
        if sent.state == "refused":
            raise DeliveryFailedError(f"the broker refused {sent.id}", hint="See `valija track` for its reason.")
        if until == "accepted":
            return sent.state == "accepted"
        if until == "replied":
            return bool(self._outbox.replies(sent.digest))
        events = [event for event in self._outbox.events(sent.digest) if event.verdict != "alarm"]
        done = "ContentHandover" if until == "handed-over" else "ConsignmentAcceptance"
        reached = {id_ for event in events if event.event == done or self._implies(event, until) for id_ in event.who}
        failed = {id_: event for event in events if event.event in _FAILED for id_ in event.who if id_ not in reached}
        if failed:
            reasons = "; ".join(f"{id_}: {event.event}, {event.reason}" for id_, event in sorted(failed.items()))
            raise DeliveryFailedError(f"{sent.id} will not be {until}: {reasons}")
        return reached >= set(sent.to)

    @staticmethod
    def _implies(event: StoredEvent, until: Until) -> bool:
        return until == "handed-over" and event.event in _HANDED

    # Telling

    async def refresh(self) -> bool:
        """Read what is new, and connect what others saw of the log; whether the broker could be asked."""
        try:
            await self.pull()
            await self._log.settle()
        except ValijaError as error:
            _log.info("the feed cannot be read now: %s", error)
            return False
        return True

    def timeline(self, sent: Sent, *, complete: bool) -> Timeline:
        """What is known of a message of ours."""
        found = [Happening(time=sent.sent, event="Sealed", to=sent.to, says="here", by=self._me, detail=None)]
        events = self._outbox.events(sent.digest)
        if sent.acceptance is not None and all(event.event != "SubmissionAcceptance" for event in events):
            accepted = evidence.read_event(notes.parse(sent.acceptance).json)
            found.append(
                Happening(
                    time=accepted.time, event=accepted.event, to=accepted.to, says="verified", by="broker", detail=None
                )
            )
        for digest in (*sent.replaced, sent.digest):
            found += self.happenings(digest)
        for reply, sender, at in self._outbox.replies(sent.digest):
            found.append(Happening(time=at, event="Reply", to=(self._me,), says="verified", by=sender, detail=reply))
        return Timeline(
            id=sent.id,
            digest=sent.digest,
            direction="sent",
            type=sent.type,
            sender=self._me,
            to=sent.to,
            state=sent.state,
            complete=complete,
            happenings=tuple(sorted(found, key=lambda happening: happening.time)),
        )

    def happenings(self, digest: str) -> list[Happening]:
        """Events and alarms about a message, whoever sent it."""
        found = []
        for event in self._outbox.events(digest):
            by = event.who[0] if event.event.startswith("Consignment") and event.who else "broker"
            found.append(
                Happening(
                    time=event.time,
                    event=event.event,
                    to=event.who,
                    says="the broker says" if event.verdict == "stated" else event.verdict,
                    by="operators" if event.event == order.EVENT else by,
                    detail=event.detail or event.reason,
                    index=event.leaf,
                    witnessed=event.complete,
                )
            )
        found += [
            Happening(time=alarm.time, event="Alarm", to=(), says="alarm", by=self._me, detail=alarm.text)
            for alarm in self._outbox.alarms(digest)
        ]
        return found


def _is_erased(found: api.FeedEvent) -> bool:
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
