"""The files of a document, written to a folder under names that no system takes for anything but a name.

A sender's name for a file is a label. What is written is `NUMBER-label` with everything taken out that a file system,
a shell or a reader could take for something else; the number is that of `valija show`, so two files never meet, and a
name that a system keeps for itself (CON, NUL) never stands alone.

Before this room: `valija.cli.show`. After it: `valija.durable`.
"""

import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from valija import durable
from valija.errors import ConfigError
from valija.paper.outline import Attached

name_bytes_max: Final = 200  #: Short of the 255 that file systems take, with room for what a copy adds.

_KEPT: Final = frozenset(" ._-+,")  #: Beside letters, marks and digits; a path, a shell or Windows takes the others.


def file_name(number: int, label: str) -> str:
    """The name under which file `number` is written: `02-orden.pdf`."""
    clean = "".join(c if _is_kept(c) else "_" for c in unicodedata.normalize("NFC", label))
    stem, dot, ending = clean.strip(". ").rpartition(".")
    if not dot or len(ending.encode()) > 16:
        stem, dot, ending = clean.strip(". "), "", ""
    room = name_bytes_max - len(f"{number:02}-{dot}{ending}".encode())
    stem = stem.encode()[:room].decode(errors="ignore").rstrip(". ")
    return f"{number:02}-{stem or '_'}{dot}{ending}"


def save(files: Iterable[Attached], folder: Path) -> Iterator[Path]:
    """Write each file, for its owner alone, and say where.

    Raises:
        ConfigError: something is there, a link for instance, or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for file in files:
            path = folder / file_name(file.number, file.name)
            # A crash leaves the files before this one, each whole. Nothing that is there is followed or written over.
            durable.write(path, file.content, mode=0o600)
            yield path
    except FileExistsError as error:
        raise ConfigError(f"{error} is there already", hint="Choose another folder with --save-files.") from None
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written: {error.strerror}") from None


def _is_kept(character: str) -> bool:
    return character in _KEPT or unicodedata.category(character)[0] in "LMN"
