"""legislation-notice: a treaty that was joined, or a law that changed."""

from typing import Final, Literal

from valija_schemas.documents import codes
from valija_schemas.documents.base import Faults, document, rule
from valija_schemas.documents.blocks.case import Instrument
from valija_schemas.documents.blocks.files import File
from valija_schemas.documents.blocks.frames import Notice

_TREATY_EVENTS: Final = frozenset({"signed", "ratified", "acceded"})


@document(
    "legislation-notice",
    1,
    areas=("political", "judicial", "administrative"),
    source="recommendations 4 and 5 of the meetings of national points of contact",
    replies=("clarification/1",),
)
class LegislationNotice(Notice, frozen=True, kw_only=True):
    """Word of an instrument that a State joined, or of a law that it adopted (recommendations 4 and 5)."""

    event: Literal["signed", "ratified", "acceded", "law-adopted", "law-amended"]  #: What happened.
    instrument: Instrument | None = None  #: The treaty that was joined, or that the law carries out.
    title: codes.Name  #: Of the treaty or law.
    citation: codes.Name | None = None  #: Where it was published: gazette, number, day.
    date: codes.Date  #: The day on which it happened.
    in_force: codes.Date | None = None  #: The first day on which it binds.
    model_articles: tuple[codes.Reference, ...] = ()  #: The articles of a model law that it carries out.
    summary: codes.Text  #: What it changes for cooperation.
    files: tuple[File, ...] = ()  #: The text.

    @rule("legislation-instrument")
    def treaty_is_named(self) -> Faults:
        """A treaty that was signed, ratified or acceded to is named by its code."""
        if self.event in _TREATY_EVENTS and self.instrument in {None, "domestic-law", "reciprocity"}:
            yield ".instrument", "Name the treaty by its code; one between two States is bilateral."

    @rule("legislation-text")
    def law_can_be_read(self) -> Faults:
        """A law that was adopted or amended has its citation and its text."""
        if self.event not in _TREATY_EVENTS:
            if self.citation is None:
                yield ".citation", "Say where the law was published."
            if not self.files:
                yield ".files", "Attach the text of the law."
