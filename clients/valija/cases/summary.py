"""What a list of cases shows and counts of one document, taken out of it once.

It lies sealed in the index, so that a list opens no messages. Nothing here does I/O.

Before this room: `index`. After it: `valija_schemas.documents`.
"""

from typing import TYPE_CHECKING, Any, Final

import msgspec

from valija.clock import ms_of

if TYPE_CHECKING:
    from valija_schemas.documents import Document
    from valija_schemas.documents.bilateral import BilateralDocument

#: Asks for an answer without a field that says by when: whoever refers a victim must hear whether anybody takes over.
_ASKS_WITHOUT_A_DATE: Final = frozenset({"trafficking-referral"})
OUTCOMES: Final = ("outcome", "answer", "state")  #: The fields of answers that say what became of the request.


class Summary(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What is known of a document without opening it again."""

    reference: str | None = None  #: Of the sender's case.
    title: str | None = None
    use: tuple[str, ...] = ()  #: Handling codes.
    retain_until: str | None = None  #: The last day, ISO 8601.
    asks: bool = False  #: Whether it wants an answer.
    respond_by: int | None = None  #: When it says so itself, in ms.
    questions: tuple[int, ...] = ()  #: The numbers of those that it asks.
    answers: tuple[int, ...] = ()  #: The numbers of those that it answers.
    outcome: str | None = None  #: What an answer says became of the request.
    regarding: str | None = None  #: The digest of the message that it speaks of.
    withdrawn: tuple[int, ...] | None = None  #: The questions that it withdraws; none of them: all of the request.


def summarise(type_: str, document: "Document | BilateralDocument") -> Summary:
    """The summary of a valid document of this type."""
    name, fields = type_.partition("/")[0], document.__struct_fields__
    case, handling = getattr(document, "case", None), getattr(document, "handling", None)
    questions = _of(document, "questions") or _of(document, "further_questions")
    respond_by = getattr(document, "respond_by", None)
    regarding = getattr(document, "regarding", None)
    asks = "respond_by" in fields or name in _ASKS_WITHOUT_A_DATE
    if name == "consultation":  # a meeting alone wants no answer
        asks = bool(questions)
    outcome = next((getattr(document, field) for field in OUTCOMES if field in fields), None)
    return Summary(
        reference=case.reference if case is not None else getattr(document, "reference", None),
        title=case.title if case is not None else None,
        use=handling.use if handling is not None else (),
        retain_until=str(handling.retain_until) if handling is not None and handling.retain_until else None,
        asks=asks,
        respond_by=None if respond_by is None else ms_of(str(respond_by.by)),
        questions=() if name == "withdrawal" else tuple(each.number for each in questions),
        answers=tuple(each.question for each in _of(document, "answers")),
        outcome=outcome if isinstance(outcome, str) else None,
        regarding=regarding.message if regarding is not None else None,
        withdrawn=tuple(_of(document, "questions")) if name == "withdrawal" else None,
    )


def _of(document: "Document | BilateralDocument", field: str) -> tuple[Any, ...]:
    found = getattr(document, field, ())
    return found if isinstance(found, tuple) else ()
