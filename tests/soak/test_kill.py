"""An hour of SIGKILL: nothing accepted is lost, altered or handed over twice, and every step of it is proved."""

import itertools
import random
import time

from killing import kill_while_mail_flows


async def test_whatever_is_killed_for_as_long_as_asked(tmp_path, soak_seconds, figure):
    seed = random.randrange(2**32)
    ends = time.monotonic() + soak_seconds
    numbers = itertools.takewhile(lambda _: time.monotonic() < ends, itertools.count())
    run = await kill_while_mail_flows(tmp_path / "x", numbers, random.Random(seed))
    figure("seed", seed)
    figure("killed", dict(run.killed))
    figure("messages accepted", len(run.flow.accepted))
    figure("lent again after a lapse", run.flow.again)
    figure("lost", len(run.flow.accepted - run.flow.handled.keys()))
    figure("handed over twice", sum(count > 1 for count in run.flow.handled.values()))
    assert run.killed
    assert run.flow.handled.keys() == run.flow.accepted
    assert set(run.flow.handled.values()) == {1}
