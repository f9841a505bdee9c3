"""The case: who asks, on what basis, how urgently, and how the information may be used and trusted."""

from typing import Annotated, Final, Literal

import msgspec

from valija_schemas import limits
from valija_schemas.agreements import TreatyCode
from valija_schemas.documents import codes
from valija_schemas.documents.base import Block, Faults, rule
from valija_schemas.wire import Digest

OffenceCode = Literal[
    "drug-trafficking",
    "precursor-diversion",
    "money-laundering",
    "terrorism",
    "terrorism-financing",
    "kidnapping",
    "trafficking-in-persons",
    "migrant-smuggling",
    "arms-trafficking",
    "explosives-smuggling",
    "corruption",
    "participation-in-organized-group",
    "other",
]
Instrument = Literal[TreatyCode, "bilateral", "domestic-law", "reciprocity"]
Priority = Literal["flash", "urgent", "routine"]

QuestionNumber = Annotated[int, msgspec.Meta(ge=1, le=9_999, description="the number of a question, from 1")]

_RESPOND_BY_DEFAULT_MS: Final[dict[Priority, int]] = {
    "flash": 8 * limits.HOUR_MS,
    "urgent": 3 * limits.DAY_MS,
    "routine": 7 * limits.DAY_MS,
}


class Offence(Block, frozen=True, kw_only=True):
    """An offence under investigation or prosecution. Codes after the offences that the treaties themselves define."""

    code: OffenceCode  #: What kind of offence it is, for sorting and for statistics.
    citation: codes.Name  #: The provision of domestic law that makes it one: `Código Penal Federal, art. 194`.


class Case(Block, frozen=True, kw_only=True):
    """The national investigation or proceeding that a document belongs to (UNTOC art. 18(15)(b))."""

    reference: codes.Reference  #: Its number in the sender's own register.
    title: codes.Name  #: What people call it.
    offences: tuple[Offence, ...] = ()  #: Empty where none is known yet, as in a disappearance.
    organised_group: Literal["involved", "suspected", "none-known"] | None = (
        None  #: UNTOC art. 2(a); null: not assessed.
    )


class LegalBasis(Block, frozen=True, kw_only=True):
    """The instrument under which a document is sent. Which States are party to which is in the directory."""

    instrument: Instrument  #: The treaty, or what stands in its place.
    article: codes.Reference | None = None  #: The article and paragraph: `27(1)`.
    title: codes.Name | None = None  #: The name of a bilateral treaty or of a law of the sender's State.


class Authority(Block, frozen=True, kw_only=True):
    """The authority that sends the document, and how to reach it (UNTOC art. 18(13), (15)(a); art. 27(1)(a))."""

    name: codes.Name  #: Its official name.
    country: codes.Country  #: The State that it belongs to.
    functions: codes.Name  #: What it is competent for.
    officer: codes.Name | None = None  #: Who handles the case.
    phone: codes.Phone | None = None  #: In working hours.
    email: codes.Email | None = None  #: For arrangements only; information travels in documents.
    working_hours: codes.Name | None = None  #: Days and hours, local time: `Mon-Fri 08:00-17:00`.
    time_zone: codes.TimeZone | None = None  #: The zone of the working hours.
    duty_line: codes.Phone | None = None  #: Answered 24 hours a day, 7 days a week.

    @rule("authority-contact")
    def can_be_reached(self) -> Faults:
        """An authority gives a phone, an e-mail address or a duty line."""
        if self.phone is None and self.email is None and self.duty_line is None:
            yield "", "Nobody can reach this authority. Give a phone, an e-mail address or a duty line."

    @rule("authority-time-zone")
    def hours_have_a_zone(self) -> Faults:
        """Working hours come with their time zone."""
        if self.working_hours is not None and self.time_zone is None:
            yield ".time_zone", "Working hours mean nothing abroad without a time zone. Add it: America/Bogota."


class Handling(Block, frozen=True, kw_only=True):
    """What the receiver may do with the document, by Europol's handling codes.

    H0: to prevent and prosecute crime, without further limits. H1: not in judicial proceedings without the sender's
    consent. H2: not passed on without the sender's consent. H3: another limit, said in `text`. H1, H2 and H3 combine.
    """

    use: Annotated[tuple[Literal["H0", "H1", "H2", "H3"], ...], msgspec.Meta(min_length=1)]  #: In rising order.
    text: codes.Text | None = None  #: The limit that H3 stands for.
    purpose: codes.Text  #: What the information is sent for; any other use needs consent (UNTOC art. 18(19)).
    retain_until: codes.Date | None = None  #: The receiver erases it after this day; null: its own law decides.
    consent_contact: codes.Name | None = None  #: Whom to ask for consent; null: the contact point that sent it.

    @rule("handling-codes")
    def codes_agree(self) -> Faults:
        """Handling codes stand once each and in order; H0 stands alone."""
        if len(self.use) == 1:
            return
        if list(self.use) != sorted(set(self.use)):
            yield ".use", "Write each handling code once, from H0 to H3."
        if "H0" in self.use and len(set(self.use)) > 1:
            yield ".use", "H0 sets no further limit and the others do. Write H0 alone, or leave it out."

    @rule("handling-text")
    def text_goes_with_h3(self) -> Faults:
        """H3 has a text that says the limit; no other code has one."""
        if "H3" in self.use and self.text is None:
            yield ".text", "H3 stands for a limit of your own. Say in text what the receiver may not do."
        if "H3" not in self.use and self.text is not None:
            yield ".text", "A text without H3 is read by nobody as a limit. Add H3, or leave the text empty."


class Grading(Block, frozen=True, kw_only=True):
    """How far an item of information can be trusted: the 4x4 evaluation (Regulation (EU) 2016/794 art. 29).

    Source: A no doubt, B mostly reliable, C mostly unreliable, X cannot be assessed. Information: 1 not in doubt,
    2 known personally to the source, 3 hearsay but corroborated, 4 hearsay and not corroborated.
    """

    source: Literal["A", "B", "C", "X"]  #: The reliability of who said it.
    information: Literal["1", "2", "3", "4"]  #: The reliability of what was said.


class Confidentiality(Block, frozen=True, kw_only=True):
    """Whether the receiver keeps the fact and the substance of a document to itself (UNTOC art. 18(5), (20))."""

    level: Literal["none", "temporary", "permanent"]  #: For how long.
    until: codes.Date | None = None  #: The last day of a temporary confidentiality.

    @rule("confidentiality-until")
    def temporary_has_an_end(self) -> Faults:
        """Temporary confidentiality has a last day; the other levels have none."""
        if self.level == "temporary" and self.until is None:
            yield ".until", "Say until which day the document is confidential, or choose permanent."
        if self.level != "temporary" and self.until is not None:
            yield ".until", "Only temporary confidentiality ends on a day. Leave it empty, or choose temporary."


class Question(Block, frozen=True, kw_only=True):
    """A question that can be answered on its own."""

    number: QuestionNumber  #: What an answer refers to.
    text: codes.Text  #: One question; two are two questions.


class Regarding(Block, frozen=True, kw_only=True):
    """The earlier message that a document speaks of, by its digest, its reference, or both."""

    message: (
        Annotated[Digest, msgspec.Meta(description="the digest of a message: 64 hex digits in lower case")] | None
    ) = None  #: The digest of its note, the same for both sides.
    reference: codes.Reference | None = None  #: The reference that it gave to its case.

    @rule("regarding-empty")
    def can_be_found(self) -> Faults:
        """An earlier message is named by its digest or its reference."""
        if self.message is None and self.reference is None:
            yield "", "Say which message you speak of: by its digest, or by the reference that it gave."


class RespondBy(Block, frozen=True, kw_only=True):
    """The time by which an answer is wanted, and why (UNTOC art. 18(24)). Without one, the priority decides."""

    by: codes.DateTime  #: The latest time at which the answer still helps.
    reasons: codes.Text  #: Why: a hearing, a transport, a life at risk.


def respond_by_default_ms(priority: Priority, received_ms: int) -> int:
    """When an answer is due if the document names no time (after Directive (EU) 2023/977 art. 5).

    Flash 8 hours, urgent 3 days, routine 7 days after receipt; times in milliseconds since 1970-01-01T00:00:00Z.
    """
    return received_ms + _RESPOND_BY_DEFAULT_MS[priority]


def numbered(questions: tuple[Question, ...], at: str) -> Faults:
    """The fault of questions that are not numbered 1, 2, 3 and so on, each number once."""
    for index, question in enumerate(questions):
        if question.number != index + 1:
            yield (
                f"{at}[{index}].number",
                "Number the questions 1, 2, 3 in order, each once: this one is {place}, not {number}.",
                {"place": index + 1, "number": question.number},
            )


def citations(bases: tuple[LegalBasis, ...], at: str) -> Faults:
    """The faults of instruments that cannot be looked up: no article, no title, or one where there is none."""
    for index, basis in enumerate(bases):
        path = f"{at}[{index}]"
        if basis.instrument == "reciprocity":
            if basis.article is not None or basis.title is not None:
                yield path, "Reciprocity has no article and no title. Leave both empty, or name the instrument."
            continue
        if basis.article is None:
            yield f"{path}.article", "Name the article that allows this document, such as 27(1)."
        named = basis.instrument in {"bilateral", "domestic-law"}
        if named and basis.title is None:
            yield f"{path}.title", "Name the treaty or law: its code alone does not tell the receiver which one."
        if not named and basis.title is not None:
            yield f"{path}.title", "A title is for bilateral treaties and laws; this instrument has one name. Empty it."
