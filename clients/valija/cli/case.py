"""`valija case`: which cases there are, what is due, and what was said in one."""

import contextlib
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from valija import config as configs
from valija.cases.course import State
from valija.cases.entries import Case
from valija.cases.index import CaseIndex, limit_default
from valija.cases.place import Apart
from valija.cases.summary import OUTCOMES
from valija.cli import common
from valija.clock import day_of, now_ms
from valija.errors import UsageError
from valija.keys import Keys, own_recipient
from valija.paper import times
from valija.paper.catalog import Sentences
from valija_schemas.directory import Phonebook

if TYPE_CHECKING:
    from valija.cases.exchange import Exchange, Question, Turn
    from valija.paper.language import Words
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
@common.language_option
@common.profile_options
@common.reported
def list_(
    profile: str | None, settings: tuple[str, ...], language: str | None, output: str, exercise: bool, **how: Any
) -> None:
    r"""List the cases that are open, newest first: from this state folder, asking nobody.

    \b
    valija case list --overdue
    valija case list --all --limit 500 --output json
    """
    config = common.load_config(profile, common.in_language(settings, language))
    words = common.sentences(config)
    printer = common.Printer(output, _LIST, _titles(words))
    index, _ = opened(config)
    with contextlib.closing(index):
        if (unread := index.unread()) > _told_above:
            common.words(
                words.say("Messages that are read for the first time, which takes a while: {count}", count=unread)
            )
        for case in index.cases(now_ms(), exercise=exercise, **how):
            printer.add(_row(case, words) if output == "table" else record(case))
        others, unreadable = index.counted(exercise=not exercise), index.unreadable()
    printer.close()
    if others and not exercise:
        common.words(words.say("Exercises that are not shown: {count} (--exercise)", count=others))
    if unreadable:
        common.words(words.say("Messages that do not open with this keyring: {count}", count=unreadable))


@click.command("show", cls=common.Command)
@click.argument("thread")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@common.language_option
@common.profile_options
@common.reported
def show(thread: str, profile: str | None, settings: tuple[str, ...], language: str | None, as_json: bool) -> None:
    """Show the case with this THREAD, or with a message of this digest: what may be done with it, and what was said.

    Questions stand with the answers that came so far, from however many messages.
    """
    from valija.cases.consents import Consents  # noqa: PLC0415 - the list does not wait for the forms
    from valija.cases.desk import Desk  # noqa: PLC0415

    config = common.load_config(profile, settings)
    words = common.reader(language, config)
    index, keys = opened(config)
    with contextlib.closing(index), contextlib.closing(Consents(config.state_folder, keys)) as consents:
        found = Desk(index, consents, keys, now_ms(), lambda number: _trust(config).version(number)).exchange(thread)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(_plain(found))).decode())
        return
    for line in _lines(found, words):
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


def record(case: Case) -> dict[str, Any]:
    """A case, for programs."""
    return {
        "case": case.id,
        "reference": case.reference,
        "title": case.title,
        "with": list(case.others),
        "last": common.iso(case.last),
        "state": case.state,
        "due": None if case.due is None else common.iso(case.due),
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


def _row(case: Case, words: Sentences) -> dict[str, Any]:
    """A case, for a table."""
    marks = common.marks(words, exercise=case.exercise, apart=case.apart, overdue=case.overdue, expired=case.expired)
    due = None if case.due is None else times.utc(case.due)
    return record(case) | {
        "state": _state(case.state, words),
        "marks": marks,
        "last": times.utc(case.last),
        "due": due,
    }


def _titles(words: Sentences) -> list[str]:
    """The heads of the list's columns, in the order of `_LIST`."""
    say = words.say
    return [
        say("CASE"), say("MARKS"), say("REFERENCE"), say("TITLE"), say("WITH"), say("LAST"), say("STATE"), say("DUE"),
    ]  # fmt: skip


def _state(state: State, words: Sentences) -> str:
    return {
        "ours": words.say("waiting for our answer"),
        "theirs": words.say("waiting for theirs"),
        "answered": words.say("answered"),
        "withdrawn": words.say("withdrawn"),
        "information": words.say("nothing asked"),
        "void": words.say("refused"),
    }[state]


def _reason(apart: Apart, words: Sentences) -> str:
    """Why a message does not stand in the thread that it names."""
    return {
        "unknown": words.say("it continues an exchange, or answers a message, that is not in this state folder"),
        "not-a-party": words.say("its sender is no party to the exchange, or to the message, that it answers"),
        "other-thread": words.say("it names another thread than the message that it answers"),
        "exercise": words.say("an exercise and a real case do not share a thread"),
    }[apart]


def _lines(found: "Exchange", words: "Words") -> Iterator[str]:
    """The case as a person reads it: first what may not be overlooked."""
    case, say = found.case, words.say
    if case.exercise:
        yield say("EXERCISE: nobody acts on this.")
    if case.apart:
        yield say("APART from the thread {thread}: {reason}.", thread=case.thread, reason=_reason(case.apart, words))
    yield from _handling(found, words)
    state = _state(case.state, words)
    if case.due is not None:
        state += ", " + say("due {time}", time=times.instant(case.due, None))
    if case.overdue:
        state += ", " + say("OVERDUE")
    head = {
        say("Case"): f"{case.reference or '-'}  {case.title or ''}".rstrip(),
        say("Thread"): case.id,
        say("With"): ", ".join(case.others),
        say("State of the case"): state,
    }
    width = max(map(len, head)) + 2
    yield from (f"{label:<{width}}{text}" for label, text in head.items())
    yield ""
    for turn in found.turns:
        yield from _turn(turn, words)
    for question in found.questions:
        yield from _question(question, words)


def _handling(found: "Exchange", words: "Words") -> Iterator[str]:
    from valija.cases.export import handling_lines  # noqa: PLC0415 - see `show`

    day = day_of(now_ms())
    for turn in found.turns:
        said = turn.entry.said
        for number, line in enumerate(handling_lines(turn, found.consents.get(said.digest, ()), day, words)):
            if number == 0:
                yield words.say(
                    "{type} of {sender}, {digest}", type=said.type, sender=said.sender, digest=said.digest[:16]
                )
            yield f"    {line}"


def _turn(turn: "Turn", words: "Words") -> Iterator[str]:
    """A message: its head line, and what of its content the case turns on. Whole documents are shown elsewhere."""
    said, document = turn.entry.said, turn.document
    yield "  ".join(
        filter(
            None,
            (
                times.instant(turn.at, None),
                words.say("EXERCISE") if turn.exercise else "",
                f"{said.sender} -> {', '.join(said.to)}",
                said.type,
                _outcome(turn, words),
                "" if turn.entry.counts else turn.entry.state,
                words.say("not yet accepted") if turn.entry.state == "pending" else "",
            ),
        )
    )
    yield f"    {turn.entry.digest}"
    if turn.unreadable is not None:
        yield f"    {words.say('cannot be opened here: {why}', why=turn.unreadable)}"
    for name in ("reason", "reasons", "text", "conditions", "conditions_of_use"):
        text = getattr(document, name, None)
        if isinstance(text, str):
            yield from (f"    {line}" for line in text.split("\n"))
    if said.summary.withdrawn:
        numbers = ", ".join(map(str, said.summary.withdrawn))
        yield f"    {words.say('withdrawn: {numbers}', numbers=numbers)}"


def _outcome(turn: "Turn", words: "Words") -> str:
    """What an answer says became of the request; its code alone where the document does not open here."""
    outcome = turn.entry.said.summary.outcome or ""
    field = next((name for name in OUTCOMES if hasattr(turn.document, name)), None)
    return words.code(field, outcome) if field and outcome else outcome


def _question(question: "Question", words: "Words") -> Iterator[str]:
    say = words.say
    state = f" {say('WITHDRAWN')}" if question.withdrawn else f" {say('OPEN')}" if question.open else ""
    asked = {"number": question.number, "asker": question.asker, "digest": question.digest[:16]}
    yield ""
    yield say("Question {number} of {asker} in {digest}", **asked) + state
    yield from (f"    {line}" for line in question.text.split("\n"))
    for given in question.answers:
        yield f"  {given.sender}, {times.instant(given.at, None)}, {given.grading}, {given.digest[:16]}"
        yield from (f"    {line}" for line in given.text.split("\n"))


def _plain(found: "Exchange") -> dict[str, Any]:
    """The exchange for programs: documents as they were sealed."""
    return record(found.case) | {
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
@common.language_option
@common.profile_options
@common.reported
def export(
    thread: str,
    folder: Path,
    profile: str | None,
    settings: tuple[str, ...],
    language: str | None,
    purpose: Any,
    handling_confirmed: bool,
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

    config = common.load_config(profile, common.in_language(settings, language))
    written = common.run(work(Client(config)))
    click.echo(folder / "INDEX.txt")
    words = common.sentences(config)
    common.words(
        words.say(
            "Files: {count}. They hold the content in plain: keep them as their senders' handling says.",
            count=len(written),
        )
    )


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
    config = common.load_config(profile, settings)
    common.run(work(Client(config)))
    words = common.sentences(config)
    common.words(words.say("Recorded. See it with: valija case show {digest}", digest=digest))


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


for each in (list_, show, export, consent):
    command.add_command(each)
