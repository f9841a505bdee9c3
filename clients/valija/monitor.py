"""The whole log, read again by somebody who trusts nobody: every entry, every tile, every checkpoint.

A proof shows that one entry is in one tree. Here the tree is made again from its entries and compared with what the
broker signed and serves, each of our own events is looked for where its proof says that it stands, and each version of
the root and of the directory that we hold must be an entry: nobody is shown one that others are not. What was read is
held in memory while the monitor runs; it begins anew at each start.

Before this room: `client`, `cli.monitor`. After it: `log`, the line. Rules: schemas/SPEC.md section 5.3.
"""

from collections.abc import Callable, Iterator

import msgspec

from valija.errors import RefusedError
from valija.line import Line
from valija.log import Log, LogError, merge_max_ms
from valija.outbox import Outbox
from valija.refresh import Library
from valija_schemas import leaf as leaves
from valija_schemas import merkle, tiles
from valija_schemas.checkpoint import Checkpoint


class Look(msgspec.Struct, frozen=True):
    """What was found."""

    size: int  #: Entries that were read, from the first on.
    own: int  #: Events of ours that stand in their places.
    faults: tuple[str, ...]  #: Each has been made an alarm, here or earlier, and no person has said to have seen it.
    unwitnessed: str | None  #: How many witnesses the newest checkpoint lacks, in words; None where it is complete.
    unknown: tuple[str, ...]  #: Digests of messages that the broker says to have handed to us, and that are not here.


class Monitor:
    """Follows one log. One task uses it."""

    def __init__(
        self,
        *,
        me: str,
        log: Log,
        line: Line,
        library: Library,
        outbox: Outbox,
        received: Callable[[str], object | None],
        clock: Callable[[], int],
    ) -> None:
        """`received` says whether the inbox knows a message, by its digest."""
        self._me = me
        self._log = log
        self._line = line
        self._library = library
        self._outbox = outbox
        self._received = received
        self._clock = clock
        self._size = 0
        self._tiles: dict[tiles.Tile, bytes] = {}
        self._versions: set[bytes] = set()  # entries for versions of the root and of the directory

    async def look(self) -> Look:
        """Read what is new, and say what of all this is not as it must be.

        Raises:
            UnavailableError: the broker cannot be asked.
        """
        own, unwitnessed = 0, None
        faults: dict[str, None] = {}  # what is found again is said again, also where a person has seen it
        try:
            found = await self._log.follow()
            unwitnessed = self._unwitnessed(found)
            await self._grow(found.size)
            derived = tiles.root(found.size, self._tile) if found.size else merkle.EMPTY_ROOT
            if derived != found.root:
                raise self._log.alarm(f"the {found.size} entries of the log do not give the root that it signed")
            hashes = tiles.TileHashes(self._size, self._tile)
            for event in self._outbox.every_event():
                if event.leaf is None or event.leaf >= self._size:
                    continue
                if hashes.hash(0, event.leaf) == merkle.leaf_hash(leaves.of_event(event.salt, event.note)):
                    own += 1
                else:
                    text = f"entry {event.leaf} of the log is not our event {event.number}"
                    faults[str(self._log.alarm(text))] = None
            for text in self._unlogged():
                faults[str(self._log.alarm(text))] = None
        except LogError as error:
            faults[str(error)] = None
        faults |= dict.fromkeys(alarm.text for alarm in self._outbox.unseen())
        return Look(self._size, own, tuple(faults), unwitnessed, tuple(self._strange()))

    def _unwitnessed(self, found: Checkpoint) -> str | None:
        if found.complete:
            return None
        asked = self._library.roots.newest.quorum
        return f"{len(found.witnesses)} witnesses saw this tree of {found.size} leaves, the root asks for {asked}"

    def _unlogged(self) -> Iterator[str]:
        """Versions that we hold and that the log should have by now: whoever showed us one hid it from others."""
        for name, digest, since_ms in self._library.held():
            if leaves.of_directory(digest) not in self._versions and self._clock() - since_ms > merge_max_ms:
                yield f"{name}, which we were shown, is not in the log: others may not have been shown it"

    def _strange(self) -> Iterator[str]:
        """What the broker says that it handed to us, on its word alone, and that is not here."""
        for event in self._outbox.every_event():
            if (event.event, event.verdict) != ("ContentHandover", "stated") or self._me not in event.who:
                continue
            if self._received(event.message) is None:
                yield event.message

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
            self._versions.update(entry for entry in entries if entry[:1] == leaves.DIRECTORY)
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
