"""A sample exchange of the 35 States of the Americas: five areas each, and the OAS itself as an organisation.

For tests, training and a person who wants to see a directory of that size. The offices are samples and name no person
or authority; the keys are drawn anew each time.

Before this room: tests, `cli`. After it: `sample`.
"""

from collections.abc import Collection
from typing import Final

from valija.registry import core
from valija.registry.sample import Point, SampleExchange, sample_exchange
from valija_schemas.documents.labels import STATES

ORGANISATION: Final = "OAS"


def points(states: Collection[str] = STATES.keys()) -> tuple[Point, ...]:
    """A contact point for each area of each of `states` and of the OAS: `pe.judicial`, `oas.political`."""
    owners = [*((state.lower(), state) for state in sorted(states)), (ORGANISATION.lower(), ORGANISATION)]
    return tuple((f"{name}.{area}", owner, area) for name, owner in owners for area in core.areas)


def sample_americas(
    states: Collection[str] = STATES.keys(), *, origin: str = "americas.example", now_ms: int | None = None
) -> SampleExchange:
    """The exchange, its directory at version 1: routes for every type."""
    return sample_exchange(origin, points(states), (), now_ms)
