"""The published JSON Schemas (2020-12) of the document types, made from the Structs.

They describe the one form in which documents travel: all fields present. What they cannot say is written in each as
`$comment`, by the name of the rule, and listed in schemas/json/README.md.
"""

import inspect
import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

import msgspec

from valija_schemas.documents.base import Block, DocumentType, rules_of
from valija_schemas.documents.plan import checks_of
from valija_schemas.documents.words import TEXT_RULE

#: What no schema can say, for every type.
GENERAL_RULES: Final = {
    "one-form": "The JSON has one spelling: no spaces, fields in order and once each, shortest escapes, no fractions.",
    TEXT_RULE: "Texts are in NFC and hold no control characters but line breaks, and none at the end.",
    "document-size": "A document fits into the body of a message: 1 MiB.",
}

_README: Final = """\
# JSON Schemas of the document types

Made from the Structs in `valija_schemas.documents` by `make schemas`; do not edit them. They describe documents as
they travel: UTF-8, every field present, `null` or an empty list where nothing is known. `valija send` also takes
files that leave such fields out. Pages for people, with every field in words: [schemas/types](../types/README.md).

| type | areas | source | answered by | |
| --- | --- | --- | --- | --- |
{types}

## Rules beyond the schemas

A JSON Schema cannot say these, by design: a check digit, fields that depend on each other, the spelling of the bytes.
A document that breaks one validates against its schema and is refused by `valija_schemas.documents`, which names the
rule. Each schema names its own as `$comment`.

| rule | of | what it says |
| --- | --- | --- |
{rules}
"""


@cache
def made_from(type_: DocumentType) -> dict[str, Any]:
    """The JSON Schema of `type_`. Shared: do not change it."""
    schema = msgspec.json.schema(type_.struct)
    for name, block in _blocks(type_.struct):
        _finish(schema["$defs"][name], block)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": file_name(type_),
        "title": type_.type_,
        "$comment": "Beyond this schema: " + " ".join(f"{rule}: {text}" for rule, text in GENERAL_RULES.items()),
        **schema,
    }


def file_name(type_: DocumentType) -> str:
    """The file in schemas/json in which the schema of `type_` is published."""
    return f"{type_.name}-{type_.version}.json"


def published(types: Mapping[str, DocumentType]) -> dict[str, str]:
    """Every file of schemas/json, by name."""
    files = {
        file_name(type_): json.dumps(made_from(type_), indent=2, ensure_ascii=False) + "\n" for type_ in types.values()
    }
    return files | {"README.md": _readme(types)}


def rules_beyond(type_: DocumentType) -> frozenset[str]:
    """The names of all rules of `type_` that its schema cannot say."""
    return frozenset(GENERAL_RULES) | {rule for _, block in _blocks(type_.struct) for rule, _, _ in _sentences(block)}


def _readme(types: Mapping[str, DocumentType]) -> str:
    rows = {rule_text: {"every document"} for rule_text in GENERAL_RULES.items()}
    for type_ in types.values():
        for name, block in _blocks(type_.struct):
            for rule, field, text in _sentences(block):
                rows.setdefault((rule, text), set()).add(f"{name}.{field}" if field else name)
    return _README.format(
        types="\n".join(
            f"| [{type_.type_}]({file_name(type_)}) | {', '.join(type_.areas)} | {type_.source} | "
            f"{', '.join(type_.replies) or '-'} | [example](../examples/{file_name(type_)}) |"
            for type_ in types.values()
        ),
        rules="\n".join(f"| {rule} | {', '.join(sorted(of))} | {text} |" for (rule, text), of in sorted(rows.items())),
    )


def _sentences(block: type[Block]) -> Iterator[tuple[str, str, str]]:
    """The rules of `block`: name, field (empty for the block itself), and the sentence that says it."""
    for name, method in rules_of(block):
        yield name, "", " ".join((method.__doc__ or "").split())
    for field, check in checks_of(block):
        yield check.rule, field, check.text


def _blocks(struct: type[Block]) -> Iterator[tuple[str, type[Block]]]:
    """Every block that a document of type `struct` can hold, by the name of its class, once each."""
    seen: dict[str, type[Block]] = {}
    waiting: list[msgspec.inspect.Type] = [msgspec.inspect.type_info(struct)]
    while waiting:
        info = waiting.pop()
        match info:
            case msgspec.inspect.StructType() if issubclass(info.cls, Block):
                if info.cls.__name__ in seen:
                    continue
                seen[info.cls.__name__] = info.cls
                waiting += [field.type for field in info.fields]
            case msgspec.inspect.UnionType():
                waiting += info.types
            case msgspec.inspect.VarTupleType():
                waiting.append(info.item_type)
            case msgspec.inspect.Metadata():
                waiting.append(info.type)
            case _:
                pass
    yield from sorted(seen.items())


def _finish(definition: dict[str, Any], block: type[Block]) -> None:
    """Turn what msgspec reads (fields may be left out) into what travels (they may not)."""
    definition["required"] = list(definition["properties"])
    for field in definition["properties"].values():
        field.pop("default", None)
        _without_discriminator(field)
    definition["description"] = inspect.cleandoc(block.__doc__ or "")
    if sentences := [f"{rule}: {text}" for rule, field, text in _sentences(block) if not field]:
        definition["$comment"] = "Beyond this schema: " + " ".join(sentences)


def _without_discriminator(field: dict[str, Any]) -> None:
    # A word of OpenAPI that strict validators refuse; the const `kind` of each choice says the same.
    field.pop("discriminator", None)
    for inner in (field.get("items"), *field.get("anyOf", ())):
        if isinstance(inner, dict):
            _without_discriminator(inner)
