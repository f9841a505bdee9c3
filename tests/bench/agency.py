"""An agency's program in a process of its own, with the real client: sends, or receives, and says what it saw.

    python -m bench.agency PROFILE send SECONDS TASKS RECIPIENT...
    python -m bench.agency PROFILE receive SECONDS

`receive` goes on for SECONDS and then until nothing comes. What comes out is MessagePack (`Seen`).
"""

import asyncio
import itertools
import json
import sys
import time
from pathlib import Path
from typing import Final

import msgspec

from valija import Client, config

EXAMPLE: Final = Path(__file__).parents[2] / "schemas/examples/information-request-1.json"


class Seen(msgspec.Struct):
    """Times are those of the machine's monotonic clock."""

    began: dict[str, float]  #: Digest -> when `send` was called.
    at: dict[str, float]  #: Digest -> when `send` returned, or the message had been handled.
    cpu: float


async def send(client: Client, seconds: float, tasks: int, to: list[str]) -> Seen:
    document = json.loads(EXAMPLE.read_text())
    seen = Seen({}, {}, 0.0)
    ends, turns = time.monotonic() + seconds, itertools.cycle(to)

    async def steadily() -> None:
        while (began := time.monotonic()) < ends:
            sent = await client.send(document, next(turns), type="information-request/1")
            seen.began[sent.digest], seen.at[sent.digest] = began, time.monotonic()

    await asyncio.gather(*(steadily() for _ in range(tasks)))
    return seen


async def receive(client: Client, seconds: float) -> Seen:
    seen = Seen({}, {}, 0.0)
    ends = time.monotonic() + seconds

    async def steadily() -> None:
        async for message in client.inbox(follow=True):
            async with message:
                pass
            seen.at[message.digest] = time.monotonic()

    task = asyncio.create_task(steadily())
    count = -1
    while time.monotonic() < ends or len(seen.at) != count:
        count = len(seen.at)
        await asyncio.sleep(2.0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return seen


async def work(arguments: list[str]) -> Seen:
    profile, what, seconds, *more = arguments
    async with Client(config.load(None, {}, {"VALIJA_CONFIG": profile})) as client:
        print("ready", file=sys.stderr, flush=True)
        if what == "send":
            return await send(client, float(seconds), int(more[0]), more[1:])
        return await receive(client, float(seconds))


if __name__ == "__main__":
    found = asyncio.run(work(sys.argv[1:]))
    found.cpu = time.process_time()
    sys.stdout.buffer.write(msgspec.msgpack.encode(found))
