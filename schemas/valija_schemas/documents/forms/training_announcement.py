"""training-announcement: a course, a seminar or an exchange that others may join."""

from typing import Annotated, Literal

import msgspec

from valija_schemas.documents import codes
from valija_schemas.documents.base import Faults, document, rule
from valija_schemas.documents.blocks.events import Meeting
from valija_schemas.documents.blocks.files import File
from valija_schemas.documents.blocks.frames import Notice
from valija_schemas.documents.checks import in_order

Topic = Literal[
    "prevention-detection-control",
    "routes-and-techniques",
    "movement-of-contraband",
    "proceeds-and-money-laundering",
    "collection-of-evidence",
    "free-trade-zones-and-ports",
    "modern-equipment-and-techniques",
    "computer-and-network-crime",
    "protection-of-victims-and-witnesses",
]
"""The nine topics of UNTOC art. 29(1), (a) to (i), in its order."""


@document(
    "training-announcement",
    1,
    areas=("political", "administrative", "judicial", "law-enforcement"),
    source="UNTOC art. 29(1)",
    replies=("response/1", "clarification/1"),
)
class TrainingAnnouncement(Notice, frozen=True, kw_only=True):
    """An announcement of training (UNTOC art. 29(1)); modes after art. 29(1) and (2)."""

    meeting: Meeting  #: Title, organiser, time and place.
    topics: Annotated[tuple[Topic, ...], msgspec.Meta(min_length=1)]  #: What it teaches.
    mode: Literal["course", "conference", "seminar", "secondment", "staff-exchange", "language-training"]  #: How.
    languages: Annotated[tuple[codes.LanguageCode, ...], msgspec.Meta(min_length=1)]  #: Spoken or interpreted.
    seats: Annotated[int, msgspec.Meta(ge=1, le=100_000, description="a number of seats")] | None = (
        None  #: Null: no limit.
    )
    eligibility: codes.Text | None = None  #: Whom it is for.
    cost: codes.Text | None = None  #: Who pays for what.
    contact: codes.Name  #: Where to apply.
    deadline: codes.DateTime  #: The latest time to apply.
    text: codes.Text | None = None  #: The programme.
    files: tuple[File, ...] = ()  #: Forms and programmes.

    @rule("training-deadline")
    def deadline_is_before_the_start(self) -> Faults:
        """The time to apply ends before the training starts."""
        if not in_order(self.deadline, self.meeting.starts):
            yield ".deadline", "The deadline is after the start. Correct one of the times."

    @rule("topics-once")
    def topics_stand_once(self) -> Faults:
        """Each topic stands once."""
        if len(set(self.topics)) != len(self.topics):
            yield ".topics", "A topic stands twice. Remove one of the two."
