"""The log as files that never change: tiles of hashes and bundles of entries. SPEC.md section 5.3.

C2SP tlog-tiles: a tile is up to 256 hashes side by side, a bundle the entries under a tile of the lowest level. A full
one is written once and stays; the last of each level is partial, belongs to one size of the tree and gives way to a
wider one. Whoever holds a few tiles has every hash of the tree, so a proof needs no service, only files.

Everything here is a function of sizes and bytes: a reader that hands over earlier tiles comes in, new tiles go out.
Tiles are not believed for where they lie: what is computed from them is compared with a signed checkpoint.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec

from valija_schemas import merkle
from valija_schemas.merkle import HASH_BYTES, node_hash

HEIGHT: Final = 8  #: C2SP tlog-tiles fixes it.
WIDTH: Final = 256
level_max: Final = 63
entry_bytes_max: Final = 65_535  #: A bundle counts bytes in 16 bits.

_PATH: Final = re.compile(
    r"tile/(?P<level>entries|[0-9]|[1-5][0-9]|6[0-3])/(?P<index>(?:x[0-9]{3}/){0,6}[0-9]{3})"
    r"(?:\.p/(?P<width>[1-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5]))?"
)


class TileError(ValueError):
    """A path, tile or bundle is not one of this tree; the text says why."""


class Tile(msgspec.Struct, frozen=True, order=True):
    """Names a tile: which hashes it holds, not the hashes."""

    level: int  #: 0 holds leaf hashes; a hash at 1 and above is that of a full tile one level below.
    index: int  #: From the left.
    width: int = WIDTH  #: How many hashes it holds; fewer than 256 make it partial.

    @property
    def path(self) -> str:
        """Where it lies under the log's prefix."""
        return f"tile/{self.level}/{_place(self.index, self.width)}"

    @property
    def end(self) -> int:
        """How many leaves a log must have for this tile to be whole."""
        return (self.index * WIDTH + self.width) << HEIGHT * self.level


class Bundle(msgspec.Struct, frozen=True, order=True):
    """Names a bundle of entries: those whose hashes are in the tile of level 0 with the same index and width."""

    index: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        """Where it lies under the log's prefix."""
        return f"tile/entries/{_place(self.index, self.width)}"

    @property
    def end(self) -> int:
        """How many leaves a log must have for this bundle to be whole."""
        return self.index * WIDTH + self.width


ReadTile = Callable[[Tile], bytes]
"""Hands over the bytes of a tile. It may cut a partial tile from a wider one; its errors pass through."""

ReadBundle = Callable[[Bundle], bytes]
"""Hands over the bytes of a bundle. Its errors pass through."""


def parse_path(path: str) -> Tile | Bundle:
    """What a path under the log's prefix names.

    Raises:
        TileError: it is not the one spelling of a tile or a bundle.
    """
    found = _PATH.fullmatch(path)
    if not found:
        raise TileError("this is not the path of a tile")
    index = int(found["index"].replace("/", "").replace("x", ""))
    width = int(found["width"] or WIDTH)
    name = Bundle(index, width) if found["level"] == "entries" else Tile(int(found["level"]), index, width)
    if name.path != path:
        raise TileError("this is not the one spelling of the path of a tile")
    return name


def partial_width(level: int, size: int) -> int:
    """How many hashes the partial tile of a level holds in a tree of `size` leaves; 0 where there is none."""
    return (size >> HEIGHT * level) % WIDTH


def tiles_made(old_size: int, new_size: int) -> Iterator[Tile]:
    """The tiles that a tree of `new_size` leaves has and one of `old_size` does not, level by level from the left.

    From 0, they are all the tiles of a tree.
    """
    _check_growth(old_size, new_size)
    for level in range(level_max + 1):
        old, new = old_size >> HEIGHT * level, new_size >> HEIGHT * level
        if old == new:
            return
        for index in range(old // WIDTH, new // WIDTH):
            yield Tile(level, index)
        if new % WIDTH:
            yield Tile(level, new // WIDTH, new % WIDTH)


def bundles_made(old_size: int, new_size: int) -> Iterator[Bundle]:
    """The bundles that a tree of `new_size` leaves has and one of `old_size` does not, from the left."""
    for tile in tiles_made(old_size, new_size):
        if tile.level > 0:
            return
        yield Bundle(tile.index, tile.width)


def grow(old_size: int, leaf_hashes: Sequence[bytes], read: ReadTile) -> dict[Tile, bytes]:
    """The tiles that `leaf_hashes` add to a tree of `old_size` leaves: those of `tiles_made`, with their bytes.

    `read` is asked for partial tiles of the tree of `old_size` only, at most one a level.

    Raises:
        TileError: a hash or a tile does not have its length, or the tree becomes too large.
    """
    _check_growth(old_size, old_size + len(leaf_hashes))
    if any(len(value) != HASH_BYTES for value in leaf_hashes):
        raise TileError("a hash has 32 bytes")
    made: dict[Tile, bytes] = {}
    level, begun, added = 0, old_size, b"".join(leaf_hashes)
    while added:
        index, width = divmod(begun, WIDTH)
        data = (_read(read, Tile(level, index, width)) if width else b"") + added
        above: list[bytes] = []
        for at in range(0, len(data), WIDTH * HASH_BYTES):
            piece = data[at : at + WIDTH * HASH_BYTES]
            made[Tile(level, index + len(above), len(piece) // HASH_BYTES)] = piece
            if len(piece) == WIDTH * HASH_BYTES:
                above.append(_fold(piece))
        level, begun, added = level + 1, index, b"".join(above)
    return made


def grow_bundles(old_size: int, entries: Sequence[bytes], read: ReadBundle) -> dict[Bundle, bytes]:
    """The bundles that `entries` add to a tree of `old_size` leaves: those of `bundles_made`, with their bytes.

    `read` is asked for the last bundle of the tree of `old_size`, if it is partial.

    Raises:
        TileError: an entry is too long, the bundle that was read is not well-formed, or the tree becomes too large.
    """
    _check_growth(old_size, old_size + len(entries))
    index, width = divmod(old_size, WIDTH)
    every = [*(decode_bundle(read(Bundle(index, width)), width) if width and entries else ()), *entries]
    pieces = [every[at : at + WIDTH] for at in range(0, len(every), WIDTH)]
    return {Bundle(index + n, len(piece)): encode_bundle(piece) for n, piece in enumerate(pieces)}


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """The bytes of a bundle: before each entry its length, 16 bits, most significant first.

    Raises:
        TileError: no entry, more than 256, or one too long.
    """
    if not 1 <= len(entries) <= WIDTH:
        raise TileError(f"a bundle holds 1 to {WIDTH} entries")
    if any(len(entry) > entry_bytes_max for entry in entries):
        raise TileError(f"an entry has at most {entry_bytes_max} bytes")
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def decode_bundle(data: bytes, width: int) -> list[bytes]:
    """The `width` entries of a bundle.

    Raises:
        TileError: it holds fewer or more, or ends within one.
    """
    if not 1 <= width <= WIDTH:
        raise TileError(f"a bundle holds 1 to {WIDTH} entries")
    entries: list[bytes] = []
    position = 0
    while position < len(data) and len(entries) < width:
        begin = position + 2
        position = begin + int.from_bytes(data[position:begin], "big")
        entries.append(data[begin:position])
    if len(entries) != width or position != len(data):  # beyond the end, where the last entry is cut off
        raise TileError(f"this bundle does not hold {width} entries")
    return entries


class TileHashes:
    """Every hash of a tree of `size` leaves, from its tiles.

    A tile is read each time that it is needed: a reader that remembers is the caller's.
    """

    def __init__(self, size: int, read: ReadTile) -> None:
        _check_growth(0, size)
        self.size: Final = size
        self._read = read

    def hash(self, level: int, index: int) -> bytes:
        """The hash over the 2^`level` leaves that begin with leaf `index` * 2^`level`.

        Raises:
            TileError: the tree does not have all these leaves, or a tile does not have its length.
        """
        if level < 0 or index < 0 or (index + 1) << level > self.size:
            raise TileError(f"a tree of {self.size} leaves has no whole subtree {index} at level {level}")
        tile_level, above = divmod(level, HEIGHT)
        first = index << above  # among the hashes of the tile level
        tile_index, offset = divmod(first, WIDTH)
        width = min(WIDTH, (self.size >> HEIGHT * tile_level) - tile_index * WIDTH)
        data = _read(self._read, Tile(tile_level, tile_index, width))
        return _fold(data[offset * HASH_BYTES : (offset + (1 << above)) * HASH_BYTES])


def root(size: int, read: ReadTile) -> bytes:
    """The root of a tree of `size` leaves, from the right edge of its tiles.

    Raises:
        TileError: a tile does not have its length.
    """
    hashes = TileHashes(size, read)
    found = merkle.EMPTY_ROOT
    right = size
    # The ones of `size` in binary are its whole subtrees, the smallest at the right: joined from there (RFC 6962
    # section 2.1 splits at the largest power of two).
    for level in range(size.bit_length()):
        if size >> level & 1:
            right -= 1 << level
            whole = hashes.hash(level, right >> level)
            found = whole if right + (1 << level) == size else node_hash(whole, found)
    return found


def _fold(data: bytes) -> bytes:
    """The hash over a power of two of hashes side by side."""
    row = [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]
    while len(row) > 1:
        row = [node_hash(row[at], row[at + 1]) for at in range(0, len(row), 2)]
    return row[0]


def _read(read: ReadTile, tile: Tile) -> bytes:
    data = read(tile)
    if len(data) != tile.width * HASH_BYTES:
        raise TileError(f"{tile.path} does not hold {tile.width} hashes")
    return data


def _check_growth(old_size: int, new_size: int) -> None:
    if not 0 <= old_size <= new_size <= merkle.size_max:
        raise TileError("a tree grows, and has no more than 2^63 - 1 leaves")


def _place(index: int, width: int) -> str:
    digits = str(index)
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    place = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
    return place if width == WIDTH else f"{place}.p/{width}"
