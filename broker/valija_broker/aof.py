"""A copy of the embedded server's append-only file while the server writes it.

The server writes every change before it answers, so what was answered when the copy begins is in it. What is copied
last is cut behind the last whole command: the server starts from nothing else (`aof-load-truncated no`). A rewrite of
the file meanwhile is seen by its list of parts, and the copy begins again.

Before this room: `backup`. After it: nothing. The form: Valkey's, https://valkey.io/topics/persistence.
"""

import re
from pathlib import Path
from typing import Final

from valija_broker.errors import BackupError

FOLDER: Final = "appendonlydir"
LIST: Final = "appendonly.aof.manifest"
tries_max: Final = 5

_PART: Final = re.compile(r"file (\S+) seq [0-9]+ type ([bih])")
_HEAD: Final = re.compile(rb"([*$])([0-9]{1,10})\r\n")


def copy(source: Path, target: Path) -> None:
    """Copy the parts that `source`'s list names into `target`, which is there and empty.

    Raises:
        BackupError: there is no such file, or it is rewritten again and again, or it is damaged.
    """
    for _ in range(tries_max):
        try:
            listed = (source / LIST).read_text("ascii")
            parts = [(name, kind) for name, kind in _PART.findall(listed) if kind != "h"]
            for at, (name, _) in enumerate(parts):
                data = (source / name).read_bytes()
                if at == len(parts) - 1 and parts[at][1] == "i":
                    data = data[: whole(data)]
                (target / name).write_bytes(data)
            if (source / LIST).read_text("ascii") == listed:
                kept = [line for line in listed.splitlines() if " type h" not in line]
                (target / LIST).write_text("\n".join(kept) + "\n", "ascii")
                return
        except FileNotFoundError as error:
            if not (source / LIST).exists():
                raise BackupError(f"{source} has no append-only file: {error}") from None
        for left in target.iterdir():  # it was rewritten meanwhile
            left.unlink()
    raise BackupError(f"{source / LIST} changes again and again")


def whole(data: bytes) -> int:
    """How many bytes of `data` are whole commands, with no transaction left open.

    Raises:
        BackupError: it is no append-only file.
    """
    at = end = 0
    open_ = False
    while at < len(data):
        if data[at : at + 1] == b"#":  # an annotation, a line
            found = data.find(b"\r\n", at)
            if found < 0:
                break
            at = found + 2
        else:
            words, after = _command(data, at)
            if after is None:
                break
            at = after
            name = words.upper()
            open_ = name == b"MULTI" or (open_ and name != b"EXEC")
        if not open_:
            end = at
    return end


def _command(data: bytes, at: int) -> tuple[bytes, int | None]:
    """The first word of the command at `at`, and where the next one begins; None where it is not whole."""
    head, at_ = _number(data, at, b"*")
    name = b""
    for number in range(head or 0):
        if at_ is None:
            return name, None
        length, begin = _number(data, at_, b"$")
        if length is None or begin is None or begin + length + 2 > len(data):
            return name, None
        if number == 0:
            name = data[begin : begin + length]
        at_ = begin + length + 2
        if data[at_ - 2 : at_] != b"\r\n":
            raise BackupError("the append-only file is damaged: a command has no end")
    return name, at_


def _number(data: bytes, at: int, mark: bytes) -> tuple[int | None, int | None]:
    found = _HEAD.match(data, at)
    if found and found[1] == mark:
        return int(found[2]), found.end()
    if len(data) - at > 13 or (data[at : at + 1] not in {mark, b""}):
        raise BackupError("the append-only file is damaged: this is no command")
    return None, None
