"""The operators' API: the records of `valija_schemas.admin` in JSON, each for those whose roles may see it.

Every answer is looked up anew, and none is kept: what changes by the second has no use for an ETag.

Before this room: `app`. After it: `guard`, `sight`. Rules: schemas/SPEC.md section 3.5.
"""

import re
from typing import Annotated, Final, get_args

import msgspec
from aiohttp import web

from valija_broker.console.guard import who
from valija_broker.console.sight import MAY_SEE, Sight, Window
from valija_broker.console.table import TABLE, json
from valija_broker.declared import Query, give, queried
from valija_broker.errors import Refused
from valija_schemas import admin
from valija_schemas.problem import Code
from valija_schemas.wire import Count

page_records: Final = 50  #: Where the request does not say how many.

_ABSENT: Final = frozenset({Code.NOT_FOUND})
_COUNT: Final = Query(
    name="count",
    about=f"how many at most; {page_records} where it is left out",
    of=Annotated[int, msgspec.Meta(ge=1, le=admin.page_max)],
)
_ABOUT_WANTED: Final = {
    "sender": "the contact point that sent it",
    "recipient": "a contact point that it is for",
    "type": "its type",
    "state": "the state of a share of it",
    "exercise": "whether it is an exercise",
    "prefix": "how its digest or its id begins",
    "since": "accepted then or later",
    "until": "accepted before",
}
_WANTED: Final = tuple(
    Query(name=field.name, about=_ABOUT_WANTED[field.name], of=get_args(field.type)[0])  # it, or None
    for field in msgspec.structs.fields(admin.Wanted)
)
_IDENTIFIER: Final = re.compile(r"[a-z][a-z0-9.-]{0,63}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class Admin:
    """What may be looked at, made once a console."""

    def __init__(self, window: Window) -> None:
        self._window = window

    def _sight(self, request: web.Request) -> Sight:
        return self._window.of(who(request).roles)

    @TABLE.route(
        "GET",
        "/admin/v1/overview",
        roles=MAY_SEE["overview"],
        gives=json(admin.Overview, "how it stands"),
    )
    async def overview(self, request: web.Request) -> web.StreamResponse:
        """How all of it stands, and what needs attention.

        Answers also while the store or the evidence cannot be read: `attention` says so.
        """
        return _given(request, await self._sight(request).overview())

    @TABLE.route(
        "GET",
        "/admin/v1/contact-points",
        roles=MAY_SEE["mailboxes"],
        gives=json(tuple[admin.Mailbox, ...], "the contact points, in the order of the directory"),
    )
    async def contact_points(self, request: web.Request) -> web.StreamResponse:
        """Every contact point of the newest directory, with its mailbox."""
        return _given(request, await self._sight(request).mailboxes())

    @TABLE.route(
        "GET",
        "/admin/v1/contact-points/{contact_point}",
        roles=MAY_SEE["mailbox"],
        gives=json(admin.Mailbox, "the contact point"),
        refuses=_ABSENT,
    )
    async def contact_point(self, request: web.Request) -> web.StreamResponse:
        """One contact point and its mailbox."""
        sight, name = self._sight(request), request.match_info["contact_point"]
        return _given(request, await sight.mailbox(name) if _IDENTIFIER.fullmatch(name) else None)

    @TABLE.route(
        "GET",
        "/admin/v1/messages",
        query=(
            *_WANTED,
            Query(name="after", about="`next` of the page before", of=Annotated[str, msgspec.Meta(max_length=64)]),
            _COUNT,
        ),
        roles=MAY_SEE["messages"],
        gives=json(admin.Messages, "a page of messages"),
    )
    async def messages(self, request: web.Request) -> web.StreamResponse:
        """Messages, the newest first: those that are as each parameter says.

        What is known of a message stands in its header or is an event about it; nobody here can open it.
        """
        sight, query = self._sight(request), queried(request)
        after, count = query.pop("after", None), query.pop("count", page_records)
        try:
            return _given(request, await sight.messages(admin.Wanted(**query), after, count))
        except ValueError:
            raise Refused("malformed", "after: this is not of a page") from None

    @TABLE.route(
        "GET",
        "/admin/v1/messages/{digest}",
        roles=MAY_SEE["story"],
        gives=json(admin.MessageStory, "the message and its events"),
        refuses=_ABSENT,
    )
    async def message(self, request: web.Request) -> web.StreamResponse:
        """One message and what happened to it, each event with a proof that was checked now."""
        sight, digest = self._sight(request), request.match_info["digest"]
        return _given(request, await sight.story(digest) if _DIGEST.fullmatch(digest) else None)

    @TABLE.route(
        "GET",
        "/admin/v1/dead-letters",
        roles=MAY_SEE["dead"],
        gives=json(tuple[admin.DeadGroup, ...], "the causes, the commonest first"),
    )
    async def dead_letters(self, request: web.Request) -> web.StreamResponse:
        """The dead letters by cause.

        Observers and registrars are given counts alone: `letters` is empty for them.
        """
        return _given(request, await self._sight(request).dead())

    @TABLE.route(
        "GET",
        "/admin/v1/directory",
        roles=MAY_SEE["versions"],
        gives=json(tuple[admin.DirectoryVersion, ...], "the versions, the newest first"),
    )
    async def directory(self, request: web.Request) -> web.StreamResponse:
        """The versions of the directory, each with what it changed in words."""
        return _given(request, await self._sight(request).versions())

    @TABLE.route(
        "GET",
        "/admin/v1/log",
        roles=MAY_SEE["log"],
        gives=json(admin.LogState, "the state of the log"),
    )
    async def log(self, request: web.Request) -> web.StreamResponse:
        """The log, its newest checkpoint, who cosigned that, and what a legal hold is on.

        Observers and registrars are not told of the messages that one is on.
        """
        return _given(request, await self._sight(request).log())

    @TABLE.route(
        "GET",
        "/admin/v1/acts",
        query=(Query(name="before", about="of leaves before this index", of=Count), _COUNT),
        roles=MAY_SEE["acts"],
        gives=json(tuple[admin.Act, ...], "the acts, the newest first"),
    )
    async def acts(self, request: web.Request) -> web.StreamResponse:
        """What operators ordered, as the log has it.

        The next page begins before the `index` of the last one.
        """
        sight, query = self._sight(request), queried(request)
        return _given(request, await sight.acts(query.get("before"), query.get("count", page_records)))

    @TABLE.route(
        "GET",
        "/admin/v1/health",
        roles=MAY_SEE["health"],
        gives=json(admin.Health, "every look, and the worst of them"),
    )
    async def health(self, request: web.Request) -> web.StreamResponse:
        """A look at every part."""
        return _given(request, await self._sight(request).health())

    @TABLE.route(
        "GET",
        "/admin/v1/report",
        query=(
            Query(
                name="month",
                about="the month, such as `2026-10`",
                of=Annotated[str, msgspec.Meta(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$")],
                needed=True,
            ),
        ),
        roles=MAY_SEE["report"],
        gives=json(admin.Report, "the report"),
    )
    async def report(self, request: web.Request) -> web.StreamResponse:
        """What an evaluation mechanism may know of a month: no content, no case, no exercise."""
        sight = self._sight(request)
        try:
            return _given(request, await sight.report(queried(request)["month"]))
        except ValueError:
            raise Refused("malformed", "month: there is none of this name") from None


def _given(request: web.Request, record: object) -> web.Response:
    """The answer that `record` is; there is none where it is None."""
    if record is None:
        raise Refused("not-found", "no such thing")
    return give(request, msgspec.json.encode(record))
