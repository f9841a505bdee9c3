"""The agencies' API in OpenAPI 3.1, written from the declarations of its routes: `make schemas`.

A request or answer in MessagePack is described by the JSON Schema of what it decodes to. JSON has no bytes, so the
type bin is a string of `format: binary` there, whose lengths count bytes; it is never base64. Messages and tiles are
raw bytes and have no schema. The examples are those of schemas/vectors/example.

Before this room: `declared`, `routes`. After it: `reference` makes a page of it. Rules: schemas/SPEC.md section 3.
"""

import inspect
import itertools
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from valija_broker import reference, routes
from valija_broker.declared import Content, Route
from valija_schemas import api, problem
from valija_schemas.documents.fields import comments_of
from valija_schemas.problem import KINDS, Code
from valija_schemas.wire import Digest

ROOM: Final = Path(__file__).parents[2] / "schemas"
_TEMPLATE: Final = "#/components/schemas/{name}"
_TIME_MS: Final = 1795488862026  #: Of every example.
_LEASE: Final = "0.17.4be0643f1d98573b97cdca98a65347dd"
_SAMPLES: Final = "../vectors/example/"

_ABOUT: Final = """\
How a contact point sends, collects and acknowledges mail, and reads the evidence of it. The rules are those of \
schemas/SPEC.md, section 3; this document is made from the same declarations that the broker runs on.

Bodies of type `application/vnd.msgpack` hold one MessagePack value. The schema describes the value: a string of \
`format: binary` is the MessagePack type bin, raw bytes, never base64, and its lengths count bytes. Every field is \
present, and one that is not named is refused. Notes are C2SP signed notes in UTF-8; a message is a note followed \
by an age file.

Every refusal is a problem (RFC 9457). Beside those that an operation names, an address that does not exist \
answers 404 `not-found`, as everything does behind a proxy that is not listed, and a method that an address does \
not take 405 `method-not-allowed` with `Allow`. Any request may be sent again after a lost answer: a message with \
the same bytes, any other with a new nonce."""

_SIGNATURE: Final = """\
An RFC 9421 signature by an active `auth` key of the contact point, in the one form of schemas/SPEC.md, section \
3.2. It covers `@method`, `@authority`, `@path`, `@query`, `content-type` and `content-digest`, in this order, \
with Ed25519; `Signature` is `sig1=:` and its base64 and `:`. `Signature-Input`, `Content-Digest` (of an empty \
body, too) and `Content-Type` are present on every signed request; one without a body says \
`application/octet-stream`. The nonce is new for every request. Generators of clients cannot make it: use the \
library `valija`, or write it after the section and its vectors (schemas/vectors/requests.json). An operation \
without this scheme needs no second signature, since its body is signed itself."""

_HEADERS: Final = {
    "ContentDigest": ("Content-Digest", "RFC 9530: `sha-256=:`, the base64 of the digest of the body, and `:`."),
    "SignatureInput": ("Signature-Input", "RFC 9421: what is signed, when, until when, the nonce, and by which key."),
}
_HEADER_PATTERNS: Final = {
    "ContentDigest": r"^sha-256=:[A-Za-z0-9+/]{43}=:$",
    "SignatureInput": r'^sig1=\("@method" "@authority" "@path" "@query" "content-type" "content-digest"\);'
    r'created=\d+;expires=\d+;nonce="[A-Za-z0-9_-]{22,64}";keyid="[0-9a-f]{64}";alg="ed25519";tag="valija-v1"$',
}
_PATH_PARAMETERS: Final[Mapping[str, tuple[Any, str]]] = {
    "message": (Digest, "The digest of a message: lower-case hex SHA-256 of the text of its note."),
    "number": (api.Number, "The version."),
    "path": (str, "The path of C2SP tlog-tiles, such as `0/000`; its slashes are sent as they are."),
}
_TAGS: Final = {
    "messages": "Messages in",
    "leases": "Messages out",
    "events": "Evidence",
    "evidence": "Evidence",
    "log": "The log",
    "directory": "The directory",
    "limits": "The broker",
}
_DONE: Final = (api.LeaseResult(token=_LEASE, result="done", deadline=None),)


def _text(name: str) -> str:
    return (ROOM / "vectors" / "example" / name).read_text("utf-8")


def _requests() -> dict[str, Any]:
    """An example of what each operation takes, where it can be written in JSON."""
    return {
        "lease": api.LeaseRequest(instance="worker-1", have=(), limit=16, wait_ms=20_000),
        "acknowledge": [{"token": _LEASE, "receipt": _text("receipt.note")}],
        "extend": api.Extension(tokens=(_LEASE,)),
        "release": [api.Release(token=_LEASE, delay_ms=60_000, dead=False)],
    }


def _answers() -> dict[str, Any]:
    """An example of what each operation gives, where it can be written in JSON."""
    return {
        "submit": _text("acceptance.note"),
        "submit_many": [{"status": 202, "acceptance": _text("acceptance.note"), "problem": None}],
        "lease": (),
        "acknowledge": _DONE,
        "extend": (api.LeaseResult(token=_LEASE, result="done", deadline=_TIME_MS + 60_000),),
        "release": _DONE,
        "events": {"checkpoint": "", "events": []},
        "newest": api.Newest(root=1, directory=118, digest="0b" * 32),
        "holds": (),
        "freshness": _text("freshness.note"),
        "limits": api.Limits(
            time=_TIME_MS,
            message_bytes_max=1_196_032,
            submit_messages_max=api.batch_messages_max,
            submit_bytes_max=api.batch_bytes_max,
            lease_ms=60_000,
            lease_bytes_max=4_194_304,
            attempts_max=10,
        ),
    }


#: The examples that are files: what is no text, or long.
_FILES: Final = {
    ("submit", "takes"): "message",
    ("root", "gives"): "root.1.note",
    ("version", "gives"): "directory.1.note",
}


def made() -> dict[str, Any]:
    """The document."""
    table = list(routes.TABLE.routes.values())
    types = [problem.Problem]
    types += [c.of for route in table for c in (route.takes, route.gives) if c is not None and c.of is not None]
    shapes, components = msgspec.json.schema_components(types, ref_template=_TEMPLATE)
    schemas = dict(zip(map(str, types), map(_bytes_as_bytes, shapes), strict=True))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Valija: the API of the agencies",
            "version": "1",
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "https://broker.exchange.example", "description": "Each exchange has its own."}],
        "tags": [{"name": name} for name in dict.fromkeys(_TAGS.values())],
        "paths": {
            path: {route.method.lower(): _operation(route, schemas) for route in of_path}
            for path, of_path in itertools.groupby(table, lambda route: _path(route.path))
        },
        "components": {
            "securitySchemes": {
                "signature": {"type": "apiKey", "in": "header", "name": "Signature", "description": _SIGNATURE}
            },
            "parameters": {
                key: {
                    "name": name,
                    "in": "header",
                    "required": True,
                    "description": about,
                    "schema": {"type": "string", "pattern": _HEADER_PATTERNS[key]},
                }
                for key, (name, about) in _HEADERS.items()
            },
            "headers": {
                "Cache-Control": {"schema": {"const": "no-store"}, "required": True, "description": "Nothing is kept."},
                "Retry-After": {
                    "schema": {"type": "integer", "minimum": 1},
                    "description": "Seconds until a repeat makes sense; present where `retryable` is true.",
                },
                "WWW-Authenticate": {"schema": {"const": "Signature"}, "description": "RFC 9110 section 11.6.1."},
            },
            "examples": {
                code.value: {
                    "summary": KINDS[code].title,
                    "description": KINDS[code].hint,
                    "value": msgspec.to_builtins(problem.of(code, time_ms=_TIME_MS)),
                }
                for code in sorted({code for route in table for code in route.refuses})
            },
            "schemas": {name: _described(name, _bytes_as_bytes(schema)) for name, schema in components.items()},
        },
    }


def _path(of_framework: str) -> str:
    return re.sub(r"\{(\w+):[^}]*\}", r"{\1}", of_framework)


def _operation(route: Route, schemas: Mapping[str, Any]) -> dict[str, Any]:
    first, _, rest = inspect.cleandoc(route.about).partition("\n")
    who = "Suspended and held contact points are refused." if route.active else "Also while suspended or held."
    parameters: list[dict[str, Any]] = [
        _parameter("path", name, *_PATH_PARAMETERS[name], required=True)
        for name in re.findall(r"\{(\w+)\}", _path(route.path))
    ]
    parameters += [_parameter("query", query.name, query.of, query.about, required=False) for query in route.query]
    if route.signed:
        parameters += [{"$ref": f"#/components/parameters/{name}"} for name in _HEADERS]
    operation: dict[str, Any] = {
        "operationId": route.name,
        "tags": [_TAGS[route.path.split("/")[2]]],
        "summary": first.removesuffix("."),
        "description": " ".join([*rest.split(), who]),
        "security": [{"signature": []}] if route.signed else [],
    }
    if parameters:
        operation["parameters"] = parameters
    if route.takes is not None:
        operation["requestBody"] = {
            "required": True,
            "description": _sentence(route.takes.about) + f" At most {route.takes.bytes_max:,} bytes.",
            "content": {route.takes.media: _content(route.name, "takes", route.takes, schemas)},
        }
    operation["responses"] = {
        str(route.gives.status): {
            "description": _sentence(route.gives.about),
            "headers": {"Cache-Control": _header("Cache-Control")},
            "content": {route.gives.media: _content(route.name, "gives", route.gives, schemas)},
        }
    } | _refusals(route)
    return operation


def _parameter(where: str, name: str, type_: Any, about: str, *, required: bool) -> dict[str, Any]:
    schema = msgspec.json.schema(type_)
    return {"name": name, "in": where, "required": required, "description": _sentence(about), "schema": schema}


def _content(name: str, way: str, content: Content, schemas: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if content.of is not None:
        found["schema"] = schemas[str(content.of)]
    elif content.media in {api.NOTE_TYPE, "text/plain"}:
        found["schema"] = {"type": "string"}
    if (name, way) in _FILES:
        found["examples"] = {name: {"externalValue": _SAMPLES + _FILES[name, way]}}
    examples = _requests() if way == "takes" else _answers()
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


def _described(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """A schema whose fields say what the comments beside them say."""
    about = comments_of(getattr(problem if hasattr(problem, name) else api, name))
    for field, found in schema["properties"].items():
        if about.get(field):
            found["description"] = about[field]
    return schema


def published() -> dict[str, str]:
    """Every file of schemas/openapi, by name."""
    document = made()
    return {
        "agencies.json": json.dumps(document, indent=1, ensure_ascii=False) + "\n",
        "agencies.html": reference.page(document),
        "reference.css": reference.STYLE,
    }


if __name__ == "__main__":
    for file, content in published().items():
        (ROOM / "openapi").mkdir(exist_ok=True)
        (ROOM / "openapi" / file).write_text(content, encoding="utf-8")
