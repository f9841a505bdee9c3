"""What those who run a broker are shown, and nothing more: the answers of its admin API, in JSON.

Commands, console and API show the same records, so that what one says can be looked up in another. None of them holds
content, and none can: the broker has no key that opens any. What is here of a message stands in its header, or is an
event about it. Times in milliseconds since 1970; spans in milliseconds.

Before this room: nothing. After it: `valija_broker.observe`, which fills these.
"""

from typing import Annotated, Final, Literal

import msgspec

from valija_schemas.directory import Area, TypeName
from valija_schemas.message import Priority
from valija_schemas.wire import Count, Digest, Identifier, MessageId, Milliseconds

page_max: Final = 200  #: Records of one page.

ShareState = Literal["ready", "leased", "dead", "delivered", "refused", "failed"]
"""What became of one recipient's share: waits, is lent, lies among the dead letters, was taken, refused by it, or
ended without it (expired, discarded, its owner withdrawn)."""

Verdict = Literal["ok", "warning", "critical", "unknown"]
"""As monitors have it; `unknown` where it could not be looked at."""


class _Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fields in this order, all present, none unknown."""


class Attention(_Record, frozen=True, kw_only=True):
    """Something that a person should look at, in words."""

    code: str  #: Names the kind of matter, the same in every language: `mailbox-stuck`.
    verdict: Verdict
    words: str  #: In English; the console says it in the reader's language from `code` and `values`.
    values: dict[str, str]  #: What fills the words: a contact point, a span, a count.
    place: str  #: Path of the console's page about it: `/contact-points/pe.enlace`.
    command: str  #: What shows the same in a terminal.


class Minute(_Record, frozen=True, kw_only=True):
    """What happened in one minute."""

    time: Milliseconds  #: When it began.
    accepted: Count
    handed_over: Count
    acknowledged: Count  #: Taken or refused by a recipient.
    died: Count


class Checkpoint(_Record, frozen=True, kw_only=True):
    """The newest published head of the log."""

    size: Count
    root: Digest
    time: Milliseconds | None  #: When it was signed; null where none is known.
    cosigned: tuple[str, ...]  #: The witnesses that cosigned it.
    quorum: Count  #: How many must have.


class Overview(_Record, frozen=True, kw_only=True):
    """How it stands, on one page."""

    time: Milliseconds  #: By the broker's clock; what is older than a minute is stale.
    origin: str
    version: str  #: Of the software.
    attention: tuple[Attention, ...]  #: The gravest first.
    minutes: tuple[Minute, ...]  #: The last 60, the oldest first.
    ready: Count
    leased: Count
    dead: Count
    outbox: Count  #: Events that wait for the evidence store.
    oldest: Milliseconds | None  #: When the longest-waiting message was accepted.
    oldest_in: Identifier | None  #: Whose mailbox it waits in.
    checkpoint: Checkpoint | None
    directory: Count
    directory_expires: Milliseconds | None
    canary: Milliseconds | None  #: When a canary last came back; null where none is configured or none did.


class Mailbox(_Record, frozen=True, kw_only=True):
    """A contact point and its mailbox."""

    id: Identifier
    state: str | None  #: ISO 3166-1 alpha-2; null for an organisation.
    organisation: str | None
    name: str
    area: Area
    status: Literal["active", "suspended", "withdrawn"]
    held_until: Milliseconds | None
    ready: Count
    leased: Count
    dead: Count
    oldest: Milliseconds | None  #: When its longest-waiting message was accepted.
    collect_p95: Count | None  #: Acceptance to receipt, 95th percentile of 24 hours, in ms.
    last_seen: Milliseconds | None  #: Its newest verified request or message, some seconds late; null: none yet.
    keys: dict[Literal["sign", "seal", "auth"], tuple[Count, Count, Count]]  #: Active, retired, revoked.
    hours: tuple[Count, ...]  #: Messages it took in each of the last 24 hours, the oldest first; none: unknown.


class Share(_Record, frozen=True, kw_only=True):
    """One recipient's part of a message."""

    recipient: Identifier
    state: ShareState
    since: Milliseconds | None
    attempts: Count | None  #: Null where it is not queued any more.
    reason: str | None  #: Of death, refusal or failure.


class MessageRow(_Record, frozen=True, kw_only=True):
    """What is known of a message."""

    digest: Digest
    id: MessageId
    sender: Identifier
    type: TypeName | None
    priority: Priority | None
    exercise: bool | None
    thread: MessageId | None
    in_reply_to: Digest | None
    bytes: Count | None
    accepted: Milliseconds
    expires: Milliseconds | None
    shares: tuple[Share, ...]


class Wanted(_Record, frozen=True, kw_only=True):
    """Which messages are looked for: those that are like this in each field that is not null."""

    sender: Identifier | None = None
    recipient: Identifier | None = None
    type: TypeName | None = None
    state: Literal["waiting", "delivered", "refused", "failed"] | None = None  #: Of a share; waiting has no end yet.
    exercise: bool | None = None
    prefix: Annotated[str, msgspec.Meta(pattern="^[0-9a-f-]{4,64}$")] | None = None  #: Of the digest or the id.
    since: Milliseconds | None = None  #: Accepted then or later.
    until: Milliseconds | None = None  #: Accepted before.


class Messages(_Record, frozen=True, kw_only=True):
    """A page of messages, the newest first. It may be short, or empty, and yet not the last: `next` says so."""

    messages: tuple[MessageRow, ...]
    next: str | None  #: Where the next page begins; null at the end.


class Happened(_Record, frozen=True, kw_only=True):
    """An event of a message, as the log has it."""

    event: str
    time: Milliseconds
    by: str  #: `broker`, a contact point, or the operators.
    to: tuple[Identifier, ...]
    reason: str | None
    index: Count  #: Of its leaf.
    proof: Literal["proved", "waiting", "false"]  #: Of inclusion under the newest checkpoint, checked now.


class MessageStory(_Record, frozen=True, kw_only=True):
    """One message: what is known of it, and what happened."""

    message: MessageRow
    events: tuple[Happened, ...]


class DeadLetter(_Record, frozen=True, kw_only=True):
    """One recipient's share of a message that nobody managed to take. Null where it was altered beyond reading."""

    mailbox: Identifier
    digest: Digest | None
    id: MessageId | None
    sender: Identifier | None
    since: Milliseconds
    attempts: Count
    reason: str


class DeadGroup(_Record, frozen=True, kw_only=True):
    """Dead letters of one cause."""

    reason: str  #: As recorded: `attempts`, `unverified`, `corrupt`, `altered`; `more` for what one look does not read.
    words: str  #: What that means and what to do, in English.
    count: Count
    mailboxes: tuple[Identifier, ...]
    oldest: Milliseconds  #: When the first of them died.
    letters: tuple[DeadLetter, ...]  #: The oldest first, at most `page_max`.


class DirectoryVersion(_Record, frozen=True, kw_only=True):
    """A version of the directory, and what it changed."""

    version: Count
    digest: Digest
    root: Count
    issued: Milliseconds
    expires: Milliseconds
    contact_points: Count
    changes: tuple[str, ...]  #: Against the version before, in words.


class WitnessState(_Record, frozen=True, kw_only=True):
    """A witness that the root names."""

    name: str
    cosigned: bool  #: The newest checkpoint.


class LogState(_Record, frozen=True, kw_only=True):
    """The log and who watches it."""

    origin: str
    checkpoint: Checkpoint | None
    note: str  #: The newest checkpoint as it is published; empty before the first.
    witnesses: tuple[WitnessState, ...]
    retained: tuple[str, ...]  #: What a legal hold is on.


class Act(_Record, frozen=True, kw_only=True):
    """Something that operators ordered, from the log."""

    digest: Digest  #: Of the order.
    act: str  #: replay, discard, retain, release, erase, hold, lift.
    operators: tuple[Identifier, ...]
    message: Digest | None
    contact_point: Identifier | None
    reason: str
    time: Milliseconds
    index: Count  #: Of its leaf.


class Check(_Record, frozen=True, kw_only=True):
    """One look at one part."""

    name: Literal["broker", "queue", "log", "directory", "clock", "storage", "canary"]
    verdict: Verdict
    code: str  #: Names what was found, the same in every language: that of an `Attention`, or `queue-good`.
    words: str  #: In English; the console says it in the reader's language from `code` and `said`.
    said: dict[str, str]  #: What fills the words.
    values: dict[str, float]  #: For monitors that draw: `oldest_age_s`, `free_bytes`.


class Health(_Record, frozen=True, kw_only=True):
    """Every look."""

    verdict: Verdict
    checks: tuple[Check, ...]  #: Of those that could be looked at the worst decides; what is not set up is unknown.


class Exchanged(_Record, frozen=True, kw_only=True):
    """What one State, or organisation, sent another in a month, in one area. No case, no content, no exercise."""

    sender: str  #: A State by its two letters, or an organisation.
    recipient: str
    area: Area  #: Of the recipient.
    messages: Count
    answered: Count  #: Those of them that the recipient replied to.
    answer_median: Count | None  #: Their acceptance to that of the first reply, in ms.
    collect_median: Count | None  #: Acceptance to receipt, in ms.


class Report(_Record, frozen=True, kw_only=True):
    """What an evaluation mechanism may know of a month."""

    month: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$")]
    origin: str
    messages: Count
    exercises: Count  #: Left out of everything else.
    by_type: dict[str, Count]
    exchanged: tuple[Exchanged, ...]
