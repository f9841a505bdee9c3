"""A worker's application: what it opens, in order, and the routes over it.

Before this room: `worker`, which brings the socket. After it: `in_flight`, `routes`.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from valija_broker import metrics, process
from valija_broker.accept import Desk
from valija_broker.acknowledge import Receipts
from valija_broker.caller import Gate
from valija_broker.config import Console, Listen, Settings
from valija_broker.connections import Connections
from valija_broker.deliver import Counter
from valija_broker.directory import Known
from valija_broker.errors import Refused, StoreUnavailable
from valija_broker.in_flight import InFlight
from valija_broker.keys import Keys
from valija_broker.layout import check
from valija_broker.log.view import EvidenceReader, LogView
from valija_broker.mail import Limits
from valija_broker.problems import answer_problems
from valija_broker.protocol import SERVER
from valija_broker.queue import Mailboxes
from valija_broker.room import Room
from valija_broker.routes import Agencies
from valija_broker.seen import Seen
from valija_broker.shelves import DirectoryShelf, Nonces
from valija_broker.store import Endpoint, Store
from valija_broker.wake import Waker

in_flight_key = web.AppKey("in_flight", InFlight)


def queue_limits(settings: Settings) -> Limits:
    """The queue's limits, from the settings."""
    quotas = settings.quotas
    return Limits(
        lease_bytes_max=quotas.lease_bytes_max,
        attempts_max=quotas.attempts_max,
        pair_quota_messages=quotas.pair_messages_max,
        pair_quota_bytes=quotas.pair_bytes_max,
        sender_quota_bytes=quotas.sender_bytes_max,
        outbox_events_max=quotas.outbox_events_max,
        submit_per_minute_max=quotas.submit_per_minute_max,
    )


@contextlib.asynccontextmanager
async def opened(settings: Settings, where: Endpoint, connections: Connections) -> AsyncIterator[web.Application]:
    """The application, with everything that it needs open.

    Raises:
        StoreRefused, StoreUnavailable, BadConfig: it cannot start.
    """
    origin = settings.exchange.origin
    keys = Keys.load(settings.keys_path)
    async with (
        Store(where, shards=settings.store.shards, replicas=settings.store.replicas) as store,
        Waker(store) as waker,
        Mailboxes(store, limits=queue_limits(settings), disks=settings.disks) as mailboxes,
    ):
        layout, _ = await check(store)
        shelf = DirectoryShelf(store)
        known = Known(origin, settings.exchange.anchor, shelf)
        await known.refresh()
        follower = asyncio.create_task(_follow(known, waker))
        view = LogView(settings.log_path)
        reader = EvidenceReader(settings.evidence_path, view)
        room = Room(settings.quotas.open_bytes_max, connections)
        seen = Seen(settings.seen_path)
        keeping = asyncio.create_task(seen.keep())
        in_flight = InFlight(connections, room, waker.wake_all)
        agencies = Agencies(
            gate=Gate(known, Nonces(store), authorities(settings), layout.epoch, room, seen),
            room=room,
            in_flight=in_flight,
            desk=Desk(known, mailboxes, reader, keys.evidence_signers(origin), keys.evidence_id, seen),
            counter=Counter(known, mailboxes, waker, lease_ms=settings.quotas.lease_ms),
            receipts=Receipts(known, mailboxes),
            mailboxes=mailboxes,
            shelf=shelf,
            reader=reader,
            view=view,
            waker=waker,
            known=known,
            quotas=settings.quotas,
        )
        app = web.Application(
            middlewares=[in_flight.counted, answer_problems, only_from(settings.listen), _only_when_ready(known)]
        )
        app[in_flight_key] = in_flight
        app.on_response_prepare.append(_say_version)
        app.add_routes(agencies.table())
        try:
            yield app
        finally:
            await process.end(follower, keeping)
            seen.close()


async def _say_version(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Instead of the library's name and version."""
    del request
    response.headers["Server"] = SERVER


def authorities(settings: Settings) -> frozenset[str]:
    """What `Host` may say."""
    listen = settings.listen
    if listen.authorities:
        return frozenset(name.lower() for name in listen.authorities)
    if listen.unix:
        return frozenset({"localhost"})
    names = {listen.host, "localhost"} if listen.host in {"127.0.0.1", "::1"} else {listen.host}
    hosts = {f"[{name}]" if ":" in name else name for name in names}
    # A client leaves the port out where it is the scheme's own (RFC 9110 section 7.2).
    own = 443 if listen.tls == "direct" else 80
    return frozenset(hosts if listen.port == own else {f"{host}:{listen.port}" for host in hosts})


async def _follow(known: Known, waker: Waker) -> None:
    with waker.directory() as bell:
        await known.follow(bell.wait, taken=lambda: metrics.directory.set(known.reference[0]))


def only_from(door: Listen | Console) -> Middleware:
    """Behind a proxy, nobody but the proxy may connect: it is what ends TLS."""
    proxies = door.proxies if door.tls == "proxy" and not door.unix else None

    @web.middleware
    async def from_proxy(request: web.Request, handler: Handler) -> web.StreamResponse:
        if proxies is not None and request.remote not in proxies:
            raise Refused("not-found", f"{request.remote} is not a listed proxy")
        return await handler(request)

    return from_proxy


def _only_when_ready(known: Known) -> Middleware:
    @web.middleware
    async def ready(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not known.ready:
            raise StoreUnavailable("no directory has been published yet")
        return await handler(request)

    return ready
