"""Answers that are lost on their way, and askers that leave. The long forms are in tests/soak/test_cut.py."""

import random

from cutting import leave_at_random, lose_answers


async def test_whatever_answer_is_lost_nothing_is_stored_twice_and_an_acceptance_is_the_same_bytes(fresh):
    seen = await lose_answers(fresh(), fresh(), 16, random.Random(3))
    assert seen["connections cut"] > 8


async def test_no_answer_goes_to_another_when_askers_leave_at_any_moment(fresh):
    seen = await leave_at_random([fresh() for _ in range(5)], 6, random.Random(4))
    assert seen["answered"] > 20
    assert seen["left"] > 20
