"""`valija show`: a document as an officer reads it, with what is known of the message that brought it.

Before this room: a person. After it: `valija.reopen`, `valija.paper`.
"""

import re
import time
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from valija.cli import common
from valija.config import Config
from valija.errors import ConfigError, UnknownMessageError, UsageError
from valija.paper import attached, html, letter, text
from valija.paper import file as files
from valija.paper.language import Words
from valija.paper.letter import Content, Letter, Reply
from valija.reopen import Reopened, Shelf
from valija_schemas import documents, limits
from valija_schemas.agreements import is_bilateral
from valija_schemas.message import KIND

_NAMED: Final = re.compile(r"[0-9a-f]{64}|[0-9a-f-]{36}")  #: A digest, or an id.


@click.command("show", cls=common.Command)
@click.argument("what")
@click.option(
    "--type", "type_", metavar="TYPE", shell_complete=common.complete_type, help="What a file is that does not say it."
)
@click.option("--html", "page", type=click.Path(path_type=Path), metavar="FILE", help="Write one file for a browser.")
@click.option(
    "--save-files", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Write its files there."
)
@common.language_option
@common.output_option
@common.profile_options
@common.reported
def command(
    what: str,
    type_: str | None,
    page: Path | None,
    save_files: Path | None,
    language: str | None,
    output: str,
    profile: str | None,
    settings: tuple[str, ...],
) -> None:
    r"""Show the document WHAT as it is read: what must not be overlooked first, then every field, codes in words.

    WHAT is the id or digest of a message that was sent or received here; or a file: a message (`valija inbox --save`
    writes it), or a document in JSON or TOML. A message is opened and verified again; it is not marked as read, and
    nobody is told. With --html it is written to FILE and not shown; FILE then holds the content in plain.

    \b
    valija show 0193f0a0-0000-7000-8000-000000000001
    valija show received/mx.enlace.0193f0a0-0000-7000-8000-000000000001.message --language es --html case.html
    valija show request.toml --save-files papers
    """
    config = common.config_if_any(profile, settings)
    words = common.reader(language, config)
    now_ms = time.time_ns() // 1_000_000
    found = _message(what, profile, settings)
    standing: letter.Standing
    if found is None:
        known, standing, detail = None, "no-message", ""
        content = _persons_file(what, type_, words)
    else:
        if type_ is not None:
            raise UsageError("a message says itself what it holds", hint="Leave --type out.")
        known, standing, detail = _letter(found), found.standing, found.detail
        content = _content(found, words)
    outline = letter.outline(content, known, standing, detail, words, now_ms=now_ms)
    if save_files is not None:
        for path in attached.save(outline.attached(), save_files):
            common.words(words.say("{path} written.", path=path))
    if page is not None:
        common.write_new(page, html.render(outline, words).encode())
        common.words(words.say("{path} written. It holds the content in plain: delete it when it is read.", path=page))
    if output != "table":
        printer = common.Printer(output, [])
        printer.add(_record(content, known, standing, detail))
        printer.close()
    elif page is None:
        for line in text.render(outline, common.columns()):
            click.echo(line)
    _end(standing, content, found, words)


def _message(what: str, profile: str | None, settings: tuple[str, ...]) -> Reopened | None:
    """The message that WHAT names; None where it is a file that holds none."""
    data = acceptance = None
    if what == "-":
        return None
    if _is_file(what):
        data = common.read_file(what, max(limits.message_bytes_max, files.file_bytes_max))
        if not data.startswith(b"valija/"):
            return None
        if not data.startswith(f"{KIND} ".encode()):
            raise ConfigError(f"{what} is a note, and holds no document", hint=f"See `valija inspect {what}`.")
        beside = Path(what).with_suffix(".acceptance")
        acceptance = common.read_file(str(beside), limits.note_bytes_max) if beside.is_file() else None
    elif not _NAMED.fullmatch(what):
        raise UnknownMessageError(
            f"{what!r} is no file, and no id or digest of a message",
            hint="Ids and digests stand in what `valija inbox` and `valija send` print.",
        )
    config: Config = common.load_config(profile, settings)
    with Shelf(config, config.open_keys()) as shelf:
        found = shelf.find(what) if data is None else shelf.open_file(data, acceptance)
    if found is None:
        raise UnknownMessageError(f"no message {what!r} was sent or received here")
    return found


def _is_file(what: str) -> bool:
    try:
        return Path(what).is_file()
    except OSError:  # longer than a name can be
        return False


def _persons_file(what: str, type_: str | None, words: Words) -> Content:
    written = common.read_persons_file(what)
    message = Path(what).with_suffix(".message")
    if type_ is None and written.type_ is None and message.is_file():
        raise UsageError(
            f"{what} does not say what it is",
            hint=f"Show {message}, which does, and which is verified; or give --type.",
        )
    chosen = written.type_for(type_)
    document, flaws = files.validate(chosen, written.document, written.folder, words)
    if document is not None:
        return Content(type_=chosen, document=document)
    return Content(type_=chosen, data=msgspec.json.encode(written.document), flaws=flaws)


def _content(found: Reopened, words: Words) -> Content:
    type_ = found.message.header.type
    if found.json is None:
        return Content(type_=type_, unread=found.unopened)
    if is_bilateral(type_):
        return Content(type_=type_, data=found.json)  # the two who agreed on it know what its fields mean
    try:
        return Content(type_=type_, document=documents.decode(type_, found.json))
    except documents.DocumentError as error:
        return Content(type_=type_, data=found.json, flaws=files.flaws(error, words))
    except documents.UnknownType as error:
        return Content(type_=type_, data=found.json, unread=str(error))


def _letter(found: Reopened) -> Letter:
    return letter.of(
        found.message,
        found.book,
        mine=found.sent is not None,
        accepted=found.accepted,
        accepted_fault=found.accepted_fault,
        received=found.received.fetched if found.received else None,
        replies=tuple(Reply(digest=digest, sender=who, time=at) for digest, who, at in found.replies),
        answered=found.answered,
        state=found.sent.state if found.sent else found.received.state if found.received else None,
    )


def _record(content: Content, known: Letter | None, standing: letter.Standing, detail: str) -> dict[str, Any]:
    """What is known, for programs. The document is that of the seal, also where it is not valid: see `valid`."""
    document: Any = None
    if content.document is not None:
        document = msgspec.to_builtins(content.document)
    elif content.data is not None:
        document = content.data.decode(errors="replace")
    return {
        "message": msgspec.to_builtins(known) if known is not None else None,
        "standing": standing,
        "detail": detail or content.unread or None,
        "type": content.type_,
        "valid": content.document is not None,
        "problems": [{"field": each.path, "problem": each.text, "rule": each.rule} for each in content.flaws],
        "document": document,
    }


def _end(standing: letter.Standing, content: Content, found: Reopened | None, words: Words) -> None:
    """The status: what was proved false goes before what could not be checked, and that before what is not valid."""
    if standing == "false":
        common.words(words.say("Next: keep the file and do not rely on it; ask its sender by another channel."))
        raise SystemExit(common.FALSE)
    if found is not None and found.json is None:
        common.words(words.say("Next: show it with the keyring and the state folder of whoever sent or received it."))
        raise SystemExit(common.UNCHECKED)
    if standing == "unchecked":
        common.words(
            words.say(
                "Next: run `valija directory`, then this again. Where a key was revoked since, `valija prove ID` and"
                " `valija verify` decide by the log whether it was signed before."
            )
        )
        raise SystemExit(common.UNCHECKED)
    if content.document is None:
        raise SystemExit(common.INVALID)
