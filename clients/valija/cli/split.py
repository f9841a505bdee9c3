"""`valija split`: a message for stock tools."""

from pathlib import Path

import click

from valija import durable
from valija.cli import common
from valija.errors import ConfigError
from valija_schemas import limits
from valija_schemas import note as notes


@click.command("split", cls=common.Command)
@click.argument("file")
@click.option(
    "--into", type=click.Path(path_type=Path, file_okay=False), default=Path(), help="The folder to write to."
)
@common.reported
def command(file: str, into: Path) -> None:
    r"""Cut the message FILE into `note`, which signed-note tools read, and `body.age`, which age tools open.

    Nothing is verified: use `valija inspect FILE` for that.
    """
    data = common.read_file(file, limits.message_bytes_max)
    try:
        note, body = notes.split(data)
    except notes.NoteError as error:
        raise ConfigError(f"{file} is not a message: {error}") from None
    if not body:
        raise ConfigError(f"{file} is a note without a body", hint="Only messages have a body to split off.")
    try:
        into.mkdir(parents=True, exist_ok=True)
        for name, part in (("note", note.raw), ("body.age", body)):
            durable.write(into / name, part)
            click.echo(into / name)
    except FileExistsError as error:
        raise ConfigError(f"{error} is there already", hint="Choose another folder with --into.") from None
    except OSError as error:
        raise ConfigError(f"{into} cannot be written: {error.strerror}") from None
