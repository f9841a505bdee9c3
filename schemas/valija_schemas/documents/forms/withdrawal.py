"""withdrawal: a request, or some of its questions, need no answer any more."""

from typing import Literal

from valija_schemas.documents import codes
from valija_schemas.documents.base import Faults, document, rule
from valija_schemas.documents.blocks.case import QuestionNumber
from valija_schemas.documents.blocks.frames import FollowUp


@document(
    "withdrawal",
    1,
    areas=("political", "administrative", "judicial", "law-enforcement"),
    source="UNTOC art. 18(24)",
    replies=("status-update/1",),
)
class Withdrawal(FollowUp, frozen=True, kw_only=True):
    """Word that the assistance that was sought is no longer required (UNTOC art. 18(24))."""

    reason: codes.Text  #: Why: the person was found, the proceeding ended, the question was answered elsewhere.
    questions: tuple[QuestionNumber, ...] = ()  #: Those that are withdrawn; empty: the whole request.
    information: Literal["keep-as-agreed", "erase", "return"]  #: What the receiver does with what it was sent.

    @rule("withdrawn-once")
    def questions_stand_once(self) -> Faults:
        """Each question is withdrawn once."""
        seen: set[int] = set()
        for index, number in enumerate(self.questions):
            if number in seen:
                yield (
                    f".questions[{index}]",
                    "Question {number} stands twice. Remove one of the two.",
                    {"number": number},
                )
            seen.add(number)
