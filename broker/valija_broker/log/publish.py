"""Publishes the log: tiles and bundles, the witnesses' word, the public checkpoint. In this order, and in no other.

What is published is derived from the ledger's rows, so a crash anywhere is repaired by doing the same again: `publish`
is what runs after each commit and what runs at the start. Tiles are trusted for nothing; before anything is
written, the public checkpoint must be the beginning of what the database holds, or a person decides.

Before this room: `ledger`. After it: the files, `view`, and whoever copies them. SPEC.md section 5.3.
"""

import asyncio
import contextlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, Protocol

import aiohttp
import structlog

from valija_broker import metrics
from valija_broker.errors import LogDiverged
from valija_broker.log import prove
from valija_broker.log.ledger import Ledger, State, root_of
from valija_schemas import checkpoint as checkpoints
from valija_schemas import merkle, tiles, witness
from valija_schemas import note as notes
from valija_schemas.checkpoint import Checkpoint, Head, Policy
from valija_schemas.tiles import WIDTH, Bundle, Tile

_log: Final = structlog.get_logger("log")

CHECKPOINT: Final = "checkpoint"
witness_s: Final = 2.0  #: For one witness, both requests of a round together.
chunk_leaves: Final = 65_536  #: Derived at a time: a whole tile of level 1.


class TileStore(Protocol):
    """Where the log is published.

    Each write is durable when it returns, and whole or absent after a crash. An error leaves its outcome unknown; the
    same write again is safe. One writer, any number of readers. Errors are OSError.
    """

    def read(self, path: str) -> bytes | None:
        """What lies at `path`, or None."""
        ...

    def put(self, path: str, data: bytes) -> None:
        """Write a tile or bundle; what is there already is replaced."""
        ...

    def put_checkpoint(self, data: bytes) -> None:
        """Replace the public checkpoint."""
        ...

    def drop_partials(self, path: str) -> None:
        """Remove the partial tiles that the full one at `path` has replaced."""
        ...

    def paths(self) -> Iterator[str]:
        """The paths of all tiles and bundles, in any order."""
        ...


class Folder:
    """A `TileStore` in a folder, which any file server may show."""

    def __init__(self, root: Path) -> None:
        self.root: Final = root
        root.mkdir(mode=0o755, parents=True, exist_ok=True)

    def read(self, path: str) -> bytes | None:
        """What lies at `path`, or None."""
        try:
            return (self.root / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def put(self, path: str, data: bytes) -> None:
        """Write a tile or bundle."""
        target = self.root / path
        self._make(target.parent)
        self._write(target, data)

    def put_checkpoint(self, data: bytes) -> None:
        """Replace the public checkpoint."""
        self._write(self.root / CHECKPOINT, data)

    def drop_partials(self, path: str) -> None:
        """Remove a `.p` folder. A crash within leaves some of the partial tiles, which harm nobody."""
        shutil.rmtree(self.root / f"{path}.p", ignore_errors=True)

    def paths(self) -> Iterator[str]:
        """Every file below `tile`; what a crash left half-written has a name that begins with a dot."""
        for folder, _, names in os.walk(self.root / "tile"):
            for name in names:
                if not name.startswith("."):
                    yield (Path(folder) / name).relative_to(self.root).as_posix()

    def _make(self, folder: Path) -> None:
        if folder.is_dir():
            return
        self._make(folder.parent)
        self._did("mkdir", folder)
        folder.mkdir(mode=0o755, exist_ok=True)
        self._sync(folder.parent)

    def _write(self, target: Path, data: bytes) -> None:
        temporary = target.with_name(f".{target.name}.new")
        self._did("write", temporary)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            # A crash before this line leaves a temporary file, maybe a part of one; the next write replaces it.
            self._did("fsync", temporary)
            os.fsync(file.fileno())
        # A crash before this line leaves the old file, or none; after it, the new one as soon as the folder is synced.
        self._did("rename", target)
        temporary.replace(target)
        self._sync(target.parent)

    def _sync(self, folder: Path) -> None:
        self._did("sync-folder", folder)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _did(self, step: str, path: Path) -> None:
        """Called before each step that the disk sees; tests cut the power here."""


def read_tile(read: Callable[[str], bytes | None], tile: Tile) -> bytes:
    """A tile, cut from a wider one where the partial one has given way.

    Raises:
        TileError: it is not there.
    """
    for width in sorted({tile.width, WIDTH}):
        data = read(Tile(tile.level, tile.index, width).path)
        if data is not None:
            return data[: tile.width * merkle.HASH_BYTES]
    raise tiles.TileError(f"{tile.path} is missing")


class Publisher:
    """The one that publishes. Not safe to share; upkeep owns it."""

    def __init__(
        self,
        ledger: Ledger,
        store: TileStore,
        policy: Policy,
        *,
        urls: Sequence[str] = (),
        witnesses: Callable[[], Sequence[notes.Verifier]] = tuple,
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._policy = policy
        self._urls = urls
        self._witnesses = witnesses
        self._known: dict[str, int] = {}  # the size that each witness is believed to know
        # Witnesses that have not cosigned the public checkpoint, as far as this process knows.
        self._lacking = set(urls)
        # Held to replace the public checkpoint: a late cosignature must not bring an older one back.
        self._replacing = asyncio.Lock()
        self.published: Checkpoint | None = None
        self._counted: Checkpoint | None = None  # what the metrics speak of

    def check(self) -> None:
        """Refuse to begin where something published is ahead of the database, or not its beginning.

        Raises:
            LogDiverged: a person has to decide.
        """
        state = self._ledger.state
        self._check_head(state)
        raw = self._store.read(CHECKPOINT)
        if raw is not None:
            try:
                self.published = checkpoints.verify_checkpoint(raw, self._policy)
            except checkpoints.CheckpointError as error:
                raise LogDiverged(f"the public checkpoint is not this log's: {error}") from None
            if self.published.size > state.size:
                raise LogDiverged(
                    f"{self.published.size} leaves are published, and the database has {state.size}: it is an old copy"
                )
        for path in self._store.paths():
            try:
                name = tiles.parse_path(path)
            except tiles.TileError:
                continue
            if name.end > state.size:
                raise LogDiverged(f"{path} goes beyond the {state.size} leaves of the database")
        if self.published is not None and self.published.size == state.size:
            if self.published.root != state.root:
                raise LogDiverged(f"the published root over {state.size} leaves is not the one of the database")
        else:
            self._derive(self._size, state, write=False)

    def _check_head(self, state: State) -> None:
        """The next tree grows from these bytes, which nothing else guards."""
        whole = len(state.frontier) == state.size.bit_count() and root_of(state.frontier) == state.root
        try:
            if state.size and checkpoints.verify_checkpoint(state.checkpoint, self._policy).head.reference != (
                state.size, state.root.hex(),
            ):  # fmt: skip
                whole = False
        except checkpoints.CheckpointError:
            whole = False
        if not whole:
            raise LogDiverged("the head of the database is not what the log signed: a part of it was altered")

    async def complete(self) -> bool:
        """Ask again whoever has not cosigned the public checkpoint, and add what they say; whether it lacks nobody now.

        May run beside `publish`: what comes too late for the checkpoint that it is about is dropped.

        Raises:
            LogDiverged: a witness knows a larger tree than the database; a person has to decide.
            OSError: whether the checkpoint was replaced is not known. End the process; the next one asks again.
        """
        asked = self.published
        if asked is None or not self._lacking:
            return True
        lines = await self._cosign(asked.head, asked.raw, sorted(self._lacking))
        async with self._replacing:
            if self.published is not asked:
                return not self._lacking
            self._lacking -= lines.keys()
            raw = _with_lines(asked.raw, lines.values())
            if raw != asked.raw:
                # A crash here: a witness cosigned what the public does not show. It is asked again at the next start.
                await self._show(raw)
            return not self._lacking

    @property
    def _size(self) -> int:
        return self.published.size if self.published else 0

    async def publish(self) -> int:
        """Publish what the ledger holds, and return how many leaves are published.

        Raises:
            LogDiverged: what is published is not the beginning of it.
            OSError: an unknown part of it was written. End the process; the next one does it again.
        """
        state = self._ledger.state
        metrics.log_leaves.set(state.size)
        if state.size == self._size:
            self._count()
            return state.size
        # A crash from here on leaves tiles that no checkpoint speaks of; they are derived again, byte for byte.
        await asyncio.to_thread(self._derive, self._size, state, write=True)
        head = Head(self._policy.origin, state.size, state.root)
        lines = await self._cosign(head, state.checkpoint, self._urls)
        async with self._replacing:
            # A crash here: witnesses know a tree that is not public yet. It is in the database, and is published next.
            await self._show(_with_lines(state.checkpoint, lines.values()))
            self._lacking = set(self._urls) - lines.keys()
        return state.size

    async def _show(self, raw: bytes) -> None:
        await asyncio.to_thread(self._store.put_checkpoint, raw)
        self.published = checkpoints.verify_checkpoint(raw, self._policy)
        self._count()

    def _count(self) -> None:
        """Say in the metrics what is published; an earlier process may have published it."""
        published = self.published
        if published is None or published is self._counted:
            return
        _, signatures = checkpoints.parse(published.raw)
        metrics.log_cosignatures.set(sum(line.name != self._policy.origin for line in signatures))
        metrics.log_checkpoint.set(published.log_time_s or 0)
        for verifier in self._witnesses():
            cosigned = metrics.log_cosigned.labels(verifier.name)  # 0 until it did: that is an alert, too
            for line in signatures:
                if line.name == verifier.name:
                    cosigned.set(int.from_bytes(line.value[:8], "big"))
        self._counted = published

    def _derive(self, size: int, state: State, *, write: bool) -> None:
        """The files from `size` on, from the rows; checked against both checkpoints before a byte is written."""
        began = size
        at = size // WIDTH * WIDTH  # from the edge of a tile, so that no leaf is read from a file
        while at < state.size:
            end = min(state.size, (at // chunk_leaves + 1) * chunk_leaves)
            entries = self._ledger.leaves(at, end)
            if len(entries) != end - at:
                raise LogDiverged(f"the database misses leaves between {at} and {end}")
            made: dict[str, bytes] = {}
            try:
                grown = tiles.grow(at, [merkle.leaf_hash(entry) for entry in entries], self._read)
                made |= {tile.path: data for tile, data in grown.items()}
                made |= {b.path: data for b, data in tiles.grow_bundles(at, entries, _none).items()}
                self._check_chunk(grown, began, end, state)
            except (tiles.TileError, merkle.MerkleError) as error:
                raise LogDiverged(f"the published tiles and the database are not one log: {error}") from None
            for path, data in made.items() if write else ():
                self._put(path, data)
            if not write:
                return  # the rest is new, and has nothing published to be compared with
            at = end

    def _check_chunk(self, grown: dict[Tile, bytes], began: int, end: int, state: State) -> None:
        def read(tile: Tile) -> bytes:
            for width in (tile.width, WIDTH):
                found = grown.get(Tile(tile.level, tile.index, width))
                if found is not None:
                    return found[: tile.width * merkle.HASH_BYTES]
            wider = [t for t in grown if (t.level, t.index) == (tile.level, tile.index) and t.width > tile.width]
            if wider:
                return grown[wider[0]][: tile.width * merkle.HASH_BYTES]
            return self._read(tile)

        root = tiles.root(end, read)
        if end == state.size and root != state.root:
            raise merkle.MerkleError("the rows do not have the root that the log signed")
        if self.published is not None and self.published.size == began:
            proof = prove.consistency(tiles.TileHashes(end, read), began, end)
            merkle.verify_consistency(began, self.published.root, end, root, proof)

    def _put(self, path: str, data: bytes) -> None:
        full = ".p/" not in path
        there = self._store.read(path)
        if there == data:
            pass
        elif there is not None and full:
            raise LogDiverged(f"{path} is there and holds something else")
        else:
            self._store.put(path, data)
        if full:
            self._store.drop_partials(path)

    def _read(self, tile: Tile) -> bytes:
        return read_tile(self._store.read, tile)

    # Witnesses

    async def _cosign(self, head: Head, raw: bytes, urls: Sequence[str]) -> dict[str, bytes]:
        """By address, the line of each witness of `urls` that answers."""
        if not urls:
            return {}
        signed = checkpoints.write(head, _log_lines(raw, self._policy.origin))
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=witness_s)) as session:
            found = await asyncio.gather(*(self._ask(session, url, head, signed) for url in urls))
        return {url: line for url, line in zip(urls, found, strict=True) if line is not None}

    async def _ask(self, session: aiohttp.ClientSession, url: str, head: Head, signed: bytes) -> bytes | None:
        try:
            async with asyncio.timeout(witness_s):
                old = min(self._known.get(url, 0), head.size)
                status, body = await self._post(session, url, old, head, signed)
                if status == witness.CONFLICT:
                    knows = witness.parse_size(body)
                    if knows > self._ledger.state.size:
                        raise LogDiverged(f"{url} has seen {knows} leaves, the database has {self._ledger.state.size}")
                    self._known[url] = knows
                    if knows > head.size:
                        return None
                    status, body = await self._post(session, url, knows, head, signed)
                    if status == witness.CONFLICT and witness.parse_size(body) == head.size:
                        raise LogDiverged(f"{url} has seen another tree of {head.size} leaves")
            if status == witness.UNPROCESSABLE:
                raise LogDiverged(f"{url} has seen another tree: it says that ours of {head.size} does not continue it")
            if status != witness.OK:
                raise witness.WitnessError(f"it answers {status}")
            line = self._line(body, head)
        except tiles.TileError as error:
            raise LogDiverged(f"the published tiles are not whole: {error}") from None
        except (aiohttp.ClientError, OSError, TimeoutError, witness.WitnessError) as error:
            _log.warning("witness_skipped", witness=url, size=head.size, error=str(error) or type(error).__name__)
            return None
        self._known[url] = head.size
        return line

    def _line(self, body: bytes, head: Head) -> bytes:
        for verifier in self._witnesses():
            with contextlib.suppress(witness.WitnessError):
                return witness.parse_response(body, head, verifier)[0]
        raise witness.WitnessError("its answer bears no cosignature of a witness that the root names")

    async def _post(
        self, session: aiohttp.ClientSession, url: str, old: int, head: Head, signed: bytes
    ) -> tuple[int, bytes]:
        def proof() -> list[bytes]:
            return prove.consistency(tiles.TileHashes(head.size, self._read), old, head.size)

        body = witness.format_request(old, await asyncio.to_thread(proof), signed)
        async with session.post(f"{url.rstrip('/')}/{witness.PATH}", data=body, allow_redirects=False) as answer:
            return answer.status, await answer.content.read(witness.response_bytes_max + 1)


def _log_lines(raw: bytes, origin: str) -> list[bytes]:
    _, signatures = checkpoints.parse(raw)
    return [notes.write_line(line) for line in signatures if line.name == origin]


def _with_lines(raw: bytes, lines: Iterable[bytes]) -> bytes:
    """A checkpoint with cosignatures added below those that it has; one by the same key, an earlier one, stays."""
    _, signatures = checkpoints.parse(raw)
    there = {(line.name, line.key_id) for line in signatures}
    for line in lines:
        (read,), _ = notes.read_lines(line, 0)
        if (read.name, read.key_id) not in there:
            there.add((read.name, read.key_id))
            raw += line
    return raw


def _none(_: Bundle) -> bytes:
    raise tiles.TileError("a bundle begins at the edge of a tile")
