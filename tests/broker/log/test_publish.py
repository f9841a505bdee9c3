"""Publishing survives every fault, and finds every flaw. The order of broker/DESIGN.md, section 2, "Logged"."""

import asyncio
import random
import shutil
import socket
import sqlite3

import pytest
from log_folder import KEYS, ORIGIN, POLICY, rows, version
from power_cut import cut_everywhere
from small_witness import Witness

from valija_broker.errors import LogDiverged, LogUnknown
from valija_broker.log import prove
from valija_broker.log.ledger import Ledger
from valija_broker.log.publish import Folder
from valija_schemas import checkpoint as checkpoints
from valija_schemas import merkle, tiles
from valija_schemas.checkpoint import Policy


class Faulty(Folder):
    """Fails once at a write of a kind: nothing done, or done all the same. It remembers what was public."""

    def __init__(self, root, kind="", done=False):
        super().__init__(root)
        self.kind, self.done, self.left = kind, done, 1
        self.public = []

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
        self.public.append(checkpoints.verify_checkpoint(data, POLICY))
        return self._fail("checkpoint", lambda: super(Faulty, self).put_checkpoint(data))

    def drop_partials(self, path):
        return self._fail("drop", lambda: super(Faulty, self).drop_partials(path))

    def _sync(self, folder):
        return self._fail("folder", lambda: super(Faulty, self)._sync(folder))


class FaultyLedger(Ledger):
    """Its second commit fails: not done, or done all the same."""

    done = False

    def __init__(self, *parts):
        super().__init__(*parts)
        self.commits = 0

    def _commit(self, cursor):
        self.commits += 1
        if self.commits != 2:
            return super()._commit(cursor)
        if self.done:
            super()._commit(cursor)
        raise sqlite3.OperationalError("fault at transaction")


class FaultyWhenDone(FaultyLedger):
    done = True


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize(
    ("kind", "size"),
    [
        *[(kind, size) for kind in ("tile", "bundle", "checkpoint", "folder") for size in (10, 256, 300)],
        *[("drop", 256), ("drop", 300)],  # of 10 leaves more, no tile becomes full
        *[("transaction", 300), ("witness", 300)],
    ],
)
async def test_a_failed_write_is_made_good_by_the_next_start(log, kind, done, size):
    async with Witness(POLICY) as witness:
        asked = {"urls": [witness.url], "witnesses": lambda: [witness.verifier]}
        how = asked if kind == "witness" else {}
        await log.run(rows(0, 200), [version(1)], **how)
        before = log.public()
        first, second = Faulty(log.folder, kind, done), Faulty(log.folder)
        ledger = (FaultyWhenDone if done else FaultyLedger) if kind == "transaction" else Ledger
        begun = [rows(200, 201), rows(201, 200 + size)]
        if kind == "witness":  # its request is lost, or its answer: what it does not say now is asked for again
            witness.away, witness.lost = int(not done), int(done)
            await log.run(*begun, store=first, **how)
        else:
            with pytest.raises((OSError, LogUnknown), match="fault"):
                await log.run(*begun, store=first, kind=ledger, **how)
        state = await log.run(rows(100, 200 + size), rows(0, 220 + size), store=second, **how)
        assert log.public().size == state.size == 221 + size, "no gap, and nothing twice"
        assert lines(log) == (state.size, [witness.verifier.name] if how else [])
    assert (log.folder / "tile/0/000.p").exists() == (size == 10), "partial tiles give way to the full one"
    made = files(log)
    shutil.rmtree(log.folder)
    await log.run()
    assert 0 < len(files(log).items() & made.items()) == len(files(log)), "derived again, the same bytes"
    assert log.differences() == []
    tree = tiles.TileHashes(state.size, lambda tile: (log.folder / tile.path).read_bytes())
    for seen in (before, *first.public, *second.public):
        proof = prove.consistency(tree, seen.size, state.size)
        merkle.verify_consistency(seen.size, seen.root, state.size, state.root, proof)


def files(log):
    """What was derived from the rows."""
    return {path: path.read_bytes() for path in (log.folder / "tile").rglob("*") if path.is_file()}


async def test_a_power_cut_before_any_step_loses_and_repeats_nothing(log, tmp_path, monkeypatch):
    assert await cut_everywhere(log, tmp_path, monkeypatch, [250, 252, 300]) > 60


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
    async with Witness(POLICY) as one:
        policy = Policy(POLICY.origin, POLICY.log, POLICY.log_ml_dsa, (one.verifier,), 1)
        how = {"urls": [one.url], "witnesses": lambda: [one.verifier]}
        await log.run(rows(0, 10), rows(10, 300), **how)
        found = checkpoints.verify_checkpoint((log.folder / "checkpoint").read_bytes(), policy)
        assert found.complete
        assert one.seen == [10, 300]


def lines(log):
    """Size and witnesses of the public checkpoint."""
    head, signatures = checkpoints.parse((log.folder / "checkpoint").read_bytes())
    return head.size, [line.name for line in signatures if line.name != head.origin]


async def published_without(log, witness):
    """A ledger of 10 leaves and its publisher, published while the one witness was away."""
    ledger = log.ledger()
    publisher = log.publisher(ledger, urls=[witness.url], witnesses=lambda: [witness.verifier])
    ledger.add(rows(0, 10))
    witness.away = 1
    await publisher.publish()
    return ledger, publisher


async def test_a_witness_that_was_away_is_asked_again_without_a_new_event(log):
    async with Witness(POLICY) as one, Witness(POLICY, "w.example/two") as two:
        ledger = log.ledger()
        how = {"urls": [one.url, two.url], "witnesses": lambda: [one.verifier, two.verifier]}
        publisher = log.publisher(ledger, **how)
        ledger.add(rows(0, 10))
        one.away = 3
        await publisher.publish()
        assert lines(log) == (10, ["w.example/two"])
        assert not await publisher.complete()
        assert lines(log) == (10, ["w.example/two"])
        one.away = 0
        two.away = 99  # what it said stays, and it is not asked for it again
        assert await publisher.complete()
        assert lines(log) == (10, ["w.example/two", "w.example/one"])
        policy = Policy(POLICY.origin, POLICY.log, POLICY.log_ml_dsa, (one.verifier, two.verifier), 2)
        assert checkpoints.verify_checkpoint((log.folder / "checkpoint").read_bytes(), policy).complete
        assert (await publisher.complete(), two.away, one.seen, two.seen) == (True, 99, [10], [10])
        ledger.close()


async def test_there_is_no_new_checkpoint_without_a_new_event(log):
    ledger, store = log.ledger(), Faulty(log.folder)
    publisher = log.publisher(ledger, store)
    ledger.add(rows(0, 10))
    await publisher.publish()
    state = ledger.state
    for known in ([], rows(0, 10), rows(3, 5)):
        assert ledger.add(known).rows == 0
        await publisher.publish()
    ledger.close()
    await log.run(store=store)  # a start alone is no event
    assert [found.size for found in store.public] == [10]
    again = log.ledger()
    assert again.state == state
    again.close()


async def test_a_start_asks_again_and_takes_no_cosignature_away(log):
    async with Witness(POLICY) as one, Witness(POLICY, "w.example/two") as two:
        how = {"urls": [one.url, two.url], "witnesses": lambda: [one.verifier, two.verifier]}
        one.away = 1
        await log.run(rows(0, 10), **how)
        two.away, one.time_s = 1, 1_700_000_001
        await log.run(**how)
        assert lines(log) == (10, ["w.example/two", "w.example/one"])
        before = (log.folder / "checkpoint").read_bytes()
        two.time_s = 1_700_000_002
        await log.run(**how)  # both cosign it once more, at another time
        assert (log.folder / "checkpoint").read_bytes() == before


async def test_a_cosignature_that_comes_late_does_not_bring_an_older_checkpoint_back(log):
    async with Witness(POLICY) as one:
        ledger, publisher = await published_without(log, one)
        cosign = publisher._cosign

        async def late(head, raw, urls):
            found = await cosign(head, raw, urls)
            if head.size == 10:
                ledger.add(rows(10, 20))
                await publisher.publish()
            return found

        publisher._cosign = late
        assert await publisher.complete()
        assert lines(log) == (20, ["w.example/one"])
        ledger.close()


async def test_a_witness_that_learned_of_a_larger_tree_stops_the_log_when_it_comes_back(log):
    async with Witness(POLICY) as one:
        ledger, publisher = await published_without(log, one)
        one.size = 11
        with pytest.raises(LogDiverged, match="has seen 11"):
            await publisher.complete()
        ledger.close()


async def test_a_witness_whose_answer_is_lost_is_met_again(log):
    async with Witness(POLICY) as one:
        how = {"urls": [one.url], "witnesses": lambda: [one.verifier]}
        one.lost = 1
        await log.run(rows(0, 10), rows(10, 20), **how)
        policy = Policy(POLICY.origin, POLICY.log, POLICY.log_ml_dsa, (one.verifier,), 1)
        assert checkpoints.verify_checkpoint((log.folder / "checkpoint").read_bytes(), policy).complete


async def test_a_witness_that_is_ahead_stops_the_start(log):
    async with Witness(POLICY) as one:
        how = {"urls": [one.url], "witnesses": lambda: [one.verifier]}
        await log.run(rows(0, 10), **how)
        one.size = 20
        with pytest.raises(LogDiverged, match="has seen 20"):
            await log.run(**how)


@pytest.mark.parametrize("known", [5, 10])
async def test_a_witness_that_saw_another_tree_stops_the_log(log, known):
    async with Witness(POLICY) as one:
        one.size, one.root = known, bytes(32)
        with pytest.raises(LogDiverged, match="has seen another tree"):
            await log.run(rows(0, 10), urls=[one.url], witnesses=lambda: [one.verifier])
        assert not (log.folder / "checkpoint").exists(), "nothing that it contradicts is published"


async def test_a_witness_that_hangs_holds_nothing_up(log):
    with socket.socket() as silent:  # it listens, and answers nobody
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        async with asyncio.timeout(4):
            await log.run(rows(0, 10), urls=[f"http://127.0.0.1:{silent.getsockname()[1]}"])
    assert log.public().size == 10


def test_the_keys_are_the_broker_s(log):
    assert KEYS.log_signer(ORIGIN).public == POLICY.log
