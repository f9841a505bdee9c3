"""firearms-trace-result: where a firearm was last known to be lawful, or why nobody can say."""

from typing import Literal

from valija_schemas.documents import codes
from valija_schemas.documents.base import Block, Faults, document, rule
from valija_schemas.documents.blocks.case import Grading
from valija_schemas.documents.blocks.files import File
from valija_schemas.documents.blocks.frames import FollowUp
from valija_schemas.documents.blocks.people import Organisation, Person
from valija_schemas.documents.blocks.things import Firearm


class Transfer(Block, frozen=True, kw_only=True):
    """One step in the life of a firearm."""

    kind: Literal[
        "manufacture",
        "export",
        "import",
        "wholesale",
        "retail-sale",
        "private-sale",
        "theft-or-loss",
        "seizure",
        "other",
    ]  #: What happened.
    date: codes.DatePart | None = None  #: As exact as it is known.
    country: codes.Country  #: Where.
    transferor: codes.Name | None = None  #: Who gave it away.
    transferee: codes.Name | None = None  #: Who received it.
    grading: Grading  #: How far this can be trusted.


@document(
    "firearms-trace-result",
    1,
    areas=("law-enforcement",),
    source="CIFTA art. XIII; ATF form 3312.1",
    replies=("clarification/1",),
)
class FirearmsTraceResult(FollowUp, frozen=True, kw_only=True):
    """The result of a trace (CIFTA art. XIII): the first lawful sale, the last known holder, or why there is none."""

    firearm: Firearm  #: As it stands in the records.
    outcome: Literal["first-lawful-sale", "last-known-holder", "not-traceable"]  #: What was found.
    holder: Person | Organisation | None = None  #: The buyer at the first lawful sale, or the last known holder.
    chain: tuple[Transfer, ...] = ()  #: From the maker on.
    reasons: codes.Text | None = None  #: Why it is not traceable.
    files: tuple[File, ...] = ()  #: Records.

    @rule("trace-reasons")
    def untraceable_has_reasons(self) -> Faults:
        """A firearm that is not traceable has reasons and no holder; any other result has no reasons."""
        if self.outcome == "not-traceable":
            if self.reasons is None:
                yield ".reasons", "Say why the firearm cannot be traced: no records, markings that belong to many."
            if self.holder is not None:
                yield ".holder", "A holder is known, so the firearm was traced. Change outcome, or remove the holder."
        elif self.reasons is not None:
            yield ".reasons", "Reasons belong to a firearm that is not traceable. Empty them, or change outcome."

    @rule("trace-holder")
    def traced_has_a_holder(self) -> Faults:
        """A firearm that was traced has a holder."""
        if self.outcome != "not-traceable" and self.holder is None:
            yield ".holder", "Name the buyer or the last known holder, or choose not-traceable."
