"""dissemination-consent-reply: whether a message may be passed on."""

from typing import Literal

from valija_schemas.documents import codes
from valija_schemas.documents.base import Faults, document, rule
from valija_schemas.documents.blocks.frames import FollowUp


@document(
    "dissemination-consent-reply",
    1,
    areas=("political", "administrative", "judicial", "law-enforcement"),
    source="third-party rule; UNTOC art. 18(19)",
)
class DisseminationConsentReply(FollowUp, frozen=True, kw_only=True):
    """The reply to a request for consent; it speaks of that request (UNTOC art. 18(19))."""

    answer: Literal["granted", "granted-with-conditions", "refused"]  #: What the sender of the information says.
    conditions: codes.Text | None = None  #: Under which it is granted.
    reasons: codes.Text | None = None  #: Of a refusal.
    valid_until: codes.Date | None = None  #: The last day on which it may be passed on; null: no end.

    @rule("consent-conditions")
    def conditions_are_told(self) -> Faults:
        """Consent with conditions names them; no other answer does."""
        if self.answer == "granted-with-conditions" and self.conditions is None:
            yield ".conditions", "Say under which conditions it may be passed on."
        if self.answer != "granted-with-conditions" and self.conditions is not None:
            yield ".conditions", "This answer has no conditions. Empty them, or choose granted-with-conditions."

    @rule("consent-reasons")
    def refusal_has_reasons(self) -> Faults:
        """A refusal has reasons, and no day until which it may be passed on."""
        if self.answer == "refused" and self.reasons is None:
            yield ".reasons", "Say why it may not be passed on."
        if self.answer == "refused" and self.valid_until is not None:
            yield ".valid_until", "Nothing may be passed on, so there is no last day. Empty it, or change the answer."
