"""What the commands share: options, output in four forms, and one place where an error becomes words and a status.

Before this room: each command. After it: the terminal.
"""

import asyncio
import contextlib
import csv
import functools
import io
import os
import re
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

import click
import msgspec
from click.core import ParameterSource

from valija_broker import config
from valija_broker.directory import Known, now_ms, utc
from valija_broker.embedded import running_endpoint
from valija_broker.errors import BadConfig, BrokerError, EmbeddedError, StoreError
from valija_broker.process import endpoint
from valija_broker.shelves import DirectoryShelf
from valija_broker.store import Store
from valija_schemas import printable as screen

if TYPE_CHECKING:
    from valija_broker.observe.observer import Live

printable: Final = screen.printable

F = TypeVar("F", bound=Callable[..., Any])
Columns = Mapping[str, Callable[[Any], object]]  #: What heads a column, and what a record has there.

# What a command ends with: the table of deploy/RUNBOOK.md, section 9. A test holds the two and the help together.
FAILED, USAGE, STORE, LATER, SETTINGS, INTERRUPTED = 1, 2, 69, 75, 78, 130

_STEERING: Final = re.compile(r"[^\n\x20-\x7e]")
#: A spreadsheet computes what begins so; a cell ends at a semicolon, too, where people write a comma in numbers.
_FORMULA: Final = re.compile(r"(\A|;)(?=[\s\"']*[=+@-])")
_WHOLE: Final = frozenset({"id", "mailbox", "sender", "digest", "order"})  #: What a person copies: never broken in two.
_LONG: Final = re.compile(r"[0-9a-f-]{36,64}\Z", re.ASCII)  #: A digest or an id of a message.
_cut_signs: Final = 12  #: Of one, where a terminal is narrow: enough for `messages show`.

config_option = click.option(
    "--config",
    "path",
    envvar="VALIJA_BROKER_CONFIG",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("broker.toml"),
    show_default=True,
    help="The settings; deploy/broker.example.toml explains them.",
)


class Form(msgspec.Struct, frozen=True, kw_only=True):
    """How records are written."""

    output: str = "table"
    columns: str | None = None  #: Names behind commas; None for all.
    watch: float | None = None  #: Look again after so many seconds.


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What a command has to say."""

    record: Any  #: What the admin API answers; for `json`.
    rows: Sequence[Any]  #: The records in it; for a table, `csv` and `ndjson`.
    facts: Sequence[tuple[str, object]] = ()  #: What stands above the table.
    table: bool = True  #: Whether the rows are a table below the facts; False where the facts say all.
    words: str | None = None  #: For a person, on standard error.


class NotThereError(BrokerError):
    """What was asked for by name is not there."""

    def __init__(self, words: str, hint: str) -> None:
        super().__init__(words)
        self.hint = hint  # type: ignore[misc]  # of this one, not of the class


def output_options(function: F) -> F:
    """Table for people, the rest for programs. The command gets a `Form`."""

    @functools.wraps(function)
    def run(*args: Any, output: str, columns: str | None, watch: float | None, **more: Any) -> Any:
        return function(*args, form=Form(output=output, columns=columns, watch=watch), **more)

    for option in (
        click.option("--watch", type=click.FloatRange(0.1, 86_400), metavar="SECONDS", help="Look again and again."),
        click.option("--columns", metavar="NAME,...", help="Only these columns of a table or of csv, in this order."),
        click.option(
            "--output",
            type=click.Choice(["table", "json", "ndjson", "csv"]),
            default="table",
            show_default=True,
            help="The form of what goes to standard output; json is what the admin API answers.",
        ),
    ):
        run = option(run)
    return run  # type: ignore[return-value]  # the same arguments, as options


def alone() -> bool:
    """Whether a group that does something by itself was called without a subcommand.

    Raises:
        click.UsageError: it was called with one, and with options before that, which would go for nothing.
    """
    ctx = click.get_current_context()
    if ctx.invoked_subcommand is None:
        return True
    if any(ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE for name in ctx.params):
        raise click.UsageError(f"Write options behind `{ctx.invoked_subcommand}`.")
    return False


def observed(path: Path, look: "Callable[[Live], Awaitable[Shown]]", *, away: bool = False) -> Callable[[], Shown]:
    """Looks at the broker that runs with the settings in `path`, anew at each call: it may have started again.

    `away` as `watching` has it.
    """
    settings = config.load(path)

    async def once() -> Shown:
        from valija_broker.observe.observer import watching  # noqa: PLC0415 - commands that only read files need none

        async with watching(settings, away=away) as live:
            return await look(live)

    return lambda: asyncio.run(once())


def show(form: Form, columns: Columns, look: Callable[[], Shown], times: int | None = None) -> None:
    """Write what `look` finds; with `form.watch` until somebody interrupts, or so many `times`.

    Raises:
        click.UsageError: `form` names a column that there is not.
    """
    chosen = columns if form.columns is None else dict(_chosen(form.columns, columns))
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name in letters that this terminal, or a file in an old encoding, lacks is spelled out and ends no command.
        sys.stdout.reconfigure(errors="backslashreplace")
    if form.watch is not None and threading.current_thread() is threading.main_thread():
        # The event loop's own handler would cancel the look, and forget that where the look ends all the same.
        signal.signal(signal.SIGINT, _interrupt)
    looked = False
    while True:
        try:
            found = look()
        except (StoreError, EmbeddedError) as error:
            if not looked:
                raise
            words(f"{utc(now_ms())}: {error}")  # whoever has seen it run wants to see how it goes on
        else:
            if looked and form.output == "table":
                click.echo()  # between two tables of a file
            if form.watch is not None and form.output == "table":
                click.clear()  # nothing where no terminal sees it
            looked = True
            _write(form.output, chosen, found)
            sys.stdout.flush()
        times = None if times is None else times - 1
        if form.watch is None or times == 0:
            return
        time.sleep(form.watch)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def words(text: str) -> None:
    """Something for a person, on standard error."""
    click.echo(printable(text), err=True)


def when(at_ms: int | None) -> str | None:
    """A time as commands write it: ISO 8601 in UTC, to the second."""
    return None if at_ms is None else utc(at_ms)


def span(ms: int | None) -> str | None:
    """A span, to the unit that says enough: `12 s`, `3 min`, `5 h`, `2 d`."""
    if ms is None:
        return None
    seconds = max(ms, 0) / 1000
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"


def age(at_ms: int | None) -> str | None:
    """How long ago a time is."""
    return None if at_ms is None else span(now_ms() - at_ms)


def explained(error: Exception) -> int | None:
    """Say an error of ours on standard error; the status to end with, or None where it is not one of ours."""
    if isinstance(error, sqlite3.Error):
        words(f"valija-broker: evidence.sqlite cannot be read: {error}")
        words("Does `data` name the folder of a broker that ran, and may you read it?")
        return FAILED
    if isinstance(error, BrokerError):
        words(f"valija-broker: {error}\n{error.hint}")
        return SETTINGS if isinstance(error, BadConfig) else STORE if _away(error) else FAILED
    return None


@contextlib.asynccontextmanager
async def running(settings: config.Settings) -> AsyncIterator[tuple[Store, list[str]]]:
    """The store of a broker that runs, and the contact points of the newest directory."""
    where = endpoint(settings) if settings.store.url else running_endpoint(settings.data_path)
    async with Store(where, shards=settings.store.shards) as store:
        known = Known(settings.exchange.origin, settings.exchange.anchor, DirectoryShelf(store))
        await known.refresh()
        yield store, [point.id for point in known.phonebook.directory.contact_points]


def _away(error: BrokerError) -> bool:
    return isinstance(error, StoreError | EmbeddedError)


def _chosen(names: str, columns: Columns) -> list[tuple[str, Callable[[Any], object]]]:
    asked = names.split(",")
    for name in asked:
        if name not in columns:
            raise click.UsageError(f"--columns: there is no {name!r}; there are {', '.join(columns)}.")
    return [(name, columns[name]) for name in asked]


def _write(output: str, columns: Columns, found: Shown) -> None:
    if output == "json":
        click.echo(safe_json(msgspec.json.format(msgspec.json.encode(found.record))))
    elif output == "ndjson":
        for row in found.rows:
            click.echo(safe_json(msgspec.json.encode(row)))
    elif output == "csv":
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_csv(value(row)) for value in columns.values()] for row in found.rows)
        click.echo(text.getvalue(), nl=False)
    else:
        _table(columns, found)
    if found.words:
        words(found.words)


def safe_json(raw: bytes) -> str:
    """JSON in ASCII, which steers no terminal and says the same: what is not ASCII stands inside strings alone."""
    return _STEERING.sub(_escape, raw.decode())


def _escape(found: re.Match[str]) -> str:
    if found[0].isprintable():
        return found[0]
    units = found[0].encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def _table(columns: Columns, found: Shown) -> None:
    rows = [[_cell(value(row)) for value in columns.values()] for row in found.rows]
    facts = [[name, _cell(value)] for name, value in found.facts]
    if not sys.stdout.isatty():
        table_ = [[name.upper() for name in columns], *rows] if found.table else []
        for row in [*facts, *([[]] if facts and table_ else []), *table_]:
            click.echo("\t".join(row))
        return
    from rich.console import Console  # noqa: PLC0415 - slow to import, and only for a person's eyes
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    plain = bool(os.environ.get("NO_COLOR"))
    console = Console(no_color=plain, highlight=False)
    if facts:
        above = Table(box=None, pad_edge=False, show_header=False)
        for fact in facts:
            above.add_row(*map(Text, fact))
        console.print(above)
    if not found.table:
        return
    if facts:
        console.print()
    titles = [name.upper() for name in columns]
    if sum(max(map(len, column)) + 2 for column in zip(titles, *rows, strict=True)) > console.width:
        rows = [[f"{cell[:_cut_signs]}…" if _LONG.match(cell) else cell for cell in row] for row in rows]
    table = Table(box=None, pad_edge=False, header_style="" if plain else "bold")
    for name in columns:
        table.add_column(name.upper(), overflow="fold", no_wrap=name in _WHOLE)
    for row in rows:
        table.add_row(*map(Text, row))  # as text: nothing in a name is markup
    console.print(table)


def _cell(value: object) -> str:
    if value is None or value == ():
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(_cell, value))
    return printable(str(value)).replace("\n", " ").replace("\t", " ")


def _csv(value: object) -> str:
    """A cell that a spreadsheet takes as text, not as a formula of whoever wrote it."""
    if value is None or value == ():
        return ""
    text = _cell(value)
    return _FORMULA.sub(r"\1'", text) if isinstance(value, str | list | tuple) else text
