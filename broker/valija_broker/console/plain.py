"""Pages without a template, for what is said whatever else is at fault: how one signs in, and that something failed.

Before this room: `door`, `app`. After it: nothing.
"""

from html import escape
from typing import Final

from aiohttp import web

from valija_broker.problems import describe
from valija_schemas.problem import KINDS, Code

HOW: Final = (
    "<p>Sign in on your own machine, where your key is: the one that the root names. What signs in there opens this "
    "console in your browser.</p>"
)


def page(title: str, body: str, status: int = 200) -> web.Response:
    """A page; `body` is HTML."""
    text = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>'
        f"{escape(title)} - Valija</title></head>\n"
        f"<body><main><h1>{escape(title)}</h1>\n{body}\n</main></body></html>\n"
    )
    return web.Response(status=status, text=text, content_type="text/html")


def refusal(request: web.Request, error: Exception) -> web.Response:
    """What went wrong, for a person. Who is not signed in is told how, and that a session ends where one was named."""
    found = describe(error)
    if found.code == "not-signed-in":
        ended = "Cookie" in request.headers
        title = "Your session has ended" if ended else "Sign in"
        return page(title, HOW, 401)
    kind = KINDS[Code(found.code)]
    return page(kind.title, f"<p>{escape(kind.hint)}</p>", found.status)
