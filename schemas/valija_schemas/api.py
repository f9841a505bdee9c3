"""What requests and answers carry, beside notes and messages. SPEC.md section 3.3.

Lists of binary things travel in MessagePack, everything else in JSON or as the note itself. Nothing here is proof:
what must be proved is a note. Each request type has one prebuilt decoder that refuses unknown fields.
"""

from typing import Annotated, Final, Generic, Literal, TypeVar

import msgspec

from valija_schemas import limits
from valija_schemas.wire import Count, Digest, Milliseconds

T = TypeVar("T")

MESSAGE_TYPE: Final = "application/vnd.valija.message"
NOTE_TYPE: Final = "application/vnd.valija.note"
MSGPACK_TYPE: Final = "application/vnd.msgpack"
PROBLEM_TYPE: Final = "application/problem+json"
JSON_TYPE: Final = "application/json"

batch_messages_max: Final = 64
batch_bytes_max: Final = 4 * 1024 * 1024
lease_messages_max: Final = 64
request_bytes_max: Final = 2 * 1024 * 1024  #: Of every request but those that carry messages: 64 receipts of 16 KiB.
events_page_max: Final = 500

Token = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-z.]{1,80}$")]
"""Names one delivery of one message to one worker."""


def _size(least: int, most: int) -> msgspec.Meta:
    """How many bytes. A schema of msgspec counts letters of base64 instead; `x-bytes` is for who puts that right."""
    return msgspec.Meta(min_length=least, max_length=most, extra_json_schema={"x-bytes": [least, most]})


Hash = Annotated[bytes, _size(32, 32)]
"""A hash of the log's tree (RFC 6962)."""


Number = Annotated[int, msgspec.Meta(ge=0, lt=10**15)]
"""A number in a query or a path: decimal, without a sign or leading zeros."""


class ApiError(ValueError):
    """A request or an answer has not the shape that it must have."""


class _Shape(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class SubmitResult(_Shape, frozen=True, kw_only=True):
    """What became of one message of a batch."""

    status: int  #: As a single submission would have been answered: 202, 409, ...
    acceptance: bytes | None  #: The SubmissionAcceptance note.
    problem: bytes | None  #: The problem, in JSON.


class LeaseRequest(_Shape, frozen=True, kw_only=True):
    """Lend me mail."""

    instance: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-z-]{1,64}$")]  #: This worker, the same over restarts.
    have: Annotated[tuple[Token, ...], msgspec.Meta(max_length=1024)]  #: Leases it still works on.
    limit: Annotated[int, msgspec.Meta(ge=1, le=lease_messages_max)]
    wait_ms: Annotated[int, msgspec.Meta(ge=0, le=limits.wait_max_ms)]  #: How long to wait for the first message.


class Lent(_Shape, frozen=True, kw_only=True):
    """A message lent to one worker until it is acknowledged or the lease lapses."""

    token: Token
    attempt: Count  #: 1 on the first delivery.
    deadline: Milliseconds  #: By the broker's clock.
    lease_ms: Milliseconds  #: How long the lease was when it was given; half of it is a good time to extend.
    acceptance: bytes  #: The SubmissionAcceptance note that the sender was given.
    message: bytes


class Acknowledgement(_Shape, frozen=True, kw_only=True):
    """A receipt for a message lent."""

    token: Token
    receipt: bytes


class Extension(_Shape, frozen=True, kw_only=True):
    """Still working on it."""

    tokens: Annotated[tuple[Token, ...], msgspec.Meta(max_length=1024)]


class Release(_Shape, frozen=True, kw_only=True):
    """Not done with it."""

    token: Token
    delay_ms: Annotated[int, msgspec.Meta(ge=0, le=limits.HOUR_MS)]  #: Before it is lent again.
    dead: bool  #: It cannot be verified: to the dead letters, without a word to the sender.


class LeaseResult(_Shape, frozen=True, kw_only=True):
    """What became of one token."""

    token: Token
    result: Literal["done", "gone", "stale", "refused"]
    """`gone` for a token that is not this caller's or not known any more; `stale` when the message was lent again;
    `refused` when the receipt does not verify or speaks of another message."""
    deadline: Milliseconds | None  #: The new one, after an extension.


class FeedEvent(_Shape, frozen=True, kw_only=True):
    """An event with its opening, for a party to it."""

    number: Count  #: In this party's feed: 1, 2, 3, without gaps.
    event: bytes  #: Its note; of an unsigned one the text alone.
    salt: bytes  #: 32 bytes.
    index: Count  #: Of its leaf in the log, from 0.
    proof: Annotated[tuple[Hash, ...], msgspec.Meta(max_length=64)]  #: Of inclusion, under the feed's checkpoint.


class Feed(_Shape, frozen=True, kw_only=True):
    """A page of a party's events, in order. An event is shown once a published checkpoint covers it."""

    checkpoint: Annotated[bytes, _size(0, limits.note_bytes_max * 4)]  #: Empty before the first.
    events: tuple[FeedEvent, ...]


class Inclusion(_Shape, frozen=True, kw_only=True):
    """Where a leaf of the log stands, and the proof that it does."""

    index: Count  #: From 0.
    proof: Annotated[tuple[Hash, ...], msgspec.Meta(max_length=64)]  #: The leaf's sibling first.


class Limits(_Shape, frozen=True, kw_only=True):
    """What this broker accepts, and its clock."""

    time: Milliseconds
    message_bytes_max: Count
    submit_messages_max: Count
    submit_bytes_max: Count
    lease_ms: Milliseconds
    lease_bytes_max: Count
    attempts_max: Count


class Newest(_Shape, frozen=True, kw_only=True):
    """Numbers of the newest root and directory that a broker holds; unsigned, a hint of where to begin."""

    root: Count
    directory: Count
    digest: Digest | None


class Decoder(Generic[T]):
    """Reads MessagePack of one type. Make it once, at import."""

    def __init__(self, type_: type[T], bytes_max: int = request_bytes_max) -> None:
        self._decoder = msgspec.msgpack.Decoder(type_)
        self._bytes_max = bytes_max

    def __call__(self, data: bytes) -> T:
        """The value that `data` holds.

        Raises:
            ApiError: too long, or of another shape. No other exception leaves.
        """
        if len(data) > self._bytes_max:
            raise ApiError(f"{len(data)} bytes, more than {self._bytes_max}")
        try:
            return self._decoder.decode(data)
        except (msgspec.MsgspecError, RecursionError, UnicodeError, ValueError) as error:
            raise ApiError(str(error)) from None


Batch = Annotated[tuple[bytes, ...], msgspec.Meta(min_length=1, max_length=batch_messages_max)]
Acknowledgements = Annotated[tuple[Acknowledgement, ...], msgspec.Meta(min_length=1, max_length=lease_messages_max)]
Holds = Annotated[tuple[bytes, ...], msgspec.Meta(max_length=1)]
Releases = Annotated[tuple[Release, ...], msgspec.Meta(min_length=1, max_length=lease_messages_max)]

encode: Final = msgspec.msgpack.Encoder().encode
read_batch: Final[Decoder[tuple[bytes, ...]]] = Decoder(Batch, batch_bytes_max)
read_submit_results: Final = Decoder(tuple[SubmitResult, ...])
read_lease_request: Final = Decoder(LeaseRequest)
#: A batch ends when it passes the broker's lease_bytes_max, so one more message and the acceptances fit on top.
read_lent: Final = Decoder(tuple[Lent, ...], 16 * 1024 * 1024)
read_acknowledgements: Final[Decoder[tuple[Acknowledgement, ...]]] = Decoder(Acknowledgements)
read_extension: Final = Decoder(Extension)
read_releases: Final[Decoder[tuple[Release, ...]]] = Decoder(Releases)
read_lease_results: Final = Decoder(tuple[LeaseResult, ...])
read_consistency: Final[Decoder[tuple[bytes, ...]]] = Decoder(tuple[Hash, ...])
read_inclusion: Final = Decoder(Inclusion)
read_holds: Final[Decoder[tuple[bytes, ...]]] = Decoder(Holds)
read_feed: Final = Decoder(Feed, 16 * 1024 * 1024)
