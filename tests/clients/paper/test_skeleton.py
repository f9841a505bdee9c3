"""An empty form is a person's file, and becomes a document by being filled in."""

import base64
import json
import re
from pathlib import Path

import pytest

from valija.paper import file, skeleton, toml
from valija.paper.language import words
from valija_schemas import documents
from valija_schemas.documents import fields

EXAMPLES = Path(__file__).parents[3] / "schemas/examples"
ENGLISH = words("en")
TYPES = documents.types()
LINE = re.compile(r"(#?)(\[\[?)?([a-z0-9_.]+)(?:\]\]?| = .*)")


def example(type_: documents.DocumentType) -> dict:
    return json.loads((EXAMPLES / f"{type_.name}-{type_.version}.json").read_text())


def of_each_list_the_first(value: object) -> object:
    if isinstance(value, dict):
        return {name: of_each_list_the_first(inner) for name, inner in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [of_each_list_the_first(value[0])]
    return value


def at(values: object, path: str) -> object:
    """What stands at a path, of each list the first."""
    for name in path.split(".") if path else ():
        values = values[0] if isinstance(values, list) and values else values
        values = values.get(name) if isinstance(values, dict) else None
    return values[0] if isinstance(values, list) and values and isinstance(values[0], dict) else values


def filled(text: str, values: dict, folder: Path) -> str:
    """A form in TOML, as a person fills it in who knows `values`: what is not used stays as it is."""
    done: list[str] = []
    table, kind, before, unused = "", "", "", "."
    lines = text.splitlines()
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        match = LINE.fullmatch(line)
        before, again = line, before.startswith("# Its fields are those of")
        if match is None:
            done.append(line)
            continue
        _, bracket, name = match.groups()
        if bracket:
            table, kind = name, ""
            before = "# Its fields are those of" if again else ""
            if re.fullmatch(r'#?kind = "[a-z-]+"', after):
                kind = after.split('"')[1]
            group = at(values, table)
            used = isinstance(group, dict) and kind in {"", group.get("kind")} and not table.startswith(unused)
            if kind:  # of several groups that may stand here one is used, with what is in it
                unused = "." if used else f"{table}."
            done.append(line.lstrip("#") if used else f"#{line.lstrip('#')}")
            continue
        group = at(values, table)
        if not isinstance(group, dict) or name == "document" or table.startswith(unused):
            done.append(line)
        elif name == "kind" and again and line.endswith('""') and not table.endswith("documents"):
            done += toml._table(group, table)  # its fields, as they are written above
        elif name == "path" and "content" in group:
            (folder / group["name"]).write_bytes(base64.b64decode(group["content"]))
            done.append(f"path = {toml.value(group['name'])}")
        elif kind in {"", group.get("kind")} and group.get(name) not in (None, []):
            done.append(f"{name} = {toml.value(group[name])}")
        else:
            done.append(f"#{line.lstrip('#')}")
    return "\n".join(done) + "\n"


@pytest.mark.parametrize("type_", TYPES.values(), ids=list(TYPES))
def test_a_form_in_toml_becomes_a_document_by_filling_its_lines_in(type_, tmp_path):
    text = skeleton.as_toml(type_, {}, ENGLISH)
    empty = file.read("form.toml", text.encode(), tmp_path)
    assert empty.type_for(None) == type_.type_
    assert file.validate(type_.type_, empty.document, tmp_path, ENGLISH)[0] is None, "an empty form is no document"
    meant = of_each_list_the_first(example(type_))
    written = file.read("form.toml", filled(text, meant, tmp_path).encode(), tmp_path)
    for field in fields.fields_of(type_.struct):
        if field.many and field.groups and meant[field.name]:  # the person copies what the form shows once
            rest = example(type_)[field.name][1:]
            meant[field.name] += rest
            written.document[field.name].extend(rest)
    found, flaws = file.validate(type_.type_, written.document, tmp_path, ENGLISH)
    assert flaws == ()
    assert found == documents.from_builtins(type_.type_, meant)


@pytest.mark.parametrize("type_", TYPES.values(), ids=list(TYPES))
def test_a_form_in_json_has_every_field_and_reads_as_a_persons_file(type_, tmp_path):
    written = file.read("form.json", skeleton.as_json(type_, {"language": "pt"}).encode(), tmp_path)
    assert written.type_for(None) == type_.type_
    assert list(written.document) == list(type_.struct.__struct_fields__)
    assert written.document["language"] == "pt"
    assert file.validate(type_.type_, written.document, tmp_path, ENGLISH)[0] is None
    found, flaws = file.validate(type_.type_, {**written.document, **example(type_)}, tmp_path, ENGLISH)
    assert flaws == ()
    assert found is not None


def test_what_is_known_is_filled_in():
    known = {"language": "es", "authority": {"country": "PE"}, "regarding": {"message": "ab" * 32}}
    send = {"in_reply_to": "ab" * 32}
    type_ = TYPES["clarification/1"]
    written = file.read("a.toml", skeleton.as_toml(type_, known | {"send": send}, ENGLISH).encode(), Path())
    assert (written.document["language"], written.document["authority"]["country"]) == ("es", "PE")
    assert written.document["regarding"] == {"message": "ab" * 32}
    assert written.send.in_reply_to == "ab" * 32
    as_json = json.loads(skeleton.as_json(type_, known | {"send": send}))
    assert as_json["authority"]["country"] == "PE"
    assert as_json["send"] == send


@pytest.mark.parametrize(
    "text", ['a "quoted" \\ text', "two\nlines", '"""\n\\', "tab\t", "\x7f", 'ends with a quote\n"', "", "ñ", "\n"]
)
def test_any_text_is_written_as_toml_that_reads_as_the_same(text):
    import tomllib

    values = {"a": text, "list": [text, text], "group": {"b": text}, "groups": [{"c": text}, {"d": [{"e": text}]}]}
    assert tomllib.loads(toml.write(values)) == values
