"""A mailbox, one message at a time: fetched, judged, stored, handed over, settled, answered.

`Mailbox` is the engine of one client: it leases mail, keeps the leases while handlers work, and hands in receipts. An
`Inbox` is what a program iterates over; each `Message` is a context whose clean exit says that it was delivered.

The promise: a message whose clean exit was recorded is never handed over again; one that was interrupted comes again
with `attempt` above 1; one that cannot be opened never stands in the way of the next. A receipt is signed only after
the mark is on the disk, and a crash between any two steps is repaired by the same code at the next start or delivery.

Before this room: `client`. After it: `receive`, `inbox_store`, `transport`. Rules: schemas/SPEC.md section 2.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from typing import Final

from valija.errors import ValijaError
from valija.holding import Holding
from valija.inbox_store import Handling, InboxStore, State
from valija.keys import Keys, signer
from valija.line import Line
from valija.log import Log
from valija.receive import (
    AlreadyDelivered,
    LocalFault,
    NeedDirectory,
    OpenDocument,
    Opened,
    Rejected,
    Unverifiable,
    Verdict,
    receive,
)
from valija.refresh import Library
from valija_schemas import api, evidence, limits, message

_log: Final = logging.getLogger("valija.inbox")

batch_max: Final = 16  #: Messages asked for at once: few enough to be handled within a lease.
held_max: Final = 256  #: Messages that this process holds, handled or not, before it asks for no more.
wait_ms: Final = 20_000  #: A long poll: short of what proxies cut off.
begun_max: Final = 10  #: A message that ended this many handlers is put aside for an hour at a time.
delay_first_ms: Final = 5 * limits.SECOND_MS  #: After a handler's first exception; doubled at each further attempt.
fault_delay_first_ms: Final = 60 * limits.SECOND_MS  #: After a fault of this machine's, which a person must repair.
closing_s: Final = 10.0  #: How long closing waits for the broker to take receipts; the rest goes at the next start.
retry_max_s: Final = 30.0


class Held:
    """A message that is lent to us, from its storing to its settling."""

    def __init__(self, opened: Opened, lent: api.Lent) -> None:
        self.opened: Final = opened
        self.lent_attempt: Final = lent.attempt
        self.token = lent.token
        self.lost = False  # lent to somebody else meanwhile, or not known any more


class Mailbox:
    """The engine of one client's inbox. One event loop."""

    def __init__(
        self,
        *,
        origin: str,
        keys: Keys,
        library: Library,
        line: Line,
        store: InboxStore,
        log: Log,
        holding: Holding,
        open_document: OpenDocument,
        clock: Callable[[], int],
        on_reply: Callable[[message.Message], None],
        on_alarm: Callable[[str | None, str, bytes], None],
        on_handed_in: Callable[[str], None],
    ) -> None:
        self._origin = origin
        self._keys = keys
        self._library = library
        self._line = line
        self.store: Final = store
        self._log = log
        self._holding = holding
        self._open_document = open_document
        self._clock = clock
        self._on_reply = on_reply
        self._on_alarm = on_alarm
        self._on_handed_in = on_handed_in
        self._ready: list[Held] = []
        self._held: dict[str, Held] = {}  # by digest, ready and handed over
        self._acks: dict[str, str] = {}  # digest -> token, receipts to hand in
        self._releases: dict[str, api.Release] = {}  # by token
        self._writing = asyncio.Lock()  # one transaction on the file at a time, handlers' included
        self._fetching = asyncio.Lock()
        self._flushing = asyncio.Lock()
        self._to_flush, self._to_extend = asyncio.Event(), asyncio.Event()
        self._lease_ms = 60 * limits.SECOND_MS
        self._arrivals = 0
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Become the reader of this inbox and repair what a crash left.

        Raises:
            InboxBusyError: another process reads it.
        """
        if self._tasks:
            return
        self.store.acquire()
        self._tasks = [asyncio.create_task(self._keep_flushing()), asyncio.create_task(self._keep_extending())]
        for digest, token in self.store.unanswered():
            await self._acknowledge(digest, token)

    async def close(self) -> None:
        """Give back what nobody finished, and hand in what is waiting, as far as the broker answers."""
        if not self._tasks:
            return
        with contextlib.suppress(TimeoutError):
            # What is on its way gets its answer: of a receipt that was cut off nobody knows whether the broker took it.
            async with asyncio.timeout(closing_s), self._flushing:
                pass
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        if self._held:
            _log.warning("%d messages were fetched and not finished; they will come again", len(self._held))
        for held in list(self._held.values()):
            self._give_back(held, 0)
        try:
            async with asyncio.timeout(closing_s):
                await self._flush()
        except TimeoutError:
            _log.info("the broker did not answer in time; receipts will be handed in at the next start")
        except ValijaError as error:
            _log.info("receipts will be handed in at the next start: %s", error)

    # Fetching

    def pick(self, types: Collection[str] | None) -> Held | None:
        """The next message of one of `types`: the most urgent, then the oldest."""
        fitting = [held for held in self._ready if types is None or held.opened.message.header.type in types]
        if not fitting:
            return None
        # `min` returns the first of equals, and `_ready` is in the order of arrival.
        chosen = min(fitting, key=lambda held: message.PRIORITIES.index(held.opened.message.header.priority))
        self._ready.remove(chosen)
        return chosen

    def pick_digest(self, digest: str) -> Held | None:
        """The message with this digest, if it was fetched and nobody has taken it."""
        found = next((held for held in self._ready if held.opened.message.digest == digest), None)
        if found is not None:
            self._ready.remove(found)
        return found

    async def fetch(self, wait: int, limit: int = batch_max) -> int:
        """Lease what there is and make it ready; how many deliveries there were, whatever became of them.

        Raises:
            UnavailableError, RefusedError: the broker cannot be asked.
        """
        arrivals = self._arrivals
        async with self._fetching:
            if self._arrivals != arrivals:
                return self._arrivals - arrivals  # what another iterator fetched meanwhile may be for this one
            await self._look_at_directory()
            room = held_max - len(self._held)
            if room <= 0:
                await asyncio.sleep(0.05)  # handlers are at work; they make room
                return 0
            request = api.LeaseRequest(
                instance=self.store.instance,
                # What waits to be handed in or given back is ours as well: it must not come again meanwhile.
                have=(*(held.token for held in self._held.values()), *self._acks.values(), *self._releases)[:1024],
                limit=min(limit, room),
                wait_ms=wait,
            )
            lent = await self._holding.through(lambda: self._line.lease(request))
            verdicts = [(each, await self._judge(each)) for each in lent]
            await self._take(verdicts)
            return len(lent)

    async def _look_at_directory(self) -> None:
        """Know of revocations within minutes. Reading goes on with what is held if nothing newer can be had."""
        try:
            await self._library.refresh()
        except ValijaError as error:
            if self._library.empty:
                raise
            _log.warning("the directory could not be refreshed: %s", error)

    async def _judge(self, lent: api.Lent) -> Verdict:
        verdict: Verdict = LocalFault("unknown", "not judged")
        for attempt in (1, 2):
            try:
                verdict = receive(
                    lent.message,
                    lent.acceptance,
                    origin=self._origin,
                    me=self._keys.id,
                    now_ms=self._clock(),
                    books=self._library,
                    seen=self.store,
                    seal_identity=self._keys.seal_identity,
                    open_document=self._open_document,
                )
                stale = isinstance(verdict, NeedDirectory) or (isinstance(verdict, Opened) and verdict.acceptance_fault)
                if not stale or attempt == 2:
                    break
                await self._library.refresh(force=True)
            except ValijaError as error:
                if isinstance(verdict, Opened):
                    break
                return LocalFault(error.code, str(error))
        if isinstance(verdict, NeedDirectory):
            text = f"it names directory version {verdict.version}, which the broker cannot show"
            return LocalFault("unknown-directory", text, alarm=True)
        return verdict

    async def _take(self, verdicts: Sequence[tuple[api.Lent, Verdict]]) -> None:
        """Act on verdicts: whatever one of them is, the others go their way."""
        fresh = self._fresh(verdicts)
        for _, opened in fresh:
            self._log.heard(opened.message.header.log, opened.message.header.sender, opened.message.digest)
            # Before storing: a crash between the two lets the message come again, and the reply is noted once.
            self._on_reply(opened.message)
        if fresh:
            async with self._writing:
                self.store.put(
                    [(each.message, lent.acceptance, each.acceptance_fault, lent.token) for lent, each in fresh],
                    self._clock(),
                )
        for lent, verdict in verdicts:
            self._lease_ms = lent.lease_ms
            match verdict:
                case Opened():
                    if verdict.acceptance_fault:
                        self._alarm(verdict.message.digest, verdict.acceptance_fault, lent.acceptance)
                case Rejected():
                    await self._reject(lent, verdict)
                case AlreadyDelivered():
                    await self._answer_again(verdict.digest, lent.token)
                case Unverifiable():
                    _log.error("a message cannot be verified and goes to the dead letters: %s", verdict.detail)
                    if verdict.alarm:
                        self._alarm(None, verdict.detail, lent.message[: limits.note_bytes_max])
                    self._release(lent.token, 0, dead=True)
                case LocalFault():
                    _log.error("a message cannot be received now (%s): %s", verdict.code, verdict.detail)
                    if verdict.alarm:
                        self._alarm(None, verdict.detail, lent.message[: limits.note_bytes_max])
                    self._release(lent.token, _delay(fault_delay_first_ms, lent.attempt))
                case NeedDirectory():
                    raise AssertionError  # pragma: no cover - `_judge` settled it
        for lent, opened in fresh:
            held = Held(opened, lent)
            self._held[opened.message.digest] = held
            self._ready.append(held)
            self._to_extend.set()
        self._arrivals += len(fresh)

    def _fresh(self, verdicts: Sequence[tuple[api.Lent, Verdict]]) -> list[tuple[api.Lent, Opened]]:
        """What is to be stored and handed over: opened, not in our hands already, and one a submission key."""
        found: dict[tuple[str, str], tuple[api.Lent, Opened]] = {}
        for lent, verdict in verdicts:
            if not isinstance(verdict, Opened):
                continue
            key = (verdict.message.header.sender, verdict.message.header.id)
            held = self._held.get(verdict.message.digest)
            if held is not None:  # the lease had lapsed under a handler: this is a new one for the same work
                held.token, held.lost = lent.token, False
            elif key in found:
                self._alarm(verdict.message.digest, f"{key[0]} used one id for two messages", verdict.message.note.raw)
                self._release(lent.token, _delay(fault_delay_first_ms, lent.attempt))
            else:
                found[key] = (lent, verdict)
        return list(found.values())

    async def _reject(self, lent: api.Lent, verdict: Rejected) -> None:
        refused = verdict.message
        before = self.store.digest_of(refused.header.sender, refused.header.id)
        if before not in {None, refused.digest}:
            _log.error("a message has the id of another: %s", refused.header.id)
            self._alarm(refused.digest, f"{refused.header.sender} used one id for two messages", refused.note.raw)
            self._release(lent.token, _delay(fault_delay_first_ms, lent.attempt))
            return
        _log.error("message %s is refused (%s): %s", refused.header.id, verdict.reason, verdict.detail)
        async with self._writing:
            self.store.put([(refused, lent.acceptance, None, lent.token)], self._clock())
            self.store.settle(refused.digest, "rejected", verdict.reason, self._clock())
        await self._answer_again(refused.digest, lent.token)

    async def _answer_again(self, digest: str, token: str) -> None:
        async with self._writing:
            self.store.set_token(digest, token)
        await self._acknowledge(digest, token)

    # Handing over

    async def begin(self, held: Held) -> int:
        """Count that a handler begins, and say for which time, over all machines and restarts."""
        async with self._writing:
            return max(self.store.begin(held.opened.message.digest), held.lent_attempt)

    def begun(self, held: Held) -> int:
        """How often a handler has begun with this message here."""
        return self.store.get(held.opened.message.digest).begun

    @contextlib.asynccontextmanager
    async def handling(self, held: Held) -> AsyncIterator[Handling]:
        """A transaction for a handler. Until it ends, nothing else writes to the file."""
        async with self._writing:
            with self.store.handling(held.opened.message.digest) as handling:
                yield handling

    async def settle(self, held: Held, handling: Handling | None, reason: str | None) -> None:
        """Mark a message as delivered, or with a `reason` as rejected; in the handler's transaction, if it has one."""
        digest = held.opened.message.digest
        state: State = "delivered" if reason is None else "rejected"
        if handling is not None:
            handling.settle(state, reason, self._clock())
        else:
            async with self._writing:
                self.store.settle(digest, state, reason, self._clock())

    async def finish(self, held: Held) -> None:
        """Answer for a message that is settled."""
        try:
            await self._acknowledge(held.opened.message.digest, held.token)
        finally:
            # Not before: a token that is in neither list is lent to us again, which a cancelled answer then needs.
            self._held.pop(held.opened.message.digest, None)

    def fail(self, held: Held, attempt: int, *, at_once: bool = False) -> None:
        """A handler did not finish: the message comes again, later at each attempt."""
        self._give_back(held, 0 if at_once else _delay(delay_first_ms, attempt))

    def put_aside(self, held: Held) -> None:
        """A message that ended many handlers, this process perhaps: let the rest of the mailbox go on."""
        _log.error("message %s was begun %d times and never finished", held.opened.message.header.id, begun_max)
        self._give_back(held, limits.HOUR_MS)

    def _give_back(self, held: Held, delay_ms: int) -> None:
        self._held.pop(held.opened.message.digest, None)
        if held in self._ready:
            self._ready.remove(held)
        if not held.lost:
            self._release(held.token, delay_ms)

    def _release(self, token: str, delay_ms: int, *, dead: bool = False) -> None:
        self._releases[token] = api.Release(token=token, delay_ms=delay_ms, dead=dead)
        self._to_flush.set()

    # Answering

    async def _acknowledge(self, digest: str, token: str) -> None:
        """Sign the receipt of a settled message if there is none yet, and hand it in. Normal work and repair alike."""
        found = self.store.get(digest)
        if found.receipt is None:
            try:
                receipt = self._receipt(found.raw, found.reason)
            except ValijaError as error:
                _log.error("no receipt can be signed for %s; it will be at the next delivery: %s", found.id, error)
                self._release(token, fault_delay_first_ms)
                return
            async with self._writing:
                self.store.set_receipt(digest, receipt)
        self._acks[digest] = token
        self._to_flush.set()

    def _receipt(self, raw: bytes, reason: str | None) -> bytes:
        settled = message.read(raw, self._origin)
        phonebook = self._library.phonebook
        return evidence.receipt_note(
            self._origin,
            "ConsignmentAcceptance" if reason is None else "ConsignmentRejection",
            evidence.subject_of(settled.header, settled.note),
            signer(self._keys, phonebook, "sign"),
            recipient=self._keys.id,
            time=self._clock(),
            directory=phonebook.reference,
            log=self._log.reference,
            reason=reason,
        )

    async def _keep_flushing(self) -> None:
        pause = 1.0
        while True:
            await self._to_flush.wait()
            self._to_flush.clear()
            try:
                # While one request is on its way, the next batch gathers.
                await self._flush()
                pause = 1.0
            except ValijaError as error:
                _log.warning("receipts wait %.0f s: %s", pause, error)
                await asyncio.sleep(pause)
                pause = min(retry_max_s, pause * 2)
                self._to_flush.set()

    async def _flush(self) -> None:
        async with self._flushing:
            while self._acks or self._releases:
                if acks := list(self._acks.items())[: api.lease_messages_max]:
                    await self._hand_in(acks)
                if releases := list(self._releases.values())[: api.lease_messages_max]:
                    await self._line.release(releases)  # whatever came of each: the lease is not ours any more
                    for release in releases:
                        self._releases.pop(release.token, None)

    async def _hand_in(self, acks: Sequence[tuple[str, str]]) -> None:
        receipts = [
            api.Acknowledgement(token=token, receipt=self.store.get(digest).receipt or b"") for digest, token in acks
        ]
        results = await self._line.acknowledge(receipts)
        for (digest, _), result in zip(acks, results, strict=True):
            if result.result == "done":
                self._on_handed_in(digest)
            elif result.result == "refused":
                self._alarm(digest, "the broker refuses our receipt", self.store.get(digest).receipt or b"")
        async with self._writing:
            # `gone` and `stale`: somebody answered already, or it will be delivered and answered once more.
            self.store.answered([(digest, result.result) for (digest, _), result in zip(acks, results, strict=True)])
        for digest, token in acks:
            if self._acks.get(digest) == token:
                del self._acks[digest]

    async def _keep_extending(self) -> None:
        while True:
            await self._to_extend.wait()
            if not self._held:
                self._to_extend.clear()
                continue
            await asyncio.sleep(self._lease_ms / 2000)
            held = {each.token: each for each in self._held.values()}
            try:
                results = await self._line.extend(list(held)) if held else ()
            except ValijaError as error:
                _log.warning("leases could not be extended: %s", error)
                continue
            for result in results:
                if result.result != "done" and held[result.token].token == result.token:
                    self._lose(held[result.token])

    def _lose(self, held: Held) -> None:
        _log.warning("the lease of message %s was lost", held.opened.message.header.id)
        held.lost = True
        if held in self._ready:  # nobody has begun with it here: whoever has the lease now will
            self._ready.remove(held)
            self._held.pop(held.opened.message.digest, None)

    def _alarm(self, digest: str | None, text: str, note: bytes) -> None:
        _log.error("ALARM %s: %s", digest or "(no message)", text)
        self._on_alarm(digest, text, note)


def _delay(first_ms: int, attempt: int) -> int:
    return int(min(limits.HOUR_MS, first_ms * 2 ** min(max(0, attempt - 1), 20)))
