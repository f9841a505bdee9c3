"""The seam between the client and a broker: what is asked, and which error means what.

Before this room: `sending`, `inbox`, `tracking`, `refresh`. After it: `transport`, or a broker in memory (`testing`).
Rules: schemas/SPEC.md section 3.3.
"""

from collections.abc import Sequence
from typing import Protocol

from valija_schemas import api


class Line(Protocol):
    """What the client needs of a broker: `Transport`, or `valija.testing.MemoryLine`.

    Each call may be repeated after a lost answer. `UnavailableError` says nothing about the outcome; `RefusedError`
    and `HeldError` say that nothing was done.
    """

    async def submit(self, message: bytes, /) -> bytes:
        """Submit one message; the SubmissionAcceptance note, not yet verified. A repeat gets the first one."""
        ...

    async def lease(self, request: api.LeaseRequest) -> tuple[api.Lent, ...]:
        """Ask for mail; waits up to `request.wait_ms` for the first."""
        ...

    async def acknowledge(self, acks: Sequence[api.Acknowledgement]) -> tuple[api.LeaseResult, ...]:
        """Hand in receipts."""
        ...

    async def extend(self, tokens: Sequence[str]) -> tuple[api.LeaseResult, ...]:
        """Let leases last longer."""
        ...

    async def release(self, releases: Sequence[api.Release]) -> tuple[api.LeaseResult, ...]:
        """Give leases back."""
        ...

    async def events(self, after: int, wait_ms: int) -> api.Feed:
        """The page of our feed that follows event `after`; waits up to `wait_ms` for the first."""
        ...

    async def evidence(self, digest: str) -> api.Feed:
        """The events of one message; none where the broker does not know it, or not for us."""
        ...

    async def checkpoint(self) -> bytes:
        """The newest checkpoint of the log, not yet verified."""
        ...

    async def consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        """The proof that the log of `old` leaves is the beginning of that of `new`, not yet verified."""
        ...

    async def inclusion(self, leaf: int | str, size: int) -> api.Inclusion:
        """The place of a leaf in the tree of `size` leaves, not yet verified.

        `leaf` is its index, or the digest of the root or directory version that it is of.
        """
        ...

    async def tile(self, path: str) -> bytes:
        """A tile or a bundle of entries of the log, by its path under the log's prefix."""
        ...

    async def newest(self) -> api.Newest:
        """Where to begin; a hint."""
        ...

    async def holds(self) -> tuple[bytes, ...]:
        """The order of operators that holds us; empty where there is none."""
        ...

    async def freshness(self) -> bytes:
        """The freshness note."""
        ...

    async def root(self, version: int) -> bytes:
        """A root note."""
        ...

    async def directory(self, version: int) -> bytes:
        """A directory note."""
        ...
