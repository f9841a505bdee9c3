"""Openings are erased when they are old, never while a hold covers them; the log stays whole. SPEC.md 5.2 and 5.3."""

import sqlite3

import msgspec
import pytest
from log_folder import ORIGIN, row, version

from valija_broker.errors import LogUnknown, NotEnded, UnderHold
from valija_broker.evidence import Erased, Row, order_id
from valija_broker.log import retain
from valija_broker.log.ledger import Ledger
from valija_broker.log.retain import BEGIN, Given, Retention
from valija_broker.log.view import EvidenceReader, LogView
from valija_schemas import limits
from valija_schemas.erasure import Erasure, ErasureError, erasure_text, parse_erasure, ranges_max, ranges_of
from valija_schemas.leaf import of_event

ORDER, OTHER = "0a" * 32, "0b" * 32
NOW = 10_000


def digest(number):
    return f"{number:064x}"


def given(by):
    """An order, by its digest, as it enters the ledger."""
    event, salt = f"order {by}".encode(), b"s" * 32
    row = Row(
        id=order_id(by), name="OperatorAction", message=None, sender=None, time=NOW, event=event, salt=salt,
        leaf=of_event(salt, event), parties=("operator",),
    )  # fmt: skip
    return Given(by, row, NOW)


def walk(kept, before, after=BEGIN):
    """All steps; how many openings went in each."""
    found = []
    while after is not None:
        step = kept.erase(before=before, now=NOW, reason="retain_days 90", after=after)
        found.append(step.erased)
        after = step.after
    return found


def bytes_of(log):
    return b"".join(path.read_bytes() for path in log.path.glob("evidence.sqlite*"))


def left(log):
    with sqlite3.connect(log.database) as connection:
        found = connection.execute("SELECT seq - 1 FROM events WHERE message IS NOT NULL ORDER BY seq").fetchall()
    connection.close()
    return [index for (index,) in found]


def erasures(log):
    with sqlite3.connect(log.database) as connection:
        found = connection.execute("SELECT event FROM events WHERE name = 'Erasure' ORDER BY seq").fetchall()
    connection.close()
    return [parse_erasure(event, ORIGIN) for (event,) in found]


async def test_what_is_old_is_gone_from_the_files_and_the_log_is_whole(log):
    rows = [row(n, n // 4) for n in range(400)]
    await log.run([version(1)], rows)
    ledger = log.ledger()
    before = ledger.leaves(0, 401)
    assert walk(Retention(ledger, ORIGIN), before=200) == [200]
    assert ledger.truncate_wal()
    assert ledger.leaves(0, 401) == before
    ledger.close()
    there = bytes_of(log)
    for old in rows[:200]:
        assert old.salt not in there
        assert old.message.encode() not in there
        assert old.event + b"\0" not in there
    assert all(new.salt in there for new in rows[200:])
    (said,) = erasures(log)
    assert (said.order, said.leaves, said.time, said.reason) == (None, ((1, 200),), NOW, "retain_days 90")
    state = await log.run()
    assert (state.size, log.public().size) == (402, 402)
    assert log.differences() == []


def test_a_message_stays_whole_until_its_last_event_is_old(log):
    ledger = log.ledger()
    ledger.add([row(1, 1), row(2, 2), row(300, 1)])
    kept = Retention(ledger, ORIGIN)
    assert walk(kept, before=300) == [1]
    assert left(log) == [0, 2]
    assert walk(kept, before=301) == [2]
    assert walk(kept, before=NOW) == [0], "an erasure has no message, and stays"
    assert [said.leaves for said in erasures(log)] == [((1, 1),), ((0, 1), (2, 1))]
    ledger.close()


@pytest.mark.parametrize("what", [digest(1), "mx.enlace", "p1"])
def test_what_is_held_is_erased_by_nobody_until_it_is_released(log, what):
    ledger = log.ledger()
    ledger.add([row(1, 1), row(2, 1)])
    kept = Retention(ledger, ORIGIN)
    kept.retain(what, given(ORDER))
    assert walk(kept, before=NOW) == [0]
    with pytest.raises(UnderHold):
        kept.erase_message(digest(1), given(OTHER))
    assert left(log) == [0, 1]
    kept.release(what, given(OTHER))
    kept.retain(what, given(ORDER))  # the first order again: it was followed already
    assert walk(kept, before=NOW) == [2]
    ledger.close()
    assert left(log) == []


def test_a_release_that_comes_again_does_not_end_a_later_hold(log):
    ledger = log.ledger()
    ledger.add([row(1, 1)])
    kept = Retention(ledger, ORIGIN)
    kept.retain(digest(1), given("01" * 32))
    kept.release(digest(1), given("02" * 32))
    kept.retain(digest(1), given("03" * 32))
    kept.release(digest(1), given("02" * 32))
    assert walk(kept, before=NOW) == [0]
    ledger.close()


def test_an_order_erases_one_message_once(log):
    ledger = log.ledger()
    ledger.add([row(1, 1), row(2, 2), row(3, 1)])
    kept = Retention(ledger, ORIGIN)
    assert kept.erase_message(digest(1), given(ORDER))[0] == 2
    size = ledger.state.size
    assert kept.erase_message(digest(1), given(ORDER))[0] == 0
    assert (ledger.state.size, left(log)) == (size, [1])
    assert [(said.order, said.leaves) for said in erasures(log)] == [(ORDER, ((0, 1), (2, 1)))]
    ledger.close()


def test_an_order_erases_nothing_of_a_message_that_waits_by_the_time_it_is_carried_out(log):
    """It may have been accepted since somebody looked."""
    ledger = log.ledger()
    there = row(2, 1)
    said = there.event.replace(b"ContentHandover", b"SubmissionAcceptance")
    accepted = msgspec.structs.replace(there, name="SubmissionAcceptance", event=said, leaf=of_event(there.salt, said))
    ledger.add([row(1, 1), accepted])
    size = ledger.state.size
    with pytest.raises(NotEnded, match="for p2"):
        Retention(ledger, ORIGIN).erase_message(digest(1), given(ORDER))
    assert (ledger.state.size, left(log)) == (size, [0, 1])
    ledger.close()


def test_an_entry_that_comes_late_brings_nothing_back(log):
    ledger = log.ledger()
    ledger.add([row(1, 1), row(2, 1)])
    walk(Retention(ledger, ORIGIN), before=NOW)
    before = ledger.state
    assert ledger.add([row(1, 1), row(2, 1)]).rows == 0
    assert (ledger.state, left(log)) == (before, [])
    ledger.close()


def test_a_step_is_bounded_in_rows_and_ranges_and_the_walk_ends(log, monkeypatch):
    monkeypatch.setattr(retain, "rows_max", 50)
    ledger = log.ledger()
    ledger.add([row(n, n if n % 2 else 0) for n in range(1_000)])  # one message has 500 events, all apart
    kept = Retention(ledger, ORIGIN)
    kept.retain(digest(7), given(ORDER))
    steps = walk(kept, before=NOW)
    assert (sum(steps), max(steps)) == (999, 50)
    assert left(log) == [7]
    assert all(len(said.leaves) <= ranges_max for said in erasures(log))
    ledger.close()


def test_more_ranges_than_one_erasure_can_say_take_several(log):
    ledger = log.ledger()
    ledger.add([row(n, n % 2) for n in range(2 * ranges_max + 20)])
    kept = Retention(ledger, ORIGIN)
    assert kept.erase_message(digest(1), given(ORDER))[0] == ranges_max + 10
    assert [len(said.leaves) for said in erasures(log)] == [ranges_max, 10]
    assert walk(kept, before=NOW)[0] == ranges_max
    assert left(log) == []
    ledger.close()


@pytest.mark.parametrize("done", [False, True])
async def test_a_crash_in_the_commit_leaves_all_of_a_step_or_nothing(log, done):
    class Faulty(Ledger):
        def _commit(self, cursor):
            if done:
                super()._commit(cursor)
            raise sqlite3.OperationalError("disk I/O error")

    await log.run([row(n) for n in range(9)])
    ledger = log.ledger(Faulty)
    with pytest.raises(LogUnknown):
        walk(Retention(ledger, ORIGIN), before=5)
    ledger.close()
    ledger = log.ledger()
    assert walk(Retention(ledger, ORIGIN), before=5) == [0 if done else 5]
    ledger.close()
    await log.run()
    assert [said.leaves for said in erasures(log)] == [((0, 5),)]
    assert log.differences() == []


async def test_a_number_of_the_feed_stays_with_nothing_behind_it(log):
    await log.run([row(n) for n in range(4)])
    ledger = log.ledger()
    walk(Retention(ledger, ORIGIN), before=2)
    ledger.close()
    await log.run()
    reader = EvidenceReader(log.database, LogView(log.folder))
    found = (await reader.feed("mx.enlace", 0, 9)).events
    assert [(e.number, e.index, e.event, e.salt) for e in found[:2]] == [(1, 0, b"", b""), (2, 1, b"", b"")]
    assert [(e.number, e.event) for e in found[2:]] == [(3, row(2).event), (4, row(3).event)]
    assert (await reader.of_message("mx.enlace", digest(0))).events == ()
    assert await reader.acceptance("mx.enlace", digest(0)) is None


async def test_fsck_tells_an_opening_that_is_gone_and_one_that_should_be(log):
    await log.run([row(n) for n in range(4)])
    ledger = log.ledger()
    said = Erasure(order=None, leaves=((3, 1),), time=NOW, reason="none")
    ledger.add([])
    ledger.commit(lambda _: [Erased(time=NOW, event=erasure_text(ORIGIN, said), salt=b"s" * 32)])
    ledger.close()
    with sqlite3.connect(log.database) as connection:
        connection.execute("UPDATE events SET event = NULL, salt = NULL WHERE seq = 2")
    connection.close()
    await log.run()
    assert log.differences() == [
        "leaf 1: its opening is gone, and no erasure says so",
        "leaf 3: an erasure says that its opening is gone, and that is not so",
    ]


async def test_fsck_tells_an_erasure_of_what_comes_after_it(log):
    ledger = log.ledger()
    said = Erasure(order=None, leaves=((0, limits.integer_max),), time=NOW, reason="none")
    ledger.commit(lambda _: [Erased(time=NOW, event=erasure_text(ORIGIN, said), salt=b"s" * 32)])
    ledger.close()
    await log.run()
    assert log.differences() == ["leaf 0: it speaks of leaves that come after it"]


def test_ranges_are_joined_and_have_one_spelling():
    assert ranges_of([0, 1, 2, 4, 6, 7]) == ((0, 3), (4, 1), (6, 2))
    for leaves in ((), ((0, 0),), ((0, 2), (2, 1)), ((3, 1), (0, 1)), ((0, 1),) * 2, ((0, 1),) * (ranges_max + 1)):
        with pytest.raises(ErasureError):
            erasure_text(ORIGIN, Erasure(order=None, leaves=leaves, time=1, reason="x"))
    most = tuple((limits.integer_max - 2 * n, 1) for n in range(ranges_max, 0, -1))
    text = erasure_text(ORIGIN, Erasure(order=ORDER, leaves=most, time=1, reason="retain_days 3650"))
    assert parse_erasure(text, ORIGIN).leaves == most
    for bad in (text[:-1], text + b"\n", text.replace(b"/v1", b"/v2"), text.replace(b'"time":1', b'"time":01')):
        with pytest.raises(ErasureError):
            parse_erasure(bad, ORIGIN)
    with pytest.raises(ErasureError):
        parse_erasure(text, "other.example")
