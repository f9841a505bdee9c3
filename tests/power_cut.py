"""The power fails at any step that the disk sees, and the disk keeps what it likes of what was not synced.

Of each cut several disks are made: one that kept everything, one that lost every rename and folder that was not synced,
one that lost every second of them, and one on which the file in writing is torn. After each the next start must make
the log whole, and whatever was public before the cut must be the beginning of what is public then.
"""

import itertools
import os
import shutil

import pytest
from log_folder import POLICY, rows

from valija_broker.log.ledger import Ledger, grow, root_of
from valija_broker.log.publish import Folder
from valija_schemas import checkpoint as checkpoints
from valija_schemas import merkle

KEEP = {
    "all": lambda _: True,
    "nothing": lambda _: False,
    "every second": lambda number: number % 2 == 0,
    "torn": lambda _: True,
}


class PowerCut(BaseException):
    pass


class Disk(Folder):
    """A folder that knows what was not synced when the power fails, before step `at`."""

    def __init__(self, root, at, keep):
        super().__init__(root)
        self.at, self.keep, self.steps = at, keep, 0
        self.unsynced = []  # (folder that has to be synced, path, what was there before)
        self.public = []

    def _did(self, step, path):
        if self.steps == self.at:
            self._fail(step, path)
            raise PowerCut
        self.steps += 1
        if step == "rename":
            self.unsynced.append((path.parent, path, path.read_bytes() if path.exists() else None))
        elif step == "mkdir":
            self.unsynced.append((path.parent, path, None))

    def _sync(self, folder):
        super()._sync(folder)
        self.unsynced = [entry for entry in self.unsynced if entry[0] != folder]

    def _fail(self, step, path):
        if step == "fsync" and self.keep == "torn":
            path.write_bytes(path.read_bytes()[:7])
        for number, (_, lost, before) in reversed(list(enumerate(self.unsynced))):
            if KEEP[self.keep](number):
                continue
            if lost.is_dir():
                shutil.rmtree(lost)
            elif before is None:
                lost.unlink(missing_ok=True)
            elif lost.parent.exists():
                lost.write_bytes(before)

    def put_checkpoint(self, data):
        super().put_checkpoint(data)
        self.public.append(checkpoints.verify_checkpoint(data, POLICY))


class Quick(Ledger):
    """The disk is modelled for the folder; SQLite's own promise is taken as given, and not waited for."""

    def __init__(self, *parts):
        super().__init__(*parts)
        self._connection.execute("PRAGMA synchronous = OFF")


def restore(copy, log):
    shutil.rmtree(log.path / "log")
    for suffix in ("", "-wal", "-shm"):
        log.database.with_name(log.database.name + suffix).unlink(missing_ok=True)
    shutil.copytree(copy, log.path, dirs_exist_ok=True)


async def cut_everywhere(log, folder, monkeypatch, sizes):
    """Grow a log to each of `sizes`, and cut the power before every step of it; say how many cuts there were."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    end = sizes[-1] + 7
    hashes = [merkle.leaf_hash(row.leaf) for row in rows(0, end)]
    roots = {size: root_of(grow(0, (), hashes[:size])[1]) for size in [*sizes, end]}
    await log.run(rows(0, sizes[0]), kind=Quick)
    points = 0
    for begin, upto in itertools.pairwise(sizes):
        before = folder / f"before-{upto}"
        shutil.copytree(log.path, before, ignore=shutil.ignore_patterns("before-*"))
        whole = Disk(log.folder, -1, "all")
        await log.run(rows(begin, upto), store=whole, kind=Quick)
        after = folder / f"before-after-{upto}"
        shutil.copytree(log.path, after, ignore=shutil.ignore_patterns("before-*"))
        for at, keep in itertools.product(range(whole.steps), KEEP):
            restore(before, log)
            disk = Disk(log.folder, at, keep)
            with pytest.raises(PowerCut):
                await log.run(rows(begin, upto), store=disk, kind=Quick)
            state = await log.run(rows(begin, end), kind=Quick)
            assert log.public().size == state.size == end, (upto, at, keep)
            assert log.public().root == roots[end]
            assert all(seen.root == roots[seen.size] for seen in disk.public), (upto, at, keep)
            if points % 25 == 0:
                assert log.differences() == [], (upto, at, keep)
            points += 1
        restore(after, log)
    return points
