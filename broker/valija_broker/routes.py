"""The agencies' door: from HTTP to the handlers and back. One table of routes; SPEC.md section 3.3 lists the same.

A handler here reads, calls the one room that does the work, and answers. What goes wrong is left to `problems`.

Before this room: `app`, `in_flight`. After it: `reading`, `caller`, then `accept`, `deliver`, `acknowledge`.
"""

import asyncio
import re
import time
from collections.abc import Sequence
from typing import Any, Final

from aiohttp import web

from valija_broker.accept import Desk
from valija_broker.acknowledge import Receipts
from valija_broker.caller import Caller, Gate
from valija_broker.config import Quotas
from valija_broker.declared import Content, Query, Table, give, path_number, query_number, route_key
from valija_broker.deliver import Counter
from valija_broker.directory import Known, now_ms
from valija_broker.errors import Refused
from valija_broker.in_flight import InFlight
from valija_broker.log.prove import ProveError
from valija_broker.log.view import EvidenceReader, LogView
from valija_broker.mail import Lease, Release
from valija_broker.problems import describe
from valija_broker.queue import Mailboxes
from valija_broker.reading import read_body_rest, read_note
from valija_broker.room import Room
from valija_broker.shelves import Directory, DirectoryShelf
from valija_broker.wake import Waker
from valija_schemas import api, limits, message, problem
from valija_schemas import note as notes
from valija_schemas.problem import Code
from valija_schemas.tiles import TileError
from valija_schemas.wire import Digest

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_ABSENT: Final = frozenset({Code.NOT_FOUND})
feed_bytes: Final = 1024 * 1024  #: About what a page of events comes to.

TABLE: Final = Table()  #: Every route of the agencies' API.


class Agencies:
    """What the routes need, made once a worker."""

    def __init__(
        self,
        *,
        gate: Gate,
        room: Room,
        in_flight: InFlight,
        desk: Desk,
        counter: Counter,
        receipts: Receipts,
        mailboxes: Mailboxes,
        shelf: DirectoryShelf,
        reader: EvidenceReader,
        view: LogView,
        waker: Waker,
        known: Known,
        quotas: Quotas,
    ) -> None:
        self._gate = gate
        self._room = room
        self._in_flight = in_flight
        self._desk = desk
        self._counter = counter
        self._receipts = receipts
        self._mailboxes = mailboxes
        self._shelf = shelf
        self._reader = reader
        self._view = view
        self._waker = waker
        self._known = known
        self._quotas = quotas

    def table(self) -> list[web.RouteDef]:
        """Every route of the agencies' API."""
        return TABLE.bound(self)

    async def _admit(self, request: web.Request, *, answer_bytes_max: int = 0) -> Caller:
        """The caller, if the route of `request` is for them."""
        route = request[route_key]
        return await self._gate.admit(
            request,
            bytes_max=route.takes.bytes_max if route.takes else api.request_bytes_max,
            answer_bytes_max=answer_bytes_max,
            active=route.active,
        )

    # Messages in

    @TABLE.route(
        "POST",
        "/v1/messages",
        takes=Content(
            media=api.MESSAGE_TYPE,
            about="a message: a signed note, then an age file",
            bytes_max=limits.message_bytes_max,
        ),
        gives=Content(media=api.NOTE_TYPE, about="the SubmissionAcceptance note", status=202),
        signed=False,
        refuses=frozenset(Code) - {Code.NOT_SIGNED, Code.NOT_FOUND, Code.METHOD_NOT_ALLOWED} - problem.OF_CONSOLE,
    )
    async def submit(self, request: web.Request) -> web.StreamResponse:
        """One message. It is signed itself, so the request is not: the note is read and verified before the body."""
        note, begun = await read_note(request)

        async def rest(header: message.Header) -> bytes:
            self._room.take(request, header.sender, header.body_length)
            return begun + await read_body_rest(request, header.body_length - len(begun))

        acceptance = await self._desk.accept(note, rest, arrived=request.content.is_eof())
        return give(request, acceptance)

    @TABLE.route(
        "POST",
        "/v1/messages/batch",
        takes=Content(
            media=api.MSGPACK_TYPE, of=api.Batch, about="messages of the caller", bytes_max=api.batch_bytes_max
        ),
        gives=Content(media=api.MSGPACK_TYPE, of=tuple[api.SubmitResult, ...], about="a result each, in order"),
        active=True,
    )
    async def submit_many(self, request: web.Request) -> web.StreamResponse:
        """Several messages of the caller, with a result each, in order."""
        caller = await self._admit(request)
        batch = api.read_batch(caller.body)
        results = await asyncio.gather(*(self._submit_one(data, caller.id) for data in batch))
        return give(request, api.encode(results))

    async def _submit_one(self, data: bytes, sender: str) -> api.SubmitResult:
        async def ready(_: message.Header) -> bytes:
            return body

        try:
            note, body = notes.split(data)
            acceptance = await self._desk.accept(note, ready, arrived=True, sender=sender)
        except Exception as error:  # noqa: BLE001 - each message of a batch has a result of its own
            found = describe(error)
            return api.SubmitResult(status=found.status, acceptance=None, problem=problem.encode(found))
        return api.SubmitResult(status=202, acceptance=acceptance, problem=None)

    # Messages out

    @TABLE.route(
        "POST",
        "/v1/leases",
        takes=Content(media=api.MSGPACK_TYPE, of=api.LeaseRequest, about="how much, and for which worker"),
        gives=Content(media=api.MSGPACK_TYPE, of=tuple[api.Lent, ...], about="what was lent; empty if nothing came"),
        active=True,
    )
    async def lease(self, request: web.Request) -> web.StreamResponse:
        """Lend mail to the caller; long poll."""
        caller = await self._admit(request, answer_bytes_max=self._quotas.lease_bytes_max)
        wanted = api.read_lease_request(caller.body)
        leases = await self._counter.deliver(caller.id, wanted, lambda: self._in_flight.over(request))
        response = give(request, api.encode([self._lent(lease) for lease in leases]))
        if not leases:
            return response
        try:
            await self._in_flight.write(request, response)  # here, so that we know when it could not be
        except OSError:
            await self._counter.undo(caller.id, leases)
            raise
        return response

    def _lent(self, lease: Lease) -> api.Lent:
        return api.Lent(
            token=lease.token,
            attempt=lease.attempt,
            deadline=lease.deadline,
            lease_ms=self._quotas.lease_ms,
            acceptance=lease.accepted,
            message=lease.note + lease.body,
        )

    @TABLE.route(
        "POST",
        "/v1/leases/acknowledge",
        takes=Content(media=api.MSGPACK_TYPE, of=api.Acknowledgements, about="receipts"),
        gives=Content(media=api.MSGPACK_TYPE, of=tuple[api.LeaseResult, ...], about="a result each, in order"),
        active=True,
    )
    async def acknowledge(self, request: web.Request) -> web.StreamResponse:
        """Take receipts."""
        caller = await self._admit(request)
        results = await self._receipts.acknowledge(caller.id, api.read_acknowledgements(caller.body))
        return give(request, api.encode(results))

    @TABLE.route(
        "POST",
        "/v1/leases/extend",
        takes=Content(media=api.MSGPACK_TYPE, of=api.Extension, about="which leases"),
        gives=Content(media=api.MSGPACK_TYPE, of=tuple[api.LeaseResult, ...], about="a result each, in order"),
        active=True,
    )
    async def extend(self, request: web.Request) -> web.StreamResponse:
        """Let leases end later: the worker is still at it."""
        caller = await self._admit(request)
        tokens = api.read_extension(caller.body).tokens
        deadline = now_ms() + self._quotas.lease_ms
        outcomes = await self._mailboxes.extend(caller.id, tokens, lease_ms=self._quotas.lease_ms)
        return give(request, api.encode(_results(tokens, outcomes, deadline=deadline)))

    @TABLE.route(
        "POST",
        "/v1/leases/release",
        takes=Content(media=api.MSGPACK_TYPE, of=api.Releases, about="which leases, and what becomes of each"),
        gives=Content(media=api.MSGPACK_TYPE, of=tuple[api.LeaseResult, ...], about="a result each, in order"),
        active=True,
    )
    async def release(self, request: web.Request) -> web.StreamResponse:
        """Give leases back, or, for what cannot be verified, to the dead letters."""
        caller = await self._admit(request)
        releases = api.read_releases(caller.body)
        outcomes = await self._mailboxes.release(
            caller.id,
            [
                Release(token=r.token, delay_ms=r.delay_ms, dead=r.dead, reason="unverified" if r.dead else "")
                for r in releases
            ],
            directory=Directory(*self._known.reference),
        )
        return give(request, api.encode(_results([r.token for r in releases], outcomes)))

    # Evidence

    @TABLE.route(
        "GET",
        "/v1/events",
        query=(
            Query(name="after", about="the number of the last event that the caller has"),
            Query(name="wait_ms", about="how long to wait for one, in milliseconds; 60,000 counts for more"),
        ),
        gives=Content(media=api.MSGPACK_TYPE, of=api.Feed, about="a page of the feed; without events if none came"),
    )
    async def events(self, request: web.Request) -> web.StreamResponse:
        """The caller's feed; long poll."""
        caller = await self._admit(request, answer_bytes_max=feed_bytes)
        after, wait_ms = query_number(request, "after"), query_number(request, "wait_ms")
        deadline = time.monotonic() + min(wait_ms, limits.wait_max_ms) / 1000
        with self._waker.events(caller.id) as bell:
            while True:
                found = await self._reader.feed(caller.id, after, api.events_page_max)
                left = deadline - time.monotonic()
                if found.events or left <= 0 or self._in_flight.over(request):
                    return give(request, api.encode(found))
                await bell.wait(left)

    @TABLE.route(
        "GET",
        "/v1/evidence/{message}",
        gives=Content(media=api.MSGPACK_TYPE, of=api.Feed, about="the events that the caller may see"),
        refuses=_ABSENT,
    )
    async def evidence(self, request: web.Request) -> web.StreamResponse:
        """The events of one message, to a party of it; absent and forbidden look the same."""
        caller = await self._admit(request, answer_bytes_max=feed_bytes)
        digest = request.match_info["message"]
        found = await self._reader.of_message(caller.id, digest) if _DIGEST.fullmatch(digest) else None
        if found is None or not found.events:
            raise Refused("not-found", f"{caller.id} asks for evidence of {digest[:64]}")
        return give(request, api.encode(found))

    # The log

    @TABLE.route(
        "GET",
        "/v1/log/checkpoint",
        gives=Content(media="text/plain", about="a checkpoint: a C2SP signed note"),
        refuses=_ABSENT,
    )
    async def checkpoint(self, request: web.Request) -> web.StreamResponse:
        """The public checkpoint."""
        await self._admit(request)
        raw, _ = await asyncio.to_thread(self._view.checkpoint)
        if not raw:
            raise Refused("not-found", "nothing has been published yet")
        return give(request, raw)

    @TABLE.route(
        "GET",
        "/v1/log/consistency",
        query=(
            Query(name="old", about="the size of the older tree"),
            Query(name="new", about="the size of the newer tree"),
        ),
        gives=Content(media=api.MSGPACK_TYPE, of=tuple[api.Hash, ...], about="the proof, as RFC 6962 orders it"),
        refuses=_ABSENT,
    )
    async def consistency(self, request: web.Request) -> web.StreamResponse:
        """The proof that the tree of `old` leaves begins the one of `new`."""
        await self._admit(request)
        old, new = query_number(request, "old"), query_number(request, "new")
        try:
            proof = await asyncio.to_thread(self._view.consistency, old, new)
        except ProveError as error:
            raise Refused("not-found", str(error)) from None
        return give(request, api.encode(proof))

    @TABLE.route(
        "GET",
        "/v1/log/inclusion",
        query=(
            Query(name="size", about="the size of the tree"),
            Query(name="index", about="the leaf, counted from 0"),
            Query(name="version", about="in the place of `index`: the digest of a root or directory", of=Digest),
        ),
        gives=Content(media=api.MSGPACK_TYPE, of=api.Inclusion, about="the place of the leaf, and the proof"),
        refuses=_ABSENT,
    )
    async def inclusion(self, request: web.Request) -> web.StreamResponse:
        """The place of a leaf, named by its index or as a version of the root or directory, and the proof of it."""
        await self._admit(request)
        size, version = query_number(request, "size"), request.query.get("version")
        if version is None:
            index: int | None = query_number(request, "index")
        else:
            index = await self._reader.version(version) if _DIGEST.fullmatch(version) else None
        try:
            if index is None:
                raise ProveError("no such version")
            proof = await asyncio.to_thread(self._view.inclusion, index, size)
        except ProveError as error:
            raise Refused("not-found", str(error)) from None
        return give(request, api.encode(api.Inclusion(index=index, proof=tuple(proof))))

    @TABLE.route(
        "GET",
        "/v1/log/tile/{path:.+}",
        gives=Content(media="application/octet-stream", about="a tile or an entry bundle (C2SP tlog-tiles)"),
        refuses=_ABSENT,
    )
    async def tile(self, request: web.Request) -> web.StreamResponse:
        """A tile or an entry bundle, by its C2SP path. One that never changes may be kept for ever."""
        await self._admit(request)
        try:
            data = await asyncio.to_thread(self._view.file, f"tile/{request.match_info['path']}")
        except TileError as error:
            raise Refused("not-found", str(error)) from None
        if data is None:
            raise Refused("not-found", "no such tile")
        return give(request, data)

    # The directory

    @TABLE.route(
        "GET",
        "/v1/directory",
        gives=Content(media=api.MSGPACK_TYPE, of=api.Newest, about="numbers of the newest root and directory"),
    )
    async def newest(self, request: web.Request) -> web.StreamResponse:
        """Where to begin."""
        await self._admit(request)
        version, digest = self._known.reference
        newest = api.Newest(root=self._known.roots.newest.version, directory=version, digest=digest)
        return give(request, api.encode(newest))

    @TABLE.route(
        "GET",
        "/v1/directory/holds",
        gives=Content(media=api.MSGPACK_TYPE, of=api.Holds, about="the note of the hold, or nothing"),
    )
    async def holds(self, request: web.Request) -> web.StreamResponse:
        """The hold on the caller, signed by operators: so that it need not believe us."""
        caller = await self._admit(request)
        held = self._known.held(caller.id)
        return give(request, api.encode([held.raw] if held else []))

    @TABLE.route(
        "GET",
        "/v1/directory/freshness",
        gives=Content(media=api.NOTE_TYPE, about="the freshness note"),
        refuses=_ABSENT,
    )
    async def freshness(self, request: web.Request) -> web.StreamResponse:
        """The freshness note."""
        await self._admit(request)
        return _note(request, (await self._shelf.heads()).freshness or None)

    @TABLE.route(
        "GET",
        "/v1/directory/roots/{number}",
        gives=Content(media=api.NOTE_TYPE, about="the root"),
        refuses=_ABSENT,
    )
    async def root(self, request: web.Request) -> web.StreamResponse:
        """A root, by its version."""
        await self._admit(request, answer_bytes_max=limits.directory_bytes_max)
        return _note(request, await self._shelf.root(path_number(request)))

    @TABLE.route(
        "GET",
        "/v1/directory/versions/{number}",
        gives=Content(media=api.NOTE_TYPE, about="the directory"),
        refuses=_ABSENT,
    )
    async def version(self, request: web.Request) -> web.StreamResponse:
        """A directory, by its version."""
        await self._admit(request, answer_bytes_max=limits.directory_bytes_max)
        return _note(request, await self._shelf.directory(path_number(request)))

    @TABLE.route(
        "GET",
        "/v1/limits",
        gives=Content(media=api.MSGPACK_TYPE, of=api.Limits, about="the limits"),
    )
    async def limits(self, request: web.Request) -> web.StreamResponse:
        """What this broker accepts, and its clock."""
        await self._admit(request)
        found = api.Limits(
            time=now_ms(),
            message_bytes_max=limits.message_bytes_max,
            submit_messages_max=api.batch_messages_max,
            submit_bytes_max=api.batch_bytes_max,
            lease_ms=self._quotas.lease_ms,
            lease_bytes_max=self._quotas.lease_bytes_max,
            attempts_max=self._quotas.attempts_max,
        )
        return give(request, api.encode(found))


def _note(request: web.Request, raw: bytes | None) -> web.Response:
    if raw is None:
        raise Refused("not-found", "no such note")
    return give(request, raw)


def _results(tokens: Sequence[str], outcomes: Sequence[str], *, deadline: int | None = None) -> list[api.LeaseResult]:
    words: dict[str, Any] = {"extended": "done", "released": "done"}
    return [
        api.LeaseResult(
            token=token,
            result=words.get(outcome, outcome),
            deadline=deadline if outcome == "extended" else None,
        )
        for token, outcome in zip(tokens, outcomes, strict=True)
    ]
