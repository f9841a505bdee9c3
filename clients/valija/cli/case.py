"""`valija case`: which cases there are, what is due, and what was said in one."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from valija import config as configs
from valija.cases.course import STATES
from valija.cases.index import Case, CaseIndex, day_of, limit_default
from valija.cases.place import REASONS
from valija.cli import common
from valija.clock import now_ms
from valija.keys import Keys, own_recipient
from valija_schemas.directory import Phonebook

if TYPE_CHECKING:
    from valija.cases.exchange import Exchange, Question, Turn

_LIST: Final = ["case", "marks", "reference", "title", "with", "last", "state", "due"]


@click.group("case")
def command() -> None:
    """Which cases there are, who owes whom an answer, and what was said: from this state folder, asking nobody."""


@click.command("list", cls=common.Command)
@click.option("--overdue", is_flag=True, help="Only those whose answer is overdue, the most overdue first.")
@click.option("--all", "every", is_flag=True, help="Also those that are answered, withdrawn or refused.")
@click.option("--exercise", is_flag=True, help="Exercises, in the place of real cases.")
@click.option("--limit", type=click.IntRange(min=1), default=limit_default, show_default=True, help="At most so many.")
@common.output_option
@common.profile_options
@common.reported
def list_(profile: str | None, settings: tuple[str, ...], output: str, exercise: bool, **how: Any) -> None:
    r"""List the cases that are open, newest first: from this state folder, asking nobody.

    \b
    valija case list --overdue
    valija case list --all --limit 500 --output json
    """
    config = common.load_config(profile, settings)
    printer = common.Printer(output, _LIST)
    index, _ = opened(config)
    try:
        for case in index.cases(now_ms(), exercise=exercise, **how):
            printer.add(record(case, for_people=output == "table"))
        others, unreadable = index.counted(exercise=not exercise), index.unreadable()
    finally:
        index.close()
    printer.close()
    if others and not exercise:
        common.words(f"{others} exercises are not shown: --exercise.")
    if unreadable:
        common.words(f"{unreadable} messages do not open with this keyring; they count once it holds their key.")


@click.command("show", cls=common.Command)
@click.argument("thread")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@common.profile_options
@common.reported
def show(thread: str, profile: str | None, settings: tuple[str, ...], as_json: bool) -> None:
    """Show the case with this THREAD, or with a message of this digest: what may be done with it, and what was said.

    Questions stand with the answers that came so far, from however many messages.
    """
    from valija.cases.exchange import exchange  # noqa: PLC0415 - the list does not wait for the forms

    index, keys = opened(common.load_config(profile, settings))
    try:
        found = exchange(index, thread, keys, now_ms())
    finally:
        index.close()
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(_plain(found))).decode())
        return
    for line in _lines(found):
        click.echo(common.printable(line))


def opened(config: configs.Config) -> tuple[CaseIndex, Keys]:
    """The index of a profile, and its keys. No connection is made for it, which keeps the list quick."""
    keys = config.open_keys()
    return CaseIndex(config.state_folder, config.exchange, keys, lambda: own_recipient(keys, _held(config))), keys


def _held(config: configs.Config) -> Phonebook:
    from valija.trust import TrustStore  # noqa: PLC0415 - verifies directories, which a list does not wait for

    return TrustStore(config.state_folder / "trust", config.exchange, config.root).phonebook


def record(case: Case, *, for_people: bool) -> dict[str, Any]:
    """A case, for a table or for programs."""
    found: dict[str, Any] = {
        "case": case.id,
        "reference": case.reference,
        "title": case.title,
        "with": list(case.others),
        "last": common.iso(case.last),
        "state": STATES[case.state] if for_people else case.state,
        "due": None if case.due is None else common.iso(case.due),
    }
    if for_people:
        shown = common.marks(exercise=case.exercise, apart=case.apart, overdue=case.overdue, expired=case.expired)
        return found | {"marks": shown}
    return found | {
        "thread": case.thread,
        "apart": case.apart,
        "exercise": case.exercise,
        "overdue": case.overdue,
        "messages": case.messages,
        "last_type": case.last_type,
        "handling": list(case.use),
        "retain_until": case.retain_until,
        "retain_until_passed": case.expired,
    }


def _lines(found: "Exchange") -> Iterator[str]:
    """The case as a person reads it: first what may not be overlooked."""
    case = found.case
    if case.exercise:
        yield "EXERCISE: nobody acts on this."
    if case.apart:
        yield f"APART from the thread {case.thread}: {REASONS[case.apart]}."
    yield from _handling(found)
    yield f"Case      {case.reference or '-'}  {case.title or ''}".rstrip()
    yield f"Thread    {case.id}"
    yield f"With      {', '.join(case.others)}"
    due = f", due {common.iso(case.due)}" if case.due is not None else ""
    yield f"State     {STATES[case.state]}{due}{', OVERDUE' if case.overdue else ''}"
    yield ""
    for turn in found.turns:
        yield from _turn(turn)
    for question in found.questions:
        yield from _question(question)


def _handling(found: "Exchange") -> Iterator[str]:
    day = day_of(now_ms())
    for turn in found.turns:
        handling = turn.handling
        if handling is None:
            continue
        yield f"Handling  {' '.join(handling.use)} by {turn.entry.said.sender} in {_name(turn)}: {handling.purpose}"
        if handling.text:
            yield f"          H3: {handling.text}"
        if handling.retain_until:
            passed = ", which has PASSED: erase it" if handling.retain_until < day else ""
            yield f"          keep until {handling.retain_until}{passed}"


def _turn(turn: "Turn") -> Iterator[str]:
    """A message: its head line, and what of its content the case turns on. Whole documents are shown elsewhere."""
    said, document = turn.entry.said, turn.document
    mark = "EXERCISE  " if turn.exercise else ""
    outcome = f"  {said.summary.outcome}" if said.summary.outcome else ""
    refused = "" if turn.entry.counts else f"  {turn.entry.state}"
    waits = "  not yet accepted" if turn.entry.state == "pending" else ""
    way = f"{said.sender} -> {', '.join(said.to)}"
    yield f"{common.iso(turn.at)}  {mark}{way}  {said.type}{outcome}{refused}{waits}"
    yield f"    {turn.entry.digest}"
    if turn.unreadable is not None:
        yield f"    cannot be opened here: {turn.unreadable}"
    for name in ("reason", "reasons", "text", "conditions", "conditions_of_use"):
        text = getattr(document, name, None)
        if isinstance(text, str):
            yield from (f"    {line}" for line in text.split("\n"))
    if said.summary.withdrawn:
        yield f"    withdrawn: {', '.join(map(str, said.summary.withdrawn))}"


def _question(question: "Question") -> Iterator[str]:
    state = " WITHDRAWN" if question.withdrawn else " OPEN" if question.open else ""
    yield ""
    yield f"Question {question.number} of {question.asker} in {question.digest[:16]}{state}"
    yield from (f"    {line}" for line in question.text.split("\n"))
    for given in question.answers:
        yield f"  {given.sender}, {common.iso(given.at)}, {given.grading}, in {given.digest[:16]}"
        yield from (f"    {line}" for line in given.text.split("\n"))


def _name(turn: "Turn") -> str:
    return f"{turn.entry.said.type} {turn.entry.digest[:16]}"


def _plain(found: "Exchange") -> dict[str, Any]:
    """The exchange for programs: documents as they were sealed."""
    return record(found.case, for_people=False) | {
        "turns": [
            {
                "digest": turn.entry.digest,
                "from": turn.entry.said.sender,
                "to": list(turn.entry.said.to),
                "type": turn.entry.said.type,
                "sent": common.iso(turn.at),
                "exercise": turn.exercise,
                "state": turn.entry.state,
                "document": None if turn.json is None else msgspec.Raw(turn.json),
            }
            for turn in found.turns
        ],
        "questions": msgspec.to_builtins(found.questions),
    }


for each in (list_, show):
    command.add_command(each)
