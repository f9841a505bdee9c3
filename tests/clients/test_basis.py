"""The legal basis: doubts are told with State, treaty and source; a known no is asked about; a life never waits."""

import json
import logging
from pathlib import Path
from typing import Any

import msgspec
import pytest
from commands import EXAMPLES, World

import examples
from valija import sync
from valija.cli.common import REFUSED, USAGE
from valija.errors import LegalBasisError
from valija.registry.sample import SampleExchange, sample_exchange
from valija.testing import MemoryBroker, config_for
from valija_schemas.agreements import Treaty

MLA = "mutual-legal-assistance-request/1"
ME, PERU, NICARAGUA, OAS = "mx.judicial", "pe.judicial", "ni.judicial", "oas.judicial"
SOURCE = "A sample list, read nowhere"


def cell(state: str, instrument: str, party: bool = True) -> Treaty:
    return Treaty(state=state, instrument=instrument, party=party, since=None, source=SOURCE, read="2026-11-02")


TREATIES = [
    cell("MX", "iacac"), cell("MX", "nassau-mla"), cell("MX", "uncac"), cell("MX", "untoc"),
    cell("NI", "iacac", party=False), cell("NI", "uncac"), cell("NI", "untoc"),
    cell("PE", "nassau-mla"), cell("PE", "untoc"),
]  # fmt: skip


@pytest.fixture(scope="module")
def exchange() -> SampleExchange:
    points = [(ME, "MX", "judicial"), (PERU, "PE", "judicial"), (NICARAGUA, "NI", "judicial"), (OAS, "OAS", "judicial")]
    return sample_exchange(points=[*points, ("mx.second", "MX", "judicial")], suspended=(), treaties=TREATIES)


def example(name: str, *instruments: str, **changes: Any) -> dict[str, Any]:
    """The example of a type, citing these treaties."""
    document = json.loads((EXAMPLES / f"{name}-1.json").read_text())
    basis = [{"instrument": each, "article": None if each == "reciprocity" else "7(2)"} for each in instruments]
    return {**document, "legal_basis": basis, **changes}


def request(*instruments: str, **changes: Any) -> dict[str, Any]:
    return example("mutual-legal-assistance-request", *instruments, **changes)


def kidnapping(document: dict[str, Any]) -> dict[str, Any]:
    offence = {"code": "kidnapping", "citation": "Código Penal de ejemplo, art. 1"}
    return {**document, "case": {**document["case"], "offences": [offence]}}


async def test_a_state_that_is_known_not_to_be_a_party_is_asked_about_before_anything_is_sealed(exchange, tmp_path):
    broker = MemoryBroker(exchange)
    async with broker.client(ME, tmp_path) as client:
        with pytest.raises(LegalBasisError) as caught:
            await client.send(request("iacac"), NICARAGUA, type=MLA)
        assert str(caught.value).splitlines() == [
            f"Nicaragua (NI) is not a party to iacac: {SOURCE}, read 2026-11-02.",
            "Treaties that you and Nicaragua (NI) have both joined: untoc, uncac.",
        ]
        assert "legal_basis_confirmed=True" in caught.value.hint
        assert list(client._open.outbox.pending()) == []
        sent = await client.send(request("iacac"), NICARAGUA, type=MLA, key="a", legal_basis_confirmed=True)
        assert sent.state == "accepted"
        # Confirming is no part of what a key names: a program that runs again sends nothing twice.
        assert (await client.send(request("iacac"), NICARAGUA, type=MLA, key="a")).digest == sent.digest


async def test_a_reply_that_asks_for_something_itself_stands_on_a_basis_too(exchange, tmp_path):
    broker = MemoryBroker(exchange)
    async with broker.client(ME, tmp_path) as client, broker.client(NICARAGUA, tmp_path) as other:
        await client.send(request("untoc"), NICARAGUA, type=MLA)
        async for message in other.inbox():
            async with message:
                pass
            with pytest.raises(LegalBasisError):
                await other.reply(message, request("iacac"), type=MLA)
            sent = await other.reply(message, request("iacac"), type=MLA, legal_basis_confirmed=True)
    assert sent.state == "accepted"


async def test_what_the_directory_does_not_say_is_told_and_refuses_nothing(exchange, tmp_path, caplog):
    broker = MemoryBroker(exchange)
    async with broker.client(ME, tmp_path) as client:
        with caplog.at_level(logging.WARNING, "valija.sending"):
            sent = await client.send(request("uncac"), PERU, type=MLA)
    assert sent.state == "accepted"
    assert "The directory does not say whether Peru (PE) is a party to uncac." in caplog.messages
    assert "Treaties that you and Peru (PE) have both joined: untoc, nassau-mla." in caplog.messages


async def test_a_treaty_that_both_states_joined_raises_no_doubt(exchange, tmp_path, caplog):
    broker = MemoryBroker(exchange)
    async with broker.client(ME, tmp_path) as client:
        order = client.order(request("untoc", "reciprocity"), [PERU, NICARAGUA], type=MLA)
        with caplog.at_level(logging.WARNING, "valija.sending"):
            await client.send(request("untoc", "reciprocity"), [PERU, NICARAGUA], type=MLA)
        advice = await client.advise(order)
    assert (advice.doubts, advice.shared, caplog.messages) == ((), (), [])


async def test_each_state_and_each_treaty_is_looked_at_and_our_own_too(exchange, tmp_path):
    async with MemoryBroker(exchange).client(PERU, tmp_path) as client:
        order = client.order(request("iacac", "untoc", "nassau-mla"), [ME, NICARAGUA], type=MLA)
        advice = await client.advise(order)
    found = [(doubt.instrument, doubt.state, doubt.denied) for doubt in advice.doubts]
    assert found == [("iacac", "PE", False), ("iacac", "NI", True), ("nassau-mla", "NI", False)]
    assert dict(advice.shared) == {"MX": ("untoc", "nassau-mla"), "NI": ("untoc",)}
    assert advice.asks


@pytest.mark.parametrize("to", [OAS, "mx.second"])
async def test_an_organisation_and_an_office_of_the_same_state_need_no_treaty(exchange, tmp_path, to):
    async with MemoryBroker(exchange).client(ME, tmp_path) as client:
        advice = await client.advise(client.order(request("cifta"), to, type=MLA))
    assert advice.doubts == ()


async def test_a_directory_without_treaties_says_nothing(tmp_path):
    points = [(ME, "MX", "judicial"), (PERU, "PE", "judicial")]
    exchange = sample_exchange(points=points, suspended=())
    async with MemoryBroker(exchange).client(ME, tmp_path) as client:
        advice = await client.advise(client.order(request("cifta"), PERU, type=MLA))
    assert list(advice.lines()) == []


@pytest.mark.parametrize(
    ("type_", "document", "priority"),
    [
        (MLA, kidnapping(request("iacac")), "routine"),
        (MLA, request("iacac", risk_to_life="A witness was threatened."), "routine"),
        (MLA, request("iacac"), "flash"),
        ("person-alert/1", example("person-alert", "iacac"), "urgent"),
    ],
    ids=["kidnapping", "risk-to-life", "flash", "person-alert"],
)
async def test_a_life_is_never_held_up_by_its_legal_basis(exchange, tmp_path, caplog, type_, document, priority):
    broker = MemoryBroker(exchange)
    async with broker.client(ME, tmp_path) as client:
        with caplog.at_level(logging.WARNING, "valija.sending"):
            sent = await client.send(document, NICARAGUA, type=type_, priority=priority)
    assert sent.state == "accepted"
    assert f"Nicaragua (NI) is not a party to iacac: {SOURCE}, read 2026-11-02." in caplog.messages


@pytest.fixture
def world(exchange: SampleExchange, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(exchange, tmp_path, monkeypatch, (ME,))


def send(world: World, document: dict[str, Any], *args: str, **how: Any) -> Any:
    file = world.folder / "request.json"
    file.write_bytes(msgspec.json.encode(document))
    return world.run("send", str(file), "--type", MLA, "--to", NICARAGUA, *args, **how)


def test_a_script_is_told_and_refused_until_somebody_confirmed(world):
    result = send(world, request("iacac"))
    assert result.exit_code == REFUSED, result.output
    assert "Nicaragua (NI) is not a party to iacac" in result.stderr
    assert "--legal-basis-confirmed" in result.stderr
    assert world.broker.accepted == {}
    assert send(world, request("iacac"), "--legal-basis-confirmed").exit_code == 0


def test_a_person_is_asked_once_and_what_they_say_counts(world, monkeypatch):
    monkeypatch.setattr("valija.cli.asking.terminal", lambda: True)
    result = send(world, request("iacac"), input="n\n")
    assert (result.exit_code, world.broker.accepted) == (USAGE, {})
    result = send(world, request("cifta"), input="y\n")
    assert result.exit_code == 0, result.output
    assert result.stderr.count("does not say whether Nicaragua (NI) is a party to cifta") == 1
    assert "Treaties that you and Nicaragua (NI) have both joined: untoc, uncac." in result.stderr


def test_a_person_is_not_asked_about_a_kidnapping(world, monkeypatch):
    monkeypatch.setattr("valija.cli.asking.terminal", lambda: True)
    result = send(world, kidnapping(request("iacac")), input="")
    assert result.exit_code == 0, result.output
    assert "Nicaragua (NI) is not a party to iacac" in result.stderr
    assert "Send it on this" not in result.stderr


def test_a_dry_run_shows_the_advice_and_asks_nothing(world):
    result = send(world, request("iacac"), "--dry-run")
    assert result.exit_code == 0, result.output
    assert "Treaties that you and Nicaragua (NI) have both joined: untoc, uncac." in result.stdout
    (facts,) = json.loads(send(world, request("iacac"), "--dry-run", "--output", "json").stdout)
    assert len(facts["legal_basis_advice"]) == 2


def test_the_readme_s_program_prints_the_advice(exchange, tmp_path, capsys):
    line = MemoryBroker(exchange).line(ME)
    with sync.Client(config_for(exchange, ME, tmp_path), keys=exchange.keyrings[ME], line=line) as valija:
        examples.the_readme_looks_up_the_legal_basis(valija, request("uncac"))
    assert "Treaties that you and Peru (PE) have both joined: untoc, nassau-mla." in capsys.readouterr().out
