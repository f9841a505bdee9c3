"""The whole log, read again by somebody who trusts nobody: every entry, every tile, every checkpoint.

A proof shows that one entry is in one tree. Here the tree is made again from its entries and compared with what the
broker signed and serves, and each of our own events is looked for where its proof says that it stands. What was read is
held in memory while the monitor runs; it begins anew at each start.

Before this room: `client`, `cli.monitor`. After it: `log`, the line. Rules: schemas/SPEC.md section 5.3.
"""

import msgspec

from valija.errors import RefusedError
from valija.line import Line
from valija.log import Log, LogError
from valija.outbox import Outbox
from valija_schemas import leaf as leaves
from valija_schemas import merkle, tiles


class Look(msgspec.Struct, frozen=True):
    """What was found."""

    size: int  #: Entries that were read, from the first on.
    own: int  #: Events of ours that stand in their places.
    faults: tuple[str, ...]  #: Each has been made an alarm.


class Monitor:
    """Follows one log. One task uses it."""

    def __init__(self, *, log: Log, line: Line, outbox: Outbox) -> None:
        self._log = log
        self._line = line
        self._outbox = outbox
        self._size = 0
        self._tiles: dict[tiles.Tile, bytes] = {}

    async def look(self) -> Look:
        """Read what is new, and say what of all this is not as it must be.

        Raises:
            UnavailableError: the broker cannot be asked.
        """
        try:
            found = await self._log.follow()
            await self._grow(found.size)
            derived = tiles.root(found.size, self._tile) if found.size else merkle.EMPTY_ROOT
            if derived != found.root:
                raise self._log.alarm(f"the {found.size} entries of the log do not give the root that it signed")
        except LogError as error:
            return Look(self._size, 0, (str(error),))
        hashes = tiles.TileHashes(self._size, self._tile)
        own, faults = 0, []
        for event in self._outbox.every_event():
            if event.leaf is None or event.leaf >= self._size:
                continue
            if hashes.hash(0, event.leaf) == merkle.leaf_hash(leaves.of_event(event.salt, event.note)):
                own += 1
            else:
                faults.append(str(self._log.alarm(f"entry {event.leaf} of the log is not our event {event.number}")))
        return Look(self._size, own, tuple(faults))

    async def _grow(self, size: int) -> None:
        """Read the entries up to `size`, make their tiles, and compare those with what is served."""
        entries: list[bytes] = []
        while self._size + len(entries) < size:
            index, begun = divmod(self._size + len(entries), tiles.WIDTH)
            width = min(tiles.WIDTH, size - index * tiles.WIDTH)
            try:
                bundle = tiles.decode_bundle(await self._fetch(tiles.Bundle(index, width)), width)
                for entry in bundle:
                    leaves.check(entry)
            except (tiles.TileError, leaves.LeafError) as error:
                raise self._log.alarm(f"the entries {index * tiles.WIDTH} and on cannot be read: {error}") from None
            entries += bundle[begun:]
        if self._size < size:
            made = tiles.grow(self._size, [merkle.leaf_hash(entry) for entry in entries], self._tile)
            for tile, data in made.items():
                if await self._fetch(tile) != data:
                    raise self._log.alarm(f"{tile.path} of the log is not made of its entries")
            self._tiles |= made
            self._size = size

    async def _fetch(self, name: tiles.Tile | tiles.Bundle) -> bytes:
        try:
            return await self._line.tile(name.path)
        except RefusedError as error:
            if name.width == tiles.WIDTH:
                raise self._log.alarm(f"the broker does not show {name.path} of its log: {error}") from None
        # A partial tile goes once the full one is there.
        full = await self._fetch(msgspec.structs.replace(name, width=tiles.WIDTH))
        if isinstance(name, tiles.Tile):
            return full[: name.width * merkle.HASH_BYTES]
        return tiles.encode_bundle(tiles.decode_bundle(full, tiles.WIDTH)[: name.width])

    def _tile(self, name: tiles.Tile) -> bytes:
        return self._tiles[name]
