"""Everything that is wrong with a document, at once: its shape, its texts, its checks and its rules.

It walks what any reader of JSON returns, beside the classes of its type. msgspec, which stops at the first fault, is
asked about each field alone, so that it stays the one judge of shape. A rule is asked where the block that it speaks of
has the right shape: a wrong date in one person hides no fault of another.

Bounded, whatever the document: depth by the types, length by the document, words by `problems_max`.

Before this room: `decode` refused the document, or its file was read. After it: an officer corrects it.
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, Final, ParamSpec

import msgspec

from valija_schemas import wire
from valija_schemas.documents import words
from valija_schemas.documents.base import Block, Problem, rules_of
from valija_schemas.documents.plan import Shape, fields_of, shape_of

problems_max: Final = 100
"""More are counted and not said: nobody corrects them in one go, and words for each would hold up the reader."""

counted_max: Final = 10_000
"""Where there are more the walk ends: a stranger's megabyte of wrong items is no work for a second."""

P = ParamSpec("P")


def found_in(struct: type[Block], value: object, *, whole: bool) -> tuple[Problem, ...]:
    """What is wrong with `value` as a document of class `struct`, in the order of its fields; empty if nothing is.

    `value` is what a reader of JSON or TOML returns; `whole` says that it is as documents travel, with every field.
    """
    search = _Search(whole=whole)
    with contextlib.suppress(_EnoughError):
        search.value(shape_of(struct), value, "$")
    more = (words.more(search.more),) if search.more else ()
    return (*search.problems, *more)


class _EnoughError(Exception):
    """More is wrong than is counted."""


class _Search:
    """One walk. A method says whether the shape of what it looked at is right; rules do not decide that."""

    def __init__(self, *, whole: bool) -> None:
        self.whole: Final = whole
        self.problems: Final[list[Problem]] = []
        self.more = 0

    def value(self, shape: Shape, value: object, path: str) -> bool:
        if isinstance(value, dict) and shape.blocks:
            return self._group(shape, value, path)
        if isinstance(value, list | tuple) and shape.items:
            return self._list(shape, shape.items, value, path)
        return self._leaf(shape, value, path)

    def _group(self, shape: Shape, value: dict[str, Any], path: str) -> bool:
        struct, *others = shape.blocks.values()
        right = True
        if shape.kinds and "kind" in value:
            right = self._leaf(shape.kinds, value["kind"], f"{path}.kind")
        elif shape.kinds and (others or self.whole):
            right = False
            self._add(words.missing, shape.kinds, path, "kind")
        if others and not right:
            return False
        return self._fields(shape.blocks[value["kind"]] if others else struct, value, path) and right

    def _fields(self, struct: type[Block], value: dict[str, Any], path: str) -> bool:
        fields = fields_of(struct)
        known = {struct.__struct_config__.tag_field, *(field.name for field in fields)}
        right = True
        for name in value:
            if name not in known:
                self._add(words.unknown, fields, path, name)
                right = False
        for field in fields:
            if field.name in value:
                right &= self.value(field.shape, value[field.name], f"{path}.{field.name}")
            elif field.required or self.whole:
                self._add(words.missing if field.required else words.left_out, field.shape, path, field.name)
                right = False
        return right and self._rules(struct, value, path)

    def _list(self, shape: Shape, items: Shape, value: Sequence[object], path: str) -> bool:
        if not items.blocks and _fits(shape, value):
            for index, inner in enumerate(value):
                if isinstance(inner, str):
                    self._text(items, inner, f"{path}[{index}]")
            return True
        right = True
        for index, inner in enumerate(value):
            right &= self.value(items, inner, f"{path}[{index}]")
        return right and self._leaf(shape, value, path)

    def _leaf(self, shape: Shape, value: object, path: str) -> bool:
        try:
            held = msgspec.convert({"value": value}, shape.holder)
        except (msgspec.ValidationError, RecursionError) as error:
            self._add(words.wrong, str(error), shape, path)
            return False
        if isinstance(value, str):
            self._text(shape, value, path)
            if self.whole and msgspec.to_builtins(held)["value"] != value:
                self._add(words.not_the_one_base64, path)
                return False
        return True

    def _text(self, shape: Shape, text: str, path: str) -> None:
        try:
            wire.encode(text)
        except wire.WireError:
            self._add(words.unwritable, path)
            return
        if shape.check and not shape.check.holds(text):
            self._add(Problem, shape.check.rule, path, shape.check.text)

    def _rules(self, struct: type[Block], value: dict[str, Any], path: str) -> bool:
        try:
            block = msgspec.convert(value, struct)
        except (msgspec.ValidationError, RecursionError) as error:
            self._add(words.unreadable, str(error), path)
            return False
        for name, method in rules_of(struct):
            for fault in method(block):
                self._add(Problem.of, name, path + fault[0], *fault[1:])
        return True

    def _add(self, make: Callable[P, Problem], /, *args: P.args, **kwargs: P.kwargs) -> None:
        # What is said is made only when it is said: a hundred thousand faults cost a count each.
        if len(self.problems) < problems_max:
            self.problems.append(make(*args, **kwargs))
        elif self.more < counted_max:
            self.more += 1
        else:
            raise _EnoughError


def _fits(shape: Shape, value: object) -> bool:
    try:
        msgspec.convert({"value": value}, shape.holder)
    except (msgspec.ValidationError, RecursionError):
        return False
    return True
