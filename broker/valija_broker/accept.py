"""Accepting a message: everything that a broker can check without opening it, then one durable, atomic step.

The promise: a 202 leaves only when the message is on the disk, queued for every recipient, and its acceptance is in
the outbox; the same message again gets the same bytes. A refusal says which rule, and is evidence only where nobody
but the sender can have caused it.

The walk: routes -> here -> evidence.signed_event -> queue.accept. Rules: schemas/SPEC.md section 3.3.
"""

import math
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec
import structlog

from valija_broker import metrics
from valija_broker.directory import Known, now_ms
from valija_broker.errors import Refused, StoreFull
from valija_broker.evidence import headline_of, signed_event
from valija_broker.log.view import EvidenceReader
from valija_broker.mail import Accepted, Conflict, QuotaExceeded, RateExceeded, Record, Repeat, Submission
from valija_broker.queue import Mailboxes
from valija_broker.seen import Seen
from valija_broker.shelves import Directory
from valija_schemas import evidence as events
from valija_schemas import limits, message, problem, wire
from valija_schemas import note as notes

_log: Final = structlog.get_logger("accept")

ReadBody = Callable[[message.Header], Awaitable[bytes]]
"""Reads the body that a verified header names; nothing of it is read before."""

rejections_per_minute_max: Final = 60  #: Of each sender, that become events: a broken script must not fill the log.


class Desk:
    """Takes messages in. Safe to share between tasks."""

    def __init__(
        self,
        known: Known,
        mailboxes: Mailboxes,
        reader: EvidenceReader,
        signers: Mapping[str, notes.Signer],
        current: str,
        seen: Seen,
    ) -> None:
        self._known = known
        self._mailboxes = mailboxes
        self._reader = reader
        self._signers = signers  # evidence key id -> signer: older ones are kept, to repeat what they said
        self._current = current
        self._seen = seen
        self._rejected: dict[str, tuple[int, int]] = {}  # sender -> (minute, how many)

    async def accept(self, note: notes.Note, read_body: ReadBody, *, arrived: bool, sender: str | None = None) -> bytes:
        """Take a message in, and return the SubmissionAcceptance note: signed now, or, for a repeat, as at first.

        `arrived` says that the body need not be waited for. `sender` is who must have written it, where the request
        itself was signed by somebody.

        Raises:
            Refused: a rule is broken; `evidence` holds the SubmissionRejection where there is one.
            StoreUnavailable: nothing can be said about the outcome; the sender repeats the same bytes.
            StoreFull: there is no room; nothing was stored.
        """
        known, phonebook, now = self._known, self._known.phonebook, now_ms()
        try:
            header = message.read_note(note, known.origin)
            if sender is not None and header.sender != sender:
                raise message.MessageError("unverified", f"{sender} submits a message from {header.sender}")
            if header.body_length > limits.body_bytes_max:
                raise message.MessageError("too-large", f"a body of {header.body_length} bytes")
            message.check_signature(note, header, phonebook)
            message.check_live(header, now)
        except message.MessageError as error:
            metrics.rejected.labels(error.code).inc()
            raise Refused(error.code, str(error)) from None
        # From here on the sender did sign this, and it is live. Whether it is a repeat is for the last step to decide.
        # Asking for it costs as much as any other check, so it is asked beforehand only where that spares the wait for
        # a body, and before a refusal.
        subject = events.subject_of(header, note)
        if not arrived and (first := await self._repeated(note, header)):
            return self._again(header, subject, first)
        try:
            message.check_times(header, now)
            self._check_sender(header)
            self._check_header(header, now)
            body = await read_body(header)
            # Half a minute may have gone by: what was true of the sender and the recipients is asked again.
            now = now_ms()
            self._check_sender(header)
            if known.phonebook is not phonebook:
                phonebook = known.phonebook
                message.check_signature(note, header, phonebook)
                self._check_header(header, now)
            message.check_times(header, now)
            message.check_body(header, body)
        except (message.MessageError, Refused) as error:
            if arrived and (first := await self._repeated(note, header)):
                return self._again(header, subject, first)
            if isinstance(error, Refused):
                raise
            raise await self._refuse(error, header, subject, now) from None
        accepted = self._acceptance(header, subject, now, phonebook.reference, self._current)
        submission = Submission(
            sender=header.sender,
            id=header.id,
            digest=note.digest,
            note_digest=note.raw_digest,
            directory=Directory(*phonebook.reference),
            evidence_key_id=self._current,
            note=note.raw,
            body=body,
            subject=wire.encode(subject),
            accepted=accepted,
            headline=headline_of(header, len(note.raw) + len(body)),
            priority=message.PRIORITIES.index(header.priority),
            expires=header.expires,
            to=tuple(header.to),
            salt=os.urandom(32),
            time=now,
        )
        try:
            outcome = await self._mailboxes.accept(submission)
        except StoreFull:
            if arrived and (first := await self._repeated(note, header)):
                return self._again(header, subject, first)
            raise
        match outcome:
            case Accepted():
                metrics.payload_in.inc(len(note.raw) + len(body))
                self._seen.note(header.sender, now)
                if header.exercise:
                    metrics.exercises.inc()
                else:
                    metrics.accepted.labels(header.type, header.priority).inc()
                return accepted
            case Repeat(first=first):
                return self._again(header, subject, first)
            case Conflict(first=first):
                metrics.rejected.labels("conflict").inc()
                _log.warning("conflict", sender=header.sender, id=header.id, first=first.digest, now=note.digest)
                raise Refused(
                    "conflict",
                    f"{header.id} of {header.sender} was accepted before, as another message",
                    accepted_first=(first.digest, first.time),
                    evidence=await self._reader.acceptance(header.sender, first.digest),
                )
            case QuotaExceeded(recipients=full):
                metrics.rejected.labels("quota").inc()
                where = f"for {', '.join(full)}" if full else f"of {header.sender}"
                raise Refused("quota", f"too much waits {where}")
            case RateExceeded(wait_ms=wait_ms):
                metrics.rejected.labels("rate").inc()
                seconds = math.ceil(wait_ms / limits.SECOND_MS)
                raise Refused("rate", f"{header.sender} may send more in {seconds} s", retry_after_s=seconds)

    async def _repeated(self, note: notes.Note, header: message.Header) -> Record | None:
        """What was accepted before, if it is this very message.

        It was accepted whatever has changed since, so nothing but its sender's standing is looked at: a sender whose
        key may be stolen gets no answers. Nobody's body is awaited for it: whoever holds a copy of the message, its
        recipients that is, could begin it often and slowly, and use up its sender's share (`room`).
        """
        if not self._known.is_active(header.sender):
            return None
        first = await self._mailboxes.first(header.sender, header.id)
        return first if first and first.digest == note.digest else None

    def _check_sender(self, header: message.Header) -> None:
        why = self._known.why_not_active(header.sender)
        if why is not None:
            raise message.MessageError(*why)

    def _check_header(self, header: message.Header, now: int) -> None:
        phonebook = self._known.phonebook
        self._known.require_current(now)
        if header.attachments:
            raise message.MessageError("attachments-not-accepted", "attachments are not accepted")
        if header.directory[0] > phonebook.version:
            raise message.MessageError(
                "unknown-directory", f"directory version {header.directory[0]} is not known here"
            )
        if not self._known.accepts_reference(header.directory, now):
            raise message.MessageError("stale-directory", f"directory version {header.directory[0]} is not in force")
        if header.type not in phonebook.types:
            raise message.MessageError("unknown-type", f"no route carries {header.type}")
        message.check_recipients(header, phonebook, now)

    def _acceptance(
        self, header: message.Header, subject: events.Subject, time: int, directory: tuple[int, str], key_id: str
    ) -> bytes:
        return signed_event(
            self._known.origin,
            "SubmissionAcceptance",
            subject,
            to=header.to,
            time=time,
            directory=directory,
            signer=self._signers[key_id],
        )

    def _again(self, header: message.Header, subject: events.Subject, first: Record) -> bytes:
        """The first answer, byte for byte: Ed25519 is deterministic, and the record holds what the header does not."""
        metrics.repeated.inc()
        # The same digest may come with another signature line only from a signer that is not deterministic; the first
        # answer speaks of the note that was stored.
        subject = msgspec.structs.replace(subject, note=first.note_digest)
        return self._acceptance(
            header, subject, first.time, (first.directory.version, first.directory.digest), first.evidence_key_id
        )

    async def _refuse(
        self, error: message.MessageError, header: message.Header, subject: events.Subject, now: int
    ) -> Refused:
        """The refusal, with evidence where its reason is one of SubmissionRejection."""
        metrics.rejected.labels(error.code).inc()
        _log.info("refused", sender=header.sender, id=header.id, code=error.code, error=str(error))
        if error.code not in problem.REJECTIONS:
            return Refused(error.code, str(error))
        reference = self._known.phonebook.reference
        note = signed_event(
            self._known.origin,
            "SubmissionRejection",
            subject,
            to=header.to,
            time=now,
            directory=reference,
            reason=error.code,
            signer=self._signers[self._current],
        )
        if self._may_record(header.sender, now):
            await self._mailboxes.record_rejection(
                sender=header.sender,
                subject=wire.encode(subject),
                time=now,
                directory=Directory(*reference),
                reason=error.code,
                salt=os.urandom(32),
                evidence_key_id=self._current,
                note=note,
            )
        return Refused(error.code, str(error), evidence=note)

    def _may_record(self, sender: str, now: int) -> bool:
        minute = now // (60 * limits.SECOND_MS)
        known_minute, count = self._rejected.get(sender, (minute, 0))
        count = count + 1 if known_minute == minute else 1
        self._rejected[sender] = (minute, count)
        return count <= rejections_per_minute_max
