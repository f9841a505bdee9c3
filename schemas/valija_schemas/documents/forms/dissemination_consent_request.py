"""dissemination-consent-request: may this be passed on?"""

from typing import Annotated, Literal

import msgspec

from valija_schemas.documents import codes
from valija_schemas.documents.base import Block, Faults, document, rule
from valija_schemas.documents.blocks.case import RespondBy
from valija_schemas.documents.blocks.frames import FollowUp


class ProposedRecipient(Block, frozen=True, kw_only=True):
    """An authority that would receive the information."""

    name: codes.Name  #: Its official name.
    country: codes.Country  #: The State that it belongs to.
    functions: codes.Name  #: What it is competent for.


@document(
    "dissemination-consent-request",
    1,
    areas=("political", "administrative", "judicial", "law-enforcement"),
    source="third-party rule; UNTOC art. 18(19)",
    replies=("dissemination-consent-reply/1", "clarification/1"),
)
class DisseminationConsentRequest(FollowUp, frozen=True, kw_only=True):
    """A request for consent to pass on what a message said, or to use it for another purpose (UNTOC art. 18(19))."""

    recipients: Annotated[tuple[ProposedRecipient, ...], msgspec.Meta(min_length=1)]  #: To whom.
    purpose: codes.Text  #: What for.
    scope: Literal["whole", "parts"]  #: How much of the message.
    parts: codes.Text | None = None  #: Which parts.
    in_proceedings: bool  #: Whether it would be used in judicial proceedings.
    respond_by: RespondBy | None = None  #: By when, and why; null: as the priority says.

    @rule("consent-parts")
    def parts_are_named(self) -> Faults:
        """Consent for parts names them; consent for the whole names none."""
        if self.scope == "parts" and self.parts is None:
            yield ".parts", "Say which parts of the message you wish to pass on."
        if self.scope == "whole" and self.parts is not None:
            yield ".parts", "You ask for the whole. Empty this, or choose parts."
