"""From a document to an acceptance: validated, sealed and signed once, stored, then submitted until there is an answer.

The order is fixed: the newest directory, the document's own rules, the recipients, the seal, the outbox, the network.
Nothing is sent that is not stored, and what is sent again is the same bytes, so that the broker knows it again. Only
when the broker says that it cannot take these bytes any more, and shows no acceptance of them, is a document sealed
again under a new id.

The promise: one `send` is at most one message, and one key is one message over any number of runs.

Before this room: `client`, `order`. After it: `seal`, `together`, `outbox`, `transport`. Rules: SPEC.md sections 1, 2.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable
from typing import Final

from valija import age, basis
from valija.bilateral import Schemas
from valija.errors import (
    DocumentInvalidError,
    EvidenceInvalidError,
    RecipientError,
    RefusedError,
    StateError,
    UnavailableError,
    UnknownMessageError,
    UsageError,
    ValijaError,
)
from valija.holding import Holding
from valija.keys import Keys, own_recipient, seal_recipient, signer
from valija.line import Line
from valija.log import Log
from valija.order import Order, check_recipients, check_schema
from valija.outbox import Draft, Outbox, Sent
from valija.prove import sent_here
from valija.receive import check_acceptance
from valija.refresh import Library
from valija.seal import SealTooLargeError, write
from valija.together import Together
from valija_schemas import message, problem, wire
from valija_schemas.directory import ContactPoint, Phonebook

_log: Final = logging.getLogger("valija.sending")

resubmit_first_s: Final = 1.0
resubmit_max_s: Final = 60.0
_seals_max: Final = 3  #: In one attempt to submit: a directory may change once or twice meanwhile, not more.


class Sending:
    """Sends in the name of one contact point. Safe to share between tasks."""

    def __init__(
        self,
        *,
        origin: str,
        keys: Keys,
        library: Library,
        line: Line,
        outbox: Outbox,
        log: Log,
        holding: Holding,
        schemas: Schemas,
        clock: Callable[[], int],
    ) -> None:
        self._origin = origin
        self._keys = keys
        self._library = library
        self._line = line
        self._outbox = outbox
        self._log = log
        self._holding = holding
        self._schemas = schemas
        self._clock = clock
        self._put: Final = Together(outbox.put_all)
        self._accept: Final = Together(outbox.accept_all)
        self._submitting: dict[str, asyncio.Lock] = {}
        self._left = asyncio.Event()  # something is pending that nobody is submitting

    async def send(self, order: Order) -> Sent:
        """Seal, store and submit. A message that the broker could not take now is `pending` and sent later by itself.

        Raises:
            KeyConflictError: the key names another message.
            RecipientError, TrustError, KeyMissingError, LegalBasisError: nothing was sealed.
            RefusedError: the broker said no; the same key may be sent again.
            EvidenceInvalidError: the broker's acceptance proves nothing; the message stays pending.
        """
        earlier = self._outbox.by_key(order.key, order.fingerprint) if order.key is not None else None
        if earlier is None:
            phonebook = await self._library.current()
            if not order.legal_basis_confirmed:
                for line in basis.require(order, self._keys.id, phonebook).lines():
                    _log.warning("%s", line)
            earlier = await self._put(self._seal(order, phonebook))
        if earlier.state == "accepted":
            return earlier
        try:
            return await self.submit(earlier.digest, again=earlier.state == "refused")
        except UnavailableError as error:
            _log.warning("message %s is stored and will be sent later: %s. %s", earlier.id, error, error.hint)
            self._left.set()
            return self._outbox.get(earlier.digest)

    def dry_run(self, order: Order, phonebook: Phonebook) -> tuple[int, list[ContactPoint]]:
        """What `send` would send: the size of the message and its recipients. Nothing is stored or sent."""
        points = check_recipients(order, self._keys.id, phonebook)
        return len(self._seal(order, phonebook).raw), points

    async def submit(self, digest: str, *, again: bool = False) -> Sent:
        """Submit a stored message, for the first time or again, and keep the answer.

        `again` is for one that was refused before: if the same bytes are refused once more, it is sealed again.

        Raises:
            UnavailableError: nothing can be said; the row stays pending.
            RefusedError, EvidenceInvalidError: as `send`.
        """
        async with self._submitting.setdefault(digest, asyncio.Lock()):
            try:
                return await self._submit(digest, again=again)
            finally:
                self._submitting.pop(digest, None)

    async def _submit(self, digest: str, *, again: bool) -> Sent:
        for attempt in range(1, _seals_max + 1):
            sent = self._outbox.find(digest)
            if sent is None:
                raise UnknownMessageError(f"the outbox holds no message {digest}")
            digest = sent.digest  # another process of this state folder may have sealed it again
            if sent.state == "accepted":
                return sent
            try:
                return await self._keep(digest, await self._submit_once(digest))
            except RefusedError as error:
                code, kind = error.problem.code, error.problem.kind
                reseal = (kind is not None and kind.reseal) or (again and attempt == 1)
                if reseal or code == problem.Code.EXPIRED:
                    # An earlier attempt whose answer was lost may have been accepted: the evidence says.
                    acceptance = await self._acceptance_of(digest)
                    if acceptance is not None:
                        return await self._keep(digest, acceptance)
                if reseal and attempt < _seals_max:
                    try:
                        digest = await self._seal_again(digest)
                    except (RecipientError, DocumentInvalidError, StateError):
                        self._outbox.refuse(digest, problem.encode(error.problem))
                        raise
                    continue
                if code == problem.Code.CONFLICT:
                    self._outbox.alarms.add(
                        digest, self._clock(), f"the broker holds another message with this id: {error}"
                    )
                self._outbox.refuse(digest, problem.encode(error.problem))
                raise
        raise AssertionError  # pragma: no cover - the loop returns or raises

    async def _submit_once(self, digest: str) -> bytes:
        raw = self._outbox.raw(digest)
        return await self._holding.through(lambda: self._line.submit(raw))

    async def _keep(self, digest: str, acceptance: bytes) -> Sent:
        sent = message.read(self._outbox.raw(digest), self._origin)
        event, fault = check_acceptance(acceptance, sent, self._origin, self._library.roots)
        if event is None:
            await self._library.refresh(force=True)  # the evidence key may have been changed by a newer root
            event, fault = check_acceptance(acceptance, sent, self._origin, self._library.roots)
        if event is None:
            self._outbox.alarms.add(digest, self._clock(), str(fault), acceptance)
            raise EvidenceInvalidError(f"the broker's acceptance of {sent.header.id} proves nothing: {fault}")
        return await self._accept((digest, acceptance))

    async def _acceptance_of(self, digest: str) -> bytes | None:
        for found in (await self._line.evidence(digest)).events:
            if b'{"event":"SubmissionAcceptance"' in found.event and b"\n\n" in found.event:
                return found.event
        return None

    async def _seal_again(self, digest: str) -> str:
        await self._library.refresh(force=True)
        phonebook = await self._library.current()
        sent = self._outbox.get(digest)
        raw, kept = self._outbox.raw(digest), self._outbox.file_key(digest)
        header, document = sent_here(raw, digest, kept, origin=self._origin, keys=self._keys, library=self._library)
        order = Order(
            type=header.type,
            json=document,
            to=tuple(header.to),
            key=sent.key,
            priority=header.priority,
            lifetime=header.expires - header.sent,
            in_reply_to=header.in_reply_to,
            thread=None if header.thread == header.id else header.thread,
            exercise=header.exercise,
            legal_basis_confirmed=True,  # when it was sent first
        )
        _log.info("message %s is sealed again: the broker cannot take the old bytes", sent.id)
        return self._outbox.seal_again(digest, self._seal(order, phonebook)).digest

    def _seal(self, order: Order, phonebook: Phonebook) -> Draft:
        points = check_recipients(order, self._keys.id, phonebook)
        check_schema(order, self._keys.id, phonebook, self._schemas)
        now, id_ = self._clock(), uuid7(self._clock())
        header = message.Header(
            id=id_,
            sender=self._keys.id,
            to={point.id: point.seal_key.key_id for point in points if point.seal_key},
            type=order.type,
            thread=order.thread or id_,
            in_reply_to=order.in_reply_to,
            sent=now,
            expires=now + order.lifetime,
            priority=order.priority,
            exercise=order.exercise,
            directory=phonebook.reference,
            log=self._log.reference,
            body=None,
            body_length=0,
            attachments=(),
        )
        try:
            recipients = [seal_recipient(point.seal_key.public) for point in points if point.seal_key]
            key, signs = age.FileKey.generate(), signer(self._keys, phonebook, "sign")
            raw = write(header, order.json, recipients, self._origin, signs, key=key)
        except age.KeyFormatError as error:
            raise RecipientError(f"a seal key in the directory cannot be used: {error}") from None
        except SealTooLargeError as error:
            raise DocumentInvalidError(str(error), hint="Attach fewer or smaller files.") from None
        except message.MessageError as error:
            raise DocumentInvalidError(str(error), hint="Send it to fewer recipients at once.") from None
        except wire.WireError as error:
            raise UsageError(f"this cannot stand in a header: {error}") from None
        try:
            digest = message.read(raw, self._origin).digest
        except message.MessageError as error:
            raise UsageError(f"`thread` is a message's id, `in_reply_to` a digest: {error}") from None
        own = own_recipient(self._keys, phonebook)
        return Draft(
            key=order.key,
            fingerprint=order.fingerprint,
            id=id_,
            digest=digest,
            type=order.type,
            to=order.to,
            thread=header.thread,
            in_reply_to=order.in_reply_to,
            sent=now,
            expires=header.expires,
            priority=order.priority,
            exercise=order.exercise,
            raw=raw,
            # For sealing again, and for disclosing this one message later: nothing in plain lies in the state folder.
            file_key=age.encrypt(key.to_bytes(), [own]),
            file_key_id=own.key_id,
        )

    async def flush(self) -> list[Sent]:
        """Submit everything that is pending, oldest first, and say what became of each. Used at start and later alike.

        Raises:
            UnavailableError: the broker cannot be asked now; what is left stays pending.
        """
        done = []
        for digest in self._outbox.pending():
            try:
                done.append(await self.submit(digest))
            except UnavailableError:
                raise
            except ValijaError as error:
                _log.warning("message %s was not accepted: %s", digest[:16], error)
                found = self._outbox.find(digest)
                done += [found] if found else []
        return done

    async def keep_flushing(self) -> None:
        """Flush at start and whenever something was left, for ever, ever more slowly while the broker is away."""
        pause = resubmit_first_s
        while True:
            self._left.clear()
            try:
                await self.flush()
                pause = resubmit_first_s
                await self._left.wait()
            except ValijaError as error:
                _log.info("the outbox waits %.0f s: %s", pause, error)
            await asyncio.sleep(pause)
            pause = min(resubmit_max_s, pause * 2)


def uuid7(now_ms: int) -> str:
    """A UUID of version 7 (RFC 9562 section 5.7): in the order of time, and unguessable."""
    value = (now_ms & (1 << 48) - 1) << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    digits = f"{value:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
