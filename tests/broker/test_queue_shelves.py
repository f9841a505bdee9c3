"""Outbox, nonces and the published directory."""

import msgspec
import pytest

from valija_broker.errors import CorruptRecord, ShelfConflict
from valija_broker.mail import Record
from valija_broker.shelves import DirectoryShelf, Nonces, sum_of


async def test_the_outbox_is_read_in_order_and_removed_by_exact_id(mailboxes, submission, outbox):
    sent = [submission() for _ in range(5)]
    for s in sent:
        await mailboxes.accept(s)
    entries = await outbox.read(0)
    assert [e.subject for e in entries] == [s.subject for s in sent]
    first = entries[0]
    assert (first.event, first.sender, first.note) == ("SubmissionAcceptance", "mx.enlace", sent[0].accepted)
    assert (first.key, first.directory, first.time) == (sent[0].evidence_key_id, sent[0].directory, sent[0].time)
    assert [e.id for e in await outbox.read(0, 2, after=first.id)] == [entries[1].id, entries[2].id]
    assert await outbox.remove(0, [entries[1].id, "1-1"]) == 1
    assert [e.id for e in await outbox.read(0)] == [e.id for n, e in enumerate(entries) if n != 1]
    assert await outbox.pending() == 4
    assert await outbox.remove(0, []) == 0


async def test_a_nonce_counts_once_for_each_key(store, admin):
    nonces = Nonces(store)
    assert await nonces.record("k1", "n", 60_000)
    assert not await nonces.record("k1", "n", 60_000)
    assert await nonces.record("k2", "n", 60_000)
    assert 59_000 < await admin.pttl("{s0}:n:k1:n") <= 60_000


async def test_versions_are_published_one_after_the_other(store):
    shelf = DirectoryShelf(store)
    assert (await shelf.heads()).directory == 0
    with pytest.raises(ShelfConflict, match="follow"):
        await shelf.publish_directory(2, b"two")
    await shelf.publish_directory(1, b"one")
    await shelf.publish_directory(1, b"one")
    with pytest.raises(ShelfConflict, match="another"):
        await shelf.publish_directory(1, b"other")
    await shelf.publish_directory(2, b"x" * (8 << 20))  # the largest that the protocol allows
    await shelf.publish_root(1, b"root")
    await shelf.set_freshness(b"fresh")
    heads = await shelf.heads()
    assert (heads.root, heads.directory, heads.freshness) == (1, 2, b"fresh")
    assert (await shelf.root(1), await shelf.directory(1), await shelf.directory(3)) == (b"root", b"one", None)


async def test_an_entry_whose_sum_fits_and_says_nothing_stands_in_no_other_s_way(mailboxes, outbox, admin, submission):
    """The sum has no key. Who can write to the store can make one, and must not stop the entries behind."""
    names = ("event", "from", "to", "subject", "time", "directory", "reason", "salt", "key", "note")
    good = dict.fromkeys(names, b"x") | {"time": b"1", "directory": b"1 " + b"ab" * 32}
    for change in ({"time": b"soon"}, {"event": b"\xff"}, {"directory": b"here"}, {"reason": b"\xff"}):
        values = good | change
        await admin.xadd("{s0}:outbox", {**values, "sum": sum_of(list(values.values()))})
    await mailboxes.accept(submission())
    found = await outbox.read(0)
    assert [type(entry).__name__ for entry in found] == ["CorruptEntry"] * 4 + ["OutboxEntry"]


def test_a_record_whose_sum_fits_and_that_names_no_key_is_not_believed(submission_now):
    s = submission_now()
    record = msgspec.structs.replace(s.record(), evidence_key_id="\xff")
    with pytest.raises(CorruptRecord):
        Record.decode(record.encode(s.sender, s.id), s.sender, s.id)
