"""The directory, kept as new as the broker can show: what is verified here, and one step to fetch what is missing.

The broker only carries notes; each is verified by `trust` before it counts. Roots come one by one, then every directory
version between ours and the newest, then the broker's word that there is no newer one.

The promise: what `Library` shows was signed by the officers, and never becomes older.

Before this room: `sending`, `inbox`, `tracking`. After it: `trust`, `transport`. Rules: schemas/SPEC.md section 4.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Protocol

from valija.errors import TrustError, UnavailableError
from valija.trust import TrustStore
from valija_schemas import api, limits
from valija_schemas.directory import Freshness, Phonebook, Roots

_log: Final = logging.getLogger("valija.directory")

refresh_ms: Final = 5 * 60 * limits.SECOND_MS  #: A directory that was looked at this lately is not asked for again.
_attempts_max: Final = 3  #: Another process of this state folder may write the same note first.


class Source(Protocol):
    """Where notes come from: `transport.Transport`. Raises `UnavailableError` where it cannot be asked now."""

    async def newest(self) -> api.Newest:
        """Where to begin."""
        ...

    async def root(self, version: int) -> bytes:
        """A root note."""
        ...

    async def directory(self, version: int) -> bytes:
        """A directory note."""
        ...

    async def freshness(self) -> bytes:
        """The freshness note."""
        ...


class Library:
    """The verified roots and directories of one state folder. Share it between tasks, not between threads."""

    def __init__(self, folder: Path, origin: str, anchor: str, source: Source, clock: Callable[[], int]) -> None:
        self._where = (folder, origin, anchor)
        self._store = TrustStore(*self._where)
        self._source = source
        self._clock = clock
        self._looked: int | None = None
        self._refreshing = asyncio.Lock()

    @property
    def roots(self) -> Roots:
        """The chain of roots."""
        return self._store.roots

    @property
    def phonebook(self) -> Phonebook:
        """The newest verified directory."""
        return self._store.phonebook

    @property
    def freshness(self) -> Freshness | None:
        """The broker's newest word on which directory is the newest, expired or not."""
        return self._store.freshness

    @property
    def empty(self) -> bool:
        """Whether no directory is held yet."""
        return self._store.directory_version == 0

    def version(self, number: int) -> Phonebook | None:
        """Directory version `number`, or None where it is not held."""
        return self._store.version(number)

    def held(self) -> Iterator[tuple[str, str, int]]:
        """Each root and directory version that is held: its name, its digest, and since when it is held, in ms."""
        return self._store.held()

    async def refresh(self, *, force: bool = False) -> None:
        """Fetch and verify what is newer than what is held; nothing if that was done lately and `force` is not set.

        Raises:
            UnavailableError, RefusedError: the broker cannot be asked.
            TrustError: what it shows is not believed; what was held stays in force.
        """
        asked = self._clock()
        async with self._refreshing:
            if self._looked is not None and (self._looked > asked or (not force and self._lately(asked))):
                return
            for attempt in range(1, _attempts_max + 1):
                try:
                    await self._fetch()
                    break
                except TrustError as error:
                    if type(error) is not TrustError or attempt == _attempts_max:
                        raise
                    # Another process of this state folder wrote the same version: take what it verified, and go on.
                    self._store = TrustStore(*self._where)
            self._looked = self._clock()

    async def current(self) -> Phonebook:
        """The newest directory, if it may be used for sending now.

        Raises:
            DirectoryExpiredError, NotInstalledError: it may not, and the broker could not be asked or had no other.
        """
        with contextlib.suppress(UnavailableError):  # offline, what is held may still be fresh
            await self.refresh()
        try:
            return self._store.require_current(self._clock())
        except TrustError:
            await self.refresh(force=True)
            return self._store.require_current(self._clock())

    async def _fetch(self) -> None:
        newest = await self._source.newest()
        store = self._store
        for number in range(store.root_version + 1, newest.root + 1):
            store.add_root(await self._source.root(number))
        await self._fetch_directories(newest.directory)
        freshness = store.set_freshness(await self._source.freshness(), self._clock())
        # Between the two requests a version may have been published.
        for number in range(store.root_version + 1, freshness.root + 1):
            store.add_root(await self._source.root(number))
        await self._fetch_directories(freshness.version)

    async def _fetch_directories(self, newest: int) -> None:
        store = self._store
        for number in range(store.first_wanted, newest + 1):
            phonebook = store.add_directory(await self._source.directory(number))
            _log.info("directory version %d is verified", phonebook.version)

    def _lately(self, now_ms: int) -> bool:
        return self._looked is not None and 0 <= now_ms - self._looked < refresh_ms
