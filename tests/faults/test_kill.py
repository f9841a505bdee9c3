"""SIGKILL for any process of the broker, at random, while mail flows between real clients."""

import asyncio
import os
import random
import signal

import pytest
from demo import Flow, load_profile, write_profiles
from sandbox import Sandbox

from valija import Client
from valija.registry.sample import sample_exchange

MESSAGES = 200
SENDERS = 8


@pytest.mark.faults
async def test_nothing_accepted_is_lost_or_handed_over_twice_whatever_is_killed(tmp_path):
    seed = random.randrange(2**32)
    dice = random.Random(seed)
    sandbox = Sandbox(tmp_path / "x", sample_exchange(suspended=()), more="[quotas]\nlease_ms = 2000\n")
    write_profiles(sandbox)
    sandbox.start()
    flow, killed = Flow(), []
    try:
        async with (
            Client(load_profile(sandbox, "mx.enlace")) as mexico,
            Client(load_profile(sandbox, "ca.liaison")) as canada,
            Client(load_profile(sandbox, "co.enlace")) as colombia,
        ):
            readers = [asyncio.create_task(flow.read(reader)) for reader in (canada, colombia)]
            numbers = iter(range(MESSAGES))
            senders = [asyncio.create_task(flow.send(mexico, numbers)) for _ in range(SENDERS)]

            async def hurt() -> None:
                while True:
                    await asyncio.sleep(dice.uniform(0.2, 1.2))
                    kind = dice.choice(("worker", "worker", "upkeep", "valkey", "supervisor"))
                    if kind == "supervisor":
                        await asyncio.to_thread(sandbox.kill)
                        await asyncio.to_thread(sandbox.start)
                    else:
                        for pid in sandbox.processes()[kind][:1]:
                            os.kill(pid, signal.SIGKILL)
                    killed.append(kind)

            hurting = asyncio.create_task(hurt())
            await asyncio.wait_for(asyncio.gather(*senders), 60)
            hurting.cancel()
            await asyncio.gather(hurting, return_exceptions=True)
            if sandbox.get("/livez")[0] != 200:
                await asyncio.to_thread(sandbox.start)
            async with asyncio.timeout(30):
                await flow.until(lambda: not flow.accepted - flow.handled.keys())
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)
    finally:
        sandbox.stop()
    print(f"seed {seed}: {len(flow.accepted)} accepted, killed {killed}, lent again {flow.again}")
    assert killed
    assert len(flow.accepted) == MESSAGES
    assert flow.handled.keys() == flow.accepted
    assert set(flow.handled.values()) == {1}
