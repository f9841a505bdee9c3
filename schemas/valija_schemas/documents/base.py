"""What every document type stands on: blocks, rules, problems and the registry of types.

A block is a group of fields that several types share; a document is a block that can be sent. Shape (which fields,
which types, which patterns) is declared by the fields and is also in the JSON Schema. What a schema cannot say (a
check digit, two fields that depend on each other) is a rule: a method marked with `rule`, whose docstring is the
sentence that the published schema and schemas/json/README.md show.

The promise: a type is added by one module in `forms` and one example, and touches nothing else.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from types import MappingProxyType
from typing import Final, Literal, Self, TypeVar

import msgspec

from valija_schemas.directory import Area

Language = Literal["en", "es", "fr", "pt"]
"""The official languages of the Organization of American States, by ISO 639-1."""

Faults = Iterator[tuple[str, str] | tuple[str, str, Mapping[str, object]]]
"""What a rule yields: a path from its block (`.text`, or nothing for the block itself), words for an officer, and what
stands in their {names}. The words are a literal, so that `templates` finds them for those who translate."""

PHRASES: Final = frozenset({"form", "given", "wanted"})
"""The values of a problem that are words of ours and not of the document: whoever translates it translates them too."""


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong with a document."""

    rule: str  #: The rule's name: `imo-check-digit`.
    path: str  #: The field: `$.case.offences[0].code`.
    template: str  #: What is wrong and what to do, in words that an officer understands, with {names} for values.
    values: tuple[tuple[str, str], ...] = ()  #: What stands in each of the names, by name.

    @classmethod
    def of(cls, rule: str, path: str, template: str, values: Mapping[str, object] = MappingProxyType({})) -> Self:
        """A problem whose values are written as texts."""
        return cls(rule, path, template, tuple(sorted((name, str(value)) for name, value in values.items())))

    @property
    def text(self) -> str:
        """What is wrong and what to do, in English."""
        return self.template.format_map(dict(self.values)) if self.values else self.template

    def __str__(self) -> str:
        return f"{self.path}: {self.text} [{self.rule}]"


class DocumentError(ValueError):
    """A document does not validate; `errors` says everything that is wrong with it."""

    def __init__(self, errors: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, errors)))
        self.errors = errors


class UnknownType(ValueError):  # noqa: N818 - it reads as what it says: the type is unknown
    """No document type bears this name in this version."""

    def __init__(self, type_: str, text: str) -> None:
        super().__init__(text)
        self.type_ = type_


class Block(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A group of fields that validates as one. Fields that are left out are null or empty, and are sent as such."""


class Document(Block, frozen=True, kw_only=True):
    """A document that can be sent: what lies inside the seal."""

    language: Language  #: The language in which the free texts are written.


class DocumentType(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about a document type before any document of it is read."""

    name: str  #: `information-request`
    version: int  #: From 1; a change that an old reader would refuse is a new version.
    struct: type[Document]  #: What is read and written.
    areas: tuple[Area, ...]  #: The areas of cooperation in which it may travel.
    source: str  #: The treaty or form that it comes from.
    replies: tuple[str, ...]  #: The types that answer it: `response/1`.

    @property
    def type_(self) -> str:
        """Name and version, as the header of a message writes them: `information-request/1`."""
        return f"{self.name}/{self.version}"


D = TypeVar("D", bound=Document)
R = TypeVar("R", bound=Callable[..., Faults])

_rule_names: Final[dict[object, str]] = {}
registry: Final[dict[str, DocumentType]] = {}


def rule(name: str) -> Callable[[R], R]:
    """Mark a method of a block as a rule that every value of it must keep. Its docstring says the rule."""

    def mark(method: R) -> R:
        _rule_names[method] = name
        return method

    return mark


def document(
    name: str, version: int, *, areas: tuple[Area, ...], source: str, replies: tuple[str, ...] = ()
) -> Callable[[type[D]], type[D]]:
    """Register a document type under `name` and `version`."""

    def register(struct: type[D]) -> type[D]:
        type_ = DocumentType(name=name, version=version, struct=struct, areas=areas, source=source, replies=replies)
        if type_.type_ in registry:
            raise ValueError(f"{type_.type_} is registered twice")
        registry[type_.type_] = type_
        return struct

    return register


@cache
def rules_of(block: type[Block]) -> tuple[tuple[str, Callable[[Block], Faults]], ...]:
    """The rules of `block` and of what it inherits, by name, in the order in which they are written."""
    return tuple(
        (_rule_names[method], method)
        for class_ in reversed(block.__mro__)
        for method in vars(class_).values()
        if inspect.isfunction(method) and method in _rule_names
    )
