"""One bit, anywhere in the log's files or its database: refused, found, or of no consequence; never believed."""

import random
import sqlite3

import pytest
from log_flips import keep, survey
from log_folder import rows

from valija_broker.errors import EvidenceAltered, LogDiverged
from valija_broker.log.view import EvidenceReader, LogView

flips = 30  #: In all files together, and in each of the database's. `make soak` takes more.


async def test_no_bit_of_the_published_files_is_believed(log):
    kept = await keep(log)
    paths = [path for path in sorted(kept.folder.rglob("*")) if path.is_file()]
    verdicts = await survey(kept, paths, flips, random.Random(11))
    assert verdicts.keys() <= {"found", "refused, and found"}, verdicts


@pytest.mark.parametrize("name", ["evidence.sqlite", "evidence.sqlite-wal"])
async def test_no_bit_of_the_database_is_believed(log, name):
    kept = await keep(log)
    verdicts = await survey(kept, [kept.path / name], flips, random.Random(12))
    assert verdicts.total() >= flips
    assert set(verdicts) - {"harmless"}, verdicts


def altered(log, statement, *values):
    connection = sqlite3.connect(log.database, isolation_level=None)
    connection.execute(statement, values)
    connection.close()


async def test_a_feed_never_shows_an_event_of_somebody_else(log):
    await log.run(rows(0, 8))  # 1, 4 and 7 are for p1
    altered(log, "UPDATE feed SET seq = 3 WHERE party = 'p1' AND number = 2")
    reader = EvidenceReader(log.database, LogView(log.folder))
    assert [event.index for event in (await reader.feed("p1", 0, 1)).events] == [1]
    with pytest.raises(EvidenceAltered, match="leaf 2: it is not for p1"):
        await reader.feed("p1", 0, 9)
    assert log.differences()


@pytest.mark.parametrize("column", ["root", "frontier", "checkpoint"])
async def test_nothing_is_signed_that_grows_from_a_head_that_was_altered(log, column):
    state = await log.run(rows(0, 5))
    whole = {"root": state.root, "frontier": b"".join(state.frontier), "checkpoint": state.checkpoint}[column]
    altered(log, f"UPDATE head SET {column} = ?", bytes([*whole[:-3], whole[-3] ^ 1, *whole[-2:]]))
    with pytest.raises(LogDiverged):
        await log.run(rows(5, 9))
    ledger = log.ledger()
    assert ledger.state.size == 5
    ledger.close()
    assert log.differences()
