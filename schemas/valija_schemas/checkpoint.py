"""Checkpoints: what the log says of itself, who signed that, and whether to believe it. SPEC.md section 5.3.

A checkpoint is a signed note of three lines (C2SP tlog-checkpoint): the log's origin, the size of its tree, the root.
The origin of an exchange's log is `<exchange>/log`, which is also the name that the log signs under; no contact point
can bear it. There are no extension lines: ML-DSA cosignatures would not cover them. The lines below it may be

- the log's Ed25519 signature (type 0x01, C2SP signed-note), which must be there;
- the log's ML-DSA-44 cosignature (type 0x06), which keeps old evidence provable when Ed25519 no longer is safe;
- cosignatures of witnesses (type 0x04, Ed25519 with a time): each saw nothing but consistent trees up to then.

A line by nobody that the policy names is ignored; one that bears a known name and key id and does not hold spoils the
whole. Our messages and receipts have a heading and JSON, which a checkpoint has not, so `note` lends its signature
lines only.

The promise: a `Checkpoint` was signed by the log of the policy, and says truly who else stood behind it.
"""

from collections.abc import Callable, Iterable
from typing import Final, Protocol

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from valija_schemas import limits, merkle
from valija_schemas import note as notes
from valija_schemas.directory import Root

ED25519_COSIGNATURE: Final = b"\x04"  #: C2SP signed-note, signature types
ML_DSA_44_COSIGNATURE: Final = b"\x06"
ML_DSA_44_BYTES: Final = 2_420  #: Of a signature (FIPS 204 table 2); a public key has 1,312.
time_s_max: Final = 2**63 - 1  #: C2SP tlog-cosignature
name_bytes_max: Final = 255  #: Of a name or an origin in an ML-DSA-44 cosignature.
#: As many signature lines as a note may have, and room for the text.
checkpoint_bytes_max: Final = limits.signatures_max * limits.signature_line_bytes_max + 1024


class CheckpointError(ValueError):
    """The bytes are not a checkpoint, or it may not be believed; the text says why."""


class Head(msgspec.Struct, frozen=True):
    """What a checkpoint says, whoever signed it: the head of a tree."""

    origin: str  #: `<exchange>/log`
    size: int  #: How many leaves.
    root: bytes  #: 32 bytes

    @property
    def text(self) -> bytes:
        """What is signed: three lines, with the last newline.

        Raises:
            MerkleError: the size or the root is none.
        """
        return b"%s\n%s\n%s\n" % (self.origin.encode(), merkle.format_size(self.size), merkle.format_hash(self.root))

    @property
    def reference(self) -> tuple[int, str]:
        """What messages and receipts carry as `log`: size and root."""
        return self.size, self.root.hex()


class Policy(msgspec.Struct, frozen=True):
    """Whom a verifier believes about one log. It comes from a trust anchor, never from what is verified."""

    origin: str
    log: bytes  #: The log's Ed25519 key.
    log_ml_dsa: bytes | None  #: The log's ML-DSA-44 key.
    witnesses: tuple[notes.Verifier, ...] = ()
    quorum: int = 0  #: How many witnesses make a checkpoint complete.

    @classmethod
    def of_root(cls, exchange: str, root: Root) -> "Policy":
        """The policy that the officers signed in a root."""
        witnesses = tuple(notes.Verifier(witness.name, bytes.fromhex(witness.key)) for witness in root.witnesses)
        broker = root.broker
        log_ml_dsa = bytes.fromhex(broker.log_ml_dsa)
        return cls(origin_of(exchange), bytes.fromhex(broker.log), log_ml_dsa, witnesses, root.quorum)


class Checkpoint(msgspec.Struct, frozen=True):
    """A checkpoint that the log signed. That there is one says so: no field has to be looked at first."""

    head: Head
    raw: bytes  #: As it was read, signature lines included.
    log_time_s: int | None  #: When the log cosigned with ML-DSA-44, in seconds since 1970; None where it did not.
    witnesses: tuple[tuple[str, int], ...]  #: Which witnesses cosigned, and when: each key once, in seconds since 1970.
    complete: bool  #: Whether they are as many as the policy asks for; without that, call it `unwitnessed`.

    @property
    def size(self) -> int:
        """How many leaves the tree has."""
        return self.head.size

    @property
    def root(self) -> bytes:
        """The root of the tree."""
        return self.head.root

    @property
    def post_quantum(self) -> bool:
        """Whether the log's ML-DSA-44 key signed too."""
        return self.log_time_s is not None

    def is_older_than(self, time_ms: int) -> bool:
        """Whether what is dated `time_ms` cannot have been in this tree when the log signed, as far as clocks agree."""
        return self.log_time_s is not None and time_ms >= (self.log_time_s + 1) * 1000 + limits.sent_ahead_max_ms


class Cosigner(Protocol):
    """A private key that cosigns checkpoints. A hardware token can stand here."""

    @property
    def name(self) -> str:
        """Who cosigns: `<exchange>/log`, or the name of a witness."""
        ...

    @property
    def key_id(self) -> bytes:
        """The 4 bytes that the signature line carries."""
        ...

    def cosign(self, head: Head, time_s: int) -> bytes:
        """The signature alone, without its time, over the message that the cosigner's type prescribes."""
        ...


class Ed25519Cosigner:
    """A witness whose key is in memory. One key has one name: the signature does not cover it."""

    def __init__(self, name: str, key: Ed25519PrivateKey) -> None:
        self.name: Final = name
        self.public: Final = key.public_key().public_bytes_raw()
        self.key_id: Final = notes.key_id(name, self.public, ED25519_COSIGNATURE)
        self._key = key

    def cosign(self, head: Head, time_s: int) -> bytes:
        """64 bytes; the same head and time give the same bytes."""
        return self._key.sign(ed25519_message(head, time_s))

    def __repr__(self) -> str:
        return f"Ed25519Cosigner({self.name!r})"


class MlDsa44Cosigner:
    """A log, or a witness, with an ML-DSA-44 key in memory."""

    def __init__(self, name: str, key: MLDSA44PrivateKey) -> None:
        self.name: Final = name
        self.public: Final = key.public_key().public_bytes_raw()
        self.key_id: Final = notes.key_id(name, self.public, ML_DSA_44_COSIGNATURE)
        self._key = key

    def cosign(self, head: Head, time_s: int) -> bytes:
        """2,420 bytes, other ones each time (FIPS 204, hedged signing)."""
        return self._key.sign(ml_dsa_44_message(self.name, head, time_s))

    def __repr__(self) -> str:
        return f"MlDsa44Cosigner({self.name!r})"


def origin_of(exchange: str) -> str:
    """The origin of the log of an exchange, and the name that it signs under."""
    return f"{exchange}/log"


def ed25519_message(head: Head, time_s: int) -> bytes:
    """What an Ed25519 cosignature (0x04) signs: C2SP tlog-cosignature, "Ed25519 signed message"."""
    return b"cosignature/v1\ntime %d\n%s" % (time_s, head.text)


def ml_dsa_44_message(name: str, head: Head, time_s: int) -> bytes:
    """What an ML-DSA-44 cosignature (0x06) signs: C2SP tlog-cosignature, `cosigned_message`, from leaf 0 to the size.

    Raises:
        CheckpointError: the name or the origin has no byte, or more than 255.
    """
    fields = (b"subtree/v1\n\x00", _opaque(name), _u64(time_s), _opaque(head.origin), _u64(0), _u64(head.size))
    return b"".join(fields) + head.root


def write(head: Head, lines: Iterable[bytes]) -> bytes:
    """The whole checkpoint: its text, an empty line, signature lines in the order given.

    Raises:
        CheckpointError: what would be written is not a checkpoint that anybody could read.
    """
    raw = b"\n".join([head.text, b"".join(lines)])
    parse(raw)
    return raw


def log_line(signer: notes.Signer, head: Head) -> bytes:
    """The signature line of the log itself (0x01), with its newline."""
    return notes.signature_line(signer, head.text)


def cosignature_line(cosigner: Cosigner, head: Head, time_s: int) -> bytes:
    """The signature line of a cosigner, with its newline.

    Raises:
        CheckpointError: the time is before 1970, or does not fit.
    """
    _check_time(time_s)
    value = _u64(time_s) + cosigner.cosign(head, time_s)
    return notes.write_line(notes.Signature(cosigner.name, cosigner.key_id, value))


def parse(raw: bytes) -> tuple[Head, tuple[notes.Signature, ...]]:
    """What a checkpoint says and which lines are below it. Nothing about it is verified.

    Raises:
        CheckpointError: it is too long, not in its one form, or bears no line, too many, or two of one name and id.
    """
    if len(raw) > checkpoint_bytes_max:
        raise CheckpointError(f"a checkpoint has at most {checkpoint_bytes_max} bytes")
    try:
        origin, digits, hash_line, rest = raw.split(b"\n", 3)
    except ValueError:
        raise CheckpointError("a checkpoint has three lines, an empty one and signatures") from None
    if not rest.startswith(b"\n"):
        raise CheckpointError("a checkpoint has three lines and no other before the empty one")
    try:
        head = Head(_origin(origin), merkle.parse_size(digits), merkle.parse_hash(hash_line))
        signatures, end = notes.read_lines(raw, len(raw) - len(rest) + 1)
    except (merkle.MerkleError, notes.NoteError) as error:
        raise CheckpointError(str(error)) from None
    if end != len(raw):
        raise CheckpointError("something other than signature lines follows the checkpoint")
    if not signatures:
        raise CheckpointError("the checkpoint has no signature line")
    if len({(line.name, line.key_id) for line in signatures}) != len(signatures):
        raise CheckpointError("two signature lines bear the same name and key id")
    if head.size == 0 and head.root != merkle.EMPTY_ROOT:
        raise CheckpointError("an empty tree has another root")
    return head, signatures


def verify_checkpoint(raw: bytes, policy: Policy) -> Checkpoint:
    """What the log of `policy` says in `raw`, and who else stands behind it.

    Times are returned as they were signed; nothing here knows what time it is.

    Raises:
        CheckpointError: not well-formed, of another log, not signed by the log's Ed25519 key, or spoiled by a line that
            bears the name and id of a key of the policy and does not hold.
    """
    head, signatures = parse(raw)
    if head.origin != policy.origin:
        raise CheckpointError(f"this is a checkpoint of {head.origin}, not of {policy.origin}")
    log_id = notes.key_id(policy.origin, policy.log)
    witness_ids = [notes.key_id(w.name, w.public, ED25519_COSIGNATURE) for w in policy.witnesses]
    by_log = False
    log_time_s: int | None = None
    times: dict[bytes, tuple[str, int]] = {}  # by public key: one key under two names is one witness
    for line in signatures:
        known = held = False
        if (line.name, line.key_id) == (policy.origin, log_id):
            known = True
            by_log = notes.holds(policy.log, line.value, head.text)
            held = by_log
        if policy.log_ml_dsa is not None and line.name == policy.origin:
            public = policy.log_ml_dsa
            if line.key_id == notes.key_id(policy.origin, public, ML_DSA_44_COSIGNATURE):
                known = True
                log_time_s = _ml_dsa_44_time(line, head, public)
                held = held or log_time_s is not None
        for witness, key_id in zip(policy.witnesses, witness_ids, strict=True):
            if (line.name, line.key_id) == (witness.name, key_id):
                known = True
                time_s = cosignature_time(line, head, witness.public)
                if time_s is not None:
                    held = True
                    times.setdefault(witness.public, (witness.name, time_s))
        if known and not held:
            raise CheckpointError(f"the signature of {line.name} does not hold")
    if not by_log:
        raise CheckpointError("the checkpoint is not signed by the log")
    times.pop(policy.log, None)  # a log that witnesses itself is no witness
    return Checkpoint(head, raw, log_time_s, tuple(times.values()), len(times) >= policy.quorum)


def cosignature_time(line: notes.Signature, head: Head, public: bytes) -> int | None:
    """When a witness with this Ed25519 key cosigned `head`, in seconds since 1970; None where the line does not hold.

    A witness always says when: a time of 0 does not hold.
    """
    return _time(line, lambda time_s, value: time_s > 0 and notes.holds(public, value, ed25519_message(head, time_s)))


def _ml_dsa_44_time(line: notes.Signature, head: Head, public: bytes) -> int | None:
    def holds(time_s: int, value: bytes) -> bool:
        if len(value) != ML_DSA_44_BYTES:
            return False
        try:
            MLDSA44PublicKey.from_public_bytes(public).verify(value, ml_dsa_44_message(line.name, head, time_s))
        except (InvalidSignature, ValueError):
            return False
        return True

    return _time(line, holds)


def _time(line: notes.Signature, holds: Callable[[int, bytes], bool]) -> int | None:
    time_s = int.from_bytes(line.value[:8], "big")
    return time_s if time_s <= time_s_max and holds(time_s, line.value[8:]) else None


def _origin(line: bytes) -> str:
    """C2SP tlog-checkpoint: a name as a signature line may bear it. It is compared, never read for its parts."""
    try:
        origin = line.decode("ascii")
    except UnicodeDecodeError:
        origin = ""
    if not 0 < len(origin) <= name_bytes_max or not origin.isprintable() or " " in origin or "+" in origin:
        raise CheckpointError("the first line is not the origin of a log")
    return origin


def _check_time(time_s: int) -> None:
    if not 0 <= time_s <= time_s_max:
        raise CheckpointError("the time of a cosignature does not fit")


def _opaque(text: str) -> bytes:
    """RFC 8446 section 3.4: a length of 8 bits before the bytes."""
    data = text.encode()
    if not 0 < len(data) <= name_bytes_max:
        raise CheckpointError(f"a name in a cosignature has 1 to {name_bytes_max} bytes")
    return bytes([len(data)]) + data


def _u64(value: int) -> bytes:
    return value.to_bytes(8, "big")
