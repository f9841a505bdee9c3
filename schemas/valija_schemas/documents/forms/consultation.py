"""consultation: a meeting to prepare, or questions to answer, between those who decide."""

from valija_schemas.documents import codes
from valija_schemas.documents.base import Faults, document, rule
from valija_schemas.documents.blocks.case import Question, RespondBy, numbered
from valija_schemas.documents.blocks.events import Meeting
from valija_schemas.documents.blocks.files import File
from valija_schemas.documents.blocks.frames import Notice


@document(
    "consultation",
    1,
    areas=("political", "administrative"),
    source="recommendations 1-4 of the meetings of national points of contact",
    replies=("response/1", "clarification/1"),
)
class Consultation(Notice, frozen=True, kw_only=True):
    """A consultation between authorities: a meeting with its agenda, questions, or both (recommendations 1 to 4)."""

    title: codes.Name  #: What it is about.
    background: codes.Text | None = None  #: What there is to know before.
    meeting: Meeting | None = None  #: Null: in writing alone.
    agenda: tuple[codes.Name, ...] = ()  #: The items, in order.
    questions: tuple[Question, ...] = ()  #: Numbered.
    respond_by: RespondBy | None = None  #: The time by which a reply is wanted, and why.
    files: tuple[File, ...] = ()  #: Drafts and papers.

    @rule("consultation-empty")
    def asks_something(self) -> Faults:
        """A consultation has a meeting or questions."""
        if self.meeting is None and not self.questions:
            yield "", "There is nothing to reply to. Add a meeting, or ask a question."

    @rule("consultation-agenda")
    def meeting_has_an_agenda(self) -> Faults:
        """A meeting has an agenda, and an agenda its meeting."""
        if self.meeting is not None and not self.agenda:
            yield ".agenda", "Say what the meeting is to speak of."
        if self.meeting is None and self.agenda:
            yield ".meeting", "An agenda belongs to a meeting. Add it, or ask questions in place of the agenda."

    @rule("consultation-reply")
    def questions_have_a_time(self) -> Faults:
        """Questions say by when a reply is wanted."""
        if self.questions and self.respond_by is None:
            yield ".respond_by", "Say by when you wish a reply, and why."

    @rule("questions-numbered")
    def questions_are_numbered(self) -> Faults:
        """Questions are numbered 1, 2, 3 and so on, each number once."""
        yield from numbered(self.questions, ".questions")
