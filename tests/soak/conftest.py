"""What every long test shares: how long it runs, and a place for its figures.

A file here is a pytest file that `make test` never runs. Each test goes on for `soak_seconds`, prints what it did with
`figure`, and asserts promises, never speeds. `VALIJA_SOAK_SECONDS` is a trial's length or an hour.
"""

import os
from collections.abc import Callable
from typing import Final

import pytest

soak_seconds_default: Final = 3_600.0


@pytest.fixture(scope="session")
def soak_seconds() -> float:
    """How long a test goes on."""
    return float(os.environ.get("VALIJA_SOAK_SECONDS", soak_seconds_default))


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str, object], None]:
    """Call it with a name and a value, to print a line that `make soak` shows."""

    def say(name: str, value: object) -> None:
        print(f"\n  {request.node.name}: {name}: {value}", end="", flush=True)

    return say
