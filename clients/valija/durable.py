"""Files that are whole or absent: written beside their place, synced, then moved into it.

The promise: after any crash a path holds its old content or its new content, never a part of either, and what was
reported as written is on the disk. Works on Unix and on Windows, where a folder cannot be synced and the rename itself
is what the file system journals.

Before this room: `keyring`, `trust` and the registry's folder. After it: the disk.
"""

import contextlib
import os
import secrets
from pathlib import Path
from typing import Final

from valija.errors import ConfigError

has_modes: Final = os.name == "posix"  #: Whether a file says who may read it, as `chmod` sets it.
on_windows: Final = os.name == "nt"
temporary_prefix: Final = ".tmp-"  #: What a crash may leave behind; readers skip it.


def write(path: Path, data: bytes, *, mode: int = 0o644, replace: bool = False) -> None:
    """Put `data` at `path` in one step, and return once it is on the disk.

    Raises:
        FileExistsError: something is there and `replace` is False.
        OSError: the disk said no; nothing is there that was not there before.
    """
    temporary = path.parent / f"{temporary_prefix}{secrets.token_hex(8)}"
    try:
        # A crash from here to the move leaves a temporary file, which nothing reads.
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            temporary.replace(path)
        else:
            _move_to_free_place(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    sync_folder(path.parent)  # A crash before this line may forget the move; the caller was told nothing yet.


def read(path: str | Path, bytes_max: int) -> bytes:
    """A file that a person names, of at most `bytes_max` bytes.

    Raises:
        ConfigError: it cannot be read or is longer.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(bytes_max + 1)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > bytes_max:
        raise ConfigError(f"{path} is longer than {bytes_max} bytes")
    return data


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable, where the system knows such a step."""
    if on_windows:
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _move_to_free_place(temporary: Path, path: Path) -> None:
    if on_windows:
        temporary.rename(path)  # Windows refuses a name that is taken.
        return
    try:
        os.link(temporary, path)  # A rename would silently replace what another process just put there.
    except FileExistsError:
        raise
    except OSError:  # A file system without links: as careful as it allows.
        if path.exists():
            raise FileExistsError(path) from None
        temporary.rename(path)
