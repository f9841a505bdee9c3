"""Every document type travels: written by answering, sealed, accepted by its route, opened, and shown."""

import json
from pathlib import Path

import pytest
from answering import ENGLISH, Person, example

from valija.errors import RecipientError
from valija.paper import file, letter, text, toml
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


@pytest.mark.parametrize("type_", sorted(documents.types()))
async def test_each_type_is_written_by_answering_travels_and_is_shown(type_, broker, tmp_path):
    known = documents.types()[type_]
    writer = Person(type_, example(type_), tmp_path)
    assert writer.run()
    data = toml.write({"document": type_} | writer.values).encode()
    written = file.read("case.toml", data, tmp_path)
    document, _ = file.validate(written.type_for(None), written.document, written.folder, ENGLISH)
    sender, recipient = f"mx.{known.areas[0]}", f"co.{known.areas[-1]}"
    async with broker.client(sender, tmp_path) as client:
        sent = await client.send(document, recipient)
        await client.wait(sent, "accepted", timeout=20)
    async with broker.client(recipient, tmp_path) as client:
        async for message in client.inbox(type_):
            async with message:
                assert message.document == documents.from_builtins(type_, example(type_))
                content = letter.Content(type_=type_, document=message.document)
                break
    shown = " ".join(text.render(letter.outline(content, None, "no-message", "", ENGLISH, now_ms=0), 400))
    for said in (document.authority.name, document.handling.purpose):
        assert said in shown


@pytest.mark.parametrize("type_", sorted(documents.types()))
async def test_no_type_leaves_its_areas(type_, broker, tmp_path):
    known = documents.types()[type_]
    written = json.loads((EXAMPLES / f"{known.name}-{known.version}.json").read_text())
    for area in set(areas) - set(known.areas):
        async with broker.client(f"mx.{area}", tmp_path) as client:
            with pytest.raises(RecipientError):
                await client.send(written, f"co.{known.areas[0]}", type=type_)
