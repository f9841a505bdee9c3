"""What the operators' API says of itself: its OpenAPI document and the page of it, for a browser without a network.

Nothing in them is secret: they are the files schemas/openapi/admin.json and admin.html. They are made at the first
request, since making them takes a tenth of a second.

Before this room: `app`. After it: `openapi`, `reference`.
"""

import functools

from aiohttp import web

from valija_broker import openapi, openapi_admin, reference
from valija_broker.console.guard import Guard


def add_documents(app: web.Application, guard: Guard) -> None:
    """Add the addresses of both, open to anybody who reaches the console."""
    guard.page(app, "GET", "/admin/v1/openapi.json", _document, None)
    guard.page(app, "GET", "/reference/admin.html", _page, None)
    guard.page(app, "GET", "/reference/reference.css", _style, None)


@functools.cache
def _written() -> tuple[str, str]:
    document = openapi.made(openapi_admin.described())
    return openapi.written(document), reference.page(document)


async def _document(request: web.Request) -> web.StreamResponse:
    del request
    return web.Response(text=_written()[0], content_type="application/json")


async def _page(request: web.Request) -> web.StreamResponse:
    del request
    return web.Response(text=_written()[1], content_type="text/html")


async def _style(request: web.Request) -> web.StreamResponse:
    del request
    return web.Response(text=reference.STYLE, content_type="text/css")
