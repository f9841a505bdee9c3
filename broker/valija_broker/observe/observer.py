"""The `Observer` over a broker that runs: its store, its evidence database, its published log and its directory.

Files and SQLite are read in threads. Before this room: `console`, `cli`. After it: the other modules of this package.
"""

import asyncio
import contextlib
import importlib.metadata
import math
import sqlite3
import time
from collections.abc import AsyncIterator, Iterable
from typing import Final

import msgspec

from valija_broker.config import Settings
from valija_broker.dead_letters import DeadLetters
from valija_broker.directory import Known, now_ms
from valija_broker.embedded import running_endpoint
from valija_broker.errors import StoreError
from valija_broker.log.view import LogView
from valija_broker.observe import (
    attention,
    dead,
    health,
    history,
    log_state,
    looks,
    mailboxes,
    pages,
    report,
    shares,
    versions,
)
from valija_broker.observe.looks import Look
from valija_broker.process import endpoint
from valija_broker.queue import Mailboxes
from valija_broker.shelves import DirectoryShelf
from valija_broker.store import Store
from valija_schemas import admin
from valija_schemas.checkpoint import Policy
from valija_schemas.directory import ContactPoint
from valija_schemas.wire import Digest, Identifier

#: A look at all mailboxes is shown for so many times as long as it took, to whoever asks: however many contact points
#: there are, and people who look, the store gives them a twentieth of its time at most.
boxes_kept: Final = 20
boxes_kept_s_max: Final = 5.0  #: As old as the figures of `upkeep` for Prometheus.


@contextlib.asynccontextmanager
async def watching(settings: Settings, *, away: bool = False) -> AsyncIterator["Live"]:
    """An observer of the broker that runs on this host with these settings, for as long as this lasts.

    With `away` a store that does not answer is left for `overview` and `health` to tell; every other look asks it
    again.

    Raises:
        BadConfig, EmbeddedError, StoreError: the store cannot be reached.
    """
    where = endpoint(settings) if settings.store.url else running_endpoint(settings.data_path)
    async with Store(where, shards=settings.store.shards) as store:
        known = Known(settings.exchange.origin, settings.exchange.anchor, DirectoryShelf(store))
        try:
            await known.refresh()
        except StoreError:
            if not away:
                raise
        yield Live(settings, store, known)


class Live:
    """Reads a broker that runs. Safe to share between tasks; `refresh` of `known` is its owner's business."""

    def __init__(self, settings: Settings, store: Store, known: Known) -> None:
        self._settings = settings
        self._store = store
        self._known = known
        self._shelf = DirectoryShelf(store)
        self._queues = Mailboxes(store)  # reads alone: nothing is begun that would accept
        self._letters = DeadLetters(store)
        self._log = LogView(settings.log_path)
        self.boxes_kept = boxes_kept
        self._boxes: asyncio.Task[tuple[admin.Mailbox, ...]] | None = None
        self._boxes_of: object = None
        self._boxes_until = -math.inf

    async def overview(self) -> admin.Overview:
        """How all of it stands, and what needs attention."""
        seen, minutes = await self._look()
        waiting = [(box.oldest, box.id) for box in seen.boxes if box.oldest is not None]
        oldest, oldest_in = min(waiting, default=(None, None))
        return admin.Overview(
            time=seen.time,
            origin=self._settings.exchange.origin,
            version=importlib.metadata.version("valija"),
            attention=attention.items(attention.findings(seen, self._settings)),
            minutes=minutes,
            ready=sum(box.ready for box in seen.boxes),
            leased=sum(box.leased for box in seen.boxes),
            dead=sum(box.dead for box in seen.boxes),
            outbox=seen.outbox.events if seen.outbox else 0,
            oldest=oldest,
            oldest_in=oldest_in,
            checkpoint=log_state.shown(seen.checkpoint, seen.policy.quorum)
            if seen.checkpoint and seen.policy
            else None,
            directory=seen.directory,
            directory_expires=seen.expires,
            canary=seen.canary.returned if seen.canary else None,
        )

    async def health(self) -> admin.Health:
        """A look at every part."""
        seen, _ = await self._look()
        return health.health(seen, attention.findings(seen, self._settings), self._settings)

    async def _look(self) -> tuple[Look, tuple[admin.Minute, ...]]:
        """Every part, and the last minutes: what cannot be read is said in the look."""
        seen, (minutes, said) = await asyncio.gather(
            looks.look(self._settings, self._store, self._known, self.mailboxes, self._log, attention.stuck_ms),
            asyncio.to_thread(self._minutes),
        )
        if said:
            seen.away["evidence"] = said
        return seen, minutes

    def _minutes(self) -> tuple[tuple[admin.Minute, ...], str]:
        try:
            return history.minutes(self._settings.evidence_path, now_ms()), ""
        except sqlite3.Error as error:
            return (), str(error)

    async def mailboxes(self) -> tuple[admin.Mailbox, ...]:
        """Every contact point of the newest directory, in its order, as they are now or were a moment ago."""
        of = (self._known.reference, self._known.holds)
        if self._boxes is None or of != self._boxes_of or time.monotonic() > self._boxes_until:
            self._boxes_of, self._boxes_until = of, math.inf  # whoever comes meanwhile waits for the same look
            self._boxes = asyncio.create_task(self._all_mailboxes())
        return await asyncio.shield(self._boxes)

    async def _all_mailboxes(self) -> tuple[admin.Mailbox, ...]:
        began, spent = time.monotonic(), 0.0
        try:
            found = await self._filled(await self._points())
            spent = time.monotonic() - began
            return found
        finally:
            self._boxes_until = time.monotonic() + min(spent * self.boxes_kept, boxes_kept_s_max)

    async def mailbox(self, name: Identifier) -> admin.Mailbox | None:
        """One of them; None where the directory has none of this name."""
        point = next((point for point in await self._points() if point.id == name), None)
        return (await self._filled([point]))[0] if point else None

    async def _filled(self, points: Iterable[ContactPoint]) -> tuple[admin.Mailbox, ...]:
        boxes = await mailboxes.mailboxes(self._known, self._queues, self._settings.seen_path, points)
        try:
            collected = await asyncio.to_thread(history.collected, self._settings.evidence_path, now_ms())
        except sqlite3.Error:
            return boxes  # what waits in them is worth showing alone
        return mailboxes.with_collected(boxes, collected)

    async def messages(self, wanted: admin.Wanted, after: str | None, count: int) -> admin.Messages:
        """At most `count` messages, the newest first, from where `next` of the page before says.

        Raises:
            ValueError: `after` is not of a page, or `wanted` holds what no message can have.
        """
        page = await asyncio.to_thread(pages.page, self._settings.evidence_path, wanted, after, count)
        return msgspec.structs.replace(page, messages=await shares.placed(self._store, self._queues, page.messages))

    async def story(self, digest: Digest) -> admin.MessageStory | None:
        """One message and its events; None where none of this digest was accepted."""
        found = await asyncio.to_thread(history.story, self._settings.evidence_path, self._log, digest)
        if found is None:
            return None
        (row,) = await shares.placed(self._store, self._queues, [found.message])
        return msgspec.structs.replace(found, message=row)

    async def dead(self) -> tuple[admin.DeadGroup, ...]:
        """The dead letters by cause, the commonest first."""
        points = await self._points()
        depths = await self._queues.depths([point.id for point in points])
        counts = {name: depth.dead for name, depth in depths.items() if depth.dead}
        return dead.groups(await dead.letters(self._letters, counts), counts)

    async def versions(self) -> tuple[admin.DirectoryVersion, ...]:
        """The versions of the directory that the broker keeps, the newest first."""
        return await versions.versions(self._known, self._shelf)

    async def log(self) -> admin.LogState:
        """The newest checkpoint and who cosigned it."""
        return await asyncio.to_thread(log_state.state, self._log, self._policy, self._settings.evidence_path)

    async def acts(self, before: int | None, count: int) -> tuple[admin.Act, ...]:
        """At most `count` acts of operators, the newest first, of leaves before index `before`."""
        return await asyncio.to_thread(history.acts, self._settings.evidence_path, before, count)

    async def report(self, month: str) -> admin.Report:
        """What an evaluation mechanism may know of a month such as `2026-10`.

        Raises:
            ValueError: it is none.
        """
        points = await self._points()
        return await asyncio.to_thread(
            report.report, self._settings.evidence_path, self._settings.exchange.origin, points, month
        )

    async def _points(self) -> tuple[ContactPoint, ...]:
        if not self._known.ready:
            await self._known.refresh()
        return self._known.phonebook.directory.contact_points if self._known.ready else ()

    @property
    def _policy(self) -> Policy:
        return Policy.of_root(self._settings.exchange.origin, self._known.roots.newest)
