"""A case as an officer reads it: who said what when, and what is known of each question by now.

Partial answers are joined by the number of the question, whoever gave them; what nobody answered, or what the newest
answer says is still to come, is open. The texts are those of the documents, opened for this and kept nowhere.

Before this room: `client`, `cli`. After it: `index`, `sources`, `valija_schemas.documents`.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from valija.cases.course import Asked, course
from valija.cases.entries import Case, Entry
from valija.cases.handling import Consent
from valija.cases.index import CaseIndex
from valija.cases.sources import UnreadableError, open_row
from valija.errors import StateError
from valija.keys import Keys
from valija_schemas import documents
from valija_schemas.agreements import is_bilateral
from valija_schemas.documents.blocks.case import Handling
from valija_schemas.message import MessageError, check_digest, read


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """A message of the exchange, opened."""

    entry: Entry
    thread: str
    at: int  #: When it was sealed, by its sender's clock, in ms.
    exercise: bool
    raw: bytes  #: As transmitted.
    json: bytes | None  #: The document as it was sealed; None where it does not open here.
    document: documents.Document | None
    unreadable: str | None  #: Why it does not.

    @property
    def handling(self) -> Handling | None:
        """What its receiver may do with it."""
        return getattr(self.document, "handling", None)

    def __repr__(self) -> str:
        return f"Turn({self.entry.digest!r})"


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """An answer to a question."""

    digest: str  #: Of the message that gave it.
    sender: str
    at: int
    text: str
    grading: str  #: The 4x4 grading: `A1`.


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A question, and what is known of it by now."""

    digest: str  #: Of the message that asked it.
    asker: str
    number: int
    text: str
    answers: tuple[Given, ...]
    open: bool  #: Nobody has answered it, or more was announced.
    withdrawn: bool


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """A case with everything that was said in it."""

    case: Case
    turns: tuple[Turn, ...]
    asked: tuple[Asked, ...]
    questions: tuple[Question, ...]
    consents: Mapping[str, tuple[Consent, ...]] = {}  #: By the digest of the message that they are for.


_QUESTIONS: Final = "questions"


def exchange(index: CaseIndex, id_or_digest: str, keys: Keys, now_ms: int) -> Exchange:
    """The case with this thread, or with this message in it.

    Raises:
        UnknownMessageError: there is none.
    """
    case, entries = index.case(id_or_digest, now_ms)
    turns = tuple(turn(index, entry, keys) for entry in entries)
    asked = course([entry.said for entry in entries if entry.counts], keys.id).asked
    by_digest = {each.entry.digest: each for each in turns}
    return Exchange(case=case, turns=turns, asked=asked, questions=tuple(_questions(asked, by_digest)))


def turn(index: CaseIndex, entry: Entry, keys: Keys) -> Turn:
    """A message of the index, opened.

    Raises:
        StateError: another one stands in its place, or the index says of it what it does not say itself.
    """
    (row,) = index.sources.at(entry.source, [entry.number])
    message = read(row.raw, keys.origin)
    try:
        check_digest(message.header, message.body)
    except MessageError as error:
        raise StateError(f"the state folder is damaged: message {entry.digest[:16]}: {error}") from None
    if message.digest != entry.digest:
        raise StateError(f"the state folder is damaged: another message stands in the place of {entry.digest[:16]}")
    header, said = message.header, entry.said
    if (header.sender, tuple(header.to), header.type) != (said.sender, said.to, said.type):
        # Whose it is decides what may be done with it, so that is never taken from the index alone.
        raise StateError("the case index is damaged", hint="Delete cases.sqlite in the state folder: it is made again.")
    json = document = unreadable = None
    try:
        _, json = open_row(row, message, keys)
        if is_bilateral(message.header.type):
            unreadable = f"{message.header.type} has plain fields, as you two agreed"
        else:
            document = documents.decode(message.header.type, json)
    except (UnreadableError, documents.DocumentError, documents.UnknownType) as error:
        unreadable = str(error)
    return Turn(
        entry=entry,
        thread=message.header.thread,
        at=message.header.sent,
        exercise=message.header.exercise,
        raw=row.raw,
        json=json,
        document=document,
        unreadable=unreadable,
    )


def _questions(asked: Iterable[Asked], turns: dict[str, Turn]) -> Iterator[Question]:
    for each in asked:
        asking = turns[each.said.digest]
        answers = [turns[said.digest] for said in each.answers if said.sender != each.said.sender]
        for question in getattr(asking.document, _QUESTIONS, ()):
            given = tuple(_given(answers, question.number))
            withdrawn = each.withdrawn or question.number in each.withdrawn_questions
            yield Question(
                digest=each.said.digest,
                asker=each.said.sender,
                number=question.number,
                text=question.text,
                answers=given,
                open=not withdrawn and (not given or _announced(answers, question.number)),
                withdrawn=withdrawn,
            )


def _given(answers: Iterable[Turn], number: int) -> Iterator[Given]:
    for turn_ in answers:
        for answer in _answers(turn_):
            if answer.question == number:
                yield Given(
                    digest=turn_.entry.digest,
                    sender=turn_.entry.said.sender,
                    at=turn_.at,
                    text=answer.text,
                    grading=f"{answer.grading.source}{answer.grading.information}",
                )


def _announced(answers: Iterable[Turn], number: int) -> bool:
    """Whether the newest answer of somebody says that more will come to a question."""
    newest = {each.entry.said.sender: each for each in answers if hasattr(each.document, "items_outstanding")}
    return any(item.question == number for each in newest.values() for item in _outstanding(each))


def _answers(turn_: Turn) -> tuple[Any, ...]:
    return getattr(turn_.document, "answers", ())


def _outstanding(turn_: Turn) -> tuple[Any, ...]:
    return getattr(turn_.document, "items_outstanding", ())
