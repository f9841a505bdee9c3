"""HTTP below the routes: what the framework refuses by itself, and would answer in plain text, is a problem, too.

That is a request that is none by RFC 9112, one with longer lines than are read, and one that expects what nobody here
does. Where a request is begun, `problems` answers.

Before this room: `worker`, `connections`. After it: the framework's own protocol, then `app`. Rules: SPEC.md section 3.
"""

from collections.abc import Callable
from importlib.metadata import version
from typing import Any, Final

import structlog
from aiohttp import HttpVersion11, web

from valija_broker.errors import StoreUnavailable
from valija_broker.problems import answer

_log: Final = structlog.get_logger("protocol")

SERVER: Final = f"valija-broker/{version('valija')}"  #: Not the framework's name and version: what `doctor` reads.


def protocols(server: web.Server, **options: Any) -> Callable[[], web.RequestHandler]:
    """What makes a protocol of `server`; `options` are those of the framework's own."""
    handle = server.request_handler

    async def handled(request: web.BaseRequest) -> web.StreamResponse:
        # The framework would quote it in its answer, and fails where that cannot be spelled.
        if request.version >= HttpVersion11 and request.headers.get("Expect", "100-continue").lower() != "100-continue":
            return _answered(web.HTTPExpectationFailed())
        return await handle(request)

    server.request_handler = handled
    return lambda: _Protocol(server, **options)


class _Protocol(web.RequestHandler):
    """One connection."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what is no request, or to one that failed beyond `problems`; it closes the connection.

        Raises:
            ConnectionError: an answer was begun.
        """
        del message  # it quotes what came
        if request.writer.output_size > 0:
            raise ConnectionError("an answer was begun")
        if status >= 500 and not isinstance(exc, ConnectionError):  # a mistake of ours; the other has left
            _log.error("failed_beyond_problems", exc_info=exc)
        found = _answered(web.HTTPBadRequest() if status < 500 else StoreUnavailable(str(exc)))
        found.force_close()
        return found


def _answered(error: Exception) -> web.Response:
    found = answer(error)
    found.headers["Server"] = SERVER
    found.headers["X-Content-Type-Options"] = "nosniff"  # a browser may have come to the console so
    return found
