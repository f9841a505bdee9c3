"""status-update: where a request stands."""

from typing import Literal

from valija_schemas.documents import codes
from valija_schemas.documents.base import Faults, document, rule
from valija_schemas.documents.blocks.frames import FollowUp


@document(
    "status-update",
    1,
    areas=("political", "administrative", "judicial", "law-enforcement"),
    source="UNTOC art. 18(24)",
    replies=("clarification/1", "withdrawal/1"),
)
class StatusUpdate(FollowUp, frozen=True, kw_only=True):
    """The state of a request, told on its own accord or when asked (UNTOC art. 18(24))."""

    state: Literal["received", "in-progress", "forwarded", "awaiting", "done"]  #: Where it stands.
    forwarded_to: codes.Name | None = None  #: The authority that handles it now.
    awaiting: codes.Text | None = None  #: What it waits for: an order, a register, an answer of the requesting side.
    text: codes.Text | None = None  #: What else there is to say.
    expected: codes.Date | None = None  #: The day by which more will be said.

    @rule("status-forwarded")
    def forwarded_has_a_receiver(self) -> Faults:
        """A request that was forwarded has an authority that handles it now; no other has."""
        if self.state == "forwarded" and self.forwarded_to is None:
            yield ".forwarded_to", "Say which authority handles the request now."
        if self.state != "forwarded" and self.forwarded_to is not None:
            yield ".forwarded_to", "Only the state forwarded names another authority. Change the state, or empty this."

    @rule("status-awaiting")
    def awaiting_has_an_object(self) -> Faults:
        """A request that waits says for what; no other does."""
        if self.state == "awaiting" and self.awaiting is None:
            yield ".awaiting", "Say what the request waits for, so that the other side can help."
        if self.state != "awaiting" and self.awaiting is not None:
            yield ".awaiting", "Only the state awaiting waits for something. Change the state, or empty this."
