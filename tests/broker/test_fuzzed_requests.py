"""Requests by a grammar of faults against a running broker. The long form is tests/soak/test_fuzz.py."""

import random

from fuzzing import Attack, Grammar


async def test_no_request_upsets_the_broker_or_hangs(sandbox, fresh):
    """The fixture `sandbox` sees to it that no answer was a server error, and that nothing surprised the broker."""
    peers = [fresh() for _ in range(3)]
    attack = Attack(sandbox.port, Grammar(peers, random.Random(5)))
    await attack.send(500)
    assert attack.faults == []
    assert attack.statuses.total() > 300
    assert {200, 202, 400, 401, 404, 405, 413, 415, 422} & attack.statuses.keys() >= {200, 400, 401, 404}
    good = await peers[0].submit(peers[0].message(peers[1]))
    assert good.status == 202
