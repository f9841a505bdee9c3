"""Random interleavings of everything that can happen to a queue, on the real functions, with kills in between; the
store is compared with a model after each step. `SEED=n` plays one run again. And each planted fault is found."""

import os
import time

import pytest
import simulation
import simulation_faults

SEEDS = 100_000
STEPS = 100
CRASHES = 0.001  #: Before a step: about one run of ten has one.
FOUND_WITHIN = 60  #: Runs, for each fault.
KEPT_BYTES_MAX = 2 << 20  #: That the server may hold more after all runs: buffers of its own, no mail.


async def test_the_simulation(tmp_path, soak_seconds, figure):
    one = os.environ.get("SEED")
    began, done = time.monotonic(), 0
    async with simulation.ground(tmp_path) as here:
        for seed in [int(one)] if one else range(SEEDS):
            await simulation.play(here, seed, steps=STEPS, crashes=CRASHES)
            done += 1
            if time.monotonic() - began > soak_seconds:
                break
        memory = here.memory
    figure("seeds", done)
    figure("steps", f"{here.steps.total()}: {dict(here.steps.most_common())}")
    figure("answers and events", dict(here.answers.most_common()))
    figure("memory of the empty store at the first and the last", (memory[0], memory[-1]))
    assert one or done < 100 or here.answers.keys() >= simulation.ANSWERS
    assert memory[-1] < memory[0] + KEPT_BYTES_MAX


@pytest.mark.parametrize("fault", simulation_faults.FAULTS)
async def test_the_simulation_finds(tmp_path, figure, fault):
    async with simulation.ground(tmp_path) as here:
        await here.load(simulation_faults.damaged(fault))
        for seed in range(FOUND_WITHIN):
            try:
                await simulation.play(here, seed, steps=STEPS)
            except AssertionError as error:
                figure("found", str(error).partition(":")[0])
                return
    pytest.fail(f"not found in {FOUND_WITHIN} runs")
