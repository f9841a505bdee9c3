"""The client without `await`, for scripts: the same names, the same arguments, the same promises.

    with Client.from_env() as valija:
        for message in valija.inbox():
            with message:
                ...

The asynchronous client runs in a thread of its own, so leases are kept while your code works, however long. Every
method here hands its work to that thread and waits; a test keeps both clients' names and arguments the same.

Before this room: your script. After it: `client`.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from valija import client, received
from valija import config as configs
from valija.basis import Advice
from valija.cases.entries import Case
from valija.cases.exchange import Exchange
from valija.cases.handling import Consent, Purpose
from valija.cases.index import limit_default
from valija.cases.place import Apart
from valija.clock import now_ms
from valija.doctor import Finding
from valija.errors import UsageError
from valija.inbox_store import Transaction
from valija.keys import Keys
from valija.line import Line
from valija.monitor import Look
from valija.order import Order
from valija.outbox import Sent
from valija.timeline import Happening, Timeline
from valija.tracking import Until
from valija.whom import Recipients
from valija_schemas import documents, limits
from valija_schemas.directory import Phonebook
from valija_schemas.documents.bilateral import BilateralDocument
from valija_schemas.documents.blocks.case import Authority
from valija_schemas.message import Priority

T = TypeVar("T")


class _Runner:
    """An event loop in a thread, and a way to wait for what it does."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="valija", daemon=True)
        self._thread.start()

    def __call__(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` in the loop and return what it returns; an interruption from the keyboard cancels it."""
        if threading.current_thread() is self._thread:
            work.close()
            raise UsageError("the blocking client was called from inside itself")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            with contextlib.suppress(BaseException):
                future.result(timeout=5)
            raise

    def stop(self) -> None:
        """End the loop and its thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Message(received.Envelope):
    """A message for us. Enter it to handle it."""

    def __init__(self, inner: received.Message, run: _Runner) -> None:
        super().__init__(inner.opened)
        self._inner = inner
        self._run = run

    @property
    def attempt(self) -> int:
        """Set on entering: 1, or more if a handler was interrupted before."""
        return self._inner.attempt

    @property
    def apart(self) -> Apart | None:
        """Why it does not belong into the thread that it names; see `valija.received.Message.apart`."""

        async def work() -> Apart | None:
            return self._inner.apart

        return self._run(work())

    def __enter__(self) -> Self:
        self._run(self._inner.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self._inner.__aexit__(kind, error, trace))

    def reject(self, reason: str) -> None:
        """Refuse this message, with evidence: when the block is left, a signed ConsignmentRejection says `reason`."""
        self._run(self._inner.reject(reason))

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Write to the inbox's SQLite file, in tables of your own; committed when the message is, or not at all."""
        context = self._inner.transaction()
        transaction = self._run(context.__aenter__())
        try:
            yield transaction
        except BaseException as error:
            self._run(context.__aexit__(type(error), error, error.__traceback__))
            raise
        self._run(context.__aexit__(None, None, None))

    def reply(self, document: documents.Document | BilateralDocument | Mapping[str, Any], **options: Any) -> Sent:
        """Send `document` to the sender, in the same thread; `options` are those of `Client.send`."""
        return self._run(self._inner.reply(document, **options))


class Inbox:
    """Messages as they come, most urgent first. Iterate over it; enter each message."""

    def __init__(self, inner: received.Inbox, run: _Runner) -> None:
        self._inner = inner
        self._run = run

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Message:
        """The next message; see `valija.received.Inbox`."""
        found = self._run(_next(self._inner))
        if found is None:
            raise StopIteration
        return Message(found, self._run)

    def __repr__(self) -> str:
        return repr(self._inner)


class Client:
    """One contact point's connection to its exchange. Use it with `with`, from one thread."""

    def __init__(
        self,
        config: configs.Config,
        *,
        keys: Keys | None = None,
        line: Line | None = None,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        """See `valija.client.Client`."""
        self._client: Final = client.Client(config, keys=keys, line=line, clock=clock)
        self.config: Final = config
        self._runner: _Runner | None = None

    @classmethod
    def from_env(cls, profile: str | None = None, **options: str | None) -> Self:
        """A client for the profile that is named here, or by the environment; `options` go over its settings."""
        return cls(configs.load(profile, options))

    def __repr__(self) -> str:
        return repr(self._client)

    def __enter__(self) -> Self:
        self._runner = _Runner()
        try:
            self._run(self._client.__aenter__())
        except BaseException:
            self._runner.stop()
            self._runner = None
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._run(self._client.__aexit__(kind, error, trace))
        finally:
            if self._runner is not None:
                self._runner.stop()
            self._runner = None

    def send(
        self,
        document: documents.Document | BilateralDocument | Mapping[str, Any],
        to: str | Sequence[str],
        *,
        type: str | None = None,  # noqa: A002 - the word that everybody uses
        key: str | None = None,
        priority: Priority = "routine",
        expires: timedelta = timedelta(milliseconds=limits.lifetime_default_ms),
        in_reply_to: received.Envelope | str | None = None,
        thread: str | None = None,
        exercise: bool = False,
        legal_basis_confirmed: bool = False,
    ) -> Sent:
        """Send a document, sealed for each of `to`; see `valija.client.Client.send`."""
        return self._run(
            self._client.send(
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
        )

    def order(
        self,
        document: documents.Document | BilateralDocument | Mapping[str, Any],
        to: str | Sequence[str],
        *,
        type: str | None = None,  # noqa: A002
        key: str | None = None,
        priority: Priority = "routine",
        expires: timedelta = timedelta(milliseconds=limits.lifetime_default_ms),
        in_reply_to: received.Envelope | str | None = None,
        thread: str | None = None,
        exercise: bool = False,
        legal_basis_confirmed: bool = False,
    ) -> Order:
        """What `send` with the same arguments would send; checked, and nothing sealed yet."""

        async def work() -> Order:
            return self._client.order(
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

        return self._run(work())

    def expand(self, to: str | Sequence[str], type: str) -> Recipients:  # noqa: A002
        """Groups as the ids of contact points; see `valija.client.Client.expand`."""
        return self._run(self._client.expand(to, type))

    def advise(self, order: Order) -> Advice:
        """What the directory says of the legal basis that `order` cites; see `valija.basis`."""
        return self._run(self._client.advise(order))

    def dry_run(self, order: Order) -> tuple[int, Phonebook]:
        """How long the message of `order` would be, and the directory that it would be sealed under; sends nothing."""
        return self._run(self._client.dry_run(order))

    def flush(self) -> list[Sent]:
        """Send again what waits in the outbox, and say what became of each."""
        return self._run(self._client.flush())

    def inbox(self, type: str | Collection[str] | None = None, *, follow: bool = False) -> Inbox:  # noqa: A002
        """Messages for us, to iterate over and to enter one by one; see `valija.client.Client.inbox`."""
        return Inbox(self._client.inbox(type, follow=follow), self._require())

    def wait(self, sent: Sent, until: Until = "acknowledged", timeout: float | None = None) -> Sent:
        """Return once `sent` is what `until` says; see `valija.client.Client.wait`."""
        return self._run(self._client.wait(sent, until, timeout))

    def track(self, id_or_digest: str) -> Timeline:
        """What is known of a message; see `valija.client.Client.track`."""
        return self._run(self._client.track(id_or_digest))

    def track_operators(self) -> tuple[bool, tuple[Happening, ...]]:
        """What operators did that concerns us as a whole, and whether the broker could be asked for what is new."""
        return self._run(self._client.track_operators())

    def prove(self, id_or_digest: str, *, disclose: bool = False) -> bytes:
        """The evidence of a message as one file; see `valija.client.Client.prove`."""
        return self._run(self._client.prove(id_or_digest, disclose=disclose))

    def monitor(self, *, shared: bool = False) -> Look:
        """Read what is new of the whole log, and find our own events in it; see `valija.client.Client.monitor`."""
        return self._run(self._client.monitor(shared=shared))

    def mark_seen(self) -> None:
        """A person has seen every alarm that was raised up to now; see `valija.client.Client.mark_seen`."""

        async def work() -> None:
            self._client.mark_seen()

        self._run(work())

    def examine(self, *, round_trip: bool = True) -> list[Finding]:
        """What `valija doctor` asks the broker, a line for each; see `valija.client.Client.examine`."""
        return self._run(self._client.examine(round_trip=round_trip))

    def round_trip(self, timeout: float = 30.0) -> Sent:
        """Send ourselves an exercise and wait until its receipt is proved; see `valija.client.Client.round_trip`."""
        return self._run(self._client.round_trip(timeout))

    def reply(
        self,
        answered: received.Envelope | str,
        document: documents.Document | BilateralDocument | Mapping[str, Any],
        *,
        to: str | Sequence[str] | None = None,
        type: str | None = None,  # noqa: A002
        key: str | None = None,
        priority: Priority = "routine",
        expires: timedelta = timedelta(milliseconds=limits.lifetime_default_ms),
        legal_basis_confirmed: bool = False,
    ) -> Sent:
        """Answer a message that was received, or follow up one that was sent; see `valija.client.Client.reply`."""
        return self._run(
            self._client.reply(
                answered,
                document,
                to=to,
                type=type,
                key=key,
                priority=priority,
                expires=expires,
                legal_basis_confirmed=legal_basis_confirmed,
            )
        )

    def cases(
        self, *, overdue: bool = False, every: bool = False, exercise: bool = False, limit: int = limit_default
    ) -> list[Case]:
        """Cases that are open, newest first; see `valija.client.Client.cases`."""
        return self._run(self._client.cases(overdue=overdue, every=every, exercise=exercise, limit=limit))

    def case(self, id_or_digest: str) -> Exchange:
        """A case, by its thread or by the digest of a message in it; see `valija.client.Client.case`."""
        return self._run(self._client.case(id_or_digest))

    def forward(
        self,
        message: received.Envelope | str,
        to: str | Sequence[str],
        *,
        why: str,
        authority: Authority | Mapping[str, Any] | None = None,
        key: str | None = None,
        priority: Priority = "routine",
        expires: timedelta = timedelta(milliseconds=limits.lifetime_default_ms),
    ) -> Sent:
        """Pass a received document on; see `valija.client.Client.forward`."""
        how: dict[str, Any] = {"why": why, "authority": authority, "key": key, "priority": priority, "expires": expires}
        return self._run(self._client.forward(message, to, **how))

    def forward_order(
        self,
        message: received.Envelope | str,
        to: str | Sequence[str],
        *,
        why: str,
        authority: Authority | Mapping[str, Any] | None = None,
        key: str | None = None,
        priority: Priority = "routine",
        expires: timedelta = timedelta(milliseconds=limits.lifetime_default_ms),
    ) -> Order:
        """What `forward` with the same arguments would send."""
        how: dict[str, Any] = {"why": why, "authority": authority, "key": key, "priority": priority, "expires": expires}
        return self._run(self._client.forward_order(message, to, **how))

    def record_consent(
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
        """Keep a consent that came in a letter, say; see `valija.client.Client.record_consent`."""
        how: dict[str, Any] = {"conditions": conditions, "valid_until": valid_until, "in_proceedings": in_proceedings}
        return self._run(self._client.record_consent(digest, proof, by=by, points=points, **how))

    def export_case(
        self, id_or_digest: str, folder: Path, purpose: Purpose, *, handling_confirmed: bool = False
    ) -> list[Path]:
        """Write the papers of a case into a new folder; see `valija.client.Client.export_case`."""
        work = self._client.export_case(id_or_digest, folder, purpose, handling_confirmed=handling_confirmed)
        return self._run(work)

    def directory(self) -> Phonebook:
        """The newest directory, fetched and verified."""
        return self._run(self._client.directory())

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            run = self._require()
        except UsageError:
            work.close()
            raise
        return run(work)

    def _require(self) -> _Runner:
        if self._runner is None:
            raise UsageError("this client is not open", hint="Use it inside `with`.")
        return self._runner


async def _next(inner: received.Inbox) -> received.Message | None:
    try:
        return await anext(inner)
    except StopAsyncIteration:
        return None
