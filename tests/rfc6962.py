"""RFC 6962's own definition of the tree, which is too slow for a log and too plain to be wrong."""

import hashlib
from collections.abc import Sequence


def mth(hashes: Sequence[bytes]) -> bytes:
    """The root over these leaf hashes: section 2.1, word for word."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    return hashlib.sha256(b"\1" + mth(hashes[:k]) + mth(hashes[k:])).digest()
