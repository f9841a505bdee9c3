"""When each contact point was last heard from: for operators, who ask first whether a program runs at all.

A worker remembers the time of each verified request, and of each message that was accepted, in memory: a request costs
one entry in a dict. Every few seconds it replaces a small file of its own in the data folder; whoever asks takes the
newest time of all files. A worker that is killed takes what is younger than its file with it: nothing rests on these
times, so nothing is synced.

Before this room: `caller`, `accept`. After it: `observe.mailboxes`, which reads.
"""

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Final

import msgspec

write_every_s: Final = 5.0  #: So late may a time be.
_EARLIER: Final = "earlier"  #: What workers left that have ended.

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(dict[str, int]).decode


class Seen:
    """What one worker saw. One event loop uses it."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / f"worker-{os.getpid()}"
        self._times = _load(self._path)  # of an earlier worker with this number
        self._changed = False

    def note(self, contact_point: str, at_ms: int) -> None:
        """It was heard from."""
        self._times[contact_point] = at_ms
        self._changed = True

    async def keep(self) -> None:
        """Write what changed, for ever."""
        while True:
            await asyncio.sleep(write_every_s)
            if self._changed:
                self._changed = False
                await asyncio.to_thread(_write, self._path, _encode(self._times))

    def close(self) -> None:
        """Write it once more, at the end."""
        if self._changed:
            _write(self._path, _encode(self._times))


def read(folder: Path) -> dict[str, int]:
    """When each contact point was last heard from, in ms."""
    newest: dict[str, int] = {}
    for path in folder.glob("*"):
        for contact_point, at_ms in _load(path).items():
            newest[contact_point] = max(at_ms, newest.get(contact_point, 0))
    return newest


def fold(folder: Path) -> None:
    """Put what ended workers left into one file, so that restarts do not fill the folder. Upkeep alone does this."""
    ended = [path for path in folder.glob("worker-*") if not _runs(path.name)]
    # A crash among these lines leaves a time in two files, and the newest counts.
    if ended and _write(folder / _EARLIER, _encode(read(folder))):
        for path in ended:
            path.unlink(missing_ok=True)


def _runs(name: str) -> bool:
    number = name.removeprefix("worker-").removesuffix(".new")
    return number.isdigit() and Path(f"/proc/{number}").exists()


def _load(path: Path) -> dict[str, int]:
    try:
        return _decode(path.read_bytes())
    except (OSError, msgspec.MsgspecError):  # it is replaced just now, or none
        return {}


def _write(path: Path, data: bytes) -> bool:
    """Replace a file; where there is no room the old one stays."""
    temporary = path.with_name(f"{path.name}.new")
    with contextlib.suppress(OSError):
        path.parent.mkdir(mode=0o700, exist_ok=True)
        temporary.write_bytes(data)
        temporary.replace(path)
        return True
    return False
