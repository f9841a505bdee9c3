"""Two releases in one exchange: the newer one knows a second version of a document type. SPEC.md section 8.1."""

import contextlib
import json
from pathlib import Path

import pytest

from valija.errors import DeliveryFailedError, RecipientError
from valija.registry.sample import sample_exchange
from valija.reopen import Shelf
from valija.testing import MemoryBroker, config_for
from valija_schemas import documents
from valija_schemas.documents.base import registry
from valija_schemas.documents.forms.status_update import StatusUpdate

ONE, TWO = "status-update/1", "status-update/2"
EXAMPLE = json.loads((Path(__file__).parents[2] / "schemas/examples/status-update-1.json").read_text())
MX, CO = "mx.enlace", "co.enlace"


class StatusUpdate2(StatusUpdate, frozen=True, kw_only=True):
    """The state of a request, and how far it has come."""

    done_percent: int | None = None  #: What version 1 has no field for.


@contextlib.contextmanager
def newer_release():
    """What runs inside knows version 2; before and after it is software that does not."""

    def read_anew():
        documents._types.cache_clear()
        documents._decoder.cache_clear()

    known = documents.types()[ONE]
    documents.document("status-update", 2, areas=known.areas, source=known.source)(StatusUpdate2)
    read_anew()
    try:
        yield
    finally:
        del registry[TWO]
        read_anew()


@pytest.fixture(scope="module")
def both_routes():
    """An exchange whose officers opened a route for version 2 and kept that of version 1."""
    with newer_release():
        return sample_exchange()


@pytest.fixture
def broker(both_routes):
    return MemoryBroker(both_routes)


async def received(broker, folder, id_=CO):
    async with broker.client(id_, folder) as client:
        found = []
        async for message in client.inbox():
            async with message:
                found.append(message.document)
        return found


async def send(broker, folder, document, type_):
    async with broker.client(MX, folder) as client:
        sent = await client.send(document, CO, type=type_)
        return await client.wait(sent, "accepted", timeout=20)


async def test_a_version_that_a_recipient_does_not_know_is_refused_with_evidence_and_opens_after_an_update(
    broker, tmp_path
):
    with newer_release():
        sent = await send(broker, tmp_path, EXAMPLE | {"done_percent": 40}, TWO)
    assert await received(broker, tmp_path) == []
    assert [(receipt.event, receipt.reason) for receipt in broker.receipts] == [
        ("ConsignmentRejection", "unknown-type")
    ]
    # The sender hears of it, with proof, and sends what the other side reads.
    async with broker.client(MX, tmp_path) as client:
        with pytest.raises(DeliveryFailedError):
            await client.wait(sent, timeout=20)
    await send(broker, tmp_path, EXAMPLE, ONE)
    assert [document.state for document in await received(broker, tmp_path)] == [EXAMPLE["state"]]
    # What was refused is kept as it came, with its receipt, and the updated software reads it.
    with (
        newer_release(),
        Shelf(config_for(broker.exchange, CO, tmp_path), broker.exchange.keyrings[CO]) as shelf,
    ):
        found = shelf.find(sent.digest)
        assert (found.standing, found.received.state, found.received.reason) == ("verified", "rejected", "unknown-type")
        assert found.received.receipt
        assert documents.decode(TWO, found.json).done_percent == 40
        assert await received(broker, tmp_path) == []  # the rejection is final


async def test_the_first_version_is_read_by_newer_software_as_the_first_version(broker, tmp_path):
    await send(broker, tmp_path, EXAMPLE, ONE)
    with newer_release():
        [document] = await received(broker, tmp_path)
    assert type(document) is StatusUpdate


async def test_newer_software_speaks_the_first_version_to_older_software(broker, tmp_path):
    with newer_release():
        await send(broker, tmp_path, EXAMPLE, ONE)
    [document] = await received(broker, tmp_path)
    assert documents.encode(document) == documents.encode(documents.from_builtins(ONE, EXAMPLE))


async def test_a_version_that_no_route_carries_is_refused_before_anybody_has_to_know_it(exchange, tmp_path):
    broker = MemoryBroker(exchange)
    with newer_release(), pytest.raises(RecipientError):
        await send(broker, tmp_path, EXAMPLE | {"done_percent": 40}, TWO)
    assert broker.accepted == {}


def test_no_version_is_read_by_the_rules_of_another():
    with newer_release():
        second = documents.encode(documents.from_builtins(TWO, EXAMPLE | {"done_percent": 40}))
        first = documents.encode(documents.from_builtins(ONE, EXAMPLE))
        for type_, data in ((ONE, second), (TWO, first)):
            with pytest.raises(documents.DocumentError, match="done_percent"):
                documents.decode(type_, data)
