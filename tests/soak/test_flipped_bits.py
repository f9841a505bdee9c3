"""One-bit flips at a thousand places of each kind at least, and on for as long as asked: in the store's file, in the
log's tiles, bundles and checkpoint, in its database and the database's write-ahead log. None is believed."""

import random
import time
from collections import Counter

import pytest
from flips import Kept
from log_flips import keep, survey
from log_folder import Log

PLACES = 1_000
PART = 250  #: Spread evenly over a kind; then the next round takes others.


async def test_no_flipped_bit_of_the_store_is_believed(tmp_path, soak_seconds, figure):
    kept, dice = Kept(tmp_path), seeded(figure)
    await kept.fill()
    verdicts, ends = Counter(), time.monotonic() + soak_seconds
    while verdicts.total() < PLACES or time.monotonic() < ends:
        for bit in kept.bits(PART, dice):
            verdicts[await kept.judge(kept.file, bit)] += 1
    figure("bits of the append-only file", dict(verdicts))
    assert {"refused", "told"} <= verdicts.keys() <= {"refused", "told", "lent again", "harmless"}


@pytest.mark.parametrize("kind", ["tiles", "bundles", "checkpoint", "database", "write-ahead log"])
async def test_no_flipped_bit_of_the_log_is_believed(tmp_path, soak_seconds, figure, kind):
    dice, kept = seeded(figure), await keep(Log(tmp_path))
    published = [path for path in sorted(kept.folder.rglob("*")) if path.is_file()]
    paths = {
        "tiles": [path for path in published if "/tile/" in str(path) and "/entries/" not in str(path)],
        "bundles": [path for path in published if "/entries/" in str(path)],
        "checkpoint": [path for path in published if path.name == "checkpoint"],
        "database": [kept.database],
        "write-ahead log": [kept.path / "evidence.sqlite-wal"],
    }[kind]
    verdicts, ends = Counter(), time.monotonic() + soak_seconds
    while verdicts.total() < PLACES or time.monotonic() < ends:
        verdicts += await survey(kept, paths, PART, dice)
    figure(f"bits of the {kind}", dict(verdicts))
    assert set(verdicts) - {"harmless"}, verdicts
    assert kind in {"database", "write-ahead log"} or not {"harmless", "refused"} & set(verdicts), verdicts


def seeded(figure):
    seed = random.randrange(2**32)
    figure("seed", seed)
    return random.Random(seed)
