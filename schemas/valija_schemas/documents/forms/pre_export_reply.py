"""pre-export-reply: whether the importing State objects to a shipment."""

from typing import Literal

from valija_schemas.documents import codes
from valija_schemas.documents.base import Faults, document, rule
from valija_schemas.documents.blocks.frames import FollowUp


@document(
    "pre-export-reply", 1, areas=("administrative",), source="UN 1988 art. 12(10)(a)", replies=("clarification/1",)
)
class PreExportReply(FollowUp, frozen=True, kw_only=True):
    """The reply to a pre-export notification: acknowledged, no objection, an objection, or a need for time."""

    answer: Literal["acknowledged", "no-objection", "objection", "needs-time"]  #: What the importing State says.
    reasons: codes.Text | None = None  #: Of an objection or a delay.
    until: codes.DateTime | None = None  #: The time by which the answer comes.

    @rule("objection-reasons")
    def objection_has_reasons(self) -> Faults:
        """An objection has reasons."""
        if self.answer == "objection" and self.reasons is None:
            yield ".reasons", "Say why the shipment should not leave: unknown importer, no permit, no lawful need."

    @rule("needs-time-until")
    def delay_has_an_end(self) -> Faults:
        """Who needs time says until when; no other answer does."""
        if self.answer == "needs-time" and self.until is None:
            yield ".until", "Say until when the exporting State should wait."
        if self.answer != "needs-time" and self.until is not None:
            yield ".until", "Only needs-time has an end. Leave it empty, or change the answer."
