"""person-alert: help to find somebody, or to say who somebody is."""

from typing import Annotated, Literal

import msgspec

from valija_schemas.documents import codes
from valija_schemas.documents.base import Block, Document, Faults, document, rule
from valija_schemas.documents.blocks.case import Authority, Case, Grading, Handling, LegalBasis, RespondBy
from valija_schemas.documents.blocks.files import File, images
from valija_schemas.documents.blocks.information import Information, Risk, Subject
from valija_schemas.documents.blocks.people import Location, Person
from valija_schemas.documents.blocks.things import Communication, Money


class PhysicalDescription(Block, frozen=True, kw_only=True):
    """What a person looks like. Height in centimetres, weight in kilograms, age in years."""

    text: codes.Text  #: What anybody would notice first.
    apparent_age: Annotated[int, msgspec.Meta(ge=0, le=130)] | None = None  #: In years.
    height_cm: Annotated[int, msgspec.Meta(ge=20, le=300)] | None = None  #: In centimetres.
    weight_kg: Annotated[int, msgspec.Meta(ge=1, le=500)] | None = None  #: In kilograms.
    hair: codes.Name | None = None  #: Colour and cut.
    eyes: codes.Name | None = None  #: Colour.
    marks: codes.Text | None = None  #: Scars, tattoos, other marks.
    clothing: codes.Text | None = None  #: When last seen or found.


class LastSeen(Block, frozen=True, kw_only=True):
    """When and where a missing person was last seen, or an unidentified person was found."""

    at: codes.DateTime | None = None  #: As near as it is known.
    location: Location | None = None  #: The place.
    text: codes.Text  #: The circumstances.
    grading: Grading  #: How far this can be trusted.


class Demands(Block, frozen=True, kw_only=True):
    """What the captors ask for."""

    text: codes.Text  #: What they said, as near to their words as is known.
    grading: Grading  #: How far this can be trusted.
    received: codes.DateTime | None = None  #: When.
    deadline: codes.DateTime | None = None  #: The time that they set.
    money: Money | None = None  #: The ransom.
    communications: tuple[Communication, ...] = ()  #: How they made themselves heard.


@document(
    "person-alert",
    1,
    areas=("law-enforcement", "judicial"),
    source="INTERPOL Rules on the Processing of Data art. 90",
    replies=("response/1",),
)
class PersonAlert(Document, frozen=True, kw_only=True):
    """An alert for a missing, abducted or unidentified person (INTERPOL Rules on the Processing of Data art. 90).

    The minimum identifiers of that article are enforced, since an alert without them finds nobody. A legal basis is
    welcome, never required and never checked.
    """

    authority: Authority  #: Who asks.
    case: Case  #: In which case; offences may be empty.
    legal_basis: tuple[LegalBasis, ...] = ()  #: Never required.
    handling: Handling  #: What the receiver may do with this alert.
    kind: Literal["kidnapping", "parental-abduction", "disappearance", "unidentified-person"]  #: What happened.
    person: Person  #: Whom it is about; names may be empty where they are not known.
    description: PhysicalDescription | None = None  #: What the person looks like.
    photographs: tuple[File, ...] = ()  #: Pictures in which the person can be recognized.
    fingerprints: tuple[File, ...] = ()  #: Prints, as images or in the ANSI/NIST-ITL format.
    dna: tuple[File, ...] = ()  #: Profiles, as the laboratory reports them.
    last_seen: LastSeen | None = None  #: Last seen, or found.
    risks: tuple[Risk, ...] = ()  #: Empty: none is known.
    demands: Demands | None = None  #: Null: none were made.
    subjects: tuple[Subject, ...] = ()  #: Captors, companions, vehicles, phones.
    information: tuple[Information, ...] = ()  #: What else is known.
    requested: codes.Text | None = None  #: What the receiver is asked to do.
    respond_by: RespondBy | None = None  #: By when, and why; null: as the priority says.

    @rule("alert-identifiers")
    def missing_person_can_be_recognized(self) -> Faults:
        """A missing person has a family name, forename, sex, year of birth, and a description, photo, prints or DNA."""
        if self.kind == "unidentified-person":
            return
        if not any(name.family_name is not None for name in self.person.names):
            yield ".person.names", "Give the family name: no alert for a missing person goes out without it."
        if not any(name.forename is not None for name in self.person.names):
            yield ".person.names", "Give the forename: no alert for a missing person goes out without it."
        if self.person.sex is None:
            yield ".person.sex", "Give the sex: M, F, or X for unspecified."
        if self.person.date_of_birth is None:
            yield ".person.date_of_birth", "Give the date of birth, or the year alone with the precision year."
        if self.description is None and not (self.photographs or self.fingerprints or self.dna):
            yield "", "Give one way to recognize the person: a description, a photograph, fingerprints or DNA."

    @rule("unidentified-identifiers")
    def unidentified_person_can_be_matched(self) -> Faults:
        """An unidentified person has a description, a sex, and a photograph, fingerprints or DNA."""
        if self.kind != "unidentified-person":
            return
        if self.description is None:
            yield ".description", "Describe the person: an unknown person has no name to search for."
        if self.person.sex is None:
            yield ".person.sex", "Give the sex: M, F, or X for unspecified."
        if not (self.photographs or self.fingerprints or self.dna):
            yield "", "Give one thing to compare with: a photograph, fingerprints or DNA."

    @rule("photograph-media-type")
    def photographs_are_images(self) -> Faults:
        """A photograph is an image."""
        yield from images(self.photographs, ".photographs")
