"""What people do at the console: propose orders, hand their signatures in, offer what officers signed, publish it.

For programs in JSON, for browsers by forms: both come to the same functions, and nothing here does anything that a note
does not say which operators, or officers, signed.

Before this room: `app`. After it: `proposals`, `offers`. Rules: schemas/SPEC.md section 5.5.
"""

import sqlite3
import unicodedata
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeVar

import msgspec
import structlog
from aiohttp import web

from valija_broker.console.guard import Guard, who
from valija_broker.console.offers import Offers
from valija_broker.console.proposals import Proposals
from valija_broker.console.sight import EVERYBODY, OF_MESSAGES
from valija_broker.console.table import TABLE, json
from valija_broker.declared import Content, give
from valija_broker.errors import Refused
from valija_broker.reading import read_body
from valija_schemas import api, limits
from valija_schemas import proposal as schema
from valija_schemas.directory import Role
from valija_schemas.problem import Code

_log: Final = structlog.get_logger("console")

T = TypeVar("T")

proposal_bytes_max: Final = 8 * 1024  #: A wish, or a signature line, in JSON with every letter escaped.

_OPERATOR: Final[frozenset[Role]] = frozenset({"operator"})
_REGISTRAR: Final[frozenset[Role]] = frozenset({"registrar"})
_PROPOSED: Final = frozenset({Code.NOT_FOUND, Code.SETTLED})


class Acting:
    """The proposals and offers of one console, as its routes have them."""

    def __init__(self, proposals: Proposals, offers: Offers, guard: Guard) -> None:
        self.proposals: Final = proposals
        self.offers: Final = offers
        self._guard = guard

    # For programs

    @TABLE.route(
        "GET",
        "/admin/v1/proposals",
        roles=OF_MESSAGES,
        gives=json(schema.Proposals, "the proposals, the oldest first"),
    )
    async def list_proposals(self, request: web.Request) -> web.StreamResponse:
        """What waits for signatures, and what became of what was handed in lately."""
        return _given(request, schema.Proposals(proposals=await self.proposals.shown()))

    @TABLE.route(
        "POST",
        "/admin/v1/proposals",
        roles=_OPERATOR,
        takes=Content(media=api.JSON_TYPE, of=schema.Wish, about="what is to be ordered", bytes_max=proposal_bytes_max),
        gives=json(schema.Proposal, "the proposal", status=201),
        refuses=frozenset({Code.SETTLED, Code.NOT_POSSIBLE, Code.CROWDED}),
    )
    async def propose(self, request: web.Request) -> web.StreamResponse:
        """Propose an order, or a hold. Nothing is done before operators have signed its text."""
        wish = _read(await read_body(request, proposal_bytes_max), schema.Wish)
        return _given(request, await _looked(self.proposals.propose(who(request).operator, wish)))

    @TABLE.route(
        "GET",
        "/admin/v1/proposals/{proposal}",
        roles=OF_MESSAGES,
        gives=json(schema.Proposal, "the proposal"),
        refuses=frozenset({Code.NOT_FOUND}),
    )
    async def show_proposal(self, request: web.Request) -> web.StreamResponse:
        """One proposal."""
        return _given(request, await self.proposals.one(request.match_info["proposal"]))

    @TABLE.route(
        "DELETE",
        "/admin/v1/proposals/{proposal}",
        roles=_OPERATOR,
        gives=json(schema.Proposals, "the proposals that are left"),
        refuses=_PROPOSED,
    )
    async def withdraw(self, request: web.Request) -> web.StreamResponse:
        """Withdraw an open proposal, whoever made it."""
        self.proposals.withdraw(request.match_info["proposal"], who(request).operator)
        return _given(request, schema.Proposals(proposals=await self.proposals.shown()))

    @TABLE.route(
        "POST",
        "/admin/v1/proposals/{proposal}/signature",
        roles=_OPERATOR,
        takes=Content(
            media=api.JSON_TYPE, of=schema.SignatureLine, about="a signature line", bytes_max=proposal_bytes_max
        ),
        gives=json(schema.Proposal, "the proposal with it"),
        refuses=_PROPOSED | {Code.BAD_LINE},
    )
    async def sign(self, request: web.Request) -> web.StreamResponse:
        """Hand in the signature line of whoever is signed in, over the text of the proposal.

        With enough of them the order is handed in; the rules of 5.4 decide what becomes of it.
        """
        given = _read(await read_body(request, proposal_bytes_max), schema.SignatureLine)
        id_ = request.match_info["proposal"]
        return _given(request, await self.proposals.sign(id_, who(request).operator, given.line))

    @TABLE.route(
        "GET",
        "/admin/v1/offers",
        roles=EVERYBODY,
        gives=json(schema.Offers, "the offers, the oldest first"),
    )
    async def list_offers(self, request: web.Request) -> web.StreamResponse:
        """Roots and directories that registrars offered lately, with what each changes."""
        return _given(request, schema.Offers(offers=self.offers.shown()))

    @TABLE.route(
        "POST",
        "/admin/v1/directory",
        roles=_REGISTRAR,
        takes=Content(
            media=api.NOTE_TYPE,
            about="the next root or directory, signed by its officers",
            bytes_max=limits.directory_bytes_max,
        ),
        gives=json(schema.Offer, "the offer, with what it changes", status=201),
        refuses=frozenset({Code.NOT_POSSIBLE, Code.CROWDED}),
    )
    async def offer(self, request: web.Request) -> web.StreamResponse:
        """Offer a root or a directory. It is verified and shown, and not published yet."""
        raw = await read_body(request, limits.directory_bytes_max)
        return _given(request, await self.offers.offer(who(request).operator, raw))

    @TABLE.route(
        "POST",
        "/admin/v1/offers/{offer}/publication",
        roles=_REGISTRAR,
        gives=json(schema.Offer, "the offer"),
        refuses=_PROPOSED | {Code.NOT_POSSIBLE},
    )
    async def publish(self, request: web.Request) -> web.StreamResponse:
        """Publish what was offered: it is in force within seconds."""
        return _given(request, await self.offers.publish(who(request).operator, request.match_info["offer"]))

    # For browsers

    def add_forms(self, app: web.Application) -> None:
        """Add what forms post to; `pages` shows them."""
        for path, handler, roles in (
            ("/proposals", self._propose_by_form, _OPERATOR),
            ("/proposals/{proposal}/withdrawal", self._withdraw_by_form, _OPERATOR),
            ("/directory/{offer}/publication", self._publish_by_form, _REGISTRAR),
        ):
            self._guard.page(app, "POST", path, handler, roles)
        self._guard.declare("POST", "/directory", _REGISTRAR, limits.directory_bytes_max)
        app.router.add_post("/directory", self._offer_by_form)

    async def _propose_by_form(self, request: web.Request) -> web.StreamResponse:
        """The fields are those of a wish; an empty one is none. What was typed is put into the one form of a text."""
        typed = await self._guard.form(request)
        fields = {name: unicodedata.normalize("NFC", text.strip()) for name, text in typed.items() if text.strip()}
        made = await _looked(self.proposals.propose(who(request).operator, _wish(fields)))
        return _seen(f"/proposals#{made.id}")

    async def _withdraw_by_form(self, request: web.Request) -> web.StreamResponse:
        await self._guard.form(request)
        self.proposals.withdraw(request.match_info["proposal"], who(request).operator)
        return _seen("/proposals")

    async def _offer_by_form(self, request: web.Request) -> web.StreamResponse:
        raw = await self._guard.upload(request, limits.directory_bytes_max)
        made = await self.offers.offer(who(request).operator, raw)
        return _seen(f"/directory#{made.digest}")

    async def _publish_by_form(self, request: web.Request) -> web.StreamResponse:
        await self._guard.form(request)
        await self.offers.publish(who(request).operator, request.match_info["offer"])
        return _seen("/directory")


async def _looked(work: Awaitable[T]) -> T:
    try:
        return await work
    except sqlite3.Error as error:
        _log.warning("not_seen", what="proposal", error=str(error))
        raise Refused("unavailable", "the evidence cannot be read now") from error


def _wish(fields: Mapping[str, str]) -> schema.Wish:
    try:
        return msgspec.convert(fields, schema.Wish, strict=False)
    except msgspec.ValidationError as error:
        raise Refused("malformed", str(error)) from None


def _read(data: bytes, type_: Callable[..., T]) -> T:
    try:
        return msgspec.json.decode(data, type=type_)  # type: ignore[no-any-return]
    except (msgspec.MsgspecError, RecursionError, UnicodeError, ValueError) as error:
        raise Refused("malformed", str(error)) from None


def _given(request: web.Request, record: msgspec.Struct) -> web.Response:
    return give(request, msgspec.json.encode(record))


def _seen(place: str) -> web.Response:
    return web.Response(status=303, headers={"Location": place})
