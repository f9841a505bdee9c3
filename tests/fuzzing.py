"""Requests by a grammar of ours: right ones, wrong ones, and everything between, as bytes on real connections.

Each part of a request is right most of the time, so that the faults meet every layer: a request line that is none, a
target in another spelling, header fields twice or folded or without end, bodies of another length, values of another
shape under a signature that holds. `Attack` sends them and keeps account of what came back.
"""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
from decoders import changed
from harness import Peer

from valija_schemas import api, http_signature, problem
from valija_schemas import note as notes

GETS = (
    "/v1/events", "/v1/evidence/{digest}", "/v1/log/checkpoint", "/v1/log/consistency", "/v1/log/inclusion",
    "/v1/log/tile/0/000.p/1", "/v1/log/tile/entries/000", "/v1/directory", "/v1/directory/holds",
    "/v1/directory/freshness",
    "/v1/directory/roots/1", "/v1/directory/versions/1", "/v1/limits",
)  # fmt: skip
POSTS = (
    "/v1/messages", "/v1/messages/batch", "/v1/leases", "/v1/leases/acknowledge", "/v1/leases/extend",
    "/v1/leases/release",
)  # fmt: skip
METHODS = (
    "GET",
    "POST",
    "HEAD",
    "PUT",
    "DELETE",
    "OPTIONS",
    "PATCH",
    "TRACE",
    "CONNECT",
    "get",
    "G\tET",
    "",
    "X" * 300,
)
VERSIONS = ("HTTP/1.0", "HTTP/1.1", "HTTP/2.0", "HTTP/0.9", "HTTP/1.1 ", "http/1.1", "HTTP/11", "", "HTTP/1.1\0")
QUERIES = ("after", "wait_ms", "old", "new", "size", "index", "version", "x")
NUMBERS = ("0", "1", "7", "999999999999999", "9999999999999999", "-1", "01", "%30", "", "1e3", "a", "0x1", "+", "%00")
ODD_FIELDS = (
    "Transfer-Encoding: chunked", "Transfer-Encoding: gzip, chunked", "Transfer-Encoding:\tchunked",
    "Expect: 100-continue", "Expect: 200-ok", "Connection: close", "Connection: keep-alive, Upgrade",
    "Upgrade: h2c", "Upgrade: websocket",
    "Content-Encoding: gzip", "Content-Length: 5", "Content-Length: -1", "Content-Length: 18446744073709551616",
    "Content-Length: 0x10", "Content-Length : 3", " folded: yes", "X: y\r\n z", "X: y\nZ: 1", "X: y\rZ", "X: \0", "X",
    ": empty", "X: " + "y" * 9_000, "Host: another.example", "Cookie: a=b", "Range: bytes=0-1", "TE: trailers",
    "X-Forwarded-For: 127.0.0.1", "Signature: sig1=:AAAA:", "Authorization: Basic AAAA", "Accept-Encoding: gzip",
    "Content-Type: text/plain", "Digest: x", "Trailer: X", "Sec-WebSocket-Key: x", "If-None-Match: *", "\u00e9: \u00fc",
)  # fmt: skip
slow_s = 5.0  #: Whatever is complete is answered, or ended, within this.


class Piece(msgspec.Struct, frozen=True):
    """One request, as bytes."""

    data: bytes
    head: bool  #: HEAD: the answer has no body.
    closes: bool  #: Nothing may follow on this connection: where this one ends is open.


class Grammar:
    """Draws requests of some contact points."""

    def __init__(self, peers: Sequence[Peer], dice: random.Random) -> None:
        self.peers, self.dice = peers, dice
        self._messages = [a.message(b) for a in peers[:3] for b in peers[:3] if a is not b]

    def request(self) -> Piece:
        """The next one."""
        dice, peer = self.dice, self.dice.choice(self.peers)
        post = dice.random() < 0.6
        method = "POST" if post else "GET"
        target = dice.choice(POSTS if post else GETS).replace("{digest}", self._digest())
        body = self._body(target) if post else b""
        if dice.random() < 0.15:
            body = changed(body, dice) if body else dice.randbytes(dice.randrange(200))
        if not post or dice.random() < 0.2:
            target += self._query()
        fields = [f"Content-Length: {len(body)}"] if body or dice.random() < 0.3 else []
        if target == "/v1/messages":
            fields += [f"Host: {peer.authority}", f"Content-Type: {api.MESSAGE_TYPE}"]
        else:
            kind = api.MSGPACK_TYPE if post else "application/octet-stream"
            try:
                signed = peer.signed(method, target, body, content_type=kind)
            except http_signature.SignatureError:  # a client of ours signs no such target; it signed another one
                signed = peer.signed(method, "/v1/limits", body, content_type=kind)
            fields += [f"{name}: {value}" for name, value in signed.items()]
        version, closes = "HTTP/1.1", False
        if dice.random() < 0.3:
            method, target, version = self._line(method, target, version)
            closes = True
        if dice.random() < 0.4:
            fields, closes = self._fields(fields), True
        if dice.random() < 0.05:
            body, closes = body[: dice.randrange(len(body) + 1)], True
        head = "\r\n".join([f"{method} {target} {version}", *fields, "", ""]).encode("utf-8", "surrogateescape")
        if dice.random() < 0.05:
            head, closes = changed(head, dice), True
        return Piece(head + body, method == "HEAD", closes)

    def _digest(self) -> str:
        return self.dice.choice(("ab" * 32, "AB" * 32, "0", "%2e%2e", "..", notes.split(self._messages[0])[0].digest))

    def _query(self) -> str:
        dice = self.dice
        pairs = [f"{dice.choice(QUERIES)}={dice.choice(NUMBERS)}" for _ in range(dice.randrange(4))]
        return "?" + "&".join(pair for pair in pairs if not pair.startswith("wait_ms=9")) if pairs else ""

    def _line(self, method: str, target: str, version: str) -> tuple[str, str, str]:
        dice = self.dice
        match dice.randrange(4):
            case 0:
                method = dice.choice(METHODS)
            case 1:
                version = dice.choice(VERSIONS)
            case 2:
                inside = ("../../keys.toml", "x999/000", "0/x" * 40, "%2e%2e/keys.toml", "\0")
                target = dice.choice((
                    target.upper(), target.replace("/", "//"), "/." + target, target + "/", f"http://x{target}", "*",
                    "/", target.replace("e", "%65"), target + "/../limits", "/" + "a" * 9_000, target + "#x",
                    target + "?" * 50, "/v1/log/tile/" + dice.choice(inside),
                ))  # fmt: skip
            case _:
                target = target.replace("1", dice.choice(NUMBERS), 1)
        return method, target, version

    def _fields(self, fields: list[str]) -> list[str]:
        dice, found = self.dice, list(fields)
        for _ in range(dice.randint(1, 3)):
            at = dice.randrange(len(found) + 1)
            match dice.randrange(5):
                case 0:
                    found.insert(at, dice.choice(ODD_FIELDS))
                case 1:
                    del found[at : at + 1]
                case 2:
                    found[at:at] = found[at : at + 1]
                case 3 if at < len(found):
                    found[at] = changed(found[at].encode("utf-8", "surrogateescape"), dice).decode(
                        "utf-8", "surrogateescape"
                    )
                case _:
                    dice.shuffle(found)
        return found

    def _body(self, target: str) -> bytes:
        dice, message, at = self.dice, self.dice.choice(self._messages), self.dice.randrange(4)
        token = dice.choice(("0.1." + "0" * 32, "0.999999999999999." + "f" * 32, "64.1." + "0" * 32, "x", "1", "0.0."))
        if target == "/v1/messages":
            return changed(message, dice) if dice.random() < 0.8 else message
        values: dict[str, Any] = {
            "/v1/messages/batch": [changed(message, dice) for _ in range(dice.randrange(4))],
            "/v1/leases": {"instance": dice.choice(("one", "", "A", "x" * 65)), "have": [token] * dice.randrange(3),
                           "limit": dice.choice((0, 1, 64, 65)), "wait_ms": dice.choice((0, 1, 20, 60_001))},
            "/v1/leases/acknowledge": [{"token": token, "receipt": dice.choice((b"", b"x", message[:900]))}],
            "/v1/leases/extend": {"tokens": [token] * dice.choice((0, 1, 1_025))},
            "/v1/leases/release": [{"token": token, "delay_ms": dice.choice((0, 1, -1, 2**63)), "dead": at % 2 > 0}],
        }  # fmt: skip
        value = values[target]
        if dice.random() < 0.2:
            value = dice.choice((None, [], {}, [value], {"x": value}, 1.5, "x", b"x", [None] * 70, {1: 2}))
        return msgspec.msgpack.encode(value)


class Attack:
    """Sends what a grammar draws, on several connections, and keeps account."""

    def __init__(self, port: int, grammar: Grammar) -> None:
        self._port, self._grammar = port, grammar
        self.statuses: Counter[int] = Counter()
        self.ended = 0  #: Connections that the broker ended without an answer, or that we had to end.
        self.slowest_s = 0.0
        self.faults: list[tuple[str, bytes]] = []

    async def send(self, count: int, connections: int = 8) -> None:
        """Send `count` requests."""
        left = iter(range(count))
        await asyncio.gather(*(self._connection(left) for _ in range(connections)))

    async def _connection(self, left: Any) -> None:
        ends = None
        for _ in left:
            piece = self._grammar.request()
            if ends is None or ends[1].is_closing() or ends[0].at_eof():
                await _close(ends)
                ends = await asyncio.open_connection("127.0.0.1", self._port, limit=2**24)
            began = time.monotonic()
            stays = await self._one(*ends, piece)
            took = time.monotonic() - began
            self.slowest_s = max(self.slowest_s, took)
            if took > slow_s:
                self.faults.append((f"{took:.1f} s", piece.data))
            if piece.closes or not stays:
                await _close(ends)
                ends = None
        await _close(ends)

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, piece: Piece) -> bool:
        """Whether the connection may be used for the next one."""
        try:
            writer.write(piece.data)
            await writer.drain()
            if piece.closes:
                # Whether it is complete is the question. After a moment we say that nothing more will come.
                ending = asyncio.get_running_loop().call_later(0.2, _eof, writer)
                try:
                    status, kind = await asyncio.wait_for(_status(reader, piece.head), 2 * slow_s)
                finally:
                    ending.cancel()
            else:
                status, kind = await asyncio.wait_for(_status(reader, piece.head), 2 * slow_s)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.ended += 1
            return False
        except TimeoutError:
            self.faults.append(("no answer and no end", piece.data))
            return False
        self.statuses[status] += 1
        if status >= 500 and status not in {503, 507}:
            self.faults.append((str(status), piece.data))
        if status >= 400 and kind != problem.MEDIA_TYPE.encode():
            self.faults.append((f"{status}, which is no problem", piece.data))
        return True


async def _close(ends: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None) -> None:
    if ends is not None:
        ends[1].close()
        with contextlib.suppress(OSError):
            await ends[1].wait_closed()


def _eof(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        writer.write_eof()


async def _status(reader: asyncio.StreamReader, head: bool) -> tuple[int, bytes]:
    """Status and content type of the next answer, which is read to its end; one that says `continue` is passed over."""
    while True:
        lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        status = int(lines[0].split(b" ")[1])
        fields = dict(line.lower().split(b": ", 1) for line in lines[1:] if line)
        length = int(fields.get(b"content-length", b"0"))
        if not head:
            await reader.readexactly(length)
        if status >= 200:
            return status, fields.get(b"content-type", b"")
