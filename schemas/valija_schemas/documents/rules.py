"""The walk through a document that asks every block and every checked text for its problems, all at once.

Before this room: the shape has been read by msgspec, so that every field has its type. After it: the document is
sealed, or shown to the officer who opens it.
"""

import typing
from collections.abc import Iterator, Mapping
from functools import cache
from types import MappingProxyType
from typing import Annotated, Any, Final

import msgspec

from valija_schemas import wire
from valija_schemas.documents.base import Block, Problem, rules_of
from valija_schemas.documents.checks import Check

TEXT_RULE: Final = "text-characters"
_NO_VALUES: Final[Mapping[str, object]] = MappingProxyType({})


def problems(value: Block, path: str = "$") -> Iterator[Problem]:
    """Everything that the rules find wrong with `value` and with the blocks inside it."""
    for name, method in rules_of(type(value)):
        for fault in method(value):
            yield Problem.of(name, path + fault[0], fault[1], fault[2] if len(fault) == 3 else _NO_VALUES)
    for name, check in checks_of(type(value)):
        field = getattr(value, name)
        if isinstance(field, str):
            if not check.holds(field):
                yield Problem(check.rule, f"{path}.{name}", check.text)
        elif field:
            for index, text in enumerate(field):
                if isinstance(text, str) and not check.holds(text):
                    yield Problem(check.rule, f"{path}.{name}[{index}]", check.text)
    for name in _fields_with_blocks(type(value)):
        field = getattr(value, name)
        if isinstance(field, Block):
            yield from problems(field, f"{path}.{name}")
        elif field:
            for index, inner in enumerate(field):
                yield from problems(inner, f"{path}.{name}[{index}]")


def text_problems(value: object, path: str = "$") -> Iterator[Problem]:
    """The texts in `value` that the one form cannot hold. It may be a block or what a JSON reader returns."""
    if isinstance(value, str):
        if not _writable(value):
            yield Problem.of(
                TEXT_RULE,
                path,
                "The text holds an invisible control character, ends with a line break, or spells accents in pieces "
                "(not NFC). Write the field again by hand.",
            )
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from text_problems(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from text_problems(inner, f"{path}.{name}")
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from text_problems(inner, f"{path}[{index}]")


@cache
def checks_of(block: type[Block]) -> tuple[tuple[str, Check], ...]:
    """The fields of `block` whose type carries a check, each with it."""
    hints = typing.get_type_hints(block, include_extras=True)
    return tuple((name, check) for name in block.__struct_fields__ for check in _checks_in(hints[name]))


@cache
def _fields_with_blocks(block: type[Block]) -> tuple[str, ...]:
    """The fields of `block` that can hold another block."""
    hints = typing.get_type_hints(block)
    return tuple(name for name in block.__struct_fields__ if _holds_block(hints[name]))


def _holds_block(type_: Any) -> bool:
    inner = typing.get_args(type_)
    return any(map(_holds_block, inner)) if inner else isinstance(type_, type) and issubclass(type_, Block)


def _checks_in(type_: Any) -> Iterator[Check]:
    if typing.get_origin(type_) is Annotated:
        for meta in type_.__metadata__:
            if isinstance(meta, msgspec.Meta) and meta.extra and "check" in meta.extra:
                yield meta.extra["check"]
    for inner in typing.get_args(type_):
        yield from _checks_in(inner)


def _writable(text: str) -> bool:
    try:
        wire.encode(text)
    except wire.WireError:
        return False
    return True
