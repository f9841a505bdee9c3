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
from valija_broker.caller import Gate
from valija_broker.config import Quotas
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
from valija_schemas.tiles import TileError

_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,14}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
feed_bytes: Final = 1024 * 1024  #: About what a page of events comes to.


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
        return [
            web.post("/v1/messages", self.submit),
            web.post("/v1/messages/batch", self.submit_many),
            web.post("/v1/leases", self.lease),
            web.post("/v1/leases/acknowledge", self.acknowledge),
            web.post("/v1/leases/extend", self.extend),
            web.post("/v1/leases/release", self.release),
            web.get("/v1/events", self.events, allow_head=False),
            web.get("/v1/evidence/{message}", self.evidence, allow_head=False),
            web.get("/v1/log/checkpoint", self.checkpoint, allow_head=False),
            web.get("/v1/log/consistency", self.consistency, allow_head=False),
            web.get("/v1/log/inclusion", self.inclusion, allow_head=False),
            web.get("/v1/log/tile/{path:.+}", self.tile, allow_head=False),
            web.get("/v1/directory", self.newest, allow_head=False),
            web.get("/v1/directory/holds", self.holds, allow_head=False),
            web.get("/v1/directory/freshness", self.freshness, allow_head=False),
            web.get("/v1/directory/roots/{number}", self.root, allow_head=False),
            web.get("/v1/directory/versions/{number}", self.version, allow_head=False),
            web.get("/v1/limits", self.limits, allow_head=False),
        ]

    # Messages in

    async def submit(self, request: web.Request) -> web.StreamResponse:
        """One message. It is signed itself, so the request is not: the note is read and verified before the body."""
        _require_type(request, api.MESSAGE_TYPE)
        note, begun = await read_note(request)

        async def rest(header: message.Header) -> bytes:
            self._room.take(request, header.sender, header.body_length)
            return begun + await read_body_rest(request, header.body_length - len(begun))

        acceptance = await self._desk.accept(note, rest, arrived=request.content.is_eof())
        return _answer(acceptance, api.NOTE_TYPE, status=202)

    async def submit_many(self, request: web.Request) -> web.StreamResponse:
        """Several messages of the caller, with a result each, in order."""
        _require_type(request, api.MSGPACK_TYPE)
        caller = await self._gate.admit(request, bytes_max=api.batch_bytes_max)
        batch = api.read_batch(caller.body)
        results = await asyncio.gather(*(self._submit_one(data, caller.id) for data in batch))
        return _answer(api.encode(results), api.MSGPACK_TYPE)

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

    async def lease(self, request: web.Request) -> web.StreamResponse:
        """Lend mail to the caller; long poll."""
        _require_type(request, api.MSGPACK_TYPE)
        caller = await self._gate.admit(request, answer_bytes_max=self._quotas.lease_bytes_max)
        wanted = api.read_lease_request(caller.body)
        leases = await self._counter.deliver(caller.id, wanted, lambda: self._in_flight.over(request))
        response = _answer(api.encode([self._lent(lease) for lease in leases]), api.MSGPACK_TYPE)
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

    async def acknowledge(self, request: web.Request) -> web.StreamResponse:
        """Take receipts."""
        _require_type(request, api.MSGPACK_TYPE)
        caller = await self._gate.admit(request)
        results = await self._receipts.acknowledge(caller.id, api.read_acknowledgements(caller.body))
        return _answer(api.encode(results), api.MSGPACK_TYPE)

    async def extend(self, request: web.Request) -> web.StreamResponse:
        """Let leases end later: the worker is still at it."""
        _require_type(request, api.MSGPACK_TYPE)
        caller = await self._gate.admit(request)
        tokens = api.read_extension(caller.body).tokens
        deadline = now_ms() + self._quotas.lease_ms
        outcomes = await self._mailboxes.extend(caller.id, tokens, lease_ms=self._quotas.lease_ms)
        return _answer(api.encode(_results(tokens, outcomes, deadline=deadline)), api.MSGPACK_TYPE)

    async def release(self, request: web.Request) -> web.StreamResponse:
        """Give leases back, or, for what cannot be verified, to the dead letters."""
        _require_type(request, api.MSGPACK_TYPE)
        caller = await self._gate.admit(request)
        releases = api.read_releases(caller.body)
        outcomes = await self._mailboxes.release(
            caller.id,
            [
                Release(token=r.token, delay_ms=r.delay_ms, dead=r.dead, reason="unverified" if r.dead else "")
                for r in releases
            ],
            directory=Directory(*self._known.reference),
        )
        return _answer(api.encode(_results([r.token for r in releases], outcomes)), api.MSGPACK_TYPE)

    # Evidence

    async def events(self, request: web.Request) -> web.StreamResponse:
        """The caller's feed; long poll."""
        caller = await self._gate.admit(request, active=False, answer_bytes_max=feed_bytes)
        after, wait_ms = _query_number(request, "after"), _query_number(request, "wait_ms")
        deadline = time.monotonic() + min(wait_ms, limits.wait_max_ms) / 1000
        with self._waker.events(caller.id) as bell:
            while True:
                found = await self._reader.feed(caller.id, after, api.events_page_max)
                left = deadline - time.monotonic()
                if found.events or left <= 0 or self._in_flight.over(request):
                    return _answer(api.encode(found), api.MSGPACK_TYPE)
                await bell.wait(left)

    async def evidence(self, request: web.Request) -> web.StreamResponse:
        """The events of one message, to a party of it; absent and forbidden look the same."""
        caller = await self._gate.admit(request, active=False, answer_bytes_max=feed_bytes)
        digest = request.match_info["message"]
        found = await self._reader.of_message(caller.id, digest) if _DIGEST.fullmatch(digest) else None
        if found is None or not found.events:
            raise Refused("not-found", f"{caller.id} asks for evidence of {digest[:64]}")
        return _answer(api.encode(found), api.MSGPACK_TYPE)

    # The log

    async def checkpoint(self, request: web.Request) -> web.StreamResponse:
        """The public checkpoint."""
        await self._gate.admit(request, active=False)
        raw, _ = await asyncio.to_thread(self._view.checkpoint)
        if not raw:
            raise Refused("not-found", "nothing has been published yet")
        return _answer(raw, "text/plain")

    async def consistency(self, request: web.Request) -> web.StreamResponse:
        """The proof that the tree of `old` leaves begins the one of `new`."""
        await self._gate.admit(request, active=False)
        old, new = _query_number(request, "old"), _query_number(request, "new")
        try:
            proof = await asyncio.to_thread(self._view.consistency, old, new)
        except ProveError as error:
            raise Refused("not-found", str(error)) from None
        return _answer(api.encode(proof), api.MSGPACK_TYPE)

    async def inclusion(self, request: web.Request) -> web.StreamResponse:
        """The place of a leaf, named by its index or as a version of the root or directory, and the proof of it."""
        await self._gate.admit(request, active=False)
        size, version = _query_number(request, "size"), request.query.get("version")
        if version is None:
            index: int | None = _query_number(request, "index")
        else:
            index = await self._reader.version(version) if _DIGEST.fullmatch(version) else None
        try:
            if index is None:
                raise ProveError("no such version")
            proof = await asyncio.to_thread(self._view.inclusion, index, size)
        except ProveError as error:
            raise Refused("not-found", str(error)) from None
        return _answer(api.encode(api.Inclusion(index=index, proof=tuple(proof))), api.MSGPACK_TYPE)

    async def tile(self, request: web.Request) -> web.StreamResponse:
        """A tile or an entry bundle, by its C2SP path. One that never changes may be kept for ever."""
        await self._gate.admit(request, active=False)
        try:
            data = await asyncio.to_thread(self._view.file, f"tile/{request.match_info['path']}")
        except TileError as error:
            raise Refused("not-found", str(error)) from None
        if data is None:
            raise Refused("not-found", "no such tile")
        return _answer(data, "application/octet-stream")

    # The directory

    async def newest(self, request: web.Request) -> web.StreamResponse:
        """Where to begin."""
        await self._gate.admit(request, active=False)
        version, digest = self._known.reference
        newest = api.Newest(root=self._known.roots.newest.version, directory=version, digest=digest)
        return _answer(api.encode(newest), api.MSGPACK_TYPE)

    async def holds(self, request: web.Request) -> web.StreamResponse:
        """The hold on the caller, signed by operators: so that it need not believe us."""
        caller = await self._gate.admit(request, active=False)
        held = self._known.held(caller.id)
        return _answer(api.encode([held.raw] if held else []), api.MSGPACK_TYPE)

    async def freshness(self, request: web.Request) -> web.StreamResponse:
        """The freshness note."""
        await self._gate.admit(request, active=False)
        return _note((await self._shelf.heads()).freshness or None)

    async def root(self, request: web.Request) -> web.StreamResponse:
        """A root, by its version."""
        await self._gate.admit(request, active=False, answer_bytes_max=limits.directory_bytes_max)
        return _note(await self._shelf.root(_path_number(request)))

    async def version(self, request: web.Request) -> web.StreamResponse:
        """A directory, by its version."""
        await self._gate.admit(request, active=False, answer_bytes_max=limits.directory_bytes_max)
        return _note(await self._shelf.directory(_path_number(request)))

    async def limits(self, request: web.Request) -> web.StreamResponse:
        """What this broker accepts, and its clock."""
        await self._gate.admit(request, active=False)
        found = api.Limits(
            time=now_ms(),
            message_bytes_max=limits.message_bytes_max,
            submit_messages_max=api.batch_messages_max,
            submit_bytes_max=api.batch_bytes_max,
            lease_ms=self._quotas.lease_ms,
            lease_bytes_max=self._quotas.lease_bytes_max,
            attempts_max=self._quotas.attempts_max,
        )
        return _answer(api.encode(found), api.MSGPACK_TYPE)


def _answer(body: bytes, content_type: str, *, status: int = 200) -> web.Response:
    return web.Response(body=body, status=status, content_type=content_type, headers={"Cache-Control": "no-store"})


def _note(raw: bytes | None) -> web.Response:
    if raw is None:
        raise Refused("not-found", "no such note")
    return _answer(raw, api.NOTE_TYPE)


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


def _require_type(request: web.Request, expected: str) -> None:
    if request.headers.get("Content-Type") != expected or "Content-Encoding" in request.headers:
        raise Refused("unsupported", "another content type, or a content encoding")


def _query_number(request: web.Request, name: str) -> int:
    text = request.query.get(name, "0")
    if not _NUMBER.fullmatch(text):
        raise Refused("malformed", f"{name} is not a number")
    return int(text)


def _path_number(request: web.Request) -> int:
    text = request.match_info["number"]
    if not _NUMBER.fullmatch(text):
        raise Refused("not-found", "not a number")
    return int(text)
