"""The tree of the log: known roots, proofs that fit exactly, one spelling of hashes and sizes. SPEC.md section 5.3."""

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rfc6962 import mth

from valija_schemas import merkle
from valija_schemas.merkle import EMPTY_ROOT, MerkleError, leaf_hash, node_hash, verify_consistency, verify_inclusion

# The leaves that the tests of Certificate Transparency's own implementations use, and their roots from 1 leaf to 8.
LEAVES = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    bytes.fromhex(text)
    for text in (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    )
]
HASHES = [leaf_hash(leaf) for leaf in LEAVES]
ONE = hashlib.sha256(b"one").digest()


def test_the_roots_are_those_of_certificate_transparency():
    assert [mth(HASHES[:size]) for size in range(1, 9)] == ROOTS
    assert hashlib.sha256(b"").digest() == EMPTY_ROOT == mth([])
    assert EMPTY_ROOT.hex().startswith("e3b0c442")


def test_a_leaf_is_never_a_node():
    # RFC 6962 section 2.1: without the prefixes, a leaf made of two hashes would be the node above them.
    left, right = HASHES[:2]
    assert node_hash(left, right) != leaf_hash(left + right)
    assert leaf_hash(b"") == hashlib.sha256(b"\0").digest() != EMPTY_ROOT


# RFC 9162 section 2.1.5: the tree of seven leaves a to g and its proofs, drawn there and computed here by hand.


def test_the_proofs_of_the_example_of_rfc_9162_hold():
    a, b, c, d, e, f, j = HASHES[:7]
    g, h, i = node_hash(a, b), node_hash(c, d), node_hash(e, f)
    k, l = node_hash(g, h), node_hash(i, j)  # noqa: E741  # the letter of the RFC
    root = node_hash(k, l)
    assert root == ROOTS[6]
    verify_inclusion(a, 0, 7, [b, h, l], root)
    verify_inclusion(d, 3, 7, [c, g, l], root)
    verify_inclusion(e, 4, 7, [f, j, k], root)
    verify_inclusion(j, 6, 7, [i, k], root)
    hash0, hash1, hash2 = node_hash(g, c), k, node_hash(k, i)
    assert [hash0, hash1, hash2] == [ROOTS[2], ROOTS[3], ROOTS[5]]
    verify_consistency(3, hash0, 7, root, [c, d, g, l])
    verify_consistency(4, hash1, 7, root, [l])
    verify_consistency(6, hash2, 7, root, [i, j, k])
    for wrong in ([], [d, g, l], [c, d, g], [c, d, g, l, l], [d, c, g, l]):
        with pytest.raises(MerkleError):
            verify_consistency(3, hash0, 7, root, wrong)
    for wrong in ([], [b, h], [h, b, l], [b, h, l, l]):
        with pytest.raises(MerkleError):
            verify_inclusion(a, 0, 7, wrong, root)


def test_a_tree_of_one_leaf_is_its_leaf():
    verify_inclusion(ONE, 0, 1, [], ONE)
    with pytest.raises(MerkleError, match="another root"):
        verify_inclusion(ONE, 0, 1, [], EMPTY_ROOT)
    with pytest.raises(MerkleError, match="too long"):
        verify_inclusion(ONE, 0, 1, [ONE], node_hash(ONE, ONE))


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 1), (-1, 1), (8, 7), (2**63 - 1, 2**63 - 1)])
def test_a_leaf_beyond_the_tree_is_refused(index, size):
    with pytest.raises(MerkleError, match="has no leaf"):
        verify_inclusion(ONE, index, size, [], ONE)


def test_an_empty_tree_begins_every_tree_and_has_one_root():
    verify_consistency(0, EMPTY_ROOT, 0, EMPTY_ROOT, [])
    verify_consistency(0, EMPTY_ROOT, 7, ROOTS[6], [])
    with pytest.raises(MerkleError, match="too long"):
        verify_consistency(0, EMPTY_ROOT, 7, ROOTS[6], [ONE])
    for old_size, old_root, new_size, new_root in ((0, ONE, 7, ROOTS[6]), (0, ONE, 0, ONE), (0, EMPTY_ROOT, 0, ONE)):
        with pytest.raises(MerkleError, match="empty tree"):
            verify_consistency(old_size, old_root, new_size, new_root, [])


def test_two_roots_of_one_size_are_refused():
    verify_consistency(7, ROOTS[6], 7, ROOTS[6], [])
    with pytest.raises(MerkleError, match="different roots"):
        verify_consistency(7, ROOTS[6], 7, ONE, [])
    with pytest.raises(MerkleError, match="too long"):
        verify_consistency(7, ROOTS[6], 7, ROOTS[6], [ONE])


def test_a_tree_that_shrinks_is_refused():
    with pytest.raises(MerkleError, match="cannot be the beginning"):
        verify_consistency(7, ROOTS[6], 6, ROOTS[5], [])
    with pytest.raises(MerkleError, match="cannot be the beginning"):
        verify_consistency(1, ROOTS[0], 0, EMPTY_ROOT, [])


def test_the_largest_tree_has_2_to_the_63_less_one_leaves():
    size = 2**63 - 1
    others = [leaf_hash(bytes([n])) for n in range(63)]
    root = ONE
    for other in others:
        root = node_hash(root, other)
    verify_inclusion(ONE, 0, size, others, root)
    # The last leaf stands alone at the bottom of each level that is not full: 62 joins, all from the left.
    root = ONE
    for other in others[:62]:
        root = node_hash(other, root)
    verify_inclusion(ONE, size - 1, size, others[:62], root)
    # A power of two is a whole subtree at the left: all joins are from the right.
    root = ONE
    for other in others[:1]:
        root = node_hash(root, other)
    verify_consistency(2**62, ONE, size, root, others[:1])
    with pytest.raises(MerkleError, match="no more than"):
        verify_inclusion(ONE, 0, 2**63, others, root)
    with pytest.raises(MerkleError, match="no more than"):
        verify_consistency(1, ONE, 2**63, ONE, others)
    with pytest.raises(MerkleError, match="no fewer than"):
        verify_consistency(-1, ONE, 1, ONE, [])


@pytest.mark.parametrize("wrong", [b"", bytes(31), bytes(33)])
def test_what_has_not_32_bytes_is_no_hash(wrong):
    for leaf, proof, root in ((wrong, [ONE], ONE), (ONE, [wrong], ONE), (ONE, [ONE], wrong)):
        with pytest.raises(MerkleError, match="32 bytes"):
            verify_inclusion(leaf, 0, 2, proof, root)
    for old, new, proof in ((wrong, ONE, [ONE]), (ONE, wrong, [ONE]), (ONE, ONE, [wrong])):
        with pytest.raises(MerkleError, match="32 bytes"):
            verify_consistency(1, old, 2, new, proof)
    with pytest.raises(MerkleError, match="32 bytes"):
        merkle.format_hash(wrong)


hashes = st.binary(min_size=31, max_size=33) | st.sampled_from([ONE, EMPTY_ROOT, *ROOTS])
sizes = st.integers(-2, 20) | st.integers(2**63 - 3, 2**63 + 3)


@given(hashes, sizes, sizes, st.lists(hashes, max_size=70), hashes)
def test_a_walk_over_anything_ends_or_raises_the_one_error(leaf, index, size, proof, root):
    for walk in (
        lambda: verify_inclusion(leaf, index, size, proof, root),
        lambda: verify_consistency(index, leaf, size, root, proof),
    ):
        try:
            walk()
        except MerkleError:
            continue


# Spelling


@given(st.binary(min_size=32, max_size=32), st.integers(0, merkle.size_max))
def test_a_hash_and_a_size_have_one_spelling(value, size):
    assert merkle.parse_hash(merkle.format_hash(value)) == value
    assert merkle.parse_size(merkle.format_size(size)) == size
    assert merkle.format_size(size) == b"%d" % size


@pytest.mark.parametrize(
    "line",
    [
        b"",
        base64.b64encode(ONE)[:-1],
        base64.b64encode(ONE) + b"\n",
        base64.b64encode(ONE) + b"\r",
        b" " + base64.b64encode(ONE),
        base64.b64encode(ONE[:31]),
        base64.b64encode(ONE + b"\0"),
        base64.urlsafe_b64encode(b"\xff" * 32),
        base64.b64encode(ONE)[:-2] + b"B=",  # bits after the last byte
        b"=" * 44,
        b"\xc3\xa9" * 22,
    ],
)
def test_another_spelling_of_a_hash_is_refused(line):
    with pytest.raises(MerkleError):
        merkle.parse_hash(line)


@pytest.mark.parametrize(
    "digits",
    [
        b"",
        b"00",
        b"01",
        b"+1",
        b"-1",
        b"-0",
        b" 1",
        b"1 ",
        b"1\n",
        b"1\r",
        b"1_0",
        b"0x1",
        b"1e3",
        b"1.0",
        "\u0661".encode(),
        b"9223372036854775808",
        b"1" * 20,
        b"1" * 5_000,
    ],
)
def test_another_spelling_of_a_size_is_refused(digits):
    with pytest.raises(MerkleError):
        merkle.parse_size(digits)


def test_the_largest_size_is_read():
    assert merkle.parse_size(b"9223372036854775807") == 2**63 - 1
    for size in (-1, 2**63):
        with pytest.raises(MerkleError):
            merkle.format_size(size)


@given(st.binary(max_size=50))
def test_random_bytes_raise_the_one_error(data):
    for parse in (merkle.parse_hash, merkle.parse_size):
        try:
            parse(data)
        except MerkleError:
            continue
