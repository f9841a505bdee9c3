"""An exchange for each module, and a broker in memory for each test."""

import pytest

from valija.registry.sample import SampleExchange, sample_exchange
from valija.testing import MemoryBroker


@pytest.fixture(scope="module")
def exchange() -> SampleExchange:
    return sample_exchange()


@pytest.fixture
def broker(exchange: SampleExchange) -> MemoryBroker:
    return MemoryBroker(exchange)
