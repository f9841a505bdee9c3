"""Coming in and going out: a challenge, a signed note, a token; for a browser a link that works once.

The link opens a page with one button, and the button follows it: what only looks at links, a mail filter or a browser
that reads ahead, uses none up.

Before this room: `guard`. After it: `session`. Rules: schemas/SPEC.md section 5.6.
"""

import msgspec
from aiohttp import web

from valija_broker.console.guard import Guard, read_form, token_of, who
from valija_broker.console.pages.view import View
from valija_broker.console.session import Sessions
from valija_broker.console.sight import EVERYBODY
from valija_broker.console.table import TABLE, json
from valija_broker.declared import Content, give
from valija_broker.reading import read_body
from valija_schemas import api, limits
from valija_schemas import session as schema
from valija_schemas.problem import Code


class Door:
    """Where sessions begin and end."""

    def __init__(self, sessions: Sessions, guard: Guard, view: View) -> None:
        self._sessions = sessions
        self._guard = guard
        self._view = view

    # For programs

    @TABLE.route(
        "GET",
        "/admin/v1/challenge",
        signed=False,
        gives=json(schema.Challenged, "a challenge"),
    )
    async def challenge(self, request: web.Request) -> web.StreamResponse:
        """A challenge to sign in with. It can be answered for two minutes, once."""
        return give(request, msgspec.json.encode(self._sessions.challenge()))

    @TABLE.route(
        "POST",
        "/admin/v1/sessions",
        signed=False,
        takes=Content(
            media=api.NOTE_TYPE, about="the note `valija/session/v1` that answers it", bytes_max=limits.note_bytes_max
        ),
        gives=json(schema.Begun, "the session, and a link for a browser", status=201),
        refuses=frozenset({Code.NOT_SIGNED_IN, Code.NOT_ALLOWED, Code.RATE}),
    )
    async def sign_in(self, request: web.Request) -> web.StreamResponse:
        """Sign in by a note that somebody signed whom the root names among the operators."""
        token, link, begun = self._sessions.begin(await read_body(request, limits.note_bytes_max))
        return give(
            request,
            msgspec.json.encode(
                schema.Begun(token=token, link=f"{self._view.address}/sign-in?link={link}", session=begun.shown())
            ),
        )

    @TABLE.route(
        "GET",
        "/admin/v1/session",
        roles=EVERYBODY,
        gives=json(schema.SignedIn, "the session"),
    )
    async def session(self, request: web.Request) -> web.StreamResponse:
        """Who is signed in, with which roles, until when."""
        return give(request, msgspec.json.encode(who(request).shown()))

    @TABLE.route(
        "DELETE",
        "/admin/v1/session",
        roles=EVERYBODY,
        gives=json(schema.SignedIn, "the session as it was"),
    )
    async def sign_out(self, request: web.Request) -> web.StreamResponse:
        """End the session, and those of the browsers that its link began."""
        self._sessions.end(token_of(request))
        return give(request, msgspec.json.encode(who(request).shown()))

    # For browsers

    def add_pages(self, app: web.Application) -> None:
        """Add the pages of signing in and out."""
        self._guard.page(app, "GET", "/sign-in", self.ask, None)
        self._guard.page(app, "POST", "/sign-in", self.follow, None)
        self._guard.page(app, "POST", "/sign-out", self.leave, EVERYBODY)

    async def ask(self, request: web.Request) -> web.StreamResponse:
        """The page of a link; without one, how to get one."""
        return self._view.page(request, "sign-in", link=request.query.get("link", ""), why="")

    async def follow(self, request: web.Request) -> web.StreamResponse:
        """The button was pressed."""
        self._guard.require_own_page(request)
        token, _ = self._sessions.follow((await read_form(request)).get("link", ""))
        response = web.Response(status=303, headers={"Location": "/"})
        self._guard.set_cookie(response, token)
        return response

    async def leave(self, request: web.Request) -> web.StreamResponse:
        """The session ends, here and in the browser."""
        await self._guard.form(request)
        self._sessions.end(token_of(request))
        response = web.Response(status=303, headers={"Location": "/sign-in"})
        self._guard.clear_cookie(response)
        return response
