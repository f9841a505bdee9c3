"""What a block is made of, worked out once for each class, so that reading a document asks no type what it is.

Before this room: the classes of `blocks` and `forms`. After it: `rules`, which asks whether a document keeps every
rule, and `faults`, which says what is wrong with one that does not.
"""

import types
import typing
from collections.abc import Callable, Mapping
from functools import cache
from operator import attrgetter
from typing import Annotated, Any, Literal

import msgspec

from valija_schemas.documents.base import Block, Faults, rules_of
from valija_schemas.documents.checks import Check


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """What may stand in a field, or in each place of a list."""

    holder: type[msgspec.Struct]  #: A Struct whose one field `value` is of this type: msgspec reads those fastest.
    form: str = ""  #: How to write it, where its type says that.
    codes: tuple[str, ...] = ()  #: The codes to choose from.
    check: Check | None = None  #: What its pattern cannot say.
    blocks: Mapping[str, type[Block]] = types.MappingProxyType({})  #: Which groups, by what each calls itself.
    kinds: "Shape | None" = None  #: What may stand in the field `kind` by which a group calls itself.
    items: "Shape | None" = None  #: What may stand in each place, where this is a list.
    nullable: bool = False  #: Whether it may be empty.


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One field of a block."""

    name: str
    shape: Shape
    required: bool  #: Whether a person's file must have it.


class Walk(msgspec.Struct, frozen=True, kw_only=True):
    """What to ask a block, and where in it to go on. A getter takes the block and gives what the field holds."""

    rules: tuple[Callable[[Block], Faults], ...]
    checked: tuple[tuple[Callable[[Block], str | None], Callable[[str], bool]], ...]  #: Fields with a check.
    checked_lists: tuple[tuple[Callable[[Block], tuple[str, ...]], Callable[[str], bool]], ...]
    blocks: tuple[Callable[[Block], Block | None], ...]  #: Fields that hold another block.
    block_lists: tuple[Callable[[Block], tuple[Block, ...]], ...]


@cache
def fields_of(block: type[Block]) -> tuple[Field, ...]:
    """The fields of `block`, in order."""
    hints = typing.get_type_hints(block, include_extras=True)
    return tuple(
        Field(name=field.name, shape=shape_of(hints[field.name]), required=field.required)
        for field in msgspec.structs.fields(block)
    )


@cache
def walk_of(block: type[Block]) -> Walk:
    """The way through a block of this class."""
    one = [(attrgetter(field.name), field.shape) for field in fields_of(block) if not field.shape.items]
    many = [(attrgetter(field.name), field.shape.items) for field in fields_of(block) if field.shape.items]
    return Walk(
        rules=tuple(method for _, method in rules_of(block)),
        checked=tuple((get, shape.check.holds) for get, shape in one if shape.check),
        checked_lists=tuple((get, shape.check.holds) for get, shape in many if shape.check),
        blocks=tuple(get for get, shape in one if _has_to_be_asked(shape)),
        block_lists=tuple(get for get, shape in many if _has_to_be_asked(shape)),
    )


def checks_of(block: type[Block]) -> tuple[tuple[str, Check], ...]:
    """The fields of `block` whose type carries a check, each with it."""
    found = ((field.name, (field.shape.items or field.shape).check) for field in fields_of(block))
    return tuple((name, check) for name, check in found if check)


def _has_to_be_asked(shape: Shape) -> bool:
    """Whether a block in it, or one inside that, has a rule or a check. Many have none: a grading, a question."""
    return any(any(msgspec.structs.astuple(walk_of(block))) for block in shape.blocks.values())


def shape_of(hint: Any) -> Shape:
    """What may stand where a field is annotated with `hint`."""
    inner, metas = (hint.__origin__, hint.__metadata__) if typing.get_origin(hint) is Annotated else (hint, ())
    holder = msgspec.defstruct("Holder", [("value", hint)])
    origin, arguments = typing.get_origin(inner), typing.get_args(inner)
    if origin in {typing.Union, types.UnionType}:
        choices = [choice for choice in arguments if choice is not types.NoneType]
        if len(choices) == 1:
            return msgspec.structs.replace(shape_of(choices[0]), holder=holder, nullable=True)
        return msgspec.structs.replace(_shape_of_groups(choices, holder), nullable=types.NoneType in arguments)
    if origin is tuple:
        return Shape(holder=holder, items=shape_of(arguments[0]))
    if origin is Literal:
        return Shape(holder=holder, codes=arguments)
    if isinstance(inner, type) and issubclass(inner, Block):
        return _shape_of_groups([inner], holder)
    checks = [meta.extra["check"] for meta in metas if meta.extra]
    form = [meta.description for meta in metas if meta.description]
    return Shape(holder=holder, form=form[-1] if form else "", check=checks[0] if checks else None)


def _shape_of_groups(groups: list[type[Block]], holder: type[msgspec.Struct]) -> Shape:
    blocks = {str(group.__struct_config__.tag): group for group in groups}
    tagged = groups[0].__struct_config__.tag_field is not None
    return Shape(holder=holder, blocks=blocks, kinds=shape_of(Literal[tuple(blocks)]) if tagged else None)
