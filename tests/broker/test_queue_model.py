"""The functions against a model in Python: random interleavings of everything that can happen to a queue.

`simulation.py` says what is played and compared; the long form is `make soak ONLY=simulation`.
"""

import pytest
import simulation
import simulation_faults

SEEDS = 40
STEPS = 80


async def test_every_interleaving_does_what_the_model_says(tmp_path):
    async with simulation.ground(tmp_path) as here:
        for seed in range(SEEDS):
            await simulation.play(here, seed, steps=STEPS)
    assert here.answers.keys() >= simulation.ANSWERS, simulation.ANSWERS - here.answers.keys()


async def test_a_planted_fault_is_found(tmp_path):
    async with simulation.ground(tmp_path) as here:
        for fault in ("a pair's quota is not given back", "a lease does not end"):
            await here.load(simulation_faults.damaged(fault))
            with pytest.raises(AssertionError, match="SEED="):
                for seed in range(SEEDS):
                    await simulation.play(here, seed, steps=STEPS)
