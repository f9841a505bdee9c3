"""The log as this client sees it: the largest checkpoint that it verified, and every other one connected with that.

Whoever shows two groups of members two logs must keep them apart for ever: each message and receipt carries the size
and root that its signer verified, and here each is connected by a proof of consistency with ours. What cannot be
connected is an alarm: stored, logged, shown, never dropped. Not reaching the broker is none; the question stays open
and is asked again.

The promise: the checkpoint that is kept never becomes smaller, and never gives way to one that does not continue it.

Before this room: `tracking`, `sending`, `inbox`. After it: `outbox`, which keeps, and the line. Rules: SPEC.md
section 5.3; C2SP tlog-checkpoint.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Final

from valija.errors import AnswerInvalidError, RefusedError, UnavailableError, ValijaError
from valija.line import Line
from valija.log_store import Reference
from valija.outbox import Outbox
from valija.refresh import Library
from valija_schemas import checkpoint as checkpoints
from valija_schemas import leaf as leaves
from valija_schemas import limits, merkle, tlog_proof
from valija_schemas.api import FeedEvent
from valija_schemas.checkpoint import Checkpoint, CheckpointError, Head, Policy
from valija_schemas.message import EMPTY_LOG

_log: Final = logging.getLogger("valija.log")

#: How long a tree that somebody else saw may be larger than what the broker shows us; after that it hides something.
behind_max_ms: Final = 60 * limits.SECOND_MS
merge_max_ms: Final = 60 * limits.SECOND_MS  #: An acceptance promises to be in the log by then.
earlier_max: Final = 64  #: Checkpoints that dates are compared with.
connected_max: Final = 10_000  #: What others saw, remembered as connected; forgetting costs a question.
follow_every_s: Final = 300.0
_retry_first_s: Final = 1.0
_retry_max_s: Final = 60.0


class LogError(ValueError):
    """What the broker shows is not in its log, or not one log; the text says why. It has been made an alarm."""


class Log:
    """The view of one state folder. Safe to share between tasks."""

    def __init__(self, *, origin: str, library: Library, line: Line, outbox: Outbox, clock: Callable[[], int]) -> None:
        self._origin = origin
        self._library = library
        self._line = line
        self._outbox = outbox
        self._clock = clock
        self._meeting = asyncio.Lock()
        self._earlier: deque[Checkpoint] = deque(maxlen=earlier_max)  # that larger ones took the place of
        self._connected: set[tuple[int, str]] = set()  # with ours, so that a busy mailbox asks once for each
        self._open_questions = asyncio.Event()
        self._open_questions.set()  # what an earlier run left

    @property
    def reference(self) -> tuple[int, str]:
        """What messages and receipts carry as `log`: size and root of the largest checkpoint that was verified."""
        held = self._held()
        return held.reference if held is not None else EMPTY_LOG

    @property
    def size(self) -> int:
        """How many leaves the largest checkpoint has that was verified; 0 where there is none."""
        return self.reference[0]

    async def meet(self, raw: bytes, floor: int) -> Checkpoint:
        """Verify a checkpoint, connect it with the one held, and keep the larger.

        `floor` is `size` as it was before the broker was asked: what it shows as its newest cannot be smaller.

        Raises:
            LogError: it is not the log's, or cannot be connected: an alarm has been raised.
            UnavailableError: the broker could not be asked for the proof.
        """
        try:
            found = await self._verify(raw)
        except CheckpointError as error:
            raise self.alarm(f"a checkpoint of the log is not believed: {error}", raw) from None
        if (found.log_time_s or 0) * 1000 > self._clock() + limits.sent_ahead_max_ms:
            raise self.alarm("a checkpoint of the log is dated in the future: compare the clocks", raw)
        if found.size < floor:
            text = f"the log went back: the broker shows {found.size} leaves, and showed {floor} before"
            raise self.alarm(text + self._begun_anew(), raw)
        async with self._meeting:
            while True:
                held = self._held()
                if held is not None:
                    await self._connect(held, found.head, "the broker", raw)
                    if found.size <= held.size:
                        return found
                if held is not None and (earlier := self.held()) is not None:
                    self._earlier.append(earlier)
                # Another process of this state folder may have kept one meanwhile, which this one must continue too.
                if self._outbox.log.set_checkpoint(found.size, found.root, raw, None if held is None else held.size):
                    return found

    async def connect(self, size: int, root: bytes, found: Checkpoint) -> None:
        """Connect a tree that was read earlier with a verified checkpoint.

        Raises:
            LogError: they are not one log: an alarm has been raised.
            UnavailableError: the broker could not be asked for the proof.
        """
        await self._connect(Head(found.head.origin, size, root), found.head, "the broker", found.raw)

    async def follow(self) -> Checkpoint:
        """Ask for the newest checkpoint and meet it.

        Raises:
            LogError, UnavailableError, RefusedError: as `meet`, or there is none.
        """
        floor = self.size
        return await self.meet(await self._line.checkpoint(), floor)

    def prove(self, event: FeedEvent, found: Checkpoint) -> bytes:
        """The proof, as a file of its own, that an event is in the log under this verified checkpoint.

        Raises:
            LogError: it is not.
        """
        try:
            leaf = merkle.leaf_hash(leaves.of_event(event.salt, event.event))
            merkle.verify_inclusion(leaf, event.index, found.size, event.proof, found.root)
            return tlog_proof.write(event.index, event.proof, found.raw)
        except ValueError as error:
            raise LogError(f"it is not in the log: {error}") from None

    def held(self) -> Checkpoint | None:
        """The largest checkpoint that was verified; None where the newest root names other keys than signed it."""
        kept = self._outbox.log.checkpoint()
        try:
            return None if kept is None else self._check(kept[2])
        except CheckpointError:
            return None

    def dated_back(self, time_ms: int, index: int) -> str | None:
        """Why the broker cannot have stated at `time_ms` what stands at `index` of the log; None if it can."""
        for seen in self._earlier:
            # An honest one is in every tree that the log signs a minute after its time.
            if seen.size <= index and time_ms + merge_max_ms < (seen.log_time_s or 0) * 1000:
                at = f"the log had {seen.size} leaves more than 60 s after it, without it"
                return f"it is dated back, or came late: {at}"
        return None

    async def show(self, leaf: int | str, entry: bytes, found: Checkpoint) -> bytes:
        """The proof, as a file of its own, that `entry` is in the log under this verified checkpoint.

        `leaf` is its index, or the digest of the directory version that it is of.

        Raises:
            LogError: it is not.
            RefusedError: the broker says that there is no such leaf under it.
            UnavailableError, AnswerInvalidError: the broker cannot be asked.
        """
        answer = await self._line.inclusion(leaf, found.size)
        try:
            merkle.verify_inclusion(merkle.leaf_hash(entry), answer.index, found.size, answer.proof, found.root)
            return tlog_proof.write(answer.index, answer.proof, found.raw)
        except ValueError as error:
            raise LogError(f"it is not in the log: {error}") from None

    def heard(self, reference: tuple[int, str], who: str, about: str) -> None:
        """Somebody signed, in the message or a receipt for the message `about`, that this is the log that they saw."""
        if reference != EMPTY_LOG and reference not in self._connected:
            self._outbox.log.add_reference(Reference(*reference, who, about, self._clock()))
            self._open_questions.set()

    async def settle(self) -> None:
        """Connect everything that was heard with what is held.

        Raises:
            UnavailableError, RefusedError: the broker cannot be asked; what is left stays open.
        """
        for heard in self._outbox.log.references():
            held = self._held()
            if held is None or heard.size > held.size:
                try:
                    await self.follow()
                except LogError:
                    return  # the alarm is raised; ours did not grow
                held = self._held()
            if held is None or heard.size > held.size:
                if self._clock() - heard.time >= behind_max_ms:
                    self.alarm(f"{heard.who} saw a log of {heard.size} leaves, which the broker hides", b"", heard)
                    self._outbox.log.drop_reference(heard)
                continue
            try:
                head = Head(held.origin, heard.size, bytes.fromhex(heard.root))
                await self._connect(held, head, heard.who, b"", heard)
                if len(self._connected) >= connected_max:
                    self._connected.clear()
                self._connected.add((heard.size, heard.root))
            except LogError:
                pass
            self._outbox.log.drop_reference(heard)

    async def keep_settling(self) -> None:
        """Settle whenever something was heard, for ever, more slowly while the broker is away."""
        pause = _retry_first_s
        while True:
            await self._open_questions.wait()
            self._open_questions.clear()
            try:
                await self.settle()
            except ValijaError as error:
                _log.info("the log cannot be asked now: %s", error)
            if self._outbox.log.references():
                self._open_questions.set()
                await asyncio.sleep(pause)
                pause = min(_retry_max_s, pause * 2)
            else:
                pause = _retry_first_s

    async def keep_following(self) -> None:
        """Meet the newest checkpoint at start and now and then, so that a program that never tracks has a view too."""
        while True:
            try:
                await self.follow()
            except LogError:
                pass  # an alarm has been raised
            except ValijaError as error:
                _log.info("the log cannot be followed now: %s", error)
            await asyncio.sleep(follow_every_s)

    async def _verify(self, raw: bytes) -> Checkpoint:
        if self._library.empty:
            await self._library.refresh()
        try:
            return self._check(raw)
        except CheckpointError:
            await self._library.refresh(force=True)  # a newer root may name other keys of the log
            return self._check(raw)

    def _check(self, raw: bytes) -> Checkpoint:
        found = checkpoints.verify_checkpoint(raw, Policy.of_root(self._origin, self._library.roots.newest))
        if not found.post_quantum:
            raise CheckpointError("the log did not sign it with its ML-DSA-44 key")
        return found

    def _begun_anew(self) -> str:
        """Words where the officers named other keys for the log since: it may have been lost, and begun again."""
        if self._outbox.log.checkpoint() is None or self.held() is not None:
            return ""
        return (
            f". Root version {self._library.roots.newest.version} names other keys for the log than signed ours. Ask a"
            " registry officer whether it was lost and begun anew; if it was, keep this state folder for its proofs and"
            " go on with an empty one (clients/README.md, section 5)"
        )

    def _held(self) -> Head | None:
        found = self._outbox.log.checkpoint()
        return None if found is None else Head(checkpoints.origin_of(self._origin), found[0], found[1])

    async def _connect(self, held: Head, other: Head, who: str, raw: bytes, heard: Reference | None = None) -> None:
        old, new = sorted((held, other), key=lambda head: head.size)
        proof: tuple[bytes, ...] = ()
        try:
            if 0 < old.size < new.size:
                proof = await self._line.consistency(old.size, new.size)
            merkle.verify_consistency(old.size, old.root, new.size, new.root, proof)
        except UnavailableError:
            raise
        except (merkle.MerkleError, RefusedError, AnswerInvalidError) as error:
            text = (
                f"two logs: {who} shows one of {other.size} leaves, root {other.root.hex()[:16]}, which cannot be"
                f" connected with ours of {held.size}, root {held.root.hex()[:16]}: {error}{self._begun_anew()}"
            )
            raise self.alarm(text, raw, heard) from None

    def alarm(
        self, text: str, raw: bytes = b"", heard: Reference | None = None, *, about: str | None = None
    ) -> LogError:
        """Store and log an alarm, `about` the message with this digest; the error to raise for it."""
        about = heard.about if heard is not None else about
        _log.error("ALARM %s: %s", about or "(no message)", text)
        self._outbox.alarms.add(about, self._clock(), text, raw or None)
        return LogError(text)
