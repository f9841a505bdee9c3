"""pre-export-notification: word of a shipment of precursors before it leaves."""

from typing import Annotated, Literal

import msgspec

from valija_schemas.documents import codes
from valija_schemas.documents.base import Block, Faults, document, rule
from valija_schemas.documents.blocks.case import RespondBy
from valija_schemas.documents.blocks.files import File
from valija_schemas.documents.blocks.frames import Notice
from valija_schemas.documents.blocks.things import Aircraft, Container, Substance, Vehicle, Vessel
from valija_schemas.documents.blocks.trade import Trader
from valija_schemas.documents.checks import in_order


class Precursor(Block, frozen=True, kw_only=True):
    """A substance of Table I or II of the 1988 Convention, with its quantity."""

    table: Literal["I", "II"]  #: Of the 1988 Convention.
    substance: Substance  #: Name, quantity and unit.


@document(
    "pre-export-notification",
    1,
    areas=("administrative",),
    source="UN 1988 art. 12(10)(a)",
    replies=("pre-export-reply/1", "clarification/1"),
)
class PreExportNotification(Notice, frozen=True, kw_only=True):
    """A notification before the export of precursors (UN 1988 art. 12(10)(a)).

    Its contents follow (i) to (v): exporter, importer and, when known, consignee; the substance; its quantity; the
    point of entry and the date of dispatch; what else the Parties agree on.
    """

    exporter: Trader  #: Who sends.
    importer: Trader  #: Who buys.
    consignee: Trader | None = None  #: Who receives it in the end, when known.
    substances: Annotated[tuple[Precursor, ...], msgspec.Meta(min_length=1)]  #: What, and how much.
    point_of_entry: codes.Name  #: The expected port or crossing in the importing State.
    expected_dispatch: codes.Date  #: The day on which it leaves.
    expected_arrival: codes.Date | None = None  #: The day on which it should arrive.
    export_permit: codes.Reference | None = None  #: Number of the permit.
    import_permit: codes.Reference | None = None  #: Number of the permit.
    transit: tuple[codes.Country, ...] = ()  #: The States on its way, in order.
    conveyances: tuple[Vessel | Aircraft | Vehicle | Container, ...] = ()  #: What carries it.
    respond_by: RespondBy | None = None  #: By when an objection is of use, and why.
    files: tuple[File, ...] = ()  #: Permits and invoices.

    @rule("pre-export-quantity")
    def quantities_are_given(self) -> Faults:
        """Each precursor has a quantity."""
        for index, precursor in enumerate(self.substances):
            if precursor.substance.quantity is None:
                yield f".substances[{index}].substance.quantity", "Say how much is to be exported, with its unit."

    @rule("pre-export-border")
    def a_border_is_crossed(self) -> Faults:
        """Exporter and importer are in different States."""
        if self.exporter.address.country == self.importer.address.country:
            yield ".importer.address.country", "Exporter and importer are in one State. Correct one of the addresses."

    @rule("pre-export-dates")
    def arrives_after_it_left(self) -> Faults:
        """A shipment does not arrive before it is dispatched."""
        if self.expected_arrival is not None and not in_order(self.expected_dispatch, self.expected_arrival):
            yield ".expected_arrival", "The shipment arrives before it leaves. Correct one of the dates."
