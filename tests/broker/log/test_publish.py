"""Publishing survives every fault, and finds every flaw. The order of broker/DESIGN.md, section 2, "Logged"."""

import asyncio
import random
import shutil
import socket
import sqlite3

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from log_folder import KEYS, ORIGIN, POLICY, rows, version

from valija_broker.errors import LogDiverged
from valija_broker.log import prove
from valija_broker.log.publish import Folder
from valija_schemas import checkpoint as checkpoints
from valija_schemas import merkle, tiles, witness
from valija_schemas import note as notes
from valija_schemas.checkpoint import Ed25519Cosigner, Policy


class Witness:
    """A witness in memory, that keeps what it saw before it answers."""

    def __init__(self):
        self.cosigner = Ed25519Cosigner("w.example/one", Ed25519PrivateKey.generate())
        self.size, self.root, self.seen = 0, merkle.EMPTY_ROOT, []
        self.away = self.lost = 0

    @property
    def verifier(self):
        return notes.Verifier(self.cosigner.name, self.cosigner.public)

    async def __aenter__(self):
        app = web.Application()
        app.add_routes([web.post("/w/add-checkpoint", self.add)])
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/w"
        return self

    async def __aexit__(self, *_):
        await self._runner.cleanup()

    async def add(self, request):
        if self.away:
            self.away -= 1
            return web.Response(status=503)
        asked = witness.parse_request(await request.read())
        checkpoints.verify_checkpoint(asked.checkpoint, POLICY)
        if asked.old_size != self.size:
            return web.Response(status=witness.CONFLICT, body=witness.format_size(self.size))
        merkle.verify_consistency(self.size, self.root, asked.head.size, asked.head.root, asked.proof)
        self.size, self.root = asked.head.size, asked.head.root
        self.seen.append(self.size)
        if self.lost:
            self.lost -= 1
            return web.Response(status=502)
        line = checkpoints.cosignature_line(self.cosigner, asked.head, 1_700_000_000)
        return web.Response(body=witness.format_response([line]))


class Faulty(Folder):
    """Fails once at the n-th write of a kind: nothing done, or done all the same."""

    def __init__(self, root, kind, done):
        super().__init__(root)
        self.kind, self.done, self.left = kind, done, 1

    def _fail(self, kind, act):
        if kind != self.kind or not self.left:
            return act()
        self.left -= 1
        if self.done:
            act()
        raise OSError(5, f"fault at {kind}")

    def put(self, path, data):
        kind = "bundle" if "entries" in path else "tile"
        return self._fail(kind, lambda: super(Faulty, self).put(path, data))

    def put_checkpoint(self, data):
        return self._fail("checkpoint", lambda: super(Faulty, self).put_checkpoint(data))

    def drop_partials(self, path):
        return self._fail("drop", lambda: super(Faulty, self).drop_partials(path))

    def _sync(self, folder):
        return self._fail("folder", lambda: super(Faulty, self)._sync(folder))


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize(
    ("kind", "size"),
    [
        (kind, size)
        for kind in ("tile", "bundle", "checkpoint", "folder", "drop")
        for size in (10, 256, 300)
        if (kind, size) != ("drop", 10)
    ],
)  # of 10 leaves more, no tile becomes full
async def test_a_failed_write_is_made_good_by_the_next_start(log, kind, done, size):
    await log.run(rows(0, 200), [version(1)])
    before = log.public()
    faulty = Faulty(log.folder, kind, done)
    with pytest.raises(OSError, match="fault"):
        await log.run(rows(200, 200 + size), store=faulty)
    state = await log.run(rows(100, 200 + size), rows(0, 220 + size))
    assert log.differences() == []
    assert log.public().size == state.size == 221 + size
    assert (log.folder / "tile/0/000.p").exists() == (size == 10), "partial tiles give way to the full one"
    tree = tiles.TileHashes(state.size, lambda tile: (log.folder / tile.path).read_bytes())

    proof = prove.consistency(tree, before.size, state.size)
    merkle.verify_consistency(before.size, before.root, state.size, state.root, proof)


class PowerCut(BaseException):
    pass


class Cut(Folder):
    """The power fails before the n-th step that the disk sees."""

    def __init__(self, root, at):
        super().__init__(root)
        self.left, self.steps = at, []

    def _did(self, step, path):
        if self.left == len(self.steps):
            if step == "fsync":
                path.write_bytes(path.read_bytes()[:7])  # what was not synced is lost
            raise PowerCut
        self.steps.append((step, path.name))


async def test_a_power_cut_between_any_two_steps_loses_and_repeats_nothing(log, tmp_path):
    await log.run(rows(0, 250))
    start = tmp_path / "start"
    shutil.copytree(log.path, start, ignore=shutil.ignore_patterns("start"))
    whole = Cut(log.folder, -1)
    await log.run(rows(250, 520), store=whole)
    assert len(whole.steps) > 20
    for at in range(len(whole.steps)):
        shutil.rmtree(log.folder)
        for name in ("evidence.sqlite", "evidence.sqlite-wal", "evidence.sqlite-shm"):
            (log.path / name).unlink(missing_ok=True)
        shutil.copytree(start, log.path, dirs_exist_ok=True)
        with pytest.raises(PowerCut):
            await log.run(rows(250, 520), store=Cut(log.folder, at))
        state = await log.run()
        assert state.size == log.public().size == 520
        await log.run(rows(500, 530))
        assert log.differences() == [], whole.steps[at]


async def test_one_bit_anywhere_is_found(log):
    await log.run(rows(0, 250), rows(250, 600))
    source = random.Random(5)
    files = [path for path in log.folder.rglob("*") if path.is_file()]
    for path in files:
        data = path.read_bytes()
        for _ in range(6):
            bit = source.randrange(len(data) * 8)
            flipped = bytearray(data)
            flipped[bit // 8] ^= 1 << bit % 8
            path.write_bytes(flipped)
            assert log.differences(), (path, bit)
        path.write_bytes(data)
    assert log.differences() == []
    for column in ("leaf", "event", "salt"):
        with sqlite3.connect(log.database) as connection:
            value = connection.execute(f"SELECT {column} FROM events WHERE seq = 77").fetchone()[0]
            connection.execute(f"UPDATE events SET {column} = ? WHERE seq = 77", (value[:-1] + bytes([value[-1] ^ 1]),))
            connection.commit()
            assert log.differences(), column
            connection.execute(f"UPDATE events SET {column} = ? WHERE seq = 77", (value,))
        connection.close()
    assert log.differences() == []
    for change in (
        "DELETE FROM events WHERE seq = 600",
        "DELETE FROM feed WHERE seq = 9",
        "UPDATE head SET root = x''",
    ):
        connection = sqlite3.connect(log.database, isolation_level=None)
        connection.execute("BEGIN")
        connection.execute(change)
        connection.execute("COMMIT")
        connection.close()
        assert log.differences(), change


async def test_an_old_copy_of_the_database_is_refused(log, tmp_path):
    await log.run(rows(0, 10))
    old = (log.database).read_bytes()
    await log.run(rows(10, 20))
    log.database.write_bytes(old)
    for more in ("-wal", "-shm"):
        log.database.with_name(log.database.name + more).unlink(missing_ok=True)
    with pytest.raises(LogDiverged, match="old copy"):
        await log.run()
    assert log.differences()
    (log.folder / "checkpoint").unlink()  # even so: a tile shows it
    with pytest.raises(LogDiverged, match="beyond"):
        await log.run()


async def test_another_history_of_the_same_length_or_longer_is_refused(log):
    await log.run(rows(0, 10))
    for suffix in ("", "-wal", "-shm"):
        log.database.with_name(log.database.name + suffix).unlink(missing_ok=True)
    for count in (10, 300):
        ledger = log.ledger()
        ledger.add(rows(1000, 1000 + count))
        ledger.close()
        with pytest.raises(LogDiverged):
            await log.run()


async def test_the_folder_can_be_made_again_from_the_rows(log):
    await log.run(rows(0, 300), rows(300, 70_000))
    before = {path.relative_to(log.folder): path.read_bytes() for path in log.folder.rglob("*") if path.is_file()}
    shutil.rmtree(log.folder)
    await log.run()
    assert log.differences() == []
    for path in log.folder.rglob("*"):
        if path.is_file() and path.name != "checkpoint":
            assert before[path.relative_to(log.folder)] == path.read_bytes()


async def test_a_full_tile_with_other_bytes_stops_the_log(log):
    await log.run(rows(0, 255))
    ledger = log.ledger()
    ledger.add(rows(255, 260))
    ledger.close()
    (log.folder / "tile/0/000").write_bytes(bytes(8192))
    with pytest.raises(LogDiverged):
        await log.run()


async def test_witnesses_are_attached_and_verify(log):
    async with Witness() as one:
        policy = Policy(POLICY.origin, POLICY.log, POLICY.log_ml_dsa, (one.verifier,), 1)
        how = {"urls": [one.url], "witnesses": lambda: [one.verifier]}
        await log.run(rows(0, 10), rows(10, 300), **how)
        found = checkpoints.verify_checkpoint((log.folder / "checkpoint").read_bytes(), policy)
        assert found.complete
        assert one.seen == [10, 300]
        one.away = 2
        await log.run(rows(300, 310), **how)
        found = checkpoints.verify_checkpoint((log.folder / "checkpoint").read_bytes(), policy)
        assert (found.size, found.complete) == (310, False)
        await log.run(rows(310, 320), **how)
        assert checkpoints.verify_checkpoint((log.folder / "checkpoint").read_bytes(), policy).complete


async def test_a_witness_whose_answer_is_lost_is_met_again(log):
    async with Witness() as one:
        how = {"urls": [one.url], "witnesses": lambda: [one.verifier]}
        one.lost = 1
        await log.run(rows(0, 10), rows(10, 20), **how)
        policy = Policy(POLICY.origin, POLICY.log, POLICY.log_ml_dsa, (one.verifier,), 1)
        assert checkpoints.verify_checkpoint((log.folder / "checkpoint").read_bytes(), policy).complete


async def test_a_witness_that_is_ahead_stops_the_start(log):
    async with Witness() as one:
        how = {"urls": [one.url], "witnesses": lambda: [one.verifier]}
        await log.run(rows(0, 10), **how)
        one.size = 20
        with pytest.raises(LogDiverged, match="has seen 20"):
            await log.run(**how)


async def test_a_witness_that_hangs_holds_nothing_up(log):
    with socket.socket() as silent:  # it listens, and answers nobody
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        async with asyncio.timeout(4):
            await log.run(rows(0, 10), urls=[f"http://127.0.0.1:{silent.getsockname()[1]}"])
    assert log.public().size == 10


def test_the_keys_are_the_broker_s(log):
    assert KEYS.log_signer(ORIGIN).public == POLICY.log
