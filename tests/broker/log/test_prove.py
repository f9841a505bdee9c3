"""Proofs are made by one walk and checked by another, and only the true one passes. RFC 9162 section 2.1."""

import functools
import hashlib
import random

import pytest
from rfc6962 import mth

from valija_broker.log import prove
from valija_broker.log.prove import ProveError
from valija_schemas import merkle, tiles
from valija_schemas.merkle import EMPTY_ROOT, MerkleError, leaf_hash, node_hash, verify_consistency, verify_inclusion

size_tested = 300
proofs_changed = 10_000


class Remembered:
    """A tree of numbered leaves, without end, that hashes each subtree once."""

    @functools.cache  # noqa: B019  # one tree for all tests
    def hash(self, level, index):
        if level == 0:
            return self.leaf(index)
        return node_hash(self.hash(level - 1, 2 * index), self.hash(level - 1, 2 * index + 1))

    def leaf(self, index):
        return leaf_hash(b"leaf %d" % index)

    @functools.cache  # noqa: B019
    def root(self, size):
        return prove.root(self, size)


TREE = Remembered()


def test_the_root_is_that_of_all_leaves():
    leaves = [TREE.leaf(index) for index in range(size_tested)]
    for size in range(size_tested + 1):
        assert TREE.root(size) == mth(leaves[:size])
    assert prove.root(TREE, 0) == EMPTY_ROOT


def test_every_leaf_of_every_tree_is_proved():
    for size in range(1, size_tested + 1):
        root = TREE.root(size)
        for index in range(size):
            proof = prove.inclusion(TREE, index, size)
            assert len(proof) <= (size - 1).bit_length()
            verify_inclusion(TREE.leaf(index), index, size, proof, root)


def test_every_tree_is_proved_to_begin_every_larger_one():
    for new in range(size_tested + 1):
        for old in range(new + 1):
            proof = prove.consistency(TREE, old, new)
            assert len(proof) <= (new - 1).bit_length() + 1 if new else not proof
            verify_consistency(old, TREE.root(old), new, TREE.root(new), proof)


@pytest.mark.parametrize("size", [2**40 + 1, 2**62, 2**62 + 12_345, 2**63 - 1])
def test_the_largest_trees_are_proved(size):
    class Same:
        """A tree in which all leaves are alike: each level has one hash."""

        levels = [leaf_hash(b"")]  # noqa: RUF012

        def hash(self, level, index):
            while len(self.levels) <= level:
                self.levels.append(node_hash(self.levels[-1], self.levels[-1]))
            return self.levels[level]

    tree = Same()
    root = prove.root(tree, size)
    for index in (0, 1, 2**39 + 77, size // 3, size - 2, size - 1):
        proof = prove.inclusion(tree, index, size)
        assert len(proof) <= 63
        verify_inclusion(leaf_hash(b""), index, size, proof, root)
    for old in (0, 1, 2, 2**39, 2**39 + 77, size // 3, size - 1, size):
        verify_consistency(old, prove.root(tree, old), size, root, prove.consistency(tree, old, size))


@pytest.mark.parametrize("size", [1, 255, 256, 257, 1_000, 66_000])
def test_proofs_are_made_from_tiles(size):
    kept = tiles.grow(0, [TREE.leaf(index) for index in range(size)], lambda _: b"")
    hashes = tiles.TileHashes(size, kept.__getitem__)
    root = tiles.root(size, kept.__getitem__)
    assert prove.root(hashes, size) == root == TREE.root(size)
    some = random.Random(size)
    for at in (0, size - 1, *(some.randrange(size) for _ in range(30))):
        assert prove.inclusion(hashes, at, size) == prove.inclusion(TREE, at, size)
        verify_inclusion(TREE.leaf(at), at, size, prove.inclusion(hashes, at, size), root)
        verify_consistency(at, TREE.root(at), size, root, prove.consistency(hashes, at, size))


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 1), (-1, 3), (5, 3)])
def test_there_is_no_proof_of_a_leaf_beyond_the_tree(index, size):
    with pytest.raises(ProveError):
        prove.inclusion(TREE, index, size)


@pytest.mark.parametrize(("old", "new"), [(-1, 0), (1, 0), (4, 3), (-2, -1)])
def test_there_is_no_proof_that_a_tree_shrank(old, new):
    with pytest.raises(ProveError):
        prove.consistency(TREE, old, new)
    with pytest.raises(ProveError):
        prove.root(TREE, -1)


# Changed proofs


def flipped(values, bit):
    """The list with one bit of all its bits turned."""
    at, within = divmod(bit, 256)
    changed = bytearray(values[at])
    changed[within // 8] ^= 1 << within % 8
    return [*values[:at], bytes(changed), *values[at + 1 :]]


def others_of(proof):
    """Other proofs: one hash fewer, one more, at either end, and two neighbours exchanged."""
    yield [*proof, hashlib.sha256(b"more").digest()]
    yield [hashlib.sha256(b"more").digest(), *proof]
    if proof:
        yield proof[1:]
        yield proof[:-1]
        yield [*proof, proof[-1]]
    for at in range(len(proof) - 1):
        yield [*proof[:at], proof[at + 1], proof[at], *proof[at + 2 :]]


class Tally:
    """Counts what was tried and what passed."""

    def __init__(self):
        self.proofs = self.changes = 0

    def refuses(self, check, *arguments):
        self.changes += 1
        try:
            check(*arguments)
        except MerkleError:
            return
        pytest.fail(f"passed: {check.__name__}{arguments}")


def change_inclusion(tally, index, size, bits):
    """Every other proof of one leaf, and `bits` of its bits turned: in leaf, root and proof."""
    tally.proofs += 1
    values = [TREE.leaf(index), TREE.root(size), *prove.inclusion(TREE, index, size)]

    def check(leaf, root, *proof, at=index):
        verify_inclusion(leaf, at, size, proof, root)

    check(*values)
    for bit in bits(len(values) * 256):
        tally.refuses(check, *flipped(values, bit))
    for other in others_of(values[2:]):
        tally.refuses(check, *values[:2], *other)
    for at in {index ^ 1, index + 1, index - 1, size, 0, size - 1, -1} - {index}:
        tally.refuses(functools.wraps(check)(functools.partial(check, at=at)), *values)


def change_consistency(tally, old, new, bits):
    """Every other proof from one tree to another, and `bits` of its bits turned: in both roots and the proof."""
    tally.proofs += 1
    values = [TREE.root(old), TREE.root(new), *prove.consistency(TREE, old, new)]

    def check(old_root, new_root, *proof):
        verify_consistency(old, old_root, new, new_root, proof)

    check(*values)
    for bit in bits(len(values) * 256):
        tally.refuses(check, *flipped(values, bit))
    for other in others_of(values[2:]):
        tally.refuses(check, *values[:2], *other)


def test_every_bit_of_a_proof_counts():
    tally = Tally()
    for size in (*range(1, 10), 13, 16, 33):
        for index in range(0, size, max(1, size // 4)):
            change_inclusion(tally, index, size, range)
            change_consistency(tally, index + 1, size, range)
    print(f"\n{tally.proofs} proofs, each bit turned: {tally.changes} changes, all refused")


def test_ten_thousand_changed_proofs_are_refused():
    tally, some = Tally(), random.Random(9162)

    def bits(count):
        return (some.randrange(count) for _ in range(4))

    while tally.proofs < proofs_changed:
        size = some.choice((some.randint(1, 64), some.randint(1, 2_000), some.randint(1, 10_000)))
        change_inclusion(tally, some.randrange(size), size, bits)
        change_consistency(tally, some.randint(1, size), size, bits)
    print(f"\n{tally.proofs} proofs in trees of up to 10,000 leaves: {tally.changes} changes, all refused")


def test_a_leaf_that_was_changed_breaks_every_larger_tree():
    class Changed(Remembered):
        def leaf(self, index):
            return leaf_hash(b"another") if index == 5 else super().leaf(index)

    other = Changed()
    for new in range(7, 40):
        for old in range(6, new):
            for proof in (prove.consistency(TREE, old, new), prove.consistency(other, old, new)):
                with pytest.raises(MerkleError):
                    verify_consistency(old, TREE.root(old), new, other.root(new), proof)


def test_making_and_checking_share_the_hashes_of_leaf_and_node_only():
    shared = {name for name, value in vars(prove).items() if getattr(value, "__module__", "") == merkle.__name__}
    assert shared == {"node_hash"}
