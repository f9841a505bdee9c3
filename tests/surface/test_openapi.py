"""The published OpenAPI document and its page are those of the code, valid, and fit for a browser without a network."""

import itertools
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args

import jsonschema_rs
import pytest
from declared_answers import ADMIN, AGENCIES, FOLDER

from valija_broker import openapi, reference
from valija_broker.console import table
from valija_broker.routes import TABLE
from valija_schemas import api
from valija_schemas.directory import Role

BOTH = pytest.mark.parametrize("declared", [AGENCIES, ADMIN], ids=lambda declared: declared.name)
SPEC = (FOLDER.parent / "SPEC.md").read_text("utf-8")
ROUTES = list(TABLE.routes.values())
TABLES = {"agencies": TABLE, "admin": table.TABLE}


def test_what_is_published_is_what_the_routes_declare():
    published = {path.name: path.read_text("utf-8") for path in FOLDER.iterdir()}
    assert published == openapi.published(), "run `make schemas`"


@BOTH
def test_the_document_is_openapi_3_1(declared):
    form = json.loads((Path(__file__).parent / "openapi-3.1.schema.json").read_bytes())
    jsonschema_rs.validator_for(form).validate(declared.document)
    assert not jsonschema_rs.validator_for(form).is_valid(declared.document | {"openapi": "3.0.0"})


def walk(value):
    yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from walk(item)


@BOTH
def test_every_reference_leads_somewhere_and_every_component_is_used(declared):
    led = {found["$ref"] for found in walk(declared.document) if isinstance(found, dict) and "$ref" in found}
    there = {
        f"#/components/{kind}/{name}"
        for kind, found in declared.document["components"].items()
        if kind != "securitySchemes"
        for name in found
    }
    assert led == there


def operations(declared):
    return [operation for item in declared.document["paths"].values() for operation in item.values()]


@BOTH
def test_an_operation_has_a_name_of_its_own_and_names_the_parameters_of_its_path(declared):
    found = operations(declared)
    assert len({operation["operationId"] for operation in found}) == len(found) == len(TABLES[declared.name].routes)
    for path, item in declared.document["paths"].items():
        for operation in item.values():
            named = [p["name"] for p in operation.get("parameters", ()) if p.get("in") == "path"]
            assert named == re.findall(r"\{(\w+)\}", path)


@pytest.mark.parametrize(
    ("declared", "operation"),
    [(declared, operation) for declared in (AGENCIES, ADMIN) for operation in operations(declared)],
    ids=lambda found: found.name if found in (AGENCIES, ADMIN) else found["operationId"],
)
def test_every_example_is_of_its_own_shape(declared, operation):
    holders = [operation.get("requestBody", {"content": {}}), *operation["responses"].values()]
    for content in (content for holder in holders for content in holder["content"].values()):
        for name, example in content.get("examples", {}).items():
            found = declared.document["components"]["examples"][name] if "$ref" in example else example
            if "externalValue" in found:
                assert (FOLDER / found["externalValue"]).is_file()
            else:
                declared.validate(content["schema"], found["value"])


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_who_may_call_is_what_the_spec_says(route):
    """Signed or not, and whether a suspended contact point may."""
    marker = re.compile(rf"\*\*`{route.method} {re.escape(route.path)}[`?]")
    (text,) = [" ".join(part.split()) for part in SPEC.split("\n\n") if marker.search(part)]
    assert (route.signed, route.active) == {
        "Signed, active": (True, True),
        "Signed, also while suspended": (True, False),
        "Not signed as a request": (False, False),
    }[re.search(r"Signed, active|Signed, also while suspended|Not signed as a request", text)[0]]


@pytest.mark.parametrize("route", list(table.TABLE.routes.values()), ids=lambda route: route.name)
def test_the_roles_that_may_call_are_what_the_spec_says(route):
    marker = re.compile(rf"^\| `{route.method} {re.escape(route.path)}[`?][^|]*\| ([^|]+) \|", re.MULTILINE)
    (named,) = marker.findall(SPEC)
    everybody = {"everybody": set(get_args(Role)), "not signed in": set()}
    assert everybody.get(named, set(named.split(", "))) == route.roles


@BOTH
def test_bytes_are_never_said_to_be_base64(declared):
    assert "base64" not in json.dumps(declared.document["components"]["schemas"]).replace("base64url", "")
    assert "contentEncoding" not in json.dumps(declared.document)


def test_an_answer_that_is_not_declared_does_not_pass():
    headers = {"Content-Type": api.MSGPACK_TYPE, "Cache-Control": "no-store"}
    good = api.encode(api.Newest(root=1, directory=1, digest=None))
    AGENCIES.check("GET", "/v1/directory", 200, headers, good)
    for status, changed, body in (
        (500, headers, good),
        (202, headers, good),
        (200, headers | {"Content-Type": "application/json"}, good),
        (200, {"Content-Type": api.MSGPACK_TYPE}, good),
        (200, headers, api.encode({"root": 1})),
        (200, headers, api.encode({"root": -1, "directory": 1, "digest": None})),
    ):
        with pytest.raises((AssertionError, jsonschema_rs.ValidationError)):
            AGENCIES.check("GET", "/v1/directory", status, changed, body)


class Page(HTMLParser):
    """What a browser makes of the page: tags in order, ids, links."""

    VOID = ("meta", "link")

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids, self.links = [], [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [attributes[name] for name in ("href", "src") if name in attributes]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@BOTH
def test_the_page_stands_under_a_policy_without_script_and_without_other_hosts(declared):
    page = Page((FOLDER / f"{declared.name}.html").read_text("utf-8"))
    assert not {tag for tag, _ in page.tags} & {"script", "style", "img", "iframe", "object", "form", "base"}
    assert not {name for _, found in page.tags for name in found if name == "style" or name.startswith("on")}
    assert not [link for link in page.links if ":" in link or link.startswith("/")]
    assert "url(" not in reference.STYLE
    assert "@import" not in reference.STYLE


@BOTH
def test_the_page_can_be_read_by_ear_and_by_keyboard(declared):
    page = Page((FOLDER / f"{declared.name}.html").read_text("utf-8"))
    assert len(page.ids) == len(set(page.ids))
    for link in page.links:
        assert link[1:] in page.ids if link.startswith("#") else (FOLDER / link).is_file(), link
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert [found["lang"] for tag, found in page.tags if tag == "html"] == ["en"]
    assert all(found.get("scope") for tag, found in page.tags if tag == "th")
    tables = [tag for tag, _ in page.tags if tag in {"table", "caption"}]
    assert tables == ["table", "caption"] * (len(tables) // 2)
    # What scrolls sideways can be reached by keyboard (WCAG 2.1.1), and says what it is.
    assert all(found.get("tabindex") == "0" for tag, found in page.tags if tag in {"pre", "div"})
    labels = [found["aria-label"] for _, found in page.tags if "aria-label" in found]
    assert len(labels) == len(set(labels)), "two regions have one name"
    assert {operation["operationId"] for operation in operations(declared)} <= set(page.ids)


def test_words_of_a_document_cannot_become_markup():
    hostile = json.loads(json.dumps(AGENCIES.document).replace("Lend me mail.", "<script>alert(1)</script>"))
    assert "<script>" not in reference.page(hostile)
