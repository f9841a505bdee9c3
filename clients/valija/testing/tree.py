"""The log of the broker in memory: leaves in a list, and the tree by the definitions of RFC 6962 section 2.1.

Slow, and short enough to be read; it shares no code with what verifies.

Before this room: `broker`. After it: `valija_schemas.merkle`, `tiles`, `checkpoint`.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from valija.errors import RefusedError
from valija.registry.sample import SampleExchange
from valija_schemas import api, leaf, limits, merkle, problem, tiles
from valija_schemas import checkpoint as checkpoints
from valija_schemas import note as notes


class MemoryLog:
    """The log of a sample exchange."""

    def __init__(self, exchange: SampleExchange, clock: Callable[[], int]) -> None:
        self.exchange: Final = exchange
        self.clock = clock
        self.leaves: Final[list[bytes]] = []
        self._checkpoints: dict[int, bytes] = {}
        self.learn()

    def add(self, entry: bytes) -> int:
        """Append a leaf, behind every version that was published before it; its index."""
        self.learn()
        self.leaves.append(entry)
        return len(self.leaves) - 1

    def page(self, events: Sequence[api.FeedEvent]) -> api.Feed:
        """Events with their proofs, under a checkpoint over everything."""
        self.learn()
        hashes = self._hashes()
        proved = [
            msgspec.structs.replace(event, proof=tuple(path_to(event.index, hashes)))
            if event.index < len(hashes)
            else event
            for event in events
        ]
        return api.Feed(checkpoint=self.checkpoint(), events=tuple(proved))

    def learn(self) -> None:
        """Every root and directory version of the exchange becomes a leaf, once."""
        raws = (*self.exchange.root_raws, *self.exchange.directory_raws)
        found = (leaf.of_directory(notes.parse(raw, limits.directory_bytes_max).digest) for raw in raws)
        self.leaves.extend(entry for entry in found if entry not in self.leaves)

    def checkpoint(self) -> bytes:
        """The newest checkpoint; the same bytes while the log does not grow."""
        size = len(self.leaves)
        if size not in self._checkpoints:
            keys, origin = self.exchange.broker_keys, checkpoints.origin_of(self.exchange.origin)
            head = checkpoints.Head(origin, size, root_of(self._hashes()))
            cosigner = checkpoints.MlDsa44Cosigner(origin, keys.log_ml_dsa)
            lines = [
                checkpoints.log_line(keys.log_signer, head),
                checkpoints.cosignature_line(cosigner, head, self.clock() // 1000),
            ]
            self._checkpoints[size] = checkpoints.write(head, lines)
        return self._checkpoints[size]

    def consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        """The proof that the log of `old` leaves is the beginning of that of `new`."""
        if not 0 <= old <= new <= len(self.leaves):
            raise RefusedError(problem.of("not-found", time_ms=self.clock(), detail="no such sizes"))
        if old in {0, new}:
            return ()
        return tuple(subproof(old, self._hashes()[:new], whole=True))

    def inclusion(self, where: int | str, size: int) -> api.Inclusion:
        """The place of a leaf, by its index or the digest of its version, and the proof in the tree of `size`."""
        index = where if isinstance(where, int) else self._index_of(leaf.of_directory(where))
        if not 0 <= index < size <= len(self.leaves):
            raise RefusedError(problem.of("not-found", time_ms=self.clock(), detail="no such leaf"))
        return api.Inclusion(index=index, proof=tuple(path_to(index, self._hashes()[:size])))

    def tile(self, path: str) -> bytes:
        """A tile or bundle of the log of any size up to now."""
        name = tiles.parse_path(path)
        size = name.index * tiles.WIDTH + name.width
        if isinstance(name, tiles.Bundle):
            found = tiles.grow_bundles(0, self.leaves[:size], lambda _: b"").get(name)
        else:
            hashes = self._hashes()[: size << tiles.HEIGHT * name.level]
            found = tiles.grow(0, hashes, lambda _: b"").get(name)
        if found is None:
            raise RefusedError(problem.of("not-found", time_ms=self.clock(), detail=path))
        return found

    def _index_of(self, entry: bytes) -> int:
        return self.leaves.index(entry) if entry in self.leaves else -1

    def _hashes(self) -> list[bytes]:
        return [merkle.leaf_hash(entry) for entry in self.leaves]


def _split(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1


def root_of(hashes: Sequence[bytes]) -> bytes:
    """MTH of leaves by their hashes (section 2.1)."""
    if len(hashes) < 2:
        return hashes[0] if hashes else merkle.EMPTY_ROOT
    at = _split(len(hashes))
    return merkle.node_hash(root_of(hashes[:at]), root_of(hashes[at:]))


def path_to(index: int, hashes: Sequence[bytes]) -> list[bytes]:
    """PATH of section 2.1.1, the leaf's sibling first."""
    if len(hashes) == 1:
        return []
    at = _split(len(hashes))
    if index < at:
        return [*path_to(index, hashes[:at]), root_of(hashes[at:])]
    return [*path_to(index - at, hashes[at:]), root_of(hashes[:at])]


def subproof(old: int, hashes: Sequence[bytes], *, whole: bool) -> list[bytes]:
    """SUBPROOF of section 2.1.2."""
    if old == len(hashes):
        return [] if whole else [root_of(hashes)]
    at = _split(len(hashes))
    if old <= at:
        return [*subproof(old, hashes[:at], whole=whole), root_of(hashes[at:])]
    return [*subproof(old - at, hashes[at:], whole=False), root_of(hashes[:at])]
