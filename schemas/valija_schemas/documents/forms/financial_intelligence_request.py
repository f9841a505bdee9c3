"""financial-intelligence-request: one financial intelligence unit asks another."""

from typing import Annotated, Literal

import msgspec

from valija_schemas.documents import codes
from valija_schemas.documents.base import Block, Faults, document, rule
from valija_schemas.documents.blocks.case import Grading, Question, RespondBy, numbered
from valija_schemas.documents.blocks.files import File
from valija_schemas.documents.blocks.frames import Request
from valija_schemas.documents.blocks.information import Information, Subject
from valija_schemas.documents.blocks.things import BankAccount, Money, VirtualAssetAddress

Account = BankAccount | VirtualAssetAddress


class AssetAmount(Block, frozen=True, kw_only=True):
    """An amount of a virtual asset."""

    amount: codes.Decimal  #: In units of the asset.
    asset: codes.Reference  #: Its symbol: `BTC`.


class Transaction(Block, frozen=True, kw_only=True):
    """A movement of funds."""

    date: codes.Date  #: The day on which it was booked.
    money: Money | None = None  #: In a currency of a State.
    asset: AssetAmount | None = None  #: In a virtual asset.
    debited: Account | None = None  #: The account that it came from.
    credited: Account | None = None  #: The account that it went to.
    text: codes.Text | None = None  #: Its purpose as stated, and what is odd about it.
    grading: Grading  #: How far this can be trusted.

    @rule("transaction-amount")
    def has_one_amount(self) -> Faults:
        """A transaction has an amount, in money or in a virtual asset."""
        if (self.money is None) == (self.asset is None):
            yield "", "Give one amount: in money, or in a virtual asset."


@document(
    "financial-intelligence-request",
    1,
    areas=("law-enforcement", "administrative"),
    source="Egmont Group principles for information exchange",
    replies=("response/1", "status-update/1", "clarification/1"),
)
class FinancialIntelligenceRequest(Request, frozen=True, kw_only=True):
    """A request between financial intelligence units (practice of the Egmont Group).

    The predicate offences are those of `case`. The reply may be passed on only as `dissemination` asks and the
    receiver consents.
    """

    link: codes.Text  #: What the case has to do with the requested State.
    facts: codes.Text  #: A summary of what is known.
    subjects: tuple[Subject, ...] = ()  #: Persons, organisations, accounts and what else it is about.
    transactions: tuple[Transaction, ...] = ()  #: The movements that raised suspicion.
    databases_checked: Annotated[
        tuple[codes.Name, ...], msgspec.Meta(min_length=1)
    ]  #: The sender's own, searched before.
    information: tuple[Information, ...] = ()  #: What else is known.
    questions: Annotated[tuple[Question, ...], msgspec.Meta(min_length=1)]  #: Numbered.
    dissemination: Literal["none", "intelligence-only", "listed-authorities"]  #: What consent is wanted.
    dissemination_to: tuple[codes.Name, ...] = ()  #: The authorities that would read the reply.
    respond_by: RespondBy | None = None  #: By when, and why; null: as the priority says.
    files: tuple[File, ...] = ()  #: Charts and statements.

    @rule("fiu-subject")
    def is_about_something(self) -> Faults:
        """A request for financial intelligence has a subject or a transaction."""
        if not self.subjects and not self.transactions:
            yield ".subjects", "Say whom or what the questions are about: a person, an account, a transaction."

    @rule("dissemination-authorities")
    def authorities_are_listed(self) -> Faults:
        """Consent for listed authorities comes with their list; no other consent does."""
        if self.dissemination == "listed-authorities" and not self.dissemination_to:
            yield ".dissemination_to", "List the authorities that would read the reply."
        if self.dissemination != "listed-authorities" and self.dissemination_to:
            yield ".dissemination_to", "Only listed-authorities has a list. Empty it, or change dissemination."

    @rule("questions-numbered")
    def questions_are_numbered(self) -> Faults:
        """Questions are numbered 1, 2, 3 and so on, each number once."""
        yield from numbered(self.questions, ".questions")
