"""information-request: one law-enforcement authority asks another."""

from typing import Annotated, Final, Literal

import msgspec

from valija_schemas.documents.base import Faults, document, rule
from valija_schemas.documents.blocks.case import Question, RespondBy, numbered
from valija_schemas.documents.blocks.files import File
from valija_schemas.documents.blocks.frames import Request
from valija_schemas.documents.blocks.information import Information, Subject

Inquiry = Literal[
    "identity-whereabouts-activities",
    "movement-of-proceeds",
    "movement-of-property",
    "items-for-analysis",
    "means-and-methods",
    "liaison",
]
_ABOUT_SOMETHING: Final = frozenset(
    {
        "identity-whereabouts-activities",
        "movement-of-proceeds",
        "movement-of-property",
        "items-for-analysis",
    }
)


@document(
    "information-request",
    1,
    areas=("law-enforcement", "administrative", "judicial"),
    source="UNTOC art. 27(1)",
    replies=("response/1",),
)
class InformationRequest(Request, frozen=True, kw_only=True):
    """A request for information between law-enforcement authorities (UNTOC art. 27(1)).

    Inquiries follow art. 27(1)(b) to (f): identity, whereabouts and activities of suspects and others; movement of
    proceeds; movement of property and instrumentalities; items or substances for analysis; means and methods, routes
    and false documents; liaison. Times after ISO 8601 with offset.
    """

    inquiry: Annotated[tuple[Inquiry, ...], msgspec.Meta(min_length=1)]  #: What kinds of information are wanted.
    subjects: tuple[Subject, ...] = ()  #: Whom and what the questions are about.
    information: tuple[Information, ...] = ()  #: What is known already.
    questions: Annotated[tuple[Question, ...], msgspec.Meta(min_length=1)]  #: Numbered; each answerable on its own.
    respond_by: RespondBy | None = None  #: By when, and why; null: as the priority says.
    files: tuple[File, ...] = ()  #: Orders and other papers.

    @rule("questions-numbered")
    def questions_are_numbered(self) -> Faults:
        """Questions are numbered 1, 2, 3 and so on, each number once."""
        yield from numbered(self.questions, ".questions")

    @rule("inquiry-once")
    def inquiries_stand_once(self) -> Faults:
        """Each kind of inquiry stands once."""
        if len(set(self.inquiry)) != len(self.inquiry):
            yield ".inquiry", "A kind of inquiry is written twice. Remove one of the two."

    @rule("inquiry-subject")
    def inquiries_have_a_subject(self) -> Faults:
        """An inquiry about persons, proceeds, property or items has a subject."""
        if not self.subjects and not _ABOUT_SOMETHING.isdisjoint(self.inquiry):
            yield ".subjects", "Say whom or what the questions are about: a person, a phone, an account, a substance."
