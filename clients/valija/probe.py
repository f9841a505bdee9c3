"""One look at a broker from outside: whether it answers, under which certificate, and what its clock says.

The request is not signed, so it works where keys or clock do not; the broker refuses it, and its refusal says enough.

Before this room: `doctor`. After it: `connect`.
"""

import asyncio
import ssl
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any, Final, cast

import aiohttp
import msgspec
from yarl import URL

from valija.connect import Endpoint
from valija.errors import UnavailableError

probe_timeout_s: Final = 15.0  #: For the whole of it; a person waits.
_TARGET: Final = "/v1/limits"


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """What the broker showed, verified."""

    version: str  #: `TLSv1.3`.
    names: tuple[str, ...]
    issuer: str
    expires_ms: int


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What one request showed."""

    server: str  #: The header `Server`, or nothing.
    ahead_ms: int | None  #: How far this machine's clock is ahead of the header `Date`, to the second; None without it.
    took_ms: int
    certificate: Certificate | None  #: None without TLS.


async def look(endpoint: Endpoint, clock: Callable[[], int]) -> Look:
    """Ask the broker for anything.

    Raises:
        UnavailableError: nobody answers, or not as a broker: the text says what stands in the way.
        ConfigError: the CA file cannot be used.
    """
    seen: list[Certificate] = []
    began = clock()
    try:
        async with (
            asyncio.timeout(probe_timeout_s),
            endpoint.session(lambda tls: seen.append(_certificate(tls))) as session,
            session.get(
                URL(f"{endpoint.base}{_TARGET}", encoded=True),
                proxy_headers=endpoint.proxy_headers,
                allow_redirects=False,
            ) as response,
        ):
            ended = clock()
            headers = response.headers
            if "json" not in response.content_type:  # a refusal of a broker is a problem (RFC 9457)
                raise UnavailableError(
                    f"{endpoint} answers with status {response.status}, and not as a broker does",
                    hint="Compare the broker's address; something else may answer in its place.",
                )
            return Look(
                server=headers.get("Server", ""),
                ahead_ms=_ahead(headers.get("Date"), (began + ended) // 2),
                took_ms=ended - began,
                certificate=seen[-1] if seen else None,
            )
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        text = f"{endpoint} does not answer: {str(error) or type(error).__name__}"
        raise (endpoint.failure(error) or UnavailableError(text)) from None


def _ahead(date: str | None, middle_ms: int) -> int | None:
    """The header names the second in which the broker answered: its middle is compared (RFC 9110 section 6.6.1)."""
    try:
        said = parsedate_to_datetime(date or "")
    except ValueError:
        return None
    return middle_ms - int(said.timestamp() * 1000) - 500


def _certificate(tls: ssl.SSLObject) -> Certificate:
    shown = cast("dict[str, Any]", tls.getpeercert() or {})  # its form is that of the documentation of `ssl`
    return Certificate(
        version=tls.version() or "",
        names=tuple(value for _, value in shown.get("subjectAltName", ())),
        issuer=", ".join(part[0][1] for part in shown.get("issuer", ())),
        expires_ms=int(ssl.cert_time_to_seconds(shown["notAfter"]) * 1000) if "notAfter" in shown else 0,
    )
