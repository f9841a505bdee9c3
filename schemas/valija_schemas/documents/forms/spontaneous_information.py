"""spontaneous-information: what nobody asked for and somebody else may need."""

from typing import Annotated

import msgspec

from valija_schemas.documents import codes
from valija_schemas.documents.base import Faults, document, rule
from valija_schemas.documents.blocks.case import Case, Confidentiality
from valija_schemas.documents.blocks.frames import Notice
from valija_schemas.documents.blocks.information import Information


@document(
    "spontaneous-information",
    1,
    areas=("political", "administrative", "judicial", "law-enforcement"),
    source="UNTOC art. 18(4)-(5)",
    replies=("response/1", "clarification/1"),
)
class SpontaneousInformation(Notice, frozen=True, kw_only=True):
    """Information that is sent without a request, since it could assist an inquiry elsewhere (UNTOC art. 18(4)-(5)).

    The receiver keeps it confidential and within the restrictions, as art. 18(5) says. It may disclose in its own
    proceedings what exculpates the accused, after notice to the sender: to whom, says `notice_contact`.
    """

    case: Case | None = None  #: The sender's case that it comes from; null: none, or not to be named.
    assists: codes.Text  #: Why it could assist the receiver: the inquiry, the person, the place that it touches.
    items: Annotated[tuple[Information, ...], msgspec.Meta(min_length=1)]  #: Each statement with its grading.
    confidentiality: Confidentiality  #: For how long the receiver keeps it to itself.
    restrictions: codes.Text | None = None  #: On its use, beyond the handling codes.
    notice_contact: codes.Name | None = None  #: Who is told before a disclosure; null: the contact point that sent it.

    @rule("restrictions-handling")
    def restrictions_need_a_code(self) -> Faults:
        """Restrictions on use do not stand beside H0."""
        if self.restrictions is not None and "H0" in self.handling.use:
            yield (
                ".handling.use",
                "H0 sets no limit and restrictions do. Choose H1, H2 or H3, or remove the restrictions.",
            )
