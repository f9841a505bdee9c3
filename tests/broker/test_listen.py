"""Where a broker lets people in: TLS 1.3 that it ends itself, a Unix socket, a listed proxy, and nobody else."""

import asyncio
import contextlib
import ssl

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from harness import read_answer
from private_tls import Authority
from sandbox import Sandbox

from valija.registry.sample import sample_exchange
from valija_broker import app, config, connections
from valija_broker.problems import answer_problems

GET = b"GET /v1/limits HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


async def test_the_broker_ends_tls_1_3_itself_and_speaks_nothing_older(tmp_path, monkeypatch):
    authority = Authority(tmp_path)
    authority.server()
    (shown,) = set(tmp_path.glob("*.pem")) - {authority.file}
    for name, value in (("TLS", "direct"), ("CERTIFICATE", str(shown)), ("CERTIFICATE_KEY", str(shown))):
        monkeypatch.setenv(f"VALIJA_BROKER_LISTEN__{name}", value)
    sandbox = Sandbox(tmp_path / "x", sample_exchange(), workers=1)
    await asyncio.to_thread(sandbox.start)
    try:
        context = ssl.create_default_context(cafile=authority.file)
        reader, writer = await asyncio.open_connection("127.0.0.1", sandbox.port, ssl=context)
        assert writer.get_extra_info("ssl_object").version() == "TLSv1.3"
        writer.write(GET)
        assert (await asyncio.wait_for(read_answer(reader), 20)).status == 401
        writer.close()
        old = ssl.create_default_context(cafile=authority.file)
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection("127.0.0.1", sandbox.port, ssl=old)
        reader, writer = await asyncio.open_connection("127.0.0.1", sandbox.port)
        writer.write(GET)
        with contextlib.suppress(ConnectionError):
            assert b"HTTP" not in await asyncio.wait_for(reader.read(), 30)
        writer.close()
    finally:
        await asyncio.to_thread(sandbox.stop)


@pytest.mark.parametrize(("proxies", "status"), [(("10.0.0.5",), 404), (("10.0.0.5", "127.0.0.1"), 200)])
async def test_behind_a_proxy_nobody_but_the_listed_one_is_answered(proxies, status):
    async def served(_: web.Request) -> web.Response:
        return web.Response()

    exchange = config.Exchange(origin="exchange.example")
    settings = config.Settings(exchange=exchange, data="", listen=config.Listen(tls="proxy", proxies=proxies))
    made = web.Application(middlewares=[answer_problems, app.only_from(settings.listen)])
    made.add_routes([web.get("/", served)])
    async with TestClient(TestServer(made)) as client, client.get("/") as answer:
        assert answer.status == status


async def test_a_unix_socket_is_served_and_watched(tmp_path):
    async def served(_: web.Request) -> web.Response:
        return web.Response(text="here")

    made = web.Application()
    made.add_routes([web.get("/v1/limits", served)])
    runner = web.AppRunner(made)
    await runner.setup()
    watched = connections.Connections(1, 1)
    path = str(tmp_path / "s")
    site = await asyncio.get_running_loop().create_unix_server(watched.factory(runner.server), path)
    try:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(GET)
        assert (await asyncio.wait_for(read_answer(reader), 20)).body == b"here"
        writer.close()
    finally:
        site.close()
        await runner.cleanup()
