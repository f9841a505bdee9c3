"""information-request: one law-enforcement authority asks another."""

from typing import Annotated, Final, Literal

import msgspec

from valija_schemas.documents import codes
from valija_schemas.documents.base import Document, Faults, document, rule
from valija_schemas.documents.blocks.case import (
    Authority,
    Case,
    Confidentiality,
    Handling,
    LegalBasis,
    Question,
    RespondBy,
    citations,
    numbered,
)
from valija_schemas.documents.blocks.files import File
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
class InformationRequest(Document, frozen=True, kw_only=True):
    """A request for information between law-enforcement authorities (UNTOC art. 27(1)).

    Inquiries follow art. 27(1)(b) to (f): identity, whereabouts and activities of suspects and others; movement of
    proceeds; movement of property and instrumentalities; items or substances for analysis; means and methods, routes
    and false documents; liaison. Times after ISO 8601 with offset.
    """

    authority: Authority  #: Who asks.
    case: Case  #: In which case.
    legal_basis: tuple[LegalBasis, ...] = ()  #: Under which instruments; may be empty in a kidnapping or risk to life.
    handling: Handling  #: What the receiver may do with this request.
    confidentiality: Confidentiality | None = None  #: Whether the request itself is kept secret; null: the law decides.
    risk_to_life: codes.Text | None = None  #: Whose life is at risk and why; null: none is known to be.
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

    @rule("offence-needed")
    def case_has_an_offence(self) -> Faults:
        """A request names at least one offence, unless a life is at risk."""
        if not self.case.offences and self.risk_to_life is None:
            yield (
                ".case.offences",
                "Name at least one offence with its citation: the receiver's law asks what it is for.",
            )

    @rule("legal-basis-needed")
    def stands_on_an_instrument(self) -> Faults:
        """A request names its legal basis, unless it is about a kidnapping or a life is at risk."""
        if not self.legal_basis and not self._about_a_life():
            yield ".legal_basis", "Name the treaty and article, the law, or reciprocity. A risk to life needs none."

    @rule("legal-basis-citation")
    def instruments_can_be_looked_up(self) -> Faults:
        """A treaty is cited with its article, a bilateral one or a law also with its title; reciprocity has neither."""
        if not self._about_a_life():
            yield from citations(self.legal_basis, ".legal_basis")

    def _about_a_life(self) -> bool:
        # Nothing about the legal basis holds up such a request.
        return self.risk_to_life is not None or any(offence.code == "kidnapping" for offence in self.case.offences)
