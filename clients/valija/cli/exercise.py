"""`valija exercise`: a scenario for those who train contact points, played on this machine."""

import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from valija.cli import common
from valija.clock import now_ms
from valija.errors import UsageError
from valija.exercise import scenario
from valija.exercise.play import Played, Stage
from valija.paper import letter, text
from valija.paper.language import Words
from valija.paper.outline import Outline
from valija_schemas.directory import Phonebook


@click.command("exercise", cls=common.Command)
@click.argument("name", required=False, metavar="[NAME]")
@click.option("--pause/--no-pause", default=None, help="Wait for Enter after each message; so on a terminal.")
@click.option("--brief", is_flag=True, help="Tell the story and name the messages; do not show them.")
@common.language_option
@common.reported
def command(name: str | None, language: str | None, pause: bool | None, *, brief: bool) -> None:
    r"""Play a scenario with sealed, signed messages between made-up contact points, all on this machine.

    NAME is one that comes with Valija (without it they are listed), or a file of your own: copy one and change it.
    Nothing is sent anywhere; every message is marked as an exercise; no profile is needed.

    \b
    valija exercise
    valija exercise kidnapping --language es
    valija exercise my-scenario.toml --no-pause --brief
    """
    said = common.reader(language, None)
    if name is None:
        _list(said)
        return
    script = scenario.read(_path(name))
    pausing = sys.stdin.isatty() and sys.stdout.isatty() if pause is None else pause
    common.run(_play(script, said, pause=pausing, brief=brief))


def _list(said: Words) -> None:
    printer = common.Printer("table", ["name", "messages", "title"])
    for name in scenario.names():
        script = scenario.read(scenario.FOLDER / f"{name}.toml")
        printer.add({"name": name, "messages": len(script.steps), "title": script.title.to(said.language)})
    printer.close()
    common.words(said.say("Play one: valija exercise NAME"))


def _path(name: str) -> Path:
    if name in scenario.names():
        return scenario.FOLDER / f"{name}.toml"
    if Path(name).suffix == ".toml":
        return Path(name)
    raise UsageError(
        f"there is no scenario {name}",
        hint=f"Those that come with Valija are {', '.join(scenario.names())}; a file of your own ends in .toml.",
    )


async def _play(script: scenario.Scenario, said: Words, *, pause: bool, brief: bool) -> None:
    _heading(script.title.to(said.language))
    _tells(script.about.to(said.language))
    click.echo(said.say("Everything below is an exercise: offices, persons and numbers are made up."))
    with tempfile.TemporaryDirectory(prefix="valija-exercise-") as folder:
        async with Stage.open(script, Path(folder), now_ms()) as stage:
            async for played in stage.play():
                _tell(played, stage.book, said, brief=brief)
                if pause and not click.prompt(
                    said.say("Enter goes on, q ends"), default="", show_default=False, err=True
                ).lower().startswith("q"):
                    continue
                if pause:
                    return
            _debrief(stage, said)


def _tell(played: Played, book: Phonebook, said: Words, *, brief: bool) -> None:
    step = played.step
    _heading(f"{step.at}  {step.sender} -> {', '.join(step.to)}: {said.title(played.type_)}")
    _tells(step.story.to(said.language))
    if not brief:
        for line in text.render(_outline(played, book, said), common.columns()):
            click.echo(line)
    if step.ask is not None:
        click.echo()
        _tells(said.say("To discuss: {question}", question=step.ask.to(said.language)))


def _outline(played: Played, book: Phonebook, said: Words) -> Outline:
    """The message as its first recipient reads it."""
    message = played.received[0]
    known = letter.received(message, book, played.at)
    content = letter.Content(type_=message.type, document=message.document)
    return letter.outline(content, known, "verified", "", said, now_ms=played.at)


def _debrief(stage: Stage, said: Words) -> None:
    _heading(said.say("What was asked for, and when the answer came"))
    for deadline in stage.deadlines():
        values: dict[str, Any] = {
            "step": f"{deadline.step.at} {deadline.step.sender}",
            "due": _clock(deadline.due - stage.began),
            "answered": "" if deadline.answered is None else _clock(deadline.answered - stage.began),
        }
        if deadline.answered is None:
            click.echo(said.say("{step}: due at {due}, never answered", **values))
        elif deadline.late:
            click.echo(said.say("{step}: due at {due}, answered at {answered}, LATE", **values))
        else:
            click.echo(said.say("{step}: due at {due}, answered at {answered}", **values))
    click.echo(
        said.say(
            "{messages} messages, each sealed, signed, fetched, verified and opened; each marked as an exercise.",
            messages=len(stage.played),
        )
    )


def _tells(text: str) -> None:
    click.echo(common.printable(text))  # a scenario is a file that somebody else may have written


def _heading(text: str) -> None:
    click.echo()
    _tells(text)
    click.echo("=" * len(text))


def _clock(span_ms: int) -> str:
    minutes = round(span_ms / 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}"
