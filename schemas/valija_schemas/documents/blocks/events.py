"""Meetings and courses: when, where, and how to take part."""

from valija_schemas.documents import codes
from valija_schemas.documents.base import Block, Faults, rule
from valija_schemas.documents.blocks.people import Location
from valija_schemas.documents.checks import in_order


class Meeting(Block, frozen=True, kw_only=True):
    """A meeting, at a place, online, or both. Times after ISO 8601 with offset."""

    title: codes.Name  #: What it is called.
    organiser: codes.Name  #: Who holds it.
    starts: codes.DateTime  #: When it begins.
    ends: codes.DateTime  #: When it is over.
    location: Location | None = None  #: Where; null: online alone.
    online: codes.Name | None = None  #: How to take part from elsewhere.

    @rule("meeting-place")
    def has_a_place(self) -> Faults:
        """A meeting has a place or a way to take part online."""
        if self.location is None and self.online is None:
            yield "", "Nobody can take part. Give a place, or how to take part online."

    @rule("meeting-times")
    def ends_after_it_starts(self) -> Faults:
        """A meeting does not end before it starts."""
        if not in_order(self.starts, self.ends):
            yield ".ends", "The meeting ends before it starts. Correct one of the times."
