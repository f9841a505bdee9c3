"""An API in OpenAPI 3.1, written from the declarations of its routes: `make schemas`.

Before this room: `declared`. After it: `openapi_agencies` and `openapi_admin` say what only their API has to say,
`reference` makes a page of the document. Rules: schemas/SPEC.md section 3.
"""

import inspect
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from valija_broker import openapi_admin, openapi_agencies, reference
from valija_broker.declared import Content, Route
from valija_broker.described import Api
from valija_schemas import api, problem
from valija_schemas.documents.fields import comments_of
from valija_schemas.problem import KINDS, Code

ROOM: Final = Path(__file__).parents[2] / "schemas"
_TEMPLATE: Final = "#/components/schemas/{name}"


def made(of: Api) -> dict[str, Any]:
    """The document of an API."""
    table = list(of.table.routes.values())
    types = [problem.Problem]
    types += [c.of for route in table for c in (route.takes, route.gives) if c is not None and c.of is not None]
    shapes, components = msgspec.json.schema_components(types, ref_template=_TEMPLATE)
    schemas = dict(zip(map(str, types), map(_bytes_as_bytes, shapes), strict=True))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": of.title,
            "version": "1",
            "description": of.about,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": of.server, "description": "Each exchange has its own."}],
        "tags": [{"name": name} for name in dict.fromkeys(of.tags.values())],
        "paths": _paths(of, table, schemas),
        "components": {
            "securitySchemes": of.security,
            "parameters": {
                key: {
                    "name": name,
                    "in": "header",
                    "required": True,
                    "description": about,
                    "schema": {"type": "string", "pattern": pattern},
                }
                for key, (name, about, pattern) in of.headers.items()
            },
            "headers": {
                "Cache-Control": {"schema": {"const": "no-store"}, "required": True, "description": "Nothing is kept."},
                "Retry-After": {
                    "schema": {"type": "integer", "minimum": 1},
                    "description": "Seconds until a repeat makes sense; present where `retryable` is true.",
                },
                "WWW-Authenticate": {"schema": {"const": of.challenge}, "description": "RFC 9110 section 11.6.1."},
            },
            "examples": {
                code.value: {
                    "summary": KINDS[code].title,
                    "description": KINDS[code].hint,
                    "value": msgspec.to_builtins(problem.of(code, time_ms=of.time_ms)),
                }
                for code in sorted({code for route in table for code in route.refuses})
            },
            "schemas": {name: _described(of, name, _bytes_as_bytes(schema)) for name, schema in components.items()},
        },
    }


def _path(of_framework: str) -> str:
    return re.sub(r"\{(\w+):[^}]*\}", r"{\1}", of_framework)


def _paths(of: Api, table: Iterable[Route], schemas: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for route in table:  # an address may be declared in two places, with one method in each
        found.setdefault(_path(route.path), {})[route.method.lower()] = _operation(of, route, schemas)
    return found


def _operation(of: Api, route: Route, schemas: Mapping[str, Any]) -> dict[str, Any]:
    first, _, rest = inspect.cleandoc(route.about).partition("\n")
    parameters: list[dict[str, Any]] = [
        _parameter("path", name, *of.path_parameters[name], required=True)
        for name in re.findall(r"\{(\w+)\}", _path(route.path))
    ]
    parameters += [
        _parameter("query", query.name, query.of, query.about, required=query.needed) for query in route.query
    ]
    asks_who = route.signed or bool(route.roles)
    if asks_who:
        parameters += [{"$ref": f"#/components/parameters/{name}"} for name in of.headers]
    operation: dict[str, Any] = {
        "operationId": route.name,
        "tags": [of.tags[route.path.removeprefix(of.prefix).split("/")[0]]],
        "summary": first.removesuffix("."),
        "description": " ".join([*rest.split(), of.who(route)]),
        "security": [{name: []} for name in of.security] if asks_who else [],
    }
    if parameters:
        operation["parameters"] = parameters
    if route.takes is not None:
        operation["requestBody"] = {
            "required": True,
            "description": _sentence(route.takes.about) + f" At most {route.takes.bytes_max:,} bytes.",
            "content": {route.takes.media: _content(of, route.name, "takes", route.takes, schemas)},
        }
    operation["responses"] = {
        str(route.gives.status): {
            "description": _sentence(route.gives.about),
            "headers": {"Cache-Control": _header("Cache-Control")},
            "content": {route.gives.media: _content(of, route.name, "gives", route.gives, schemas)},
        }
    } | _refusals(route)
    return operation


def _parameter(where: str, name: str, type_: Any, about: str, *, required: bool) -> dict[str, Any]:
    schema = msgspec.json.schema(type_)
    return {"name": name, "in": where, "required": required, "description": _sentence(about), "schema": schema}


def _content(of: Api, name: str, way: str, content: Content, schemas: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if content.of is not None:
        found["schema"] = schemas[str(content.of)]
    elif content.media in {api.NOTE_TYPE, "text/plain"}:
        found["schema"] = {"type": "string"}
    if (name, way) in of.files:
        found["examples"] = {name: {"externalValue": of.files[name, way]}}
    examples = of.requests if way == "takes" else of.answers
    if name in examples:
        found["examples"] = {name: {"value": msgspec.to_builtins(examples[name])}}
    return found


def _refusals(route: Route) -> dict[str, Any]:
    by_status: dict[int, list[Code]] = {}
    for code in route.refuses:
        by_status.setdefault(KINDS[code].status, []).append(code)
    return {str(status): _refusal(status, codes) for status, codes in sorted(by_status.items())}


def _refusal(status: int, codes: list[Code]) -> dict[str, Any]:
    headers = ["Cache-Control"]
    if any(KINDS[code].retryable for code in codes):
        headers.append("Retry-After")
    if status == 401:
        headers.append("WWW-Authenticate")
    code_schema = {"properties": {"code": {"enum": [code.value for code in codes]}, "status": {"const": status}}}
    return {
        "description": " ".join(f"`{code}`: {KINDS[code].title}." for code in codes),
        "headers": {name: _header(name) for name in headers},
        "content": {
            problem.MEDIA_TYPE: {
                "schema": {"allOf": [{"$ref": _TEMPLATE.format(name="Problem")}, code_schema]},
                "examples": {code.value: {"$ref": f"#/components/examples/{code}"} for code in codes},
            }
        },
    }


def _header(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/headers/{name}"}


def _sentence(phrase: str) -> str:
    return phrase[0].upper() + phrase[1:].removesuffix(".") + "."


def _bytes_as_bytes(schema: Any) -> Any:
    """A schema in which the type bin is what it is, and not base64."""
    if isinstance(schema, list):
        return [_bytes_as_bytes(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("contentEncoding") == "base64":
        least, most = schema.get("x-bytes", (None, None))
        lengths = {} if least is None else {"minLength": least, "maxLength": most}
        return {"type": "string", "format": "binary", **lengths}
    return {key: _bytes_as_bytes(value) for key, value in schema.items()}


def _described(of: Api, name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """A schema whose fields say what the comments beside them say."""
    about = comments_of(next(getattr(room, name) for room in (problem, *of.shapes) if hasattr(room, name)))
    for field, found in schema["properties"].items():
        if about.get(field):
            found["description"] = about[field]
    return schema


def published() -> dict[str, str]:
    """Every file of schemas/openapi, by name."""
    agencies, operators = made(openapi_agencies.described()), made(openapi_admin.described())
    return {
        "agencies.json": written(agencies),
        "agencies.html": reference.page(agencies),
        "admin.json": written(operators),
        "admin.html": reference.page(operators),
        "reference.css": reference.STYLE,
    }


def written(document: dict[str, Any]) -> str:
    """The document as a file."""
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for file, content in published().items():
        (ROOM / "openapi").mkdir(exist_ok=True)
        (ROOM / "openapi" / file).write_text(content, encoding="utf-8")
