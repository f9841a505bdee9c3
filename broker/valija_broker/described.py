"""What a document of an API holds beside the routes: what `openapi` is told by each of the two APIs.

Before this room: `openapi_agencies`, `openapi_admin`. After it: `openapi`.
"""

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import msgspec

from valija_broker.declared import Route, Table


class Api(msgspec.Struct, frozen=True, kw_only=True):
    """An API and what is to be said of it."""

    title: str
    about: str  #: In paragraphs.
    server: str  #: An example of its address.
    prefix: str  #: Of every path; the part behind it chooses the tag.
    table: Table
    shapes: tuple[ModuleType, ...]  #: Where the types of its bodies are defined.
    tags: Mapping[str, str]
    path_parameters: Mapping[str, tuple[Any, str]]  #: Type and meaning.
    headers: Mapping[str, tuple[str, str, str]]  #: What a request that says who asks has: name, meaning, pattern.
    security: Mapping[str, Any]  #: How a request says who asks: each of these suffices.
    challenge: str  #: `WWW-Authenticate`.
    who: Callable[[Route], str]  #: Who may call a route, in a sentence.
    time_ms: int  #: Of every example.
    requests: Mapping[str, Any]  #: An example of what an operation takes, where it can be written in JSON.
    answers: Mapping[str, Any]  #: An example of what it gives.
    files: Mapping[tuple[str, str], str]  #: The examples that are files, by operation and `takes` or `gives`.
