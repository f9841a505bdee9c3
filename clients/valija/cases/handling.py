"""What may be done with somebody else's document: passed on, taken to court, given out; and what a consent changes.

Handling codes and confidentiality are its sender's word (UNTOC art. 18(5), 18(19); Europol's codes). They bind
people; this room sees to it that nobody passes by them unknowingly: a step that they forbid is refused, and a consent
that is on record is shown with its conditions. H1 and H3 travel with what is passed on.

Pure: documents, consents and a day in, faults out. Before this room: `desk`. After it: `valija_schemas.documents`.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal

import msgspec

from valija_schemas.directory import ContactPoint
from valija_schemas.documents import Document
from valija_schemas.documents.blocks.case import Confidentiality, Handling

Purpose = Literal["internal", "judicial", "other"]
PURPOSES: Final[tuple[Purpose, ...]] = ("internal", "judicial", "other")


class Consent(msgspec.Struct, frozen=True, kw_only=True):
    """Word of whom a document came from that it may be passed on, or used otherwise."""

    message: str  #: The digest of what it speaks of.
    by: str  #: Who gave it: a contact point; of one recorded by hand, as the recorder wrote it.
    at: int  #: When it was sent, or recorded, in ms.
    reply: str | None  #: The digest of the dissemination-consent-reply; None where it was recorded by hand.
    proposed: tuple[tuple[str, str], ...] = ()  #: Name and State of each authority that it was asked for.
    points: tuple[str, ...] = ()  #: Contact points that a consent by hand names.
    whole: bool = True  #: Whether it is for all of the document.
    in_proceedings: bool = False  #: Whether it may be used in judicial proceedings.
    conditions: str | None = None
    valid_until: str | None = None  #: The last day.
    proof: str | None = None  #: Of one recorded by hand: the name of the file that shows it.

    @property
    def by_hand(self) -> bool:
        """Whether somebody here recorded it, and no signed document says it."""
        return self.reply is None

    def holds(self, day: str) -> bool:
        """Whether it has not run out."""
        return self.valid_until is None or day <= self.valid_until

    def covers(self, point: ContactPoint) -> bool:
        """Whether it is for this contact point: named by hand, or proposed under its name in the directory."""
        named = (_plain(point.name), point.state)
        return point.id in self.points or named in {(_plain(name), state) for name, state in self.proposed}


def handling_of(document: Document) -> Handling:
    """What its sender allows; every type says it."""
    found: Handling = getattr(document, "handling")  # noqa: B009 - the field of each type, not of their base
    return found


def confidentiality_of(document: Document, day: str) -> Confidentiality | None:
    """The confidentiality that is in force on `day`; None where there is none, or it has ended."""
    found: Confidentiality | None = getattr(document, "confidentiality", None)
    if found is None or found.level == "none" or (found.until is not None and found.until < day):
        return None
    return found


def closed_for(document: Document, day: str) -> Iterator[str]:
    """Why a document may not be passed on without consent."""
    if "H2" in handling_of(document).use:
        yield "H2 forbids to pass it on without its sender's consent"
    confidential = confidentiality_of(document, day)
    if confidential is not None:
        until = f" until {confidential.until}" if confidential.until else ""
        yield f"its sender asked for {confidential.level} confidentiality{until}"


def forwarding_faults(
    document: Document, points: Sequence[ContactPoint], consents: Iterable[Consent], day: str
) -> list[str]:
    """Why a document may not be passed on to `points`: for each that no consent covers, the reasons."""
    why = "; ".join(closed_for(document, day))
    if not why:
        return []
    usable = [consent for consent in consents if consent.whole and consent.holds(day)]
    return [f"{point.id}: {why}" for point in points if not any(consent.covers(point) for consent in usable)]


def export_faults(
    document: Document | None, purpose: Purpose, consents: Iterable[Consent], day: str, *, confirmed: bool
) -> Iterator[str]:
    """Why a document of somebody else may not be exported for `purpose`; None is one that is not understood here."""
    usable = [consent for consent in consents if consent.whole and consent.holds(day)]
    if document is None:
        enough = purpose == "internal" or any(consent.in_proceedings or purpose == "other" for consent in usable)
        if not enough:
            yield "what its sender allows is not known here"
        return
    handling = handling_of(document)
    if purpose == "judicial" and not any(consent.in_proceedings for consent in usable):
        if "H1" in handling.use:
            yield "H1 forbids its use in judicial proceedings without its sender's consent"
        yield from closed_for(document, day)
    if purpose == "other" and not usable:
        yield from closed_for(document, day)
    if handling.text is not None and not confirmed:
        limit = handling.text.replace("\n", "\n  | ")
        yield f"H3: {limit} (confirm that you keep to this: --handling-confirmed)"


def _plain(name: str) -> str:
    return " ".join(name.casefold().split())
