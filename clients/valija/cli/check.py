"""`valija check`: everything that is wrong with a person's file, at once, with the line on which it stands.

Before this room: a person or a script. After it: `valija.paper.file`.
"""

from typing import Any

import click

from valija.cli import common
from valija.paper import file as files
from valija.paper import plan
from valija.paper.language import Words
from valija_schemas import documents


@click.command("check", cls=common.Command)
@click.argument("file")
@click.option(
    "--type", "type_", metavar="TYPE", shell_complete=common.complete_type, help="What it is, if FILE does not say it."
)
@common.language_option
@common.output_option
@common.profile_options
@common.reported
def command(
    file: str, type_: str | None, language: str | None, output: str, profile: str | None, settings: tuple[str, ...]
) -> None:
    r"""Say everything that is wrong with FILE (TOML or JSON; `-` is standard input). No network and no profile needed.

    \b
    valija check request.toml
    valija check request.json --type information-request/1 --language pt
    """
    words = common.reader(language, common.config_if_any(profile, settings))
    written = common.read_persons_file(file)
    chosen = written.type_for(type_)
    document, flaws = files.validate(chosen, written.document, written.folder, words)
    problems = [
        {"line": written.line_of(flaw.path), "field": flaw.path, "problem": flaw.text, "rule": flaw.rule}
        for flaw in flaws
    ]
    facts: dict[str, Any] = {"file": file, "type": chosen, "valid": document is not None, "draft": written.draft}
    if document is not None:
        facts |= {"bytes": len(documents.encode(document)), "handling": list(plan.handling_of(document).use)}
    printer = common.Printer(output, ["line", "field", "problem", "rule"])
    if output != "table":
        printer.add(facts | {"problems": problems})
        printer.close()
    elif problems:
        for problem in problems:
            printer.add(problem)
        printer.close()
    if document is None:
        common.words(words.say("{file} is not valid. Faults: {count}.", file=file, count=len(problems)))
        raise SystemExit(common.INVALID)
    _tell(document, facts, words)


def _tell(document: documents.Document, facts: dict[str, Any], words: Words) -> None:
    title = words.title(documents.type_of(document))
    common.words(
        words.say("{file} is valid: {title}, {bytes} bytes.", file=facts["file"], title=title, bytes=facts["bytes"])
    )
    for line in plan.handling(document, words):
        common.words(line)
    if facts["draft"] is not None:
        common.words(words.say("It is a draft: valija new --continue {file}", file=facts["file"]))
