"""The line to the broker: requests signed, repeated with care, and refusals told apart.

Every request but a message is signed with the `auth` key (a message is itself a signed note). A request that failed in
a way that says nothing about its outcome is sent again, a few times, with a new nonce: each of them is safe to repeat.
What comes back is bounded before it is read, never decompressed, and never follows a redirect.

The promise: a method returns what the broker answered, or raises `RefusedError` (it said no), `UnavailableError`
(nothing can be said about the outcome) or `AnswerInvalidError` (it said something that cannot be read).

Before this room: `sending`, `inbox`, `tracking`, `sync`. After it: `connect`, the broker. Rules: SPEC.md section 3.
"""

import asyncio
import logging
import random
import secrets
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, Self, TypeVar

import aiohttp
import msgspec
from yarl import URL

from valija.connect import Endpoint
from valija.errors import AnswerInvalidError, HeldError, RefusedError, UnavailableError
from valija_schemas import api, http_signature, limits, problem
from valija_schemas.note import Signer

T = TypeVar("T")

_log: Final = logging.getLogger("valija.transport")

answer_timeout_s: Final = 45.0  #: Beyond what a long poll asked to wait: 4 MiB over a slow line.
attempts_max: Final = 5  #: Of one request; about 8 s in all. The outbox and the inbox try again after that.
backoff_first_s: Final = 0.25
backoff_max_s: Final = 4.0
retry_after_max_s: Final = 30.0  #: A longer one is not waited for here.
note_answer_bytes_max: Final = limits.directory_bytes_max
answer_bytes_max: Final = 16 * 1024 * 1024  #: A page of leases or of events.

_read_newest: Final = api.Decoder(api.Newest)
_read_limits: Final = api.Decoder(api.Limits)


class Transport:
    """A connection to one broker in the name of one contact point. Safe to share between tasks."""

    def __init__(
        self,
        where: str | Endpoint,
        auth: Callable[[], Signer],
        *,
        fallback: Callable[[], Signer] | None = None,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """`auth` is asked for each request, since the key may be rotated while the client runs.

        `fallback` is asked once the broker did not take a signature: a client that was away while its key was replaced
        holds a directory that still names the old one, and must sign with the new one to fetch the next.
        """
        self._endpoint = where if isinstance(where, Endpoint) else Endpoint(where)
        self._base = self._endpoint.base
        self._authority = self._base.host_port_subcomponent or ""  # the port only where it is not the scheme's own
        self._auth = auth
        self._fallback = fallback or auth
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = self._endpoint.session()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    def __repr__(self) -> str:
        return f"Transport({str(self._base)!r})"

    # Messages in

    async def submit(self, message: bytes, /) -> bytes:
        """Submit one message; the SubmissionAcceptance note, not yet verified. A repeat gets the first one."""
        status, body = await self._request(
            "POST",
            "/v1/messages",
            message,
            content_type=api.MESSAGE_TYPE,
            bytes_max=limits.note_bytes_max,
            signed=False,
        )
        if status != 202:
            raise AnswerInvalidError(f"the broker answered a message with status {status}")
        return body

    async def submit_many(self, messages: Sequence[bytes]) -> tuple[api.SubmitResult, ...]:
        """Submit up to 64 messages in one request, with a result each, in order."""
        results = await self._post("/v1/messages/batch", list(messages), api.read_submit_results)
        return _paired(results, messages)

    # Messages out

    async def lease(self, request: api.LeaseRequest) -> tuple[api.Lent, ...]:
        """Ask for mail; waits up to `request.wait_ms` for the first."""
        return await self._post("/v1/leases", request, api.read_lent, wait_ms=request.wait_ms)

    async def acknowledge(self, acks: Sequence[api.Acknowledgement]) -> tuple[api.LeaseResult, ...]:
        """Hand in receipts."""
        return _paired(await self._post("/v1/leases/acknowledge", list(acks), api.read_lease_results), acks)

    async def extend(self, tokens: Sequence[str]) -> tuple[api.LeaseResult, ...]:
        """Let leases last longer."""
        request = api.Extension(tokens=tuple(tokens))
        return _paired(await self._post("/v1/leases/extend", request, api.read_lease_results), tokens)

    async def release(self, releases: Sequence[api.Release]) -> tuple[api.LeaseResult, ...]:
        """Give leases back."""
        return _paired(await self._post("/v1/leases/release", list(releases), api.read_lease_results), releases)

    # Evidence

    async def events(self, after: int, wait_ms: int) -> api.Feed:
        """The page of our feed that follows event `after`; waits up to `wait_ms` for the first."""
        target = f"/v1/events?after={after}&wait_ms={wait_ms}"
        return await self._get(target, api.read_feed, wait_ms=wait_ms)

    async def evidence(self, digest: str) -> api.Feed:
        """The events of one message; none where the broker does not know it, or not for us."""
        try:
            return await self._get(f"/v1/evidence/{digest}", api.read_feed)
        except RefusedError as error:
            if error.problem.code == problem.Code.NOT_FOUND:
                return api.Feed(checkpoint=b"", events=())
            raise

    # The log

    async def checkpoint(self) -> bytes:
        """The newest checkpoint, not yet verified."""
        return await self._note("/v1/log/checkpoint")

    async def consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        """The proof that the log of `old` leaves is the beginning of that of `new`, not yet verified."""
        return await self._get(f"/v1/log/consistency?old={old}&new={new}", api.read_consistency)

    async def inclusion(self, leaf: int | str, size: int) -> api.Inclusion:
        """The place of a leaf, by its index or the digest of its version, in the tree of `size`; not yet verified."""
        name = "index" if isinstance(leaf, int) else "version"
        return await self._get(f"/v1/log/inclusion?size={size}&{name}={leaf}", api.read_inclusion)

    async def tile(self, path: str) -> bytes:
        """A tile or a bundle of entries, by its path under the log's prefix."""
        return await self._note(f"/v1/log/{path}")

    # The directory

    async def newest(self) -> api.Newest:
        """Where to begin; a hint."""
        return await self._get("/v1/directory", _read_newest)

    async def holds(self) -> tuple[bytes, ...]:
        """The order of operators that holds us, not yet verified; empty where there is none."""
        return await self._get("/v1/directory/holds", api.read_holds)

    async def freshness(self) -> bytes:
        """The freshness note."""
        return await self._note("/v1/directory/freshness")

    async def root(self, version: int) -> bytes:
        """A root note."""
        return await self._note(f"/v1/directory/roots/{version}")

    async def directory(self, version: int) -> bytes:
        """A directory note."""
        return await self._note(f"/v1/directory/versions/{version}")

    async def limits(self) -> api.Limits:
        """What this broker accepts, and its clock."""
        return await self._get("/v1/limits", _read_limits)

    # How

    async def _note(self, target: str) -> bytes:
        _, body = await self._request("GET", target, b"", bytes_max=note_answer_bytes_max)
        return body

    async def _get(self, target: str, read: Callable[[bytes], T], *, wait_ms: int = 0) -> T:
        _, body = await self._request("GET", target, b"", bytes_max=answer_bytes_max, wait_ms=wait_ms)
        return _decoded(read, body)

    async def _post(self, target: str, value: object, read: Callable[[bytes], T], *, wait_ms: int = 0) -> T:
        data = api.encode(value)
        _, body = await self._request("POST", target, data, bytes_max=answer_bytes_max, wait_ms=wait_ms)
        return _decoded(read, body)

    async def _request(
        self,
        method: str,
        target: str,
        body: bytes,
        *,
        bytes_max: int,
        content_type: str = api.MSGPACK_TYPE,
        signed: bool = True,
        wait_ms: int = 0,
    ) -> tuple[int, bytes]:
        """Send a request, and again while the answer says that this may help. Status and body of a success."""
        key = self._auth
        for attempt in range(1, attempts_max + 1):
            last = attempt == attempts_max
            try:
                status, answer, retry_after = await self._once(
                    method,
                    target,
                    body,
                    bytes_max=bytes_max,
                    content_type=content_type,
                    key=key if signed else None,
                    wait_ms=wait_ms,
                )
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                if (final := self._endpoint.failure(error)) is not None:
                    raise final from None
                if last:
                    raise UnavailableError(f"the broker at {self._endpoint} did not answer: {_name(error)}") from None
                _log.debug("%s %s failed: %s; attempt %d", method, target, _name(error), attempt)
                await asyncio.sleep(_backoff(attempt))
                continue
            if 200 <= status < 300:
                return status, answer
            found = self._problem(status, answer)
            if isinstance(found, AnswerInvalidError):
                raise found
            if isinstance(found, RefusedError) and not found.problem.retryable:
                # The HTTP library repeats a GET whose connection broke, under the nonce that the broker has seen by
                # then; so a first refusal of a signature may be of that, and a new one is made once.
                if found.problem.code == problem.Code.NOT_SIGNED and signed and attempt == 1:
                    key = self._fallback
                    continue
                raise found
            held = isinstance(found, RefusedError) and found.problem.code == problem.Code.HELD
            if last or held or retry_after > retry_after_max_s:  # a hold lasts hours, whatever the answer says
                raise _unavailable(found)
            _log.debug("%s %s: %s; attempt %d", method, target, found, attempt)
            await asyncio.sleep(max(retry_after, _backoff(attempt)))
        raise AssertionError  # pragma: no cover - the loop returns or raises

    async def _once(
        self,
        method: str,
        target: str,
        body: bytes,
        *,
        bytes_max: int,
        content_type: str,
        key: Callable[[], Signer] | None,
        wait_ms: int,
    ) -> tuple[int, bytes, float]:
        if self._session is None:
            raise UnavailableError("this client is not open", hint="Use it inside `with` or `async with`.")
        headers = {"Content-Type": content_type}
        if key is not None:
            headers = self._signed(method, target, content_type, body, key())
        async with (
            asyncio.timeout(answer_timeout_s + wait_ms / 1000),
            self._session.request(
                method,
                URL(f"{self._base}{target}", encoded=True),
                # An empty body is sent as none, or aiohttp would give a GET a length and the wrong type.
                data=body or None,
                headers={**headers, "Host": self._authority},
                proxy_headers=self._endpoint.proxy_headers,
                allow_redirects=False,
                skip_auto_headers=("Content-Type",),
            ) as response,
        ):
            data = await _read(response, bytes_max if response.status < 300 else problem.problem_bytes_max)
            return response.status, data, _retry_after(response.headers.get("Retry-After"))

    def _signed(self, method: str, target: str, content_type: str, body: bytes, key: Signer) -> dict[str, str]:
        created = self._clock() // 1000
        request = http_signature.Request(
            method=method, authority=self._authority, target=target, content_type=content_type, body=body
        )
        return http_signature.sign(
            request,
            key,
            created=created,
            expires=created + limits.signature_window_max_ms // 1000,
            nonce=secrets.token_urlsafe(limits.nonce_bytes_min),
        )

    def _problem(self, status: int, body: bytes) -> RefusedError | UnavailableError | AnswerInvalidError:
        try:
            found = problem.decode(body)
        except problem.ProblemError:
            if status in {408, 429} or status >= 500:  # something on the way, not the broker
                return UnavailableError(f"{self._base} answered with status {status}")
            return AnswerInvalidError(f"{self._base} answered with status {status}, and not as a broker does")
        error = RefusedError(found)
        skew_ms = self._clock() - found.time
        if found.code == problem.Code.NOT_SIGNED and abs(skew_ms) > limits.signature_skew_max_ms:
            error.hint = f"This machine's clock is {skew_ms / 1000:+.0f} s off the broker's: set it."
        return error


def _unavailable(error: RefusedError | UnavailableError | AnswerInvalidError) -> Exception:
    """What a refusal that may pass becomes when we stop repeating."""
    if isinstance(error, RefusedError) and error.problem.code == problem.Code.HELD:
        return HeldError(str(error))
    if isinstance(error, RefusedError):
        return UnavailableError(str(error), hint=error.hint)
    return error


async def _read(response: aiohttp.ClientResponse, bytes_max: int) -> bytes:
    parts: list[bytes] = []
    length = 0
    async for part in response.content.iter_any():
        length += len(part)
        if length > bytes_max:
            raise AnswerInvalidError(f"the broker's answer is longer than {bytes_max} bytes")
        parts.append(part)
    return b"".join(parts)


def _decoded(read: Callable[[bytes], T], body: bytes) -> T:
    try:
        return read(body)
    except api.ApiError as error:
        raise AnswerInvalidError(f"the broker's answer cannot be read: {error}") from None


R = TypeVar("R", bound=msgspec.Struct)


def _paired(results: tuple[R, ...], asked: Sequence[object]) -> tuple[R, ...]:
    if len(results) != len(asked):
        raise AnswerInvalidError(f"the broker answered {len(results)} of {len(asked)} parts of a request")
    return results


def _retry_after(value: str | None) -> float:
    """Seconds (RFC 9110 section 10.2.3); a date is not read, since it rests on two clocks."""
    return float(value) if value and value.isascii() and value.isdigit() and len(value) < 6 else 0.0


def _backoff(attempt: int) -> float:
    longest: float = min(backoff_max_s, backoff_first_s * 2.0 ** (attempt - 1))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - jitter


def _name(error: BaseException) -> str:
    return str(error) or type(error).__name__
