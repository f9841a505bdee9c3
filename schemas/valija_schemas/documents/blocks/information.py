"""Items of information, answers and risks, each with its own grading, so that doubt is not averaged away."""

from typing import Literal

from valija_schemas.documents import codes
from valija_schemas.documents.base import Block, Faults
from valija_schemas.documents.blocks.case import Grading, QuestionNumber
from valija_schemas.documents.blocks.files import File
from valija_schemas.documents.blocks.people import Location, Organisation, Person
from valija_schemas.documents.blocks.things import (
    Aircraft,
    BankAccount,
    Communication,
    Container,
    Firearm,
    Substance,
    Vehicle,
    Vessel,
    VirtualAssetAddress,
)

Entity = (
    Person
    | Organisation
    | Location
    | Vehicle
    | Vessel
    | Aircraft
    | Container
    | BankAccount
    | VirtualAssetAddress
    | Communication
    | Firearm
    | Substance
)
"""What a document can be about; `kind` says which."""


class Subject(Block, frozen=True, kw_only=True):
    """A person, thing or place that a document is about, and how far what is said of it can be trusted."""

    entity: Entity  #: The person, thing or place.
    grading: Grading  #: Of what is said about it.
    remarks: codes.Text | None = None  #: What it has to do with the case.


class Information(Block, frozen=True, kw_only=True):
    """An item of information: one statement with its grading."""

    text: codes.Text  #: One statement; two are two items.
    grading: Grading  #: Of this statement.
    as_of: codes.Date | None = None  #: The day to which it refers.
    subjects: tuple[Subject, ...] = ()  #: The persons, things and places that it names.
    files: tuple[File, ...] = ()  #: What shows it.


class Answer(Block, frozen=True, kw_only=True):
    """The answer to one question of the request."""

    question: QuestionNumber  #: Its number in the request.
    text: codes.Text  #: The answer.
    grading: Grading  #: How far it can be trusted.
    as_of: codes.Date | None = None  #: The day to which it refers.
    subjects: tuple[Subject, ...] = ()  #: The persons, things and places that it names.
    files: tuple[File, ...] = ()  #: What shows it.


class Risk(Block, frozen=True, kw_only=True):
    """A danger to the person, or one that the person may be to others."""

    danger: Literal["life", "health", "exploitation", "removal-abroad", "to-others", "other"]  #: What is in danger.
    text: codes.Text  #: Why: a medicine that is needed, a threat, a flight that is booked.
    grading: Grading  #: How far this can be trusted.


def answered_once(answers: tuple[Answer, ...], at: str) -> Faults:
    """The fault of questions that are answered more than once."""
    seen: set[int] = set()
    for index, answer in enumerate(answers):
        if answer.question in seen:
            yield (
                f"{at}[{index}].question",
                "Question {number} is answered twice. Make it one answer.",
                {"number": answer.question},
            )
        seen.add(answer.question)
