"""Makes a page of a template, for one reader: their language, their roles, and where the same is had by other means.

Before this room: `pages`. After it: `language`, `shape`, the templates.
"""

import functools
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import jinja2
from aiohttp import web

from valija_broker.console.guard import ended_key, session_key
from valija_broker.console.pages import meanings, shape
from valija_broker.console.pages.language import COOKIE, LANGUAGES, NAMES, Words, wanted, words
from valija_broker.console.sight import MAY_SEE, OF_MESSAGES
from valija_broker.directory import now_ms
from valija_broker.problems import describe, headers_of
from valija_schemas.printable import printable
from valija_schemas.problem import Code

STATIC: Final = Path(__file__).with_name("static")
TEMPLATES: Final = Path(__file__).with_name("templates")
refresh_s: Final = 5  #: How often a page looks again.

#: The pages of the menu: path, and what the route asks of who looks.
MENU: Final[tuple[tuple[str, str], ...]] = (
    ("/", "overview"),
    ("/contact-points", "mailboxes"),
    ("/messages", "messages"),
    ("/dead-letters", "dead"),
    ("/proposals", "proposals"),
    ("/acts", "acts"),
    ("/directory", "versions"),
    ("/log", "log"),
    ("/report", "report"),
    ("/health", "health"),
)


class View:
    """The templates of one console. Safe to share."""

    def __init__(self, origin: str, address: str) -> None:
        """`address` is that of the console, as operators type it."""
        self._origin = origin
        self.address: Final = address
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            finalize=_stands,
        )
        self._templates.filters |= {
            "time": shape.time, "machine_time": shape.machine_time, "count": shape.count, "size": shape.size,
            "short": shape.short, "spark": shape.spark, "figure": shape.figure,
        }  # fmt: skip

    def page(
        self,
        request: web.Request,
        template: str,
        *,
        status: int = 200,
        command: str = "",
        json: str = "",
        live: bool = False,
        **values: Any,
    ) -> web.Response:
        """The page of `template`; `command` and `json` say how else to have what it shows, `live` has it look again."""
        said, reader = self.words(request), request.get(session_key)
        sees = {**MAY_SEE, "proposals": OF_MESSAGES}
        may_see = {name for name, roles in sees.items() if reader and roles & reader.roles}
        body = self._templates.get_template(f"{template}.html").render(
            say=said.say,
            term=said.term,
            span=functools.partial(shape.span, said),
            attention=functools.partial(meanings.attention, said),
            cause=functools.partial(meanings.cause, said),
            looked=functools.partial(meanings.looked, said),
            language=said.language,
            languages=[(code, NAMES[code]) for code in LANGUAGES],
            origin=self._origin,
            address=self.address,
            reader=reader,
            may_act=reader is not None and "operator" in reader.roles,
            menu=[(path, name) for path, name in MENU if name in may_see],
            here=request.path,
            url=str(request.rel_url) if request.method == "GET" else "/",
            command=command,
            json=json,
            live=live,
            refresh_s=refresh_s,
            now=now_ms(),
            **values,
        )
        return web.Response(text=body, status=status, content_type="text/html")

    def words(self, request: web.Request) -> Words:
        """What is said to whoever asks."""
        return words(wanted(request.cookies.get(COOKIE), request.headers.get("Accept-Language", "")))

    def refusal(self, request: web.Request, error: Exception) -> web.Response:
        """What went wrong. Who is not signed in is told how, and that a session ends where one was named."""
        found = describe(error)
        if found.code == Code.NOT_SIGNED_IN:
            why = "link" if request.method == "POST" and request.path == "/sign-in" else ""
            why = why or ("ended" if request.get(ended_key) else "")
            page = self.page(request, "sign-in", status=found.status, link="", why=why)
        else:
            title, advice = meanings.refusal(self.words(request), found.code)
            detail = str(error) if found.code in meanings.SAID else ""
            page = self.page(request, "problem", status=found.status, title=title, advice=advice, detail=detail)
        page.headers.update(headers_of(found, error))
        return page


def with_query(path: str, **query: object) -> str:
    """A URL with those of `query` that are something."""
    kept = {name: str(value) for name, value in query.items() if value is not None and value != ""}
    return f"{path}?{urlencode(kept)}" if kept else path


def _stands(value: object) -> object:
    """What others wrote turns no direction of reading, and hides nothing, wherever a template puts it."""
    return printable(value) if type(value) is str else value
