"""What goes wrong, as the network hears it: a code and what to do. Our own log gets the rest.

Every exception of a request becomes a problem in this one place, and every request is counted on its way out.

Before this room: `app`, `routes`. After it: `errors`, `metrics`. Rules: schemas/SPEC.md section 3.4.
"""

import time
from collections.abc import Callable
from typing import Final

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from valija_broker import metrics
from valija_broker.directory import now_ms
from valija_broker.errors import BrokerError, Refused, StoreFull, StoreUnavailable
from valija_schemas import api, problem
from valija_schemas import note as notes

_log: Final = structlog.get_logger("problems")

retry_after_s: Final = 1  #: What a client waits before it repeats: the store is back, or has drained, in seconds.
held_retry_after_s: Final = 60  #: Hours, as a rule; lifted, it is over at once.


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


def headers_of(found: problem.Problem, error: Exception) -> dict[str, str]:
    """The header fields of an answer that says `found`, which `error` is."""
    headers = {"Cache-Control": "no-store"}
    if found.retryable:
        known_s = error.retry_after_s if isinstance(error, Refused) else None
        usual_s = held_retry_after_s if found.code == "held" else retry_after_s
        headers["Retry-After"] = str(known_s or usual_s)
    if found.status == 401:
        # RFC 9110 section 11.6.1 asks for one; RFC 9421 has no scheme.
        headers["WWW-Authenticate"] = "Bearer" if found.code == "not-signed-in" else "Signature"
    if isinstance(error, web.HTTPMethodNotAllowed):
        headers["Allow"] = error.headers["Allow"]
    return headers


def answer(error: Exception) -> web.Response:
    """The answer that an exception is to the network."""
    found = describe(error)
    return web.Response(
        body=problem.encode(found),
        status=found.status,
        content_type=problem.MEDIA_TYPE,
        headers=headers_of(found, error),
    )


def answering(say: Callable[[web.Request, Exception], web.Response]) -> Middleware:
    """Every exception becomes an answer, what `say` makes of it, and every request is counted."""

    @web.middleware
    async def answered(request: web.Request, handler: Handler) -> web.StreamResponse:
        began = time.monotonic()
        status = 0
        try:
            response = await handler(request)
            status = response.status
            return response
        except (ConnectionError, TimeoutError):
            raise  # the peer is gone; there is nobody to answer
        except Exception as error:  # noqa: BLE001 - the one place where exceptions become answers
            refused = say(request, error)
            status = refused.status
            if isinstance(error, BrokerError) and not isinstance(error, Refused):
                _log.warning("not_done", path=request.path[:80], error=str(error), label=error.label)
            if not request.content.at_eof():
                refused.force_close()  # what was not read of the body must not be taken for the next request
            return refused
        finally:
            resource = request.match_info.route.resource
            route = resource.canonical if resource else "other"
            metrics.requests.labels(route, str(status)).observe(time.monotonic() - began)

    return answered


answer_problems: Final = answering(lambda _, error: answer(error))  #: The agencies': a problem, always.
