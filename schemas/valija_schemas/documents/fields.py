"""What a form asks: its fields in order, what each is called and means, which codes it takes.

Read from the Structs themselves: the type of a field says what may stand there, the `#:` comment behind it what it
means. Whoever writes a document for a person (`valija new`), shows one (`valija show`) or prints the page of a type
asks here, so that no form is described twice. Names and sentences are English; `valija.paper.language` translates
them, with the English text as the key.

Before this room: `base`, `labels`. After it: `valija.paper`.
"""

import ast
import inspect
import io
import textwrap
import tokenize
import typing
from collections.abc import Iterator
from functools import cache
from typing import Any, Literal

import msgspec

from valija_schemas.documents import labels
from valija_schemas.documents.base import Block, DocumentType

Kind = Literal["text", "line", "code", "number", "yes-no", "bytes", "group", "choice"]
"""What a field takes: a text of many lines, one line, one of its codes, a whole number, yes or no, the content of a
file, a group of fields, or one of several groups."""


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One field of a form."""

    name: str  #: As it stands in the document: `date_of_birth`.
    label: str  #: What it is called: `Date of birth`.
    help: str  #: What it means, in a sentence; empty where its name says it all.
    kind: Kind
    many: bool  #: Whether it takes a list.
    at_least: int  #: How many items the list needs; 0 or 1 for one that is no list.
    required: bool  #: Whether it may not be left out.
    default: Any  #: What it is when it is left out: None, an empty tuple, a code.
    codes: tuple[str, ...]  #: In the order of the form; empty where it takes none.
    groups: tuple[type[Block], ...]  #: One for a group, several for a choice.
    form: str  #: How to write it: `a day, such as 2026-11-24`; empty where anything goes.
    characters_max: int | None  #: How long a text may be.
    least: int | None  #: The smallest number.
    most: int | None  #: The largest number.


@cache
def fields_of(block: type[Block]) -> tuple[Field, ...]:
    """The fields of `block`, in the order in which they travel."""
    hints = typing.get_type_hints(block, include_extras=True)
    comments = _comments(block)
    return tuple(
        _field(block, field, tuple(_codes(hints[field.name])), comments.get(field.name, ""))
        for field in msgspec.structs.fields(block)
    )


def choice(field: Field, kind: str) -> type[Block]:
    """The group of a choice that calls itself `kind`.

    Raises:
        KeyError: none does.
    """
    return {tag_of(group): group for group in field.groups}[kind]


def tag_of(group: type[Block]) -> str:
    """What a group writes into `kind`, where several may stand: `bank-account`; empty for one that stands alone."""
    tag = group.__struct_config__.tag
    return tag if isinstance(tag, str) else ""


def title_of(of: type[Block] | DocumentType) -> str:
    """What a group or a document type is called: `Bank account`, `Information request`."""
    return labels.spaced(of.name) if isinstance(of, DocumentType) else labels.title(of.__name__)


def code_label(field: str, code: str) -> str:
    """What the code `code` of a field named `field` says, in English words."""
    return labels.CODES.get((field, code)) or labels.spaced(code)


def about(block: type[Block]) -> str:
    """What a group or a document is, in paragraphs of one line each."""
    return "\n\n".join(" ".join(each.split()) for each in inspect.cleandoc(block.__doc__ or "").split("\n\n"))


def blocks_of(struct: type[Block]) -> tuple[type[Block], ...]:
    """`struct` and every group that can stand in it, once each, outermost first."""
    found: dict[type[Block], None] = {}
    waiting = [struct]
    while waiting:
        block = waiting.pop(0)
        if block not in found:
            found[block] = None
            waiting += [group for field in fields_of(block) for group in field.groups]
    return tuple(found)


def _field(block: type[Block], field: msgspec.structs.FieldInfo, codes: tuple[str, ...], comment: str) -> Field:
    found = _Found()
    found.read(msgspec.inspect.type_info(field.type))
    return Field(
        name=field.encode_name,
        label=_label(block.__name__, field.name),
        help=comment,
        kind=found.kind,
        many=found.many,
        at_least=found.at_least if found.many else int(field.required),
        required=field.required,
        default=None if field.default is msgspec.NODEFAULT else field.default,
        codes=codes,
        groups=tuple(sorted(found.groups, key=tag_of)),
        form=found.form,
        characters_max=found.characters_max,
        least=found.least,
        most=found.most,
    )


def _label(block: str, name: str) -> str:
    return labels.FIELDS.get(f"{block}.{name}") or labels.FIELDS.get(name) or labels.spaced(name)


class _Found:
    """What is known of a field while its type is read from the outside to the inside."""

    def __init__(self) -> None:
        self.many = False
        self.at_least = 0
        self.kind: Kind = "line"
        self.groups: list[type[Block]] = []
        self.form = ""
        self.characters_max: int | None = None
        self.least: int | None = None
        self.most: int | None = None

    def read(self, type_: msgspec.inspect.Type) -> None:
        match type_:
            case msgspec.inspect.Metadata():
                self.form = (type_.extra_json_schema or {}).get("description", "") or self.form
                self.read(type_.type)
            case msgspec.inspect.UnionType():
                for inner in type_.types:
                    self.read(inner)
            case msgspec.inspect.VarTupleType():
                self.many, self.at_least = True, type_.min_length or 0
                self.read(type_.item_type)
            case msgspec.inspect.StructType():
                self.groups.append(typing.cast("type[Block]", type_.cls))
                self.kind = "choice" if len(self.groups) > 1 else "group"
            case msgspec.inspect.LiteralType():
                self.kind = "code"
            case msgspec.inspect.StrType():
                # A pattern without an end lets line breaks through.
                self.kind = "line" if (type_.pattern or "").endswith("$") else "text"
                self.characters_max = type_.max_length
            case msgspec.inspect.IntType():
                self.kind, self.least, self.most = "number", type_.ge, type_.le
            case msgspec.inspect.BoolType():
                self.kind = "yes-no"
            case msgspec.inspect.BytesType():
                self.kind = "bytes"
            case _:
                pass  # None, which `required` stands for


def _codes(hint: Any) -> Iterator[str]:
    """The codes that a type takes, in the order in which its source lists them; msgspec sorts them."""
    if typing.get_origin(hint) is Literal:
        yield from typing.get_args(hint)
    else:
        for inner in typing.get_args(hint):
            yield from _codes(inner)


def _comments(block: type[Block]) -> dict[str, str]:
    """The `#:` comment of each field of `block` and of what it inherits."""
    found: dict[str, str] = {}
    for class_ in reversed(block.__mro__):
        if issubclass(class_, Block):
            found |= comments_of(class_)
    return found


@cache
def comments_of(class_: type[msgspec.Struct]) -> dict[str, str]:
    """The `#:` comment of each field that `class_` itself declares; empty for one without."""
    source = textwrap.dedent(inspect.getsource(class_))
    comments = {
        token.start[0]: token.string.removeprefix("#:").strip()
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT and token.string.startswith("#:")
    }
    body = typing.cast("ast.ClassDef", ast.parse(source).body[0]).body
    return {
        statement.target.id: " ".join(
            comments[line] for line in range(statement.lineno, (statement.end_lineno or 0) + 1) if line in comments
        )
        for statement in body
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
    }
