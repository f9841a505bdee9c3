"""SIGKILL for any process of the broker, at random, while mail flows between real clients."""

import random

import pytest
from killing import kill_while_mail_flows

MESSAGES = 200


@pytest.mark.faults
async def test_nothing_accepted_is_lost_or_handed_over_twice_whatever_is_killed(tmp_path):
    seed = random.randrange(2**32)
    run = await kill_while_mail_flows(tmp_path / "x", range(MESSAGES), random.Random(seed))
    print(f"seed {seed}: {len(run.flow.accepted)} accepted, killed {run.killed}, lent again {run.flow.again}")
    assert run.killed
    assert len(run.flow.accepted) == MESSAGES
    assert run.flow.handled.keys() == run.flow.accepted
    assert set(run.flow.handled.values()) == {1}
