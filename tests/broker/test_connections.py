"""Connections that ask for nothing, or for ever: each is ended in time, and whoever asks properly is served."""

import asyncio
import contextlib
import resource
import socket
import ssl

import pytest
from aiohttp import web
from harness import read_answer
from private_tls import Authority

from valija_broker import connections as rooms
from valija_broker import listener
from valija_broker.connections import Connections

TCP_ESTABLISHED = 1
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
SLOW = b"GET /slow HTTP/1.1\r\nHost: x\r\nX-Who: one\r\n\r\n"
STRANGE = b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"
LONG = b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def deadlines(monkeypatch):
    monkeypatch.setattr(rooms, "headers_s", 0.4)
    monkeypatch.setattr(rooms, "keepalive_s", 1.2)
    monkeypatch.setattr(rooms, "sweep_s", 0.05)


class Served:
    """The framework's server behind `Connections`, as a worker has it. Answers `GET /`, slowly `GET /slow`."""

    def __init__(self, connections_max=1_000, point_connections_max=1_000, context=None):
        self._context = context
        self.connections = Connections(connections_max, point_connections_max)
        self.release = asyncio.Event()
        self.slow = self.given_up = 0
        self.writers = []

    async def __aenter__(self):
        @web.middleware
        async def watched(request, handler):
            self.connections.begun(request)
            try:
                if who := request.headers.get("X-Who"):
                    self.connections.of_point(request, who)
                answer = await handler(request)
                if self.connections.one_too_many(request):
                    answer.force_close()
                async with asyncio.timeout(0.3):
                    await answer.prepare(request)
                    await answer.write_eof()
                return answer
            except TimeoutError:
                self.given_up += 1
                raise ConnectionResetError from None
            finally:
                self.connections.ended(request)

        async def slow(request):
            self.slow += 1
            await self.release.wait()
            return web.Response(text="slow")

        async def long(request):
            return web.Response(body=bytes(1 << 20))

        async def quick(request):
            return web.Response(text="quick")

        app = web.Application(middlewares=[watched])
        app.add_routes([web.get("/", quick), web.get("/slow", slow), web.get("/long", long)])
        self._runner = web.AppRunner(app, access_log=None, keepalive_timeout=3_600, shutdown_timeout=0.1)
        await self._runner.setup()
        self.server = self._runner.server
        factory = self.connections.factory(self.server, self._context)
        self._site = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0)
        self.port = self._site.sockets[0].getsockname()[1]
        self._sweeping = asyncio.create_task(self.connections.sweep())
        return self

    async def __aexit__(self, *_):
        self._site.close()
        for writer in self.writers:
            writer.transport.abort()
        self.release.set()
        self._sweeping.cancel()
        await self._runner.cleanup()

    async def open(self, data=b"", **how):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, **how)
        self.writers.append(writer)
        if data:
            writer.write(data)
        return reader, writer

    async def at_work(self, count):
        async with asyncio.timeout(20):
            while self.slow < count:
                await asyncio.sleep(0.01)


async def ended(reader):
    """Whether the connection has ended, waited for generously; what was read before does not matter."""
    with contextlib.suppress(ConnectionError):
        await asyncio.wait_for(reader.read(), 20)
    return True


async def trickle(reader, writer, data):
    """Send a byte now and then until the other side has had enough; how many it took."""
    ending = asyncio.create_task(ended(reader))
    sent = 0
    for byte in data:
        if ending.done():
            break
        with contextlib.suppress(ConnectionError):
            writer.write(bytes([byte]))
        sent += 1
        await asyncio.sleep(0.02)
    await ending
    return sent


@pytest.mark.usefixtures("deadlines")
async def test_header_lines_that_trickle_in_are_cut_off_in_time_on_a_first_and_on_a_later_request():
    lines = b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 1_000
    async with Served() as served:
        first, later = await served.open(), await served.open(GET)
        assert (await read_answer(later[0])).status == 200
        sent = await asyncio.gather(trickle(*first, lines), trickle(*later, lines))
        assert max(sent) < len(lines)


@pytest.mark.usefixtures("deadlines")
async def test_a_connection_that_asks_nothing_is_ended_and_one_at_work_is_not():
    async with Served() as served:
        silent, rested, busy = await served.open(), await served.open(GET), await served.open(SLOW)
        assert (await read_answer(rested[0])).status == 200
        await served.at_work(1)
        assert await ended(silent[0])
        assert await ended(rested[0])
        served.release.set()
        assert (await asyncio.wait_for(read_answer(busy[0]), 20)).body == b"slow"


@pytest.mark.usefixtures("deadlines")
async def test_many_slow_connections_are_all_ended_and_keep_nobody_waiting():
    async with Served() as served:
        slow = [await served.open(GET[: n % len(GET)]) for n in range(150)]
        for _ in range(20):
            reader, writer = await served.open(GET)
            assert (await asyncio.wait_for(read_answer(reader), 20)).body == b"quick"
            writer.close()
        assert all(await asyncio.gather(*(ended(reader) for reader, _ in slow)))


@pytest.mark.usefixtures("deadlines")
async def test_a_peer_that_does_not_read_is_not_waited_for_once_its_answer_is_given_up():
    """Closing politely waits until unsent bytes are gone; who reads nothing would hold its place for ever.

    The system must not wait either: it would keep what is unsent, and the peer would see an open connection.
    """
    async with Served() as served:
        with socket.create_connection(("127.0.0.1", served.port)) as peer:
            peer.sendall(LONG)
            async with asyncio.timeout(20):
                while not served.server.connections:
                    await asyncio.sleep(0.01)
                while served.server.connections:
                    await asyncio.sleep(0.01)
                assert served.given_up == 1, "the system took a megabyte off our hands"
                while peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == TCP_ESTABLISHED:
                    await asyncio.sleep(0.01)


async def test_when_all_places_are_taken_the_one_that_waited_longest_makes_room():
    async with Served(connections_max=3) as served:
        busy = await served.open(SLOW)
        await served.at_work(1)
        older = await served.open(b"GET /")
        newer = await served.open(GET)
        assert (await read_answer(newer[0])).status == 200
        newest = await served.open(GET)
        assert (await read_answer(newest[0])).status == 200
        assert await ended(older[0])
        newer[1].write(GET)
        assert (await read_answer(newer[0])).status == 200
        served.release.set()
        assert (await read_answer(busy[0])).body == b"slow"


async def test_when_every_place_is_at_work_the_newest_is_refused_and_nobody_is_cut_off():
    async with Served(connections_max=2) as served:
        busy = [await served.open(SLOW) for _ in range(2)]
        await served.at_work(2)
        late, _ = await served.open(GET)
        assert await ended(late)
        served.release.set()
        for reader, _ in busy:
            assert (await read_answer(reader)).body == b"slow"
        again, _ = await served.open(GET)
        assert (await read_answer(again)).status == 200


async def test_requests_that_nobody_signed_yet_make_room_and_keep_nobody_out():
    async with Served(connections_max=3) as served:
        busy = await served.open(SLOW)
        strange = [await served.open(STRANGE) for _ in range(2)]
        await served.at_work(3)
        for reader, _ in strange:
            late, _ = await served.open(GET)
            assert (await asyncio.wait_for(read_answer(late), 20)).body == b"quick"
            assert await ended(reader)
        served.release.set()
        assert (await read_answer(busy[0])).body == b"slow"


@pytest.mark.usefixtures("deadlines")
async def test_a_request_that_nobody_signed_yet_has_the_time_of_a_request():
    async with Served() as served:
        silent, strange = await served.open(), await served.open(STRANGE)
        await served.at_work(1)
        assert await ended(silent[0])
        served.release.set()
        assert (await asyncio.wait_for(read_answer(strange[0]), 20)).body == b"slow"


async def test_a_contact_point_s_connection_too_many_is_answered_and_closed_and_others_stay():
    def ask(who):
        return GET.replace(b"\r\n\r\n", b"\r\nX-Who: " + who + b"\r\n\r\n")

    async with Served(point_connections_max=2) as served:
        kept = []
        for who in (b"one", b"one", b"two"):
            reader, writer = await served.open(ask(who))
            assert "Connection" not in (await read_answer(reader)).headers
            kept.append((reader, writer, who))
        reader, _ = await served.open(ask(b"one"))
        assert (await read_answer(reader)).headers["Connection"] == "close"
        assert await ended(reader)
        for reader, writer, who in kept:
            writer.write(ask(who))
            assert "Connection" not in (await read_answer(reader)).headers
        # One that goes makes room, and so does one that speaks for another now.
        kept[0][1].write(ask(b"two"))
        assert (await read_answer(kept[0][0])).status == 200
        reader, _ = await served.open(ask(b"one"))
        assert "Connection" not in (await read_answer(reader)).headers


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """The contexts of a server and of a client that believes it; and the first bytes that such a client sends."""
    authority = Authority(tmp_path_factory.mktemp("tls"))
    client, hello = ssl.create_default_context(cafile=authority.file), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        client.wrap_bio(ssl.MemoryBIO(), hello, server_hostname="127.0.0.1").do_handshake()
    return authority.server(), client, hello.read()


async def test_a_request_that_comes_with_the_end_of_a_handshake_is_answered(tls):
    server, client, _ = tls
    come, go = ssl.MemoryBIO(), ssl.MemoryBIO()
    peer = client.wrap_bio(come, go, server_hostname="127.0.0.1")
    async with Served(context=server) as served:
        reader, writer = await served.open()
        while True:
            with contextlib.suppress(ssl.SSLWantReadError):
                peer.do_handshake()
                break
            writer.write(go.read())
            come.write(await asyncio.wait_for(reader.read(1 << 16), 20))
        peer.write(GET)
        writer.write(go.read())  # what ends the handshake, and the request, in one
        answer = b""
        while b"quick" not in answer:
            with contextlib.suppress(ssl.SSLWantReadError):
                answer += peer.read()
                continue
            come.write(await asyncio.wait_for(reader.read(1 << 16), 20))
        assert answer.startswith(b"HTTP/1.1 200")


@pytest.mark.usefixtures("deadlines")
async def test_tls_handshakes_that_are_never_finished_are_all_ended_and_keep_nobody_waiting(tls):
    server, client, hello = tls
    async with Served(context=server) as served:
        half = [await served.open(hello[: n * len(hello) // 100]) for n in range(101)]
        rested, _ = await served.open(GET, ssl=client)
        assert (await asyncio.wait_for(read_answer(rested), 20)).body == b"quick"
        assert all(await asyncio.gather(*(ended(reader) for reader, _ in half)))
        assert await ended(rested)
        garbage = await served.open(b"\0" * 100)
        assert await ended(garbage[0])
        assert not served.connections._all


async def test_tls_handshakes_take_places_like_connections_and_the_longest_makes_room(tls):
    server, client, hello = tls
    async with Served(connections_max=10, context=server) as served:
        busy = await served.open(SLOW, ssl=client)
        await served.at_work(1)
        half = [await served.open(hello[: n % len(hello)]) for n in range(200)]
        assert all(await asyncio.gather(*(ended(reader) for reader, _ in half[:191])))
        assert len(served.connections._all) == 10
        late, _ = await served.open(GET, ssl=client)
        assert (await asyncio.wait_for(read_answer(late), 20)).body == b"quick"
        assert await ended(half[191][0])
        served.release.set()
        assert (await asyncio.wait_for(read_answer(busy[0]), 20)).body == b"slow"


def test_a_worker_takes_no_more_connections_than_it_may_have_descriptors(monkeypatch):
    limits = [100_000, 100_000]
    monkeypatch.setattr(resource, "getrlimit", lambda _: tuple(limits))
    monkeypatch.setattr(resource, "setrlimit", lambda _, new: limits.__setitem__(slice(None), new))
    assert listener.places(4_096) == 4_096
    limits[:] = [256, 1_024]
    assert listener.places(4_096) == 1_024 - listener.descriptors_reserved
    assert limits == [1_024, 1_024]
    limits[:] = [256, resource.RLIM_INFINITY]
    assert listener.places(4_096) == 4_096
