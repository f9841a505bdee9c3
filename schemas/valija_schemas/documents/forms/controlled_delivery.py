"""controlled-delivery: let an unlawful consignment pass, watched, to find out who stands behind it."""

from itertools import pairwise
from typing import Annotated, Literal

import msgspec

from valija_schemas.documents import codes
from valija_schemas.documents.base import Block, Faults, document, rule
from valija_schemas.documents.blocks.case import RespondBy
from valija_schemas.documents.blocks.files import File
from valija_schemas.documents.blocks.frames import Request
from valija_schemas.documents.blocks.information import Information, Subject
from valija_schemas.documents.blocks.people import Location
from valija_schemas.documents.checks import in_order


class Stop(Block, frozen=True, kw_only=True):
    """A point on the route of a consignment."""

    country: codes.Country  #: The State in which it is.
    location: Location  #: The place.
    expected: codes.DateTime  #: When the consignment should be there.
    text: codes.Text | None = None  #: What happens there.


class Authorisation(Block, frozen=True, kw_only=True):
    """The permission of one State (UNTOC art. 20(1), (3))."""

    country: codes.Country  #: The State.
    status: Literal["granted", "pending", "not-required"]  #: Where it stands.
    authority: codes.Name  #: Who decides.
    provision: codes.Name  #: The law or agreement that it stands on.
    reference: codes.Reference | None = None  #: Of the decision; a granted one has it.
    until: codes.DateTime | None = None  #: When it ends.


class DecisionPoint(Block, frozen=True, kw_only=True):
    """A moment at which somebody decides whether the consignment goes on."""

    at: codes.DateTime  #: When.
    text: codes.Text  #: What is decided, and on what grounds.
    decides: codes.Name  #: Who decides.
    without_answer: Literal["stop", "continue"]  #: What happens if nobody can be reached.


class DutyOfficer(Block, frozen=True, kw_only=True):
    """Who can be reached at any hour while the consignment moves."""

    country: codes.Country  #: The State.
    office: codes.Name  #: Service or function, rather than a name.
    phone: codes.Phone  #: E.164.


@document(
    "controlled-delivery",
    1,
    areas=("law-enforcement", "judicial"),
    source="UNTOC art. 20",
    replies=("response/1", "status-update/1", "clarification/1"),
)
class ControlledDelivery(Request, frozen=True, kw_only=True):
    """A plan for a controlled delivery, case by case (UNTOC art. 20).

    Methods after art. 20(4): the goods go on intact, or are removed or replaced in whole or in part.
    """

    consignment: Annotated[tuple[Subject, ...], msgspec.Meta(min_length=1)]  #: Goods, containers, conveyances.
    method: Literal["intact", "replaced-in-part", "replaced-in-whole", "removed"]  #: What is done with the goods.
    route: Annotated[tuple[Stop, ...], msgspec.Meta(min_length=2)]  #: From the first stop to the last, in time.
    authorisations: Annotated[
        tuple[Authorisation, ...], msgspec.Meta(min_length=1)
    ]  #: One for each State on the route.
    decision_points: Annotated[tuple[DecisionPoint, ...], msgspec.Meta(min_length=1)]  #: When it can be stopped.
    duty_officers: Annotated[tuple[DutyOfficer, ...], msgspec.Meta(min_length=1)]  #: One or more for each State.
    information: tuple[Information, ...] = ()  #: What is known about those behind it.
    respond_by: RespondBy | None = None  #: By when, and why; null: as the priority says.
    files: tuple[File, ...] = ()  #: Orders and photographs.

    @rule("delivery-times")
    def stops_are_in_time(self) -> Faults:
        """The stops of a route are in the order of their times."""
        for index, (before, after) in enumerate(pairwise(self.route), 1):
            if not in_order(before.expected, after.expected):
                yield f".route[{index}].expected", "This stop is before the one above it. Correct times or order."

    @rule("delivery-authorisations")
    def every_state_decides(self) -> Faults:
        """Each State on the route has an authorisation; one that is granted has its reference."""
        for country in sorted({stop.country for stop in self.route} - {given.country for given in self.authorisations}):
            yield (
                ".authorisations",
                "The route passes through {country}. Say what its law asks and where that stands.",
                {"country": country},
            )
        for index, given in enumerate(self.authorisations):
            if given.status == "granted" and given.reference is None:
                yield f".authorisations[{index}].reference", "Give the reference of the decision that granted it."

    @rule("delivery-duty-officers")
    def every_state_answers(self) -> Faults:
        """Each State on the route has a duty officer."""
        for country in sorted({stop.country for stop in self.route} - {duty.country for duty in self.duty_officers}):
            yield (
                ".duty_officers",
                "The route passes through {country}. Give a line that is answered there at any hour.",
                {"country": country},
            )
