"""One-bit flips for as long as asked: everywhere in the store's file, and in the log's files and database."""

import random
import time
from collections import Counter

from flips import Kept
from log_flips import keep, survey
from log_folder import Log


async def test_no_bit_of_the_store_is_believed(tmp_path, soak_seconds, figure):
    kept, seed = Kept(tmp_path), random.randrange(2**32)
    figure("seed", seed)
    await kept.fill()
    dice, verdicts, ends = random.Random(seed), Counter(), time.monotonic() + soak_seconds
    while time.monotonic() < ends:
        for bit in kept.bits(100, dice):
            verdicts[await kept.judge(kept.file, bit)] += 1
    figure("bits of the append-only file", dict(verdicts))
    assert verdicts.total() >= 90


async def test_no_bit_of_the_log_is_believed(tmp_path, soak_seconds, figure):
    seed = random.randrange(2**32)
    figure("seed", seed)
    kept = await keep(Log(tmp_path))
    published = [path for path in sorted(kept.folder.rglob("*")) if path.is_file()]
    dice, ends = random.Random(seed), time.monotonic() + soak_seconds
    found = {"published files": Counter(), "database": Counter(), "write-ahead log": Counter()}
    while time.monotonic() < ends:
        found["published files"] += await survey(kept, published, 100, dice)
        found["database"] += await survey(kept, [kept.database], 100, dice)
        found["write-ahead log"] += await survey(kept, [kept.path / "evidence.sqlite-wal"], 100, dice)
    for name, verdicts in found.items():
        figure(f"bits of the {name}", dict(verdicts))
        assert verdicts.total() >= 90
