"""Whole lives: sealed, sent, lent, opened, acknowledged, by the client that agencies use."""

import asyncio
import sys

import demo
import msgspec
from harness import Peer
from sandbox import Sandbox

from bench import field
from bench.accepts import Costs, broker
from bench.agency import Seen
from bench.figures import Aim, Run, benchmark, percentile


@benchmark("life.clients")
async def clients(run: Run) -> None:
    """Real clients in four processes: two send the sample request, 16 at a time each, two receive and acknowledge.

    All of it on the same cores: clients, two workers, upkeep, Valkey. A life ends when the handler has ended.
    """
    seconds, costs, rates = 10.0 if run.long else 6.0, Costs(), []
    send50, send99, life50, life99, client = [], [], [], [], []
    for repetition in range(3 if run.long else 1):
        with broker(run.folder / f"x{repetition}", workers=2, points=4) as found:
            demo.write_profiles(found)
            await field.until_quiet(found)
            reading = field.Cpu(found)
            receivers = [start(found, who, "receive", seconds) for who in ("p0002", "p0003")]
            senders = [start(found, who, "send", seconds, 16, "p0002", "p0003") for who in ("p0000", "p0001")]
            sent = await asyncio.gather(*senders)
            handled = await asyncio.gather(*receivers)
            await field.until_quiet(found)
            began = {d: at for seen in sent for d, at in seen.began.items()}
            accepted = {d: at for seen in sent for d, at in seen.at.items()}
            ended = {d: at for seen in handled for d, at in seen.at.items()}
            if set(began) != set(ended):
                raise RuntimeError(f"{len(began)} were sent and {len(ended)} handled")
            lives = [ended[digest] - began[digest] for digest in began]
            sends = [accepted[digest] - began[digest] for digest in began]
            rates.append(len(lives) / (max(ended.values()) - min(began.values())))
            life50.append(percentile(lives, 0.5) * 1e3)
            life99.append(percentile(lives, 0.99) * 1e3)
            send50.append(percentile(sends, 0.5) * 1e3)
            send99.append(percentile(sends, 0.99) * 1e3)
            client.append(sum(seen.cpu for seen in (*sent, *handled)) / len(lives) * 1e6)
            costs.note(reading.read(), len(lives))
    run.add("lives", "a second", rates, Aim(">=", 1_800))
    run.add("send, p50", "ms", send50)
    run.add("send, p99", "ms", send99)
    run.add("from send to handled, p50", "ms", life50)
    run.add("from send to handled, p99", "ms", life99)
    run.add("CPU a life, all client processes with their start", "us", client)
    costs.add(run, "a life")


def start(found: Sandbox, who: str, *what: object) -> asyncio.Task[Seen]:
    return asyncio.create_task(_start(str(demo.profile_path(found, who)), *map(str, what)))


async def _start(*arguments: str) -> Seen:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.agency", *arguments, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    out, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"an agency's process ended with {process.returncode}")
    return msgspec.msgpack.decode(out, type=Seen)


@benchmark("life.broker")
async def by_batches(run: Run) -> None:
    """The broker's share of a life, 2 KiB: messages made before go in by 32, leases of 64 and receipts by 64 come out.

    One process plays both sides over 8 pairs of mailboxes; receipts are signed by it. Two workers.
    """
    count, costs, rates = 4_096 if run.long else 2_048, Costs(), []
    with broker(run.folder / "x", workers=2) as found:
        for _ in range(3):
            batch = field.messages(found, count)
            await field.until_quiet(found)
            reading = field.Cpu(found)
            began = asyncio.get_running_loop().time()
            await asyncio.gather(*(pair(found, batch, n) for n in range(8)))
            rates.append(count / (asyncio.get_running_loop().time() - began))
            await field.until_quiet(found)
            costs.note(reading.read(), count)
    run.add("lives", "a second", rates)
    costs.add(run, "a life")


async def pair(found: Sandbox, batch: field.Batch, n: int) -> None:
    """One sender and its recipient, as `field.messages` pairs them."""
    own = [data for data, who in zip(batch.messages, batch.senders, strict=True) if who == f"p{n:04}"]
    async with Peer(found, f"p{n:04}") as sender, Peer(found, f"p{8 + n:04}") as recipient:
        for at in range(0, len(own), 32):
            results = await sender.batch(own[at : at + 32])
            lent = await recipient.lease(limit=64)
            done = await recipient.done(*lent)
            if {r.status for r in results} != {202} or set(done) != {"done"}:
                raise RuntimeError("a message or a receipt was not taken")
