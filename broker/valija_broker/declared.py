"""What a route takes, gives and refuses: declared once, beside its handler, and kept and published from there.

The declaration is what refuses another content type, says who may call, and names the type of the answer; and it is
what schemas/openapi is written from, so that the page says what the code does. There are two tables: the agencies' and
the operators'.

Before this room: `routes`, `console.api`. After it: `openapi` writes it down. Rules: schemas/SPEC.md 3.3 and 3.5.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import web

from valija_broker.errors import Refused
from valija_schemas import api
from valija_schemas.directory import Role
from valija_schemas.problem import Code

Handler = Callable[[Any, web.Request], Awaitable[web.StreamResponse]]
H = TypeVar("H", bound=Handler)


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a request or an answer."""

    media: str  #: Its content type.
    of: Any = None  #: What it holds, as the decoder has it; None for raw bytes.
    about: str  #: In a phrase.
    status: int = 200  #: Of the answer that it is.
    bytes_max: int = api.request_bytes_max  #: Of the request that it is.


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """A parameter of the query."""

    name: str
    about: str
    of: Any = api.Number  #: Its type; an `api.Number` that is left out is 0.
    needed: bool = False  #: It may not be left out.


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One address with one method."""

    method: str
    path: str  #: In the spelling of the framework: `{path:.+}` takes slashes, too.
    name: str  #: Of the handler, and of the operation.
    about: str  #: The docstring of the handler.
    takes: Content | None
    gives: Content
    query: tuple[Query, ...]
    signed: bool  #: By RFC 9421; else the body is signed itself.
    active: bool  #: Refuses who is suspended or held.
    roles: frozenset[Role]  #: The roles of a session of which one is needed; none where contact points call.
    refuses: tuple[Code, ...]  #: Every code that it may answer, in the order of SPEC.md 3.4.


#: What a route gives, found in its request.
route_key: Final = web.RequestKey("route", Route)

_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,14}")  #: `api.Number`, as it is written.

#: What every route may answer (SPEC.md 3.3).
EVERYWHERE: Final = frozenset({Code.MALFORMED, Code.TOO_LARGE, Code.TOO_SLOW, Code.BUSY, Code.UNAVAILABLE})


class Table:
    """The routes of one API, in the order in which they are declared.

    Each keeps who may call it as its own handler does it: contact points by a signature, operators by a session.
    """

    def __init__(self) -> None:
        self.routes: dict[str, Route] = {}  #: By the name of the handler.

    def route(
        self,
        method: str,
        path: str,
        *,
        gives: Content,
        takes: Content | None = None,
        query: tuple[Query, ...] = (),
        signed: bool = True,
        active: bool = False,
        roles: frozenset[Role] = frozenset(),
        refuses: frozenset[Code] = frozenset(),
    ) -> Callable[[H], H]:
        """Declare that the handler below answers `method` at `path`; `refuses` is what it refuses beyond the usual."""
        codes = EVERYWHERE | refuses
        if takes is not None:
            codes |= {Code.UNSUPPORTED}
        if roles:
            codes |= {Code.NOT_SIGNED_IN, Code.NOT_ALLOWED}
        elif signed:
            codes |= {Code.NOT_SIGNED}
        if active:
            codes |= {Code.SUSPENDED, Code.HELD}

        def keep(handler: H) -> H:
            self.routes[handler.__name__] = Route(
                method=method,
                path=path,
                name=handler.__name__,
                about=(handler.__doc__ or "").strip(),
                takes=takes,
                gives=gives,
                query=query,
                signed=signed and not roles,
                active=active,
                roles=roles,
                refuses=tuple(code for code in Code if code in codes),
            )
            return handler

        return keep

    def bound(self, *rooms: object) -> list[web.RouteDef]:
        """What the framework wants to know: each route with its handler in one of `rooms`, behind the rule on content.

        Raises:
            AttributeError: a handler is in none of them.
        """
        return [
            web.RouteDef(route.method, route.path, _declared(route, _handler(rooms, route.name)), _options(route))
            for route in self.routes.values()
        ]


def _handler(rooms: tuple[object, ...], name: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    found: Callable[[web.Request], Awaitable[web.StreamResponse]] = getattr(
        next((room for room in rooms if hasattr(room, name)), None), name
    )
    return found


def _options(route: Route) -> dict[str, Any]:
    return {"allow_head": False} if route.method == "GET" else {}


def _declared(route: Route, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Any:
    async def declared(request: web.Request) -> web.StreamResponse:
        request[route_key] = route
        if route.takes is not None and (
            request.headers.get("Content-Type") != route.takes.media or "Content-Encoding" in request.headers
        ):
            raise Refused("unsupported", "another content type, or a content encoding")
        return await handler(request)

    return declared


def give(request: web.Request, body: bytes) -> web.Response:
    """The answer to `request` that its route declares, with `body`."""
    gives = request[route_key].gives
    return web.Response(body=body, status=gives.status, content_type=gives.media, headers={"Cache-Control": "no-store"})


def queried(request: web.Request) -> dict[str, Any]:
    """The parameters of the query that are there, each of the type that its route declares.

    Raises:
        Refused: `malformed`; one is not declared, is there twice, is not of its type, or is needed and is not there.
    """
    declared = {query.name: query for query in request[route_key].query}
    found: dict[str, Any] = {}
    for name, text in request.query.items():
        if name not in declared or name in found:
            raise Refused("malformed", f"{name}: not a parameter of this address, or twice")
        if not text.isprintable():  # the pattern of a type lets a newline follow
            raise Refused("malformed", f"{name}: not printable")
        try:
            found[name] = msgspec.convert(text, declared[name].of, strict=False)
        except msgspec.ValidationError as error:
            raise Refused("malformed", f"{name}: {error}") from None
    if missing := [query.name for query in declared.values() if query.needed and query.name not in found]:
        raise Refused("malformed", f"{missing[0]}: it is needed")
    return found


def query_number(request: web.Request, name: str) -> int:
    """The number `name` of the query, or 0.

    Raises:
        Refused: `malformed`; it is no number.
    """
    text = request.query.get(name, "0")
    if not _NUMBER.fullmatch(text):
        raise Refused("malformed", f"{name} is not a number")
    return int(text)


def path_number(request: web.Request) -> int:
    """The number in the path.

    Raises:
        Refused: `not-found`; it is no number.
    """
    text = request.match_info["number"]
    if not _NUMBER.fullmatch(text):
        raise Refused("not-found", "not a number")
    return int(text)
