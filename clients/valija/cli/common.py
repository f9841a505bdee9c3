"""What the commands share: options, output in three forms, and one place where an error becomes words and a status.

Before this room: each command. After it: the terminal.
"""

import functools
import json
import logging
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from valija import clock, durable, errors
from valija import config as configs
from valija.keyring import Keyring
from valija.paper import catalog
from valija_schemas import printable as screen
from valija_schemas.keys import fingerprint, typed_digest

if TYPE_CHECKING:
    from valija.paper.file import Written
    from valija.paper.language import Words

printable: Final = screen.printable

F = TypeVar("F", bound=Callable[..., Any])

# What a command ends with: the table of clients/README.md, section 7. A test holds the two and the help together.
FAILED, USAGE, FALSE, UNCHECKED, REFUSED, INVALID, UNAVAILABLE, LATER, SETTINGS = 1, 2, 10, 11, 20, 21, 69, 75, 78
INTERRUPTED = 130

_WHOLE: Final = frozenset({"id", "case"})  #: Columns of a table that a person copies from: never broken.
_columns_max: Final = 100  #: A longer line is hard to read.

#: The first class that fits gives the status.
_STATUS: Final[tuple[tuple[type[errors.ValijaError], int], ...]] = (
    (errors.UsageError, USAGE),
    (errors.KeyConflictError, USAGE),
    (errors.EvidenceInvalidError, FALSE),
    (errors.DirectoryExpiredError, LATER),
    (errors.NotInstalledError, UNCHECKED),
    (errors.TrustError, FALSE),
    (errors.UnknownMessageError, UNCHECKED),
    (errors.RefusedError, REFUSED),
    (errors.RecipientError, REFUSED),
    (errors.LegalBasisError, REFUSED),
    (errors.HandlingError, REFUSED),
    (errors.DeliveryFailedError, REFUSED),
    (errors.DocumentInvalidError, INVALID),
    (errors.StillWaitingError, LATER),
    (errors.HeldError, LATER),
    (errors.InboxBusyError, LATER),
    (errors.UnavailableError, UNAVAILABLE),
    (errors.ConfigError, SETTINGS),
    (errors.KeyringError, SETTINGS),
    (errors.StateError, SETTINGS),
    (errors.EnrolmentError, SETTINGS),
)


class Command(click.Command):
    """A command whose help may hold examples."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.help = (self.help or "").replace("\\b", "\b")  # click's mark for lines that stay as they are


def status_of(error: errors.ValijaError) -> int:
    """The exit status that an error gives."""
    return next((status for class_, status in _STATUS if isinstance(error, class_)), FAILED)


def root_digest(text: str) -> str:
    """The digest that `--root` gives, in its one spelling; blocks as an officer reads them out are taken, too.

    Raises:
        UsageError: it is none.
    """
    try:
        return typed_digest(text)
    except ValueError as error:
        raise errors.UsageError(
            f"--root is the digest of root 1, and {error}",
            hint="Ask a registry officer to read it to you; quote it if it holds blanks.",
        ) from None


def complete_profile(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Names of profiles that begin like `incomplete`, for the shell."""
    del ctx, parameter
    return sorted(path.stem for path in configs.profiles_folder().glob("*.toml") if path.stem.startswith(incomplete))


def complete_type(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Document types that begin like `incomplete`, for the shell."""
    from valija_schemas import documents  # noqa: PLC0415 - only a shell that asks needs it

    del ctx, parameter
    return [name for name in documents.types() if name.startswith(incomplete)]


def profile_options(function: F) -> F:
    """The options of every command that needs a profile."""
    for option in (
        click.option(
            "--profile",
            metavar="NAME",
            shell_complete=complete_profile,
            help="The profile to use; also VALIJA_PROFILE, or `valija profile use`.",
        ),
        click.option(
            "--set", "settings", multiple=True, metavar="NAME=VALUE", help="Override a setting of the profile."
        ),
    ):
        function = option(function)
    return function


def output_option(function: F) -> F:
    """Table for people, JSON for programs."""
    option = click.option(
        "--output",
        type=click.Choice(["table", "json", "ndjson"]),
        default="table",
        show_default=True,
        help="The form of what goes to standard output.",
    )
    return option(function)


def language_option(function: F) -> F:
    """In which language a document is talked about."""
    option = click.option(
        "--language",
        type=click.Choice(catalog.LANGUAGES),
        help="Speak of the document in this language; else as the profile says, or the system.",
    )
    return option(function)


def reader(chosen: str | None, config: configs.Config | None = None) -> "Words":
    """What is said to the reader of a document: in the language of `--language`, of the profile, or of the system."""
    from valija.paper import language  # noqa: PLC0415 - most commands speak of no document, and start sooner without

    return language.words(catalog.wanted(chosen or (config.language if config else "") or None))


def sentences(config: configs.Config) -> catalog.Sentences:
    """What is said to a reader where no document is talked about: in the language of the profile, or of the system."""
    return catalog.sentences(catalog.wanted(config.language or None))


def in_language(settings: tuple[str, ...], chosen: str | None) -> tuple[str, ...]:
    """Settings with `--language` over them: what is asked for goes before the profile."""
    return settings if chosen is None else (*settings, f"language={chosen}")


def columns() -> int:
    """How wide a page is: the terminal, at most 100 columns, and those where there is none."""
    return min(_columns_max, shutil.get_terminal_size().columns) if sys.stdout.isatty() else _columns_max


def reported(function: F) -> F:
    """Errors of ours become words on standard error and a status; nobody sees a traceback for them."""

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except errors.ValijaError as error:
            words(f"Error: {error}")
            words(f"Next: {error.hint}")
            sys.exit(status_of(error))
        except (KeyboardInterrupt, click.Abort):  # click's word for the same, where it asks
            words("Interrupted; what was not finished will come again.")
            sys.exit(INTERRUPTED)

    return run  # type: ignore[return-value]  # the same arguments


def load_config(profile: str | None, settings: Sequence[str]) -> configs.Config:
    """The profile with `--set` over it, and the log on standard error at its level."""
    options: dict[str, str | None] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise errors.UsageError(f"--set {setting}: write NAME=VALUE")
        options[name] = value
    found = configs.load(profile, options)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LogFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=found.log_level.upper(), handlers=[handler])
    return found


class LogFormatter(logging.Formatter):
    """One line a record, and nothing that steers a terminal: what others wrote stands in errors, too."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the library's name
        """The line, before a traceback."""
        return super().formatMessage(record).replace("\n", " ")

    def format(self, record: logging.LogRecord) -> str:
        """The whole record."""
        return printable(super().format(record))


def config_if_any(profile: str | None, settings: Sequence[str]) -> configs.Config | None:
    """The profile, for a command that can do without one: None where there is none and none was asked for.

    Raises:
        ConfigError: it was asked for, and cannot be used.
    """
    try:
        return load_config(profile, settings)
    except errors.ConfigError:
        if profile or settings:
            raise
        return None


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run the asynchronous part of a command. A polite stop is an interruption: what is open is given back."""
    import asyncio  # noqa: PLC0415 - takes a tenth of what a command without a network takes

    if hasattr(signal, "SIGTERM") and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    return asyncio.run(work)


def words(text: str) -> None:
    """Something for a person, on standard error."""
    click.echo(printable(text), err=True)


iso: Final = clock.iso


def marks(
    words: catalog.Sentences, *, exercise: bool, apart: str | None, overdue: bool = False, expired: bool = False
) -> str | None:
    """What nobody may overlook, in capitals: `EXERCISE`, `OVERDUE`, `APART`, `ERASE`."""
    flags = {
        words.say("EXERCISE"): exercise,
        words.say("OVERDUE"): overdue,
        words.say("APART"): apart is not None,
        words.say("ERASE"): expired,
    }
    return " ".join(word for word, holds in flags.items() if holds) or None


class Printer:
    """Writes records in the form that was asked for: a table or one JSON at the end, or one JSON a line at once."""

    def __init__(self, output: str, columns: Sequence[str], titles: Sequence[str] | None = None) -> None:
        """`titles` head the columns of a table, in the reader's language; without them the names of the fields do."""
        self._output = output
        self._columns = columns
        self._titles = [column.upper() for column in columns] if titles is None else titles
        self._records: list[Mapping[str, Any]] = []

    def add(self, record: Mapping[str, Any]) -> None:
        """One record."""
        if self._output == "ndjson":
            click.echo(json.dumps(record, ensure_ascii=False))
            sys.stdout.flush()
        else:
            self._records.append(record)

    def close(self) -> None:
        """Write what is left."""
        if self._output == "json":
            click.echo(json.dumps(self._records, ensure_ascii=False, indent=2))
        elif self._output == "table":
            self._table()

    def _table(self) -> None:
        rows = [[_cell(record.get(column)) for column in self._columns] for record in self._records]
        if not sys.stdout.isatty():
            for row in [self._titles, *rows]:
                click.echo("\t".join(row))
            return
        from rich.console import Console  # noqa: PLC0415 - slow to import, and only for a person's eyes
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        table = Table(box=None, pad_edge=False, header_style="" if os.environ.get("NO_COLOR") else "bold")
        for column, title in zip(self._columns, self._titles, strict=True):
            table.add_column(title, overflow="fold", no_wrap=column in _WHOLE)
        for row in rows:
            table.add_row(*map(Text, row))  # as text: nothing in a name is markup
        Console(no_color=bool(os.environ.get("NO_COLOR")), highlight=False).print(table)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return printable(str(value)).replace("\n", " ").replace("\t", " ")


def show_fingerprints(keyring: Keyring) -> None:
    """The three newest keys, as officers compare them: one a line, on standard output."""
    publics = (keyring.sign.public, keyring.seal.recipient.to_bytes(), keyring.auth.public)
    for use, public in zip(("sign", "seal", "auth"), publics, strict=True):
        click.echo(f"{use}\t{fingerprint(public)}")


def read_file(path: str, bytes_max: int) -> bytes:
    """A file, or standard input for `-`, of at most `bytes_max` bytes.

    Raises:
        ConfigError: it cannot be read or is longer.
    """
    if path != "-":
        return durable.read(path, bytes_max)
    try:
        data = sys.stdin.buffer.read(bytes_max + 1)
    except OSError as error:
        raise errors.ConfigError(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > bytes_max:
        raise errors.ConfigError(f"{path} is longer than {bytes_max} bytes")
    return data


def read_persons_file(path: str) -> "Written":
    """A document as a person wrote it; `-` is standard input.

    Raises:
        ConfigError, DocumentInvalidError: it cannot be read.
    """
    from valija.paper import file  # noqa: PLC0415 - the document types are many, and most commands need none

    folder = Path() if path == "-" else Path(path).parent
    return file.read(path, read_file(path, file.file_bytes_max), folder)


def write_new(path: Path, data: bytes) -> None:
    """Write a file that its owner alone can read.

    Raises:
        ConfigError: something is there, or it cannot be written.
    """
    try:
        durable.write(path, data, mode=0o600)
    except FileExistsError:
        raise errors.ConfigError(f"{path} is there already", hint="Choose another file.") from None
    except OSError as error:
        raise errors.ConfigError(f"{path} cannot be written: {error.strerror}") from None
