"""One-bit flips in a log's files and database, and what becomes of each."""

import shutil
from collections import Counter

import pytest
from flips import bits, flip
from log_folder import POLICY, rows, version
from structlog.testing import capture_logs

from valija_broker.errors import BrokerError, LogDiverged
from valija_broker.log.view import EvidenceReader, LogView
from valija_schemas import checkpoint as checkpoints
from valija_schemas import leaf, merkle

PARTIES = ("p0", "p1")


async def keep(log):
    """A copy of a log of two bundles, all of it published, whose last rows are still in the write-ahead log."""
    await log.run([version(1)], rows(0, 250))
    ledger = log.ledger()
    publisher = log.publisher(ledger)
    publisher.check()
    ledger.add(rows(250, 330))
    await publisher.publish()
    copy = log.path / "copy"
    copy.mkdir()
    for name in ("evidence.sqlite", "evidence.sqlite-wal"):
        shutil.copy(log.path / name, copy / name)
    shutil.copytree(log.folder, copy / "log")
    ledger.close()
    return type(log)(copy)


async def feeds(log):
    """What a member believes of its feed, after the checks that SPEC.md 5.2 and 5.3 ask of it; None where it alarms."""
    reader, found = EvidenceReader(log.database, LogView(log.folder)), {}
    for party in PARTIES:
        page = await reader.feed(party, 0, 1000)
        try:
            head = checkpoints.verify_checkpoint(page.checkpoint, POLICY)
        except checkpoints.CheckpointError:
            return None
        if [event.number for event in page.events] != list(range(1, len(page.events) + 1)):
            return None
        for event in page.events:
            hash_ = merkle.leaf_hash(leaf.of_event(event.salt, event.event))
            merkle.verify_inclusion(hash_, event.index, head.size, event.proof, head.root)
        found[party] = [(event.event, event.salt) for event in page.events]
    return found


async def judge(log, path, bit, whole, truth):
    """What became of one flipped bit; `whole` puts every file back."""
    flip(path, bit)
    flipped = path.read_bytes()
    with capture_logs():
        try:
            seen = await feeds(log)
        except BrokerError:
            seen = None
        path.write_bytes(flipped)
        (log.path / "evidence.sqlite-shm").unlink(missing_ok=True)
        found = bool(log.differences())
        if seen is None or (found and seen == truth):
            shutil.copy(whole / path.relative_to(log.path), path)
            return ("found" if seen else "refused, and found") if found else "refused"
        try:
            if found:  # some are missing at the end of a feed: a member sees them late, and no false one
                assert all(truth[party][: len(seen[party])] == seen[party] for party in PARTIES)
                with pytest.raises(LogDiverged):
                    await log.run()
                return "missing, found, and refused at the next start"
            assert seen == truth, "what is missing is found by fsck"
            try:
                assert (await log.run(rows(300, 340))).size == 341
            except LogDiverged:  # only a start reads the sums of the write-ahead log: those who had it open went on
                return "refused at the next start"
            assert log.differences() == []
            return "harmless"
        finally:
            shutil.rmtree(log.path)
            shutil.copytree(whole, log.path)


async def survey(log, paths, count, dice):
    """Verdicts over `count` bits of these files together, each file by its size and none left out."""
    whole = log.path.with_name("whole")
    shutil.rmtree(whole, ignore_errors=True)
    shutil.copytree(log.path, whole)
    truth = await feeds(log)
    assert truth
    assert log.differences() == []
    sizes = {path: path.stat().st_size for path in paths}
    verdicts = Counter()
    for path, size in sizes.items():
        for bit in bits(size * 8, max(2, count * size // sum(sizes.values())), dice):
            verdicts[await judge(log, path, bit, whole, truth)] += 1
    return verdicts
