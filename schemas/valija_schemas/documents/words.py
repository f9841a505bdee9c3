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
_RANGE: Final = re.compile(r"Expected `(int)` (>=|<=) (\d+)")
_TYPE: Final = re.compile(r"Expected `(.*)`, got `(.*)`")
#: What a field holds, by the name that msgspec has for it.
KINDS: Final = {
    "str": "a text",
    "int": "a whole number without quotes",
    "float": "a decimal number",
    "bool": "true or false",
    "array": "a list",
    "object": "a group of fields",
    "null": "nothing",
    "bytes": "base64",
}
OR_NOTHING: Final = {kind: f"{text}, or nothing" for kind, text in KINDS.items()}
SCHEMA_SAYS: Final = "it as the schema of this type says"

#: What to write where there is too much or too little, by what is counted and on which side of the bound.
SIZES: Final = {
    ("array", ">="): "Write at least {bound} items.",
    ("array", "<="): "Write at most {bound} items.",
    ("str", ">="): "Write at least {bound} characters.",
    ("str", "<="): "Write at most {bound} characters.",
    ("bytes", ">="): "Write at least {bound} bytes.",
    ("bytes", "<="): "Write at most {bound} bytes.",
    ("int", ">="): "Write a number from {bound}.",
    ("int", "<="): "Write a number up to {bound}.",
}


def shape_problem(message: str, schema: dict[str, Any], value: object) -> Problem:
    """The problem that msgspec's `message` is about. `value` is what any JSON reader makes of the document."""
    match = _MESSAGE.fullmatch(message)
    what, path = (match["what"], match["path"] or "$") if match else (message, "$")
    there = _schema_at(path, schema, value)
    if field := _FIELD.fullmatch(what):
        name = field[2]
        if field[1] == "missing required":
            return _missing(there.get("properties", {}).get(name, {}), f"{path}.{name}", name)
        return _unknown(tuple(there.get("properties", ())), f"{path}.{name}", name)
    if what.startswith("Invalid enum value") or (what.startswith("Invalid value") and path != "$"):
        return Problem.of(
            "code-unknown", path, "This code is not in the list. Write one of: {codes}.", {"codes": _listed(there)}
        )
    if "matching regex" in what or what.startswith("Invalid base64"):
        return Problem.of("form-wrong", path, "This is not in its form. Write {form}.", {"form": _form(there)})
    if size := (_LENGTH.fullmatch(what) or _RANGE.fullmatch(what)):
        return Problem.of("size-wrong", path, SIZES[size[1], size[2]], {"bound": size[3]})
    if kind := _TYPE.fullmatch(what):
        return _of_another_kind(there, path, *kind.groups())
    return Problem.of("not-json", path, "This cannot be read as a document: {message}.", {"message": what})


def incomplete(value: Any, whole: Any, path: str = "$") -> Iterator[Problem]:
    """What `value` leaves out or spells in another way than `whole`, the same document as it travels."""
    if isinstance(whole, dict):
        for name, inner in whole.items():
            if name in value:
                yield from incomplete(value[name], inner, f"{path}.{name}")
            else:
                yield Problem.of(
                    "field-missing",
                    f"{path}.{name}",
                    "The field {field} is missing. Documents travel with every field, empty ones as null or [].",
                    {"field": name},
                )
    elif isinstance(whole, list | tuple):
        for index, (mine, inner) in enumerate(zip(value, whole, strict=True)):
            yield from incomplete(mine, inner, f"{path}[{index}]")
    elif isinstance(whole, str) and value != whole:
        yield Problem.of(
            "form-wrong", path, "This is not in its form. Write base64 with padding and without line breaks."
        )


def _missing(there: dict[str, Any], path: str, name: str) -> Problem:
    if there.get("enum"):
        return Problem.of(
            "field-missing",
            path,
            "The field {field} is missing. Add it: one of: {codes}.",
            {"field": name, "codes": _listed(there)},
        )
    if "pattern" in there:
        return Problem.of(
            "field-missing",
            path,
            "The field {field} is missing. Add it: {form}.",
            {"field": name, "form": _form(there)},
        )
    return Problem.of("field-missing", path, "The field {field} is missing. Add it.", {"field": name})


def _unknown(known: tuple[str, ...], path: str, name: str) -> Problem:
    if near := difflib.get_close_matches(name, known, 1):
        return Problem.of(
            "field-unknown",
            path,
            "There is no field {field} here. Did you mean {near}?",
            {"field": name, "near": near[0]},
        )
    return Problem.of(
        "field-unknown",
        path,
        "There is no field {field} here. The fields here are {fields}.",
        {"field": name, "fields": ", ".join(known)},
    )


def _of_another_kind(there: dict[str, Any], path: str, wanted: str, given: str) -> Problem:
    kind, _, more = wanted.partition(" | ")
    said = {"given": KINDS.get(given, given), "wanted": (OR_NOTHING if more else KINDS).get(kind, kind)}
    if there.get("enum"):
        return Problem.of(
            "kind-wrong",
            path,
            "Here stands {given}. Write {wanted}: one of: {codes}.",
            said | {"codes": _listed(there)},
        )
    if "description" in there and "properties" not in there:
        return Problem.of(
            "kind-wrong", path, "Here stands {given}. Write {wanted}: {form}.", said | {"form": _form(there)}
        )
    return Problem.of("kind-wrong", path, "Here stands {given}. Write {wanted}.", said)


def _form(there: dict[str, Any]) -> str:
    return str(there.get("description", SCHEMA_SAYS))


def _listed(there: dict[str, Any]) -> str:
    return ", ".join(_codes(there))


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
