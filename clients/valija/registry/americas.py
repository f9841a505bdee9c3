"""A sample exchange of the 35 States of the Americas: five areas each, and the OAS itself as an organisation.

For tests, training and a person who wants to see a directory of that size. The offices are samples and name no person
or authority; the keys are drawn anew each time. Which State is party to which treaty is no sample: `americas.toml`
holds what public lists say, each cell with its source and the day on which it was read.

Before this room: tests, `cli`. After it: `sample`.
"""

import sys
import textwrap
import tomllib
from collections.abc import Collection, Sequence
from importlib.resources import files
from typing import Final, get_args

import msgspec

from valija.registry import core
from valija.registry.sample import Point, SampleExchange, sample_exchange
from valija_schemas.agreements import Treaty, TreatyCode
from valija_schemas.documents.labels import STATES

ORGANISATION: Final = "OAS"
_about: Final = (
    "Made from `clients/valija/registry/americas.toml`, which the sample of the Americas carries. A cell says"
    " what a list that was read says: the day of the State's instrument (`yes` where the list gives none), or"
    " `no`, and the number of the source below. An empty cell is unknown, which is not no. A list shows what was"
    " so when it was made: before you rely on a cell, ask the depositary."
)


def points(states: Collection[str] = STATES.keys()) -> tuple[Point, ...]:
    """A contact point for each area of each of `states` and of the OAS: `pe.judicial`, `oas.political`."""
    owners = [*((state.lower(), state) for state in sorted(states)), (ORGANISATION.lower(), ORGANISATION)]
    return tuple((f"{name}.{area}", owner, area) for name, owner in owners for area in core.areas)


def sample_americas(
    states: Collection[str] = STATES.keys(), *, origin: str = "americas.example", now_ms: int | None = None
) -> SampleExchange:
    """The exchange, its directory at version 1: routes for every type, and the treaties of those States."""
    joined = [treaty for treaty in treaties() if treaty.state in states]
    return sample_exchange(origin, points(states), (), now_ms, treaties=joined)


def treaties() -> tuple[Treaty, ...]:
    """Which State is party to which treaty, as far as public lists that were read say so."""
    text = files("valija.registry").joinpath("americas.toml").read_text("utf-8")
    rows = [{"since": None, **row} for row in tomllib.loads(text)["treaty"]]
    return msgspec.convert(tuple(rows), tuple[Treaty, ...])


def page() -> str:
    """`clients/AMERICAS.md`: the table of treaties as a person reads it. `make schemas` writes it."""
    cells = {(cell.state, cell.instrument): cell for cell in treaties()}
    codes: tuple[TreatyCode, ...] = get_args(TreatyCode)
    sources = sorted({(cell.source, cell.read) for cell in cells.values()})
    rows = [
        f"| {name} ({state}) | {' | '.join(_said(cells.get((state, code)), sources) for code in codes)} |"
        for state, name in sorted(STATES.items(), key=lambda each: each[1])
    ]
    return "\n".join(
        [
            "# The States of the Americas and their treaties",
            "",
            *textwrap.wrap(_about, 118),
            "",
            f"Known are {len(cells)} of {len(STATES) * len(codes)} cells.",
            "",
            f"| | {' | '.join(codes)} |",
            f"| --- |{' --- |' * len(codes)}",
            *rows,
            "",
            "Sources, and the day on which each was read:",
            "",
            *(f"{number}. {source}; {read}" for number, (source, read) in enumerate(sources, start=1)),
            "",
        ]
    )


def _said(cell: Treaty | None, sources: Sequence[tuple[str, str]]) -> str:
    if cell is None:
        return ""
    return f"{(cell.since or 'yes') if cell.party else 'no'} [{sources.index((cell.source, cell.read)) + 1}]"


if __name__ == "__main__":
    sys.stdout.write(page())
