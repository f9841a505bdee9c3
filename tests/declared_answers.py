"""Whether an answer is one that schemas/openapi declares: its status, content type, header fields and shape."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec

FOLDER = Path(__file__).parents[1] / "schemas" / "openapi"


class Declared:
    """One document of schemas/openapi."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.document: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_bytes())
        self._paths = {
            re.compile(re.sub(r"\\\{path\\\}", ".+", re.sub(r"\\\{(?!path)\w+\\\}", "[^/]+", re.escape(path)))): item
            for path, item in self.document["paths"].items()
        }
        self._validators: dict[str, jsonschema_rs.Validator] = {}

    def operation_of(self, method: str, target: str) -> dict[str, Any] | None:
        path = target.partition("?")[0]
        return next(
            (
                item[method.lower()]
                for form, item in self._paths.items()
                if form.fullmatch(path) and method.lower() in item
            ),
            None,
        )

    def validate(self, schema: Any, value: Any) -> None:
        text = json.dumps(schema)
        if text not in self._validators:
            whole = schema | {"components": self.document["components"]}
            self._validators[text] = jsonschema_rs.validator_for(whole)
        self._validators[text].validate(value)

    def check(self, method: str, target: str, status: int, headers: Any, body: bytes) -> None:
        """Fails if `status`, `headers` and `body` are no answer that is declared."""
        operation = self.operation_of(method, target)
        if operation is None:
            assert status in {400, 404, 405}, f"{method} {target} is declared nowhere, and answers {status}"
            return
        where = f"{operation['operationId']} {status} {body[:300]!r}"
        assert str(status) in operation["responses"], f"not declared: {where}"
        declared = operation["responses"][str(status)]
        for name, one in declared["headers"].items():
            assert name in headers or one["$ref"].endswith("/Retry-After"), f"without {name}: {where}"
        media = headers["Content-Type"]
        assert media in declared["content"], f"{media}: {where}"
        schema = declared["content"][media].get("schema", {})
        if media == "application/vnd.msgpack":
            self.validate(schema, as_json(msgspec.msgpack.decode(body)))
        elif media == "application/json":
            self.validate(schema, json.loads(body))
        elif media == "application/problem+json":
            problem = json.loads(body)
            self.validate(schema, problem)
            assert ("Retry-After" in headers) == problem["retryable"], where
        elif schema:
            self.validate(schema, body.decode())


def as_json(value: Any) -> Any:
    """A value of MessagePack as its schema sees it: the type bin is a string with a character a byte."""
    match value:
        case bytes():
            return value.decode("latin-1")
        case list():
            return [as_json(item) for item in value]
        case dict():
            return {key: as_json(item) for key, item in value.items()}
    return value


AGENCIES = Declared("agencies")
ADMIN = Declared("admin")
