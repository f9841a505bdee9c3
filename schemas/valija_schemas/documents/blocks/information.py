"""Items of information and what they are about; each with its own grading, so that doubt is not averaged away."""

from valija_schemas.documents import codes
from valija_schemas.documents.base import Block
from valija_schemas.documents.blocks.case import Grading
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
