"""The processes of a broker when the one is killed that they are forked from, and the one that keeps them."""

import asyncio
import os
import signal
import socket
import time

import msgspec
import pytest
from harness import publish
from sandbox import Sandbox, name_of

from valija_broker import nursery
from valija_broker.nursery import Nursery, Start


async def until(true, within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def killed(sandbox: Sandbox, kind: str, status: int) -> None:
    """Kill the one process of a kind, and demand that the broker ends with `status` and that nothing of it is left."""
    pids = sandbox.processes()
    os.kill(pids[kind][0], signal.SIGKILL)
    assert await asyncio.to_thread(sandbox.wait) == status
    left = [pid for found in pids.values() for pid in found]
    assert len(left) == 5
    await until(lambda: not any(map(name_of, left)))


@pytest.mark.faults
async def test_whatever_is_killed_no_process_is_left_behind_and_the_next_start_is_whole(tmp_path):
    sandbox = Sandbox(tmp_path / "x", workers=1)
    await asyncio.to_thread(sandbox.start)
    try:
        # A worker is forked again alone, and the version that the dead one knew is not in force any more.
        before = sandbox.processes()
        os.kill(before["worker"][0], signal.SIGKILL)
        await until(lambda: sandbox.processes()["worker"] not in ([], before["worker"]))
        await until(lambda: sandbox.get("/readyz")[0] == 200)
        assert sandbox.processes() == before | {"worker": sandbox.processes()["worker"]}
        version = await publish(sandbox, lambda directory: directory)
        await until(lambda: f"valija_directory_version {version}.0" in sandbox.get("/metrics")[1])

        await killed(sandbox, "nursery", status=1)
        await asyncio.to_thread(sandbox.start)
        await killed(sandbox, "supervisor", status=-signal.SIGKILL)
    finally:
        sandbox.stop()


async def test_a_start_that_nobody_waits_for_any_more_hides_no_end_of_another_process():
    ours, its = socket.socketpair()
    ours.setblocking(False)
    with ours, its:
        async with Nursery(ours) as found:
            order = Start(program="worker", arguments=(), environment={})
            given_up = asyncio.create_task(found.start(order, ()))
            kept = asyncio.create_task(found.start(order, ()))
            asked = asyncio.create_task(found.answer())
            await asyncio.sleep(0)
            for task in (given_up, asked):
                task.cancel()
            await asyncio.wait([given_up, asked])
            reports = [nursery.Started(pid=1), nursery.Started(pid=2), nursery.Answer(), nursery.Ended(pid=2, status=3)]
            its.sendall(b"".join(msgspec.json.encode(report) + b"\n" for report in reports))
            async with asyncio.timeout(20):
                assert await (await kept).wait() == 3
