"""Every document type travels: written from a file, sealed, accepted by its route, opened, and read as the same."""

import json
from pathlib import Path

import pytest

from valija.errors import RecipientError
from valija.registry.core import areas
from valija.registry.sample import sample_exchange
from valija.testing import MemoryBroker
from valija_schemas import documents

EXAMPLES = Path(__file__).parents[2] / "schemas/examples"
POINTS = [(f"{state.lower()}.{area}", state, area) for area in areas for state in ("MX", "CO")]


@pytest.fixture(scope="module")
def broker():
    """A broker in memory with two States, each with a contact point in every area."""
    return MemoryBroker(sample_exchange(points=POINTS, suspended=()))


def without_empty(value):
    """What a person would write: no field that is null or an empty list."""
    if isinstance(value, dict):
        return {name: without_empty(inner) for name, inner in value.items() if inner not in (None, [])}
    return [without_empty(inner) for inner in value] if isinstance(value, list) else value


@pytest.mark.parametrize("type_", sorted(documents.types()))
async def test_each_type_arrives_as_it_was_written(type_, broker, tmp_path):
    known = documents.types()[type_]
    written = json.loads((EXAMPLES / f"{known.name}-{known.version}.json").read_text())
    sender, recipient = f"mx.{known.areas[0]}", f"co.{known.areas[-1]}"
    async with broker.client(sender, tmp_path) as client:
        sent = await client.send(without_empty(written), recipient, type=type_)
        await client.wait(sent, "accepted", timeout=20)
    async with broker.client(recipient, tmp_path) as client:
        async for message in client.inbox(type_):
            async with message:
                assert message.document == documents.from_builtins(type_, written)
                break


@pytest.mark.parametrize("type_", sorted(documents.types()))
async def test_no_type_leaves_its_areas(type_, broker, tmp_path):
    known = documents.types()[type_]
    written = json.loads((EXAMPLES / f"{known.name}-{known.version}.json").read_text())
    for area in set(areas) - set(known.areas):
        async with broker.client(f"mx.{area}", tmp_path) as client:
            with pytest.raises(RecipientError):
                await client.send(written, f"co.{known.areas[0]}", type=type_)
