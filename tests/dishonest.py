"""A dishonest operator: the keys, the database, the log's files and the wire of an exchange; no key of anybody else.

It stands between real clients and a real broker and passes everything on, but for what a test tells it to answer
itself. A log of its own making is made with the broker's own code and keys: `Forged` is a ledger and a published
folder, read by the broker's own readers.
"""

import asyncio
import contextlib
import hashlib
import re
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import aiohttp
import msgspec
from aiohttp import web
from sandbox import Sandbox
from yarl import URL

from valija_broker.evidence import Row, Version
from valija_broker.keys import Keys
from valija_broker.log import prove
from valija_broker.log.ledger import Ledger
from valija_broker.log.publish import Folder, Publisher
from valija_broker.log.view import EvidenceReader, LogView
from valija_schemas import api, evidence, leaf, merkle, message, tiles
from valija_schemas import checkpoint as checkpoints
from valija_schemas import note as notes
from valija_schemas.checkpoint import Policy

Entry = Row | Version


class Shameless(EvidenceReader):
    """Shows whatever stands in a feed."""

    def _require(self, party: str, seq: int, *stored: Any) -> None:
        pass


class Forged:
    """A log made with the stolen keys, from rows that need not be true."""

    def __init__(self, keys: Keys, origin: str, path: Path, entries: Sequence[Entry], witness: Any = None) -> None:
        path.mkdir()
        self.path, self.keys, self.origin = path, keys, origin
        ledger = self._ledger()
        ledger.add(entries)
        ledger.close()
        self.publish(witness)

    def _ledger(self) -> Ledger:
        database = self.path / "evidence.sqlite"
        return Ledger(database, self.origin, self.keys.log_signer(self.origin), self.keys.log_cosigner(self.origin))

    def publish(self, witness: Any = None) -> None:
        """As the broker publishes, at its start; a `witness` is asked to cosign."""
        ledger = self._ledger()
        public = self.keys.public
        policy = Policy(checkpoints.origin_of(self.origin), bytes.fromhex(public.log), bytes.fromhex(public.log_ml_dsa))
        how = {"urls": [witness.url], "witnesses": lambda: [witness.verifier]} if witness else {}
        publisher = Publisher(ledger, Folder(self.path / "log"), policy, **how)

        async def work() -> None:
            await publisher.complete()
            await publisher.publish()

        try:
            asyncio.run(work())
        finally:
            ledger.close()
        self.view = LogView(self.path / "log")
        self.reader = Shameless(self.path / "evidence.sqlite", self.view)

    def consistency(self, old: int, new: int) -> list[bytes]:
        """The best proof that there is for this log, also of a size that was never published."""
        with contextlib.closing(self._ledger()) as ledger:
            hashes = [merkle.leaf_hash(entry) for entry in ledger.leaves(0, new)]
        if not 0 < old <= len(hashes):
            return []
        made = tiles.grow(0, hashes, lambda _: b"")
        return prove.consistency(tiles.TileHashes(len(hashes), made.__getitem__), old, len(hashes))

    def set_checkpoint(self, change: Callable[[checkpoints.Head, list[notes.Signature]], bytes]) -> None:
        path = self.path / "log/checkpoint"
        head, lines = checkpoints.parse(path.read_bytes())
        path.write_bytes(change(head, list(lines)))


class Operator:
    """The one who runs the broker of `sandbox`, and listens where its members connect."""

    def __init__(self, sandbox: Sandbox, port: int) -> None:
        self.sandbox, self.port = sandbox, port
        self.keys = Keys.load(sandbox.data / "keys.toml")
        self.origin = sandbox.exchange.origin
        self._ids = {
            hashlib.sha256(ring.auth.public).hexdigest(): id_ for id_, ring in sandbox.exchange.keyrings.items()
        }
        self.owed: set[tuple[str, str]] = set()  #: Message and event: what the true log must have before long.
        self.be_honest()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def be_honest(self) -> None:
        """Pass on everything."""
        self.logs: dict[str, Forged] = {}  #: By contact point: the log that it is shown.
        self.notes: dict[str, bytes] = {}  #: By path: what is answered with 200.
        self.feed: Callable[[str, api.Feed], api.Feed] = lambda _, feed: feed
        self.lent: Callable[[str, list[api.Lent]], list[api.Lent]] = lambda _, lent: lent
        self.accept: Callable[[bytes, int, bytes], tuple[int, bytes]] = lambda _, status, answer: (status, answer)

    # What it holds

    def entries(self) -> list[Entry]:
        """Every row of the broker's database, in the order of the log."""
        with contextlib.closing(sqlite3.connect(f"file:{self.sandbox.data}/evidence.sqlite?mode=ro", uri=True)) as db:
            parties: dict[int, list[str]] = {}
            for party, seq in db.execute("SELECT party, seq FROM feed ORDER BY seq"):
                parties.setdefault(seq, []).append(party)
            found: list[Entry] = []
            for seq, id_, entry, name, digest, sender, time, event, salt in db.execute(
                "SELECT seq, id, leaf, name, message, sender, time, event, salt FROM events ORDER BY seq"
            ):
                found.append(
                    Version(entry[1:].hex())
                    if event is None
                    else Row(id=id_, name=name, message=digest, sender=sender, time=time, event=event, salt=salt,
                             leaf=entry, parties=tuple(parties[seq]))
                )  # fmt: skip
            return found

    def forge(self, path: Path, entries: Sequence[Entry] | None = None, witness: Any = None) -> Forged:
        """A log of `entries`; of all that is true without them."""
        return Forged(self.keys, self.origin, path, self.entries() if entries is None else entries, witness)

    def restate(self, row: Row, **changes: Any) -> Row:
        """The same event, saying something else, signed again if the broker signs it."""
        signed = b"\n\n" in row.event
        text = row.event[: row.event.index(b"\n\n") + 1] if signed else row.event
        event = msgspec.structs.replace(evidence.parse_event_text(text, self.origin), **changes)
        return self.with_event(row, self.written(event, signed=signed))

    def written(self, event: evidence.Event, *, signed: bool) -> bytes:
        subject = evidence.subject_of_receipt(event)
        text = evidence.event_text(
            self.origin, event.event, subject, to=event.to, time=event.time, directory=event.directory,
            reason=event.reason,
        )  # fmt: skip
        return notes.sign(text, [self.keys.evidence_signers(self.origin)[self.keys.evidence_id]]) if signed else text

    @staticmethod
    def with_event(row: Row, event: bytes, **changes: Any) -> Row:
        """Another event in the place of a row's."""
        id_ = hashlib.sha256(event + row.salt).digest()
        return msgspec.structs.replace(row, id=id_, event=event, leaf=leaf.of_event(row.salt, event), **changes)

    # The wire

    async def _answer(self, request: web.Request) -> web.Response:
        body, path = await request.read(), request.path
        found = re.search('keyid="([0-9a-f]{64})"', request.headers.get("Signature-Input", ""))
        who = self._ids[found[1]] if found else ""
        if path in self.notes:
            return web.Response(body=self.notes[path])
        own = self.logs.get(who)
        if own is not None and (answer := await self._of_log(own, who, request)) is not None:
            return answer
        status, headers, answer_body = await self._pass_on(request, body)
        self._note(path, status, body, answer_body)
        if path == "/v1/events" and status == 200:
            feed = self.feed(who, api.read_feed(answer_body))
            answer_body = api.encode(feed)
        elif path == "/v1/leases" and status == 200:
            answer_body = api.encode(self.lent(who, list(api.read_lent(answer_body))))
        elif path == "/v1/messages":
            status, answer_body = self.accept(body, status, answer_body)
        return web.Response(status=status, body=answer_body, headers=headers)

    def _note(self, path: str, status: int, body: bytes, answer: bytes) -> None:
        """Note what the broker did, which it has to log."""
        if path == "/v1/messages" and status == 202:
            self.owed.add((message.read(body, self.origin).digest, "SubmissionAcceptance"))
        elif path == "/v1/leases" and status == 200:
            lent = api.read_lent(answer)
            self.owed |= {(message.read(each.message, self.origin).digest, "ContentHandover") for each in lent}
        elif path == "/v1/leases/acknowledge" and status == 200:
            acks = msgspec.msgpack.decode(body, type=list[api.Acknowledgement])
            for ack, result in zip(acks, api.read_lease_results(answer), strict=True):
                if result.result == "done":
                    _, receipt = evidence.parse_receipt(ack.receipt, self.origin)
                    self.owed.add((receipt.message, receipt.event))

    async def _of_log(self, log: Forged, who: str, request: web.Request) -> web.Response | None:
        path, query = request.path, request.query
        if path == "/v1/events":
            feed = await log.reader.feed(who, int(query["after"]), api.events_page_max)
            return _packed(self.feed(who, feed))
        if path.startswith("/v1/evidence/"):
            return _packed(await log.reader.of_message(who, path.rpartition("/")[2]))
        if path == "/v1/log/checkpoint":
            return web.Response(body=log.view.checkpoint()[0], content_type="text/plain")
        if path == "/v1/log/consistency":
            return _packed(log.consistency(int(query["old"]), int(query["new"])))
        if path.startswith("/v1/log/tile/"):
            data = log.view.file(path.removeprefix("/v1/log/"))
            return web.Response(body=data) if data is not None else web.Response(status=404)
        return None

    async def _pass_on(self, request: web.Request, body: bytes) -> tuple[int, dict[str, str], bytes]:
        headers = {name: value for name, value in request.headers.items() if name != "Content-Length"}
        url = URL(self.sandbox.url + request.raw_path, encoded=True)
        kept = {"Content-Type", "Retry-After", "Cache-Control"}
        async with self._session.request(request.method, url, data=body or None, headers=headers) as answer:
            found = {name: value for name, value in answer.headers.items() if name in kept}
            return answer.status, found, await answer.read()

    @contextlib.contextmanager
    def listening(self) -> Iterator[Self]:
        """Answer from a thread."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()

        async def begin() -> web.AppRunner:
            self._session = aiohttp.ClientSession(auto_decompress=False)
            app = web.Application(client_max_size=2**24)
            app.router.add_route("*", "/{path:.*}", self._answer)
            runner = web.AppRunner(app, shutdown_timeout=0)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", self.port).start()
            return runner

        async def end(runner: web.AppRunner) -> None:
            await runner.cleanup()
            await self._session.close()

        try:
            runner = asyncio.run_coroutine_threadsafe(begin(), loop).result(10)
            yield self
            asyncio.run_coroutine_threadsafe(end(runner), loop).result(10)
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()


def _packed(value: object) -> web.Response:
    return web.Response(body=api.encode(value), content_type=api.MSGPACK_TYPE)
