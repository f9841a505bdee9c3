"""A full disk under the log: upkeep ends, nothing is half there, and the next start with room goes on."""

import itertools
import sqlite3

import pytest
from full_disk import fill, no_room, wal_bytes
from log_folder import rows, version

from valija_broker.errors import LogUnknown
from valija_broker.log.ledger import Ledger

SIZE = 300  #: Leaves that are published before the disk is full: one whole tile and bundle, and parts of the next.


@pytest.mark.parametrize("beyond", [0, 100, 1_500, 3_000, 8_000])
async def test_files_that_find_no_room_are_made_by_the_next_start(log, beyond):
    """Each of these sizes lies within another file: a checkpoint, a partial tile, a partial bundle, whole ones."""
    await log.run([version(1)], rows(0, SIZE - 1))
    before = log.public()
    ledger = log.ledger()
    publisher = log.publisher(ledger)
    publisher.check()
    ledger.add(rows(SIZE, 600))
    with no_room(beyond), pytest.raises(OSError, match="too large"):
        await publisher.publish()
    ledger.close()
    assert log.public() == before, "what is public stays whole"
    state = await log.run(rows(600, 620))
    assert log.public().size == state.size == 620
    assert log.differences() == []


class Filling(Ledger):
    """The database is full from now on."""

    def __init__(self, *parts):
        super().__init__(*parts)
        fill(self._connection)


async def test_a_database_that_is_full_takes_nothing_and_says_so(log):
    await log.run([version(1)], rows(0, SIZE - 1))
    ledger = log.ledger(Filling)
    with pytest.raises(sqlite3.OperationalError, match="full"):
        ledger.add(rows(SIZE, 600))
    assert (ledger.state.size, ledger.read_state()) == (SIZE, ledger.state)
    ledger.close()
    state = await log.run(rows(SIZE - 1, 610))
    assert (state.size, log.public().size) == (611, 611)
    assert log.differences() == []


async def test_a_write_ahead_log_that_is_full_takes_a_batch_whole_or_not_at_all(log):
    await log.run([version(1)], rows(0, SIZE - 1))
    begun = SIZE - 1
    for more in itertools.accumulate([1, 100, 4_096, 20_000, 100_000]):
        ledger = log.ledger()
        ledger.add(rows(begun, begun + 1))
        begun, size = begun + 1, ledger.state.size
        with no_room(wal_bytes(log.database) + more), pytest.raises((LogUnknown, sqlite3.OperationalError)):
            ledger.add(rows(begun, begun + 400))
        ledger.close()
        ledger = log.ledger()
        assert ledger.state.size in {size, size + 400}
        ledger.close()
    state = await log.run(rows(0, begun + 400))
    assert log.public().size == state.size
    assert log.differences() == []
