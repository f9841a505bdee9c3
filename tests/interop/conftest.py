"""Runs JavaScript beside us. A missing node, or a missing package, fails: nothing here is skipped."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

here = Path(__file__).parent
script_seconds_max = 60


def run_node(script, jobs=None):
    """What the script in this folder prints for `jobs`, both as JSON."""
    node = shutil.which("node")
    if node is None:
        pytest.fail("tests/interop needs node (20.19 or later); it is not on PATH.")
    if not (here / "node_modules").is_dir():
        pytest.fail("The packages of tests/interop are not installed; `make interop` installs them.")
    ran = subprocess.run(
        [node, here / script],
        input=json.dumps(jobs).encode(),
        capture_output=True,
        check=False,
        timeout=script_seconds_max,
    )
    if ran.returncode:
        pytest.fail(f"{script} failed:\n{ran.stderr.decode(errors='replace')}")
    return json.loads(ran.stdout)


@pytest.fixture(scope="session")
def node():
    return run_node
