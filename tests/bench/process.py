"""Starting, and how much memory the processes take."""

import time

from bench import field
from bench.accepts import submit
from bench.figures import Aim, Run, benchmark


@benchmark("process.start")
async def start(run: Run) -> None:
    """From the command to ready: supervisor, embedded Valkey, upkeep, two workers; first on an empty data folder.

    Readiness is asked for every 50 ms. Memory is what is resident, at the start and after 10,000 accepted messages (in
    the long form 30,000).
    """
    empty, again, at_start, after = [], [], [], []
    for repetition in range(3):
        found = field.sandbox(run.folder / f"x{repetition}")
        try:
            for times in (empty, again):
                began = time.perf_counter()
                found.start()
                times.append(time.perf_counter() - began)
                if times is empty:
                    found.stop()
            at_start += [field.memory_bytes(pid) / 2**20 for pid in found.processes()["worker"]]
            if repetition == 2:
                for _ in range(3 if run.long else 1):
                    await submit(run, found, field.messages(found, 10_000), seconds=60.0)
                pids = found.processes()
                after = [field.memory_bytes(pid) / 2**20 for pid in pids["worker"]]
                upkeep = [field.memory_bytes(pid) / 2**20 for pid in pids["upkeep"]]
        finally:
            found.stop()
    run.add("ready, empty folder", "s", empty, Aim("<=", 1))
    run.add("ready, second start", "s", again, Aim("<=", 1))
    run.add("memory of a worker at the start", "MiB", at_start)
    run.add("memory of a worker after load", "MiB", after, Aim("<=", 120))
    run.add("memory of upkeep after load", "MiB", upkeep)
