"""What a log and a witness of it say to each other. SPEC.md section 5.3; C2SP tlog-witness, add-checkpoint.

The log sends its newest checkpoint with the proof that the tree which the witness knows is its beginning. The witness
answers with its cosignature, or with the size that it knows (409), or with a refusal. A witness keeps the new size and
root, durably and only where it still knows the old one, before it answers: whoever writes one reads the race that the
specification prints.

Bodies only; sending them, and keeping what was seen, is somebody else's work.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from valija_schemas import checkpoint as checkpoints
from valija_schemas import limits, merkle
from valija_schemas import note as notes
from valija_schemas.checkpoint import CheckpointError, Head
from valija_schemas.merkle import MerkleError

PATH: Final = "add-checkpoint"  #: Under the witness's prefix; the method is POST.
SIZE_CONTENT_TYPE: Final = "text/x.tlog.size"  #: Of the answer 409.

OK: Final = 200
BAD_REQUEST: Final = 400  #: Not well-formed, or the old size is larger than the new one.
FORBIDDEN: Final = 403  #: Not signed by a key that the witness knows for this log.
NOT_FOUND: Final = 404  #: The witness does not know this log.
CONFLICT: Final = 409  #: The witness knows another size; or the same size with another root, which is an alarm.
UNPROCESSABLE: Final = 422  #: The consistency proof does not hold.

proof_lines_max: Final = 63  #: Enough for 2^62 leaves.
request_bytes_max: Final = checkpoints.checkpoint_bytes_max + 4 * 1024
response_bytes_max: Final = limits.signatures_max * limits.signature_line_bytes_max


class WitnessError(ValueError):
    """A request to a witness, or its answer, is not well-formed or not to be believed; the text says why."""


class Request(msgspec.Struct, frozen=True):
    """A request to cosign. Well-formed; neither the checkpoint nor the proof is verified."""

    old_size: int  #: What the log believes that the witness knows; 0 for nothing.
    proof: tuple[bytes, ...]  #: From `old_size` to the size of the checkpoint.
    checkpoint: bytes  #: As the log signed it.
    head: Head  #: What the checkpoint says.


def format_request(old_size: int, proof: Sequence[bytes], checkpoint: bytes) -> bytes:
    """The body of a request.

    Raises:
        WitnessError: what would be written is not a request that a witness could read.
    """
    try:
        size = merkle.format_size(old_size)
        hashes = [merkle.format_hash(value) for value in proof]
    except MerkleError as error:
        raise WitnessError(str(error)) from None
    body = b"\n".join([b"old " + size, *hashes, b"", checkpoint])
    parse_request(body)
    return body


def parse_request(body: bytes) -> Request:
    """The request that `body` spells.

    Raises:
        WitnessError: it is none (answer 400), or goes from a larger tree to a smaller one.
    """
    if len(body) > request_bytes_max:
        raise WitnessError(f"a request has at most {request_bytes_max} bytes")
    top, found, checkpoint = body.partition(b"\n\n")
    first, *lines = top.split(b"\n")
    if not found or not first.startswith(b"old "):
        raise WitnessError("a request is an old size, a proof, an empty line and a checkpoint")
    if len(lines) > proof_lines_max:
        raise WitnessError(f"a proof has at most {proof_lines_max} lines")
    try:
        old_size = merkle.parse_size(first.removeprefix(b"old "))
        proof = tuple(merkle.parse_hash(line) for line in lines)
        head, _ = checkpoints.parse(checkpoint)
    except (MerkleError, CheckpointError) as error:
        raise WitnessError(str(error)) from None
    if old_size > head.size:
        raise WitnessError("the old size is larger than that of the checkpoint")
    return Request(old_size, proof, checkpoint, head)


def format_response(lines: Sequence[bytes]) -> bytes:
    """The body of the answer 200: one cosignature line or more, each with its newline."""
    return b"".join(lines)


def parse_response(body: bytes, head: Head, witness: notes.Verifier) -> tuple[bytes, int]:
    """The line with which `witness` cosigned `head`, and when, in seconds since 1970. Lines by others are ignored.

    The line is the one to add to the checkpoint, written again by us.

    Raises:
        WitnessError: not signature lines, none by the witness, or one that does not hold or stands twice.
    """
    if len(body) > response_bytes_max:
        raise WitnessError(f"an answer has at most {response_bytes_max} bytes")
    try:
        lines, end = notes.read_lines(body, 0)
    except notes.NoteError as error:
        raise WitnessError(str(error)) from None
    if end != len(body) or not lines:
        raise WitnessError("an answer is one signature line or more")
    key_id = notes.key_id(witness.name, witness.public, checkpoints.ED25519_COSIGNATURE)
    own = [line for line in lines if (line.name, line.key_id) == (witness.name, key_id)]
    if len(own) != 1:
        raise WitnessError(f"an answer has one line by {witness.name}, this has {len(own)}")
    time_s = checkpoints.cosignature_time(own[0], head, witness.public)
    if time_s is None:
        raise WitnessError(f"the cosignature of {witness.name} does not hold")
    return notes.write_line(own[0]), time_s


def format_size(size: int) -> bytes:
    """The body of the answer 409: the size that the witness knows."""
    return merkle.format_size(size) + b"\n"


def parse_size(body: bytes) -> int:
    """The size that a witness knows, from its answer 409.

    Raises:
        WitnessError: the body is not a size and a newline.
    """
    if not body.endswith(b"\n"):
        raise WitnessError("the answer is not a size and a newline")
    try:
        return merkle.parse_size(body[:-1])
    except MerkleError as error:
        raise WitnessError(str(error)) from None
