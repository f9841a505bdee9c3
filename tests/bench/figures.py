"""What was measured: a name, a unit, every repetition, and the aim where there is one.

A figure with one repetition has no spread and says so. Things that are compared are measured in turn within one run,
since the machine of this minute is not that of the last.
"""

import math
import statistics
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec

BEGIN: Final = "<!-- figures: written by `make bench WRITE=1` -->"
END: Final = "<!-- end of the figures -->"

Verdict: TypeAlias = Literal["", "kept", "missed"]


class Aim(msgspec.Struct, frozen=True):
    """What the median should be: at least, or at most, `bound`."""

    sign: Literal[">=", "<="]
    bound: float

    def verdict(self, value: float) -> Verdict:
        return "kept" if (value >= self.bound if self.sign == ">=" else value <= self.bound) else "missed"


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One figure."""

    benchmark: str
    name: str
    unit: str
    values: tuple[float, ...]  #: One a repetition.
    aim: Aim | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def verdict(self) -> Verdict:
        return self.aim.verdict(self.median) if self.aim else ""


class Run(msgspec.Struct, kw_only=True):
    """One benchmark while it runs: how long it may take, where it may write, and what it found."""

    name: str
    folder: Path  #: Its own, empty.
    long: bool = False
    figures: list[Figure] = msgspec.field(default_factory=list)
    notes: list[str] = msgspec.field(default_factory=list)

    def add(self, name: str, unit: str, values: float | Sequence[float], aim: Aim | None = None) -> None:
        """Note a figure, with a value for each repetition."""
        every = tuple(values) if isinstance(values, Sequence) else (values,)
        self.figures.append(Figure(benchmark=self.name, name=name, unit=unit, values=every, aim=aim))

    def say(self, text: str) -> None:
        """Note a condition that belongs to the figures."""
        self.notes.append(text)


Benchmark: TypeAlias = Callable[[Run], Awaitable[None]]
BENCHMARKS: Final[dict[str, Benchmark]] = {}


def benchmark(name: str) -> Callable[[Benchmark], Benchmark]:
    """Register a benchmark. Its docstring says what is measured and how."""

    def register(function: Benchmark) -> Benchmark:
        if name in BENCHMARKS:
            raise ValueError(f"two benchmarks are called {name}")
        BENCHMARKS[name] = function
        return function

    return register


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """A benchmark that ran."""

    name: str
    how: str
    seconds: float
    others: float  #: Cores that other programs took meanwhile.
    figures: tuple[Figure, ...]
    notes: tuple[str, ...]


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of one run of `make bench`."""

    command: str
    machine: dict[str, str]
    load_before: str
    load_after: str
    seconds: float
    done: tuple[Done, ...]


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of `values` do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]


def number(value: float) -> str:
    """Three significant digits, or all of a whole number below a million."""
    if value == int(value) and abs(value) < 1_000_000:
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def lines(done: Done) -> list[list[str]]:
    """The rows of one benchmark's table."""
    rows = []
    for f in done.figures:
        spread = f"{number(min(f.values))} to {number(max(f.values))}" if len(f.values) > 1 else "-"
        aim = f"{f.aim.sign} {number(f.aim.bound)}: {f.verdict}" if f.aim else ""
        rows.append([f.name, number(f.median), f.unit, spread, str(len(f.values)), aim])
    return rows


def footing(done: Done) -> str:
    """How long it ran, and how much of the machine others took."""
    return f"{done.seconds:.0f} s; other programs took {done.others:.1f} cores meanwhile."


HEAD: Final = ["figure", "median", "unit", "from to", "runs", "aim"]


def table(done: Done) -> str:
    """For a terminal."""
    rows = [HEAD, *lines(done)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    return "\n".join(
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def markdown(results: Results) -> str:
    """For the page."""
    parts = [f"`{results.command}`, {results.seconds / 60:.0f} minutes.", ""]
    parts += [f"- {name}: {value}" for name, value in results.machine.items()]
    parts += [f"- load before and after: {results.load_before}; {results.load_after}", ""]
    for done in results.done:
        parts += [f"### {done.name}", "", f"{done.how} {footing(done)}", ""]
        parts += ["| " + " | ".join(HEAD) + " |", "| --- | ---: | --- | ---: | ---: | --- |"]
        parts += ["| " + " | ".join(row) + " |" for row in lines(done)]
        parts += ["", *(f"{note}\n" for note in done.notes)]
    return "\n".join(parts).rstrip() + "\n"


def replaced(page: str, figures: str) -> str:
    """`page` with `figures` between its marks; what a person wrote around them stays.

    Raises:
        ValueError: the page has no marks.
    """
    before, found, rest = page.partition(BEGIN)
    _, closed, after = rest.partition(END)
    if not found or not closed:
        raise ValueError("the page has no marks between which figures go")
    return f"{before}{BEGIN}\n\n{figures}\n{END}{after}"
