"""Measure: `make bench`, `make bench ONLY=log`, `make bench LONG=1`, `make bench WRITE=1`.

A benchmark that fails is named and the others go on; the exit status is 1 then. With WRITE the figures go into
broker/MEASURED.md between its marks, and as JSON beside it.
"""

import argparse
import asyncio
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Final

import msgspec

from bench import (
    accepts,
    cases,
    documents,
    figures,
    floors,
    lives,
    log_bytes,
    log_proofs,
    log_rows,
    looks,
    machine,
    process,
    queues,
    rows,
)

_REGISTERED: Final = (
    accepts,
    cases,
    documents,
    floors,
    lives,
    log_bytes,
    log_proofs,
    log_rows,
    looks,
    process,
    queues,
    rows,
)  # by being imported

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "broker" / "MEASURED.md"
JSON: Final = ROOT / "tests" / "bench" / "measured.json"


def measure(name: str, *, long: bool) -> figures.Done:
    """Run one benchmark in a folder of its own."""
    function = figures.BENCHMARKS[name]
    how = " ".join((function.__doc__ or "").split())
    with tempfile.TemporaryDirectory(prefix="valija-bench-") as folder:
        run = figures.Run(name=name, folder=Path(folder), long=long)
        began, others = time.monotonic(), machine.Others()
        asyncio.run(function(run))
        seconds, taken = time.monotonic() - began, others.read()
    return figures.Done(
        name=name, how=how, seconds=seconds, others=taken, figures=tuple(run.figures), notes=tuple(run.notes)
    )


def main() -> int:
    """Measure what was asked for, print it, and write it where told."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--only", default="", help="words; a benchmark runs whose name begins with one of them")
    parser.add_argument("--long", action="store_true", help="the sizes of the page: a million leaves and messages")
    parser.add_argument("--write", action="store_true", help="write broker/MEASURED.md and the JSON")
    options = parser.parse_args()
    words = options.only.split()
    chosen = [name for name in figures.BENCHMARKS if not words or name.startswith(tuple(words))]
    if not chosen:
        parser.error(f"no benchmark begins with {options.only!r}; there are {', '.join(figures.BENCHMARKS)}")
    described, before, began = machine.describe(), machine.load(), time.monotonic()
    for key, value in described.items():
        print(f"{key}: {value}")
    print(f"load before: {before}", flush=True)
    done, failed = [], []
    for name in chosen:
        print(f"\n{name}", flush=True)
        try:
            done.append(measure(name, long=options.long))
        except Exception:  # noqa: BLE001 - the others are worth measuring
            traceback.print_exc()
            failed.append(name)
            continue
        print(figures.table(done[-1]))
        for note in done[-1].notes:
            print(f"  {note}")
        print(f"  {figures.footing(done[-1])}", flush=True)
    command = " ".join(
        ["make bench", *([f'ONLY="{options.only}"'] if words else []), *(["LONG=1"] if options.long else [])]
    )
    results = figures.Results(
        command=command,
        machine=described,
        load_before=before,
        load_after=machine.load(),
        seconds=time.monotonic() - began,
        done=tuple(done),
    )
    print(f"\n{results.seconds / 60:.1f} minutes; load after: {results.load_after}")
    if failed:
        print(f"failed: {', '.join(failed)}")
    if options.write and not failed:
        JSON.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
        PAGE.write_text(figures.replaced(PAGE.read_text(), figures.markdown(results)))
        print(f"written: {PAGE.relative_to(ROOT)}, {JSON.relative_to(ROOT)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
