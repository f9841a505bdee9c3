"""`valija case`: which cases there are, what is due, and what was said in one."""

import contextlib
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from valija import config as configs
from valija.cases.course import STATES
from valija.cases.entries import Case
from valija.cases.index import CaseIndex, limit_default
from valija.cases.place import REASONS
from valija.cli import common
from valija.clock import day_of, now_ms
from valija.errors import UsageError
from valija.keys import Keys, own_recipient
from valija_schemas.directory import Phonebook

if TYPE_CHECKING:
    from valija.cases.exchange import Exchange, Question, Turn
    from valija.trust import TrustStore

_told_above: Final = 2_000  #: Messages that take longer to read than a person waits without a word.
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
    with contextlib.closing(index):
        if (unread := index.unread()) > _told_above:
            common.words(f"{unread} messages are read for the first time; this takes some minutes for 100,000.")
        for case in index.cases(now_ms(), exercise=exercise, **how):
            printer.add(record(case, for_people=output == "table"))
        others, unreadable = index.counted(exercise=not exercise), index.unreadable()
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
    from valija.cases.consents import Consents  # noqa: PLC0415 - the list does not wait for the forms
    from valija.cases.desk import Desk  # noqa: PLC0415

    config = common.load_config(profile, settings)
    index, keys = opened(config)
    with contextlib.closing(index), contextlib.closing(Consents(config.state_folder, keys)) as consents:
        found = Desk(index, consents, keys, now_ms(), lambda number: _trust(config).version(number)).exchange(thread)
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
    return _trust(config).phonebook


def _trust(config: configs.Config) -> "TrustStore":
    from valija.trust import TrustStore  # noqa: PLC0415 - verifies directories, which a list does not wait for

    return TrustStore(config.state_folder / "trust", config.exchange, config.root)


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
    from valija.cases.export import handling_lines  # noqa: PLC0415 - see `show`

    day = day_of(now_ms())
    for turn in found.turns:
        said = turn.entry.said
        for number, line in enumerate(handling_lines(turn, found.consents.get(said.digest, ()), day)):
            if number == 0:
                yield f"{said.type} of {said.sender}, {said.digest[:16]}"
            yield f"    {line}"


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


@click.command("export", cls=common.Command)
@click.argument("thread")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--for", "purpose", type=click.Choice(["internal", "judicial", "other"]), required=True, help="What for.")
@click.option("--handling-confirmed", is_flag=True, help="You read the limits (H3) of its documents, and keep to them.")
@common.profile_options
@common.reported
def export(
    thread: str, folder: Path, profile: str | None, settings: tuple[str, ...], purpose: Any, handling_confirmed: bool
) -> None:
    r"""Write the papers of the case THREAD into the new folder DIR, in plain, with INDEX.txt over them.

    What others sent under H1 does not go into judicial use, under H2 or confidentiality not out of the house, unless a
    consent is on record. Nothing is written then, and each reason is said.

    \b
    valija case export THREAD papers --for internal
    valija case export THREAD papers --for judicial --handling-confirmed
    """
    from valija.client import Client  # noqa: PLC0415 - see `show`

    async def work(client: Client) -> list[Path]:
        async with client:
            return await client.export_case(thread, folder, purpose, handling_confirmed=handling_confirmed)

    written = common.run(work(Client(common.load_config(profile, settings))))
    click.echo(folder / "INDEX.txt")
    common.words(f"{len(written)} files. They hold the content in plain: keep them as their senders' handling says.")


@click.command("consent", cls=common.Command)
@click.argument("digest")
@click.option(
    "--file", "proof", type=click.Path(path_type=Path), required=True, help="What shows it: a scanned letter."
)
@click.option("--by", required=True, metavar="WHO", help="Who gave it.")
@click.option("--to", "points", multiple=True, metavar="ID", help="A contact point that it may be passed on to.")
@click.option("--in-proceedings", is_flag=True, help="It may be used in judicial proceedings.")
@click.option("--conditions", metavar="TEXT", help="Under which it was given.")
@click.option("--until", "valid_until", metavar="DAY", help="The last day on which it counts: 2027-03-31.")
@common.profile_options
@common.reported
def consent(digest: str, profile: str | None, settings: tuple[str, ...], **how: Any) -> None:
    r"""Record a consent for the message DIGEST that came otherwise than in a message: in a letter, say.

    It is kept sealed with the file, and is shown everywhere as recorded by hand. One that comes as a
    dissemination-consent-reply to your request counts by itself.

    \b
    valija case consent DIGEST --file letter.pdf --by "Fiscalia de ejemplo" --to ca.liaison --until 2027-03-31
    """
    from valija.client import Client  # noqa: PLC0415 - see `show`

    async def work(client: Client) -> None:
        async with client:
            await client.record_consent(digest, **how)

    if how["valid_until"] is not None and not _is_day(how["valid_until"]):
        raise UsageError(f"--until {how['valid_until']}: write a day such as 2027-03-31")
    common.run(work(Client(common.load_config(profile, settings))))
    common.words(f"Recorded. See it with: valija case show {digest}")


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


for each in (list_, show, export, consent):
    command.add_command(each)
