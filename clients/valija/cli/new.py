"""`valija new`: a document of a type, written by answering questions, or an empty form for any editor.

What is typed is on the disk before the next question is asked, so that a draft survives whatever ends the command.

Before this room: a person. After it: `valija.paper.ask`, `valija.paper.skeleton`.
"""

import contextlib
import copy
import difflib
import json
import sys
import textwrap
import tomllib
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from valija import config as configs
from valija import durable
from valija.cli import common
from valija.errors import ConfigError, UsageError, ValijaError
from valija.paper import file as files
from valija.paper import skeleton, toml
from valija.paper.ask import Dialogue
from valija.paper.language import Words
from valija.trust import TrustStore
from valija_schemas import documents
from valija_schemas.documents.blocks import Authority, Regarding
from valija_schemas.documents.fields import fields_of
from valija_schemas.wire import Digest

_authority_bytes_max: Final = 64 * 1024
_HEADER: Final = "# Written by `valija new`. Try it with `valija check`; what may stand here is in clients/README.md.\n"


@click.command("new", cls=common.Command)
@click.argument("type_", metavar="[TYPE]", required=False, shell_complete=common.complete_type)
@click.argument("file", required=False)
@click.option("--continue", "continued", metavar="FILE", help="Go on with a draft, or correct a document.")
@click.option("--skeleton", "form", type=click.Choice(["toml", "json"]), help="Write an empty form and ask nothing.")
@click.option("--in-reply-to", metavar="DIGEST", help="The digest of the message that it answers.")
@common.language_option
@common.profile_options
@common.reported
def command(
    type_: str | None,
    file: str | None,
    continued: str | None,
    form: str | None,
    in_reply_to: str | None,
    language: str | None,
    profile: str | None,
    settings: tuple[str, ...],
) -> None:
    r"""Write a document of TYPE into FILE by answering questions; without TYPE, choose one from the list.

    Ctrl-C stops, and keeps what was typed. Without a terminal, or with --skeleton, an empty form is written: into FILE,
    or to standard output. FILE is TOML, or JSON if it is called .json.

    \b
    valija new information-request request.toml
    valija new --continue request.toml
    valija new response answer.toml --in-reply-to DIGEST
    valija new person-alert --skeleton toml > alert.toml
    """
    config = common.config_if_any(profile, settings)
    words = common.reader(language, config)
    asks = form is None and sys.stdin.isatty()
    if continued is not None:
        if type_ is not None or form is not None or in_reply_to is not None:
            raise UsageError("--continue takes a file alone: it says the rest itself")
        written = common.read_persons_file(continued)
        known = _known(written.type_for(None))
        values = copy.deepcopy(dict(written.document))
        send = {name: value for name, value in msgspec.to_builtins(written.send).items() if value}
        if not asks:
            raise UsageError("there is no terminal to ask on", hint=f"Edit {continued}, then: valija check {continued}")
        at = None if written.draft == "$" else written.draft
        _Writing(Path(continued), known, values, send, words).ask(at, begun=True)
        return
    known = _known(type_) if type_ is not None else _choose(words, ask=asks)
    values = _prefilled(known, config, words)
    send = {}
    if in_reply_to is not None:
        send["in_reply_to"] = _digest(in_reply_to)
        if any(field.groups == (Regarding,) for field in fields_of(known.struct) if field.name == "regarding"):
            values["regarding"] = {"message": send["in_reply_to"]}
    if asks:
        _Writing(_free(file, known), known, values, send, words).begin()
    else:
        _write_form(known, file, form, values | ({files.SEND: send} if send else {}), words)


def _known(text: str) -> documents.DocumentType:
    """The type that a person names, the newest version where none is said.

    Raises:
        UsageError: there is none; the text tells the nearest.
    """
    found = _named(text)
    if found is None:
        near = _nearest(text)
        raise UsageError(
            f"{text}: there is no such document type" + (f"; did you mean {' or '.join(near)}?" if near else ""),
            hint="valija new lists them.",
        )
    return found


def _named(text: str) -> documents.DocumentType | None:
    found = [type_ for type_ in documents.types().values() if text in {type_.type_, type_.name}]
    return max(found, key=lambda type_: type_.version, default=None)


def _nearest(text: str) -> list[str]:
    return difflib.get_close_matches(text, [type_.name for type_ in documents.types().values()], 3, 0.5)


def _choose(words: Words, *, ask: bool) -> documents.DocumentType:
    types = list(documents.types().values())
    for number, type_ in enumerate(types, 1):
        about = words.about(type_.struct).split("\n")[0]
        click.echo(common.printable(f"{number:3}  {type_.name}: {about}"))
    if not ask:
        raise UsageError("say which type, and see above what there is", hint="valija new --help shows examples.")
    terminal = _Screen()
    while True:
        text = terminal.ask(words.say("Which one? Its number or its name: ")).strip()
        if text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= len(types):
            return types[int(text) - 1]
        if (found := _named(text)) is not None:
            return found
        common.words(words.say("{text}: there is no such document type", text=text))
        if near := _nearest(text):
            common.words(words.say("Nearest: {names}", names=", ".join(near)))


def _digest(text: str) -> str:
    try:
        return msgspec.convert(text, Digest)
    except msgspec.ValidationError:
        raise UsageError("--in-reply-to is the digest of a message: 64 hex digits in lower case") from None


def _prefilled(type_: documents.DocumentType, config: configs.Config | None, words: Words) -> dict[str, Any]:
    """What need not be asked: the language, and who we are where the profile or the directory says it."""
    values: dict[str, Any] = {"language": words.language}
    wanted = any(field.name == "authority" and field.groups == (Authority,) for field in fields_of(type_.struct))
    authority = _authority(config) or _country(config) if wanted and config is not None else {}
    return values | ({"authority": authority} if authority else {})


def _authority(config: configs.Config) -> dict[str, Any]:
    """The file that the profile names with `authority`: the fields of that group of a document, in TOML."""
    path = config.path("authority")
    if path is None:
        return {}
    try:
        found = tomllib.loads(common.read_file(str(path), _authority_bytes_max).decode())
        return msgspec.to_builtins(msgspec.convert(found.get("authority", found), Authority))  # type: ignore[no-any-return]
    except ValueError as error:
        raise ConfigError(f"{path}, which says who we are in documents, cannot be used: {error}") from None


def _country(config: configs.Config) -> dict[str, Any]:
    """Our State, by the directory that is held here."""
    folder = config.state_folder / "trust"
    if not folder.is_dir():
        return {}
    try:
        store = TrustStore(folder, config.exchange, config.root)
        own = store.phonebook.point(config.contact_point) if store.directory_version else None
    except ValijaError:
        return {}  # Nothing of the document rests on it.
    return {"country": own.state} if own is not None and own.state is not None else {}


def _free(file: str | None, type_: documents.DocumentType) -> Path:
    """Where the document is written: a file that is not there yet."""
    path, number = Path(file or f"{type_.name}.toml"), 2
    while file is None and path.exists():
        path, number = Path(f"{type_.name}-{number}.toml"), number + 1
    return path


def _write_form(
    type_: documents.DocumentType, file: str | None, form: str | None, known: dict[str, Any], words: Words
) -> None:
    as_json = form == "json" or (form is None and file is not None and file.endswith(".json"))
    text = skeleton.as_json(type_, known) if as_json else skeleton.as_toml(type_, known, words)
    if file is None or file == "-":
        click.echo(text, nl=False)
    else:
        common.write_new(Path(file), text.encode())
        common.words(f"{file}: an empty form. Next: fill it in, then valija check {file}")
    if as_json:
        common.words(f"What each field means: {skeleton.page_of(type_)}")


class _Screen:
    """A person's terminal."""

    def tell(self, text: str) -> None:
        indent = " " * (len(text) - len(text.lstrip()))
        common.words(textwrap.fill(text, common.columns(), subsequent_indent=f"{indent}  ", break_long_words=False))

    def ask(self, prompt: str) -> str:
        return str(click.prompt(common.printable(prompt), default="", show_default=False, prompt_suffix="", err=True))


class _Writing:
    """A document on its way into a file."""

    def __init__(
        self, path: Path, type_: documents.DocumentType, values: dict[str, Any], send: dict[str, Any], words: Words
    ) -> None:
        self._path = path
        self._type = type_
        self._values = values
        self._send = send
        self._words = words
        self._at = "$"

    def begin(self) -> None:
        """Make the file, and ask everything."""
        common.write_new(self._path, self._text("$").encode())
        self.ask(None, begun=False)

    def ask(self, at: str | None, *, begun: bool) -> None:
        """Ask from the question `at` on."""
        say = self._words.say
        _edit_lines()
        common.words(say("What you type is kept in {file}. Ctrl-C stops.", file=self._path))
        dialogue = Dialogue(
            self._type,
            self._values,
            folder=self._path.parent,
            words=self._words,
            terminal=_Screen(),
            keep=self._keep,
        )
        try:
            valid = dialogue.run(at, begun=begun)
        except click.Abort:
            self._keep(self._at)
            common.words("\n" + say("It is a draft: valija new --continue {file}", file=self._path))
            raise SystemExit(common.INTERRUPTED) from None
        if not valid:
            common.words(say("It is a draft: valija new --continue {file}", file=self._path))
            raise SystemExit(common.INVALID)
        self._write(self._text(None))
        common.words(say("Next: valija send {file} --dry-run, with --to and who gets it", file=self._path))

    def _keep(self, at: str) -> None:
        self._at = at
        self._write(self._text(at))

    def _text(self, at: str | None) -> str:
        draft = {} if at is None else {files.DRAFT: at}
        whole = {files.TYPE: self._type.type_} | draft | self._values | ({files.SEND: self._send} if self._send else {})
        if self._path.suffix == ".json":
            return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"
        return _HEADER + toml.write(whole)

    def _write(self, text: str) -> None:
        try:
            durable.write(self._path, text.encode(), mode=0o600, replace=True)
        except OSError as error:
            raise ConfigError(f"{self._path} cannot be written: {error.strerror}") from None


def _edit_lines() -> None:
    """Let a person edit a line of any length, and paste tabs; a terminal of Windows edits by itself."""
    if sys.platform != "win32":
        with contextlib.suppress(ImportError):
            import readline  # noqa: PLC0415 - for a terminal only

            readline.parse_and_bind("tab: self-insert")
            readline.set_auto_history(False)  # what is typed is content
