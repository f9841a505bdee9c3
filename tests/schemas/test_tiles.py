"""The log as files: which there are, where they lie, what they hold. SPEC.md section 5.3; C2SP tlog-tiles."""

import collections

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rfc6962 import mth

from valija_schemas import merkle, tiles
from valija_schemas.merkle import leaf_hash
from valija_schemas.tiles import Bundle, Tile, TileError, TileHashes

LEAVES = [leaf_hash(n.to_bytes(4, "big")) for n in range(70_000)]


def nothing(tile):
    raise AssertionError(f"{tile} was asked for")


@pytest.fixture(scope="module")
def forest():
    """The tiles of the tree of 70,000 leaves."""
    return tiles.grow(0, LEAVES, nothing)


def reader(full):
    """Hands over what there is, and cuts what is partial from what is wider."""

    def read(tile):
        found = [data for name, data in full.items() if (name.level, name.index) == (tile.level, tile.index)]
        return found[0][: tile.width * 32]

    return read


# Which tiles there are


def counted(names):
    return collections.Counter((name.level, name.width) for name in names)


def test_a_tree_of_70000_leaves_has_the_tiles_that_the_specification_counts():
    expected = {(0, 256): 273, (0, 112): 1, (1, 256): 1, (1, 17): 1, (2, 1): 1}
    assert counted(tiles.tiles_made(0, 70_000)) == expected
    assert [tiles.partial_width(level, 70_000) for level in range(4)] == [112, 17, 1, 0]


def test_a_tree_of_256_leaves_has_a_full_tile_and_one_hash_above_it():
    assert [name.path for name in tiles.tiles_made(0, 256)] == ["tile/0/000", "tile/1/000.p/1"]
    assert [name.path for name in tiles.bundles_made(0, 256)] == ["tile/entries/000"]


def test_an_empty_tree_has_no_tile():
    assert list(tiles.tiles_made(0, 0)) == []
    assert list(tiles.bundles_made(0, 0)) == []
    assert tiles.grow(0, [], nothing) == {}
    assert tiles.grow_bundles(0, [], nothing) == {}
    assert tiles.root(0, nothing) == merkle.EMPTY_ROOT


@given(st.integers(0, 200_000), st.integers(0, 3_000), st.integers(0, 3_000))
def test_two_steps_make_the_full_tiles_that_one_step_makes(old, first, second):
    middle, new = old + first, old + first + second
    by_two = {*tiles.tiles_made(old, middle), *tiles.tiles_made(middle, new)}
    by_one = set(tiles.tiles_made(old, new))
    assert by_one <= by_two
    assert all(name.width < 256 for name in by_two - by_one)


@pytest.mark.parametrize(("old", "new"), [(-1, 1), (2, 1), (0, 2**63)])
def test_a_tree_that_shrinks_or_is_too_large_is_refused(old, new):
    with pytest.raises(TileError):
        list(tiles.tiles_made(old, new))
    with pytest.raises(TileError):
        list(tiles.bundles_made(old, new))


def test_the_largest_tree_has_eight_levels():
    made = list(tiles.tiles_made(2**63 - 2, 2**63 - 1))
    assert [(name.level, name.width) for name in made] == [(0, 255)]
    assert {name.level for name in tiles.tiles_made(2**63 - 257, 2**63 - 1)} == {0, 1}
    assert tiles.partial_width(7, 2**63 - 1) == 127
    assert tiles.partial_width(8, 2**63 - 1) == 0


# Where they lie


@pytest.mark.parametrize(
    ("name", "path"),
    [
        (Tile(0, 1_234_067), "tile/0/x001/x234/067"),  # C2SP tlog-tiles
        (Bundle(1_234_067), "tile/entries/x001/x234/067"),
        (Tile(0, 0), "tile/0/000"),
        (Tile(1, 0, 1), "tile/1/000.p/1"),
        (Tile(63, 999, 255), "tile/63/999.p/255"),
        (Tile(7, 1_000), "tile/7/x001/000"),
        (Tile(0, 273, 112), "tile/0/273.p/112"),
        (Bundle(5, 33), "tile/entries/005.p/33"),
        (Tile(0, 2**55 - 1), "tile/0/x036/x028/x797/x018/x963/967"),
    ],
)
def test_a_tile_lies_where_the_specification_says(name, path):
    assert name.path == path
    assert tiles.parse_path(path) == name


@given(st.integers(0, 63), st.integers(0, 2**55), st.integers(1, 256))
def test_a_path_names_one_tile_and_a_tile_has_one_path(level, index, width):
    for name in (Tile(level, index, width), Bundle(index, width)):
        assert tiles.parse_path(name.path) == name


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/tile/0/000",
        "tile/0/000/",
        "tile/00/000",
        "tile/01/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/0/x000/000",
        "tile/0/x000/x001/000",
        "tile/0/001/000",
        "tile/0/x001",
        "tile/0/x001/x000",
        "tile/0/X001/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/",
        "tile/0/000.p",
        "tile/0/000\n",
        "tile/0/\u0660\u0660\u0660",
        "tile/0/../000",
        "tile/Entries/000",
        "tile/entries/000.p/300",
        "checkpoint",
        "tile/0/" + "x001/" * 7 + "000",
    ],
)
def test_another_spelling_of_a_path_is_refused(path):
    with pytest.raises(TileError):
        tiles.parse_path(path)


@given(st.text(max_size=30) | st.from_regex(r"tile/[0-9e]{1,3}/(x?[0-9]{3}/?){1,3}(\.p/[0-9]{1,3})?", fullmatch=True))
def test_a_random_path_raises_the_one_error_or_is_the_one_spelling(path):
    try:
        name = tiles.parse_path(path)
    except TileError:
        return
    assert name.path == path


# What they hold


def test_tiles_hold_what_the_specification_says(forest):
    assert set(forest) == set(tiles.tiles_made(0, 70_000))
    assert forest[Tile(0, 0)] == b"".join(LEAVES[:256])
    assert forest[Tile(0, 273, 112)] == b"".join(LEAVES[69_888:])
    assert forest[Tile(1, 0)][:32] == mth(LEAVES[:256])
    assert forest[Tile(1, 1, 17)][-32:] == mth(LEAVES[272 * 256 : 273 * 256])
    assert forest[Tile(2, 0, 1)] == mth(LEAVES[:65_536])


@settings(max_examples=30)
@given(st.lists(st.integers(0, 700), min_size=1, max_size=12))
def test_a_tree_grown_in_steps_is_the_tree_grown_at_once(steps):
    kept, size, asked = {}, 0, []

    def read(tile):
        asked.append(tile)
        return kept[tile]

    for step in steps:
        asked.clear()
        made = tiles.grow(size, LEAVES[size : size + step], read)
        assert set(made) == set(tiles.tiles_made(size, size + step))
        assert len({tile.level for tile in asked}) == len(asked)
        assert all(tile.width == tiles.partial_width(tile.level, size) for tile in asked)
        kept.update(made)
        size += step
        assert tiles.root(size, kept.__getitem__) == (mth(LEAVES[:size]) if size else merkle.EMPTY_ROOT)
    for name, data in tiles.grow(0, LEAVES[:size], nothing).items():
        assert kept[name] == data


@pytest.mark.parametrize("size", [*range(1, 12), 255, 256, 257, 511, 512, 513, 1_000, 65_535, 65_536, 65_537, 70_000])
def test_the_root_from_tiles_is_that_of_all_leaves(forest, size):
    assert tiles.root(size, reader(forest)) == mth(LEAVES[:size])


@given(st.integers(0, 16), st.data())
def test_every_whole_subtree_has_its_hash(forest, level, data):
    size = data.draw(st.integers(1 << level, 70_000))
    index = data.draw(st.integers(0, (size >> level) - 1))
    whole = LEAVES[index << level : (index + 1) << level]
    assert TileHashes(size, reader(forest)).hash(level, index) == mth(whole)


@pytest.mark.parametrize(
    ("level", "index"), [(0, 1_000), (0, -1), (-1, 0), (3, 125), (9, 1), (10, 0), (62, 0), (10**4, 0)]
)
def test_a_subtree_that_is_not_whole_has_no_hash(level, index):
    with pytest.raises(TileError, match="no whole subtree"):
        TileHashes(1_000, nothing).hash(level, index)


@pytest.mark.parametrize("data", [b"", bytes(31), bytes(32 * 7), bytes(32 * 9), bytes(32 * 256)])
def test_a_tile_of_another_length_is_refused(data):
    with pytest.raises(TileError, match=r"tile/0/000\.p/8 does not hold 8 hashes"):
        tiles.root(8, lambda _: data)
    with pytest.raises(TileError, match="does not hold"):
        tiles.grow(8, [bytes(32)], lambda _: data)


def test_a_hash_of_another_length_is_not_added():
    for wrong in (b"", bytes(31), bytes(33)):
        with pytest.raises(TileError, match="32 bytes"):
            tiles.grow(0, [bytes(32), wrong], nothing)


def test_a_changed_tile_leads_to_another_root(forest):
    root = tiles.root(70_000, reader(forest))
    for name in (Tile(0, 273, 112), Tile(1, 1, 17), Tile(2, 0, 1)):
        for at in (0, len(forest[name]) - 1):
            changed = bytearray(forest[name])
            changed[at] ^= 1
            assert tiles.root(70_000, reader({**forest, name: bytes(changed)})) != root


def test_the_root_of_the_largest_tree_reads_one_tile_a_level():
    asked = []

    def read(tile):
        asked.append(tile)
        return bytes(32) * tile.width

    assert len(tiles.root(2**63 - 1, read)) == 32
    assert {tile.level for tile in asked} == set(range(8))
    assert len(set(asked)) == 8


# Entries


def test_a_bundle_is_lengths_and_entries():
    entries = [b"\1" + bytes(32), b"", b"abc", bytes(65_535)]
    data = b"\0\x21\1" + bytes(32) + b"\0\0" + b"\0\3abc" + b"\xff\xff" + bytes(65_535)
    assert tiles.encode_bundle(entries) == data
    assert tiles.decode_bundle(data, 4) == entries


@pytest.mark.parametrize("entries", [[], [b"x"] * 257, [bytes(65_536)]])
def test_a_bundle_that_cannot_be_written_is_refused(entries):
    with pytest.raises(TileError):
        tiles.encode_bundle(entries)


@pytest.mark.parametrize(
    ("data", "width"),
    [
        (b"", 1),
        (b"\0", 1),
        (b"\0\1", 1),
        (b"\0\1ab", 1),
        (b"\0\1a\0", 1),
        (b"\0\1a\0\1b", 1),
        (b"\0\1a", 2),
        (b"\0\1a\0\5b", 2),
        (b"\0\0", 0),
        (b"\0\0" * 257, 257),
        (b"\0\0", -1),
    ],
)
def test_a_bundle_that_does_not_fit_is_refused(data, width):
    with pytest.raises(TileError):
        tiles.decode_bundle(data, width)


@given(st.binary(max_size=80), st.integers(0, 40))
def test_random_bytes_are_refused_or_are_the_one_spelling_of_a_bundle(data, width):
    try:
        entries = tiles.decode_bundle(data, width)
    except TileError:
        return
    assert len(entries) == width
    assert tiles.encode_bundle(entries) == data


@settings(max_examples=30)
@given(st.lists(st.integers(0, 400), min_size=1, max_size=8))
def test_bundles_hold_the_entries_under_the_lowest_tiles(steps):
    entries = [b"\1" + n.to_bytes(32, "big") for n in range(sum(steps))]
    bundles, lowest, size = {}, {}, 0
    for step in steps:
        added = entries[size : size + step]
        made = tiles.grow_bundles(size, added, bundles.__getitem__)
        assert set(made) == set(tiles.bundles_made(size, size + step))
        bundles.update(made)
        lowest.update(tiles.grow(size, [leaf_hash(entry) for entry in added], lowest.__getitem__))
        size += step
    for name, data in bundles.items():
        found = tiles.decode_bundle(data, name.width)
        assert found == entries[name.index * 256 : name.index * 256 + name.width]
        assert lowest[Tile(0, name.index, name.width)] == b"".join(leaf_hash(entry) for entry in found)
