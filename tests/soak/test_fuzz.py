"""Requests by a grammar of faults, as many as there is time for: no server error, no hang, and no memory that grows."""

import random
import time

from fuzzing import Attack, Grammar
from soak.test_memory import resident

portion = 2_000
growth_bytes_max = 50 << 20  #: Of a process, for each million of requests.


async def test_a_million_fuzzed_requests_upset_nothing(sandbox, fresh, soak_seconds, figure):
    seed = random.randrange(2**32)
    figure("seed", seed)
    peers = [fresh() for _ in range(5)]
    attack = Attack(sandbox.port, Grammar(peers, random.Random(seed)))
    await attack.send(portion)  # what is loaded and cached at first is not growth
    processes = sandbox.processes()
    before = {pid: resident(pid) for kind in ("worker", "upkeep") for pid in processes[kind]}
    began, requests = time.monotonic(), portion
    while time.monotonic() - began < soak_seconds:
        await attack.send(portion, connections=16)
        requests += portion
    grown = {pid: (resident(pid) - size) / 2**20 for pid, size in before.items()}
    figure("requests", requests)
    figure("a second", f"{(requests - portion) / (time.monotonic() - began):.0f}")
    figure("answers", dict(sorted(attack.statuses.items())))
    figure("connections ended without an answer", attack.ended)
    figure("longest until an answer or the end", f"{attack.slowest_s:.2f} s")
    figure("server errors and hangs", len(attack.faults))
    figure("grown, MiB", {pid: round(size, 1) for pid, size in grown.items()})
    assert attack.faults == []
    assert sandbox.processes() == processes, "a process of the broker ended"
    assert max(grown.values()) * 2**20 < growth_bytes_max * max(1, requests / 1_000_000)
    assert (await peers[0].submit(peers[0].message(peers[1]))).status == 202
