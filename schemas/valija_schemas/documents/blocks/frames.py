"""What documents of one family begin with: requests, notices, and what follows up an earlier message."""

from valija_schemas.documents import codes
from valija_schemas.documents.base import Document, Faults, rule
from valija_schemas.documents.blocks.case import (
    Authority,
    Case,
    Confidentiality,
    Handling,
    LegalBasis,
    Regarding,
    citations,
)


class Request(Document, frozen=True, kw_only=True):
    """A document that asks for cooperation in a case."""

    authority: Authority  #: Who asks.
    case: Case  #: In which case.
    legal_basis: tuple[LegalBasis, ...] = ()  #: Under which instruments; may be empty in a kidnapping or risk to life.
    handling: Handling  #: What the receiver may do with this request.
    confidentiality: Confidentiality | None = None  #: Whether the request itself is kept secret; null: the law decides.
    risk_to_life: codes.Text | None = None  #: Whose life is at risk and why; null: none is known to be.

    @rule("offence-needed")
    def case_has_an_offence(self) -> Faults:
        """A request names at least one offence, unless a life is at risk."""
        if not self.case.offences and self.risk_to_life is None:
            yield (
                ".case.offences",
                "Name at least one offence with its citation: the receiver's law asks what it is for.",
            )

    @rule("legal-basis-needed")
    def stands_on_an_instrument(self) -> Faults:
        """A request names its legal basis, unless it is about a kidnapping or a life is at risk."""
        if not self.legal_basis and not self._about_a_life():
            yield ".legal_basis", "Name the treaty and article, the law, or reciprocity. A risk to life needs none."

    @rule("legal-basis-citation")
    def instruments_can_be_looked_up(self) -> Faults:
        """A treaty is cited with its article, a bilateral one or a law also with its title; reciprocity has neither."""
        if not self._about_a_life():
            yield from citations(self.legal_basis, ".legal_basis")

    def _about_a_life(self) -> bool:
        # Nothing about the legal basis holds up such a request.
        return self.risk_to_life is not None or any(offence.code == "kidnapping" for offence in self.case.offences)


class Notice(Document, frozen=True, kw_only=True):
    """A document that stands on its own."""

    authority: Authority  #: Who sends it.
    reference: codes.Reference | None = None  #: Its number in the sender's own register.
    handling: Handling  #: What the receiver may do with it.


class FollowUp(Notice, frozen=True, kw_only=True):
    """A document that speaks of an earlier message."""

    regarding: Regarding  #: Which message it speaks of.
