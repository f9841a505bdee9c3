"""What msgspec says about a document of the wrong shape, in words that an officer understands.

msgspec stops at the first fault and names its path; the JSON Schema of the type knows what belongs there. A fault
of shape becomes one `Problem`, whose rule is one of the names below.
"""

import difflib
import re
from collections.abc import Iterator
from typing import Any, Final

from valija_schemas.documents.base import Problem

#: The names of the rules of shape; a JSON Schema validator refuses what breaks one of them.
SHAPE_RULES: Final = frozenset(
    {
        "field-missing",
        "field-unknown",
        "code-unknown",
        "form-wrong",
        "kind-wrong",
        "size-wrong",
        "not-json",
    }
)

_MESSAGE: Final = re.compile(r"(?s)(?P<what>.*?)(?: - at `(?P<path>[^`]*)`)?")
_FIELD: Final = re.compile(r"Object (missing required|contains unknown) field `(.*)`")
_STEP: Final = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")
_LENGTH: Final = re.compile(r"Expected `(array|str|bytes)` of length (>=|<=) (\d+)")
_RANGE: Final = re.compile(r"Expected `int` (>=|<=) (\d+)")
_TYPE: Final = re.compile(r"Expected `(.*)`, got `(.*)`")
_KINDS: Final = {
    "str": "a text",
    "int": "a whole number without quotes",
    "float": "a decimal number",
    "bool": "true or false",
    "array": "a list",
    "object": "a group of fields",
    "null": "nothing",
    "bytes": "base64",
}


def shape_problem(message: str, schema: dict[str, Any], value: object) -> Problem:
    """The problem that msgspec's `message` is about. `value` is what any JSON reader makes of the document."""
    match = _MESSAGE.fullmatch(message)
    what, path = (match["what"], match["path"] or "$") if match else (message, "$")
    there = _schema_at(path, schema, value)
    if field := _FIELD.fullmatch(what):
        name = field[2]
        if field[1] == "missing required":
            return Problem(
                "field-missing", f"{path}.{name}", f"The field {name} is missing. Add it{_how(there, name)}."
            )
        near = difflib.get_close_matches(name, there.get("properties", ()), 1)
        advice = (
            f"Did you mean {near[0]}?" if near else f"The fields here are {', '.join(there.get('properties', ()))}."
        )
        return Problem("field-unknown", f"{path}.{name}", f"There is no field {name} here. {advice}")
    if what.startswith("Invalid enum value") or (what.startswith("Invalid value") and path != "$"):
        return Problem("code-unknown", path, f"This code is not in the list. Write one of: {', '.join(_codes(there))}.")
    if "matching regex" in what or what.startswith("Invalid base64"):
        return Problem("form-wrong", path, f"This is not in its form. Write {_description(there)}.")
    if length := _LENGTH.fullmatch(what):
        bound = "at least" if length[2] == ">=" else "at most"
        counted = {"array": "items", "str": "characters", "bytes": "bytes"}[length[1]]
        return Problem("size-wrong", path, f"Write {bound} {length[3]} {counted}.")
    if bounds := _RANGE.fullmatch(what):
        return Problem("size-wrong", path, f"Write a number {'from' if bounds[1] == '>=' else 'up to'} {bounds[2]}.")
    if kind := _TYPE.fullmatch(what):
        wanted, given = (" or ".join(_KINDS.get(part, part) for part in side.split(" | ")) for side in kind.groups())
        if there.get("enum") or ("description" in there and "properties" not in there):
            wanted = f"{wanted}: {_description(there)}"
        return Problem("kind-wrong", path, f"Here stands {given}. Write {wanted}.")
    return Problem("not-json", path, f"This cannot be read as a document: {what}.")


def incomplete(value: Any, whole: Any, path: str = "$") -> Iterator[Problem]:
    """What `value` leaves out or spells in another way than `whole`, the same document as it travels."""
    if isinstance(whole, dict):
        for name, inner in whole.items():
            if name in value:
                yield from incomplete(value[name], inner, f"{path}.{name}")
            else:
                text = f"The field {name} is missing. Documents travel with every field, empty ones as null or []."
                yield Problem("field-missing", f"{path}.{name}", text)
    elif isinstance(whole, list | tuple):
        for index, (mine, inner) in enumerate(zip(value, whole, strict=True)):
            yield from incomplete(mine, inner, f"{path}[{index}]")
    elif isinstance(whole, str) and value != whole:
        yield Problem("form-wrong", path, "This is not in its form. Write base64 with padding and without line breaks.")


def _how(there: dict[str, Any], name: str) -> str:
    inner = there.get("properties", {}).get(name, {})
    return f": {_description(inner)}" if inner.get("enum") or "pattern" in inner else ""


def _description(there: dict[str, Any]) -> str:
    if codes := _codes(there):
        return f"one of: {', '.join(codes)}"
    return str(there.get("description", "it as the schema of this type says"))


def _codes(there: dict[str, Any]) -> list[str]:
    return [str(code) for code in there.get("enum", ()) if code is not None]


def _schema_at(path: str, schema: dict[str, Any], value: object) -> dict[str, Any]:
    """What `schema` says about the field at `path`; where it gives a choice, `value` decides."""
    there = _resolved(schema, schema, value)
    for name, index in _STEP.findall(path):
        if index:
            there = there.get("items", {})
            value = value[int(index)] if isinstance(value, list) and int(index) < len(value) else None
        else:
            there = there.get("properties", {}).get(name, {})
            value = value.get(name) if isinstance(value, dict) else None
        there = _resolved(there, schema, value)
    return there


def _resolved(there: dict[str, Any], schema: dict[str, Any], value: object) -> dict[str, Any]:
    if "$ref" in there:
        there = schema["$defs"][there["$ref"].rpartition("/")[2]]
    if "anyOf" in there:
        choices = [_resolved(choice, schema, value) for choice in there["anyOf"] if choice.get("type") != "null"]
        if len(choices) == 1:
            return choices[0]
        kinds = {name: choice for choice in choices for name in _codes(choice["properties"]["kind"])}
        kind = value.get("kind") if isinstance(value, dict) else None
        if isinstance(kind, str) and kind in kinds:
            return kinds[kind]
        return {"properties": {"kind": {"enum": list(kinds)}}}
    return there
