"""The guard by itself: nothing is forgotten at its door, and what a browser is given over TLS stays with TLS."""

import pytest
from aiohttp import web

from valija_broker.connections import Connections
from valija_broker.console.guard import Guard, open_bytes_max
from valija_broker.console.session import Sessions
from valija_broker.errors import BadConfig
from valija_broker.room import Room


def guard_of(address):
    return Guard(Sessions(None, address), Room(open_bytes_max, Connections(1, 1)), address)


async def nothing(_):
    return web.Response()


def test_a_route_that_nobody_declared_stops_the_start():
    guard, app = guard_of("http://127.0.0.1:1"), web.Application()
    guard.page(app, "GET", "/declared", nothing, None)
    guard.require_all_declared(app)
    for method, path in (("POST", "/declared"), ("GET", "/forgotten"), ("GET", "/{any}")):
        forgot = web.Application()
        guard.page(forgot, "GET", "/declared", nothing, None)
        forgot.router.add_route(method, path, nothing)
        with pytest.raises(BadConfig, match="not declared"):
            guard.require_all_declared(forgot)


async def test_over_tls_a_browser_keeps_the_session_to_this_host_and_to_tls():
    guard, response = guard_of("https://console.exchange.example"), web.Response()
    guard.set_cookie(response, "x" * 43)
    cookie = str(response.cookies)
    assert "__Host-valija=" in cookie
    assert all(part in cookie for part in ("Secure", "HttpOnly", "SameSite=Strict", "Path=/"))
    assert "Domain" not in cookie
    await guard.say_headers(None, response)
    assert response.headers["Strict-Transport-Security"]
    plain = web.Response()
    await guard_of("http://127.0.0.1:1").say_headers(None, plain)
    assert "Strict-Transport-Security" not in plain.headers
