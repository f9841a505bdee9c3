"""What is published (schemas, README, examples) is what the software keeps."""

import json
import re
from pathlib import Path

import jsonschema_rs
import msgspec
import pytest

from valija_schemas import documents
from valija_schemas.documents import pages, schema
from valija_schemas.documents.base import registry, rules_of

ROOM = Path(documents.__file__).parents[2]
TYPES = sorted(documents.types())


def test_published_schemas_are_those_of_the_structs():
    published = schema.published(documents.types())
    assert {path.name: path.read_text() for path in (ROOM / "json").iterdir()} == published, "run `make schemas`"


def test_published_pages_are_those_of_the_structs():
    known = documents.types()
    examples = {name: json.loads((ROOM / "examples" / schema.file_name(known[name])).read_bytes()) for name in TYPES}
    published = pages.published(known, examples)
    assert {path.name: path.read_text() for path in (ROOM / "types").iterdir()} == published, "run `make schemas`"
    for text in published.values():
        anchors = {"#" + heading.lower().replace(" ", "-") for heading in re.findall(r"^## (.*)$", text, re.MULTILINE)}
        for link in re.findall(r"\]\(([^)]+)\)", text):
            assert link in anchors if link.startswith("#") else (ROOM / "types" / link).exists(), link


def test_every_type_has_an_example_in_the_one_form():
    assert {path.name for path in (ROOM / "examples").iterdir()} >= {
        schema.file_name(type_) for type_ in documents.types().values()
    }


@pytest.mark.parametrize("type_", TYPES)
def test_example_is_valid_and_is_written_again_as_the_same_bytes(type_):
    data = (ROOM / "examples" / schema.file_name(documents.types()[type_])).read_bytes()
    document = documents.decode(type_, data)
    assert documents.encode(document) == data
    assert documents.from_builtins(type_, json.loads(data)) == document
    jsonschema_rs.validator_for(documents.json_schema(type_)).validate(json.loads(data))


@pytest.mark.parametrize("type_", TYPES)
def test_schema_is_draft_2020_12_and_uses_no_word_outside_it(type_):
    published = documents.json_schema(type_)
    jsonschema_rs.meta.validate(published)
    known = {
        *("$schema", "$id", "$ref", "$defs", "$comment", "title", "description", "type", "properties", "required"),
        *("additionalProperties", "items", "anyOf", "enum", "pattern", "minLength", "maxLength", "minItems"),
        *("minimum", "maximum", "contentEncoding"),
    }
    assert set(words_of(published)) <= known


def words_of(value):
    for word, inner in value.items():
        yield word
        if word in {"$defs", "properties"}:
            for named in inner.values():
                yield from words_of(named)
        elif word == "anyOf":
            for choice in inner:
                yield from words_of(choice)
        elif word == "items":
            yield from words_of(inner)


@pytest.mark.parametrize("type_", TYPES)
def test_every_block_refuses_unknown_fields_and_names_itself(type_):
    for definition in documents.json_schema(type_)["$defs"].values():
        assert definition["additionalProperties"] is False
        assert definition["required"] == list(definition["properties"])
        assert definition["description"]


@pytest.mark.parametrize("type_", TYPES)
def test_every_rule_has_a_sentence_in_the_schema(type_):
    published = documents.json_schema(type_)
    for _, block in schema._blocks(documents.types()[type_].struct):
        for name, method in rules_of(block):
            assert f"{name}: {method.__doc__}" in published["$defs"][block.__name__]["$comment"]


@pytest.mark.parametrize("type_", TYPES)
def test_no_fraction_can_be_written_anywhere(type_):
    assert '"type": "number"' not in json.dumps(documents.json_schema(type_))


def test_replies_are_known_types_and_sources_are_named():
    for name, type_ in documents.types().items():
        assert name == type_.type_
        assert set(type_.replies) <= set(documents.types())
        assert type_.source
        assert type_.areas


def test_the_schema_that_is_handed_out_can_be_changed_without_harm():
    documents.json_schema("response/1").clear()
    assert documents.json_schema("response/1")


def test_a_type_cannot_be_registered_twice():
    with pytest.raises(ValueError, match="registered twice"):
        documents.document("response", 1, areas=("judicial",), source="none")(documents.Document)
    assert registry["response/1"].struct.__name__ == "Response"


def test_a_new_type_registers_itself():
    try:

        @documents.document("specimen", 3, areas=("judicial",), source="none")
        class Specimen(documents.Document, frozen=True, kw_only=True):
            """A specimen."""

        assert registry["specimen/3"].struct is Specimen
        assert isinstance(registry["specimen/3"], msgspec.Struct)
    finally:
        registry.pop("specimen/3", None)
