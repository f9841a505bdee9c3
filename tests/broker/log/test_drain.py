"""From the outbox into the log: exactly what was committed leaves the outbox, and only once it is published."""

import msgspec
import pytest
from log_folder import ORIGIN, version

from valija_broker import upkeep as upkeeps
from valija_broker.drain import Drain
from valija_broker.errors import LogDiverged, StoreUnavailable
from valija_broker.shelves import CorruptEntry, Directory, OutboxEntry
from valija_broker.turn import Turn
from valija_schemas import evidence, wire


def entry(number, shard=0):
    subject = evidence.Subject(
        id=f"01a20b79-c7db-7c31-9d5e-{number:012x}", message=f"{number:064x}", note="aa" * 32, body="bb" * 32,
        body_length=9, sender="mx.enlace",
    )  # fmt: skip
    return OutboxEntry(
        shard=shard, id=f"{number}-0", event="ContentHandover", sender="mx.enlace", to="ca.liaison",
        subject=wire.encode(subject), time=number, directory=Directory(1, "cd" * 32), reason="",
        salt=number.to_bytes(32, "big"), key="", note=b"",
    )  # fmt: skip


class Outbox:
    """The outbox in memory; removal can fail, undone or done."""

    def __init__(self, *shards):
        self.shards = [list(entries) for entries in shards]
        self.fault = ""

    async def read(self, shard, count, *, after=""):
        number = int(after.partition("-")[0]) if after else -1
        return [e for e in self.shards[shard] if int(e.id.partition("-")[0]) > number][:count]

    async def remove(self, shard, ids):
        fault, self.fault = self.fault, ""
        if fault != "undone":
            self.shards[shard] = [e for e in self.shards[shard] if e.id not in ids]
        if fault:
            raise StoreUnavailable("the reply was lost")


class Waker:
    def __init__(self):
        self.woken = []

    async def publish(self, kind, party):
        self.woken.append(party)


def make(log, ledger, outbox):
    return Drain(
        origin=ORIGIN, retain_days=3_650, outbox=outbox, shards=2, ledger=ledger, publisher=log.publisher(ledger),
        waker=Waker(), turn=Turn(log.path),
    )  # fmt: skip


@pytest.mark.parametrize("fault", ["", "undone", "done"])
async def test_a_lost_answer_to_the_removal_records_nothing_twice(log, fault):
    outbox = Outbox([entry(n) for n in range(2500)], [entry(n, 1) for n in range(5000, 5100)])
    outbox.fault = fault
    ledger = log.ledger()
    drain = make(log, ledger, outbox)
    drain.learn([version(1)])
    if fault:
        with pytest.raises(StoreUnavailable):
            await drain.drain()
    while await drain.drain():
        pass
    assert outbox.shards == [[], []]
    assert set(drain._waker.woken) == {"mx.enlace", "ca.liaison"}
    assert ledger.state.size == log.public().size == 2601
    ledger.close()
    assert log.differences() == []


async def test_an_altered_entry_stays_and_those_behind_it_are_recorded(log):
    bad = msgspec.structs.replace(entry(4), subject=b"{}")
    outbox = Outbox([entry(1), CorruptEntry(shard=0, id="2-0"), entry(3), bad, entry(5)], [])
    ledger = log.ledger()
    drain = make(log, ledger, outbox)
    assert await drain.drain() == 3
    assert await drain.drain() == 0
    assert [e.id for e in outbox.shards[0]] == ["2-0", "4-0"]
    assert log.public().size == 3
    ledger.close()


async def test_nothing_leaves_the_outbox_before_it_is_published(log):
    outbox = Outbox([entry(1)], [])
    ledger = log.ledger()
    drain = make(log, ledger, outbox)

    async def refuse():
        raise LogDiverged("as if")

    drain._publisher.publish = refuse
    with pytest.raises(LogDiverged):
        await drain.drain()
    assert len(outbox.shards[0]) == 1
    ledger.close()


def test_an_error_within_groups_decides_the_exit_status():
    inner = ExceptionGroup("", [LogDiverged("why")])
    assert isinstance(upkeeps.first(ExceptionGroup("", [inner])), LogDiverged)
