"""Steady mail for as long as asked: no process of the broker grows without end, and the log is whole."""

import time
from pathlib import Path

from valija_broker import config
from valija_broker.keys import Keys
from valija_broker.log import fsck as checks
from valija_broker.log.opening import policy_of

batch = 32
look_every_s = 5.0
growth_bytes_max = 64 << 20  #: From the middle of the run on; the evidence store's page cache is in it.


def resident(pid: int) -> int:
    line = next(x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if x.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


async def test_no_process_grows_without_end(sandbox, fresh, soak_seconds, figure):
    sender, recipient = fresh(), fresh()
    began = looked = time.monotonic()
    sizes: list[dict[tuple[str, int], int]] = []
    messages = 0
    while (now := time.monotonic()) - began < soak_seconds or len(sizes) < 2:
        assert {r.status for r in await sender.batch([sender.message(recipient) for _ in range(batch)])} == {202}
        lent = await recipient.lease(limit=64)
        assert set(await recipient.done(*lent)) == {"done"}
        messages += len(lent)
        if now - looked > look_every_s or not sizes:
            looked = now
            found = sandbox.processes()
            sizes.append({(kind, pid): resident(pid) for kind in ("worker", "upkeep") for pid in found[kind]})
    figure("messages", messages)
    middle, last = sizes[len(sizes) // 2], sizes[-1]
    for (kind, pid), size in last.items():
        figure(
            f"{kind} {pid}, MiB at first, in the middle, at the end",
            [s[kind, pid] >> 20 for s in (sizes[0], middle, last)],
        )
        assert size - middle[kind, pid] < growth_bytes_max
    await sender.feed(3 * messages, within_s=60)
    settings = config.load(sandbox.config_path, {})
    policy = policy_of(settings, Keys.load(settings.keys_path))
    checked = checks.Checked()
    assert list(checks.fsck(settings.evidence_path, settings.log_path, policy, checked)) == []
