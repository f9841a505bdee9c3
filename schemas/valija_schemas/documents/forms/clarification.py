"""clarification: questions about an earlier message, or answers to them."""

from valija_schemas.documents import codes
from valija_schemas.documents.base import Faults, document, rule
from valija_schemas.documents.blocks.case import Question, numbered
from valija_schemas.documents.blocks.files import File
from valija_schemas.documents.blocks.frames import FollowUp
from valija_schemas.documents.blocks.information import Answer, answered_once


@document(
    "clarification",
    1,
    areas=("political", "administrative", "judicial", "law-enforcement"),
    source="UNTOC art. 18(16)",
    replies=("clarification/1", "response/1"),
)
class Clarification(FollowUp, frozen=True, kw_only=True):
    """Additional information that the execution of a request needs: asked for, or given (UNTOC art. 18(16))."""

    text: codes.Text | None = None  #: What is made clear, where it is no answer to a numbered question.
    questions: tuple[Question, ...] = ()  #: What must be known; numbered.
    answers: tuple[Answer, ...] = ()  #: To the questions of the message that it speaks of, by number.
    files: tuple[File, ...] = ()  #: What shows it.

    @rule("clarification-empty")
    def says_something(self) -> Faults:
        """A clarification has a text, a question or an answer."""
        if self.text is None and not self.questions and not self.answers:
            yield "", "This clarifies nothing. Write a text, ask a question, or answer one."

    @rule("questions-numbered")
    def questions_are_numbered(self) -> Faults:
        """Questions are numbered 1, 2, 3 and so on, each number once."""
        yield from numbered(self.questions, ".questions")

    @rule("answers-once")
    def questions_are_answered_once(self) -> Faults:
        """Each question is answered once."""
        yield from answered_once(self.answers, ".answers")
