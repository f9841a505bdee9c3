"""Types that two contact points agreed on: by one file, between these two, and checked at both ends."""

import json
import sys
from pathlib import Path

import pytest
from click.testing import Result
from commands import World

from valija import DeliveryFailedError, DocumentInvalidError, RecipientError, bilateral, sending
from valija.bilateral import Schema, Schemas
from valija.cli.common import INVALID, REFUSED, SETTINGS
from valija.errors import ConfigError, SchemaMissingError
from valija.registry.sample import sample_exchange
from valija.testing import MemoryBroker
from valija_schemas import documents
from valija_schemas.agreements import Bilateral
from valija_schemas.documents.bilateral import BilateralDocument, decode, encode

RAW = (Path(__file__).parents[2] / "schemas/vectors/example/x-vehicle-report-1.schema.json").read_bytes()
DIALECT = "https://json-schema.org/draft/2020-12/schema"
REPORT = "x-vehicle-report/1"
SEEN = {
    "country": "MX",
    "direction": "entering",
    "place": "Puente de ejemplo",
    "plate": "ABC-123",
    "seen": "2026-11-02T10:00:00-06:00",
    "persons": 2,
    "remarks": ["Two persons.\nA dog."],
}
A, B, THIRD = "mx.enlace", "ca.liaison", "co.enlace"


def agreed(one: str, other: str, raw: bytes = RAW) -> Bilateral:
    first, second = sorted((one, other))
    return Bilateral(type=REPORT, between=(first, second), schema=Schema(raw).digest)


@pytest.fixture(scope="module")
def exchange():
    return sample_exchange(suspended=(), bilateral=(agreed(A, B),))


@pytest.fixture
def broker(exchange):
    return MemoryBroker(exchange)


async def test_a_document_of_two_arrives_as_plain_fields(broker, tmp_path):
    async with broker.client(A, tmp_path / A) as client:
        Schemas(client.config.state_folder).add(RAW)
        sent = await client.send(SEEN, B, type=REPORT)
        assert sent.state == "accepted"
    async with broker.client(B, tmp_path / B) as client:
        Schemas(client.config.state_folder).add(RAW)
        async for message in client.inbox(REPORT):
            async with message:
                assert isinstance(message.document, BilateralDocument)
                assert (message.document.type, dict(message.document.fields)) == (REPORT, SEEN)
                assert (
                    message.json == json.dumps(SEEN, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
                )
                await message.reply(SEEN | {"direction": "leaving"}, type=REPORT)
                break


WRONG = {"plate": "abc", "seen": "yesterday", "persons": 100, "colour": "red", "remarks": "x", "place": None}


async def test_a_document_that_breaks_the_agreed_schema_is_not_sent(broker, tmp_path):
    async with broker.client(A, tmp_path) as client:
        Schemas(client.config.state_folder).add(RAW)
        for field, value in WRONG.items():
            with pytest.raises(
                DocumentInvalidError, match=r"\$: .*additional" if field == "colour" else field
            ) as caught:
                await client.send(SEEN | {field: value}, B, type=REPORT)
            assert "Puente" not in str(caught.value), "what a document holds is not said"
    assert not broker.accepted


async def test_a_sender_that_does_not_validate_gets_a_signed_rejection(broker, tmp_path, monkeypatch):
    monkeypatch.setattr(sending, "check_schema", lambda *_: None)
    async with broker.client(A, tmp_path / A) as client:
        sent = await client.send(SEEN | {"plate": "?"}, B, type=REPORT)
        async with broker.client(B, tmp_path / B) as other:
            Schemas(other.config.state_folder).add(RAW)
            assert [message.id async for message in other.inbox(REPORT, follow=False)] == []
        with pytest.raises(DeliveryFailedError, match="schema"):
            await client.wait(sent, "acknowledged", timeout=20)


async def test_a_third_is_neither_sent_it_nor_sends_it(broker, tmp_path):
    async with broker.client(A, tmp_path / A) as client:
        Schemas(client.config.state_folder).add(RAW)
        for to in (THIRD, [B, THIRD]):
            with pytest.raises(RecipientError, match=f"{A} and {THIRD} did not agree on {REPORT}; it goes to {B}"):
                await client.send(SEEN, to, type=REPORT)
    async with broker.client(THIRD, tmp_path / THIRD) as client:
        Schemas(client.config.state_folder).add(RAW)
        with pytest.raises(RecipientError, match="did not agree"):
            await client.send(SEEN, B, type=REPORT)


async def test_recipients_who_agreed_on_different_schemas_are_written_to_apart(tmp_path):
    other = RAW.replace(b'"maximum": 99', b'"maximum": 9')
    broker = MemoryBroker(sample_exchange(suspended=(), bilateral=(agreed(A, B), agreed(A, THIRD, other))))
    async with broker.client(A, tmp_path) as client:
        for raw in (RAW, other):
            Schemas(client.config.state_folder).add(raw)
        with pytest.raises(RecipientError, match="different schemas"):
            await client.send(SEEN, [B, THIRD], type=REPORT)
        await client.send(SEEN | {"persons": 90}, B, type=REPORT)
        with pytest.raises(DocumentInvalidError, match="persons"):
            await client.send(SEEN | {"persons": 90}, THIRD, type=REPORT)


async def test_a_schema_that_differs_by_a_byte_is_not_the_one_agreed_on(broker, tmp_path):
    """The sender refuses; at the recipient the message waits, and comes again once the right file is there."""
    altered = RAW.replace(b"A vehicle", b"A vehicIe")
    async with broker.client(A, tmp_path / A) as client:
        Schemas(client.config.state_folder).add(altered)
        with pytest.raises(SchemaMissingError, match=Schema(RAW).digest):
            await client.send(SEEN, B, type=REPORT)
        Schemas(client.config.state_folder).add(RAW)
        sent = await client.send(SEEN, B, type=REPORT)
    async with broker.client(B, tmp_path / B) as client:
        schemas = Schemas(client.config.state_folder)
        schemas.add(altered)
        assert [message.id async for message in client.inbox(REPORT, follow=False)] == []
        schemas.add(RAW)
        broker.lapse(B)
        async for message in client.inbox(REPORT):
            async with message:
                assert message.id == sent.id
            break


def test_a_kept_schema_that_was_altered_on_disk_is_not_used(tmp_path):
    schemas = Schemas(tmp_path)
    digest = schemas.add(RAW).digest
    (tmp_path / "schemas" / f"{digest}.json").write_bytes(RAW + b" ")
    with pytest.raises(SchemaMissingError, match="altered"):
        schemas.get(digest)


def schema(**words: object) -> bytes:
    top = {"$schema": DIALECT, "type": "object", "additionalProperties": False, "properties": {"a": {"type": "string"}}}
    return json.dumps(top | words).encode()


def prop(**words: object) -> bytes:
    return schema(properties={"a": words})


DOUBLING = {f"n{n}": {"allOf": [{"$ref": f"#/$defs/n{n + 1}"}] * 2} for n in range(30)} | {"n30": {"type": "string"}}


@pytest.mark.parametrize(
    ("raw", "words"),
    {
        "no JSON": (b"{", "no JSON"),
        "twice": (b'{"type":"object","type":"object"}', "stands twice"),
        "too large": (b'"' + b"a" * bilateral.schema_bytes_max + b'"', "at most"),
        "deep": (b"[" * 100_000, "no JSON"),
        "other dialect": (schema(**{"$schema": "http://json-schema.org/draft-07/schema#"}), "2020-12"),
        "no object": (schema(type="array", items={"type": "string"}), "one object"),
        "open": (json.dumps({"$schema": DIALECT, "type": "object"}).encode(), "additionalProperties"),
        "open inside": (prop(type="object"), "#/properties/a lets fields through"),
        "open list": (prop(type="array"), "#/properties/a lets anything stand"),
        "says nothing": (prop(maxLength=3), "lets everything through"),
        "says nothing by branches": (prop(anyOf=[{"type": "string"}, {}]), "lets everything through"),
        "slip of the pen": (prop(type="string", maxLenght=3), "maxLength?"),
        "remote": (prop(**{"$ref": "https://example.com/x.json"}), "nothing is ever fetched"),
        "file": (prop(**{"$ref": "file:///etc/hostname"}), "nothing is ever fetched"),
        "metaschema": (prop(**{"$ref": DIALECT}), "nothing is ever fetched"),
        "dynamic": (prop(**{"$dynamicRef": "#x"}), "no keyword"),
        "own base": (prop(**{"$id": "https://example.com/", "type": "string"}), "at the top alone"),
        "nowhere": (prop(**{"$ref": "#/$defs/x"}), "not there"),
        "circle": (schema(**{"$defs": {"n": {"type": "array", "items": {"$ref": "#/$defs/n"}}}}), "in a circle"),
        "doubling": (schema(**{"$defs": DOUBLING}), "more than"),
        "deep schema": (schema(properties={"a": json.loads('{"not":' * 60 + "{}" + "}" * 60)}), "too deep"),
        "unknown format": (prop(type="string", format="plate-number"), "Unknown format"),
        "wrong type": (prop(type="text"), "no JSON Schema"),
        "looks around": (prop(type="string", pattern="^(?=a)b"), "looks around"),
        "looks back": (prop(type="string", pattern=r"^(a)\1"), "looks around"),
        "large pattern": (prop(type="string", pattern="^(a{0,1000}){0,100}$"), "large"),
        "many patterns": (
            schema(properties={f"p{n}": {"type": "string", "pattern": "a"} for n in range(101)}),
            "patterns",
        ),
    }.values(),
)  # fmt: skip
def test_a_schema_that_is_open_or_hostile_is_not_taken(tmp_path, raw, words):
    with pytest.raises(ConfigError) as caught:
        Schemas(tmp_path).add(raw)
    assert words in f"{caught.value} {caught.value.hint}"
    assert not list(tmp_path.iterdir())


def test_a_pattern_that_doubles_its_work_elsewhere_is_matched_in_one_pass():
    found = Schema(prop(type="string", pattern="^(a+)+$"))
    text = "a" * 500_000
    found.check({"a": text}, len(text))
    with pytest.raises(documents.DocumentError, match="pattern"):
        found.check({"a": text + "!"}, len(text))


def test_a_large_wrong_document_costs_no_more_than_one_fault():
    """A list of choices makes the library write a fault for each: of a large document the first is said."""
    choices = {"type": "array", "items": {"anyOf": [{"const": f"c{n}"} for n in range(300)]}}
    value = {"a": ["x"] * 50_000}
    with pytest.raises(documents.DocumentError) as caught:
        Schema(schema(properties={"a": choices})).check(value, 200_000)
    assert [problem.path for problem in caught.value.errors] == ["$.a[0]"]


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b'{"b":1,"a":2}', "one-form"),
        (b'{"a":1.5}', "json-number"),
        (b'{"a":-1}', "json-number"),
        (b'{"a":9007199254740992}', "json-number"),
        (b'{"a":' + b"[" * 16 + b"]" * 16 + b"}", "json-depth"),
        (b'{"a":"e\xcc\x81"}', "one-form"),
        (b'{"a":"\xe2\x80\xae"}', "one-form"),
        (b'{"a":1,"a":1}', "one-form"),
        (b'{ "a":1}', "one-form"),
        (b"[1]", "one-form"),
        (b'{"a":"' + b"x" * (1 << 20) + b'"}', "document-size"),
    ],
)
def test_a_bilateral_document_has_the_one_form_of_every_document(data, rule):
    with pytest.raises(documents.DocumentError) as caught:
        decode(REPORT, data)
    assert {problem.rule for problem in caught.value.errors} == {rule}


def test_what_a_program_gives_is_written_in_the_one_form_or_refused():
    assert encode({"b": ["x", None, True], "a": {"d": 1, "c": 2}}) == b'{"a":{"c":2,"d":1},"b":["x",null,true]}'
    for wrong in ({"a": 1.5}, {"a": object()}, {1: 2}, {"a": {2: 3}}):
        with pytest.raises(documents.DocumentError):
            encode(wrong)


def test_without_the_extra_it_says_what_to_install(tmp_path, monkeypatch):
    digest = Schemas(tmp_path).add(RAW).digest
    monkeypatch.setitem(sys.modules, "jsonschema_rs", None)
    bilateral._library.cache_clear()
    bilateral._schema.cache_clear()
    try:
        with pytest.raises(SchemaMissingError, match="jsonschema-rs") as caught:
            Schemas(tmp_path).decode(REPORT, encode(SEEN), digest)
        assert "valija[bilateral]" in caught.value.hint
    finally:
        bilateral._library.cache_clear()
        bilateral._schema.cache_clear()


def test_the_command_keeps_a_schema_and_sends_and_receives_by_it(exchange, tmp_path, monkeypatch):
    world = World(exchange, tmp_path, monkeypatch, (A, B))
    file = tmp_path / "report.schema.json"
    file.write_bytes(RAW)
    written = tmp_path / "report.json"
    written.write_text(json.dumps({"document": REPORT} | SEEN))

    def run(who: str, *args: str, code: int = 0) -> Result:
        found = world.run(*args, as_=who)
        assert found.exit_code == code, found.output
        return found

    assert REPORT in run(A, "bilateral", "list").stdout
    assert "valija bilateral add" in run(A, "send", str(written), "--to", B, code=SETTINGS).stderr
    for who in (A, B):
        assert run(who, "bilateral", "add", str(file)).stdout.strip() == Schema(RAW).digest
    (listed,) = json.loads(run(A, "bilateral", "list", "--output", "json").stdout)
    assert (listed["with"], listed["here"]) == (B, True)
    assert REPORT in run(A, "send", str(written), "--to", B, "--dry-run").stdout
    run(A, "send", str(written), "--to", THIRD, code=REFUSED)
    (sent,) = json.loads(run(A, "send", str(written), "--to", B, "--output", "json").stdout)
    assert sent["state"] == "accepted"
    received = json.loads(run(B, "inbox", "--save", str(tmp_path / "mail"), "--output", "ndjson").stdout)
    assert received["id"] == sent["id"]
    written.write_text(json.dumps({"document": REPORT} | SEEN | {"plate": "?"}))
    assert "$.plate" in run(A, "send", str(written), "--to", B, code=INVALID).stderr
