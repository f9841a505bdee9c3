"""The console's application: what it opens, in order, and what is behind its door.

Before this room: `serve`, which brings the socket. After it: `guard`, then `door`, `api` and the pages.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Final

from aiohttp import web

from valija_broker import process
from valija_broker.app import in_flight_key, only_from
from valija_broker.config import Settings
from valija_broker.connections import Connections
from valija_broker.console.acting import Acting
from valija_broker.console.api import Admin
from valija_broker.console.documents import add_documents
from valija_broker.console.door import Door
from valija_broker.console.guard import PROGRAMS, Guard, form_bytes_max, open_bytes_max
from valija_broker.console.offers import Offers
from valija_broker.console.pages.pages import Pages
from valija_broker.console.pages.view import View
from valija_broker.console.proposals import Proposals
from valija_broker.console.session import Sessions
from valija_broker.console.sight import Window
from valija_broker.console.table import TABLE
from valija_broker.dead_letters import DeadLetters
from valija_broker.directory import Known
from valija_broker.in_flight import InFlight
from valija_broker.layout import check
from valija_broker.observe.observer import Live
from valija_broker.problems import answer, answering
from valija_broker.room import Room
from valija_broker.shelves import DirectoryShelf
from valija_broker.store import Endpoint, Store

published_key: Final = web.AppKey("published", asyncio.Event)  #: There is a directory, and so a root.
guard_key: Final = web.AppKey("guard", Guard)  #: Where a page is added: `guard.page`.
window_key: Final = web.AppKey("window", Window)  #: Where a page looks: `window.of(who(request).roles)`.


@contextlib.asynccontextmanager
async def opened(settings: Settings, where: Endpoint, connections: Connections) -> AsyncIterator[web.Application]:
    """The application, with everything that it needs open.

    Raises:
        StoreRefused, StoreUnavailable, BadConfig: it cannot start.
    """
    address = settings.console.url
    async with Store(where, shards=settings.store.shards) as store:
        await check(store)
        known = Known(settings.exchange.origin, settings.exchange.anchor, DirectoryShelf(store))
        await known.refresh()
        published = asyncio.Event()
        following = asyncio.create_task(
            known.follow(asyncio.sleep, taken=lambda: published.set() if known.ready else None)
        )
        sessions, room = Sessions(known, address), Room(open_bytes_max, connections)
        guard, view = Guard(sessions, room, address), View(settings.exchange.origin, address)
        in_flight = InFlight(connections, room, lambda: None)
        app = web.Application(
            middlewares=[in_flight.counted, answering(_saying(view)), only_from(settings.console), guard.admitted]
        )
        app[in_flight_key] = in_flight
        app[published_key] = published
        app[guard_key] = guard
        app[window_key] = Window(Live(settings, store, known))
        app.on_response_prepare.append(guard.say_headers)
        door = Door(sessions, guard, view)
        door.add_pages(app)
        add_documents(app, guard)
        for route in TABLE.routes.values():
            guard.declare(
                route.method, route.path, route.roles or None, route.takes.bytes_max if route.takes else form_bytes_max
            )
        acting = Acting(
            Proposals(
                folder=settings.orders_path, database=settings.evidence_path, known=known, letters=DeadLetters(store)
            ),
            Offers(folder=settings.directory_path, known=known),
            guard,
        )
        acting.add_forms(app)
        Pages(view, app[window_key], acting, guard).add(app)
        app.add_routes(TABLE.bound(Admin(app[window_key]), door, acting))
        guard.require_all_declared(app)
        try:
            yield app
        finally:
            await process.end(following)


def _saying(view: View) -> Callable[[web.Request, Exception], web.Response]:
    """Programs are answered a problem, people a page."""

    def say(request: web.Request, error: Exception) -> web.Response:
        return answer(error) if request.path.startswith(PROGRAMS) else view.refusal(request, error)

    return say
