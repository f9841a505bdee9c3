"""What passes through the queues: submissions and their outcomes, leases, receipts.

Plain frozen values; the one with behaviour is `Record`, which knows its own stored form.

Before this room: `accept`, `deliver`, `acknowledge`. After it: `queue`. Rules: broker/DESIGN.md, "Queues".
"""

import hashlib
import secrets
import struct
from typing import Final, Literal, Self

import msgspec

from valija_broker.errors import CorruptRecord
from valija_broker.shelves import Directory

_SUM_BYTES: Final = 8


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What the queues hold at most."""

    lease_bytes_max: int = 4 << 20  #: Of notes and bodies in one lease; a single larger message still goes.
    attempts_max: int = 10  #: Deliveries before a message goes to the dead letters.
    pair_quota_messages: int = 10_000  #: Open messages of one sender for one recipient.
    pair_quota_bytes: int = 256 << 20
    sender_quota_bytes: int = 256 << 20  #: Stored of one sender, whoever it is for.
    outbox_events_max: int = 1_000_000  #: Of a shard, before nothing new is accepted.
    submit_per_minute_max: int = 6_000  #: Messages of one sender, in a minute of the clock.


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of an accepted message until `expires` and a margin: enough to sign the first answer again."""

    digest: str  #: Of the message, hex SHA-256.
    note_digest: str  #: Of the whole note with its signature line, hex SHA-256.
    time: int  #: Of acceptance, ms.
    directory: Directory
    evidence_key_id: str

    def encode(self, sender: str, message_id: str) -> bytes:
        """120 bytes and the key id; the digest stands first, for the function to compare, a sum stands last.

        The sum covers the key: else a bit that changed there would tell somebody of a conflict that is none.
        """
        body = b"".join(
            (
                bytes.fromhex(self.digest),
                bytes.fromhex(self.note_digest),
                struct.pack(">QQ", self.time, self.directory.version),
                bytes.fromhex(self.directory.digest),
                self.evidence_key_id.encode(),
            )
        )
        return body + _record_sum(body, sender, message_id)

    @classmethod
    def decode(cls, data: bytes, sender: str, message_id: str) -> Self:
        """Read what `encode` wrote under the key of this sender and id.

        Raises:
            CorruptRecord: it does not match its sum.
        """
        body, total = data[:-_SUM_BYTES], data[-_SUM_BYTES:]
        if len(body) < 112 or _record_sum(body, sender, message_id) != total:
            raise CorruptRecord("a deduplication record does not match its sum")
        at, version = struct.unpack(">QQ", body[64:80])
        key_id = body[112:]
        if not key_id.isalnum():  # the sum has no key: whoever can write to the store can make one that fits
            raise CorruptRecord("a deduplication record names no evidence key")
        return cls(
            digest=body[:32].hex(),
            note_digest=body[32:64].hex(),
            time=at,
            directory=Directory(version, body[80:112].hex()),
            evidence_key_id=key_id.decode(),
        )


def _record_sum(body: bytes, sender: str, message_id: str) -> bytes:
    return hashlib.sha256(f"{sender}|{message_id}\n".encode() + body).digest()[:_SUM_BYTES]


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """A verified message with the acceptance that its sender will get."""

    sender: str
    id: str  #: A lower-case UUID, the sender's choice.
    digest: str  #: Of the message, hex SHA-256.
    note_digest: str  #: Of the whole note, hex SHA-256.
    directory: Directory  #: Under which it was verified.
    evidence_key_id: str  #: That signed `accepted`.
    note: bytes
    body: bytes
    subject: bytes  #: What events say of the message; receipts must bring the same bytes.
    accepted: bytes  #: The SubmissionAcceptance note, signed for `time`.
    headline: bytes = b""  #: What the evidence store keeps of the header; empty: no more than the event says.
    priority: int  #: 0 flash, 1 urgent, 2 routine.
    expires: int  #: ms.
    to: tuple[str, ...]
    salt: bytes  #: 32 random bytes for the leaf of the acceptance.
    time: int  #: Of acceptance, ms.

    def record(self) -> Record:
        """What deduplication keeps of it."""
        return Record(
            digest=self.digest,
            note_digest=self.note_digest,
            time=self.time,
            directory=self.directory,
            evidence_key_id=self.evidence_key_id,
        )


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """Stored, queued for every recipient, and as durable as the store is set to promise."""

    first: Record


class Repeat(msgspec.Struct, frozen=True, kw_only=True):
    """The same message was accepted before; sign the first answer again from `first`."""

    first: Record


class Conflict(msgspec.Struct, frozen=True, kw_only=True):
    """Another message of this sender has this id; nothing was stored."""

    first: Record


class QuotaExceeded(msgspec.Struct, frozen=True, kw_only=True):
    """Too much of this sender waits, for these recipients or, without any, altogether; nothing was stored."""

    recipients: tuple[str, ...]


class RateExceeded(msgspec.Struct, frozen=True, kw_only=True):
    """This sender's messages of the minute are used up; nothing was stored."""

    wait_ms: int  #: Until the next minute begins.


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """A message lent to one worker until it is acknowledged or the lease lapses."""

    token: str  #: Names this delivery; acknowledging needs it.
    attempt: int  #: 1 on the first delivery.
    deadline: int  #: When the lease lapses, ms.
    accepted: bytes  #: The SubmissionAcceptance note that the sender was given.
    note: bytes  #: As the sender transmitted it, checked against its stored SHA-256, as the body is.
    body: bytes
    subject: bytes  #: As it was submitted; the receipt's must be the same bytes.


class Ack(msgspec.Struct, frozen=True, kw_only=True):
    """A recipient's receipt for one delivery."""

    token: str
    subject: bytes
    event: Literal["ConsignmentAcceptance", "ConsignmentRejection"]
    note: bytes  #: The receipt, signed by the recipient.
    time: int  #: ms.
    directory: Directory
    reason: str = ""
    salt: bytes = msgspec.field(default_factory=lambda: secrets.token_bytes(32))


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery given back."""

    token: str
    delay_ms: int = 0  #: 0: ready again now, at its old place.
    uncounted: bool = False  #: The attempt does not count: the reply could not be written.
    dead: bool = False  #: To the dead letters, for `reason`.
    reason: str = ""
    salt: bytes = msgspec.field(default_factory=lambda: secrets.token_bytes(32))


class Depth(msgspec.Struct, frozen=True, kw_only=True):
    """How full a mailbox is, over all shards."""

    ready: int
    leased: int
    dead: int
    oldest: int  #: Acceptance time of the oldest that waits, ms; 0 when nothing waits.
