"""Where a case stands: what was asked, who owes whom an answer, and until when.

An answer ends what it answers if it is final: a partial or postponed one leaves it open, a question back turns it
round. Whoever asked may withdraw. A case of several requests waits for us as soon as one of them does.

Nothing here does I/O. Before this room: `index`, `exchange`. After it: `summary`.
"""

from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec

from valija.cases.summary import Summary
from valija_schemas.message import Priority

State = Literal["ours", "theirs", "answered", "withdrawn", "information", "void"]

CLOSED: Final[frozenset[State]] = frozenset({"answered", "withdrawn", "void"})

#: Types that answer, and those of their outcomes that leave the question open.
_ANSWERS: Final[dict[str, frozenset[str]]] = {
    "response": frozenset({"partial", "postponed", "more-information-needed"}),
    "firearms-trace-result": frozenset(),
    "pre-export-reply": frozenset({"needs-time"}),
    "dissemination-consent-reply": frozenset(),
    "status-update": frozenset({"received", "in-progress", "forwarded", "awaiting"}),
}


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """A message that belongs into the case, as far as its course depends on it."""

    digest: str
    sender: str
    to: tuple[str, ...]
    type: str
    priority: Priority
    in_reply_to: str | None
    received: int  #: By whom it was sent to, as near as is known, in ms.
    summary: Summary


class Asked(msgspec.Struct, kw_only=True):
    """Something that was asked, and what became of it."""

    said: Said
    due: int
    owes: dict[str, Literal["answer", "question"]]  #: Who has not answered; `question`: the asker is asked back.
    withdrawn: bool = False
    withdrawn_questions: set[int] = msgspec.field(default_factory=set)
    answers: list[Said] = msgspec.field(
        default_factory=list
    )  #: What was said to it, in order; questions back included.

    @property
    def open(self) -> bool:
        """Whether anybody still owes an answer."""
        return bool(self.owes)


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """Where a case stands, as we see it."""

    state: State
    due: int | None  #: When the most urgent answer is due that is owed by us or to us.
    asked: tuple[Asked, ...]


def course(messages: Sequence[Said], me: str) -> Course:
    """The course of a case, from its messages in order."""
    asked: list[Asked] = []
    for said in messages:
        about = _about(said, asked)
        if about is not None:
            _follow(about, said)
        if said.summary.asks:
            asked.append(Asked(said=said, due=due_of(said), owes=dict.fromkeys(said.to, "answer")))
    mine = [each for each in asked if each.open and _is_ours(each, me)]
    theirs = [each for each in asked if each.open and each not in mine and me in {each.said.sender, *each.owes}]
    waiting = mine or theirs
    state: State = "ours" if mine else "theirs" if theirs else _ended(messages, asked)
    return Course(state=state, due=min((each.due for each in waiting), default=None), asked=tuple(asked))


def due_of(said: Said) -> int:
    """When the answer to `said` is due: as it says itself, else as its priority says."""
    from valija_schemas.documents import respond_by_default_ms  # noqa: PLC0415 - a list does not wait for the forms

    own = said.summary.respond_by
    return own if own is not None else respond_by_default_ms(said.priority, said.received)


def answers_finally(type_: str, outcome: str | None) -> bool:
    """Whether a document of this type, with this outcome, ends what it answers."""
    name = type_.partition("/")[0]
    return name in _ANSWERS and outcome not in _ANSWERS[name]


def _about(said: Said, asked: Iterable[Asked]) -> Asked | None:
    """What `said` speaks of: what it names; else, of what concerns its sender, the one thing that was asked."""
    known = {digest: each for each in asked for digest in (each.said.digest, *(a.digest for a in each.answers))}
    for named in (said.in_reply_to, said.summary.regarding):
        if named in known:
            return known[named]
    open_ = [each for each in asked if each.open and said.sender in {each.said.sender, *each.owes}]
    return open_[0] if len(open_) == 1 else None


def _follow(about: Asked, said: Said) -> None:
    name, summary = said.type.partition("/")[0], said.summary
    about.answers.append(said)
    if said.sender == about.said.sender:
        if summary.withdrawn is not None:
            about.withdrawn_questions |= set(summary.withdrawn or about.said.summary.questions)
            if not summary.withdrawn or about.withdrawn_questions >= set(about.said.summary.questions):
                about.withdrawn = True
                about.owes.clear()
        elif name == "clarification" and not summary.asks:
            about.owes.update(dict.fromkeys(about.owes, "answer"))
    elif said.sender in about.owes:
        back = summary.outcome == "more-information-needed" or (name == "clarification" and bool(summary.questions))
        if answers_finally(said.type, summary.outcome):
            del about.owes[said.sender]
        elif back:
            about.owes[said.sender] = "question"


def _is_ours(asked: Asked, me: str) -> bool:
    if asked.said.sender == me:
        return "question" in asked.owes.values()
    return asked.owes.get(me) == "answer"


def _ended(messages: Sequence[Said], asked: Sequence[Asked]) -> State:
    if not messages:
        return "void"
    if not asked:
        return "information"
    return "withdrawn" if all(each.withdrawn for each in asked) else "answered"
