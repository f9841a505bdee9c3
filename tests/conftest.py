"""A running broker, and contact points that no other test has used."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

import declared_answers
import harness
import pytest
from harness import Peer
from hypothesis import HealthCheck, settings
from sandbox import Sandbox

from valija.registry.sample import SampleExchange, sample_exchange

harness.on_answer.append(declared_answers.AGENCIES.check)  # every answer of every test is one that is declared

# No test fails for being slow: machines are shared.
settings.register_profile("valija", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("valija")

points_max = 600  #: Of the shared exchange; each test takes its own.


def large_exchange(count: int = points_max) -> SampleExchange:
    """Many contact points, so that no two tests share a mailbox."""
    points = [(f"p{n:03}", "MX", "law-enforcement") for n in range(count)]
    others = [("judge", "CO", "judicial"), ("office", "CA", "administrative"), ("minister", "PE", "political")]
    return sample_exchange(points=[*points, *others], suspended=())


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One exchange for every test that breaks nothing in it. At the end, nothing may have surprised the broker."""
    more = "[quotas]\nsubmit_per_minute_max = 1000000\n"  # a long test sends as fast as it can
    found = Sandbox(tmp_path_factory.mktemp("exchange") / "x", large_exchange(), more=more, console=True)
    found.start()
    try:
        yield found
        surprises = [line for line in found.log() if line.get("level") in {"error", "critical"}]
        counts = [line for line in found.get("/metrics")[1].splitlines() if 'status="5' in line and "_count" in line]
    finally:
        found.stop()
    assert surprises == []
    assert counts == [], "a server error without a fault"


@pytest.fixture(scope="session")
def _unused(sandbox: Sandbox) -> Iterator[str]:
    return iter([point.id for point in sandbox.exchange.phonebook.directory.contact_points if point.id[0] == "p"])


@pytest.fixture
async def fresh(sandbox: Sandbox, _unused: Iterator[str]) -> AsyncIterator[Callable[..., Peer]]:
    """Call it for a contact point, already connected, that nobody has written to."""
    made: list[Peer] = []

    def make(id_: str = "", **how: str) -> Peer:
        made.append(Peer(sandbox, id_ or next(_unused), **how).connect())
        return made[-1]

    yield make
    await asyncio.gather(*(peer.__aexit__() for peer in made))
