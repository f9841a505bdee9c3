"""response: the answer to a request, whole, in part, or refused with reasons."""

from typing import Literal

from valija_schemas.documents import codes
from valija_schemas.documents.base import Block, Document, Faults, document, rule
from valija_schemas.documents.blocks.case import Authority, Handling, Question, QuestionNumber, numbered
from valija_schemas.documents.blocks.information import Answer, Information, answered_once

Outcome = Literal["full", "partial", "refused", "postponed", "not-held", "more-information-needed"]
RefusalGround = Literal[
    "not-in-conformity",
    "prejudice-to-sovereignty-security-ordre-public",
    "prohibited-by-domestic-law",
    "contrary-to-legal-system",
]


class OutstandingItem(Block, frozen=True, kw_only=True):
    """Something that was asked for and is not in this response (UNTOC art. 18(24))."""

    question: QuestionNumber | None = None  #: The question that it answers, where it answers one.
    text: codes.Text  #: What is missing.
    reasons: codes.Text  #: Why it is not here.
    expected: codes.Date | None = None  #: The day on which it should be.


@document(
    "response",
    1,
    areas=("political", "administrative", "judicial", "law-enforcement"),
    source="UNTOC art. 18(21)-(26)",
)
class Response(Document, frozen=True, kw_only=True):
    """The response to a request; the message that carries it says to which (UNTOC art. 18(21)-(26)).

    Grounds of refusal are the four of art. 18(21); reasons are always given (18(23)); an assistance that would
    disturb a proceeding may be postponed (18(25)); before refusing, conditions are considered (18(26)).
    """

    authority: Authority  #: Who responds.
    reference: codes.Reference | None = None  #: The response's number in the sender's register.
    request_reference: codes.Reference | None = None  #: The case reference that the request gave.
    handling: Handling  #: What the receiver may do with this response.
    outcome: Outcome  #: What became of the request.
    reasons: codes.Text | None = None  #: Why it was not answered in full; for not-held, where was looked.
    refusal_ground: RefusalGround | None = None  #: UNTOC art. 18(21)(a) to (d).
    answers: tuple[Answer, ...] = ()  #: By question number.
    items_provided: tuple[Information, ...] = ()  #: What is provided beyond the answers.
    items_outstanding: tuple[OutstandingItem, ...] = ()  #: What will come later, or not at all.
    further_questions: tuple[Question, ...] = ()  #: What must be known before the request can be answered (18(16)).
    conditions_of_use: codes.Text | None = None  #: Beyond the handling codes (18(26)).
    expected: codes.Date | None = None  #: The day by which the sender answers or says more.

    @rule("refusal-ground")
    def refusal_has_a_ground(self) -> Faults:
        """A refusal names its ground; a full, postponed or not-held outcome has none."""
        if self.outcome == "refused" and self.refusal_ground is None:
            yield ".refusal_ground", "A refusal names one of the four grounds of UNTOC article 18(21). Choose one."
        if self.refusal_ground is not None and self.outcome not in {"refused", "partial"}:
            yield (
                ".refusal_ground",
                "Only a refusal, whole or in part, has a ground. Leave it empty, or change outcome.",
            )

    @rule("reasons-needed")
    def reasons_are_given(self) -> Faults:
        """Every outcome but full has reasons."""
        if self.outcome != "full" and self.reasons is None:
            yield ".reasons", "Say why the request is not answered in full; UNTOC article 18(23) asks for reasons."

    @rule("outcome-answers")
    def outcome_fits_what_is_provided(self) -> Faults:
        """A full or partial outcome provides something; a refused or not-held one provides nothing."""
        provided = bool(self.answers or self.items_provided)
        if self.outcome in {"full", "partial"} and not provided:
            yield (
                ".answers",
                "This outcome says that something is answered. Add an answer or an item, or change outcome.",
            )
        if self.outcome in {"refused", "not-held"} and provided:
            yield ".outcome", "Something is answered, so the outcome is partial. Change it, or remove the answers."

    @rule("outcome-outstanding")
    def outcome_fits_what_is_outstanding(self) -> Faults:
        """A full outcome leaves nothing outstanding; a partial one says what is."""
        if self.outcome == "full" and self.items_outstanding:
            yield (
                ".items_outstanding",
                "Something is outstanding, so the outcome is partial. Change it, or remove this.",
            )
        if self.outcome == "partial" and not self.items_outstanding:
            yield ".items_outstanding", "Say what is missing and why, or choose the outcome full."

    @rule("postponement-date")
    def postponement_has_a_date(self) -> Faults:
        """A postponed response gives the day by which the sender answers or says more."""
        if self.outcome == "postponed" and self.expected is None:
            yield ".expected", "Give the day by which you answer or say more, so that the other side can plan."

    @rule("further-questions-needed")
    def needs_are_asked(self) -> Faults:
        """A response that needs more information asks for it."""
        if self.outcome == "more-information-needed" and not self.further_questions:
            yield ".further_questions", "Ask at least one question: say what you need to know."

    @rule("questions-numbered")
    def questions_are_numbered(self) -> Faults:
        """Questions are numbered 1, 2, 3 and so on, each number once."""
        yield from numbered(self.further_questions, ".further_questions")

    @rule("answers-once")
    def questions_are_answered_once(self) -> Faults:
        """Each question is answered once."""
        yield from answered_once(self.answers, ".answers")
