"""firearms-trace-request: where does this firearm come from?"""

from typing import Literal

from valija_schemas.documents import codes
from valija_schemas.documents.base import Block, Faults, document, rule
from valija_schemas.documents.blocks.case import RespondBy
from valija_schemas.documents.blocks.files import File
from valija_schemas.documents.blocks.frames import Request
from valija_schemas.documents.blocks.information import Subject
from valija_schemas.documents.blocks.people import Location
from valija_schemas.documents.blocks.things import Firearm


class Recovery(Block, frozen=True, kw_only=True):
    """Where, when and how a firearm came into the hands of the authorities."""

    date: codes.Date  #: The day.
    location: Location  #: The place.
    circumstances: codes.Text  #: A search, an arrest, a find.


@document(
    "firearms-trace-request",
    1,
    areas=("law-enforcement",),
    source="CIFTA art. XIII; ATF form 3312.1",
    replies=("firearms-trace-result/1", "status-update/1", "clarification/1"),
)
class FirearmsTraceRequest(Request, frozen=True, kw_only=True):
    """A request to trace one firearm by its markings (CIFTA art. XIII; Firearms Protocol art. 12(4))."""

    firearm: Firearm  #: By its markings: serial number, make, type, calibre, model, country of origin, importer.
    not_marked: codes.Text | None = None  #: Why a marking cannot be given: worn, obliterated, made by hand.
    recovery: Recovery  #: Where, when and how it was found.
    possessors: tuple[Subject, ...] = ()  #: Whoever held it.
    urgency: Literal["routine", "urgent"]  #: Urgent is for cases that cannot wait their turn.
    urgency_justification: codes.Text | None = None  #: Why it cannot wait.
    instructions: codes.Text | None = None  #: Special wishes: do not contact the dealer.
    respond_by: RespondBy | None = None  #: By when, and why; null: as the priority says.
    files: tuple[File, ...] = ()  #: Photographs of the firearm and of its markings.

    @rule("trace-serial")
    def serial_is_given_or_obliterated(self) -> Faults:
        """A trace request gives the serial number, or says that it is obliterated."""
        if self.firearm.serial_number is None and not self.firearm.obliterated:
            yield ".firearm.serial_number", "Give the serial number, or say that it is obliterated."

    @rule("trace-markings")
    def markings_are_given(self) -> Faults:
        """A trace request gives make, calibre, model and country of origin, or says in not_marked why it cannot."""
        if self.not_marked is None:
            for name in ("make", "calibre", "model", "country_of_origin"):
                if getattr(self.firearm, name) is None:
                    yield (
                        f".firearm.{name}",
                        "A trace needs this marking. Give it, or say in not_marked why you cannot.",
                    )

    @rule("trace-urgency")
    def urgency_is_justified(self) -> Faults:
        """An urgent trace says why; a routine one needs no reason."""
        if self.urgency == "urgent" and self.urgency_justification is None:
            yield ".urgency_justification", "Say why this trace cannot wait its turn, or choose routine."
        if self.urgency == "routine" and self.urgency_justification is not None:
            yield ".urgency_justification", "A routine trace needs no justification. Empty it, or choose urgent."
