"""Holds of contact points by two operators: taken like orders, kept in the ledger, shown to every process on a shelf.

The truth is the ledger: a hold is an event of the log, with its opening to the contact point, and is never erased. The
shelf in the store is what workers read; it is made again from the ledger whenever it says something else, and before
the directory, so that a store that was lost or altered lets nobody go.

Before this room: `orders`, `upkeep`. After it: `evidence`, `shelves`; in every process `directory.Known`. SPEC.md 4.7.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import structlog

from valija_broker import metrics
from valija_broker.database import reading
from valija_broker.directory import Known, now_ms, utc
from valija_broker.evidence import Row, hold_row
from valija_broker.shelves import DirectoryShelf
from valija_schemas import hold, leaf
from valija_schemas.hold import Hold, HoldError

_log: Final = structlog.get_logger("holds")


class Entry:
    """A hold or a lifting, as the ledger has it."""

    def __init__(self, raw: bytes, origin: str) -> None:
        note, self.hold = hold.parse_hold(raw, origin)
        self.raw, self.digest = raw, note.digest


def logged(database: Path, origin: str) -> list[Entry]:
    """Every hold and lifting, in the order of the log.

    Raises:
        sqlite3.Error: the ledger could not be read.
    """
    with reading(database) as connection:
        query = "SELECT seq, event, salt, leaf FROM events WHERE name = 'OperatorHold' ORDER BY seq"
        rows = connection.execute(query).fetchall()
    found = []
    for seq, raw, salt, stored in rows:
        try:
            if leaf.of_event(salt, raw) != stored:
                raise HoldError("event and salt do not open its leaf")
            found.append(Entry(raw, origin))
        except (HoldError, TypeError) as error:  # somebody wrote into the file: `log fsck` says more
            _log.critical("evidence_altered", leaf=seq - 1, error=str(error))
    return found


def in_force(entries: list[Entry], at_ms: int) -> list[Entry]:
    """The holds among `entries` that are not lifted and not over."""
    lifted = {entry.hold.hold for entry in entries if entry.hold.action == "lift"}
    return [
        entry
        for entry in entries
        if entry.hold.until is not None and at_ms < entry.hold.until and entry.digest not in lifted
    ]


class Holds:
    """Takes holds and liftings, and shows what is in force. One task at a time; upkeep owns it."""

    def __init__(
        self, *, database: Path, known: Known, shelf: DirectoryShelf, commit: Callable[[Row], Awaitable[None]]
    ) -> None:
        """`commit` returns once the row is in the ledger; a row that is there already changes nothing."""
        self._database = database
        self._known = known
        self._shelf = shelf
        self._commit = commit
        self._entries: list[Entry] | None = None  # of the ledger, as far as it was read

    async def give(self, raw: bytes) -> str:
        """Put a hold or a lifting into the log and on the shelf; what was done, in words.

        Raises:
            HoldError: it may not be given; nothing was done.
            StoreUnavailable: it may be in the log and not on the shelf; `show` does the rest.
        """
        known = self._known
        given = hold.read_hold(raw, known.origin, known.roots.newest)
        id_ = given.hold.contact_point
        if known.phonebook.point(id_) is None:
            raise HoldError(f"{id_} is no contact point of this exchange")
        earlier = [(entry.digest, entry.hold) for entry in await self._read() if entry.hold.contact_point == id_]
        if hold.is_new(given, earlier, known.reference, now_ms()):
            await self._commit(hold_row(given))
            self._entries = None
        # A crash here leaves a hold in the log that nobody acts upon; the next start shows it before anything else.
        await self.show()
        _log.warning("contact_point_held", contact_point=id_, action=given.hold.action, by=given.operators)
        return _words(given.hold, given.operators)

    async def show(self) -> None:
        """Have on the shelf what is in force by the ledger.

        Raises:
            StoreUnavailable: nothing can be said; repeat.
        """
        found = in_force(await self._read(), now_ms())
        metrics.held.set(len(found))
        raws = [entry.raw for entry in found]
        if not await self._shelf.shows(raws):
            await self._shelf.set_holds(raws)

    async def _read(self) -> list[Entry]:
        if self._entries is None:
            self._entries = await asyncio.to_thread(logged, self._database, self._known.origin)
        return self._entries


def _words(given: Hold, operators: tuple[str, ...]) -> str:
    who = ", ".join(operators)
    if given.until is None:
        return f"the hold on {given.contact_point} is lifted, by order of {who}; what waited is lent again"
    return (
        f"{given.contact_point} is held until {utc(given.until)}, by order of {who}: it can neither send nor fetch."
        " Tell the officers now: only they can suspend it"
    )
