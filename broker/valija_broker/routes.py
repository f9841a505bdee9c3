"""The agencies' door: from HTTP to the handlers and back. One table of routes; SPEC.md section 3.3 lists the same.

A handler here reads, calls the one room that does the work, and writes. What goes wrong becomes a problem in one place
(`answer_problems`): the network gets a code and what to do, our own log the rest.

Before this room: `app`. After it: `caller`, then `accept`, `deliver`, `acknowledge`.
"""

import asyncio
import contextlib
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import structlog
from aiohttp import web

from valija_broker import metrics
from valija_broker.accept import Desk
from valija_broker.acknowledge import Receipts
from valija_broker.caller import Gate, body_deadline, read_rest
from valija_broker.config import Quotas
from valija_broker.connections import Connections
from valija_broker.deliver import Counter
from valija_broker.directory import Known, now_ms
from valija_broker.errors import BrokerError, Refused, StoreFull, StoreUnavailable
from valija_broker.log.prove import ProveError
from valija_broker.log.view import EvidenceReader, LogView
from valija_broker.queue import Directory, DirectoryShelf, Lease, Mailboxes, Release
from valija_broker.room import Room
from valija_broker.wake import Waker
from valija_schemas import api, limits, message, problem
from valija_schemas import note as notes
from valija_schemas.tiles import TileError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_log: Final = structlog.get_logger("routes")
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,14}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
retry_after_s: Final = 1  #: What a client waits before it repeats: the store is back, or has drained, in seconds.
held_retry_after_s: Final = 60  #: Hours, as a rule; lifted, it is over at once.
write_deadline_s: Final = 25.0  #: A peer that does not read its answer is cut off.
feed_bytes: Final = 1024 * 1024  #: About what a page of events comes to.


class Agencies:
    """What the routes need, made once a worker."""

    def __init__(
        self,
        *,
        gate: Gate,
        room: Room,
        connections: Connections,
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
        self._connections = connections
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
        self._stopping = False
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def finish(self, within_s: float) -> None:
        """Let those who wait go with what there is, and let the others finish: this worker takes no new connections."""
        self._stopping = True
        self._waker.wake_all()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._idle.wait()

    @web.middleware
    async def count_in_flight(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Know what is in flight: the framework, told to shut down, would drop what still comes of a body.

        Answers are written here, so that one that is not read is in flight, too, and has a deadline.
        """
        self._in_flight += 1
        self._idle.clear()
        self._connections.begun(request)
        try:
            response = await handler(request)
            if not response.prepared:
                await self._write(request, response)
            return response
        finally:
            self._connections.ended(request)
            self._room.give_back(request)
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()

    async def _write(self, request: web.Request, response: web.StreamResponse) -> None:
        """Write an answer, and wait until the peer has taken it.

        Raises:
            OSError: the peer has left, or did not read it in time and was cut off.
        """
        if self._stopping or self._connections.one_too_many(request):
            response.force_close()
        if _gone(request):
            raise ConnectionResetError
        try:
            async with asyncio.timeout(write_deadline_s):
                await response.prepare(request)
                await response.write_eof()
        except TimeoutError:
            self._connections.cut_off(request)
            raise ConnectionResetError("the peer does not read its answer") from None

    def _over(self, request: web.Request) -> bool:
        """Whether there is no point in waiting on: the peer has left, or this worker stops."""
        return self._stopping or _gone(request)

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
        note, begun = await _read_note(request)

        async def rest(header: message.Header) -> bytes:
            self._room.take(request, header.sender, header.body_length)
            return begun + await _read_rest(request, header.body_length - len(begun))

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
        leases = await self._counter.deliver(caller.id, wanted, lambda: self._over(request))
        response = _answer(api.encode([self._lent(lease) for lease in leases]), api.MSGPACK_TYPE)
        if not leases:
            return response
        try:
            await self._write(request, response)  # here, so that we know when it could not be
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
                if found.events or left <= 0 or self._over(request):
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


def describe(error: Exception) -> problem.Problem:
    """The problem that an exception is to the network."""
    now = now_ms()
    match error:
        case Refused():
            first = error.accepted_first
            return problem.of(
                error.problem_code,
                time_ms=now,
                detail=str(error),
                evidence=error.evidence,
                accepted=problem.FirstAcceptance(digest=first[0], time=first[1]) if first else None,
            )
        case notes.NoteError() | api.ApiError():
            return problem.of("malformed", time_ms=now, detail=str(error))
        case StoreFull():
            return problem.of("full", time_ms=now)
        case StoreUnavailable():
            return problem.of("unavailable", time_ms=now)
        case web.HTTPNotFound():
            return problem.of("not-found", time_ms=now)
        case web.HTTPMethodNotAllowed():
            return problem.of("method-not-allowed", time_ms=now)
        case web.HTTPRequestEntityTooLarge():
            return problem.of("too-large", time_ms=now)
        case web.HTTPException():
            return problem.of("malformed", time_ms=now)
        case _:
            # A mistake of ours. The outcome is not known, which is what `unavailable` says: repeat with the same ids.
            _log.exception("unexpected", exc_info=error)
            return problem.of("unavailable", time_ms=now)


@web.middleware
async def answer_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every exception becomes a problem, and every request is counted."""
    began = time.monotonic()
    status = 0
    try:
        response = await handler(request)
        status = response.status
        return response
    except (ConnectionError, TimeoutError):
        raise  # the peer is gone; there is nobody to answer
    except Exception as error:  # noqa: BLE001 - the one place where exceptions become answers
        found = describe(error)
        status = found.status
        if isinstance(error, BrokerError) and not isinstance(error, Refused):
            _log.warning("not_done", path=request.path[:80], error=str(error), label=error.label)
        headers = {"Cache-Control": "no-store"}
        if found.retryable:
            known_s = error.retry_after_s if isinstance(error, Refused) else None
            usual_s = held_retry_after_s if found.code == "held" else retry_after_s
            headers["Retry-After"] = str(known_s or usual_s)
        if found.status == 401:
            headers["WWW-Authenticate"] = "Signature"  # RFC 9110 section 11.6.1 asks for one; RFC 9421 has no scheme
        if isinstance(error, web.HTTPMethodNotAllowed):
            headers["Allow"] = error.headers["Allow"]
        answer = web.Response(
            body=problem.encode(found), status=found.status, content_type=problem.MEDIA_TYPE, headers=headers
        )
        if not request.content.at_eof():
            answer.force_close()  # what was not read of the body must not be taken for the next request
        return answer
    finally:
        resource = request.match_info.route.resource
        route = resource.canonical if resource else "other"
        metrics.requests.labels(route, str(status)).observe(time.monotonic() - began)


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


def _gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


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


async def _read_note(request: web.Request) -> tuple[notes.Note, bytes]:
    """The note at the front of a message, and what came of its body with it.

    Reads no more than a note may have and one chunk, so that a stranger costs us 16 KiB and one verification.
    """
    if request.content_length is not None and request.content_length > limits.message_bytes_max:
        raise Refused("too-large", f"{request.content_length} bytes announced")
    enough = limits.note_bytes_max + len(notes.BODY_BEGINS)
    try:
        data = request.content.read_nowait(enough)  # what came with the head, mostly all of it, needs no deadline
        if len(data) < enough and not request.content.at_eof():
            async with asyncio.timeout_at(body_deadline(request)):
                while len(data) < enough:
                    part = await request.content.read(enough - len(data))
                    if not part:
                        break
                    data += part
    except TimeoutError:
        raise Refused("too-slow", "the note did not arrive in time") from None
    except (ConnectionError, web.HTTPException, ValueError) as error:
        raise Refused("malformed", f"the note broke off: {type(error).__name__}") from None
    return notes.split(data)


async def _read_rest(request: web.Request, length: int) -> bytes:
    if length < 0:
        raise message.MessageError("body-mismatch", "the body is longer than the note says")
    rest = await read_rest(request, max(0, length))
    if len(rest) != length:
        raise message.MessageError("body-mismatch", "the body is shorter than the note says")
    return rest
