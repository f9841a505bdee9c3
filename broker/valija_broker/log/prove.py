"""Makes proofs about the log's tree, as RFC 9162 sections 2.1.3.1 and 2.1.4.1 define them. SPEC.md section 5.3.

The definitions are recursive, from the root down, and are kept so here; `valija_schemas.merkle` checks proofs by other
sections, from the bottom up. Neither imports the other's walk: what they share is how a node is hashed.

A proof costs one hash of a perfect subtree for each line and, at the right edge, a few more.
"""

from typing import Protocol

from valija_schemas.merkle import EMPTY_ROOT, node_hash


class Hashes(Protocol):
    """The hashes of a tree that only grows, as `valija_schemas.tiles.TileHashes` gives them.

    An answer never changes, so it may be remembered. Reading may fail: its errors pass through the functions here,
    and calling again is safe.
    """

    def hash(self, level: int, index: int) -> bytes:
        """The hash over the 2^`level` leaves that begin with leaf `index` * 2^`level`."""
        ...


class ProveError(ValueError):
    """There is no such proof: the leaf or the tree is not within the larger tree."""


def root(hashes: Hashes, size: int) -> bytes:
    """The root of the tree of the first `size` leaves: MTH(D_n)."""
    if size < 0:
        raise ProveError("a tree has no fewer than 0 leaves")
    return _mth(hashes, 0, size) if size else EMPTY_ROOT


def inclusion(hashes: Hashes, index: int, size: int) -> list[bytes]:
    """The proof that leaf `index` is in the tree of the first `size` leaves: PATH(m, D_n), the sibling first.

    Raises:
        ProveError: the tree has no such leaf.
    """
    if not 0 <= index < size:
        raise ProveError(f"a tree of {size} leaves has no leaf {index}")
    return _path(hashes, index, 0, size)


def consistency(hashes: Hashes, old_size: int, new_size: int) -> list[bytes]:
    """The proof that the first `old_size` of `new_size` leaves are the same in both trees: PROOF(m, D_n).

    It is empty for an empty tree, which begins every other, and for equal sizes.

    Raises:
        ProveError: the old tree is the larger one.
    """
    if not 0 <= old_size <= new_size:
        raise ProveError(f"a tree of {old_size} leaves is not the beginning of one of {new_size}")
    return _subproof(hashes, old_size, 0, new_size, known=True) if old_size else []


def _split(count: int) -> int:
    """The k of RFC 9162: the largest power of two smaller than `count`."""
    return 1 << (count - 1).bit_length() - 1


def _mth(hashes: Hashes, begin: int, end: int) -> bytes:
    """MTH(D[begin:end]). Each range of these recursions begins at a multiple of the power of two that contains it."""
    count = end - begin
    if count & (count - 1) == 0:
        level = count.bit_length() - 1
        return hashes.hash(level, begin >> level)
    middle = begin + _split(count)
    return node_hash(_mth(hashes, begin, middle), _mth(hashes, middle, end))


def _path(hashes: Hashes, index: int, begin: int, end: int) -> list[bytes]:
    """PATH(index, D[begin:end]), with `index` counted from `begin`."""
    if end - begin == 1:
        return []
    k = _split(end - begin)
    middle = begin + k
    if index < k:
        return [*_path(hashes, index, begin, middle), _mth(hashes, middle, end)]
    return [*_path(hashes, index - k, middle, end), _mth(hashes, begin, middle)]


def _subproof(hashes: Hashes, old: int, begin: int, end: int, *, known: bool) -> list[bytes]:
    """SUBPROOF(old, D[begin:end], known): `known` says that the verifier has the hash of the old tree."""
    count = end - begin
    if old == count:
        return [] if known else [_mth(hashes, begin, end)]
    k = _split(count)
    middle = begin + k
    if old <= k:
        return [*_subproof(hashes, old, begin, middle, known=known), _mth(hashes, middle, end)]
    return [*_subproof(hashes, old - k, middle, end, known=False), _mth(hashes, begin, middle)]
