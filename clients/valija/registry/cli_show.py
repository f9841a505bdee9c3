"""The commands of officers that change nothing: what is published and drafted, what differs, and whether it holds.

Before this room: `cli`. After it: `show`, `history`. Rules: schemas/SPEC.md section 4.
"""

import sys
from pathlib import Path

import click
import msgspec
from rich.console import Console

from valija.errors import RegistryError
from valija.registry import core, entries, history, show
from valija.registry.cli_common import FILE, exit_waiting, say
from valija.registry.folder import Registry, read_file
from valija_schemas import changes, keys
from valija_schemas.directory import Directory


@click.command("show")
@click.argument("file", type=FILE, required=False)
@click.option("--version", "number", type=click.IntRange(1), help="A published directory version.")
@click.option("--point", "id_", metavar="ID", help="One contact point, with the fingerprint of every key.")
@click.option("--json", "json", is_flag=True, help="For programs.")
@click.pass_obj
def show_(folder: Path, file: Path | None, number: int | None, id_: str | None, json: bool) -> None:
    """Show FILE, or a published directory version, or all that is newest and drafted."""
    registry = Registry(folder)
    if id_ is not None:
        value = read_file(file or folder / f"directory.{number}.note").value if file or number else None
        points = registry.points() if value is None else value.contact_points if isinstance(value, Directory) else ()
        point = entries.find(points, id_)
        click.echo(msgspec.json.encode(point) if json else "\n".join(show.point_lines(point)))
        return
    if file is not None:
        paths = [file]
    elif number is not None:
        paths = [folder / f"directory.{number}.note"]
    else:
        paths = registry.newest()
    if not paths:
        raise RegistryError("this folder is empty", hint="Begin with `valija-registry officer` and `init`.")
    if json and len(paths) > 1:
        paths = paths[-1:]
    for path in paths:
        read = read_file(path)
        missing = registry.missing(read) if registry.root or not isinstance(read.value, Directory) else None
        if json:
            click.echo(show.as_json(read, missing))
            continue
        click.echo("\n".join([f"# {path}", *show.heading(read, missing), ""]))
        show.print_value(_console(), read.value)
        if path.suffix == ".draft":
            click.echo("\n".join(["# what it changes", *changes.changes(registry.before(read), read.value)]))


@click.command()
@click.argument("a")
@click.argument("b")
@click.pass_obj
def diff(folder: Path, a: str, b: str) -> None:
    """Show what B changes against A, in the words that `sign` uses.

    Each is a file, or the name of one in the folder: directory.7 or root.2, published or drafted.
    """
    first, second = _named(folder, a), _named(folder, b)
    if (first.kind, first.origin) != (second.kind, second.origin):
        raise RegistryError(
            f"{a} is a {first.kind} of {first.origin}, {b} a {second.kind} of {second.origin}",
            hint="Name two versions of one kind.",
        )
    click.echo("\n".join(show.difference(first, second)))


@click.command()
@click.argument("published", type=click.Path(exists=True, file_okay=False, path_type=Path), required=False)
@click.option("--root", "anchor", metavar="DIGEST", help="Of root 1, by a channel that you trust.")
@click.option("--json", "json", is_flag=True, help="For programs.")
@click.pass_obj
def verify(folder: Path, published: Path | None, anchor: str | None, json: bool) -> None:
    """Verify the folder PUBLISHED, or the officers' own: every version from root 1 on, and every key of all of history.

    Status 0: all holds, and it may be used now. 1: something in it does not hold. 75: all holds, and it has expired.
    """
    try:
        digest = None if anchor is None else keys.typed_digest(anchor)
    except ValueError as error:
        raise click.UsageError(f"--root: {error}") from None
    try:
        found = list(history.judge(history.read_folder(published or folder), digest, core.now()))
    except OSError as error:
        raise RegistryError(f"the folder cannot be read: {error}", hint="Check the path and its rights.") from None
    if json:
        click.echo(msgspec.json.encode(found))
    else:
        for finding in found:
            click.echo(f"{finding.result}\t{finding.part}\t{finding.words}")
    results = {finding.result for finding in found}
    if "false" in results:
        say(
            "FALSE: something does not hold.",
            "Next: do not publish it. Keep a copy, compare it with another officer's, and find out who made it.",
        )
        click.get_current_context().exit(1)
    if "expired" in results:
        say(
            "EXPIRED: all holds, and nobody may send.",
            "Next: run `valija-registry draft`, or `new-root`; sign; publish.",
        )
        click.get_current_context().exit(exit_waiting)
    say("HOLDS.", *(["Next: see to the warnings."] if "warning" in results else []))


@click.command("sample")
@click.argument("to", type=click.Path(file_okay=False, path_type=Path))
def sample(to: Path) -> None:
    """Write a sample registry of the 35 States of the Americas into the folder TO, to look at.

    Fictional offices of five areas each, and of the OAS, with keys that nobody keeps; routes for every type, and
    which State is party to which treaty, as far as public lists say.
    """
    from valija.registry.americas import sample_americas  # noqa: PLC0415 - it is no part of the ceremony

    if to.exists() and any(to.iterdir()):
        raise RegistryError(f"{to} holds something", hint="Name a new folder: a sample is never mixed with a registry.")
    exchange = sample_americas()
    exchange.publish(to)
    say(
        f"Wrote a sample of {len(exchange.phonebook.directory.contact_points)} contact points into {to}.",
        *show.lines_of("Digest of root 1: ", exchange.root_digest),
        f"Next: look at it with `valija-registry --registry {to} show`.",
    )


def _named(folder: Path, name: str) -> core.Draft:
    for path in (Path(name), folder / name, folder / f"{name}.note", folder / f"{name}.draft"):
        if path.is_file():
            return read_file(path)
    raise RegistryError(f"there is no {name}", hint="Name a file, or a version in the folder: directory.7 or root.2.")


def _console() -> Console:
    # No markup: a name in the directory must not be able to colour or hide what an officer reads.
    width = None if sys.stdout.isatty() else 160
    return Console(file=sys.stdout, width=width, markup=False, emoji=False, highlight=False)


COMMANDS = (show_, diff, verify, sample)
