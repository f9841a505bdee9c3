"""A contact point that need not behave: every part of a message, of a request and of a connection can be wrong.

`Peer` is one contact point. Each method does the right thing unless told otherwise, so that a test changes one thing
and says by its name what must hold then. `Answer` is what came back, with nothing interpreted away.
"""

import asyncio
import hashlib
import io
import secrets
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import aiohttp
import msgspec
from multidict import CIMultiDict
from sandbox import Sandbox
from yarl import URL

from valija import seal
from valija.keyring import Keyring
from valija_schemas import api, http_signature, limits, message, problem, wire
from valija_schemas import evidence as schema
from valija_schemas import note as notes
from valija_schemas.directory import Directory, Key

DOCUMENT = b'{"text":"sample"}'
DAY_MS = limits.DAY_MS
#: What looks at every answer that a `Peer` gets. The tests let `declared_answers` look; a benchmark nobody.
on_answer: list[Callable[[str, str, int, Mapping[str, str], bytes], None]] = []


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Answer:
    """One response."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def problem(self) -> problem.Problem:
        assert self.headers["Content-Type"] == problem.MEDIA_TYPE, self
        found = problem.decode(self.body)
        assert found.status == self.status
        assert found.type == problem.TYPE_PREFIX + found.code
        return found

    @property
    def code(self) -> str:
        return "" if self.status < 400 else self.problem.code

    @property
    def outcome(self) -> tuple[int, str]:
        """Status and problem code."""
        return self.status, self.code

    def __repr__(self) -> str:
        return f"Answer({self.status}, {self.body[:300]!r})"


def refused(answer: Answer, code: str) -> problem.Problem:
    """The problem of an answer that must be a refusal with `code`, in everything that all of them keep to."""
    assert answer.outcome == (problem.KINDS[problem.Code(code)].status, code), answer
    found = answer.problem
    kind = problem.KINDS[problem.Code(code)]
    assert found.title == kind.title
    assert found.retryable == kind.retryable
    assert ("Retry-After" in answer.headers) == kind.retryable
    assert abs(found.time - now_ms()) < 5_000
    assert answer.headers["Cache-Control"] == "no-store"
    if kind.vague:
        assert (found.detail, found.evidence, found.accepted, found.errors) == (kind.title, None, None, ())
    return found


class Peer:
    """One contact point, with its keys and a connection pool. An `async with`."""

    def __init__(self, sandbox: Sandbox, id_: str, *, instance: str = "one") -> None:
        self.sandbox, self.id, self.instance = sandbox, id_, instance
        self.exchange = sandbox.exchange
        self.origin = self.exchange.origin
        self.authority = f"127.0.0.1:{sandbox.port}"
        self._session: aiohttp.ClientSession | None = None
        self._writers: list[asyncio.StreamWriter] = []

    def connect(self) -> "Peer":
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=60),
        )
        return self

    async def __aenter__(self) -> Self:
        return self.connect()

    async def __aexit__(self, *_: object) -> None:
        for writer in self._writers:
            writer.transport.abort()
        if self._session:
            await self._session.close()
        await asyncio.sleep(0.01)  # the transports close in the loop's next turns

    @property
    def keys(self) -> Keyring:
        return self.exchange.keyrings[self.id]

    @property
    def recipient(self) -> Any:
        return self.keys.seal.recipient

    @property
    def name(self) -> str:
        return f"{self.origin}/{self.id}"

    # Messages

    def header(self, *to: "Peer | str", **changes: Any) -> message.Header:
        """A good header, before anything is sealed, with `changes`."""
        id_ = changes.get("id") or str(uuid.uuid4())
        sent = changes.get("sent", now_ms())
        names = sorted(other if isinstance(other, str) else other.id for other in to)
        keys = {name: self.exchange.keyrings[name].seal.recipient.key_id for name in names}
        values: dict[str, Any] = {
            "id": id_,
            "sender": self.id,
            "to": keys,
            "type": "information-request/1",
            "thread": id_,
            "in_reply_to": None,
            "sent": sent,
            "expires": sent + DAY_MS,
            "priority": "routine",
            "exercise": True,
            "directory": self.exchange.phonebook.reference,
            "log": message.EMPTY_LOG,
            "body": None,
            "body_length": 0,
            "attachments": (),
        }
        return message.Header(**(values | changes))

    def body(self, header: message.Header, document: bytes = DOCUMENT) -> bytes:
        """The body sealed for everybody in `to`, whatever the header says of their keys."""
        recipients = [self.exchange.keyrings[name].seal.recipient for name in header.to]
        keys = {name: recipient.key_id for name, recipient in zip(header.to, recipients, strict=True)}
        return seal.seal(msgspec.structs.replace(header, to=keys), document, recipients)

    def sign(
        self, header: message.Header, *, signers: Sequence[notes.Signer] = (), origin: str = "", kind: str = ""
    ) -> bytes:
        """The note of a header, by whoever is told."""
        text = notes.text(kind or message.KIND, origin or self.origin, wire.encode(header))
        return notes.sign(text, signers or [self.keys.sign])

    def message(self, *to: "Peer | str", document: bytes = DOCUMENT, **changes: Any) -> bytes:
        """A whole message; `changes` to its header stand in the note and in the seal alike."""
        header = self.header(*to, **changes)
        body = self.body(header, document)
        return self.sign(with_body(header, body)) + body

    # Requests

    def signed(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        *,
        content_type: str = api.MSGPACK_TYPE,
        authority: str = "",
        key: notes.Signer | None = None,
        created: int | None = None,
        lifetime: int = 60,
        nonce: str = "",
    ) -> dict[str, str]:
        """The fields of a signed request."""
        at = int(time.time()) if created is None else created
        request = http_signature.Request(
            method=method,
            authority=authority or self.authority,
            target=target,
            content_type=content_type,
            body=body,
        )
        fields = http_signature.sign(
            request,
            key or self.keys.auth,
            created=at,
            expires=at + lifetime,
            nonce=nonce or secrets.token_urlsafe(16),
        )
        return {"Host": authority or self.authority, **fields}

    async def send(self, method: str, target: str, body: Any = b"", headers: Mapping[str, str] = {}) -> Answer:
        """Send exactly this."""
        assert self._session
        url = URL(f"{self.sandbox.url}{target}", encoded=True)
        async with self._session.request(
            method,
            url,
            data=io.BytesIO(body) if isinstance(body, bytes) and body else body or None,
            headers=headers,
            allow_redirects=False,
            skip_auto_headers=("Content-Type", "User-Agent", "Accept-Encoding"),
        ) as response:
            answer = Answer(response.status, CIMultiDict(response.headers), await response.read())
            for look in on_answer:
                look(method, target, answer.status, answer.headers, answer.body)
            return answer

    async def request(self, method: str, target: str, body: bytes = b"", **how: Any) -> Answer:
        """A signed request; `how` as in `signed`."""
        return await self.send(method, target, body, self.signed(method, target, body, **how))

    async def post(self, target: str, value: object, **how: Any) -> Answer:
        """A signed POST of `value` in MessagePack."""
        return await self.request("POST", target, api.encode(value), **how)

    async def submit(self, data: Any, headers: Mapping[str, str] = {}) -> Answer:
        """One message, unsigned as a request."""
        return await self.send("POST", "/v1/messages", data, {"Content-Type": api.MESSAGE_TYPE, **headers})

    async def accepted(self, data: bytes) -> schema.Event:
        """Submit what must be accepted; the acceptance, verified."""
        answer = await self.submit(data)
        assert answer.status == 202, answer
        return self.verify(answer.body)

    async def batch(self, messages: Sequence[bytes]) -> tuple[api.SubmitResult, ...]:
        answer = await self.post("/v1/messages/batch", list(messages))
        assert answer.status == 200, answer
        return api.read_submit_results(answer.body)

    async def lease(
        self, *, limit: int = 64, wait_ms: int = 0, have: Sequence[str] = (), instance: str = ""
    ) -> tuple[api.Lent, ...]:
        answer = await self.ask_lease(limit=limit, wait_ms=wait_ms, have=have, instance=instance)
        assert answer.status == 200, answer
        return api.read_lent(answer.body)

    async def ask_lease(
        self, *, limit: int = 64, wait_ms: int = 0, have: Sequence[str] = (), instance: str = ""
    ) -> Answer:
        value = api.LeaseRequest(
            instance=instance or self.instance, have=tuple(have), limit=limit, wait_ms=wait_ms
        )  # fmt: skip
        return await self.post("/v1/leases", value)

    def receipt(
        self, lent: api.Lent, *, signer: notes.Signer | None = None, subject: Any = None, **changes: Any
    ) -> bytes:
        """A good receipt for what was lent, with `changes`."""
        found = message.read(lent.message, self.origin)
        values: dict[str, Any] = {
            "recipient": self.id,
            "time": now_ms(),
            "directory": self.exchange.phonebook.reference,
            "log": message.EMPTY_LOG,
            "reason": None,
        }
        event = changes.pop("event", "ConsignmentAcceptance")
        origin = changes.pop("origin", self.origin)
        return schema.receipt_note(
            origin,
            event,
            subject or schema.subject_of(found.header, found.note),
            signer or self.keys.sign,
            **(values | changes),
        )

    async def acknowledge(self, *acks: api.Acknowledgement) -> list[str]:
        answer = await self.post("/v1/leases/acknowledge", list(acks))
        assert answer.status == 200, answer
        return [result.result for result in api.read_lease_results(answer.body)]

    async def done(self, *lent: api.Lent) -> list[str]:
        """Hand in good receipts."""
        return await self.acknowledge(*(api.Acknowledgement(token=x.token, receipt=self.receipt(x)) for x in lent))

    async def extend(self, *tokens: str) -> tuple[api.LeaseResult, ...]:
        answer = await self.post("/v1/leases/extend", api.Extension(tokens=tokens))
        assert answer.status == 200, answer
        return api.read_lease_results(answer.body)

    async def release(self, *tokens: str, delay_ms: int = 0, dead: bool = False) -> list[str]:
        releases = [api.Release(token=token, delay_ms=delay_ms, dead=dead) for token in tokens]
        answer = await self.post("/v1/leases/release", releases)
        assert answer.status == 200, answer
        return [result.result for result in api.read_lease_results(answer.body)]

    async def page(self, after: int = 0, wait_ms: int = 0) -> api.Feed:
        answer = await self.request("GET", f"/v1/events?after={after}&wait_ms={wait_ms}")
        assert answer.status == 200, answer
        return api.read_feed(answer.body)

    async def events(self, after: int = 0, wait_ms: int = 0) -> tuple[api.FeedEvent, ...]:
        return (await self.page(after, wait_ms)).events

    async def feed(self, count: int, within_s: float = 20.0) -> list[dict[str, Any]]:
        """The whole feed once it has `count` events, or after `within_s`; each as its JSON."""
        deadline = time.monotonic() + within_s
        found = await self.events()
        while len(found) < count and (left := deadline - time.monotonic()) > 0:
            after = found[-1].number if found else 0
            found += await self.events(after, int(left * 1000))
        return [facts(event.event) for event in found]

    async def evidence(self, digest: str) -> tuple[api.FeedEvent, ...]:
        answer = await self.request("GET", f"/v1/evidence/{digest}")
        assert answer.status == 200, answer
        return api.read_feed(answer.body).events

    def verify(self, raw: bytes) -> schema.Event:
        """An event that the broker signed, verified against the root."""
        return schema.verify_evidence(raw, self.origin, self.exchange.roots.evidence_verifiers())

    # Connections

    def raw(
        self, method: str, target: str, fields: Mapping[str, str], body: bytes = b"", *, length: bool = True
    ) -> bytes:
        """The bytes of a request, in HTTP/1.1."""
        head = [f"{method} {target} HTTP/1.1"]
        head += [f"{name}: {value}" for name, value in ({"Host": self.authority} | dict(fields)).items()]
        head += [f"Content-Length: {len(body)}"] if length else []
        return "\r\n".join([*head, "", ""]).encode() + body

    def raw_submit(self, data: bytes) -> bytes:
        return self.raw("POST", "/v1/messages", {"Content-Type": api.MESSAGE_TYPE}, data)

    async def socket(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection of its own, closed with the peer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.sandbox.port, limit=2**24)
        self._writers.append(writer)
        return reader, writer

    async def wire(self, *parts: bytes, within_s: float = 5.0) -> list[Answer]:
        """Send bytes on a connection of their own; every answer until it is closed, or quiet for `within_s`."""
        reader, writer = await self.socket()
        answers: list[Answer] = []
        try:
            for part in parts:
                writer.write(part)
                await writer.drain()
            while True:
                async with asyncio.timeout(within_s):
                    answers.append(await read_answer(reader))
        except (asyncio.IncompleteReadError, TimeoutError, ConnectionError):
            return answers
        finally:
            writer.close()


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """One response; raises IncompleteReadError at the end of the connection."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    fields = CIMultiDict(line.split(": ", 1) for line in head[1:] if line)
    body = await reader.readexactly(int(fields.get("Content-Length", "0")))
    return Answer(int(head[0].split(" ")[1]), fields, body)


def with_body(header: message.Header, body: bytes) -> message.Header:
    """A header that names this body."""
    return msgspec.structs.replace(header, body=hashlib.sha256(body).hexdigest(), body_length=len(body))


def digest_of(data: bytes) -> str:
    """The digest of a message."""
    return notes.split(data)[0].digest


def facts(event: bytes) -> dict[str, Any]:
    """The JSON of an event, signed or not."""
    return msgspec.json.decode(event.split(b"\n")[1])


def revoked(keys: Sequence[Key], at_ms: int) -> tuple[Key, ...]:
    return tuple(msgspec.structs.replace(key, status="revoked", ended=at_ms) for key in keys)


def change_point(id_: str, **changes: Any) -> Any:
    """A change for `SampleExchange.next_directory`: this contact point, with these fields."""

    def change(directory: Directory) -> Directory:
        points = tuple(
            msgspec.structs.replace(point, **changes) if point.id == id_ else point
            for point in directory.contact_points
        )
        return msgspec.structs.replace(directory, contact_points=points)

    return change


async def publish(sandbox: Sandbox, change: Any) -> int:
    """Publish a directory and wait until every worker knows it; its version."""
    sandbox.exchange.next_directory(change, now_ms=now_ms())
    version = sandbox.exchange.phonebook.version
    sandbox.publish()
    await known_everywhere(sandbox, version)
    return version


async def known_everywhere(sandbox: Sandbox, version: int) -> None:
    """Wait until each worker, asked on a connection of its own, names `version`."""
    asker = next(p.id for p in sandbox.exchange.phonebook.directory.contact_points if p.status == "active")

    def named(answer: Answer) -> bool:
        return msgspec.msgpack.decode(answer.body, type=api.Newest).directory >= version

    async with Peer(sandbox, asker) as peer:
        await everywhere(peer, "/v1/directory", named)


async def everywhere(peer: Peer, target: str, wanted: Callable[[Answer], bool], within_s: float = 20.0) -> None:
    """Wait until each worker, asked on a connection of its own, gives the answer that is wanted."""
    deadline = time.monotonic() + within_s
    missing = set(peer.sandbox.processes()["worker"])
    while missing and time.monotonic() < deadline:
        reader, writer = await peer.socket()
        try:
            worker = worker_of(peer.sandbox, writer.get_extra_info("sockname")[1])
            if worker in missing:
                writer.write(peer.raw("GET", target, peer.signed("GET", target), length=False))
                if wanted(await read_answer(reader)):
                    missing.discard(worker)
        finally:
            writer.close()
        await asyncio.sleep(0.005)
    assert not missing, f"after {within_s} s {len(missing)} workers still do not know of it"


def worker_of(sandbox: Sandbox, port: int) -> int:
    """The worker that has accepted the connection from our `port`, or 0 while none has."""
    suffix = f":{port:04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(f":{sandbox.port:04X}") and fields[2].endswith(suffix):
            inode = f"socket:[{fields[9]}]"
            for worker in sandbox.processes()["worker"]:
                for fd in Path(f"/proc/{worker}/fd").iterdir():
                    try:
                        if str(fd.readlink()) == inode:
                            return worker
                    except OSError:
                        continue
    return 0
