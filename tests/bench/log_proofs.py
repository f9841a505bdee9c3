"""Making and checking proofs, in a small log and in one of a million leaves."""

import hashlib
import json
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from bench.figures import Run, benchmark
from valija import bundle
from valija.registry.sample import SampleExchange, sample_exchange
from valija.testing import MemoryBroker
from valija.verify import verify
from valija_broker.log import prove
from valija_broker.log.view import LogView
from valija_schemas import checkpoint as checkpoints
from valija_schemas import leaf as leaves
from valija_schemas import merkle, tiles, tlog_proof
from valija_schemas.checkpoint import Head, Policy
from valija_schemas.tiles import Tile

EXAMPLE: Final = Path(__file__).parents[2] / "schemas/examples/information-request-1.json"
chunk: Final = 65_536


class Tree:
    """A log of so many leaves in a folder, some of them given; its checkpoint is signed with an exchange's keys."""

    def __init__(self, folder: Path, exchange: SampleExchange, size: int, given: list[bytes]) -> None:
        self.size = size
        self.policy = Policy.of_root(exchange.origin, exchange.root)
        step = size // (len(given) + 1)
        self.places = [(n + 1) * step + 7 for n in range(len(given))]
        own = dict(zip(self.places, given, strict=True))
        written: dict[Tile, bytes] = {}

        def read(tile: Tile) -> bytes:
            return written[tile]

        for at in range(0, size, chunk):
            end = min(size, at + chunk)
            hashes = [merkle.leaf_hash(own.get(n) or self.leaf(n)) for n in range(at, end)]
            written |= tiles.grow(at, hashes, read)
        for tile, data in written.items():
            path = folder / tile.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        self.head = Head(checkpoints.origin_of(exchange.origin), size, tiles.root(size, read))
        keys = exchange.broker_keys
        cosigner = checkpoints.MlDsa44Cosigner(self.head.origin, keys.log_ml_dsa)
        lines = [
            checkpoints.log_line(keys.log_signer, self.head),
            checkpoints.cosignature_line(cosigner, self.head, int(time.time())),
        ]
        self.checkpoint = checkpoints.write(self.head, lines)
        (folder / "checkpoint").write_bytes(self.checkpoint)
        self.folder = folder

    @staticmethod
    def leaf(number: int) -> bytes:
        return b"\x01" + hashlib.sha256(b"%d" % number).digest()


def timed(function: Callable[[], Any], times: int) -> float:
    """Microseconds of one call, the median of many."""
    found = []
    for _ in range(times):
        began = time.perf_counter()
        function()
        found.append(time.perf_counter() - began)
    return statistics.median(found) * 1e6


@benchmark("log.proofs")
async def proofs(run: Run) -> None:
    """Proofs made and checked, one thread; each run is the median of 200 calls for random leaves.

    `cold` reads the tiles from files that the kernel has cached, `warm` finds the full ones in memory, as a worker
    does.
    A bundle is that of one message to one recipient with its three events, its roots and its directory.
    """
    exchange = sample_exchange()
    parts = await bundle_parts(run.folder, exchange)
    stems = [name[:-5] for name in parts if name.endswith(".salt")]
    texts = [parts.get(f"{stem}.note") or parts[f"{stem}.txt"] for stem in stems]
    salts = [bytes.fromhex(parts[f"{stem}.salt"].decode()) for stem in stems]
    given = [leaves.of_event(salt, text) for salt, text in zip(salts, texts, strict=True)]
    for size in (1_000, 1_000_000):
        tree = Tree(run.folder / str(size), exchange, size, given)
        measure_tree(run, tree, given[0])
        measure_bundle(run, tree, parts, stems, exchange.root_digest)


def measure_tree(run: Run, tree: Tree, leaf: bytes) -> None:
    """The proofs of one tree."""
    chance = random.Random(7)
    indexes = [chance.randrange(1, tree.size) for _ in range(200)]
    size, warm = tree.size, LogView(tree.folder)

    def made(view: LogView, index: int) -> list[bytes]:
        return prove.inclusion(view.page(size), index, size)

    def connected(old: int) -> list[bytes]:
        return prove.consistency(warm.page(size), old, size)

    def add(name: str, function: Callable[[], Any]) -> None:
        run.add(f"{name}, {size:,} leaves", "us", [timed(function, 200) for _ in range(3)])

    for index in indexes:
        made(warm, index)
    add("inclusion proof made, cold", lambda: made(LogView(tree.folder), chance.choice(indexes)))
    add("inclusion proof made, warm", lambda: made(warm, chance.choice(indexes)))
    add("consistency proof made, warm", lambda: connected(chance.choice(indexes)))
    index, old = tree.places[0], size // 3
    hashed, hashes = merkle.leaf_hash(leaf), made(warm, index)
    raw = tlog_proof.write(index, hashes, tree.checkpoint)
    run.add(f"tlog-proof, {size:,} leaves", "bytes", len(raw))
    run.add(f"hashes in it, {size:,} leaves", "", len(hashes))
    add("tlog_proof.parse and verify", lambda: tlog_proof.verify(tlog_proof.parse(raw), leaf, tree.policy))
    add("of that the path alone", lambda: merkle.verify_inclusion(hashed, index, size, hashes, tree.head.root))
    old_root, path = prove.root(warm.page(size), old), connected(old)
    add("consistency verified", lambda: merkle.verify_consistency(old, old_root, size, tree.head.root, path))


def measure_bundle(run: Run, tree: Tree, parts: dict[str, bytes], stems: list[str], anchor: str) -> None:
    """A bundle whose events stand in this tree."""
    page, whole = LogView(tree.folder).page(tree.size), dict(parts)
    for stem, place in zip(stems, tree.places, strict=True):
        whole[f"{stem}.tlog-proof"] = tlog_proof.write(place, prove.inclusion(page, place, tree.size), tree.checkpoint)
    data = bundle.write(whole)
    report = verify(data, anchor)
    if report.result != "proved":
        raise RuntimeError(f"the bundle is {report.result}: {report.findings}")
    run.add(f"bundle, {tree.size:,} leaves", "bytes", len(data))
    times = [timed(lambda: verify(data, anchor), 50) / 1e3 for _ in range(3)]
    run.add(f"valija.verify of a bundle, {tree.size:,} leaves", "ms", times)


async def bundle_parts(folder: Path, exchange: SampleExchange) -> dict[str, bytes]:
    """What a sender can show of one message that was received."""
    broker = MemoryBroker(exchange)
    request = json.loads(EXAMPLE.read_text())
    async with broker.client("mx.enlace", folder) as sender, broker.client("ca.liaison", folder) as recipient:
        sent = await sender.send(request, "ca.liaison", type="information-request/1")
        async for message in recipient.inbox():
            async with message:
                pass
        return bundle.read(await sender.prove(sent.id))
