"""The way to the broker: a proxy sees nothing, a broker proves its name under TLS 1.3, each failure has its words."""

import asyncio
import contextlib
import socket
import time

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from private_tls import Authority, Proxy, serve

from valija import ConfigError, UnavailableError, probe
from valija.connect import Endpoint
from valija.transport import Transport
from valija_schemas import api, problem
from valija_schemas.note import Ed25519Signer

KEY = Ed25519Signer("exchange.example/mx.enlace", Ed25519PrivateKey.generate())
SECRET = "user of this test:its password"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def refusal() -> web.Response:
    found = problem.of("not-signed", time_ms=now_ms())
    headers = {"Content-Type": api.PROBLEM_TYPE, "Server": "valija-broker/9"}
    return web.Response(body=problem.encode(found), status=found.status, headers=headers)


FEED = web.Response(body=api.encode(api.Feed(checkpoint=b"", events=())))


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(autouse=True)
def no_proxy_of_the_system(monkeypatch):
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy", "SSLKEYLOGFILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def password_file(tmp_path):
    path = tmp_path / "proxy"
    path.write_text(SECRET + "\n")
    return path


async def test_a_proxy_opens_a_tunnel_and_sees_nothing_of_what_goes_through(authority, password_file):
    proxy = Proxy(SECRET)
    async with serve(FEED, authority.server()) as port, proxy.open() as url:
        endpoint = Endpoint(
            f"https://127.0.0.1:{port}", ca_file=authority.file, proxy=url, proxy_password_file=password_file
        )
        async with Transport(endpoint, lambda: KEY) as line:
            assert (await line.events(4711, 0)).events == ()
    assert proxy.asked == [f"CONNECT 127.0.0.1:{port} HTTP/1.1"]
    assert len(proxy.seen) > 1000
    for said in (b"/v1/events", b"4711", b"Signature", KEY.public.hex().encode()):
        assert said not in proxy.seen
    assert SECRET.split(":")[1] not in f"{endpoint} {endpoint!r}"


async def test_the_proxy_of_the_system_counts_where_the_profile_names_none(authority, monkeypatch):
    proxy = Proxy("some:word")
    async with serve(FEED, authority.server()) as port, proxy.open() as url:
        broker = f"https://127.0.0.1:{port}"
        monkeypatch.setenv("HTTPS_PROXY", url.replace("http://", "http://some:word@"))
        async with Transport(Endpoint(broker, ca_file=authority.file), lambda: KEY) as line:
            await line.events(0, 0)
        assert len(proxy.asked) == 1
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        for endpoint in (Endpoint(broker, ca_file=authority.file), Endpoint(broker, proxy="none")):
            assert endpoint.proxy is None
        monkeypatch.delenv("NO_PROXY")
        assert Endpoint(broker, proxy="none").proxy is None
        assert Endpoint("http://127.0.0.1:1", proxy=url).proxy is None, "what is not encrypted goes through none"


async def test_a_proxy_that_refuses_is_not_asked_again_and_says_what_it_wants(authority):
    proxy = Proxy(SECRET)
    async with proxy.open() as url, Transport(Endpoint("https://127.0.0.1:9", proxy=url), lambda: KEY) as line:
        with pytest.raises(UnavailableError, match="407") as caught:
            await line.events(0, 0)
    assert "proxy_password_file" in caught.value.hint
    assert len(proxy.asked) == 1


@pytest.mark.parametrize(
    ("proxy", "text"),
    [
        ("http://a:secret@127.0.0.1:1", "holds a password"),
        ("socks5://127.0.0.1:1", "a proxy"),
        ("http://127.0.0.1:1/path", "more than"),
        ("ftp://a:secret@127.0.0.1", "a proxy"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_refused_and_its_password_never_repeated(proxy, text):
    with pytest.raises(ConfigError, match=text) as caught:
        Endpoint("https://broker.example", proxy=proxy)
    assert "secret" not in str(caught.value) + caught.value.hint


def test_a_proxy_password_is_read_from_a_file_of_one_line(tmp_path):
    path = tmp_path / "proxy"
    path.write_text("no colon\n")
    for file in (path, tmp_path / "absent"):
        with pytest.raises(ConfigError, match=file.name):
            Endpoint("https://broker.example", proxy="http://127.0.0.1:1", proxy_password_file=file)


@pytest.mark.parametrize(
    ("name", "days", "own", "text", "hint"),
    [
        ("127.0.0.1", -1, True, "expired", "clock"),
        ("other.example", 90, True, "does not prove its name", "address"),
        ("127.0.0.1", 90, False, "does not prove its name", "ca_file"),
    ],
)
async def test_each_failure_of_a_certificate_has_words_of_its_own(authority, name, days, own, text, hint):
    async with serve(FEED, authority.server(name, days)) as port:
        endpoint = Endpoint(f"https://127.0.0.1:{port}", ca_file=authority.file if own else None)
        async with Transport(endpoint, lambda: KEY) as line:
            with pytest.raises(UnavailableError, match=text) as caught:
                await line.events(0, 0)
        assert hint in caught.value.hint
        with pytest.raises(UnavailableError, match=text):
            await probe.look(endpoint, now_ms)


async def test_a_broker_without_tls_1_3_is_refused_and_named_as_such(authority):
    def refuse_once() -> None:
        connection, _ = listener.accept()
        with contextlib.suppress(OSError), authority.server(newest=False).wrap_socket(connection, server_side=True):
            pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        served = asyncio.create_task(asyncio.to_thread(refuse_once))
        async with Transport(Endpoint(f"https://127.0.0.1:{port}", ca_file=authority.file), lambda: KEY) as line:
            with pytest.raises(UnavailableError, match="TLS cannot be agreed") as caught:
                await line.events(0, 0)
        await served
    assert "TLS 1.3" in caught.value.hint


async def test_a_probe_needs_no_key_and_sees_version_certificate_and_clock(authority):
    async with serve(refusal(), authority.server(days=40)) as port:
        endpoint = Endpoint(f"https://127.0.0.1:{port}", ca_file=authority.file)
        found = await probe.look(endpoint, lambda: now_ms() + 45_000)
    assert found.server == "valija-broker/9"
    assert abs(found.ahead_ms - 45_000) < 5_000
    assert (found.certificate.version, found.certificate.names) == ("TLSv1.3", ("127.0.0.1",))
    assert found.certificate.issuer == "Private CA"
    assert 38 * 86_400_000 < found.certificate.expires_ms - now_ms() < 41 * 86_400_000


async def test_something_that_answers_in_the_place_of_a_broker_is_told_apart():
    async with serve(web.Response(text="<html>sign in</html>", content_type="text/html")) as port:
        with pytest.raises(UnavailableError, match="not as a broker does"):
            await probe.look(Endpoint(f"http://127.0.0.1:{port}"), now_ms)
    with pytest.raises(UnavailableError, match="does not answer"):
        await probe.look(Endpoint("http://127.0.0.1:9"), now_ms)


async def test_a_broker_that_names_no_time_leaves_the_clock_open():
    assert probe._ahead(None, 0) is None
    assert probe._ahead("yesterday", 0) is None
    assert probe._ahead("Thu, 01 Jan 1970 00:00:10 GMT", 12_500) == 2_000
