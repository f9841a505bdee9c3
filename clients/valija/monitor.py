"""The whole log, read again by somebody who trusts nobody: every entry, every tile, every checkpoint.

A proof shows that one entry is in one tree. Here the tree is made again from its entries and compared with what the
broker signed and serves, each of our own events is looked for where its proof says that it stands, and each version of
the root and of the directory that we hold must be an entry, once: nobody is shown one that others are not, and none is
given a second, later place. How far it read is kept, so that a new start reads on from there.

The promise: what is kept is a tree that the log signed, and never gives way to a smaller one; a log that shrank or
changed since is an alarm.

Before this room: `client`, `cli.monitor`. After it: `log`, `watch`, `monitor_state`. Rules: SPEC.md section 5.3.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from valija import monitor_state, watch
from valija.errors import AnswerInvalidError, RefusedError
from valija.feed_store import StoredEvent
from valija.inbox_store import Received
from valija.keys import Keys
from valija.line import Line
from valija.log import Log, LogError, merge_max_ms
from valija.monitor_state import DamagedError, State
from valija.outbox import Outbox
from valija.refresh import Library
from valija_schemas import leaf as leaves
from valija_schemas import merkle, tiles
from valija_schemas.checkpoint import Checkpoint

step_entries: Final = 64 * tiles.WIDTH  #: Held in memory at once: half a megabyte.


class Look(msgspec.Struct, frozen=True):
    """What was found."""

    size: int  #: Entries that were read, from the first on, now and in earlier runs.
    own: int  #: Events of ours that stand in their places.
    faults: tuple[str, ...]  #: Each has been made an alarm, here or earlier, and no person has said to have seen it.
    unwitnessed: str | None  #: How many witnesses the newest checkpoint lacks, in words; None where it is complete.
    unknown: tuple[str, ...]  #: Digests of messages that the broker says to have handed to us, and that are not here.
    word: str = ""  #: That the log was read from its first entry, and why, where it was.


class Monitor:
    """Follows one log. One task uses it."""

    def __init__(
        self,
        *,
        path: Path,
        keys: Keys,
        log: Log,
        line: Line,
        library: Library,
        outbox: Outbox,
        received: Callable[[str], Received | None],
        clock: Callable[[], int],
    ) -> None:
        """`path` is where it keeps how far it is; `received` is what the inbox knows of a message, by its digest."""
        self._path = path
        self._keys = keys
        self._log = log
        self._line = line
        self._library = library
        self._outbox = outbox
        self._received = received
        self._clock = clock
        self._state: State | None = None

    async def look(self, *, shared: bool = False) -> Look:
        """Read what is new, and say what of all this is not as it must be.

        `shared`: other machines send and receive in our name, so what is not of this one is not strange.

        Raises:
            UnavailableError: the broker cannot be asked.
            StateError: what is kept cannot be read or written.
        """
        word, unwitnessed = "", None
        faults: dict[str, None] = {}  # what is found again is said again, also where a person has seen it
        if self._state is None:
            try:
                self._state, word = monitor_state.load(self._path, self._keys.origin)
            except DamagedError:
                text = (
                    f"{self._path}, where the monitor keeps how far it read, was damaged, and not by this program: look"
                    " at the disk, and at who can write there"
                )
                faults[str(self._log.alarm(text))] = None
                self._state, word = State(origin=self._keys.origin), "The log is read from its first entry."
        state = self._state
        events, directory = self._outbox.feed.after(state.event), self._library.phonebook.version
        strange: list[tuple[str | None, str]] = list(
            watch.strange_versions(self._library, self._keys, state.directory, directory)
        )
        if not shared:
            strange += watch.strange_events(events, self._keys.id, self._outbox, self._received)
        told = {(alarm.message, alarm.text) for alarm in self._outbox.alarms.about()} if strange else set()
        for digest, text in strange:
            # Read again from the first entry, the past is as strange as a person has already seen.
            if (digest, text) not in told:
                self._log.alarm(text, about=digest)
        try:
            found = await self._log.follow()
            unwitnessed = self._unwitnessed(found)
            await self._continues(state, found)
            state, read = await self._grow(state, found, {event.leaf for event in events if event.leaf is not None})
            state, lost = await self._find(state, events, read)
            for text in (*lost, *self._unlogged(state)):
                faults[str(self._log.alarm(text))] = None
            state = msgspec.structs.replace(state, directory=directory)
            if state != self._state:
                self._keep(state)
            self._state = state
        except LogError as error:
            faults[str(error)] = None
        faults |= dict.fromkeys(alarm.text for alarm in self._outbox.alarms.unseen())
        unknown = tuple(
            digest for digest in self._outbox.feed.handed_over(self._keys.id) if self._received(digest) is None
        )
        return Look(self._state.size, self._state.own, tuple(faults), unwitnessed, unknown, word)

    def _keep(self, state: State) -> None:
        with self._outbox.alone():  # another monitor of this state folder may have kept a larger tree meanwhile
            try:
                kept, _ = monitor_state.load(self._path, self._keys.origin)
            except DamagedError:
                kept = State(origin=self._keys.origin)
            if kept.size <= state.size:
                monitor_state.save(self._path, state)

    def _unwitnessed(self, found: Checkpoint) -> str | None:
        if found.complete:
            return None
        asked = self._library.roots.newest.quorum
        return f"{len(found.witnesses)} witnesses saw this tree of {found.size} leaves, the root asks for {asked}"

    def _unlogged(self, state: State) -> Iterator[str]:
        """Versions that we hold and that the log should have by now: whoever showed us one hid it from others."""
        for name, digest, since_ms in self._library.held():
            if leaves.of_directory(digest) not in state.versions and self._clock() - since_ms > merge_max_ms:
                yield f"{name}, which we were shown, is not in the log: others may not have been shown it"

    async def _continues(self, state: State, found: Checkpoint) -> None:
        if found.size < state.size:
            raise self._log.alarm(
                f"the log shrank: the broker shows {found.size} leaves, and the monitor has read {state.size}",
                found.raw,
            )
        await self._log.connect(state.size, state.root, found)

    async def _grow(self, state: State, found: Checkpoint, wanted: Collection[int]) -> tuple[State, dict[int, bytes]]:
        """Read the entries up to the size of `found`, make their tiles, and compare those with what is served.

        Beside the new state, the hashes of those new leaves whose indexes are `wanted`.
        """
        size, at, edge = found.size, state.size, state.tiles()
        versions = set(state.versions)
        hashes: dict[int, bytes] = {}
        while at < size:
            end = min(size, at + step_entries - at % step_entries)
            entries = await self._entries(at, end)
            for index, entry in enumerate(entries, start=at):
                if entry in versions:
                    raise self._log.alarm(
                        f"entry {index} of the log is a root or directory version that it has already"
                    )
                if entry[:1] == leaves.DIRECTORY:
                    versions.add(entry)
            added = [merkle.leaf_hash(entry) for entry in entries]
            hashes |= {index: hash_ for index, hash_ in enumerate(added, start=at) if index in wanted}
            made = tiles.grow(at, added, edge.__getitem__)
            for tile, data in made.items():
                # The partial tiles of a size in between were perhaps never published.
                if (tile.width == tiles.WIDTH or end == size) and await self._fetch(tile) != data:
                    raise self._log.alarm(f"{tile.path} of the log is not made of its entries")
            edge = {tile: made[tile] if tile in made else edge[tile] for tile in monitor_state.edge_of(end)}
            at = end
        if (tiles.root(size, edge.__getitem__) if size else merkle.EMPTY_ROOT) != found.root:
            raise self._log.alarm(f"the {size} entries of the log do not give the root that it signed")
        new = msgspec.structs.replace(
            state, size=size, root=found.root, edge=tuple(edge.values()), versions=frozenset(versions)
        )
        return new, hashes

    async def _find(
        self, state: State, events: Sequence[StoredEvent], read: dict[int, bytes]
    ) -> tuple[State, list[str]]:
        """Look for our events in their places; words for each that is not there."""
        lost: list[str] = []
        number, own = state.event, state.own
        for event in events:
            if event.leaf is not None and event.leaf >= state.size:
                break  # it came after the checkpoint: next time
            number = event.number
            if event.leaf is None:
                continue  # an alarm already, or erased
            hash_ = merkle.leaf_hash(leaves.of_event(event.salt, event.note))
            if read[event.leaf] == hash_ if event.leaf in read else await self._stands(event.leaf, hash_, state):
                own += 1
            else:
                lost.append(f"entry {event.leaf} of the log is not our event {event.number}")
        return msgspec.structs.replace(state, event=number, own=own), lost

    async def _stands(self, index: int, hash_: bytes, state: State) -> bool:
        """Whether a leaf that was read by an earlier look, before its event was told, is in our tree."""
        try:
            proof = (await self._line.inclusion(index, state.size)).proof
            merkle.verify_inclusion(hash_, index, state.size, proof, state.root)
        except (RefusedError, AnswerInvalidError, merkle.MerkleError):
            return False
        return True

    async def _entries(self, begin: int, end: int) -> list[bytes]:
        entries: list[bytes] = []
        while begin + len(entries) < end:
            index, begun = divmod(begin + len(entries), tiles.WIDTH)
            width = min(tiles.WIDTH, end - index * tiles.WIDTH)
            try:
                bundle = tiles.decode_bundle(await self._fetch(tiles.Bundle(index, width)), width)
                for entry in bundle:
                    leaves.check(entry)
            except (tiles.TileError, leaves.LeafError) as error:
                raise self._log.alarm(f"the entries {index * tiles.WIDTH} and on cannot be read: {error}") from None
            entries += bundle[begun:]
        return entries

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
