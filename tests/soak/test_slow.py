"""Five thousand slow connections: whoever asks properly is served meanwhile, and all of them are ended in time."""

import asyncio
import concurrent.futures
import contextlib
import multiprocessing
import socket
import statistics
import time
from pathlib import Path

import msgspec
from harness import Peer
from sandbox import Sandbox

from valija.registry.sample import sample_exchange

HEADERS, BODIES, SILENT = 2_100, 2_100, 800
POINTS = 300  #: So many make a directory that no system takes off our hands whole.
pause_s = 1.0  #: Between two bytes of a slow connection.
TCP_ESTABLISHED = 1
ended_within_s = 60.0  #: A bound for a machine that is busy; the figure says how long it took.


class Slow(msgspec.Struct):
    """One connection that sends a byte now and then, or reads nothing."""

    kind: str
    begin: bytes
    rest: bytes  #: A byte at a time; empty for one that reads nothing.
    sent: int = 0

    def open(self, port: int) -> socket.socket:
        found = socket.socket()
        found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        found.connect(("127.0.0.1", port))
        found.setblocking(False)
        with contextlib.suppress(OSError):
            found.send(self.begin)
        return found

    def still(self, found: socket.socket) -> bool:
        """Send the next byte; whether the broker holds the connection yet."""
        if not self.rest:  # who does not read sees the end in the state of its socket alone
            return found.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == TCP_ESTABLISHED
        try:
            self.sent += found.send(self.rest[self.sent : self.sent + 1])
            return bool(found.recv(65_536))
        except BlockingIOError:
            return True
        except OSError:
            return False


def connections(peers: list[Peer]) -> list[Slow]:
    """All of them: header lines that never end, bodies that never end, answers that nobody reads."""
    data = peers[0].message(peers[1], document=b'{"t":"' + b"x" * 30_000 + b'"}')
    whole = peers[0].raw_submit(data)
    head = len(whole) - len(data)
    found = [Slow("headers", b"GET /v1/limits HTTP/1.1\r\nX: ", b"y" * 600) for _ in range(HEADERS)]
    for cut in (head + 200, head + 20_000):  # in the note of a stranger, and in the body of a contact point
        found += [Slow("body", whole[:cut], whole[cut:]) for _ in range(BODIES // 2)]
    for n in range(SILENT):
        peer, target = peers[n % len(peers)], "/v1/directory/versions/1"
        found.append(Slow("never reading", peer.raw("GET", target, peer.signed("GET", target), length=False), b""))
    return found


def attack(slow: list[Slow], port: int) -> dict[str, float]:
    """Open all, and keep at it until the broker has ended all; of each kind, how long the longest was held."""
    held = [(one, one.open(port), time.monotonic()) for one in slow]
    longest: dict[str, float] = dict.fromkeys((one.kind for one in slow), 0.0)
    while held:
        time.sleep(pause_s)
        left = []
        for one, found, began in held:
            if one.still(found) and time.monotonic() - began < 2 * ended_within_s:
                left.append((one, found, began))
            else:
                longest[one.kind] = max(longest[one.kind], time.monotonic() - began)
                found.close()
        held = left
    return longest


async def latencies(
    peer: Peer, other: Peer, count: int, until: asyncio.Future[dict[str, float]] | None = None
) -> list[float]:
    """How long single submissions take, one after the other."""
    found: list[float] = []
    while len(found) < count if until is None else not until.done():
        data = peer.message(other)
        began = time.monotonic()
        assert (await peer.submit(data)).status == 202
        found.append(time.monotonic() - began)
        await asyncio.sleep(0.01)
    return found


def p99_ms(values: list[float]) -> float:
    return round(statistics.quantiles(values, n=100)[98] * 1000, 1)


async def test_five_thousand_slow_connections_are_ended_and_keep_nobody_waiting(tmp_path: Path, soak_seconds, figure):
    exchange = sample_exchange(points=[(f"p{n:03}", "MX", "law-enforcement") for n in range(POINTS)], suspended=())
    sandbox = Sandbox(tmp_path / "x", exchange)
    sandbox.start()
    try:
        loop, fork = asyncio.get_running_loop(), multiprocessing.get_context("fork")  # what it disturbs is the broker
        with concurrent.futures.ProcessPoolExecutor(1, fork) as pool:
            async with Peer(sandbox, "p298") as honest, Peer(sandbox, "p299") as other:
                peers = [Peer(sandbox, f"p{n:03}") for n in range(POINTS - 2)]
                before = await latencies(honest, other, 500)
                figure("honest p99 before, ms", p99_ms(before))
                ends = time.monotonic() + soak_seconds
                rounds = 0
                while rounds == 0 or time.monotonic() < ends:
                    slow = connections(peers)
                    all_of_them = asyncio.ensure_future(loop.run_in_executor(pool, attack, slow, sandbox.port))
                    during = await latencies(honest, other, 0, all_of_them)
                    longest = all_of_them.result()
                    figure("connections", len(slow))
                    figure("honest p99 meanwhile, ms", p99_ms(during))
                    figure("longest until ended, s", {kind: round(took, 1) for kind, took in longest.items()})
                    assert max(longest.values()) < ended_within_s
                    rounds += 1
    finally:
        sandbox.stop()
