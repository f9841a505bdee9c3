"""What an open client does with its cases: it asks the index in a thread, and sends what the desk made.

Before this room: `client`. After it: `desk`, `export`, `parts`.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from valija import durable
from valija.age import SealRecipient
from valija.cases.authentic import authentic
from valija.cases.consents import Consents, proof_bytes_max
from valija.cases.desk import Desk
from valija.cases.entries import Case
from valija.cases.exchange import Turn
from valija.cases.export import export
from valija.cases.handling import Consent, Purpose
from valija.cases.index import CaseIndex
from valija.clock import day_of
from valija.config import Config
from valija.errors import DocumentInvalidError, NotInstalledError, RecipientError
from valija.keys import own_recipient
from valija.order import Order
from valija.paper.catalog import wanted
from valija.paper.language import words
from valija.parts import Parts
from valija_schemas import documents
from valija_schemas.directory import ContactPoint
from valija_schemas.documents.blocks.case import Authority

T = TypeVar("T")


class CaseWork:
    """The cases of one open client."""

    def __init__(self, config: Config, parts: Parts, clock: Callable[[], int]) -> None:
        self._config: Final = config
        self._parts: Final = parts
        self._clock: Final = clock

    async def cases(self, *, limit: int, **which: bool) -> list[Case]:
        """See `valija.client.Client.cases`."""
        return await self._indexed(lambda index: index.cases(self._clock(), limit=limit, **which))

    async def on_desk(self, work: Callable[[Desk], T]) -> T:
        """Do `work` where cases are worked on."""

        def run(index: CaseIndex) -> T:
            with contextlib.closing(Consents(self._config.state_folder, self._parts.keys)) as consents:
                return work(Desk(index, consents, self._parts.keys, self._clock(), self._parts.library.version))

        return await self._indexed(run)

    async def permit(self, order: Order) -> None:
        """Refuse a reply that passes a message on to somebody, where its sender forbids that.

        Raises:
            HandlingError: see the text.
        """
        answered = order.in_reply_to
        if answered is None:
            return
        others = self._parts.threads.answering(answered, order.to, None, exercise=order.exercise).others
        if others:
            points = await self._points(others)
            await self.on_desk(lambda desk: desk.permit(answered, points))

    async def carrier(
        self, digest: str, to: Sequence[str], why: str, authority: Authority | Mapping[str, Any] | None
    ) -> tuple[documents.Document, bool]:
        """The document that passes a message on, and whether that is an exercise; see `Desk.carrier`."""
        try:
            ours = msgspec.convert(authority, Authority) if isinstance(authority, Mapping) else authority
        except msgspec.ValidationError as error:
            raise DocumentInvalidError(f"`authority` is none: {error}") from None
        points = await self._points(to)
        found = await self.on_desk(lambda desk: desk.carrier(digest, points, why, ours))
        self._verify(digest)
        return found

    async def record(self, digest: str, proof: Path, **how: Any) -> Consent:
        """See `valija.client.Client.record_consent`."""
        found = Consent(message=digest, at=self._clock(), reply=None, proof=proof.name, **how)
        data = await asyncio.to_thread(durable.read, proof, proof_bytes_max)
        await self.on_desk(lambda desk: desk.record(found, data))
        return found

    async def export(
        self,
        id_or_digest: str,
        folder: Path,
        purpose: Purpose,
        prove: Callable[[str], Awaitable[bytes]],
        *,
        confirmed: bool,
    ) -> list[Path]:
        """See `valija.client.Client.export_case`."""
        found = await self.on_desk(lambda desk: desk.exportable(id_or_digest, purpose, confirmed=confirmed))
        acceptances = {turn.entry.digest: self._acceptance(turn) for turn in found.turns}
        evidence = {turn.entry.digest: await prove(turn.entry.digest) for turn in found.turns}
        reader = words(wanted(self._config.language or None))
        day = day_of(self._clock())
        return await asyncio.to_thread(export, found, folder, purpose, day, acceptances, evidence, reader)

    def _verify(self, digest: str) -> None:
        """See that a message is its sender's still: nothing that was changed on our disk is passed on in our name."""
        authentic(self._parts.inbox.get(digest).raw, digest, self._config.exchange, self._parts.library.version)

    def _acceptance(self, turn: Turn) -> bytes | None:
        if turn.entry.source == "sent":
            return self._parts.outbox.get(turn.entry.digest).acceptance
        return self._parts.inbox.get(turn.entry.digest).acceptance

    async def _points(self, to: Sequence[str]) -> list[ContactPoint]:
        book = await self._parts.library.current()
        found = {id_: book.point(id_) for id_ in to}
        missing = [id_ for id_, point in found.items() if point is None]
        if missing:
            raise RecipientError(f"{', '.join(missing)} is not in directory version {book.version}")
        return [point for point in found.values() if point is not None]

    async def _indexed(self, work: Callable[[CaseIndex], T]) -> T:
        """Do `work` on the case index in a thread: the first time it opens every message that there is."""
        parts, config = self._parts, self._config
        book = None if parts.library.empty else parts.library.phonebook

        def own() -> SealRecipient:
            if book is None:
                raise NotInstalledError("no directory is held that names our seal key")
            return own_recipient(parts.keys, book)

        def run() -> T:
            with contextlib.closing(CaseIndex(config.state_folder, config.exchange, parts.keys, own)) as index:
                return work(index)

        return await asyncio.to_thread(run)
