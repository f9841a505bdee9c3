"""A TOML file that a person wrote, read into a Struct; what is wrong with it is said in words, with its place.

Most slips are of four kinds: a line that stands under the wrong heading, a misspelled name, a missing one, and a value
of another form. Each is told by the name that stands in the file.

Before this room: `files`. Pure.
"""

import difflib
import re
import tomllib
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeVar

import msgspec

from valija_schemas.directory import Area

S = TypeVar("S", bound=msgspec.Struct)

ORIGIN: Final = r"^[a-z0-9][a-z0-9.-]{0,252}$"  #: What the broker takes as the name of its exchange.

_FORMS: Final = {
    ORIGIN: "a name of lower-case letters, digits, dots and hyphens, as exchange.example",
    r"^[0-9a-f]{64}$": "a key: 64 lower-case hex digits",
    r"^[0-9a-f]{2624}$": "an ML-DSA-44 key: 2,624 lower-case hex digits",
    r"^[a-z][a-z0-9.-]{0,63}$": "an id of lower-case letters, digits, dots and hyphens, which begins with a letter",
    r"^[a-z][a-z-]{0,62}/[1-9][0-9]{0,3}$": "a document type with its version, as information-request/1",
}
_KINDS: Final = {
    "int": "a number",
    "str": "text in quotes",
    "array": "a list, each under [[...]]",
    "object": "a table",
    "bool": "true or false",
}
_PLACE: Final = re.compile(r"^(?P<what>.*?)(?: - at `\$\.?(?P<path>.*)`)?$", re.DOTALL)


class TableError(ValueError):
    """The file is not of its form; the text says where, and what is wanted."""


def read(text: str, type_: type[S]) -> S:
    """What the TOML text says.

    Raises:
        TableError: it is no TOML, or not of this form.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TableError(f"this is not TOML: {error}") from None
    for fault in _unknown(type_, values, type_, ""):
        raise TableError(fault)
    try:
        return msgspec.convert(values, type_)
    except msgspec.ValidationError as error:
        raise TableError(_words(str(error))) from None


def _unknown(type_: Any, values: Mapping[str, Any], top: Any, where: str) -> Iterator[str]:
    """What is wrong with the names in a table, and in those inside it."""
    known = _types(type_)
    for name, value in values.items():
        if name not in known:
            yield _unknown_name(name, known, _types(top) if where else {}, where)
        elif (inner := _struct_in(known[name])) is not None:
            tables = value if isinstance(value, list) else [value]
            for number, table in enumerate(tables, start=1):
                if isinstance(table, Mapping):
                    place = f"[[{name}]] number {number}" if isinstance(value, list) else f"[{name}]"
                    yield from _unknown(inner, table, top, place)


def _unknown_name(name: str, known: Mapping[str, Any], above: Mapping[str, Any], where: str) -> str:
    if name in above:
        return (
            f"`{name}` stands under {where}, to which every line below it belongs;"
            f" move `{name}` above the first line in brackets"
        )
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    better = f"did you mean `{near[0]}`?" if near else f"known are {', '.join(sorted(known))}"
    return f"unknown field `{name}`{f' under {where}' if where else ''}; {better}"


def _words(error: str) -> str:
    """What msgspec says of a value, in words: its place first."""
    found = _PLACE.match(error)
    assert found is not None  # noqa: S101 - it matches every text
    what, path = found["what"], found["path"] or ""
    place = re.sub(r"\[(\d+)\]", lambda index: f" number {int(index[1]) + 1}", path).replace(".", ", ")
    if missing := re.fullmatch(r"Object missing required field `(.*)`", what):
        return f"`{missing[1]}` is missing{f' in {place}' if place else ''}"
    if form := re.fullmatch(r"Expected `str` matching regex '(.*)'", what):
        what = f"this is not {_FORMS.get(form[1], f'of the form {form[1]}')}"
    elif kinds := re.fullmatch(r"Expected `(.*)`, got `(.*)`", what):
        wanted = " or ".join(_KINDS.get(kind, kind) for kind in kinds[1].split(" | "))
        what = f"this is {_KINDS.get(kinds[2], kinds[2])}, and not {wanted}"
    elif least := re.fullmatch(r"Expected `(\w+)`(?: of length)? >= (\d+)", what):
        what = "this is empty" if least[1] == "array" else f"this is less than {least[2]}"
    elif most := re.fullmatch(r"Expected `int` <= (\d+)", what):
        what = f"this is more than {most[1]}"
    elif word := re.fullmatch(r"Invalid enum value '(.*)'", what):
        what = f"{word[1]!r} is no area; they are {', '.join(typing.get_args(Area))}"
    return f"{place}: {what}"


def _types(type_: Any) -> dict[str, Any]:
    return {field.encode_name: field.type for field in msgspec.structs.fields(type_)}


def _struct_in(type_: Any) -> Any:
    """The Struct that a value of this type is, or holds in a list; None for a plain one."""
    if isinstance(type_, type) and issubclass(type_, msgspec.Struct):
        return type_
    return next((found for part in typing.get_args(type_) if (found := _struct_in(part)) is not None), None)
