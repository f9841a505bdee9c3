"""mutual-legal-assistance-request: one judicial authority asks another for evidence or a procedural act."""

from typing import Annotated, Literal

import msgspec

from valija_schemas.documents import codes
from valija_schemas.documents.base import Block, Faults, document, rule
from valija_schemas.documents.blocks.case import Question, RespondBy, numbered
from valija_schemas.documents.blocks.files import File
from valija_schemas.documents.blocks.frames import Request
from valija_schemas.documents.blocks.information import Information, Subject

AssistanceKind = Literal[
    "evidence-or-statements",
    "service-of-documents",
    "search-seizure-freezing",
    "examination-of-objects-and-sites",
    "information-evidence-expert-evaluation",
    "documents-and-records",
    "tracing-of-proceeds",
    "voluntary-appearance",
    "other",
]
"""The nine kinds of UNTOC art. 18(3), (a) to (i), in its order."""


class Proceeding(Block, frozen=True, kw_only=True):
    """The investigation, prosecution or judicial proceeding that a request belongs to (UNTOC art. 18(15)(b))."""

    nature: Literal["investigation", "prosecution", "judicial-proceeding"]  #: What it is.
    subject: codes.Text  #: What it is about.
    authority: codes.Name  #: The authority that conducts it.
    functions: codes.Name  #: What that authority is competent for.


class Assistance(Question, frozen=True, kw_only=True):
    """One act of assistance, which can be answered on its own by its number (UNTOC art. 18(15)(d))."""

    kind: AssistanceKind  #: UNTOC art. 18(3).
    procedure: codes.Text | None = None  #: A procedure that the requesting State wishes to be followed.
    located: codes.Text | None = None  #: Why what is sought is believed to be in the requested State.


@document(
    "mutual-legal-assistance-request",
    1,
    areas=("judicial",),
    source="UNTOC art. 18(3), (15), (24)",
    replies=("response/1", "status-update/1", "clarification/1"),
)
class MutualLegalAssistanceRequest(Request, frozen=True, kw_only=True):
    """A request for mutual legal assistance, with the six contents of UNTOC art. 18(15).

    (a) `authority`; (b) `proceeding`; (c) `facts`, which a request for service of documents may leave out; (d)
    `assistance`, with any procedure wanted; (e) `persons`, or why none is known; (f) `purpose`. Deadlines with
    reasons after art. 18(24).
    """

    proceeding: Proceeding  #: Its subject and nature, and who conducts it.
    facts: codes.Text | None = None  #: A summary of the relevant facts.
    assistance: Annotated[tuple[Assistance, ...], msgspec.Meta(min_length=1)]  #: What is sought; numbered.
    persons: tuple[Subject, ...] = ()  #: Identity, location and nationality of whoever is concerned.
    persons_not_known: codes.Text | None = None  #: Why no person can be named.
    purpose: codes.Text  #: What the evidence, information or action is sought for.
    information: tuple[Information, ...] = ()  #: What is known already.
    respond_by: RespondBy | None = None  #: By when, and why; null: as the priority says.
    files: tuple[File, ...] = ()  #: Orders, texts of the offences, papers to be served.

    @rule("mla-facts")
    def facts_are_told(self) -> Faults:
        """A request for legal assistance tells the facts, unless it only asks for service of documents."""
        if self.facts is None and any(act.kind != "service-of-documents" for act in self.assistance):
            yield (
                ".facts",
                "Summarize the facts: UNTOC article 18(15)(c) asks for them in all but service of documents.",
            )

    @rule("mla-persons")
    def persons_are_named(self) -> Faults:
        """A request for legal assistance names a person or organisation, or says why it cannot."""
        known = any(subject.entity.__struct_config__.tag in {"person", "organisation"} for subject in self.persons)
        if not known and self.persons_not_known is None:
            yield (
                ".persons",
                "Name the persons concerned (UNTOC article 18(15)(e)), or say in persons_not_known why not.",
            )

    @rule("mla-papers")
    def papers_are_attached(self) -> Faults:
        """Service of documents comes with the documents."""
        for index, act in enumerate(self.assistance):
            if act.kind == "service-of-documents" and not self.files:
                yield f".assistance[{index}]", "Attach the papers that are to be served."

    @rule("assistance-numbered")
    def acts_are_numbered(self) -> Faults:
        """Acts of assistance are numbered 1, 2, 3 and so on, each number once."""
        yield from numbered(self.assistance, ".assistance")
