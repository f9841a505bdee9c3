"""The proof that something is in the log, in one file that needs no network to be checked. SPEC.md section 5.3.

C2SP tlog-proof: the index of a leaf, the hashes that lead from it to the root, and the checkpoint with that root and
everybody's signatures. With the opening of an event, it shows to anybody who holds the policy that the log contained
the event when the witnesses looked.

Nothing in the file is believed for standing there: not the optional `extra` line, which nobody signs, nor the
checkpoint, which is verified against a policy from a trust anchor.
"""

import base64
import binascii
from collections.abc import Sequence
from typing import Final

import msgspec

from valija_schemas import checkpoint as checkpoints
from valija_schemas import leaf as leaves
from valija_schemas import merkle
from valija_schemas.checkpoint import Checkpoint, CheckpointError, Policy
from valija_schemas.leaf import LeafError
from valija_schemas.merkle import MerkleError

FIRST_LINE: Final = b"c2sp.org/tlog-proof@v1"
path_lines_max: Final = 63  #: A tree of 2^63 - 1 leaves is 63 levels high.
extra_bytes_max: Final = 16 * 1024
proof_bytes_max: Final = checkpoints.checkpoint_bytes_max + 2 * extra_bytes_max


class ProofError(ValueError):
    """The bytes are not a proof, or it proves nothing; the text says why."""


class Proof(msgspec.Struct, frozen=True):
    """A proof that is well-formed. Nothing about it is verified."""

    index: int  #: Where the leaf stands, from 0.
    path: tuple[bytes, ...]  #: The leaf's sibling first.
    checkpoint: bytes  #: As it was published.
    extra: bytes | None = None  #: Anything. Nobody signed it.


class Proved(msgspec.Struct, frozen=True):
    """A leaf is in the log: where, and which verified checkpoint says so."""

    index: int
    checkpoint: Checkpoint

    @property
    def complete(self) -> bool:
        """Whether as many witnesses as the policy asks for saw this tree; without that, call it `unwitnessed`."""
        return self.checkpoint.complete


def write(index: int, path: Sequence[bytes], checkpoint: bytes, extra: bytes | None = None) -> bytes:
    """The text of a proof.

    Raises:
        ProofError: what would be written is not a proof that anybody could read.
    """
    lines = [FIRST_LINE]
    if extra is not None:
        lines.append(b"extra " + base64.b64encode(extra))
    try:
        lines.append(b"index " + merkle.format_size(index))
        lines += [merkle.format_hash(value) for value in path]
    except MerkleError as error:
        raise ProofError(str(error)) from None
    raw = b"\n".join([*lines, b"", checkpoint])
    parse(raw)
    return raw


def parse(raw: bytes) -> Proof:
    """The proof that `raw` spells.

    Raises:
        ProofError: it is too long or not in its one form, or the index is beyond the checkpoint.
    """
    if len(raw) > proof_bytes_max:
        raise ProofError(f"a proof has at most {proof_bytes_max} bytes")
    top, found, checkpoint = raw.partition(b"\n\n")
    first, *lines = top.split(b"\n")
    if not found or first != FIRST_LINE:
        raise ProofError("this does not begin as a proof of a transparency log")
    extra = _extra(lines.pop(0)) if lines and lines[0].startswith(b"extra ") else None
    if not lines or not lines[0].startswith(b"index "):
        raise ProofError("a proof names the index of the leaf")
    if len(lines) - 1 > path_lines_max:
        raise ProofError(f"a proof has at most {path_lines_max} hashes")
    try:
        index = merkle.parse_size(lines[0].removeprefix(b"index "))
        path = tuple(merkle.parse_hash(line) for line in lines[1:])
        head, _ = checkpoints.parse(checkpoint)
    except (MerkleError, CheckpointError) as error:
        raise ProofError(str(error)) from None
    if index >= head.size:
        raise ProofError("the index is beyond the size of the checkpoint")
    return Proof(index, path, checkpoint, extra)


def verify(proof: Proof, leaf: bytes, policy: Policy) -> Proved:
    """That `leaf`, 33 bytes (see `valija_schemas.leaf`), is in the log of `policy`.

    A proof without enough witnesses is no error: it says so in `complete`.

    Raises:
        ProofError: this can be no leaf, the checkpoint may not be believed, or the path does not lead to its root.
    """
    try:
        leaves.check(leaf)
        checkpoint = checkpoints.verify_checkpoint(proof.checkpoint, policy)
        merkle.verify_inclusion(merkle.leaf_hash(leaf), proof.index, checkpoint.size, proof.path, checkpoint.root)
    except (LeafError, CheckpointError, MerkleError) as error:
        raise ProofError(str(error)) from None
    return Proved(proof.index, checkpoint)


def _extra(line: bytes) -> bytes:
    encoded = line.removeprefix(b"extra ")
    try:
        value = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        raise ProofError("the extra line is not base64") from None
    if not value or base64.b64encode(value) != encoded:
        raise ProofError("the extra line is not in its one spelling")
    if len(value) > extra_bytes_max:
        raise ProofError(f"the extra line has at most {extra_bytes_max} bytes")
    return value
