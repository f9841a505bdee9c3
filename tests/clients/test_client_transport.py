"""The line to the broker: every request is signed anew, repeated a few times, and what comes back is bounded."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from valija import RefusedError, UnavailableError, transport
from valija.errors import AnswerInvalidError
from valija.transport import Transport
from valija_schemas import api, http_signature, problem
from valija_schemas.note import Ed25519Signer

KEY = Ed25519Signer("exchange.example/mx.enlace", Ed25519PrivateKey.generate())
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Broker:
    """Answers in turn, and checks each request as a broker does."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.requests: list[tuple[str, str, bytes, http_signature.Parsed | None]] = []
        self.port = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        parsed = None
        if "Signature" in request.headers:
            names = {f"127.0.0.1:{self.port}"}
            parsed = http_signature.parse(request.method, request.raw_path, request.raw_headers, names)
            http_signature.check(parsed, public=KEY.public, now_ms=time.time_ns() // 1_000_000)
            parsed.check_body(body)
        self.requests.append((request.method, request.raw_path, body, parsed))
        return await self.answers.pop(0)(request)


@pytest.fixture
async def broker() -> AsyncIterator[Broker]:
    found = Broker()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", found.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.port = runner.addresses[0][1]
    yield found
    await runner.cleanup()


@pytest.fixture
async def line(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Transport]:
    monkeypatch.setattr(transport, "backoff_first_s", 0.01)
    async with Transport(f"http://127.0.0.1:{broker.port}", lambda: KEY) as found:
        yield found


def answer(body: bytes = b"", status: int = 200, **headers: str) -> Answer:
    async def give(_: web.Request) -> web.StreamResponse:
        return web.Response(body=body, status=status, headers=headers)

    return give


def refusal(code: str, **headers: str) -> Answer:
    found = problem.of(code, time_ms=time.time_ns() // 1_000_000)
    return answer(problem.encode(found), found.status, **headers)


async def broken(request: web.Request) -> web.StreamResponse:
    assert request.transport
    request.transport.abort()
    return web.Response()


FEED = api.encode(api.Feed(checkpoint=b"", events=()))
NOTHING = api.encode([])


async def test_requests_are_signed_and_messages_are_not(broker, line):
    broker.answers = [answer(FEED), answer(b"note", 202), answer(NOTHING)]
    await line.events(3, 0)
    assert await line.submit(b"message") == b"note"
    await line.lease(api.LeaseRequest(instance="one", have=(), limit=1, wait_ms=0))
    (get, post, lease) = broker.requests
    assert (get[0], get[1]) == ("GET", "/v1/events?after=3&wait_ms=0")
    assert get[3] is not None
    assert post[2:] == (b"message", None)
    assert lease[3] is not None
    assert api.read_lease_request(lease[2]).instance == "one"


@pytest.mark.parametrize("failure", [broken, refusal("unavailable"), refusal("rate"), answer(b"<html>", 502)])
async def test_what_may_pass_is_repeated_with_a_new_nonce(broker, line, failure):
    broker.answers = [failure, failure, answer(NOTHING)]
    await line.lease(api.LeaseRequest(instance="one", have=(), limit=1, wait_ms=0))
    assert len(broker.requests) == 3
    assert len({parsed.nonce for _, _, _, parsed in broker.requests if parsed}) == 3


async def test_a_nonce_that_the_http_library_repeated_is_made_anew(broker, line):
    broker.answers = [answer(FEED), broken, refusal("not-signed"), answer(FEED)]
    await line.events(0, 0)
    await line.events(0, 0)
    nonces = [parsed.nonce for _, _, _, parsed in broker.requests if parsed]
    assert len(nonces) == 4
    assert nonces[3] not in nonces[:3]


async def test_repeating_ends(broker, line):
    broker.answers = [refusal("unavailable")] * 9
    with pytest.raises(UnavailableError):
        await line.events(0, 0)
    assert len(broker.requests) == transport.attempts_max


async def test_a_refusal_is_not_repeated_and_says_what_to_do(broker, line):
    broker.answers = [refusal("route-not-allowed")]
    with pytest.raises(RefusedError) as caught:
        await line.submit(b"message")
    assert caught.value.problem.code == "route-not-allowed"
    assert caught.value.hint == problem.KINDS[problem.Code.ROUTE_NOT_ALLOWED].hint
    assert len(broker.requests) == 1


async def test_retry_after_is_honoured_and_a_long_one_is_not_waited_for(broker, line, monkeypatch):
    slept = []
    real = asyncio.sleep
    monkeypatch.setattr(asyncio, "sleep", lambda seconds: slept.append(seconds) or real(0))
    broker.answers = [refusal("rate", **{"Retry-After": "7"}), answer(FEED), refusal("rate", **{"Retry-After": "99"})]
    await line.events(0, 0)
    assert 7.0 in slept
    with pytest.raises(UnavailableError):
        await line.events(0, 0)


@pytest.mark.parametrize(
    "bad",
    [answer(b"\xc1"), answer(api.encode({"events": 1})), answer(b"", 302, Location="/x"), answer(b"hello", 404)],
)
async def test_an_answer_that_cannot_be_read_is_told_apart(broker, line, bad):
    broker.answers = [bad]
    with pytest.raises(AnswerInvalidError):
        await line.events(0, 0)
    assert len(broker.requests) == 1


async def test_an_answer_without_end_is_cut_off(broker, line):
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=202)
        await response.prepare(request)
        with pytest.raises((ConnectionError, asyncio.CancelledError)):
            while True:
                await response.write(b"x" * 65_536)
        return response

    broker.answers = [endless]
    with pytest.raises(AnswerInvalidError):
        await line.submit(b"message")


async def test_evidence_of_an_unknown_message_is_none(broker, line):
    broker.answers = [refusal("not-found")]
    assert (await line.evidence("0" * 64)).events == ()


async def test_a_clock_that_is_wrong_is_named(broker, line):
    found = problem.of("not-signed", time_ms=time.time_ns() // 1_000_000 + 120_000)
    broker.answers = [answer(problem.encode(found), 401)] * 2
    with pytest.raises(RefusedError) as caught:
        await line.limits()
    assert "clock" in caught.value.hint


async def test_nobody_there_is_unavailable(line, broker):
    async with Transport("http://127.0.0.1:9", lambda: KEY) as nowhere:
        with pytest.raises(UnavailableError):
            await nowhere.limits()


async def test_answers_are_paired_with_what_was_asked(broker, line):
    broker.answers = [answer(api.encode([]))]
    with pytest.raises(AnswerInvalidError):
        await line.extend(["a", "b"])


def test_nothing_secret_shows_in_a_repr() -> None:
    shown: Any = repr(Transport("https://broker.example", lambda: KEY))
    assert shown == "Transport('https://broker.example')"


async def test_a_client_that_was_away_while_its_key_was_replaced_signs_with_the_new_one(broker):
    old = Ed25519Signer("exchange.example/mx.enlace", Ed25519PrivateKey.generate())
    broker.answers = [answer(FEED)]

    async def check(request: web.Request) -> web.StreamResponse:
        try:
            return await handle(request)
        except http_signature.SignatureError:
            return await refusal("not-signed")(request)

    handle, broker.handle = broker.handle, check
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", check)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    broker.port = runner.addresses[0][1]
    async with Transport(f"http://127.0.0.1:{broker.port}", lambda: old, fallback=lambda: KEY) as line:
        assert (await line.events(0, 0)).events == ()
    await runner.cleanup()
