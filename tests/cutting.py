"""Connections that break after so many bytes, on their way there or back; and requests whose askers leave.

`Cutter` stands between two ends and cuts when it is told to. `lose_answers` and `leave_at_random` do it to a running
broker and compare: what was accepted is stored once, its acceptance is the same bytes for ever, and nobody is told what
was said to another.
"""

import asyncio
import contextlib
import random
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Self

from harness import Peer, digest_of, facts

from valija_schemas import api

Opener = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


class Cutter:
    """A listener of loopback that passes bytes on, and ends a connection once so many went by.

    `draw` says of each connection how many may go there and back; None is any number.
    """

    def __init__(self, behind: Opener, draw: Callable[[], tuple[int | None, int | None]]) -> None:
        self._behind, self._draw = behind, draw
        self.cut = 0  #: Connections that were.
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        async with asyncio.timeout(20):
            while self._writers:
                await asyncio.sleep(0.01)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        behind_reader, behind_writer = await self._behind()
        up, down = self._draw()
        ways = [
            asyncio.create_task(self._pass(reader, behind_writer, up)),
            asyncio.create_task(self._pass(behind_reader, writer, down)),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        for end in (writer, behind_writer):
            end.close()
            with contextlib.suppress(OSError):
                await end.wait_closed()
        self._writers.discard(writer)

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, left: int | None) -> None:
        while data := await source.read(1 << 16):
            if left is not None and len(data) >= left:
                sink.write(data[:left])
                self.cut += 1
                return
            left = None if left is None else left - len(data)
            sink.write(data)
            await sink.drain()


async def _begun(reader: asyncio.StreamReader) -> bytes:
    """An answer, or as much of it as comes before the connection ends."""
    data = b""
    with contextlib.suppress(ConnectionError):
        while part := await reader.read(1 << 16):
            data += part
            head, found, body = data.partition(b"\r\n\r\n")
            length = re.search(rb"Content-Length: (\d+)", head)
            if found and length and len(body) >= int(length[1]):
                break
    return data


async def lose_answers(sender: Peer, recipient: Peer, count: int, dice: random.Random) -> Counter[str]:
    """Submit, lend and acknowledge `count` messages, each over connections that break first; then look at everything.

    The recipient must be nobody else's.
    """
    seen: Counter[str] = Counter()
    accepted: dict[str, bytes] = {}

    async def broker() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", sender.sandbox.port)

    limits: dict[str, int | None] = {}
    async with Cutter(broker, lambda: (limits.get("up"), limits.get("down"))) as cutter:

        async def broken(request: bytes, longest: int) -> bytes:
            """What came back of an answer before the connection broke."""
            way = dice.choice(("up", "down"))
            limits.clear()
            limits[way] = dice.randrange(len(request) if way == "up" else longest) + 1
            reader, writer = await asyncio.open_connection("127.0.0.1", cutter.port)
            try:
                writer.write(request)
                return await _begun(reader)
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()

        async def submit(data: bytes) -> None:
            part = await broken(sender.raw_submit(data), 1_100)
            first = await sender.submit(data)
            assert first.status == 202, first
            assert (await sender.submit(data)).body == first.body, "a repeat is answered with other bytes"
            said = part.partition(b"\r\n\r\n")[2]
            assert first.body.startswith(said), "what was begun to be said is not what is said now"
            seen["answers that had begun"] += bool(said)
            accepted[digest_of(data)] = first.body

        for at in range(0, count, 16):
            messages = [sender.message(recipient) for _ in range(min(16, count - at))]
            for data in messages:
                await submit(data)
            wanted = api.encode(api.LeaseRequest(instance="one", have=(), limit=64, wait_ms=0))
            fields = recipient.signed("POST", "/v1/leases", wanted)
            await broken(recipient.raw("POST", "/v1/leases", fields, wanted), 60_000)
            lent = await recipient.lease()
            async with asyncio.timeout(30):  # a lease whose answer broke off may still be on its way back
                while len(lent) < len(messages):
                    lent += await recipient.lease(have=[one.token for one in lent])
            assert sorted(one.message for one in lent) == sorted(messages), "something is there twice, or not"
            assert {one.attempt for one in lent} == {1}, "an answer that was lost counts as a delivery"
            acks = [api.Acknowledgement(token=one.token, receipt=recipient.receipt(one)) for one in lent]
            body = api.encode(acks)
            fields = recipient.signed("POST", "/v1/leases/acknowledge", body)
            await broken(recipient.raw("POST", "/v1/leases/acknowledge", fields, body), 2_000)
            results = set(await recipient.acknowledge(*acks))
            assert results <= {"done", "gone"}, results
            seen["receipts taken although the answer was lost"] += results == {"gone"}
            assert await recipient.lease() == (), "something is there twice"
        seen["connections cut"] = cutter.cut
    seen["messages"] = count
    events = Counter((e["event"], e["message"]) for e in await sender.feed(3 * count, within_s=60))
    for digest, note in accepted.items():
        for event in ("SubmissionAcceptance", "ContentHandover", "ConsignmentAcceptance"):
            assert events[event, digest] == 1, (event, events[event, digest])
        assert facts(note)["message"] == digest
    assert events.total() == 3 * count
    return seen


async def leave_at_random(peers: list[Peer], rounds: int, dice: random.Random) -> Counter[str]:
    """Every contact point asks for its own at once, some leave before they are told; no answer is another's."""
    seen: Counter[str] = Counter()
    known: dict[str, set[str]] = {}
    for peer in peers:
        data = peer.message(peer)
        await peer.accepted(data)
        known[peer.id] = {digest_of(data)}
        async with asyncio.timeout(60):
            while (await peer.request("GET", f"/v1/evidence/{digest_of(data)}")).status != 200:
                await asyncio.sleep(0.05)

    async def ask(peer: Peer) -> None:
        match dice.randrange(4):
            case 0:
                batch = [peer.message(peer) for _ in range(dice.randint(1, 3))]
                for data, result in zip(batch, await peer.batch(batch), strict=True):
                    assert result.acceptance is not None, result
                    assert facts(result.acceptance)["message"] == digest_of(data)
            case 1:
                events = await peer.events()
                assert {facts(event.event)["from"] for event in events} <= {peer.id}
            case 2:
                (digest,) = known[peer.id]
                assert {facts(event.event)["message"] for event in await peer.evidence(digest)} == {digest}
            case _:
                for one in await peer.lease(limit=3, instance=f"i{dice.randrange(9)}", wait_ms=dice.choice((0, 20))):
                    assert f'"from":"{peer.id}"'.encode() in one.message
        seen["answered"] += 1

    async def maybe_leave(peer: Peer) -> None:
        task = asyncio.create_task(ask(peer))
        if dice.random() < 0.5:
            await asyncio.sleep(dice.random() * 0.02)
            if task.cancel():
                seen["left"] += 1
        with contextlib.suppress(asyncio.CancelledError):
            await task

    for _ in range(rounds):
        await asyncio.gather(*(maybe_leave(peer) for peer in peers for _ in range(3)))
    return seen
