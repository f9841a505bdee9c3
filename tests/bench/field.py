"""A broker under load: the sandbox with room for it, messages made before, and what each process took."""

import asyncio
import hashlib
import os
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
from harness import Peer
from sandbox import Sandbox

from bench.load import Outcome, Work
from valija.registry.sample import SampleExchange, sample_exchange
from valija_broker.drain import checkpoint_every_s
from valija_schemas import api, message

TICK: Final = os.sysconf("SC_CLK_TCK")
SMALL: Final = 2 * 1024
LARGE: Final = 64 * 1024

#: Room for a run at full load; what is measured is not a limit that was set.
ROOM: Final = """
[quotas]
pair_messages_max = 100_000_000
pair_bytes_max = 100_000_000_000
sender_bytes_max = 100_000_000_000
outbox_events_max = 100_000_000
submit_per_minute_max = 100_000_000
point_connections_max = 100_000
[store]
memory_bytes_max = 10_000_000_000
"""


def exchange_of(count: int) -> SampleExchange:
    """An exchange with this many contact points, p0000 and so on."""
    return sample_exchange(points=[(f"p{n:04}", "MX", "law-enforcement") for n in range(count)], suspended=())


def sandbox(folder: Path, *, workers: int = 2, points: int = 20) -> Sandbox:
    """A broker that is not started yet."""
    return Sandbox(folder, exchange_of(points), workers=workers, more=ROOM)


def document(size: int) -> bytes:
    """A document of `size` bytes: as messages go, one with a block of text."""
    return b'{"text":"' + b"x" * (size - 11) + b'"}'


class Batch(msgspec.Struct):
    """Messages ready to be sent."""

    messages: list[bytes]
    digests: list[str]
    senders: list[str]


def messages(found: Sandbox, count: int, size: int = SMALL, recipients: int = 1, senders: int = 8) -> Batch:
    """Signed messages of `senders`, each to `recipients` others.

    Each sender's body is sealed once and stands in all of its messages: to the broker it is bytes with a digest, and
    making the load takes a signature a message and not a seal.
    """
    points = [point.id for point in found.exchange.phonebook.directory.contact_points]
    sources, others = points[:senders], points[senders:]
    made = Batch([], [], [])
    peers = {}
    for n, who in enumerate(sources):
        peer = Peer(found, who)
        start = n % max(1, len(others) - recipients + 1)
        header = peer.header(*others[start : start + recipients])
        body = peer.body(header, document(size))
        named = msgspec.structs.replace(header, body=hashlib.sha256(body).hexdigest(), body_length=len(body))
        peers[who] = (named, body, peer)
    for n in range(count):
        who = sources[n % senders]
        named, body, peer = peers[who]
        id_ = str(uuid.uuid4())
        note = message.compose(msgspec.structs.replace(named, id=id_, thread=id_), peer.origin, peer.keys.sign)
        made.messages.append(note + body)
        made.digests.append(hashlib.sha256(note[: note.index(b"\n\n") + 1]).hexdigest())
        made.senders.append(who)
    return made


def requests(found: Sandbox, batch: Batch, each: int = 1) -> list[bytes]:
    """The HTTP requests that submit `batch`, `each` messages a request.

    Signed requests hold for a minute: make them when they are needed.
    """
    peers = {who: Peer(found, who) for who in set(batch.senders)}
    if each == 1:
        return [peers[who].raw_submit(data) for who, data in zip(batch.senders, batch.messages, strict=True)]
    made = []
    for who, peer in peers.items():
        own = [data for sender, data in zip(batch.senders, batch.messages, strict=True) if sender == who]
        for at in range(0, len(own) - each + 1, each):
            body = api.encode(own[at : at + each])
            fields = peer.signed("POST", "/v1/messages/batch", body)
            made.append(peer.raw("POST", "/v1/messages/batch", fields, body))
    return made


async def replay(
    folder: Path, address: str, work: Sequence[bytes], connections: int, *, rate: float = 0.0, seconds: float,
    first: bytes = b"",
) -> Outcome:  # fmt: skip
    """Let a process of its own send `work`, and wait for what it counted."""
    path = folder / "work"
    path.write_bytes(msgspec.msgpack.encode(Work(first, list(work))))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.load", address, str(path), str(connections), str(rate), str(seconds),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    path.unlink()
    if process.returncode:
        raise RuntimeError(f"the load process ended with {process.returncode}")
    return msgspec.msgpack.decode(out, type=Outcome)


def require(outcome: Outcome, status: str) -> None:
    """Refuse figures of a run in which something else was answered."""
    if set(outcome.statuses) != {status}:
        raise RuntimeError(f"not every request was answered with {status}: {outcome.statuses}")


class Cpu:
    """CPU seconds of a broker's processes, by kind, since this was made or last read."""

    def __init__(self, found: Sandbox) -> None:
        self._pids = found.processes()
        self._before = self._now()

    def _now(self) -> dict[str, float]:
        return {kind: sum(map(cpu_seconds, pids)) for kind, pids in self._pids.items()}

    def read(self) -> dict[str, float]:
        now, before = self._now(), self._before
        self._before = now
        return {kind: now[kind] - before[kind] for kind in now}


def cpu_seconds(pid: int) -> float:
    """User and system time of a process with all its threads; the kernel counts hundredths."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def memory_bytes(pid: int, field: str = "VmRSS") -> int:
    """Resident memory of a process."""
    line = next(x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if x.startswith(field))
    return int(line.split()[1]) * 1024


def logged(found: Sandbox) -> int:
    """How many leaves are published."""
    path = found.data / "log" / "checkpoint"
    return int(path.read_bytes().split(b"\n")[1]) if path.exists() else 0


async def until_logged(found: Sandbox, leaves: int, within_s: float = 300.0) -> float:
    """Wait until so many leaves are published; when that was seen."""
    deadline = time.monotonic() + within_s
    while logged(found) < leaves:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{logged(found)} leaves are published, {leaves} were awaited")
        await asyncio.sleep(0.005)
    return time.monotonic()


async def until_quiet(found: Sandbox) -> int:
    """Wait until the log has not grown for twice the time between two checkpoints; its size."""
    size = -1
    while (now := logged(found)) != size:
        size = now
        await asyncio.sleep(2 * checkpoint_every_s)
    return size
