"""The process that makes the load: it replays requests that were made before, over many connections, and counts.

    python -m bench.load ADDRESS REQUESTS CONNECTIONS RATE SECONDS

ADDRESS is HOST:PORT, or the path of a Unix socket. REQUESTS is a file of MessagePack: what each connection says first,
and the requests. RATE is how many a second are sent whatever the answers (0: each connection sends its next one when
it has the answer). Sealing and signing are done before, so that they take nothing from the cores that are measured.
What comes out is MessagePack as well (`Outcome`).
"""

import asyncio
import sys
import time
from pathlib import Path

import msgspec

warm_s = 0.5  #: Of a run at full load, that is not counted.


class Work(msgspec.Struct):
    """What to send."""

    first: bytes  #: On each new connection, with one line for an answer; empty for none.
    requests: list[bytes]


class Outcome(msgspec.Struct):
    """What came of it. Times are those of this machine's monotonic clock, the same in every process."""

    statuses: dict[str, int]
    latencies: list[float]  #: s, of the answers that are counted.
    answered: dict[int, float]  #: Number of a request -> when its answer was here; with a rate only.
    counted: int
    seconds: float  #: In which the counted answers came.
    late: float  #: With a rate: how late the last request was sent, s.
    ran_out: bool  #: All requests were sent before the time was over.
    cpu: float  #: s, of this process.


class Connection(asyncio.Protocol):
    """One connection with one request on its way. Reads an HTTP/1.1 answer, or a line of RESP."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._waiting: asyncio.Future[str] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def ask(self, request: bytes) -> asyncio.Future[str]:
        """Send, and promise the answer's status."""
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._waiting

    def data_received(self, data: bytes) -> None:
        self._data += data
        status = self._status()
        if status is not None and self._waiting and not self._waiting.done():
            self._data.clear()
            self._waiting.set_result(status)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiting and not self._waiting.done():
            self._waiting.set_exception(ConnectionResetError())

    def _status(self) -> str | None:
        data = self._data
        if data[:5] != b"HTTP/":
            return data[:1].decode() if data.endswith(b"\r\n") else None
        end = data.find(b"\r\n\r\n")
        at = data.lower().find(b"content-length: ", 0, end + 2)
        if end < 0 or at < 0:
            return None
        length = int(data[at + 16 : data.find(b"\r\n", at)])
        return data[9:12].decode() if len(data) >= end + 4 + length else None

    def close(self) -> None:
        self._transport.close()


async def connect(address: str, first: bytes) -> Connection:
    loop = asyncio.get_running_loop()
    if address.startswith("/"):
        _, connection = await loop.create_unix_connection(Connection, address)
    else:
        host, _, port = address.rpartition(":")
        _, connection = await loop.create_connection(Connection, host, int(port))
    if first:
        await connection.ask(first)
    return connection


async def run(address: str, work: Work, connections: int, rate: float, seconds: float) -> Outcome:
    pool = [await connect(address, work.first) for _ in range(connections)]
    outcome = Outcome({}, [], {}, 0, seconds, 0.0, ran_out=False, cpu=0.0)
    numbers = iter(range(len(work.requests)))
    began = time.monotonic()
    counts_from = began if rate else began + min(warm_s, seconds / 4)
    ends = began + seconds
    last = began
    cpu = time.process_time()

    async def one(connection: Connection, number: int) -> None:
        nonlocal last
        sent = time.monotonic()
        status = await connection.ask(work.requests[number])
        now = time.monotonic()
        outcome.statuses[status] = outcome.statuses.get(status, 0) + 1
        if rate:
            outcome.answered[number] = now
        if counts_from <= now <= ends or rate:
            outcome.counted += 1
            outcome.latencies.append(now - sent)
            last = now

    async def steadily(connection: Connection) -> None:
        while time.monotonic() < ends:
            if (number := next(numbers, None)) is None:
                outcome.ran_out = True
                return
            await one(connection, number)

    if rate:
        idle = asyncio.Queue[Connection]()
        for connection in pool:
            idle.put_nowait(connection)

        async def paced(number: int) -> None:
            connection = await idle.get()
            await one(connection, number)
            idle.put_nowait(connection)

        async with asyncio.TaskGroup() as tasks:
            for number in numbers:
                due = began + number / rate
                if due >= ends:
                    break
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                outcome.late = time.monotonic() - due
                tasks.create_task(paced(number))
    else:
        await asyncio.gather(*map(steadily, pool))
    outcome.seconds = (last if outcome.ran_out else ends) - counts_from
    outcome.cpu = time.process_time() - cpu
    for connection in pool:
        connection.close()
    return outcome


def main(arguments: list[str]) -> None:
    address, path, connections, rate, seconds = arguments
    work = msgspec.msgpack.decode(Path(path).read_bytes(), type=Work)
    found = asyncio.run(run(address, work, int(connections), float(rate), float(seconds)))
    sys.stdout.buffer.write(msgspec.msgpack.encode(found))


if __name__ == "__main__":
    main(sys.argv[1:])
