"""The tree of the log: its hashes, and how a proof about it is checked. SPEC.md section 5.3.

A leaf, a node and the empty tree are hashed as RFC 6962 section 2.1 says. A proof of inclusion says that a leaf stands
at an index of a tree, a proof of consistency that a tree is the beginning of another; both are checked by the walks of
RFC 9162 sections 2.1.3.2 and 2.1.4.2, from the bottom up. Proofs are made elsewhere, by other code written from other
sections (the broker's `log.prove`): the two share `leaf_hash` and `node_hash` and nothing else, so that one mistake
does not make itself right.

The promise: a proof that passes fits exactly, no hash too many and none to spare, or the one error says what is wrong.
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from typing import Final

HASH_BYTES: Final = 32
size_max: Final = 2**63 - 1  #: What a signed 64-bit integer holds, as most logs and witnesses count.
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()  #: RFC 6962 section 2.1

_LEAF: Final = b"\x00"
_NODE: Final = b"\x01"
# C2SP tlog-checkpoint, tlog-witness and tlog-proof spell sizes and hashes alike. RFC 4648 section 4: 32 bytes take 44
# characters.
_SIZE: Final = re.compile(rb"0|[1-9][0-9]{0,18}")
_HASH: Final = re.compile(rb"[A-Za-z0-9+/]{43}=")


class MerkleError(ValueError):
    """A proof does not hold, or a size or hash is none; the text says which."""


def leaf_hash(entry: bytes) -> bytes:
    """The hash of an entry of the log (RFC 6962 section 2.1)."""
    return hashlib.sha256(_LEAF + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of a node over its two children (RFC 6962 section 2.1)."""
    return hashlib.sha256(_NODE + left + right).digest()


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Check that the leaf with hash `leaf` stands at `index` of the tree of `size` leaves under `root`.

    `proof` begins with the leaf's sibling (RFC 9162 section 2.1.3.2).

    Raises:
        MerkleError: it does not follow from this proof.
    """
    _check_size(size)
    _check_hashes(leaf, root, *proof)
    if not 0 <= index < size:
        raise MerkleError(f"a tree of {size} leaves has no leaf {index}")
    at, last, found = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise MerkleError("the inclusion proof is too long")
        if at & 1 or at == last:
            found = node_hash(sibling, found)
            while at and not at & 1:
                at >>= 1
                last >>= 1
        else:
            found = node_hash(found, sibling)
        at >>= 1
        last >>= 1
    if last != 0:
        raise MerkleError("the inclusion proof is too short")
    if found != root:
        raise MerkleError("the inclusion proof leads to another root")


def verify_consistency(old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Check that the tree of `old_size` leaves under `old_root` is the beginning of the one under `new_root`.

    Two cases have no walk: an empty old tree begins every other, and a tree begins itself; both have an empty proof
    (C2SP tlog-witness, add-checkpoint). All others follow RFC 9162 section 2.1.4.2.

    Raises:
        MerkleError: it does not follow from this proof. Where both trees are signed, that is an alarm.
    """
    _check_size(old_size)
    _check_size(new_size)
    _check_hashes(old_root, new_root, *proof)
    if old_size > new_size:
        raise MerkleError(f"a tree of {old_size} leaves cannot be the beginning of one of {new_size}")
    for size, root in ((old_size, old_root), (new_size, new_root)):
        if size == 0 and root != EMPTY_ROOT:
            raise MerkleError("an empty tree has another root")
    if old_size in {0, new_size}:
        if proof:
            raise MerkleError("the consistency proof is too long")
        if old_size == new_size and old_root != new_root:
            raise MerkleError(f"two trees of {new_size} leaves have different roots")
        return
    if not proof:
        raise MerkleError("the consistency proof is too short")
    path = list(proof)
    if old_size & (old_size - 1) == 0:
        path.insert(0, old_root)
    at, last = old_size - 1, new_size - 1
    while at & 1:
        at >>= 1
        last >>= 1
    old_found = new_found = path[0]
    for other in path[1:]:
        if last == 0:
            raise MerkleError("the consistency proof is too long")
        if at & 1 or at == last:
            old_found = node_hash(other, old_found)
            new_found = node_hash(other, new_found)
            while at and not at & 1:
                at >>= 1
                last >>= 1
        else:
            new_found = node_hash(new_found, other)
        at >>= 1
        last >>= 1
    if last != 0:
        raise MerkleError("the consistency proof is too short")
    if old_found != old_root:
        raise MerkleError("the consistency proof leads to another root of the smaller tree")
    if new_found != new_root:
        raise MerkleError("the consistency proof leads to another root of the larger tree")


def format_hash(value: bytes) -> bytes:
    """A hash as C2SP's text formats spell it: base64, without a newline."""
    _check_hashes(value)
    return base64.b64encode(value)


def parse_hash(line: bytes) -> bytes:
    """The hash that a line, without its newline, spells.

    Raises:
        MerkleError: it is not the one base64 spelling of 32 bytes.
    """
    if not _HASH.fullmatch(line):
        raise MerkleError("a hash is not 32 bytes in base64")
    value = base64.b64decode(line)
    if base64.b64encode(value) != line:
        raise MerkleError("the base64 of a hash is not in its one spelling")
    return value


def format_size(size: int) -> bytes:
    """A size or an index as C2SP's text formats spell it: decimal, without a newline."""
    _check_size(size)
    return str(size).encode()


def parse_size(digits: bytes) -> int:
    """The size or index that `digits` spell.

    Raises:
        MerkleError: no decimal number, a leading zero, or more than `size_max`.
    """
    if not _SIZE.fullmatch(digits):
        raise MerkleError("a size is not a decimal number without leading zeros")
    size = int(digits)
    _check_size(size)
    return size


def _check_size(size: int) -> None:
    if not 0 <= size <= size_max:
        raise MerkleError("a tree has no fewer than 0 and no more than 2^63 - 1 leaves")


def _check_hashes(*hashes: bytes) -> None:
    if any(len(value) != HASH_BYTES for value in hashes):
        raise MerkleError("a hash has 32 bytes")
