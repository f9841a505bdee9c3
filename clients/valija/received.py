"""A received message as a program handles it, and the iterator that hands messages over.

    async for message in client.inbox():
        async with message:
            ...

Leaving the block cleanly says that the message was delivered and signs the receipt; an exception gives it back, and it
comes again later. What the block writes through `message.transaction()` is committed with the mark, so exactly once.

Before this room: `client`. After it: `inbox`. Rules: schemas/SPEC.md section 2.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from types import TracebackType
from typing import Any, Final, Self

from valija import inbox
from valija.cases.place import Apart
from valija.errors import UnavailableError, UsageError
from valija.inbox_store import Handling, Transaction
from valija.outbox import Sent
from valija.receive import Opened
from valija_schemas.documents import Document
from valija_schemas.documents.bilateral import BilateralDocument
from valija_schemas.message import Priority

_log: Final = logging.getLogger("valija.inbox")

FindApart = Callable[[str, str], Apart | None]  #: By digest and thread.
Reply = Callable[["Message", Document | BilateralDocument | Mapping[str, Any], dict[str, Any]], Awaitable[Sent]]


class Envelope:
    """What a received message says: its sender is verified, its document opened and valid.

    `repr` shows nothing of the content.
    """

    def __init__(self, opened: Opened) -> None:
        header = opened.message.header
        self.opened: Final = opened  #: What `receive` found, for those who prove things.
        self.digest: Final = opened.message.digest  #: What identifies it; replies name it.
        self.id: Final = header.id
        self.sender: Final = header.sender
        self.to: Final = tuple(header.to)
        self.type: Final = header.type
        self.thread: Final = header.thread
        self.in_reply_to: Final = header.in_reply_to
        self.sent: Final = header.sent  #: Milliseconds since 1970, by the sender's clock.
        self.expires: Final = header.expires
        self.priority: Final[Priority] = header.priority
        self.exercise: Final = header.exercise
        self.document: Final[Any] = (
            opened.document
        )  #: Of `valija_schemas.documents`; a `BilateralDocument` of `x-` types.
        self.json: Final = opened.json  #: The document as it was sealed.
        self.raw: Final = opened.message.raw  #: As transmitted: what proves who sent it.
        self.acceptance: Final = opened.acceptance_note  #: The broker's SubmissionAcceptance note, which proves when.
        self.acceptance_fault: Final = opened.acceptance_fault  #: Why that proves nothing, or None.

    def __repr__(self) -> str:
        return f"Message(id={self.id!r}, type={self.type!r}, sender={self.sender!r})"


class Message(Envelope):
    """A message for us. Enter it to handle it."""

    def __init__(self, mailbox: inbox.Mailbox, held: inbox.Held, reply: Reply, apart: FindApart) -> None:
        super().__init__(held.opened)
        self.attempt = 0  #: Set on entering: 1, or more if a handler was interrupted before.
        self._mailbox = mailbox
        self._held = held
        self._reply = reply
        self._find_apart = apart
        self._replies = 0
        self._reason: str | None = None
        self._resources = contextlib.AsyncExitStack()
        self._handling: Handling | None = None
        self._state = "new"

    @property
    def apart(self) -> Apart | None:
        """Why it does not belong into the thread that it names: `unknown`, `not-a-party`, `other-thread`, `exercise`.

        None where it does. What it says is its sender's all the same; it only does not continue what it claims to.
        """
        return self._find_apart(self.digest, self.thread)

    async def __aenter__(self) -> Self:
        if self._state != "new":
            raise UsageError(f"message {self.id} was entered before")
        self.attempt = await self._mailbox.begin(self._held)
        self._state = "open"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._state = "over"
        if error is not None:
            await self._resources.aclose()  # rolls back
            # A person who stops the program is no fault of the message: it may come again at once.
            self._mailbox.fail(self._held, self.attempt, at_once=not isinstance(error, Exception))
            return
        try:
            await self._mailbox.settle(self._held, self._handling, self._reason)
        except BaseException:
            self._mailbox.fail(self._held, self.attempt)
            raise
        finally:
            await self._resources.aclose()
        # A crash here: the mark is on the disk, the receipt is not signed; the next start or delivery signs it.
        await self._mailbox.finish(self._held)

    async def reject(self, reason: str) -> None:
        """Refuse this message, with evidence: when the block is left, a signed ConsignmentRejection says `reason`."""
        self._require_open()
        if not reason or len(reason) > 500 or not reason.isprintable():
            raise UsageError("a reason is one line of 1 to 500 characters")
        self._reason = reason

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Write to the inbox's SQLite file, in tables of your own; committed when the message is, or not at all."""
        self._require_open()
        if self._handling is None:
            self._handling = await self._resources.enter_async_context(self._mailbox.handling(self._held))
        with self._handling.block() as transaction:
            yield transaction

    async def reply(self, document: Document | BilateralDocument | Mapping[str, Any], **options: Any) -> Sent:
        """Send `document` to the sender, in the same thread; `options` are those of `Client.send`.

        Without a `key` the reply gets one of this message's own, so that a handler that was interrupted and runs again
        sends nothing twice: the reply that it sent first counts, also where the new one would read otherwise.
        """
        self._require_open()
        self._replies += 1
        options.setdefault("key", None)
        options["number"] = self._replies
        return await self._reply(self, document, options)

    def _require_open(self) -> None:
        if self._state != "open":
            raise UsageError("this is for inside the block of the message", hint="Write `with message:` around it.")


class Inbox:
    """Messages as they come, most urgent first. Iterate over it; enter each message."""

    def __init__(
        self,
        mailbox: inbox.Mailbox,
        types: Collection[str] | None,
        *,
        follow: bool,
        reply: Reply,
        apart: FindApart,
    ) -> None:
        self._mailbox = mailbox
        self._types = types
        self._follow = follow
        self._reply = reply
        self._find_apart = apart

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        """The next message.

        Raises:
            InboxBusyError: another process reads this inbox.
            UnavailableError: the broker cannot be asked; with `follow`, it is asked again for ever instead.
        """
        await self._mailbox.open()
        pause = 1.0
        while True:
            held = self._mailbox.pick(self._types)
            if held is not None:
                if self._mailbox.begun(held) >= inbox.begun_max:
                    self._mailbox.put_aside(held)
                    continue
                return Message(self._mailbox, held, self._reply, self._find_apart)
            try:
                found = await self._mailbox.fetch(inbox.wait_ms if self._follow else 0)
                pause = 1.0
            except UnavailableError as error:
                if not self._follow:
                    raise
                _log.warning("the mailbox cannot be read now: %s", error)
                await asyncio.sleep(pause)
                pause = min(inbox.retry_max_s, pause * 2)
                continue
            if not found and not self._follow:
                raise StopAsyncIteration

    def __repr__(self) -> str:
        return f"Inbox(types={self._types!r}, follow={self._follow})"
