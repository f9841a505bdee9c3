"""trafficking-referral: a victim of trafficking is handed over to those who can help elsewhere."""

from typing import Annotated, Final, Literal

import msgspec

from valija_schemas.documents import codes
from valija_schemas.documents.base import Block, Faults, document, rule
from valija_schemas.documents.blocks.files import File
from valija_schemas.documents.blocks.frames import Notice
from valija_schemas.documents.blocks.information import Risk
from valija_schemas.documents.blocks.people import IdentityDocument, Location, Person

Covered = Literal["identity", "travel-documents", "means-and-routes"]
_PARTS: Final[tuple[tuple[str, Covered], ...]] = (
    ("identity", "identity"),
    ("travel_documents", "travel-documents"),
    ("means", "means-and-routes"),
    ("routes", "means-and-routes"),
)


class Consent(Block, frozen=True, kw_only=True):
    """The informed consent of the victim, or of a guardian, before anything is shared (TIP Protocol art. 6)."""

    given: bool  #: Whether it was given.
    by: Literal["victim", "guardian"]  #: Who was asked.
    date: codes.Date | None = None  #: The day on which it was given.
    scope: codes.Text | None = None  #: What may be shared, with whom, what for; in the words that were agreed.
    covers: tuple[Covered, ...] = ()  #: What may be shared beyond needs and risks.


class Need(Block, frozen=True, kw_only=True):
    """Something that the victim needs (TIP Protocol art. 6(3))."""

    kind: Literal[
        "housing", "counselling", "medical", "psychological", "material", "education", "legal", "protection", "other"
    ]  #: What kind of help.
    text: codes.Text  #: What exactly, and how soon.


class Arrival(Block, frozen=True, kw_only=True):
    """Where, when and by whom the victim is met (TIP Protocol art. 8)."""

    at: codes.DateTime  #: When.
    location: Location  #: Where.
    met_by: codes.Name  #: The service that is there.
    phone: codes.Phone  #: Of that service.


@document(
    "trafficking-referral",
    1,
    areas=("administrative", "law-enforcement", "judicial"),
    source="TIP Protocol art. 6-10",
    replies=("response/1", "status-update/1", "clarification/1"),
)
class TraffickingReferral(Notice, frozen=True, kw_only=True):
    """A referral of a victim of trafficking in persons (TIP Protocol art. 6 to 10).

    The victim is named by a pseudonym. Identity, travel documents, means and routes (art. 10(1)) are shared only as far
    as the consent covers them. Without consent nothing is referred, except where a life is at risk.
    """

    pseudonym: codes.Name  #: What the victim is called here; no part of a name.
    identification: Literal["presumed", "formal"]  #: Whether an authority recognized the victim as one.
    age: Literal["adult", "minor", "disputed"]  #: Whoever may be a minor is treated as one.
    guardian: codes.Name | None = None  #: Who cares for the interests of a minor.
    consent: Consent  #: What the victim agreed to.
    exception: codes.Text | None = None  #: Why a life is at risk, where there is no consent.
    languages: Annotated[tuple[codes.LanguageCode, ...], msgspec.Meta(min_length=1)]  #: That the victim speaks.
    needs: tuple[Need, ...] = ()  #: What help is needed.
    risks: tuple[Risk, ...] = ()  #: What the victim is in danger of.
    arrival: Arrival | None = None  #: Null: no journey is planned.
    identity: Person | None = None  #: Who the victim is, if the consent covers it.
    travel_documents: tuple[IdentityDocument, ...] = ()  #: Held, missing or forged.
    means: codes.Text | None = None  #: How the traffickers recruit, move and hold their victims.
    routes: tuple[Location, ...] = ()  #: The places on the way, in order.
    files: tuple[File, ...] = ()  #: Reports that the victim agreed to share.

    @rule("referral-consent")
    def consent_comes_first(self) -> Faults:
        """A referral has a consent with its day and scope, or an exception."""
        if self.consent.given:
            for name in ("date", "scope"):
                if getattr(self.consent, name) is None:
                    yield f".consent.{name}", "A consent has a day and a scope. Write what was agreed, and when."
        elif self.exception is None:
            yield (
                ".consent.given",
                "Nobody is referred without consent. Ask for it, or say in exception whose life is at risk.",
            )

    @rule("referral-exception")
    def exception_is_for_a_life(self) -> Faults:
        """An exception stands only where there is no consent and a risk to life is listed."""
        if self.exception is None:
            return
        if self.consent.given:
            yield ".exception", "There is a consent, so no exception is needed. Leave it empty."
        if not any(risk.danger == "life" for risk in self.risks):
            yield ".risks", "Only a risk to life goes before consent. List that risk, or ask for consent."

    @rule("referral-scope")
    def consent_covers_what_is_shared(self) -> Faults:
        """Identity, travel documents, means and routes are shared only as the consent covers them, or for a life."""
        for name, part in _PARTS:
            if getattr(self, name) and part not in self.consent.covers and self.exception is None:
                yield (
                    f".{name}",
                    "The consent does not cover {part}. Remove this, or ask the victim first.",
                    {"part": part},
                )

    @rule("referral-guardian")
    def minors_have_a_guardian(self) -> Faults:
        """A minor, or whoever may be one, has a guardian, who consents."""
        if self.age != "adult":
            if self.guardian is None:
                yield ".guardian", "Name the guardian or service that cares for this minor's interests."
            if self.consent.given and self.consent.by != "guardian":
                yield ".consent.by", "For a minor the guardian consents, after hearing the minor."
