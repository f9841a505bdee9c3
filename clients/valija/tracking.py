"""Reads the feed of events, each with its place in the log, and waits for what a sender waits for.

The broker keeps one feed a contact point, in order and without gaps. What should verify, or should be in it by now, and
is not is an alarm: it is stored, logged and shown, never dropped.

The promise: what is stored of the feed was checked, and every event in it is told once.

Before this room: `client`. After it: `feed_check`, `log`, `outbox`, the line. Rules: schemas/SPEC.md section 5.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final, Literal

import msgspec

from valija.errors import DeliveryFailedError, StillWaitingError, UnavailableError, UnknownMessageError, ValijaError
from valija.feed_check import ERASED, FeedCheck, is_erased
from valija.feed_store import StoredEvent
from valija.line import Line
from valija.log import Log, LogError, merge_max_ms
from valija.outbox import Outbox, Sent
from valija.refresh import Library
from valija_schemas import api, evidence, hold, order
from valija_schemas import note as notes
from valija_schemas.checkpoint import Checkpoint

Until = Literal["accepted", "handed-over", "acknowledged", "replied"]
UNTIL: Final[tuple[Until, ...]] = ("accepted", "handed-over", "acknowledged", "replied")

_log: Final = logging.getLogger("valija.tracking")

poll_wait_ms: Final = 20_000  #: How long one question for events waits: short of what proxies cut off.
look_again_s: Final = 0.5  #: For what happens in this state folder and not in the feed.
_pages_max: Final = 1_000  #: Of one reading; a feed that never ends is somebody's mistake.

_HANDED: Final = frozenset({"ContentHandover", "ConsignmentAcceptance", "ConsignmentRejection"})
_FAILED: Final = frozenset({"ConsignmentRejection", "ContentHandoverFailure"})


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
        self._check = FeedCheck(origin=origin, me=me, library=library, outbox=outbox, log=log, clock=clock)
        self._pulling = asyncio.Lock()

    async def pull(self, wait_ms: int = 0) -> None:
        """Store the events that follow those that are stored; wait up to `wait_ms` for the first.

        Raises:
            UnavailableError: the broker cannot be asked now.
        """
        before = self._outbox.feed.position()
        async with self._pulling:
            if self._outbox.feed.position() > before:
                return  # while we waited for our turn somebody else read on
            for _ in range(_pages_max):
                after, floor = self._outbox.feed.position(), self._log.size
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
        newest = self._outbox.feed.newest() if any(is_erased(found) for found in page.events) else 0
        for expected, found in enumerate(page.events, start=after + 1):
            if found.number != expected:
                self._log.alarm(f"the feed goes from event {expected - 1} to {found.number}", found.event)
            event = self._check.event(found, newest)
            if event.verdict == "alarm" and self._may_be_new_keys(event):
                await self._library.refresh(force=True)
                event = self._check.event(found, newest)
            event = self._in_log(event, found, checkpoint)
            if event.verdict != "alarm":
                newest = max(newest, event.time)
            if event.verdict == "alarm":
                about = f" of message {event.message}" if event.message else ""
                self._log.alarm(f"event {event.number}, {event.event}{about}: {event.detail}", found.event)
            checked.append(event)
        self._outbox.feed.add(checked)
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
        elif not event.event.startswith(("Consignment", order.EVENT, hold.EVENT)):
            # A receipt bears its recipient's time, an order its operators': both may be handed in long after it.
            fault = self._log.dated_back(event.time, found.index)
        if fault and event.verdict != "alarm":
            return msgspec.structs.replace(event, verdict="alarm", detail=fault)
        return event

    async def _complete(self) -> None:
        """Ask again for proofs that too few witnesses stood behind, once enough of them stand behind the log."""
        after = 0
        for _ in range(_pages_max):
            number, floor = self._outbox.feed.first_incomplete(after), self._log.size
            if number is None:
                return
            page = await self._line.events(number - 1, 0)
            if not page.events or page.events[0].number != number:
                self._log.alarm(f"the feed does not show event {number} any more", page.checkpoint)
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
        stored = self._outbox.feed.get(found.number)
        if stored is None or stored.proof is None or stored.complete:
            return
        if is_erased(found):  # erased by the broker, and not by us
            found = msgspec.structs.replace(found, event=stored.note, salt=stored.salt)
        if (stored.note, stored.salt, stored.leaf) != (found.event, found.salt, found.index):
            raise self._log.alarm(f"event {found.number} of the feed is another one than it was", found.event)
        try:
            self._outbox.feed.complete(found.number, self._log.prove(found, checkpoint))
        except LogError as error:
            raise self._log.alarm(f"event {found.number} of the feed: {error}", found.event) from None

    def _miss(self) -> None:
        """The feed is read to its end: what should be in it by now and is not is a broken promise."""
        for sent in self._outbox.unlogged():
            accepted = evidence.read_event(notes.parse(sent.acceptance or b"").json)
            if self._clock() - accepted.time > merge_max_ms:
                text = f"the broker accepted {sent.id} and did not put that into its log within 60 s"
                self._log.alarm(text, sent.acceptance or b"", about=sent.digest)
        for digest, at in self._outbox.feed.receipts_unlogged(self._me):
            if self._clock() - at > merge_max_ms:
                text = "the broker took our receipt and did not put that into its log within 60 s"
                self._log.alarm(text, about=digest)

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
        events = [event for event in self._outbox.feed.of(sent.digest) if event.verdict != "alarm"]
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

    async def lifted(self) -> frozenset[str]:
        """Digests of the holds on us that operators lifted, by our feed. It is read to its end, if that can be."""
        await self.refresh()
        told = [
            event for event in self._outbox.feed.of("") if event.event == hold.EVENT and event.verdict == "verified"
        ]
        found = [hold.parse_hold(event.note, self._origin)[1] for event in told]
        return frozenset(each.hold for each in found if each.hold is not None)

    async def refresh(self) -> bool:
        """Read what is new, and connect what others saw of the log; whether the broker could be asked."""
        try:
            await self.pull()
            await self._log.settle()
        except ValijaError as error:
            _log.info("the feed cannot be read now: %s", error)
            return False
        return True
