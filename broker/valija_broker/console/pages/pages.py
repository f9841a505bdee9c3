"""The handlers of the pages: each looks through the session's `Sight` and fills one template.

A page shows what the API answers to the same session, by the same code, and says the command and the address that show
it, too. Who may not propose sees no form; what forms post to is not here.

Before this room: the console's `app`. After it: `view`, `sight`, `acting`.
"""

import re
import shlex
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import msgspec
from aiohttp import web

from valija_broker.console.acting import Acting
from valija_broker.console.guard import Guard, who
from valija_broker.console.pages.language import COOKIE, LANGUAGES
from valija_broker.console.pages.view import STATIC, View, with_query
from valija_broker.console.sight import MAY_SEE, OF_MESSAGES, Sight, Window
from valija_broker.directory import now_ms
from valija_broker.errors import Refused
from valija_schemas import admin

page_rows: Final = 50
_PLACE: Final = re.compile(r"/[A-Za-z0-9/._~?=&%-]{0,500}")
_IDENTIFIER: Final = re.compile(r"[a-z][a-z0-9.-]{0,63}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_MONTH: Final = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")
_ORDERS: Final[dict[str, Callable[[admin.Mailbox], Any]]] = {
    "id": lambda box: box.id,
    "ready": lambda box: -box.ready,
    "leased": lambda box: -box.leased,
    "dead": lambda box: -box.dead,
    "oldest": lambda box: box.oldest or 1 << 60,
    "p95": lambda box: -(box.collect_p95 or 0),
    "seen": lambda box: box.last_seen or 0,
}
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class Static(NamedTuple):
    """A file that goes with the pages."""

    body: bytes
    media: str


_MEDIA: Final = {".css": "text/css", ".js": "text/javascript"}
FILES: Final = {
    path.name: Static(path.read_bytes(), _MEDIA[path.suffix]) for path in STATIC.iterdir() if path.suffix in _MEDIA
}


class Pages:
    """What the pages need, made once a console."""

    def __init__(self, view: View, window: Window, acting: Acting, guard: Guard) -> None:
        self._view = view
        self._window = window
        self._acting = acting
        self._guard = guard

    def add(self, app: web.Application) -> None:
        """Add every page to `app`, each for those whose roles may see it."""
        for path, handler, sees in (
            ("/", self.overview, "overview"),
            ("/contact-points", self.contact_points, "mailboxes"),
            ("/contact-points/{contact_point}", self.contact_point, "mailbox"),
            ("/messages", self.messages, "messages"),
            ("/messages/{digest}", self.message, "story"),
            ("/dead-letters", self.dead_letters, "dead"),
            ("/acts", self.acts, "acts"),
            ("/directory", self.directory, "versions"),
            ("/log", self.log, "log"),
            ("/report", self.report, "report"),
            ("/health", self.health, "health"),
        ):
            self._guard.page(app, "GET", path, handler, MAY_SEE[sees])
        self._guard.page(app, "GET", "/proposals", self.proposals, OF_MESSAGES)
        self._guard.page(app, "GET", "/static/{name}", self.static, None)
        self._guard.page(app, "GET", "/language", self.language, None)

    async def static(self, request: web.Request) -> web.Response:
        """A script or a style sheet."""
        found = FILES.get(request.match_info["name"])
        if found is None:
            raise Refused("not-found", "no such file")
        # Our own are renamed by nothing when they change, so they are asked for again.
        return web.Response(body=found.body, content_type=found.media, headers={"Cache-Control": "no-cache"})

    async def language(self, request: web.Request) -> web.Response:
        """Keep the reader's choice in a cookie that says nothing else, and go back."""
        to, back = request.query.get("to", ""), request.query.get("back", "/")
        if not _PLACE.fullmatch(back) or back.startswith("//"):
            back = "/"
        response = web.Response(status=303, headers={"Location": back})
        if to in LANGUAGES:
            response.set_cookie(COOKIE, to, max_age=365 * 86_400, httponly=True, samesite="Strict", path="/")
        return response

    async def overview(self, request: web.Request) -> web.Response:
        """How all of it stands."""
        return self._page(
            request, "overview", seen=await self._sight(request).overview(), command="valija-broker top",
            json="/admin/v1/overview", live=True,
        )  # fmt: skip

    async def contact_points(self, request: web.Request) -> web.Response:
        """Every contact point, in the order that is asked for."""
        by = request.query.get("by", "id")
        boxes = sorted(await self._sight(request).mailboxes(), key=_ORDERS.get(by, _ORDERS["id"]))
        return self._page(
            request, "contact-points", boxes=boxes, by=by if by in _ORDERS else "id",
            command="valija-broker contact-points", json="/admin/v1/contact-points", live=True,
        )  # fmt: skip

    async def contact_point(self, request: web.Request) -> web.Response:
        """One contact point."""
        sight, name = self._sight(request), request.match_info["contact_point"]
        box = await sight.mailbox(name) if _IDENTIFIER.fullmatch(name) else None
        if box is None:
            raise Refused("not-found", "no such contact point")
        return self._page(
            request, "contact-point", box=box, messages_too=sight.messages_too,
            command=f"valija-broker contact-points show {name}", json=f"/admin/v1/contact-points/{name}", live=True,
        )  # fmt: skip

    async def messages(self, request: web.Request) -> web.Response:
        """A page of messages, as the form says. A field that cannot be looked for is said beside it."""
        sight, after = self._sight(request), request.query.get("after")
        asked = {name: request.query.get(name, "").strip()[:100] for name in _FILTERS}
        wanted, faults = _wanted(asked)
        found = None
        if not faults:
            try:
                found = await sight.messages(wanted, after, page_rows)
            except ValueError:
                faults = {"after"}
        query = {name: value for name, value in asked.items() if value and name not in faults}
        return self._page(
            request, "messages", found=found, asked=asked, faults=faults,
            following=with_query("/messages", **query, after=found.next) if found and found.next else None,
            newest=with_query("/messages", **query) if after is not None else None,
            command=" ".join(["valija-broker messages", *map(_option, query, query.values())]),
            json=with_query("/admin/v1/messages", **_given(wanted), after=after if found else None),
            live=after is None and not faults,
        )  # fmt: skip

    async def message(self, request: web.Request) -> web.Response:
        """One message and what happened to it."""
        digest = request.match_info["digest"]
        story = await self._sight(request).story(digest) if _DIGEST.fullmatch(digest) else None
        if story is None:
            raise Refused("not-found", "no such message")
        return self._page(
            request, "message", story=story, command=f"valija-broker messages show {digest}",
            json=f"/admin/v1/messages/{digest}", live=True,
        )  # fmt: skip

    async def dead_letters(self, request: web.Request) -> web.Response:
        """The dead letters by cause."""
        sight = self._sight(request)
        return self._page(
            request, "dead-letters", groups=await sight.dead(), messages_too=sight.messages_too,
            command="valija-broker dead groups", json="/admin/v1/dead-letters", live=True,
        )  # fmt: skip

    async def proposals(self, request: web.Request) -> web.Response:
        """What waits for signatures, and what became of what was signed."""
        shown = tuple(reversed(await self._acting.proposals.shown()))
        return self._page(request, "proposals", proposals=shown, json="/admin/v1/proposals", live=True)

    async def acts(self, request: web.Request) -> web.Response:
        """What operators ordered."""
        text = request.query.get("before", "")
        before = int(text) if text.isascii() and text.isdigit() and len(text) < 17 else None
        found = await self._sight(request).acts(before, page_rows)
        return self._page(
            request, "acts", acts=found, command="valija-broker acts",
            following=with_query("/acts", before=found[-1].index) if len(found) == page_rows else None,
            json=with_query("/admin/v1/acts", before=before), live=before is None,
        )  # fmt: skip

    async def directory(self, request: web.Request) -> web.Response:
        """The versions of the directory, and what may become the next one."""
        return self._page(
            request, "directory", versions=await self._sight(request).versions(),
            offers=tuple(reversed(self._acting.offers.shown())), may_publish="registrar" in who(request).roles,
            command="valija-broker directory versions", json="/admin/v1/directory",
        )  # fmt: skip

    async def log(self, request: web.Request) -> web.Response:
        """The log and who watches it."""
        return self._page(
            request, "log", log=await self._sight(request).log(), command="valija-broker log show",
            json="/admin/v1/log", live=True,
        )  # fmt: skip

    async def report(self, request: web.Request) -> web.Response:
        """What an evaluation mechanism may know of a month."""
        month = request.query.get("month", "")
        found, fault = None, bool(month) and not _MONTH.fullmatch(month)
        if month and not fault:
            try:
                found = await self._sight(request).report(month)
            except ValueError:
                fault = True
        shown = month if found else datetime.fromtimestamp(now_ms() / 1_000, UTC).strftime("%Y-%m")
        return self._page(
            request, "report", found=found, month=month or shown, fault=fault,
            command=f"valija-broker report --month {shown}", json=with_query("/admin/v1/report", month=shown),
        )  # fmt: skip

    async def health(self, request: web.Request) -> web.Response:
        """A look at every part."""
        return self._page(
            request, "health", seen=await self._sight(request).health(), command="valija-broker health",
            json="/admin/v1/health", live=True,
        )  # fmt: skip

    def _sight(self, request: web.Request) -> Sight:
        return self._window.of(who(request).roles)

    def _page(self, request: web.Request, template: str, **values: Any) -> web.Response:
        return self._view.page(request, template, **values)


_FILTERS: Final = ("sender", "recipient", "type", "state", "exercise", "prefix", "since", "until")


def _wanted(asked: Mapping[str, str]) -> tuple[admin.Wanted, set[str]]:
    """What the form asks for, and which of its fields are not of their form."""
    wanted, faults = admin.Wanted(), set()
    for name, value in asked.items():
        try:
            if value:
                field = {name: _day(value) if name in {"since", "until"} else value}
                one = msgspec.convert(field, admin.Wanted, strict=False)
                wanted = msgspec.structs.replace(wanted, **{name: getattr(one, name)})
        except ValueError:  # msgspec's is one
            faults.add(name)
    return wanted, faults


def _day(value: str) -> int:
    if not _DAY.fullmatch(value):
        raise ValueError("a day is written 2026-11-24")
    return int(datetime.fromisoformat(value).replace(tzinfo=UTC).timestamp() * 1_000)


def _given(wanted: admin.Wanted) -> dict[str, object]:
    """The fields that are asked for, as the API has them."""
    found = {name: value for name, value in msgspec.structs.asdict(wanted).items() if value is not None}
    return found | ({"exercise": str(wanted.exercise).lower()} if wanted.exercise is not None else {})


def _option(name: str, value: str) -> str:
    if name == "exercise":
        return "--exercise" if value == "true" else "--no-exercise"
    return f"--{name} {shlex.quote(value)}"
