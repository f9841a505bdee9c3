"""What lies inside the seal: typed documents that name their treaty, and say what is wrong with them.

A document is validated before it is sealed and after it is opened, since the broker cannot look inside. Reading and
writing keep the one JSON form of `wire`; a person's own file, with fields left out, comes in by `from_builtins`.

The promise: `decode` returns a document that keeps every rule of its type, or says everything that is wrong with it
in words, with the field and the rule. Each type is a module in `forms`; blocks that they share are in `blocks`.

Before this room: `wire`. After it: `valija.seal`. Published schemas: schemas/json. Examples: schemas/examples.
"""

import copy
import datetime as dt
import importlib
import pkgutil
import unicodedata
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

import msgspec

from valija_schemas import limits, wire
from valija_schemas.directory import Area
from valija_schemas.documents import forms, rules, schema, words
from valija_schemas.documents.base import (
    Block,
    Document,
    DocumentError,
    DocumentType,
    Language,
    Problem,
    UnknownType,
    document,
    registry,
    rule,
)
from valija_schemas.documents.blocks.case import Priority, respond_by_default_ms

__all__ = [
    "Area",
    "Block",
    "Document",
    "DocumentError",
    "DocumentType",
    "Language",
    "Priority",
    "Problem",
    "UnknownType",
    "decode",
    "document",
    "encode",
    "from_builtins",
    "json_schema",
    "respond_by_default_ms",
    "rule",
    "type_of",
    "types",
]


def types() -> Mapping[str, DocumentType]:
    """Every document type by name and version: `information-request/1`."""
    return _types()


def encode(document: Document) -> bytes:
    """The one JSON form of `document`, validated.

    Raises:
        DocumentError: it has a wrong shape or breaks a rule.
        UnknownType: its class is no registered document type.
    """
    type_ = type_of(document)
    try:
        data = wire.encode(document)
    except wire.WireError as error:
        found = tuple(rules.text_problems(document)) or (_shape(type_, str(error), None),)
        raise DocumentError(found) from None
    decode(type_.type_, data)
    return data


def decode(type_: str, data: bytes) -> Document:
    """The document of type `type_` that `data` spells in the one JSON form.

    Raises:
        UnknownType: this version of the software knows no such type.
        DocumentError: the bytes are no such document, or it breaks a rule.
    """
    known = _known(type_)
    if len(data) > limits.body_bytes_max:
        raise DocumentError((_too_large(len(data)),))
    try:
        found = _decoder(known)(data)
    except wire.WireError as error:
        raise DocumentError(_unreadable(known, data, str(error))) from None
    return _checked(found)


def from_builtins(type_: str, obj: Mapping[str, Any]) -> Document:
    """The document of type `type_` that a person's file means: what a JSON or TOML reader returns.

    Fields that may be empty may be left out. Dates may be TOML dates. Line ends, accents spelled in pieces, tabs and
    blanks at the ends of texts are put right; nothing else is guessed.

    Raises:
        UnknownType: this version of the software knows no such type.
        DocumentError: it is no such document, or it breaks a rule.
    """
    known = _known(type_)
    plain: object = None
    try:
        plain = _plain(obj)
        found = msgspec.convert(plain, known.struct)
    except (msgspec.ValidationError, RecursionError) as error:
        raise DocumentError((_shape(known, str(error), plain),)) from None
    if texts := tuple(rules.text_problems(found)):
        raise DocumentError(texts)
    if (size := len(wire.encode(found))) > limits.body_bytes_max:
        raise DocumentError((_too_large(size),))
    return _checked(found)


def json_schema(type_: str) -> dict[str, Any]:
    """The published JSON Schema (2020-12) of `type_`.

    Raises:
        UnknownType: this version of the software knows no such type.
    """
    return copy.deepcopy(schema.made_from(_known(type_)))


def type_of(document: Document) -> DocumentType:
    """What is known about the type of `document`.

    Raises:
        UnknownType: its class is no registered document type.
    """
    for type_ in registry.values():
        if type_.struct is type(document):
            return type_
    raise UnknownType(type(document).__name__, f"{type(document).__name__} is no registered document type")


@cache
def _modules() -> frozenset[str]:
    return frozenset(module.name for module in pkgutil.iter_modules(forms.__path__))


@cache
def _types() -> Mapping[str, DocumentType]:
    for module in _modules():
        importlib.import_module(f"{forms.__name__}.{module}")
    return MappingProxyType(dict(sorted(registry.items())))


@cache
def _decoder(type_: DocumentType) -> wire.Decoder[Document]:
    return wire.Decoder(type_.struct, limits.body_bytes_max)


def _known(type_: str) -> DocumentType:
    name = type_.partition("/")[0]
    # A module bears the name of its type, and is loaded when the first document of it comes: who uses one type does
    # not wait for all.
    if type_ not in registry and (module := name.replace("-", "_")) in _modules():
        importlib.import_module(f"{forms.__name__}.{module}")
    if type_ in registry:
        return registry[type_]
    versions = [str(other.version) for other in types().values() if other.name == name]
    if versions:
        raise UnknownType(type_, f"{type_}: of {name} only version {', '.join(versions)} is known here; update Valija")
    raise UnknownType(type_, f"{type_}: no such document type; known are {', '.join(types())}")


def _checked(found: Document) -> Document:
    if errors := tuple(rules.problems(found)):
        raise DocumentError(errors)
    return found


def _unreadable(type_: DocumentType, data: bytes, message: str) -> tuple[Problem, ...]:
    try:
        value = msgspec.json.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return (Problem.of("not-json", "$", "This cannot be read as JSON: {message}.", {"message": message}),)
    try:
        whole = msgspec.to_builtins(msgspec.convert(value, type_.struct))
    except msgspec.ValidationError as error:
        return (_shape(type_, str(error), value),)
    return (
        tuple(words.incomplete(value, whole))
        or tuple(rules.text_problems(value))
        or (Problem.of("one-form", "$", "This JSON is not in the one form. Let the software write it: valija send."),)
    )


def _shape(type_: DocumentType, message: str, value: object) -> Problem:
    return words.shape_problem(message, schema.made_from(type_), value)


def _too_large(size: int) -> Problem:
    return Problem.of(
        "document-size",
        "$",
        "The document has {size} bytes, more than {limit}. Attach smaller files, or fewer.",
        {"size": size, "limit": limits.body_bytes_max},
    )


def _plain(value: object) -> object:
    """What a person's file means, in the types of JSON and with texts put right."""
    match value:
        case str():
            lines = (" ".join(line.split("\t")).rstrip() for line in value.replace("\r\n", "\n").split("\n"))
            return unicodedata.normalize("NFC", "\n".join(lines).strip(" \n"))
        case Mapping():
            return {name: _plain(inner) for name, inner in value.items()}
        case list() | tuple():
            return [_plain(inner) for inner in value]
        case dt.datetime():
            return value.isoformat(timespec="seconds")
        case dt.date():
            return value.isoformat()
        case _:
            return value
