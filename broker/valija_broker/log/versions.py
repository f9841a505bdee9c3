"""Which versions of the root and of the directory are to become leaves of the log.

A version becomes a leaf after those before it, so what is missing stands behind the newest one that is there: a start
looks from the newest backwards, and stops at that. What is told was verified: no note is read again for it.

Before this room: `upkeep`. After it: `ledger`, which adds them. Rules: schemas/SPEC.md section 5.3.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from valija_broker.directory import Known
from valija_broker.evidence import Version
from valija_schemas import limits
from valija_schemas import note as notes


class Versions:
    """Tells each version once in the life of a process. One task uses it."""

    def __init__(self, known: Known, logged: Callable[[Version], Awaitable[bool]]) -> None:
        """`logged` says whether a version is a leaf."""
        self._known: Final = known
        self._logged: Final = logged
        self._root = self._directory = 0  # the newest that were told, or were leaves

    async def learn(self) -> list[Version]:
        """Those that were not told before and are no leaves; roots first, each kind in its order."""
        roots = self._known.roots.raws[self._root :] if self._known.has_root else ()
        newest = self._known.reference[0]
        found = await self._missing([notes.parse(raw, limits.directory_bytes_max).digest for raw in roots])
        found += await self._missing([self._known.digest(n) for n in range(self._directory + 1, newest + 1)])
        self._root, self._directory = self._root + len(roots), newest
        return found

    async def _missing(self, digests: Sequence[str]) -> list[Version]:
        for count, digest in enumerate(reversed(digests)):
            if await self._logged(Version(digest)):
                digests = digests[len(digests) - count :]
                break
        return [Version(digest) for digest in digests]
