"""Which JSON Schemas two contact points may agree on: closed, without outside references, and cheap to apply.

A schema comes from another office and is applied to mail of that office for years, so what it can cost is bounded
before it is taken, and what it lets through is said:

- Every keyword is one of JSON Schema 2020-12 that is listed here: a slip of the pen (`maxLenght`) would check nothing.
- Every place is constrained and every object and list closed: what no schema names, nobody has agreed on.
- `$ref` leads to the file itself and never in a circle. Unrolled, the schema has at most `places_max` places, so that
  nothing doubles at every step. Patterns are few, and each small (`bilateral`).

The promise: nothing is fetched, and a schema that is taken is applied in seconds at worst to the largest document.

Pure. Before this room: `bilateral`. Rules: schemas/SPEC.md section 4.2; JSON Schema 2020-12, core and validation.
"""

import difflib
import itertools
from collections.abc import Iterator
from typing import Any, Final

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
places_max: Final = 1_000  #: A published form of ours has some hundreds.
patterns_max: Final = 100
_faults_max: Final = 50  # of those that are said at once
_depth_max: Final = 48  # of schemas within schemas; a document has 16 levels

_MAPS: Final = ("properties", "patternProperties")
_VALUES: Final = ("additionalProperties", "unevaluatedProperties", "items", "unevaluatedItems", "contains")
_BRANCHES: Final = ("allOf", "anyOf", "oneOf")
_CONDITIONS: Final = ("not", "if", "then", "else", "propertyNames")
_WORDS: Final = frozenset(
    {
        *("$schema", "$id", "$ref", "$defs", "$comment", *_MAPS, *_VALUES, *_BRANCHES, *_CONDITIONS),
        *("prefixItems", "dependentSchemas", "dependentRequired", "type", "enum", "const", "required", "format"),
        *("pattern", "minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
        *("multipleOf", "minItems", "maxItems", "uniqueItems", "minContains", "maxContains", "minProperties"),
        *("maxProperties", "title", "description", "examples", "default", "deprecated", "readOnly", "writeOnly"),
    }
)


def judge(schema: Any) -> tuple[list[str], int]:
    """What stands against agreeing on `schema`, a sentence each with the place; and how many places it has."""
    if not isinstance(schema, dict) or schema.get("$schema") != DIALECT:
        return [f'a schema is an object with "$schema": "{DIALECT}"'], 0
    walk = _Walk(schema)
    found = [] if schema.get("type") == "object" else ['a document is one object: write "type": "object" at the top']
    try:
        found += itertools.islice(walk.place(schema, "#"), _faults_max)
    except _TooMuchError as error:
        found.append(str(error))
    return found, walk.places


class _TooMuchError(Exception):
    """The schema costs more than it may; the text says why."""


class _Walk:
    """One walk through a schema with its references followed."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self.places = 0
        self._patterns = 0
        self._open: list[str] = []  #: The references that are being followed.

    def place(self, schema: Any, at: str, depth: int = 1) -> Iterator[str]:
        """The faults of a schema for a value of its own: it must say something, and be closed."""
        if schema is False:
            return
        if not _constrains(schema):
            yield f"{at} lets everything through: say its type"
        yield from self.part(schema, at, depth)

    def part(self, schema: Any, at: str, depth: int) -> Iterator[str]:
        """The faults of a schema, and of all that it leads to."""
        self.places += 1
        if self.places > places_max or depth > _depth_max:
            raise _TooMuchError(f"with its references followed it has more than {places_max} places, or is too deep")
        if not isinstance(schema, dict):
            if not isinstance(schema, bool):
                yield f"{at} is no schema"
            return
        for word in schema.keys() - _WORDS:
            near = difflib.get_close_matches(word, _WORDS, 1)
            yield f"{at}/{word} is no keyword that is checked here" + (f"; {near[0]}?" if near else "")
        if at != "#" and ("$id" in schema or "$schema" in schema):
            yield f"{at}: $id and $schema stand at the top alone"
        self._patterns += ("pattern" in schema) + len(_mapping(schema, "patternProperties"))
        if self._patterns > patterns_max:
            raise _TooMuchError(f"with its references followed it has more than {patterns_max} patterns")
        yield from _left_open(schema, at)
        yield from self._reference(schema, at, depth)
        yield from self._inner(schema, at, depth + 1)

    def _inner(self, schema: dict[str, Any], at: str, depth: int) -> Iterator[str]:
        for word in (*_MAPS, "$defs", "dependentSchemas"):
            judge = self.part if word == "dependentSchemas" else self.place
            for name, inner in _mapping(schema, word).items():
                yield from judge(inner, f"{at}/{word}/{name}", depth)
        for word in _VALUES:
            if word in schema:
                yield from self.place(schema[word], f"{at}/{word}", depth)
        for word in (*_BRANCHES, "prefixItems"):
            judge = self.place if word == "prefixItems" else self.part
            inner = schema.get(word, ())
            for index, each in enumerate(inner if isinstance(inner, list) else ()):
                yield from judge(each, f"{at}/{word}/{index}", depth)
        for word in _CONDITIONS:
            if word in schema:
                yield from self.part(schema[word], f"{at}/{word}", depth)

    def _reference(self, schema: dict[str, Any], at: str, depth: int) -> Iterator[str]:
        if "$ref" not in schema:
            return
        to = schema["$ref"]
        if not isinstance(to, str) or not to.startswith("#/$defs/"):
            yield f"{at}/$ref leads out of $defs of this file; nothing is ever fetched"
            return
        target = _mapping(self._root, "$defs").get(to.removeprefix("#/$defs/"))
        if target is None:
            yield f"{at}/$ref leads to {to}, which is not there"
        elif to in self._open:
            raise _TooMuchError(f"{at}/$ref leads in a circle")
        else:
            self._open.append(to)
            yield from self.part(target, to, depth + 1)
            self._open.pop()


def _left_open(schema: dict[str, Any], at: str) -> Iterator[str]:
    kinds = schema.get("type", ())
    kinds = {kinds} if isinstance(kinds, str) else set(map(str, kinds)) if isinstance(kinds, list) else set()
    if "object" in kinds and not {"additionalProperties", "unevaluatedProperties"} & schema.keys():
        yield f'{at} lets fields through that it does not name: write "additionalProperties": false'
    if "array" in kinds and not {"items", "unevaluatedItems"} & schema.keys():
        yield f"{at} lets anything stand in its list: say what, with items"


def _constrains(schema: Any) -> bool:
    """Whether a schema says of which kind a value is."""
    if not isinstance(schema, dict):
        return schema is False
    if {"type", "enum", "const", "$ref"} & schema.keys():
        return True
    branches = {word: schema[word] for word in _BRANCHES if isinstance(schema.get(word), list) and schema[word]}
    either = any(all(map(_constrains, branches.get(word, [True]))) for word in ("anyOf", "oneOf"))
    return either or any(map(_constrains, branches.get("allOf", ())))


def _mapping(schema: dict[str, Any], word: str) -> dict[str, Any]:
    found = schema.get(word)
    return found if isinstance(found, dict) else {}
