"""Who may ask what of the console.

Every route is declared here, with the roles that it is for, or as open to anybody; one that is not stops the start.

Before this room: `app`. After it: `session`, then `api`, `door` and the pages. Rules: schemas/SPEC.md section 3.5.
"""

import hmac
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from aiohttp import web
from aiohttp.typedefs import Handler

from valija_broker.console.session import Session, Sessions
from valija_broker.errors import BadConfig, Refused
from valija_broker.protocol import SERVER
from valija_broker.reading import read_body
from valija_broker.room import Room
from valija_schemas.directory import Role

form_bytes_max: Final = 16 * 1024  #: A reason of 500 letters, percent-encoded, and what stands beside it.
form_fields_max: Final = 32
open_bytes_max: Final = 4 * 1024 * 1024  #: Of the requests of one person that are open at once: 64 of them.
PROGRAMS: Final = "/admin/"  #: What begins so answers programs, in JSON.
_FORM_TYPE: Final = "application/x-www-form-urlencoded"
_MULTIPART: Final = re.compile(r"multipart/form-data; ?boundary=\"?([0-9A-Za-z'()+_,./:=?-]{1,70})\"?")
_BEARER: Final = re.compile(r"Bearer ([A-Za-z0-9_-]{43})")
_COOKIE: Final = re.compile(r"[A-Za-z0-9_-]{43}")

#: On every answer. Pages load what this console serves, and nothing else; no script stands inside one. `same-origin`,
#: since a browser that is told `no-referrer` hides the origin of forms from us, too (Fetch, "append a request Origin").
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Server": SERVER,
}

session_key: Final = web.RequestKey("session", Session)
_token_key: Final = web.RequestKey("token", str)
ended_key: Final = web.RequestKey("ended", bool)  #: A browser named a session, and there is none, or not any more.


def who(request: web.Request) -> Session:
    """Who asks, on a route that is declared with roles."""
    return request[session_key]


def token_of(request: web.Request) -> str:
    """What that session is known by."""
    return request[_token_key]


class Guard:
    """The routes of one console, and who may call each."""

    def __init__(self, sessions: Sessions, room: Room, address: str) -> None:
        self._sessions = sessions
        self._room = room
        self._address = address
        self._authority = address.partition("://")[2]
        self._secure = address.startswith("https://")
        self.cookie: Final = "__Host-valija" if self._secure else "valija"
        self._declared: dict[tuple[str, str], tuple[frozenset[Role] | None, int]] = {}

    def declare(self, method: str, path: str, roles: frozenset[Role] | None, bytes_max: int = form_bytes_max) -> None:
        """Let those in who have one of `roles`; None: anybody. A request of theirs holds `bytes_max` at most."""
        self._declared[method, path] = roles, bytes_max

    def page(
        self,
        app: web.Application,
        method: str,
        path: str,
        handler: Handler,
        roles: frozenset[Role] | None,
    ) -> None:
        """Add a route with its declaration."""
        self.declare(method, path, roles)
        app.router.add_route(method, path, handler)

    def require_all_declared(self, app: web.Application) -> None:
        """Refuse to start with a route that nobody thought about.

        Raises:
            BadConfig: there is one.
        """
        for route in app.router.routes():
            found = (route.method, route.resource.canonical if route.resource else "")
            if found not in self._declared:
                raise BadConfig(f"a route of the console is not declared: {found[0]} {found[1]}")

    @web.middleware
    async def admitted(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let a request in whose session may call its route.

        Raises:
            Refused: `not-found`, it was sent to somebody else; `not-signed-in`, `not-allowed`; `busy`.
        """
        if request.headers.getall("Host", []) != [self._authority]:
            raise Refused("not-found", "the request is for another host")
        resource = request.match_info.route.resource
        if resource is None:
            return await handler(request)  # there is none, or not with this method: the framework says so
        roles, bytes_max = self._declared[request.match_info.route.method, resource.canonical]
        if roles is not None:
            session = self._session(request)
            if not session.roles & roles:
                raise Refused("not-allowed", f"this is for {', '.join(sorted(roles))}")
            self._room.take(request, session.operator, bytes_max)
            request[session_key] = session
        elif request.method != "GET":
            self._require_no_other_page(request)
        return await handler(request)

    def _session(self, request: web.Request) -> Session:
        """The session that a request names, by a bearer token or by a browser's cookie, never by both."""
        bearers, cookies = request.headers.getall("Authorization", []), self._cookies(request)
        if len(bearers) + len(cookies) != 1:
            raise Refused("not-signed-in", "no session is named, or more than one")
        if bearers:
            found = _BEARER.fullmatch(bearers[0])
            if found is None:
                raise Refused("not-signed-in", "not a bearer token")
            request[_token_key] = found[1]
            session = self._sessions.of(found[1])
            if session.csrf:
                raise Refused("not-signed-in", "a browser's token came as a program's")
            return session
        # What a page asks by itself does not keep a session alive that nobody sits at.
        request[ended_key] = True
        session = self._sessions.of(cookies[0], by_hand="HX-Request" not in request.headers)
        if not session.csrf:
            raise Refused("not-signed-in", "a program's token came as a browser's")
        if request.method != "GET":
            if request.path.startswith(PROGRAMS):
                raise Refused("not-allowed", "a browser's session does nothing here: there are forms")
            self.require_own_page(request)
        request[ended_key] = False
        request[_token_key] = cookies[0]
        return session

    def _cookies(self, request: web.Request) -> list[str]:
        """The values of our cookie. Read by hand: the framework takes the last of several."""
        parts = [part.strip() for field in request.headers.getall("Cookie", []) for part in field.split(";")]
        return [
            part.partition("=")[2]
            for part in parts
            if part.partition("=")[0] == self.cookie and _COOKIE.fullmatch(part.partition("=")[2])
        ]

    def require_own_page(self, request: web.Request) -> None:
        """Refuse what does not come from a page of this console.

        Raises:
            Refused: `not-allowed`.
        """
        if request.headers.getall("Origin", []) != [self._address]:
            raise Refused("not-allowed", "the request comes from a page of another site, or of none")

    def _require_no_other_page(self, request: web.Request) -> None:
        """A browser says where a POST comes from; a program does not."""
        if request.headers.getall("Origin", [self._address]) != [self._address]:
            raise Refused("not-allowed", "the request comes from a page of another site")

    async def form(self, request: web.Request) -> Mapping[str, str]:
        """The fields of a form of this session: it repeats what the session's forms hold.

        Raises:
            Refused: `unsupported`, `too-large`, `too-slow`, `malformed`; `not-allowed`, it is no form of ours.
        """
        fields = await read_form(request)
        self._require_csrf(request, fields.pop("csrf", ""))
        return fields

    async def upload(self, request: web.Request, bytes_max: int) -> bytes:
        """The file of a form of this session: two parts, the token of the form first.

        Raises:
            Refused: as `form`.
        """
        media = _MULTIPART.fullmatch(request.headers.get("Content-Type", ""))
        if media is None or "Content-Encoding" in request.headers:
            raise Refused("unsupported", "not a form with a file")
        fields = _parts(await read_body(request, bytes_max + form_bytes_max), media[1].encode())
        self._require_csrf(request, fields["csrf"].decode("ascii", "replace"))
        if len(fields["file"]) > bytes_max:
            raise Refused("too-large", f"more than {bytes_max} bytes")
        return fields["file"]

    def _require_csrf(self, request: web.Request, given: str) -> None:
        expected = who(request).csrf
        if not expected or not _same(given, expected):
            raise Refused("not-allowed", "the form is not of this session")

    def set_cookie(self, response: web.StreamResponse, token: str) -> None:
        """Give a browser its session, for as long as it is open: the server knows when the session ends."""
        response.set_cookie(self.cookie, token, path="/", secure=self._secure, httponly=True, samesite="Strict")

    def clear_cookie(self, response: web.StreamResponse) -> None:
        """Take it back."""
        response.del_cookie(self.cookie, path="/", secure=self._secure, httponly=True, samesite="Strict")

    async def say_headers(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """On every answer."""
        del request
        response.headers.update(HEADERS)
        response.headers.setdefault("Cache-Control", "no-store")
        if self._secure:
            response.headers["Strict-Transport-Security"] = "max-age=31536000"


async def read_form(request: web.Request) -> dict[str, str]:
    """The fields of a form, each once.

    Raises:
        Refused: `unsupported`, `too-large`, `too-slow`, `malformed`.
    """
    if request.content_type != _FORM_TYPE or "Content-Encoding" in request.headers:
        raise Refused("unsupported", "not a form")
    body = await read_body(request, form_bytes_max)
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(body),
            errors="strict",
            max_num_fields=form_fields_max,
        )
    except ValueError:
        raise Refused("malformed", "this is no form") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Refused("malformed", "a field is there twice")
    return fields


def _parts(body: bytes, boundary: bytes) -> dict[str, bytes]:
    """The token and the file of a form (RFC 7578), by hand: the framework's reader fails at some that are none."""
    begin, between, end = b"--%b\r\n" % boundary, b"\r\n--%b\r\n" % boundary, b"\r\n--%b--" % boundary
    whole = body.removesuffix(b"\r\n")
    parts = whole[len(begin) : -len(end)].split(between, 2) if whole.startswith(begin) and whole.endswith(end) else []
    found = {}
    for name, part in zip(("csrf", "file"), parts, strict=False):
        head, blank, data = part.partition(b"\r\n\r\n")
        if blank and re.search(rb'(?im)^content-disposition: form-data; name="%b"' % name.encode(), head):
            found[name] = data
    if len(found) != 2 or len(parts) != 2:
        raise Refused("malformed", "this is no form with a token and a file")
    return found


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())
