"""The ledger: one transaction, one writer, no gap. broker/DESIGN.md, invariants."""

import sqlite3

import msgspec
import pytest
from log_folder import row, rows, version

from valija_broker.errors import BadConfig, LogUnknown
from valija_broker.log.ledger import Ledger, grow, root_of
from valija_schemas import merkle, tiles
from valija_schemas.merkle import leaf_hash


def test_the_frontier_has_the_root_of_the_tiles():
    hashes = [leaf_hash(b"%d" % n) for n in range(700)]
    size, frontier = 0, ()
    for n in range(0, 700, 7):
        size, frontier = grow(size, frontier, hashes[n : n + 7])
        made = tiles.grow(0, hashes[:size], None)
        assert root_of(frontier) == tiles.root(size, made.__getitem__)
    assert root_of(()) == merkle.EMPTY_ROOT


def test_a_repeat_changes_nothing_and_leaves_no_gap(log):
    ledger = log.ledger()
    first = ledger.add([version(1), *rows(0, 5)])
    assert (first.rows, first.parties) == (6, {"mx.enlace", "p0", "p1", "p2"})
    before = ledger.state
    assert ledger.add([version(1), *rows(0, 5), row(3)]).rows == 0
    assert ledger.state == before
    assert ledger.add([row(2), row(9), row(9), row(4)]).rows == 1
    assert ledger.leaves(0, 99)[-1] == row(9).leaf
    assert (ledger.state.size, ledger.read_state()) == (7, ledger.state)
    ledger.close()
    assert log.differences() == []


def test_a_row_that_cannot_be_stored_takes_the_whole_batch_back(log):
    ledger = log.ledger()
    ledger.add(rows(0, 3))
    before = ledger.state
    with pytest.raises(sqlite3.Error):
        ledger.add([row(4), msgspec.structs.replace(row(5), time="yesterday")])
    assert (ledger.state, ledger.read_state()) == (before, before)
    ledger.add(rows(0, 9))
    ledger.close()
    assert log.differences() == []


def test_a_second_writer_is_fenced_off(log):
    one, two = log.ledger(), log.ledger()
    one.add([row(1)])
    with pytest.raises(LogUnknown):
        two.add([row(2)])
    one.add([row(3)])
    one.close()
    two.close()
    assert log.differences() == []


def test_a_file_of_a_release_without_a_log_is_refused(log):
    with sqlite3.connect(log.database) as connection:
        connection.execute("CREATE TABLE events (seq INTEGER PRIMARY KEY, id BLOB)")
    connection.close()
    with pytest.raises(BadConfig):
        log.ledger()


@pytest.mark.parametrize("done", [False, True])
def test_an_unknown_commit_ends_the_process_and_the_next_one_knows(log, done):
    class Faulty(Ledger):
        def _commit(self, cursor):
            if done:
                super()._commit(cursor)
            raise sqlite3.OperationalError("disk I/O error")

    log.ledger().close()
    ledger = log.ledger(Faulty)
    with pytest.raises(LogUnknown):
        ledger.add(rows(0, 3))
    ledger.close()
    ledger = log.ledger()
    assert ledger.state.size == (3 if done else 0)
    ledger.add(rows(0, 3))
    assert ledger.state.size == 3
    ledger.close()
    assert log.differences() == []
