"""The walk through a document that asks every block and every checked text for its problems, all at once.

Before this room: the shape has been read by msgspec, so that every field has its type. After it: the document is
sealed, or shown to the officer who opens it.
"""

import typing
from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any, Final

import msgspec

from valija_schemas import wire
from valija_schemas.documents.base import Block, Problem, rules_of
from valija_schemas.documents.checks import Check

TEXT_RULE: Final = "text-characters"
_TEXT_WORDS: Final = (
    "The text holds an invisible control character, ends with a line break, or spells accents in pieces (not NFC). "
    "Write the field again by hand."
)


def problems(value: Block, path: str = "$") -> Iterator[Problem]:
    """Everything that the rules find wrong with `value` and with the blocks inside it."""
    for name, method in rules_of(type(value)):
        for at, text in method(value):
            yield Problem(name, path + at, text)
    for name, check in checks_of(type(value)):
        for at, text in _texts(getattr(value, name), f"{path}.{name}"):
            if not check.holds(text):
                yield Problem(check.rule, at, check.text)
    for name in value.__struct_fields__:
        for at, inner in _items(getattr(value, name), f"{path}.{name}"):
            if isinstance(inner, Block):
                yield from problems(inner, at)


def text_problems(value: object, path: str = "$") -> Iterator[Problem]:
    """The texts in `value` that the one form cannot hold. It may be a block or what a JSON reader returns."""
    if isinstance(value, str):
        if not _writable(value):
            yield Problem(TEXT_RULE, path, _TEXT_WORDS)
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


def _checks_in(type_: Any) -> Iterator[Check]:
    if typing.get_origin(type_) is Annotated:
        for meta in type_.__metadata__:
            if isinstance(meta, msgspec.Meta) and meta.extra and "check" in meta.extra:
                yield meta.extra["check"]
    for inner in typing.get_args(type_):
        yield from _checks_in(inner)


def _items(value: object, path: str) -> Iterator[tuple[str, object]]:
    if isinstance(value, tuple):
        yield from ((f"{path}[{index}]", inner) for index, inner in enumerate(value))
    else:
        yield path, value


def _texts(value: object, path: str) -> Iterator[tuple[str, str]]:
    for at, inner in _items(value, path):
        if isinstance(inner, str):
            yield at, inner


def _writable(text: str) -> bool:
    try:
        wire.encode(text)
    except wire.WireError:
        return False
    return True
