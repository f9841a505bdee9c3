"""What an agency's program uses: send, receive, answer, wait, and see what happened.

    async with Client.from_env() as valija:
        sent = await valija.send(document, "co.enlace", key="PE-00431")
        await valija.wait(sent, until="acknowledged", timeout=3600)

`valija.sync.Client` is the same without `await`. Opening a client opens the keyring and the state folder, and starts
to send what an earlier run left; it needs no broker to open, so a program that only stores its mail works offline.

The promise: what a method returned is on the disk of this machine; running a program again repeats nothing that has a
`key`.

Before this room: your program, `cli`. After it: `parts`, `sending`, `received`, `tracking`. Rules: schemas/SPEC.md.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from valija import basis, round_trip, timeline, whom
from valija import config as configs
from valija.basis import Advice
from valija.cases.entries import Case
from valija.cases.exchange import Exchange
from valija.cases.handling import PURPOSES, Consent, Purpose
from valija.cases.index import limit_default
from valija.cases.threads import answers
from valija.cases.work import CaseWork
from valija.checkup import examine
from valija.clock import now_ms
from valija.connect import Endpoint
from valija.doctor import Finding
from valija.errors import UnavailableError, UnknownMessageError, UsageError
from valija.keys import Keys
from valija.line import Line
from valija.monitor import Look
from valija.order import Order, prepare
from valija.outbox import Sent
from valija.parts import Parts
from valija.prove import disclosed_key, gather
from valija.received import Envelope, Inbox, Message
from valija.timeline import Happening, Timeline
from valija.tracking import UNTIL, Until
from valija.transport import Transport
from valija.whom import Recipients
from valija_schemas import documents, limits
from valija_schemas.directory import Phonebook
from valija_schemas.documents.bilateral import BilateralDocument
from valija_schemas.documents.blocks.case import Authority
from valija_schemas.message import PRIORITIES, Priority, read

_log: Final = logging.getLogger("valija")

REPLY_KEYS: Final = "reply:"  #: Keys that begin like this are made by `Message.reply`.


class Client:
    """One contact point's connection to its exchange. Use it with `async with`, in one event loop."""

    def __init__(
        self,
        config: configs.Config,
        *,
        keys: Keys | None = None,
        line: Line | None = None,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        """`keys` stands in for the keyring that `config` names: a hardware token, for instance.

        `line` stands in for the connection to the broker: that of `valija.testing`, for instance.
        """
        Endpoint.of(config)  # what cannot be used is said before anything is opened
        self.config: Final = config
        self._given_keys = keys
        self._given_line = line
        self._clock = clock
        self._resources = contextlib.AsyncExitStack()
        self._parts: Parts | None = None

    @classmethod
    def from_env(cls, profile: str | None = None, **options: str | None) -> Self:
        """A client for the profile that is named here, or by the environment; `options` go over its settings.

        Raises:
            ConfigError: see the text.
        """
        return cls(configs.load(profile, options))

    def __repr__(self) -> str:
        return f"Client({self.config.exchange}/{self.config.contact_point})"

    async def __aenter__(self) -> Self:
        keys = self._given_keys
        if keys is None:  # a passphrase takes most of a second
            keys = await asyncio.to_thread(self.config.open_keys)
        async with contextlib.AsyncExitStack() as stack:
            parts = Parts(self.config, keys, self._given_line, self._clock)
            stack.callback(parts.close)
            if isinstance(parts.line, Transport):
                await stack.enter_async_context(parts.line)
            background = (parts.sending.keep_flushing(), parts.log.keep_settling(), parts.log.keep_following())
            tasks = [asyncio.create_task(work) for work in background]
            for task in tasks:
                task.add_done_callback(_report)
            stack.push_async_callback(_cancel, tasks)
            stack.push_async_callback(parts.mailbox.close)
            self._resources = stack.pop_all()
        self._parts = parts
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._parts = None
        await self._resources.aclose()

    # Sending

    async def send(
        self,
        document: documents.Document | BilateralDocument | Mapping[str, Any],
        to: str | Sequence[str],
        *,
        type: str | None = None,  # noqa: A002 - the word that everybody uses
        key: str | None = None,
        priority: Priority = "routine",
        expires: timedelta = timedelta(milliseconds=limits.lifetime_default_ms),
        in_reply_to: Envelope | str | None = None,
        thread: str | None = None,
        exercise: bool = False,
        legal_basis_confirmed: bool = False,
    ) -> Sent:
        """Send a document, sealed for each of `to`.

        `document` is one of `valija_schemas.documents`, or a mapping with its `type` beside it. With a `key`, a program
        that runs again sends nothing twice and gets the same answer; without one, it is a new message each time.
        `in_reply_to` is a message that was received or sent here, or its digest; `thread` continues an exchange
        otherwise. Both are only for its parties, and an exercise continues an exercise. If the broker cannot be
        reached, the message is stored, `state` is `pending`, and this or the next client on the same state folder
        sends it.
        `legal_basis_confirmed` says that a person stands by a legal basis which the directory puts in doubt (`advise`).

        Raises:
            DocumentInvalidError, RecipientError, TrustError, KeyConflictError: nothing was sealed or sent.
            LegalBasisError: a State is no party to a treaty that is cited, and nobody confirmed it; nothing was sent.
            HandlingError: it passes on what whoever is answered does not let pass; nothing was sealed or sent.
            RefusedError: the broker said no.
        """
        if key is not None and (not key or key.startswith(REPLY_KEYS)):
            raise UsageError(f"a key is not empty and does not begin with {REPLY_KEYS!r}")
        order = self.order(
            document,
            to,
            type=type,
            key=key,
            priority=priority,
            expires=expires,
            in_reply_to=in_reply_to,
            thread=thread,
            exercise=exercise,
            legal_basis_confirmed=legal_basis_confirmed,
        )
        await self._cases.permit(order)
        return await self._open.sending.send(order)

    def order(
        self,
        document: documents.Document | BilateralDocument | Mapping[str, Any],
        to: str | Sequence[str],
        *,
        type: str | None = None,  # noqa: A002
        key: str | None = None,
        priority: Priority = "routine",
        expires: timedelta = timedelta(milliseconds=limits.lifetime_default_ms),
        in_reply_to: Envelope | str | None = None,
        thread: str | None = None,
        exercise: bool = False,
        legal_basis_confirmed: bool = False,
    ) -> Order:
        """What `send` with the same arguments would send; checked, and nothing sealed yet.

        Raises:
            DocumentInvalidError, UsageError, UnknownMessageError: it cannot be sent.
        """
        lifetime = int(expires.total_seconds() * 1000)
        if not 0 < lifetime <= limits.lifetime_max_ms:
            raise UsageError("`expires` is more than nothing and at most 30 days")
        if priority not in PRIORITIES:
            raise UsageError(f"a priority is one of {', '.join(PRIORITIES)}")
        recipients = tuple(sorted({to} if isinstance(to, str) else set(to)))
        answered = in_reply_to.digest if isinstance(in_reply_to, Envelope) else in_reply_to
        threads = self._open.threads
        if answered is not None:
            thread = threads.answering(answered, recipients, thread, exercise=exercise).thread
        elif thread is not None:
            threads.continuing(thread, recipients, exercise=exercise)
        type_, json = prepare(document, type)
        return Order(
            type=type_,
            json=json,
            to=recipients,
            key=key,
            priority=priority,
            lifetime=lifetime,
            in_reply_to=answered,
            thread=thread,
            exercise=exercise,
            legal_basis_confirmed=legal_basis_confirmed,
        )

    async def expand(self, to: str | Sequence[str], type: str) -> Recipients:  # noqa: A002
        """Groups such as `state:PE+area:judicial` as the ids of contact points that `type` may be sent to now.

        See `valija.whom.expand` for what a group is. Look at `ids` before you send: a group grows with the directory.

        Raises:
            RecipientError: nobody is left of a group, or more than one message may have.
            UsageError, TrustError: there is no such group; the directory may not be used for sending.
        """
        phonebook = await self._open.library.current()
        asked = [to] if isinstance(to, str) else to
        return whom.expand(phonebook, self.config.contact_point, type, asked)

    async def advise(self, order: Order) -> Advice:
        """What the directory says of the legal basis that `order` cites; see `valija.basis`.

        Raises:
            TrustError: the directory may not be used for sending.
        """
        phonebook = await self._open.library.current()
        return basis.advise(order, self.config.contact_point, phonebook)

    async def dry_run(self, order: Order) -> tuple[int, Phonebook]:
        """How long the message of `order` would be, and the directory that it would be sealed under; sends nothing.

        Raises:
            RecipientError, TrustError, DocumentInvalidError, HandlingError: it would not be sent.
        """
        await self._cases.permit(order)
        phonebook = await self._open.library.current()
        size, _ = self._open.sending.dry_run(order, phonebook)
        return size, phonebook

    async def flush(self) -> list[Sent]:
        """Send again what waits in the outbox, and say what became of each.

        Raises:
            UnavailableError: the broker cannot be reached; what waits goes on waiting.
        """
        return await self._open.sending.flush()

    async def reply(
        self,
        answered: Envelope | str,
        document: documents.Document | BilateralDocument | Mapping[str, Any],
        *,
        to: str | Sequence[str] | None = None,
        type: str | None = None,  # noqa: A002
        key: str | None = None,
        priority: Priority = "routine",
        expires: timedelta = timedelta(milliseconds=limits.lifetime_default_ms),
        legal_basis_confirmed: bool = False,
    ) -> Sent:
        """Answer a message long after it was received, or follow up one that was sent, each named by its digest.

        It goes to whoever sent that, or to everybody to whom we did, in the same thread; an exercise stays one. What
        `to` names beside them counts as passing it on. Raises as `send`.
        """
        digest = answered.digest if isinstance(answered, Envelope) else answered
        threads = self._open.threads
        found = threads.header(digest)
        parties = list(found.to) if found.sender == self.config.contact_point else [found.sender]
        order = self.order(
            document,
            parties if to is None else to,
            type=type,
            key=key,
            priority=priority,
            expires=expires,
            in_reply_to=digest,
            exercise=found.exercise,
            legal_basis_confirmed=legal_basis_confirmed,
        )
        if not answers(order.type, found.type):
            _log.warning("%s does not usually answer %s", order.type, found.type)
        await self._cases.permit(order)
        return await self._open.sending.send(order)

    async def _sender_reply(
        self,
        message: Message,
        document: documents.Document | BilateralDocument | Mapping[str, Any],
        options: dict[str, Any],
    ) -> Sent:
        number, key = options.pop("number"), options.pop("key")
        to = options.pop("to", message.sender)
        options.setdefault("exercise", message.exercise)
        if key is not None:
            return await self.send(document, to, key=key, in_reply_to=message, **options)
        key = f"{REPLY_KEYS}{message.digest}:{number}"
        earlier = self._open.outbox.by_key(key)
        if earlier is not None:
            # A run before this one sent it and was interrupted before it left the message's block.
            _log.info("reply %s to %s was sent by an earlier run", earlier.id, message.id)
            if earlier.state == "pending":
                with contextlib.suppress(UnavailableError):
                    return await self._open.sending.submit(earlier.digest)
            if earlier.state != "refused":
                return earlier
        order = self.order(document, to, key=key, in_reply_to=message, **options)
        await self._cases.permit(order)
        return await self._open.sending.send(order)

    # Receiving

    def inbox(self, type: str | Collection[str] | None = None, *, follow: bool = False) -> Inbox:  # noqa: A002
        """Messages for us, to iterate over and to enter one by one; with `follow`, for ever.

        With a `type`, others are left for whoever asks for them. A message that nobody takes goes to the dead letters
        after the broker's number of attempts, so one program should take what no other does.
        """
        types = {type} if isinstance(type, str) else type
        parts = self._open
        return Inbox(parts.mailbox, types, follow=follow, reply=self._sender_reply, apart=parts.threads.apart)

    # Seeing

    async def wait(self, sent: Sent, until: Until = "acknowledged", timeout: float | None = None) -> Sent:
        """Return once `sent` is `accepted`, `handed-over` or `acknowledged` by every recipient, or `replied` to by one.

        A reply counts when an inbox on this state folder has received it.

        Raises:
            StillWaitingError: `timeout` seconds have passed.
            DeliveryFailedError: it will not happen any more.
        """
        if until not in UNTIL:
            raise UsageError(f"`until` is one of {', '.join(UNTIL)}")
        if sent.state == "pending":
            with contextlib.suppress(UnavailableError):  # the outbox goes on trying
                await self._open.sending.submit(sent.digest)
        return await self._open.tracking.wait(sent, until, timeout)

    async def track(self, id_or_digest: str) -> Timeline:
        """What is known of a message, sent or received: what happened, who says so, and what is proved.

        Raises:
            UnknownMessageError: it is not known in this state folder.
        """
        parts = self._open
        sent, received = parts.outbox.find(id_or_digest), parts.inbox.find(id_or_digest)
        if sent is None and received is None:
            raise UnknownMessageError(f"no message {id_or_digest!r} was sent or received here")
        complete = await parts.tracking.refresh()
        if sent is not None:
            sent = parts.outbox.find(sent.id) or sent
            return timeline.of_sent(sent, self.config.contact_point, parts.outbox, complete=complete)
        assert received is not None  # noqa: S101 - one of the two was found
        return timeline.of_received(received, self.config.contact_point, parts.outbox, complete=complete)

    async def track_operators(self) -> tuple[bool, tuple[Happening, ...]]:
        """What operators did that concerns no message, but us as a whole: holds, legal holds and their ends.

        First whether the broker could be asked for what is new.
        """
        parts = self._open
        complete = await parts.tracking.refresh()
        return complete, timeline.of_operators(self.config.contact_point, parts.outbox)

    async def prove(self, id_or_digest: str, *, disclose: bool = False) -> bytes:
        """The evidence of a message, sent or received, as one file; `valija verify` judges it without a network.

        With `disclose` it holds the key of this one message's content, so that its reader can open it.

        Raises:
            UnknownMessageError: it is not known in this state folder.
            KeyMissingError: the content cannot be opened here: the seal key that opens it is not in the keyring.
            StateError: the key that the outbox keeps is not that of this message.
        """
        parts = self._open
        sent, received = parts.outbox.find(id_or_digest), parts.inbox.find(id_or_digest)
        if sent is None and received is None:
            raise UnknownMessageError(f"no message {id_or_digest!r} was sent or received here")
        await parts.tracking.refresh()
        if sent is not None:
            sent = parts.outbox.get(sent.digest)
            raw, acceptance = parts.outbox.raw(sent.digest), sent.acceptance
        else:
            assert received is not None  # noqa: S101 - one of the two was found
            raw, acceptance = received.raw, None if received.fault else received.acceptance
        message = read(raw, self.config.exchange)
        kept = parts.outbox.file_key(message.digest) if sent is not None else None
        key = disclosed_key(message, parts.keys, kept) if disclose else None
        events = parts.outbox.feed.of(message.digest)
        return await gather(message, acceptance, events, library=parts.library, log=parts.log, key=key)

    async def monitor(self, *, shared: bool = False) -> Look:
        """Read what is new of the whole log, make its tree again, find our own events in it, and tell every alarm.

        What happens in our name and not by this state folder is an alarm; with `shared`, other machines of ours do it.

        Raises:
            UnavailableError: the broker cannot be asked.
            TrustError: the directory that it shows is not believed.
        """
        await self._open.library.refresh(force=True)
        await self._open.tracking.refresh()
        return await self._open.monitor.look(shared=shared)

    def mark_seen(self) -> None:
        """A person has seen every alarm that was raised up to now: `monitor` tells new ones only, and what it finds."""
        self._open.outbox.alarms.mark_seen()

    async def directory(self) -> Phonebook:
        """The newest directory, fetched and verified.

        Raises:
            UnavailableError: the broker cannot be asked.
            TrustError: what it shows is not believed.
        """
        await self._open.library.refresh(force=True)
        return self._open.library.phonebook

    async def examine(self, *, round_trip: bool = True) -> list[Finding]:
        """What `valija doctor` asks the broker: the directory, our keys and routes in it, the log; a line for each.

        With `round_trip` it sends an exercise to ourselves, fetches it and waits for its receipt in the log.
        """
        parts = self._open
        return await examine(
            keys=parts.keys,
            library=parts.library,
            log=parts.log,
            sending=parts.sending,
            mailbox=parts.mailbox,
            holding=parts.holding,
            tracking=parts.tracking,
            clock=self._clock,
            round_trip=round_trip,
        )

    async def round_trip(self, timeout: float = 30.0) -> Sent:
        """Send ourselves an exercise, fetch it, acknowledge it, and return once the log has proved its receipt.

        For a canary: a contact point with a mailbox of its own, in which nothing else lies.

        Raises:
            StillWaitingError: that took longer than `timeout` seconds.
            RecipientError: the directory does not let us write to ourselves.
            InboxBusyError: another program reads this inbox.
            UnavailableError, RefusedError, TrustError, DeliveryFailedError: see the text.
        """
        parts = self._open
        return await round_trip.go_as(
            self.config.contact_point,
            await parts.library.current(),
            sending=parts.sending,
            mailbox=parts.mailbox,
            tracking=parts.tracking,
            seconds=timeout,
        )

    # Cases

    async def cases(
        self, *, overdue: bool = False, every: bool = False, exercise: bool = False, limit: int = limit_default
    ) -> list[Case]:
        """Cases that are open, newest first, from this state folder; with `every` also those that are over.

        With `overdue` those whose answer is overdue, the most overdue first. `exercise` shows exercises in their place.
        """
        return await self._cases.cases(limit=limit, overdue=overdue, every=every, exercise=exercise)

    async def case(self, id_or_digest: str) -> Exchange:
        """A case, by its thread or by the digest of a message in it: what was said, and what is known by now.

        Raises:
            UnknownMessageError: there is none in this state folder.
        """
        return await self._cases.on_desk(lambda desk: desk.exchange(id_or_digest))

    async def forward(
        self,
        message: Envelope | str,
        to: str | Sequence[str],
        *,
        why: str,
        authority: Authority | Mapping[str, Any] | None = None,
        key: str | None = None,
        priority: Priority = "routine",
        expires: timedelta = timedelta(milliseconds=limits.lifetime_default_ms),
    ) -> Sent:
        """Pass a received document on, as spontaneous information with the original attached; `why` it may assist.

        It keeps its sender's handling. `authority` is our office; without it, that of the newest document that we sent.

        Raises:
            HandlingError: its sender forbids it, and no consent for these recipients is on record.
            StateError: the message was changed since it was received.
            DocumentInvalidError, RecipientError, TrustError, RefusedError: as `send`.
        """
        order = await self.forward_order(
            message, to, why=why, authority=authority, key=key, priority=priority, expires=expires
        )
        return await self._open.sending.send(order)

    async def forward_order(
        self,
        message: Envelope | str,
        to: str | Sequence[str],
        *,
        why: str,
        authority: Authority | Mapping[str, Any] | None = None,
        key: str | None = None,
        priority: Priority = "routine",
        expires: timedelta = timedelta(milliseconds=limits.lifetime_default_ms),
    ) -> Order:
        """What `forward` with the same arguments would send; raises as it does."""
        digest = message.digest if isinstance(message, Envelope) else message
        recipients = [to] if isinstance(to, str) else list(to)
        document, exercise = await self._cases.carrier(digest, recipients, why, authority)
        return self.order(document, to, key=key, priority=priority, expires=expires, exercise=exercise)

    async def record_consent(
        self,
        digest: str,
        proof: Path,
        *,
        by: str,
        points: Sequence[str] = (),
        in_proceedings: bool = False,
        conditions: str | None = None,
        valid_until: str | None = None,
    ) -> Consent:
        """Keep a consent for the message `digest` that came in a letter, say; `proof` is the file that shows it.

        It is kept sealed, and shown as recorded by hand. `points` are those whom the message may be passed on to.

        Raises:
            UnknownMessageError: that message is not here.
            ConfigError: the file cannot be read, or is too long.
        """
        return await self._cases.record(
            digest,
            proof,
            by=by,
            points=tuple(points),
            in_proceedings=in_proceedings,
            conditions=conditions,
            valid_until=valid_until,
        )

    async def export_case(
        self, id_or_digest: str, folder: Path, purpose: Purpose, *, handling_confirmed: bool = False
    ) -> list[Path]:
        """Write the papers of a case into a new folder, in plain: documents, messages, acceptances, evidence, an index.

        Raises:
            UnknownMessageError: there is no such case.
            HandlingError: a sender forbids this purpose and no consent is on record, or the limits of an H3 are not
                confirmed; nothing was written.
            StateError: the folder is there already, or cannot be written.
        """
        if purpose not in PURPOSES:
            raise UsageError(f"`purpose` is one of {', '.join(PURPOSES)}")
        return await self._cases.export(id_or_digest, folder, purpose, self.prove, confirmed=handling_confirmed)

    @property
    def _cases(self) -> CaseWork:
        return CaseWork(self.config, self._open, self._clock)

    @property
    def _open(self) -> Parts:
        if self._parts is None:
            raise UsageError("this client is not open", hint="Use it inside `with` or `async with`.")
        return self._parts


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        _log.error("work in the background stopped: %r", task.exception())
