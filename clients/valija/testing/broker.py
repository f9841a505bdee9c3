"""What the broker in memory does with messages: accept, lend, take receipts, let expire, tell the parties.

Before this room: `line`. After it: `tree`. Rules: schemas/SPEC.md sections 2, 3.3 and 5.1.
"""

import asyncio
import secrets
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from valija.client import Client
from valija.clock import now_ms
from valija.config import Config
from valija.errors import RefusedError
from valija.registry.sample import SampleExchange
from valija.testing.tree import MemoryLog
from valija_schemas import api, evidence, leaf, limits, message, problem
from valija_schemas import note as notes

if TYPE_CHECKING:
    from valija.testing.line import MemoryLine

lease_ms_default: Final = 60 * limits.SECOND_MS
attempts_max_default: Final = 10


def config_for(exchange: SampleExchange, id_: str, folder: Path, broker: str = "http://127.0.0.1:9") -> Config:
    """A profile for a contact point of a sample exchange, with its state in `folder`. Its keys are in the exchange."""
    return Config(
        exchange=exchange.origin,
        contact_point=id_,
        broker=broker,
        root=exchange.root_digest,
        keyring="",
        state=str(folder / id_),
    )


class _Entry:
    """A message in one mailbox, until it is settled."""

    def __init__(self, digest: str) -> None:
        self.digest: Final = digest
        self.attempt = 0
        self.token: str | None = None  #: Of the last delivery, also once its lease has lapsed.
        self.instance = ""
        self.deadline = 0  #: Of the lease.
        self.ready_at = 0
        self.handed = False  #: Whether its ContentHandover was told.


class MemoryBroker(MemoryLog):
    """The broker of a sample exchange. `line(id)` is a contact point's connection to it."""

    def __init__(
        self,
        exchange: SampleExchange,
        *,
        clock: Callable[[], int] = now_ms,
        lease_ms: int = lease_ms_default,
        attempts_max: int = attempts_max_default,
    ) -> None:
        super().__init__(exchange, clock)
        self.lease_ms = lease_ms
        self.attempts_max = attempts_max
        self.superseded_ms = limits.superseded_directory_max_ms  #: How long a message may name an older directory.
        self.accepted: Final[dict[str, tuple[message.Message, bytes]]] = {}  #: By digest: message and acceptance.
        self.dead: Final[list[tuple[str, str]]] = []  #: Recipient and digest.
        self.receipts: Final[list[evidence.Receipt]] = []
        self.mailboxes: Final[dict[str, list[_Entry]]] = defaultdict(list)
        self.holds: Final[dict[str, bytes]] = {}  #: Contact points that are refused as held, and the note shown for it.
        self.feeds: Final[dict[str, list[api.FeedEvent]]] = defaultdict(list)
        self._buried: Final[dict[str, list[_Entry]]] = defaultdict(list)
        self._tokens: Final[dict[str, tuple[str, _Entry]]] = {}  # every one that was given, and to whom
        self._first: Final[dict[tuple[str, str], str]] = {}
        self._rejected: Final[dict[tuple[str, str], bytes]] = {}
        self._rang = asyncio.Event()

    def line(self, id_: str) -> "MemoryLine":
        """The connection of a contact point; each call is as if it were signed by its `auth` key."""
        from valija.testing.line import MemoryLine  # noqa: PLC0415 - it stands on this room

        return MemoryLine(self, id_)

    def client(self, id_: str, folder: Path, line: "MemoryLine | None" = None) -> Client:
        """A client of a contact point, with its state in `folder`."""
        config = config_for(self.exchange, id_, folder)
        return Client(config, keys=self.exchange.keyrings[id_], line=line or self.line(id_), clock=self.clock)

    def refusal(self, code: str, detail: str) -> RefusedError:
        """What a refusal of this broker is to a client."""
        return RefusedError(problem.of(code, time_ms=self.clock(), detail=detail))

    def is_active(self, id_: str) -> bool:
        """Whether a contact point may send and be lent mail."""
        point = self.exchange.phonebook.point(id_)
        return point is not None and point.status == "active"

    # In

    def accept(self, raw: bytes) -> bytes:
        """Accept a message, or raise the refusal."""
        phonebook, now = self.exchange.phonebook, self.clock()
        try:
            found = self._read(raw)
            header = found.header
            message.check_signature(found.note, header, phonebook)
            message.check_live(header, now)
            first = self._first.get((header.sender, header.id))
            if first == found.digest and self.is_active(header.sender):
                return self.accepted[first][1]
            message.check_times(header, now)
        except message.MessageError as error:
            raise self.refusal(error.code, str(error)) from None
        try:
            self._check(found, now)
        except message.MessageError as error:
            raise self._rejection(error, found, now) from None
        if first is not None:
            _, acceptance = self.accepted[first]
            accepted = problem.FirstAcceptance(digest=first, time=self._time_of(acceptance))
            text = f"{header.id} was accepted before, as another message"
            refused = problem.of("conflict", time_ms=now, detail=text, evidence=acceptance, accepted=accepted)
            raise RefusedError(refused)
        acceptance = self.put(found)
        self._first[header.sender, header.id] = found.digest
        return acceptance

    def _read(self, raw: bytes) -> message.Message:
        """A message whose body may be missing: that is looked at last, as by a broker that reads the note first."""
        if len(raw) > limits.message_bytes_max:
            raise message.MessageError("too-large", f"{len(raw)} bytes")
        try:
            note, body = notes.split(raw)
        except notes.NoteError as error:
            raise message.MessageError("malformed", str(error)) from None
        return message.Message(message.read_note(note, self.exchange.origin), note, body)

    def put(self, found: message.Message) -> bytes:
        """Queue a message without looking at it, as a broker that is taken over could. Its acceptance."""
        acceptance = notes.sign(
            self._event_text("SubmissionAcceptance", found, tuple(found.header.to)),
            [self.exchange.broker_keys.evidence_signer],
        )
        self.accepted[found.digest] = (found, acceptance)
        self._tell([found.header.sender], acceptance)
        for id_ in found.header.to:
            self.mailboxes[id_].append(_Entry(found.digest))
        self._ring()
        return acceptance

    def _check(self, found: message.Message, now: int) -> None:
        """What a broker looks at once the sender is known to have signed this."""
        header, phonebook = found.header, self.exchange.phonebook
        if not self.is_active(header.sender):
            raise message.MessageError("suspended", f"{header.sender} is suspended")
        number = header.directory[0]
        if number > phonebook.version:
            raise message.MessageError("unknown-directory", f"directory version {number} is not known here")
        if not self._accepts_reference(header.directory, now):
            raise message.MessageError("stale-directory", f"directory version {number} is not in force")
        if header.type not in phonebook.types:
            raise message.MessageError("unknown-type", f"no route carries {header.type}")
        message.check_recipients(header, phonebook, now)
        message.check_body(header, found.body)

    def _accepts_reference(self, reference: tuple[int, str], now: int) -> bool:
        """Whether it is the newest version, or one superseded lately."""
        books = self.exchange.phonebooks
        at = next((place for place, book in enumerate(books) if book.reference == reference), None)
        if at is None or at == len(books) - 1:
            return at is not None
        return now < books[at + 1].directory.issued + self.superseded_ms

    def _rejection(self, error: message.MessageError, found: message.Message, now: int) -> RefusedError:
        """The refusal, with its signed SubmissionRejection where the code has one; told to the sender once."""
        if not problem.KINDS[problem.Code(error.code)].rejection:
            return self.refusal(error.code, str(error))
        known = self._rejected.get((found.digest, error.code))
        if known is None:
            text = self._event_text("SubmissionRejection", found, tuple(found.header.to), error.code)
            known = notes.sign(text, [self.exchange.broker_keys.evidence_signer])
            self._rejected[found.digest, error.code] = known
            self._tell([found.header.sender], known)
        return RefusedError(problem.of(error.code, time_ms=now, detail=str(error), evidence=known))

    # Out

    def lapse(self, id_: str) -> None:
        """Let every lease of a mailbox lapse now."""
        for entry in self.mailboxes[id_]:
            entry.deadline = entry.ready_at = 0

    def lend(self, id_: str, request: api.LeaseRequest) -> list[api.Lent]:
        """Lend what there is: what this instance holds and does not know of, then the most urgent, then the oldest."""
        self.expire()
        now = self.clock()

        def urgency(entry: _Entry) -> int:
            return message.PRIORITIES.index(self.accepted[entry.digest][0].header.priority)

        waiting = sorted(self.mailboxes[id_], key=urgency)
        lent: list[api.Lent] = []
        for entry in waiting:
            own = entry.token is not None and entry.deadline > now and entry.instance == request.instance
            if own and entry.token not in request.have and len(lent) < request.limit:
                lent.append(self._hand(entry, request.instance, now))
        for entry in waiting:
            if len(lent) >= request.limit:
                break
            if max(entry.deadline, entry.ready_at) > now:
                continue
            if entry.attempt >= self.attempts_max:
                self._bury(id_, entry, "attempts")
                continue
            entry.attempt += 1
            entry.token = secrets.token_hex(8)
            self._tokens[entry.token] = (id_, entry)
            if not entry.handed:
                entry.handed = True
                self._tell_both(id_, entry.digest, self._event(entry.digest, "ContentHandover", id_, None))
            lent.append(self._hand(entry, request.instance, now))
        return lent

    def _hand(self, entry: _Entry, instance: str, now: int) -> api.Lent:
        entry.instance, entry.deadline = instance, now + self.lease_ms
        found, acceptance = self.accepted[entry.digest]
        return api.Lent(
            token=entry.token or "",
            attempt=entry.attempt,
            deadline=entry.deadline,
            lease_ms=self.lease_ms,
            acceptance=acceptance,
            message=found.raw,
        )

    def take(self, id_: str, ack: api.Acknowledgement) -> api.LeaseResult:
        """Take a receipt; what became of its token."""
        try:
            note, receipt = evidence.parse_receipt(ack.receipt, self.exchange.origin)
            point = self.exchange.phonebook.point(id_)
            name = f"{self.exchange.origin}/{id_}"
            keys = [key for key in point.sign if message.key_holds(key, receipt.time)] if point else []
            notes.verify_one(note, [notes.Verifier(name, bytes.fromhex(key.key)) for key in keys])
            if receipt.recipient != id_ or receipt.time > self.clock() + limits.sent_ahead_max_ms:
                return _result(ack.token, "refused")
        except ValueError:
            return _result(ack.token, "refused")
        entry, why = self._lent(id_, ack.token)
        if entry is None:
            return _result(ack.token, why)
        found, _ = self.accepted[entry.digest]
        if evidence.subject_of_receipt(receipt) != evidence.subject_of(found.header, found.note):
            return _result(ack.token, "refused")
        self.receipts.append(receipt)
        self._settle(id_, entry)
        self._tell_both(id_, entry.digest, ack.receipt)
        return _result(ack.token, "done")

    def extend(self, id_: str, token: str) -> api.LeaseResult:
        """Let a lease last longer, also one that lapsed and nobody took."""
        entry, why = self._lent(id_, token)
        if entry is None or entry in self._buried[id_]:
            return _result(token, why or "stale")
        entry.deadline = self.clock() + self.lease_ms
        return _result(token, "done", entry.deadline)

    def release(self, id_: str, release: api.Release) -> api.LeaseResult:
        """Take a lease back."""
        entry, why = self._lent(id_, release.token)
        if entry is None or entry in self._buried[id_]:
            return _result(release.token, why or "stale")
        entry.token, entry.deadline, entry.ready_at = None, 0, self.clock() + release.delay_ms
        if release.dead:
            self._bury(id_, entry, "unverified")
        self._ring()
        return _result(release.token, "done")

    def expire(self) -> None:
        """End what passed its `expires`: nobody is handed it any more."""
        now = self.clock()
        for id_ in list(self.mailboxes):
            for entry in [*self.mailboxes[id_], *self._buried[id_]]:
                if self.accepted[entry.digest][0].header.expires <= now:
                    self._settle(id_, entry)
                    point = self.exchange.phonebook.point(id_)
                    reason = point.status if point and point.status != "active" else "expired"
                    event = self._event(entry.digest, "ContentHandoverFailure", id_, reason)
                    self._tell_both(id_, entry.digest, event)

    async def rung(self, wait_ms: int) -> None:
        """Return when something happened, or after `wait_ms`."""
        try:
            async with asyncio.timeout(wait_ms / 1000):
                await self._rang.wait()
        except TimeoutError:
            return

    def _settle(self, id_: str, entry: _Entry) -> None:
        for entries in (self.mailboxes[id_], self._buried[id_]):
            if entry in entries:
                entries.remove(entry)

    def _bury(self, id_: str, entry: _Entry, reason: str) -> None:
        self.mailboxes[id_].remove(entry)
        self._buried[id_].append(entry)
        self.dead.append((id_, entry.digest))
        self._tell_both(id_, entry.digest, self._event(entry.digest, "DeadLettered", id_, reason))

    def _lent(self, id_: str, token: str) -> tuple[_Entry | None, str]:
        """What a token still stands for; else nothing, and why: `gone` or `stale`."""
        owner, entry = self._tokens.get(token, (None, None))
        if entry is None or owner != id_ or entry not in [*self.mailboxes[id_], *self._buried[id_]]:
            return None, "gone"
        return (entry, "") if entry.token == token else (None, "stale")

    # Events

    def _time_of(self, acceptance: bytes) -> int:
        verifiers = self.exchange.roots.evidence_verifiers()
        return evidence.verify_evidence(acceptance, self.exchange.origin, verifiers).time

    def _event(self, digest: str, event: evidence.BrokerEventName, to: str, reason: str | None) -> bytes:
        return self._event_text(event, self.accepted[digest][0], (to,), reason)

    def _event_text(
        self, event: evidence.BrokerEventName, found: message.Message, to: tuple[str, ...], reason: str | None = None
    ) -> bytes:
        return evidence.event_text(
            self.exchange.origin,
            event,
            evidence.subject_of(found.header, found.note),
            to=to,
            time=self.clock(),
            directory=self.exchange.phonebook.reference,
            reason=reason,
        )

    def _tell_both(self, id_: str, digest: str, event: bytes) -> None:
        self._tell(sorted({id_, self.accepted[digest][0].header.sender}), event)

    def _tell(self, parties: Sequence[str], event: bytes) -> None:
        salt = secrets.token_bytes(leaf.SALT_BYTES)
        index = self.add(leaf.of_event(salt, event))
        for id_ in parties:
            number = len(self.feeds[id_]) + 1
            self.feeds[id_].append(api.FeedEvent(number=number, event=event, salt=salt, index=index, proof=()))
        self._ring()

    def _ring(self) -> None:
        rang, self._rang = self._rang, asyncio.Event()
        rang.set()


def _result(token: str, result: str, deadline: int | None = None) -> api.LeaseResult:
    return api.LeaseResult(token=token, result=result, deadline=deadline)  # type: ignore[arg-type]  # one of the four
