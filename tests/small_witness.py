"""A small witness of one log, as C2SP tlog-witness describes it: it remembers one size and root, and nothing else."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from typing import Self

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from valija_schemas import checkpoint as checkpoints
from valija_schemas import directory, merkle, witness
from valija_schemas import note as notes
from valija_schemas.checkpoint import Ed25519Cosigner, Policy


class Witness:
    """Keeps what it saw before it answers; an `async with`, or `in_thread` beside code that waits."""

    def __init__(self, policy: Policy, name: str = "w.example/one", *, time_s: int = 1_700_000_000) -> None:
        self.policy = policy
        self.cosigner = Ed25519Cosigner(name, Ed25519PrivateKey.generate())
        self.size, self.root = 0, merkle.EMPTY_ROOT
        self.time_s = time_s
        self.seen: list[int] = []  #: Sizes that were cosigned.
        self.answers: list[int] = []  #: The status of every answer.
        self.away = self.lost = 0  #: Answers to refuse with 503; cosignatures that are made and do not arrive.

    @property
    def verifier(self) -> notes.Verifier:
        return notes.Verifier(self.cosigner.name, self.cosigner.public)

    @property
    def entry(self) -> directory.Witness:
        """As a root names it."""
        return directory.Witness(name=self.cosigner.name, key=self.cosigner.public.hex())

    def add(self, body: bytes) -> tuple[int, bytes]:
        """What it answers to a request to cosign."""
        try:
            asked = witness.parse_request(body)
        except witness.WitnessError as error:
            return witness.BAD_REQUEST, f"{error}\n".encode()
        try:
            checkpoints.verify_checkpoint(asked.checkpoint, self.policy)
        except checkpoints.CheckpointError as error:
            return witness.FORBIDDEN, f"{error}\n".encode()
        if asked.old_size != self.size:
            return witness.CONFLICT, witness.format_size(self.size)
        if asked.head.size == self.size and self.size and asked.head.root != self.root:
            return witness.CONFLICT, witness.format_size(self.size)
        try:
            merkle.verify_consistency(self.size, self.root, asked.head.size, asked.head.root, asked.proof)
        except merkle.MerkleError as error:
            return witness.UNPROCESSABLE, f"{error}\n".encode()
        self.size, self.root = asked.head.size, asked.head.root
        self.seen.append(self.size)
        return witness.OK, witness.format_response([self.line(asked.head)])

    def line(self, head: checkpoints.Head) -> bytes:
        return checkpoints.cosignature_line(self.cosigner, head, self.time_s)

    async def _answer(self, request: web.Request) -> web.Response:
        if self.away:
            self.away -= 1
            self.answers.append(503)
            return web.Response(status=503)
        status, body = self.add(await request.read())
        if status == witness.OK and self.lost:
            self.lost -= 1
            status, body = 502, b""
        self.answers.append(status)
        return web.Response(status=status, body=body)

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.add_routes([web.post("/w/add-checkpoint", self._answer)])
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/w"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    @contextlib.contextmanager
    def in_thread(self) -> Iterator[Self]:
        """Answer from a thread, while this one waits for a broker."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self.__aenter__(), loop).result(10)
            try:
                yield self
            finally:
                asyncio.run_coroutine_threadsafe(self.__aexit__(), loop).result(10)
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()
