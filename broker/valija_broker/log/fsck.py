"""Looks through the whole log: rebuilds the tree from the rows and compares everything that there is with it.

`valija-broker log fsck`. It writes nothing, and may run beside a broker that works: it compares with one state of the
database, and what was published for a larger one meanwhile is no difference.

Before this room: `cli`. It reads what `ledger` and `publish` wrote. SPEC.md section 5.3.
"""

import hashlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from valija_broker.database import reading
from valija_broker.evidence import facts_of, order_id, place_of
from valija_broker.log import messages
from valija_broker.log.ledger import SCHEMA_VERSION, grow, root_of
from valija_broker.log.publish import CHECKPOINT, Folder
from valija_schemas import checkpoint as checkpoints
from valija_schemas import leaf as leaves
from valija_schemas import merkle, tiles
from valija_schemas.checkpoint import Policy
from valija_schemas.erasure import ERASURE, ErasureError, parse_erasure
from valija_schemas.order import ACTION, parse_order
from valija_schemas.tiles import HEIGHT, WIDTH, Bundle, Tile

differences_max: Final = 100  #: Printed; more do not help a person.


class Checked:
    """What was compared, and with what."""

    def __init__(self) -> None:
        self.leaves = self.erased = self.published = self.files = 0


def fsck(database: Path, folder: Path, policy: Policy, checked: Checked) -> Iterator[str]:
    """Every difference, in words for a person. None means that the log is whole."""
    try:
        with reading(database) as connection:
            for (problem,) in connection.execute("PRAGMA integrity_check(5)"):
                if problem != "ok":
                    yield f"{database.name}: {problem}"
            if (mark := connection.execute("PRAGMA user_version").fetchone()[0]) != SCHEMA_VERSION:
                yield f"{database.name} is marked as of version {mark}, and this release reads {SCHEMA_VERSION}"
            connection.execute("BEGIN")  # one state, from here on
            yield from _rows(connection, Folder(folder), policy, checked)
    except sqlite3.Error as error:
        yield f"{database.name} cannot be read: {error}"
    except (TypeError, ValueError, IndexError) as error:  # a flipped bit made another type or length of a value
        yield f"{database.name} holds something else than was written: {error}"


def _rows(connection: sqlite3.Connection, folder: Folder, policy: Policy, checked: Checked) -> Iterator[str]:
    size, root, frontier, signed = connection.execute("SELECT size, root, frontier, checkpoint FROM head").fetchone()
    hashes: list[bytes] = []
    entries: list[bytes] = []
    ids: set[bytes] = set()
    erased: set[int] = set()
    stated: set[int] = set()
    carried: set[str] = set()  # orders to hold or to release
    told = _Told()
    parties: dict[int, tuple[str, ...] | None] = {}  # None: it does not say, or was erased
    rows = connection.execute("SELECT seq, id, leaf, event, salt, name, message, sender, time FROM events ORDER BY seq")
    for expected, (seq, id_, leaf, event, salt, *columns) in enumerate(rows, start=1):
        if seq != expected:
            yield f"row {seq} stands where {expected} should: a leaf is missing"
            return
        if id_ in ids:
            yield f"leaf {seq - 1}: its id stands twice"
        ids.add(id_)
        try:
            leaves.check(leaf)
            if event is salt is None and leaf[:1] == leaves.EVENT:
                erased.add(seq - 1)
                parties[seq] = None
            elif (leaf[:1] == leaves.EVENT) != (event is not None and salt is not None):
                yield f"leaf {seq - 1}: it is of another kind than its row"
            elif event is not None and leaves.of_event(salt, event) != leaf:
                yield f"leaf {seq - 1}: its event and salt do not open it"
            elif event is not None:
                found = place_of(event, columns[2])
                parties[seq] = found.parties
                if (id_, *columns) != (found.id, found.name, found.message, found.sender, found.time):
                    yield f"leaf {seq - 1}: its row is not about what its event says"
                if event.startswith(f"{ERASURE} ".encode()):
                    stated |= _stated(event, policy.origin.removesuffix("/log"), seq - 1, ids)
                elif found.name in messages.COUNTED:
                    told.add(seq, found.name, event)
                elif event.startswith(f"{ACTION} ".encode()):
                    note, action = parse_order(event, policy.origin.removesuffix("/log"))
                    carried |= {note.digest} if action.action in {"retain", "release"} else set()
            elif leaf[:1] == leaves.DIRECTORY and id_ != hashlib.sha256(leaf).digest():
                yield f"leaf {seq - 1}: its row is not that of a version"
            elif columns != [None] * 4:
                yield f"leaf {seq - 1}: its row says something of an event that it does not have"
        except ValueError as error:
            yield f"leaf {seq - 1}: {error}"
        entries.append(leaf)
        hashes.append(merkle.leaf_hash(leaf))
    for index in sorted(erased - stated):
        yield f"leaf {index}: its opening is gone, and no erasure says so"
    for index in sorted(stated - erased):
        yield f"leaf {index}: an erasure says that its opening is gone, and that is not so"
    yield from _holds(connection, carried, ids)
    checked.leaves, checked.erased = len(entries), len(erased)
    if len(entries) != size:
        yield f"the head has {size} leaves, the rows are {len(entries)}"
        return
    _, grown = grow(0, (), hashes)
    if b"".join(grown) != frontier or root_of(grown) != root:
        yield "the head's root or frontier is not that of the rows"
    if size:
        yield from _checkpoint("the head's checkpoint", signed, policy, root_of(grown), size)
    yield from _feeds(connection, parties)
    yield from told.differences(connection)
    yield from _published(folder, policy, entries, hashes, checked)


class _Told:
    """What the events say of the rows that operators look up. The headline stands in no event."""

    def __init__(self) -> None:
        self._accepted: dict[int, tuple[str, str, int]] = {}  # place -> id, sender, time
        self._places: dict[str, int] = {}  # digest -> place
        self._shares: dict[tuple[int, str], tuple[int, str | None]] = {}  # -> number of the state, reason

    def add(self, seq: int, name: str, event: bytes) -> None:
        facts = facts_of(event)
        if name == "SubmissionAcceptance":
            self._accepted[seq] = (facts.id, facts.sender, facts.time)
            self._places[facts.message] = seq
            self._shares |= {(seq, to): (messages.WAITING, None) for to in facts.to}
        elif name in messages.STATE_OF:
            share = (self._places.get(facts.message, 0), facts.about)
            if self._shares.get(share) == (messages.WAITING, None):
                self._shares[share] = (messages.STATE_OF[name], facts.reason)

    def differences(self, connection: sqlite3.Connection) -> Iterator[str]:
        """Leaves whose message is not in the tables as the events have it."""
        found = {
            seq: tuple(more) for seq, *more in connection.execute("SELECT seq, id, sender, accepted FROM messages")
        }
        for seq in sorted(seq for seq in found.keys() | self._accepted if found.get(seq) != self._accepted.get(seq)):
            yield f"leaf {seq - 1}: the row of its message is not about what its event says"
        shares = {
            (seq, to): (state, reason) if accepted == self._accepted.get(seq, ("", "", -1))[2] else None
            for seq, to, accepted, state, reason in connection.execute(
                "SELECT seq, recipient, accepted, state, reason FROM shares"
            )
        }
        wrong = {
            seq for seq, to in shares.keys() | self._shares if shares.get((seq, to)) != self._shares.get((seq, to))
        }
        for seq in sorted(wrong):
            yield f"leaf {seq - 1}: the shares of its message are not as the events have them"


def _holds(connection: sqlite3.Connection, carried: set[str], ids: set[bytes]) -> Iterator[str]:
    """Legal holds and the orders in the log belong to each other: none was made or taken away in the file alone."""
    said = {row[0] for row in connection.execute("SELECT by_order FROM retained")}
    for digest in sorted(said):
        if order_id(digest) not in ids:
            yield f"a legal hold rests on order {digest}, which is not in the log"
    for digest in sorted(carried - said):
        yield f"order {digest} is in the log, and the legal holds know nothing of it"


def _stated(event: bytes, origin: str, index: int, before: set[bytes]) -> set[int]:
    """The leaves that an erasure, itself leaf `index`, speaks of; `before` are the ids of the leaves up to it."""
    found = parse_erasure(event, origin)
    first, count = found.leaves[-1]
    if first + count > index:
        raise ErasureError("it speaks of leaves that come after it")
    if found.order is not None and order_id(found.order) not in before:
        raise ErasureError(f"it names order {found.order}, which is not in the log before it")
    return {leaf for first, count in found.leaves for leaf in range(first, first + count)}


def _checkpoint(what: str, raw: bytes, policy: Policy, root: bytes, size: int) -> Iterator[str]:
    try:
        found = checkpoints.verify_checkpoint(raw, policy)
    except checkpoints.CheckpointError as error:
        yield f"{what}: {error}"
        return
    if not found.post_quantum:
        yield f"{what} bears no ML-DSA-44 cosignature of the log"
    if (found.size, found.root) != (size, root):
        yield f"{what} says {found.size} leaves, and not the root of the rows"


def _feeds(connection: sqlite3.Connection, parties: dict[int, tuple[str, ...] | None]) -> Iterator[str]:
    query = (
        "SELECT party, count(*), max(number), min(number) FROM feed LEFT JOIN events USING (seq) GROUP BY party"
        " HAVING count(*) != max(number) OR min(number) != 1 OR total(substr(leaf, 1, 1) = x'01') != count(*)"
    )
    for party, count, last, _ in connection.execute(query):
        yield f"the feed of {party} has {count} events, and its last is {last}"
    feeds: dict[int, set[str]] = {}
    for party, seq in connection.execute("SELECT party, seq FROM feed"):
        feeds.setdefault(seq, set()).add(party)
    for seq in sorted(parties.keys() | feeds.keys()):
        found, of = feeds.get(seq, set()), parties.get(seq, ())
        if (not found) if of is None else found != set(of):
            yield f"leaf {seq - 1} is not in the feeds of its parties, and of nobody else"


def _published(
    folder: Folder, policy: Policy, entries: list[bytes], hashes: list[bytes], checked: Checked
) -> Iterator[str]:
    raw = folder.read(CHECKPOINT)
    size = 0
    if raw is not None:
        try:
            size = checkpoints.parse(raw)[0].size
        except checkpoints.CheckpointError as error:
            yield f"the public checkpoint: {error}"
            return
        if size > len(entries):
            yield f"{size} leaves are published, the database has {len(entries)}"
            return
        yield from _checkpoint("the public checkpoint", raw, policy, root_of(grow(0, (), hashes[:size])[1]), size)
    checked.published = size
    every = tiles.grow(0, hashes, _missing)
    bundles = tiles.grow_bundles(0, entries, _missing)
    required = {tile.path for tile in tiles.tiles_made(0, size)} | {b.path for b in tiles.bundles_made(0, size)}
    for path in folder.paths():
        checked.files += 1
        required.discard(path)
        yield from _file(folder, path, every, bundles, len(entries))
    for path in sorted(required):
        full = path.partition(".p/")[0]
        if ".p/" not in path or folder.read(full) is None:
            yield f"{path} is missing"


def _file(
    folder: Folder, path: str, every: dict[Tile, bytes], bundles: dict[Bundle, bytes], size: int
) -> Iterator[str]:
    try:
        name = tiles.parse_path(path)
    except tiles.TileError:
        yield f"{path} is no tile"
        return
    if name.end > size:
        return  # of a larger tree, published while we looked; the next start of upkeep refuses one that stays
    level = name.level if isinstance(name, Tile) else 0
    width = min(WIDTH, (size >> HEIGHT * level) - name.index * WIDTH)
    if isinstance(name, Tile):
        expected = every[Tile(level, name.index, width)][: name.width * merkle.HASH_BYTES]
    else:
        whole = tiles.decode_bundle(bundles[Bundle(name.index, width)], width)
        expected = tiles.encode_bundle(whole[: name.width])
    if folder.read(path) not in {expected, None}:  # None: it gave way to a full one while we looked
        yield f"{path} holds something else than the rows"


def _missing(name: Tile | Bundle) -> bytes:
    raise tiles.TileError(f"{name.path} is asked for in an empty tree")
