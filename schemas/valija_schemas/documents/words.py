"""What is said of a document of the wrong shape, in words that an officer understands.

msgspec says what is wrong with a field; its shape knows what belongs there. A fault becomes one `Problem`.

Before this room: `faults` found it. After it: whoever shows it, in the reader's language.
"""

import difflib
import re
from collections.abc import Sequence
from typing import Final

from valija_schemas import limits
from valija_schemas.documents.base import Problem
from valija_schemas.documents.plan import Field, Shape

TEXT_RULE: Final = "text-characters"
name_signs_max: Final = 64  #: Of an unknown field; all of ours are shorter, and a stranger's may be a megabyte.

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


def wrong(message: str, shape: Shape, path: str) -> Problem:
    """The problem that msgspec's `message` is about: what stands at `path` is not of this shape."""
    what = message.partition(" - at `")[0]
    if what.startswith("Invalid enum value"):
        return Problem.of(
            "code-unknown",
            path,
            "This code is not in the list. Write one of: {codes}.",
            {"codes": ", ".join(shape.codes)},
        )
    if "matching regex" in what or what.startswith("Invalid base64"):
        return Problem.of("form-wrong", path, "This is not in its form. Write {form}.", {"form": shape.form})
    if size := (_LENGTH.fullmatch(what) or _RANGE.fullmatch(what)):
        return Problem.of("size-wrong", path, SIZES[size[1], size[2]], {"bound": size[3]})
    if kind := _TYPE.fullmatch(what):
        return _of_another_kind(shape, path, *kind.groups())
    return unreadable(what, path)


def missing(shape: Shape, path: str, name: str) -> Problem:
    """The block at `path` lacks a field that it must have."""
    path = f"{path}.{name}"
    if shape.codes:
        return Problem.of(
            "field-missing",
            path,
            "The field {field} is missing. Add it: one of: {codes}.",
            {"field": name, "codes": ", ".join(shape.codes)},
        )
    if shape.form:
        return Problem.of(
            "field-missing",
            path,
            "The field {field} is missing. Add it: {form}.",
            {"field": name, "form": shape.form},
        )
    return Problem.of("field-missing", path, "The field {field} is missing. Add it.", {"field": name})


def left_out(_: Shape, path: str, name: str) -> Problem:
    """The block at `path`, as it travels, lacks a field that a person may leave out."""
    return Problem.of(
        "field-missing",
        f"{path}.{name}",
        "The field {field} is missing. Documents travel with every field, empty ones as null or [].",
        {"field": name},
    )


def unknown(fields: Sequence[Field], path: str, name: str) -> Problem:
    """The block at `path` has a field that it must not have; its name may be anything."""
    known = [field.name for field in fields]
    shown = "".join(sign if sign.isprintable() else "?" for sign in name[:name_signs_max])
    if len(name) > name_signs_max:
        shown += "..."
    elif near := difflib.get_close_matches(name, known, 1):
        return Problem.of(
            "field-unknown",
            f"{path}.{shown}",
            "There is no field {field} here. Did you mean {near}?",
            {"field": shown, "near": near[0]},
        )
    return Problem.of(
        "field-unknown",
        f"{path}.{shown}",
        "There is no field {field} here. The fields here are {fields}.",
        {"field": shown, "fields": ", ".join(known)},
    )


def not_the_one_base64(path: str) -> Problem:
    """The base64 at `path` is not as it travels."""
    return Problem.of("form-wrong", path, "This is not in its form. Write base64 with padding and without line breaks.")


def unwritable(path: str) -> Problem:
    """The one form cannot hold the text at `path`."""
    return Problem.of(
        TEXT_RULE,
        path,
        "The text holds an invisible control character, ends with a line break, or spells accents in pieces "
        "(not NFC). Write the field again by hand.",
    )


def unreadable(message: str, path: str = "$") -> Problem:
    """What stands at `path` cannot be read, for a reason that msgspec says."""
    return Problem.of("not-json", path, "This cannot be read as a document: {message}.", {"message": message})


def not_json(message: str) -> Problem:
    """The bytes are no JSON."""
    return Problem.of("not-json", "$", "This cannot be read as JSON: {message}.", {"message": message})


def not_the_one_form() -> Problem:
    """The bytes mean a document and spell it in another way than documents travel."""
    return Problem.of("one-form", "$", "This JSON is not in the one form. Let the software write it: valija send.")


def too_large(size: int) -> Problem:
    """The document does not fit into a message."""
    return Problem.of(
        "document-size",
        "$",
        "The document has {size} bytes, more than {limit}. Attach smaller files, or fewer.",
        {"size": size, "limit": limits.body_bytes_max},
    )


def more(count: int) -> Problem:
    """There are `count` more problems than are said, or even more."""
    return Problem.of(
        "more-problems", "$", "There are at least {count} more problems. Correct these first.", {"count": count}
    )


def _of_another_kind(shape: Shape, path: str, wanted: str, given: str) -> Problem:
    kind, _, others = wanted.partition(" | ")
    said = {"given": KINDS.get(given, given), "wanted": (OR_NOTHING if others else KINDS).get(kind, kind)}
    if shape.codes:
        return Problem.of(
            "kind-wrong",
            path,
            "Here stands {given}. Write {wanted}: one of: {codes}.",
            said | {"codes": ", ".join(shape.codes)},
        )
    if shape.form:
        return Problem.of(
            "kind-wrong", path, "Here stands {given}. Write {wanted}: {form}.", said | {"form": shape.form}
        )
    return Problem.of("kind-wrong", path, "Here stands {given}. Write {wanted}.", said)
