"""Run the long tests: `make soak`, `make soak SECONDS=60`, `make soak ONLY=kill`.

It says what it ran on and how long, and leaves nothing behind.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from bench import machine

HERE: Final = Path(__file__).parent
slack_s: Final = 900  #: To start, to drain and to verify, beyond the length that was asked for.


def main() -> int:
    """Run them, and return what pytest returned; nothing to run is a failure."""
    parser = argparse.ArgumentParser(prog="make soak")
    parser.add_argument("--seconds", type=float, default=3_600.0, help="how long each test goes on")
    parser.add_argument("--only", default="", help="names of tests, as pytest's -k takes them")
    options = parser.parse_args()
    for name, value in machine.describe().items():
        print(f"{name}: {value}")
    print(f"each test: {options.seconds:.0f} s; load before: {machine.load()}\n", flush=True)
    command = [
        sys.executable, "-m", "pytest", "-v", "-s", "-o", "norecursedirs=.*", "-p", "no:cacheprovider",
        f"--timeout={options.seconds + slack_s}", str(HERE), *(["-k", options.only] if options.only else []),
    ]  # fmt: skip
    began = time.monotonic()
    status = subprocess.run(
        command, env=os.environ | {"VALIJA_SOAK_SECONDS": str(options.seconds)}, check=False
    ).returncode
    print(f"\n{time.monotonic() - began:.0f} s in all; load after: {machine.load()}; status {status}")
    return status


if __name__ == "__main__":
    sys.exit(main())
