"""Every decoder, with damaged bytes, for as long as there is time: nothing raises but our own errors."""

import itertools
import random
import time
from collections import Counter

from decoders import all_decoders, changed

OURS = {"valija", "valija_schemas", "valija_broker"}
SLOWEST_S = 2.0


def test_damaged_bytes_raise_nothing_but_our_own_errors(soak_seconds, figure):
    seed = random.randrange(2**32)
    figure("seed", seed)
    dice = random.Random(seed)
    outcomes: Counter[str] = Counter()
    rows = all_decoders()
    grown = {row.name: list(row.seeds) for row in rows}  # what is still read is changed further
    ends = time.monotonic() + soak_seconds
    slowest = (0.0, "")
    for turn in itertools.count():
        row = rows[turn % len(rows)]
        data = changed(dice.choice(grown[row.name]), dice) if turn % 7 else dice.randbytes(dice.randrange(400))
        began = time.process_time()
        try:
            row.read(data)
            outcomes["read"] += 1
            if len(grown[row.name]) < 200:
                grown[row.name].append(data)
        except Exception as error:  # noqa: BLE001 - any other one is what this is about
            ours = type(error).__module__.partition(".")[0] in OURS
            assert ours, (row.name, data, error)  # noqa: PT017 - most bytes raise, some are read
            outcomes["refused"] += 1
        slowest = max(slowest, (time.process_time() - began, row.name))
        if turn % 1_000 == 0 and time.monotonic() > ends:
            break
    figure("decoders", len(rows))
    figure("outcomes", dict(outcomes))
    figure("slowest, CPU", f"{slowest[0] * 1000:.1f} ms, {slowest[1]}")
    assert slowest[0] < SLOWEST_S, "bytes that hold a decoder up"
