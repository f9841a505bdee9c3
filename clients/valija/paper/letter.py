"""A document with what is known of the message that brought it: the whole outline that a reader is shown.

The promise: what must not be overlooked stands first (exercise, what is not verified, risk to life, handling, time),
and a document that cannot be relied on is never shown without saying so.

Before this room: `valija.cli.show`. After it: `reading`, `outline`. Pure: the time and the reader's zone come in.
"""

import datetime as dt
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from valija.paper import reading, times
from valija.paper.file import Flaw
from valija.paper.language import Words
from valija.paper.outline import Group, Item, Notice, Outline, Row
from valija_schemas.agreements import is_bilateral
from valija_schemas.directory import Area, Phonebook
from valija_schemas.documents import Block, Document, Priority, respond_by_default_ms, type_of
from valija_schemas.documents.blocks.case import Confidentiality, Handling, RespondBy
from valija_schemas.documents.fields import Field, fields_of
from valija_schemas.message import Message

if TYPE_CHECKING:  # the inbox is no part of reading
    from valija.received import Envelope

#: Shown above everything else, and so not again in their place.
_FIRST: Final = frozenset({"handling", "confidentiality", "risk_to_life", "respond_by"})

Standing = Literal["verified", "false", "unchecked", "no-message"]
"""Verified as its sender's; proved not to be; could not be decided; or a file that no signature comes with."""


class Party(msgspec.Struct, frozen=True, kw_only=True):
    """A contact point as the directory version that the message names knows it."""

    id: str
    name: str | None = None  #: None: not in that version, or the version is not held.
    state: str | None = None
    organisation: str | None = None
    area: Area | None = None


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """A message that answers it."""

    digest: str
    sender: str
    time: int  #: When it was sent by us, or received, in milliseconds since 1970.


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the message around a document. Times in milliseconds since 1970."""

    id: str
    digest: str
    type_: str
    sender: Party
    to: tuple[Party, ...]
    thread: str
    in_reply_to: str | None
    sent: int
    expires: int
    priority: Priority
    exercise: bool
    directory: int  #: The version that it names.
    mine: bool  #: Whether we sent it.
    accepted: int | None  #: By the broker, by its signed word.
    accepted_fault: str  #: Why that word proves nothing; empty where it does, or where there is none.
    received: int | None  #: When it was fetched here; None for a message of ours, or one that came as a file.
    replies: tuple[Reply, ...] = ()  #: Oldest first.
    answered: bool = False  #: Whether one of these is more than word of where it stands.
    state: str | None  #: In outbox or inbox: pending, accepted, refused, stored, delivered, rejected.


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in the message, or in a file that is none."""

    type_: str  #: As the message or the file says.
    document: Document | None = None  #: Valid; or
    data: bytes | None = None  #: what cannot be read as a document of its type.
    flaws: tuple[Flaw, ...] = ()  #: What is wrong with that.
    unread: str = ""  #: Why there is neither, or why the type is not known.


def party(id_: str, book: Phonebook | None) -> Party:
    """A contact point as `book` knows it."""
    point = book.point(id_) if book is not None else None
    if point is None:
        return Party(id=id_)
    return Party(id=id_, name=point.name, state=point.state, organisation=point.organisation, area=point.area)


def of(message: Message, book: Phonebook | None, **known: Any) -> Letter:
    """What a message says of itself, its parties as `book` knows them, with what is `known` of it here besides."""
    header = message.header
    return Letter(
        id=header.id,
        digest=message.digest,
        type_=header.type,
        sender=party(header.sender, book),
        to=tuple(party(id_, book) for id_ in header.to),
        thread=header.thread,
        in_reply_to=header.in_reply_to,
        sent=header.sent,
        expires=header.expires,
        priority=header.priority,
        exercise=header.exercise,
        directory=header.directory[0],
        **known,
    )


def received(envelope: "Envelope", book: Phonebook, at: int) -> Letter:
    """What is known of a message that an inbox handed over at `at`; `book` is the directory version that it names."""
    return of(
        envelope.opened.message,
        book,
        mine=False,
        accepted=at,
        accepted_fault=envelope.acceptance_fault or "",
        received=at,
        state="delivered",
    )


def outline(
    content: Content,
    letter: Letter | None,
    standing: Standing,
    detail: str,
    words: Words,
    *,
    now_ms: int,
    zone: dt.tzinfo | None = None,
) -> Outline:
    """What a reader is shown. `detail` says, in the words of our log, why the standing is not `verified`.

    `zone` is the reader's, None that of the machine.
    """
    made = _Making(content, letter, words, now_ms, zone)
    exercise = words.say("EXERCISE") if letter is not None and letter.exercise else ""
    document = content.document
    title = words.title(type_of(document)) if document is not None else _unknown_title(content, words)
    return Outline(
        language=words.language,
        written_in=document.language if document is not None else None,
        title=title,
        running=(*((exercise,) if exercise else ()), *made.running(), title),
        exercise=exercise,
        notices=tuple(made.notices(standing, detail)),
        groups=tuple(made.groups()),
    )


def _unknown_title(content: Content, words: Words) -> str:
    return words.say("Document that cannot be read as {type}", type=content.type_)


class _Making:
    """One outline in the making."""

    def __init__(
        self, content: Content, letter: Letter | None, words: Words, now_ms: int, zone: dt.tzinfo | None
    ) -> None:
        self._content = content
        self._letter = letter
        self._words = words
        self._now = dt.datetime.fromtimestamp(now_ms / 1000, dt.UTC)
        self._zone = zone
        self._reading = reading.Reading(words)

    def running(self) -> Iterator[str]:
        """What stands on every page."""
        confidentiality, handling = self._get("confidentiality"), self._get("handling")
        if isinstance(handling, Handling):
            yield self._words.say("Handling: {codes}", codes=", ".join(handling.use))
        if isinstance(confidentiality, Confidentiality) and confidentiality.level != "none":
            level = self._words.code("level", confidentiality.level)
            said = self._words.say("Confidentiality: {level}", level=level)
            yield f"{said} {confidentiality.until}" if confidentiality.until else said

    # What must not be overlooked

    def notices(self, standing: Standing, detail: str) -> Iterator[Notice]:
        """Sentences, the gravest first."""
        say = self._words.say
        letter = self._letter
        if letter is not None and letter.exercise:
            yield Notice(say("EXERCISE: nothing in this message is real. Do nothing outside the exercise."), "alarm")
        if standing == "false":
            yield Notice(say("NOT VERIFIED: do not rely on it ({detail}).", detail=detail), "alarm")
        elif standing == "unchecked":
            yield Notice(say("It could not be verified here: do not rely on it ({detail}).", detail=detail), "alarm")
        elif standing == "no-message":
            yield Notice(say("This is a file and no message: nothing proves who wrote it, or when."))
        yield from self._faults()
        yield from self._dangers()
        if standing == "verified" and letter is not None:
            sender, version = letter.sender.id, letter.directory
            yield Notice(
                say(
                    "Verified: signed by {sender} with a key that directory version {version} names.",
                    sender=sender,
                    version=version,
                ),
                "good",
            )
        if letter is not None and letter.accepted_fault:
            detail = letter.accepted_fault
            yield Notice(say("The broker's word that it accepted this proves nothing ({detail}).", detail=detail))

    def _faults(self) -> Iterator[Notice]:
        say, content = self._words.say, self._content
        if content.document is not None:
            return
        if content.data is None:
            yield Notice(say("Its content cannot be shown ({detail}).", detail=content.unread), "alarm")
            return
        if is_bilateral(content.type_) and not content.flaws:
            return  # the two who agreed on it know what its fields mean
        text = say("What follows is what stands in it, as plain fields. It is no valid document: do not rely on it.")
        yield Notice(text, "alarm")
        if content.unread:
            yield Notice(f"{content.unread}.", "alarm")
        for flaw in content.flaws:
            yield Notice(str(flaw), "alarm")

    def _dangers(self) -> Iterator[Notice]:
        say, letter = self._words.say, self._letter
        if self._get("risk_to_life") is not None or any(risk.danger == "life" for risk in self._get("risks") or ()):
            yield Notice(say("A life is at risk."), "alarm")
        answered = letter is not None and letter.answered
        if not answered and (due := self._due()) is not None and due < self._now:
            if letter is not None and letter.mine:
                yield Notice(say("The time by which an answer was wanted has passed."))
            else:
                yield Notice(say("OVERDUE: the time by which an answer is wanted has passed."), "alarm")
        handling = self._get("handling")
        if isinstance(handling, Handling):
            until = handling.retain_until
            if until is not None and until < self._now.date().isoformat():
                yield Notice(say("It was to be kept until {day}: erase it, as its sender asks.", day=until), "alarm")

    # Headings and rows

    def groups(self) -> Iterator[Group]:
        """What must not be overlooked, the message, and the document."""
        say, content = self._words.say, self._content
        if content.document is not None and (first := tuple(self._first(content.document))):
            yield Group(say("Read this first"), first)
        if self._letter is not None:
            yield Group(say("Message"), tuple(self._envelope(self._letter)))
        if content.document is not None:
            yield Group(say("Document"), tuple(self._reading.fields(content.document, without=_FIRST)))
        elif content.data is not None:
            yield Group(say("What stands in it"), reading.plain(content.data, self._words))

    def _first(self, document: Document) -> Iterator[Item]:
        for field in fields_of(type(document)):
            value = getattr(document, field.name)
            match value:
                case Handling():
                    yield Group(self._words.label(field), tuple(self._handling(value)))
                case RespondBy():
                    yield Group(self._words.label(field), tuple(self._respond_by(value)))
                case None if field.name == "respond_by" and (due := self._due()) is not None:
                    text = self._words.say("No time is named. By its priority, from its receipt:")
                    yield Row(self._words.label(field), (text, *self._deadline(due)), own=True)
                case None:
                    pass
                case _ if field.name in _FIRST:
                    yield self._reading.field(field, value)

    def _handling(self, handling: Handling) -> Iterator[Item]:
        yield from self._reading.fields(handling)
        if handling.consent_contact is None:
            sender = self._letter.sender.id if self._letter is not None else None
            text = self._words.say("the contact point that sent it")
            yield Row(self._label(Handling, "consent_contact"), (f"{text}: {sender}" if sender else text,), own=True)

    def _respond_by(self, wanted: RespondBy) -> Iterator[Item]:
        due = self._due()
        shown = dict.fromkeys((times.written(wanted.by), *(self._deadline(due) if due is not None else ())))
        yield Row(self._label(RespondBy, "by"), tuple(shown), own=True)  # each spelling once
        yield from self._reading.fields(wanted, without=frozenset({"by"}))

    def _deadline(self, due: dt.datetime) -> Iterator[str]:
        try:
            local, utc = times.local_and_utc(due, self._zone)
        except (OverflowError, ValueError, OSError):
            return
        if local != utc:
            yield self._words.say("{time} (here)", time=local)
        yield utc

    def _due(self) -> dt.datetime | None:
        """The time by which an answer is wanted, where one can be said."""
        document, letter = self._content.document, self._letter
        wanted = self._get("respond_by")
        try:
            if isinstance(wanted, RespondBy):
                return dt.datetime.fromisoformat(wanted.by)
            if document is None or letter is None or "respond_by" not in document.__struct_fields__:
                return None
            received = letter.received or letter.accepted
            if received is None:
                return None
            return dt.datetime.fromtimestamp(respond_by_default_ms(letter.priority, received) / 1000, dt.UTC)
        except (OverflowError, ValueError, OSError):
            return None

    def _envelope(self, letter: Letter) -> Iterator[Row]:
        say = self._words.say

        def instant(time_ms: int) -> tuple[str, ...]:
            return (times.instant(time_ms, self._zone),)

        document = self._content.document
        type_ = letter.type_ if document is None else f"{self._words.title(type_of(document))} ({letter.type_})"
        yield Row(say("From"), (self._party(letter.sender),), own=True)
        yield Row(say("To"), tuple(map(self._party, letter.to)), own=True)
        yield Row(say("Type"), (type_,), own=True)
        yield Row(say("Priority"), (self._words.code("priority", letter.priority),), own=True)
        yield Row(say("Sent"), instant(letter.sent), own=True)
        if letter.accepted is not None:
            yield Row(say("Accepted by the broker"), instant(letter.accepted), own=True)
        elif letter.mine:
            yield Row(say("Accepted by the broker"), (say("no, or not yet"),), own=True)
        if letter.received is not None:
            yield Row(say("Received"), instant(letter.received), own=True)
        if letter.state is not None:
            yield Row(say("State here"), (_state(letter.state, self._words),), own=True)
        yield Row(say("Expires"), instant(letter.expires), own=True)
        yield Row(say("Message id"), (letter.id,), own=True)
        yield Row(say("Digest"), (letter.digest,), own=True)
        yield Row(say("Thread"), (letter.thread,), own=True)
        if letter.in_reply_to is not None:
            yield Row(say("In reply to"), (letter.in_reply_to,), own=True)
        if letter.replies:
            said = (f"{each.sender}, {times.instant(each.time, self._zone)}, {each.digest}" for each in letter.replies)
            yield Row(say("Replies"), tuple(said), own=True)

    def _party(self, party: Party) -> str:
        state = self._words.state(party.state) if party.state else party.organisation
        area = self._words.code("area", party.area) if party.area else None
        about = ", ".join(part for part in (party.name, state, area) if part)
        return f"{party.id}: {about}" if about else self._words.say("{id} (not in the directory)", id=party.id)

    def _label(self, block: type[Block], name: str) -> str:
        found: Field = next(field for field in fields_of(block) if field.name == name)
        return self._words.label(found)

    def _get(self, name: str) -> Any:
        return getattr(self._content.document, name, None)


def _state(state: str, words: Words) -> str:
    return {
        "pending": words.say("waits in the outbox"),
        "accepted": words.say("accepted by the broker"),
        "refused": words.say("refused by the broker"),
        "stored": words.say("fetched, and not acknowledged yet"),
        "delivered": words.say("received and acknowledged"),
        "rejected": words.say("refused by us"),
    }[state]
