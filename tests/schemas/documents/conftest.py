"""Documents made from the examples by changing single fields."""

import copy
import re
from pathlib import Path

import msgspec
import pytest

EXAMPLES = Path(__file__).parents[3] / "schemas" / "examples"
STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")


@pytest.fixture(scope="session")
def examples():
    """Every example as a JSON reader returns it, by type."""
    return {
        f"{path.stem.rpartition('-')[0]}/{path.stem.rpartition('-')[2]}": msgspec.json.decode(path.read_bytes())
        for path in sorted(EXAMPLES.glob("*.json"))
    }


@pytest.fixture
def edited(examples):
    """The example of a type with some fields set; a field set to `...` is removed."""

    def edit(type_, changes):
        document = copy.deepcopy(examples[type_])
        for path, value in changes.items():
            *way, last = [int(index) if index else name for name, index in STEP.findall(path)]
            there = document
            for step in way:
                there = there[step]
            if value is ...:
                del there[last]
            else:
                there[last] = copy.deepcopy(value)
        return document

    return edit
