"""Whom to write to: found in the verified directory, named before anything is sealed, and explained where nobody is."""

import json
from pathlib import Path

import msgspec
import pytest
from commands import EXAMPLES, World

import examples
from valija import sync, whom
from valija.cli.common import REFUSED, USAGE
from valija.errors import RecipientError, UsageError
from valija.registry.americas import points, sample_americas
from valija.registry.sample import SampleExchange, sample_exchange
from valija.testing import MemoryBroker, config_for
from valija_schemas import limits
from valija_schemas.agreements import Bilateral
from valija_schemas.directory import Directory
from valija_schemas.documents.labels import STATES

MLA, TRACE, INFO = "mutual-legal-assistance-request/1", "firearms-trace-request/1", "spontaneous-information/1"
LEGISLATION = EXAMPLES / "legislation-notice-1.json"
ME = "mx.judicial"


@pytest.fixture(scope="module")
def exchange() -> SampleExchange:
    return sample_americas(["BR", "CO", "MX", "PE", "UY"])


@pytest.fixture
def world(exchange: SampleExchange, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(exchange, tmp_path, monkeypatch, (ME,))


def suspended(exchange: SampleExchange, *ids: str) -> whom.Phonebook:
    """The directory with these suspended, as the officers would publish it."""

    def change(directory: Directory) -> Directory:
        return msgspec.structs.replace(
            directory,
            contact_points=tuple(
                msgspec.structs.replace(point, status="suspended" if point.id in ids else "active")
                for point in directory.contact_points
            ),
        )

    exchange.next_directory(change)
    return exchange.phonebook


def test_the_sample_of_the_americas_has_every_state_each_area_and_the_oas():
    found = points()
    assert len(found) == (35 + 1) * 5
    assert {owner for _, owner, _ in found} == {*STATES, "OAS"}


def test_whoever_can_receive_it_comes_first_and_our_own_area_before_others(exchange):
    found = whom.candidates(exchange.phonebook, ME, INFO, state="PE")
    assert next(each.point.id for each in found if each.able) == "pe.judicial"
    assert [each.able for each in found] == sorted((each.able for each in found), reverse=True)
    assert all(each.why for each in found)
    found = whom.candidates(exchange.phonebook, ME, MLA, state="PE")
    assert [each.point.id for each in found if each.able] == ["pe.judicial"]
    assert "pe.judicial (judicial) can receive it" in found[-1].why


@pytest.mark.parametrize("name", ["PE", "pe", "Peru", "PERU"])
def test_a_state_is_found_by_code_and_by_name(exchange, name):
    assert {each.point.state for each in whom.candidates(exchange.phonebook, ME, INFO, state=name)} == {"PE"}
    assert {each.point.organisation for each in whom.candidates(exchange.phonebook, ME, INFO, state="OAS")} == {"OAS"}


@pytest.mark.parametrize(
    ("group", "words"),
    [
        ("state:PR", "; nearest: Brazil (BR), Peru (PE)"),
        ("state:Brasil", "nearest: Brazil (BR)"),
        ("area:judical", "nearest: judicial"),
        ("organisation:AOS", "nearest: OAS"),
        ("region:south", "region:south is no group"),
        ("state:", "state: is no group"),
        ("state:PE+", " is no group"),
    ],
)
def test_a_group_that_is_not_there_names_the_nearest(exchange, group, words):
    with pytest.raises(UsageError) as caught:
        whom.expand(exchange.phonebook, ME, INFO, [group])
    assert words in str(caught.value)


def test_a_type_without_its_version_is_the_newest_that_has_routes(exchange):
    assert whom.newest_type("person-alert", exchange.phonebook) == "person-alert/1"
    with pytest.raises(UsageError, match="nearest: person-alert/1"):
        whom.newest_type("persn-alert", exchange.phonebook)


def test_a_group_is_named_ids_and_never_oneself_nor_whom_no_route_allows(exchange):
    found = whom.expand(exchange.phonebook, ME, MLA, ["state:*"])
    assert found.ids == ("br.judicial", "co.judicial", "pe.judicial", "uy.judicial")
    assert whom.expand(exchange.phonebook, ME, MLA, ["area:judicial"]).ids == tuple(
        sorted((*found.ids, "oas.judicial"))
    )
    assert whom.expand(exchange.phonebook, ME, INFO, ["state:PE+area:political", "co.judicial"]).ids == (
        "co.judicial",
        "pe.political",
    )
    assert whom.expand(exchange.phonebook, ME, INFO, ["organisation:OAS+area:judicial"]).ids == ("oas.judicial",)
    assert whom.expand(exchange.phonebook, ME, INFO, ["co.judicial"]).grouped is False


def test_a_group_leaves_out_the_suspended_and_says_so():
    book = suspended(sample_americas(["MX", "PE", "UY"]), "pe.judicial")
    found = whom.expand(book, ME, MLA, ["state:*"])
    assert found.ids == ("uy.judicial",)
    assert found.left_out[0].why == "pe.judicial is suspended"
    with pytest.raises(RecipientError, match="nobody of state:PE can be sent"):
        whom.expand(book, ME, MLA, ["state:PE"])


def test_a_group_of_nobody_but_oneself_is_refused(exchange):
    with pytest.raises(RecipientError, match=r"mx\.non-judicial is non-judicial"):
        whom.expand(exchange.phonebook, ME, MLA, ["state:MX"])
    with pytest.raises(RecipientError, match="it holds nobody but you"):
        whom.expand(exchange.phonebook, ME, MLA, ["state:MX+area:judicial"])


def test_a_group_of_more_than_a_message_may_have_is_refused_before_anything_is_sealed():
    many = [(f"xa.p{number}", "XA", "judicial") for number in range(limits.recipients_max + 2)]
    book = sample_exchange(points=[(ME, "MX", "judicial"), *many], suspended=("xa.p0",)).phonebook
    with pytest.raises(RecipientError, match="comes to 65 contact points; a message has at most 64"):
        whom.expand(book, ME, MLA, ["area:judicial"])
    book = sample_exchange(points=[(ME, "MX", "judicial"), *many], suspended=("xa.p0", "xa.p1")).phonebook
    assert len(whom.expand(book, ME, MLA, ["area:judicial"]).ids) == limits.recipients_max


def test_a_refusal_says_where_the_type_goes_and_who_can_instead(exchange):
    book = exchange.phonebook
    me, peru, police = map(book.point, ("mx.political", "pe.judicial", "mx.law-enforcement"))
    assert whom.why_not(book, me, TRACE, peru) == (
        "firearms-trace-request/1 goes from law-enforcement to law-enforcement; your area is political; in MX "
        "mx.law-enforcement (law-enforcement) can send it; in PE pe.law-enforcement (law-enforcement) can receive it"
    )
    assert whom.why_not(book, police, TRACE, peru) == (
        "firearms-trace-request/1 goes from law-enforcement to law-enforcement; pe.judicial is judicial; in PE "
        "pe.law-enforcement (law-enforcement) can receive it"
    )
    assert (
        whom.why_not(book, police, "no-such-type/1", peru) == "no route takes no-such-type/1, from anybody to anybody"
    )


async def test_a_refused_recipient_is_explained_and_nothing_is_sealed(exchange, tmp_path):
    broker = MemoryBroker(exchange)
    document = json.loads((EXAMPLES / "mutual-legal-assistance-request-1.json").read_text())
    async with broker.client(ME, tmp_path) as client:
        with pytest.raises(
            RecipientError, match=r"goes from judicial to judicial; pe\.political is political; in PE pe\.j"
        ):
            await client.send(document, "pe.political", type=MLA)
        with pytest.raises(RecipientError, match="state:PE is a group"):
            await client.send(document, "state:PE", type=MLA)
        assert (await client.expand("state:PE", MLA)).ids == ("pe.judicial",)
        assert (await client.expand(["state:PE", "co.judicial"], MLA)).grouped
        assert list(client._open.outbox.pending()) == []


def test_find_says_whom_best_first_and_why(world):
    result = world.run("directory", "find", "--state", "Peru", "--type", "mutual-legal-assistance-request")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        "ID\tSTATE\tAREA\tNAME\tWHY",
        f"pe.judicial\tPE\tjudicial\tSample contact point, PE, judicial\treceives {MLA}: your own area",
    ]
    result = world.run("directory", "find", "--state", "PE", "--type", MLA, "--output", "json")
    found = json.loads(result.stdout)
    assert [each["able"] for each in found] == [True, False, False, False, False]


def test_find_says_why_nobody_can_and_which_areas_could(world):
    result = world.run("directory", "find", "--state", "PE", "--type", MLA, "--area", "political")
    assert result.exit_code == REFUSED, result.output
    assert f"Nobody there can be sent {MLA} by {ME}." in result.stderr
    assert "goes from judicial to judicial; pe.political is political" in result.stderr
    assert "Areas there that can: judicial." in result.stderr
    result = world.run("directory", "find", "--state", "PX", "--type", MLA)
    assert (result.exit_code, "Peru (PE)" in result.stderr) == (USAGE, True)


def send(world: World, *args: str, **how: str) -> object:
    return world.run("send", str(LEGISLATION), "--type", "legislation-notice/1", *args, **how)


def test_a_group_is_shown_before_it_is_sent_to(world):
    result = send(world, "--to", "state:*+area:judicial", "--output", "json")
    assert result.exit_code == 0, result.output
    assert "state:*+area:judicial means 4 contact points:\n  br.judicial\n  co.judicial\n" in result.stderr
    (record,) = json.loads(result.stdout)
    assert record["to"] == ["br.judicial", "co.judicial", "pe.judicial", "uy.judicial"]


def test_a_large_group_is_not_sent_to_before_somebody_says_yes(world, monkeypatch):
    result = send(world, "--to", "state:*")
    assert result.exit_code == USAGE
    assert "nothing was sent" in result.stderr
    assert "then add --yes" in result.stderr
    monkeypatch.setattr("valija.cli.asking.terminal", lambda: True)
    result = send(world, "--to", "state:*", input="n\n")
    assert result.exit_code == USAGE
    assert world.broker.accepted == {}
    assert send(world, "--to", "state:*", input="y\n").exit_code == 0


def test_a_dry_run_shows_a_large_group_and_asks_nothing(world):
    result = send(world, "--to", "state:*", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "state:* means 14 contact points" in result.stderr
    assert "Left out: br.non-judicial is" not in result.stderr
    assert "legislation-notice/1 goes from judicial to judicial, administrative or political;" in result.stderr
    assert world.broker.accepted == {}
    assert send(world, "--to", "state:*", "--yes").exit_code == 0


def test_the_readme_s_group_is_sent_to_whom_it_names(exchange, tmp_path):
    broker = MemoryBroker(exchange)
    me = "mx.law-enforcement"
    request = json.loads((EXAMPLES / "information-request-1.json").read_text())
    with sync.Client(config_for(exchange, me, tmp_path), keys=exchange.keyrings[me], line=broker.line(me)) as valija:
        examples.the_readme_sends_to_a_group(valija, request)
    assert [list(kept.header.to) for kept, _ in broker.accepted.values()] == [["pe.judicial"]]


def test_a_bilateral_type_is_found_at_those_who_agreed_on_it_whatever_their_area():
    agreed = Bilateral(type="x-vehicle-report/1", between=("ca.liaison", "pe.enlace"), schema="1" * 64)
    book = sample_exchange(suspended=(), bilateral=(agreed,)).phonebook
    first, *others = whom.candidates(book, "ca.liaison", whom.newest_type("x-vehicle-report", book))
    assert (first.point.id, first.able) == ("pe.enlace", True)
    assert "agreed" in first.why
    assert {each.why for each in others} == {
        "ca.liaison and co.enlace did not agree on x-vehicle-report/1; it goes to pe.enlace alone",
        "ca.liaison and mx.enlace did not agree on x-vehicle-report/1; it goes to pe.enlace alone",
    }
    assert whom.expand(book, "ca.liaison", agreed.type, ["state:*"]).ids == ("pe.enlace",)


def test_a_file_may_name_a_group_as_well(world):
    file = world.folder / "notice.json"
    document = json.loads(LEGISLATION.read_text())
    send_table = {"to": ["state:PE+area:political", "co.judicial"]}
    file.write_text(json.dumps({"document": "legislation-notice/1", "send": send_table, **document}))
    result = world.run("send", str(file), "--output", "json")
    assert result.exit_code == 0, result.output
    (record,) = json.loads(result.stdout)
    assert record["to"] == ["co.judicial", "pe.political"]


def test_whatever_the_type_and_the_group_exactly_those_are_named_whom_a_route_allows(exchange):
    book = exchange.phonebook
    members = {
        "state:*": lambda point: point.state is not None,
        "organisation:*": lambda point: point.organisation is not None,
        "state:PE+area:judicial": lambda point: (point.state, point.area) == ("PE", "judicial"),
        **{f"area:{area}": lambda point, area=area: point.area == area for area in whom.AREAS},
    }
    for sender in (book.point("mx.judicial"), book.point("oas.political")):
        for type_ in sorted(book.types):
            for group, holds in members.items():
                everybody = [point for point in book.directory.contact_points if holds(point) and point != sender]
                able = tuple(point.id for point in everybody if book.allows(type_, sender, point))
                if not able:
                    with pytest.raises(RecipientError, match="nobody of"):
                        whom.expand(book, sender.id, type_, [group])
                    continue
                found = whom.expand(book, sender.id, type_, [group])
                assert found.ids == able
                assert {each.point.id for each in found.left_out} == {point.id for point in everybody} - set(able)
