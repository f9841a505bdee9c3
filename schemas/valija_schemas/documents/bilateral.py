"""Documents of types that two contact points agreed on: plain fields in the one JSON form. SPEC.md section 4.2.

What such a document must hold is said by a JSON Schema of the two alone, which the client applies (`valija.bilateral`).
Here is only what every document keeps: one JSON object in the one form, its keys in byte order as in every map, whole
numbers, no more than 16 deep, no larger than a body.

Before this room: `wire`. After it: `valija.bilateral`.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec

from valija_schemas import documents as public
from valija_schemas import limits, wire
from valija_schemas.agreements import is_bilateral
from valija_schemas.documents import plain, words
from valija_schemas.documents.base import Document, DocumentError, Problem


class BilateralDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A document that two contact points understand; `fields` are those of their schema."""

    type: str  #: `x-vehicle-report/1`.
    fields: Mapping[str, Any]  #: Texts, whole numbers, true, false, null, and lists and mappings of these.


_read: Final = wire.Decoder(dict[str, Any], limits.body_bytes_max)


def encode(fields: Mapping[str, Any]) -> bytes:
    """The one JSON form of `fields`.

    Raises:
        DocumentError: they have none.
    """
    if found := tuple(_faults(fields, "$", 1)):
        raise DocumentError(found)
    try:
        data = wire.encode(fields)
    except wire.WireError as error:
        raise DocumentError((_no_form(str(error)),)) from None
    return _sized(data)


def from_builtins(fields: Mapping[str, Any]) -> bytes:
    """The one JSON form of what a person's file means, put right as `documents.from_builtins` does.

    Raises:
        DocumentError: it has none.
    """
    return encode({name: plain(value) for name, value in fields.items()})


def decode(type_: str, data: bytes) -> BilateralDocument:
    """The document that `data` spells in the one JSON form. Whether it keeps its schema is asked apart.

    Raises:
        DocumentError: it spells none.
    """
    try:
        fields = _read(_sized(data))
    except wire.WireError as error:
        raise DocumentError((_no_form(str(error)),)) from None
    if found := tuple(_faults(fields, "$", 1)):
        raise DocumentError(found)
    return BilateralDocument(type=type_, fields=MappingProxyType(fields))


def read(type_: str, data: bytes) -> Document | BilateralDocument:
    """A document of any type that was validated before: a bilateral one is read by its form, not by its schema.

    Raises:
        UnknownType: this version of the software knows no such type.
        DocumentError: the bytes are no such document.
    """
    return decode(type_, data) if is_bilateral(type_) else public.decode(type_, data)


def _sized(data: bytes) -> bytes:
    if len(data) > limits.body_bytes_max:
        raise DocumentError((words.too_large(len(data)),))
    return data


def _no_form(message: str) -> Problem:
    return Problem.of("one-form", "$", "This has no place in the one JSON form: {message}.", {"message": message})


def _faults(value: object, path: str, depth: int) -> Iterator[Problem]:
    match value:
        case None | bool() | str():
            return
        case int() if 0 <= value <= limits.integer_max:
            return
        case Mapping() | list() | tuple() if depth > limits.json_depth_max:
            yield Problem.of("json-depth", path, "This is nested more than {limit} deep.", {"limit": depth - 1})
        case Mapping():
            for name, inner in value.items():
                if isinstance(name, str):
                    yield from _faults(inner, f"{path}.{name}", depth + 1)
                else:
                    yield Problem.of("one-form", path, "The name of a field is a text.")
        case list() | tuple():
            for index, inner in enumerate(value):
                yield from _faults(inner, f"{path}[{index}]", depth + 1)
        case _:
            yield Problem.of(
                "json-number", path, "Write a whole number from 0 on, or a text: 12.5 and -3 travel as texts."
            )
