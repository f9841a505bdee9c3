"""Why a request was refused, in the form of RFC 9457: for a program a code, for a person what to do next. SPEC.md 3.4.

A problem is not signed and proves nothing; it rests on TLS. Where a refusal is itself an event, the note that proves
it (SubmissionRejection, ETSI EN 319 522) travels inside as `evidence`. That is so only if the sender's note verified,
if the message is live, and if the fault is one that nobody on the way could have made: whoever holds a copy of a note
can send it again behind another body, and must not make the broker sign that its sender erred.

Three kinds are vague on purpose: who is not known to have signed is told neither which check failed nor whether a
thing exists. `of` drops whatever else it is given for them, so that no handler can tell more by mistake.
"""

import enum
import unicodedata
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Final

import msgspec

from valija_schemas import wire

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:valija:problem:"  #: The code follows. RFC 9457 section 3.1.1: an identifier, never fetched.

problem_bytes_max: Final = 64 * 1024  #: A note is 16 KiB, and JSON escapes its quotes.
text_characters_max: Final = 500  #: Of a detail: a sentence or two for a person.
errors_max: Final = 32


class Code(enum.StrEnum):
    """What a program decides by. A client may meet codes that it does not know, from a broker that is newer."""

    MALFORMED = "malformed"
    TOO_LARGE = "too-large"
    WRONG_EXCHANGE = "wrong-exchange"
    NOT_SIGNED = "not-signed"
    NOT_SIGNED_IN = "not-signed-in"
    NOT_ALLOWED = "not-allowed"
    UNVERIFIED = "unverified"
    NOT_FOUND = "not-found"
    UNSUPPORTED = "unsupported"
    METHOD_NOT_ALLOWED = "method-not-allowed"
    TOO_SLOW = "too-slow"
    UNKNOWN_DIRECTORY = "unknown-directory"
    STALE_DIRECTORY = "stale-directory"
    DIRECTORY_EXPIRED = "directory-expired"
    UNKNOWN_RECIPIENT = "unknown-recipient"
    SUSPENDED = "suspended"
    HELD = "held"
    ROUTE_NOT_ALLOWED = "route-not-allowed"
    UNKNOWN_TYPE = "unknown-type"
    KEYS_MISMATCH = "keys-mismatch"
    ATTACHMENTS_NOT_ACCEPTED = "attachments-not-accepted"
    BODY_MISMATCH = "body-mismatch"
    BODY_SHAPE = "body-shape"
    EXPIRED = "expired"
    SENT_IN_THE_FUTURE = "sent-in-the-future"
    TOO_OLD = "too-old"
    CONFLICT = "conflict"
    SETTLED = "settled"
    NOT_POSSIBLE = "not-possible"
    BAD_LINE = "bad-line"
    CROWDED = "crowded"
    QUOTA = "quota"
    RATE = "rate"
    BUSY = "busy"
    FULL = "full"
    UNAVAILABLE = "unavailable"


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """What is true of every problem with one code."""

    status: int  #: RFC 9110 section 15.
    title: str  #: What happened, the same for every occurrence (RFC 9457 section 3.1.3).
    hint: str  #: What a person can do next.
    retryable: bool = False  #: The same bytes may be accepted later, with nobody doing anything.
    reseal: bool = (
        False  #: A client can seal the document again, under the newest directory and clock, without a person.
    )
    rejection: bool = False  #: The code is a reason of SubmissionRejection; otherwise no evidence is made.
    vague: bool = False  #: Nothing is told but status, title and time.


KINDS: Final[Mapping[Code, Kind]] = MappingProxyType(
    {
        Code.MALFORMED: Kind(
            status=400,
            title="This is not in the one form that the protocol gives it",
            hint="Send what the client library writes; SPEC.md says what each part looks like.",
        ),
        Code.TOO_LARGE: Kind(
            status=413,
            title="This is larger than the broker takes",
            hint="Send less at once, or split the document; GET /v1/limits names the limits.",
        ),
        Code.WRONG_EXCHANGE: Kind(
            status=421,
            title="This belongs to another exchange",
            hint="Compare the exchange in the client's configuration with the address of the broker.",
        ),
        Code.NOT_SIGNED: Kind(
            status=401,
            title="The request is not signed as it must be",
            hint="Compare the clock with `time`, and the auth key with the one in the directory, which may not be "
            "published yet; the broker's log says more.",
            vague=True,
        ),
        Code.NOT_SIGNED_IN: Kind(
            status=401,
            title="Nobody is signed in here, or the session has ended",
            hint="Sign in again on your own machine, by `valija-registry console` with the address of the console.",
            vague=True,
        ),
        Code.NOT_ALLOWED: Kind(
            status=403,
            title="Who is signed in may not do this",
            hint="The root says which roles each person has; ask somebody who has the role for it.",
        ),
        Code.UNVERIFIED: Kind(
            status=403,
            title="The message cannot be shown to be from its sender",
            hint="Compare the sign key with the one in the directory; the broker's log says more.",
            vague=True,
        ),
        Code.NOT_FOUND: Kind(
            status=404,
            title="There is no such thing, or not for you",
            hint="Look at the identifier again; only the parties to a message can see that it exists.",
            vague=True,
        ),
        Code.UNSUPPORTED: Kind(
            status=415,
            title="The broker does not read this content type or content encoding",
            hint="Send the content type that SPEC.md names for this request, without compression.",
        ),
        Code.METHOD_NOT_ALLOWED: Kind(
            status=405,
            title="This address does not take that method",
            hint="`Allow` in the answer names the methods; SPEC.md lists the addresses.",
        ),
        Code.TOO_SLOW: Kind(
            status=408,
            title="The request did not arrive in time",
            hint="Send it again; if this repeats, look at the connection.",
            retryable=True,
        ),
        Code.UNKNOWN_DIRECTORY: Kind(
            status=422,
            title="The broker does not know the directory version that the message names",
            hint="A version just published reaches the broker within seconds; if this repeats, compare the digests "
            "of that version by another channel, since somebody may have been shown another directory.",
            retryable=True,
        ),
        Code.STALE_DIRECTORY: Kind(
            status=422,
            title="The message names a directory version that is out of date",
            hint="Fetch the newest directory and seal the message again; the client does so by itself.",
            reseal=True,
            rejection=True,
        ),
        Code.DIRECTORY_EXPIRED: Kind(
            status=503,
            title="The directory has expired",
            hint="The registry officers must sign and publish the next version; mail accepted before can be fetched.",
            retryable=True,
        ),
        Code.UNKNOWN_RECIPIENT: Kind(
            status=422,
            title="A recipient is not in the directory",
            hint="Look the contact point up in the newest directory, and take it out of the message if it is gone.",
            rejection=True,
        ),
        Code.SUSPENDED: Kind(
            status=403,
            title="A contact point is suspended",
            hint="Ask the registry officers; mail accepted before stays valid and waits.",
            rejection=True,
        ),
        Code.HELD: Kind(
            status=403,
            title="A contact point is held by the operators",
            hint="Ask the operators; a hold ends after 72 hours, unless the officers suspend the contact point.",
            retryable=True,
            rejection=True,
        ),
        Code.ROUTE_NOT_ALLOWED: Kind(
            status=403,
            title="This type of document may not go from this area to that one",
            hint="Send it to a contact point of an area that may receive it, or ask the registry officers for a route.",
            rejection=True,
        ),
        Code.UNKNOWN_TYPE: Kind(
            status=422,
            title="The broker does not know this type of document",
            hint="Look at the name and version of the type; the broker may have to be updated first.",
            rejection=True,
        ),
        Code.KEYS_MISMATCH: Kind(
            status=422,
            title="The message is sealed for a key that is not the recipient's now",
            hint="Fetch the newest directory and seal the message again; the client does so by itself.",
            reseal=True,
            rejection=True,
        ),
        Code.ATTACHMENTS_NOT_ACCEPTED: Kind(
            status=422,
            title="The broker does not take attachments",
            hint="Put the file inside the document, in the block `file`.",
            rejection=True,
        ),
        Code.BODY_MISMATCH: Kind(
            status=422,
            title="The body is not the one that the note names",
            hint="Send the message again: it was cut off or changed on the way.",
            retryable=True,
        ),
        Code.BODY_SHAPE: Kind(
            status=422,
            title="The body is not sealed for exactly the recipients named",
            hint="Seal the document with the client library; the broker saw the header of the age file only.",
            rejection=True,
        ),
        Code.EXPIRED: Kind(
            status=422,
            title="The message has expired",
            hint="Decide whether it is still wanted; if so, send it as a new message.",
        ),
        Code.SENT_IN_THE_FUTURE: Kind(
            status=422,
            title="The message was sent in the future",
            hint="Set the clock of the sender by NTP; `time` is the broker's.",
            retryable=True,
        ),
        Code.TOO_OLD: Kind(
            status=422,
            title="The message was sealed too long ago",
            hint="Seal it again; the outbox does so by itself.",
            reseal=True,
        ),
        Code.CONFLICT: Kind(
            status=409,
            title="Another message with this id was accepted before",
            hint="`accepted` names the first one. Send this one under a new id; if you did not send the first, "
            "your sign key may be in other hands: tell the registry officers.",
        ),
        Code.SETTLED: Kind(
            status=409,
            title="Somebody was first",
            hint="Look at the proposals: sign the one that is there, or read what became of it.",
        ),
        Code.NOT_POSSIBLE: Kind(
            status=422,
            title="It would be refused if it were ordered, or published, now",
            hint="Look again at what it is about.",
        ),
        Code.BAD_LINE: Kind(
            status=422,
            title="This is not a signature of who hands it in, over this text",
            hint="Sign with your own keyring: the one whose key the newest root names for you.",
        ),
        Code.CROWDED: Kind(
            status=429,
            title="Too much waits here already",
            hint="Sign or withdraw what is there. Each is forgotten after 15 minutes.",
            retryable=True,
        ),
        Code.QUOTA: Kind(
            status=429,
            title="Too much waits for this recipient",
            hint="Wait until the recipient has fetched some of it, or call them: their client may be down.",
            retryable=True,
        ),
        Code.RATE: Kind(
            status=429,
            title="Too many requests in a short time",
            hint="Wait for the seconds that `Retry-After` names; the client does so by itself.",
            retryable=True,
        ),
        Code.BUSY: Kind(
            status=429,
            title="Too many requests of this contact point are open at once",
            hint="Wait for the seconds that `Retry-After` names; the client does so by itself.",
            retryable=True,
        ),
        Code.FULL: Kind(
            status=503,
            title="The broker has no room for more messages",
            hint="Wait; recipients can still fetch, which makes room. If it lasts, tell the operators.",
            retryable=True,
        ),
        Code.UNAVAILABLE: Kind(
            status=503,
            title="The broker cannot say now whether this was done",
            hint="Send the same again, under the same id: if it was done, the first answer comes back.",
            retryable=True,
        ),
    }
)

#: What only the operators' console answers (SPEC.md section 3.5).
OF_CONSOLE: Final = frozenset(
    {Code.NOT_SIGNED_IN, Code.NOT_ALLOWED, Code.SETTLED, Code.NOT_POSSIBLE, Code.BAD_LINE, Code.CROWDED}
)

#: The reasons that a SubmissionRejection may give.
REJECTIONS: Final = frozenset(code for code, kind in KINDS.items() if kind.rejection)


class Flaw(msgspec.Struct, frozen=True, kw_only=True):
    """One fault in what was sent."""

    pointer: str  #: Where: a JSON pointer (RFC 6901).
    detail: str


class FirstAcceptance(msgspec.Struct, frozen=True, kw_only=True):
    """The message that holds the id of one refused as a conflict."""

    digest: wire.Digest
    time: wire.Milliseconds


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """The body of every answer that is a refusal. Members that a reader does not know are ignored (RFC 9457 3.2)."""

    type: str
    title: str
    status: Annotated[int, msgspec.Meta(ge=400, le=599)]
    detail: str  #: What happened this time.
    code: str  #: A `Code`, or one of a newer broker.
    retryable: bool
    time: wire.Milliseconds  #: By the broker's clock, so that a client can see that its own is wrong.
    evidence: str | None = None  #: A note: the SubmissionRejection, or for a conflict the first SubmissionAcceptance.
    accepted: FirstAcceptance | None = None
    errors: Annotated[tuple[Flaw, ...], msgspec.Meta(max_length=errors_max)] = ()

    @property
    def kind(self) -> Kind | None:
        """What this library knows about the code, or nothing for a code that is newer."""
        return KINDS[Code(self.code)] if self.code in _VALUES else None


_VALUES: Final = frozenset(code.value for code in Code)
#: Control, format and surrogate characters, line and paragraph separators.
_UNPRINTABLE: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(Problem)


class ProblemError(ValueError):
    """This answer is no problem of ours; something between client and broker may have written it."""


def of(
    code: Code | str,
    *,
    time_ms: int,
    detail: str | None = None,
    evidence: bytes | None = None,
    accepted: FirstAcceptance | None = None,
    errors: Sequence[Flaw] = (),
) -> Problem:
    """A problem with `code`. `detail` is for a person and may quote what was sent: it is made safe to print.

    Never fails for a code of this release, since it stands on the way of failures.

    Raises:
        ValueError: there is no such code.
    """
    code = Code(code)
    kind = KINDS[code]
    if kind.vague:
        detail, evidence, accepted, errors = None, None, None, ()
    return Problem(
        type=TYPE_PREFIX + code,
        title=kind.title,
        status=kind.status,
        detail=_printable(detail) if detail else kind.title,
        code=code.value,
        retryable=kind.retryable,
        time=time_ms,
        evidence=None if evidence is None else evidence.decode(errors="replace"),
        accepted=accepted,
        errors=tuple(
            Flaw(pointer=_printable(flaw.pointer), detail=_printable(flaw.detail)) for flaw in errors[:errors_max]
        ),
    )


def encode(problem: Problem) -> bytes:
    """The problem in JSON, for a body of type `MEDIA_TYPE`."""
    return _ENCODER.encode(problem)


def decode(data: bytes) -> Problem:
    """The problem that an answer holds, its texts made safe to print. Nothing about it is proved.

    Raises:
        ProblemError: it is too long, or is no problem. No other exception leaves.
    """
    if len(data) > problem_bytes_max:
        raise ProblemError(f"{len(data)} bytes, more than {problem_bytes_max}")
    try:
        problem = _DECODER.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeError, ValueError) as error:
        raise ProblemError(str(error)) from None
    return msgspec.structs.replace(
        problem,
        type=_printable(problem.type),
        title=_printable(problem.title),
        detail=_printable(problem.detail),
        code=_printable(problem.code),
        errors=tuple(Flaw(pointer=_printable(flaw.pointer), detail=_printable(flaw.detail)) for flaw in problem.errors),
    )


def _printable(text: str) -> str:
    """`text` in one line and cut to size, with nothing in it that moves a cursor or turns the direction of reading."""
    cut = text[:text_characters_max]
    safe = "".join("\ufffd" if unicodedata.category(c) in _UNPRINTABLE else c for c in cut)
    return unicodedata.normalize("NFC", safe)
