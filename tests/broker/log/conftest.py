"""A log of its own for every test."""

from pathlib import Path

import pytest
from log_folder import Log


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path)
