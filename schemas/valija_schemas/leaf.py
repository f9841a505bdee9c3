"""What may stand in the log: 33 bytes that tell a stranger nothing. SPEC.md section 5.3.

A leaf is `01` and the commitment to an event, or `02` and the digest of a directory version; there is no third kind,
and no leaf is longer or shorter. So the log shows how much happens, never what or between whom.
"""

from typing import Final

from valija_schemas import evidence

EVENT: Final = b"\x01"
DIRECTORY: Final = b"\x02"
LEAF_BYTES: Final = 33
SALT_BYTES: Final = 32


class LeafError(ValueError):
    """This cannot be a leaf of the log, or no leaf can be made of it; the text says why."""


def of_event(salt: bytes, event_note: bytes) -> bytes:
    """The leaf of an event under its salt.

    The salt has one length: HMAC fills a short key with zeros and hashes a long one (RFC 2104 section 2), so that two
    keys of different lengths can stand for the same commitment.

    Raises:
        LeafError: the salt does not have 32 bytes.
    """
    if len(salt) != SALT_BYTES:
        raise LeafError("the salt of an event has 32 bytes")
    return evidence.commitment(salt, event_note)


def of_directory(digest: str) -> bytes:
    """The leaf of a directory version with this digest, lower-case hex.

    Raises:
        LeafError: this is no digest.
    """
    try:
        value = bytes.fromhex(digest)
    except ValueError:
        value = b""
    if len(value) != LEAF_BYTES - 1 or value.hex() != digest:
        raise LeafError("a digest is 64 digits of lower-case hex")
    return DIRECTORY + value


def check(leaf: bytes) -> None:
    """Refuse what cannot be a leaf.

    Raises:
        LeafError: not 33 bytes, or of no kind that there is.
    """
    if len(leaf) != LEAF_BYTES or leaf[:1] not in {EVENT, DIRECTORY}:
        raise LeafError("a leaf is 33 bytes and begins with 01 or 02")
