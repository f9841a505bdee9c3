"""What the monitor keeps between two runs: how far it read, the right edge of the tree, and what it has looked at.

The right edge is the partial tile of each level: at most 8 KiB for each 256-fold of the log, whatever its size, and all
that is needed to go on and to know the root. The file begins with the SHA-256 of the rest.

The promise: what is loaded is a tree whose root was signed, or nothing, with a word that says why. No crash of ours
damages the file, so damage is an alarm.

Before this room: `monitor`. After it: `durable`. Rules: schemas/SPEC.md section 5.3; C2SP tlog-tiles.
"""

import hashlib
from pathlib import Path
from typing import Final

import msgspec

from valija import durable
from valija.errors import StateError
from valija_schemas import merkle, tiles

state_bytes_max: Final = 16 * 1024 * 1024  #: 400,000 versions of the directory.

_LAYOUT: Final = 1
_SUM_BYTES: Final = 32


class State(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far the monitor is. The empty one is where it begins."""

    layout: int = _LAYOUT
    origin: str  #: Of the exchange.
    size: int = 0  #: Entries that were read.
    root: bytes = merkle.EMPTY_ROOT  #: Of their tree; the log signed it.
    edge: tuple[bytes, ...] = ()  #: The partial tiles of that tree, the lowest level first.
    versions: frozenset[bytes] = frozenset()  #: Entries for versions of the root and of the directory.
    event: int = 0  #: Number, in our feed, of the last event that was looked at.
    own: int = 0  #: How many of those stand in their places.
    directory: int = 0  #: The last directory version that was looked at for what it says of us.

    def tile(self, name: tiles.Tile) -> bytes:
        """A tile of the right edge."""
        return self.tiles()[name]

    def tiles(self) -> dict[tiles.Tile, bytes]:
        """The right edge by name."""
        return dict(zip(edge_of(self.size), self.edge, strict=True))


def edge_of(size: int) -> list[tiles.Tile]:
    """The names of the partial tiles of a tree of `size` leaves, the lowest level first."""
    levels = range(tiles.level_max + 1)
    widths = [(level, tiles.partial_width(level, size)) for level in levels]
    return [tiles.Tile(level, (size >> tiles.HEIGHT * level) // tiles.WIDTH, width) for level, width in widths if width]


class DamagedError(ValueError):
    """The file is not what this program wrote."""


def load(path: Path, origin: str) -> tuple[State, str]:
    """What was kept, and an empty text; or where to begin, and a word why.

    Raises:
        DamagedError: something else wrote to the file, or the disk did; `State(origin=origin)` is where to begin.
        StateError: the file is there and cannot be read.
    """
    begin = State(origin=origin)
    try:
        with path.open("rb") as file:
            data = file.read(state_bytes_max + 1)
    except FileNotFoundError:
        return begin, "Nothing is kept of an earlier run: the log is read from its first entry."
    except OSError as error:
        raise StateError(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > state_bytes_max or hashlib.sha256(data[_SUM_BYTES:]).digest() != data[:_SUM_BYTES]:
        raise DamagedError
    try:
        state = msgspec.msgpack.decode(data[_SUM_BYTES:], type=State)
    except msgspec.MsgspecError:
        state = msgspec.structs.replace(begin, layout=0)
    if (state.layout, state.origin) != (_LAYOUT, origin):
        why = "is of another version of this program or of another exchange"
        return begin, f"What was kept in {path} {why}: the log is read from its first entry."
    try:
        found = tiles.root(state.size, state.tile) if state.size else merkle.EMPTY_ROOT
    except (ValueError, LookupError):
        raise DamagedError from None
    if found != state.root:
        raise DamagedError
    return state, ""


def save(path: Path, state: State) -> None:
    """Keep `state`, in the place of what was kept.

    Raises:
        StateError: the disk said no; what was kept before is still there.
    """
    data = msgspec.msgpack.encode(state, order="deterministic")
    try:
        # A crash before this line leaves the state of the last look, from which the same entries are read again.
        durable.write(path, hashlib.sha256(data).digest() + data, mode=0o600, replace=True)
    except OSError as error:
        raise StateError(f"{path} cannot be written: {error.strerror}") from None
