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
from valija_schemas.documents import faults, forms, rules, schema, words
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
    "plain",
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
        raise DocumentError(_unwritable(type_, document, str(error))) from None
    decode(type_.type_, data)
    return data


def decode(type_: str, data: bytes) -> Document:
    """The document of type `type_` that `data` spells in the one JSON form.

    Raises:
        UnknownType: this version of the software knows no such type.
        DocumentError: the bytes are no such document, or it breaks a rule.
    """
    decoder = _decoder(type_)
    if len(data) > limits.body_bytes_max:
        raise DocumentError((words.too_large(len(data)),))
    try:
        found = decoder(data)
    except wire.WireError as error:
        raise DocumentError(_refused(_known(type_), data, str(error))) from None
    if not rules.kept(found):
        raise DocumentError(_refused(_known(type_), data, "a rule is broken"))
    return found


def from_builtins(type_: str, obj: Mapping[str, Any]) -> Document:
    """The document of type `type_` that a person's file means: what a JSON or TOML reader returns.

    Fields that may be empty may be left out. Dates may be TOML dates. Line ends, accents spelled in pieces, tabs and
    blanks at the ends of texts are put right; nothing else is guessed.

    Raises:
        UnknownType: this version of the software knows no such type.
        DocumentError: it is no such document, or it breaks a rule.
    """
    known = _known(type_)
    try:
        meant = plain(obj)
    except RecursionError as error:
        raise DocumentError((words.unreadable(str(error)),)) from None
    try:
        found = msgspec.convert(meant, known.struct)
        size = len(wire.encode(found))
    except (msgspec.ValidationError, RecursionError, wire.WireError) as error:
        problems = faults.found_in(known.struct, meant, whole=False)
        raise DocumentError(problems or (words.unreadable(str(error)),)) from None
    too_large = (words.too_large(size),) if size > limits.body_bytes_max else ()
    if too_large or not rules.kept(found):
        raise DocumentError((*too_large, *faults.found_in(known.struct, meant, whole=False)))
    return found


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
def _decoder(type_: str) -> wire.Decoder[Document]:
    return wire.Decoder(_known(type_).struct, limits.body_bytes_max)


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


def _refused(type_: DocumentType, data: bytes, message: str) -> tuple[Problem, ...]:
    try:
        value = msgspec.json.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return (words.not_json(message),)
    return faults.found_in(type_.struct, value, whole=True) or (words.not_the_one_form(),)


def _unwritable(type_: DocumentType, document: Document, message: str) -> tuple[Problem, ...]:
    try:
        value = msgspec.to_builtins(document)
    except (msgspec.MsgspecError, TypeError, RecursionError, UnicodeError) as error:
        return (words.unreadable(str(error)),)
    return faults.found_in(type_.struct, value, whole=False) or (words.unreadable(message),)


def plain(value: object) -> object:
    """What a person's file means, in the types of JSON and with texts put right."""
    match value:
        case str():
            lines = (" ".join(line.split("\t")).rstrip() for line in value.replace("\r\n", "\n").split("\n"))
            return unicodedata.normalize("NFC", "\n".join(lines).strip(" \n"))
        case Mapping():
            return {name: plain(inner) for name, inner in value.items()}
        case list() | tuple():
            return [plain(inner) for inner in value]
        case dt.datetime():
            return value.isoformat(timespec="seconds")
        case dt.date():
            return value.isoformat()
        case _:
            return value
