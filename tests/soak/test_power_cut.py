"""The power fails at every step of many batches, and the disk keeps what it likes."""

from log_folder import Log
from power_cut import cut_everywhere

SIZES = [*range(250, 262, 2), 300, 511, 513, 600, 769, 1024, 1030]
POINTS = 500


async def test_five_hundred_power_cuts_lose_and_repeat_nothing(tmp_path, monkeypatch, figure):
    points = await cut_everywhere(Log(tmp_path), tmp_path, monkeypatch, SIZES)
    figure("power cuts", points)
    assert points >= POINTS
