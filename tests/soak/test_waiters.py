"""Two thousand recipients that wait: no connection to the store of their own, and little work for the broker."""

import asyncio
import os
import time
from pathlib import Path

from harness import Peer, read_answer
from sandbox import Sandbox

from valija.registry.sample import sample_exchange
from valija_broker import config, process
from valija_broker.store import Endpoint, Store
from valija_schemas import api

WAITERS = 2_000
look_s = 20.0
connections_more_max = 2 * 64  #: To the store: the pools of two workers, however many wait.
tick = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / tick


async def idle(sandbox: Sandbox) -> dict[str, str]:
    """CPU of each process while nothing happens, in percent of a core."""
    pids = {f"{kind} {pid}": pid for kind, found in sandbox.processes().items() for pid in found}
    before, began = {name: cpu_s(pid) for name, pid in pids.items()}, time.monotonic()
    await asyncio.sleep(look_s)
    took = time.monotonic() - began
    return {name: f"{(cpu_s(pid) - before[name]) / took:.1%}" for name, pid in pids.items()}


def endpoint(sandbox: Sandbox) -> Endpoint:
    """The embedded server, as the broker's own processes reach it."""
    folder = sandbox.data / "valkey"
    settings = config.load(sandbox.config_path, {
        "VALIJA_BROKER_STORE__URL": f"unix://{folder / 'valkey.sock'}",
        "VALIJA_BROKER_STORE__PASSWORD_FILE": str(folder / "valija.password"),
    })  # fmt: skip
    return process.endpoint(settings)


async def clients(store: Store) -> int:
    lines = (await store.run("INFO", "clients")).decode().splitlines()
    return int(next(line.split(":")[1] for line in lines if line.startswith("connected_clients:")))


async def test_two_thousand_waiters_have_no_connection_to_the_store(tmp_path: Path, soak_seconds, figure):
    points = [(f"p{n:04}", "MX", "law-enforcement") for n in range(WAITERS + 1)]
    sandbox = Sandbox(tmp_path / "x", sample_exchange(points=points, suspended=()))
    sandbox.start()
    try:
        async with Store(endpoint(sandbox)) as store, Peer(sandbox, f"p{WAITERS:04}") as sender:
            await sender.accepted(sender.message(sender))
            before, quiet = await clients(store), await idle(sandbox)
            figure("CPU with nobody waiting", quiet)
            wanted = api.encode(api.LeaseRequest(instance="one", have=(), limit=1, wait_ms=60_000))

            async def wait(n: int, until: float) -> None:
                peer = Peer(sandbox, f"p{n:04}")
                reader, writer = await peer.socket()
                while time.monotonic() < until:
                    fields = peer.signed("POST", "/v1/leases", wanted)
                    writer.write(peer.raw("POST", "/v1/leases", fields, wanted))
                    assert (await read_answer(reader)).status == 200
                writer.close()

            ends = time.monotonic() + max(soak_seconds, look_s) + 30
            waiting = [asyncio.create_task(wait(n, ends)) for n in range(WAITERS)]
            await asyncio.sleep(15)
            figure("CPU with all waiting", await idle(sandbox))
            during = await clients(store)
            figure("connections to the store, before and with all waiting", [before, during])
            assert not any(task.done() for task in waiting)
            assert during - before <= connections_more_max
            await asyncio.gather(*waiting)
    finally:
        sandbox.stop()
