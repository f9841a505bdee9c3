"""Mail between real clients while processes of the broker are killed at random, and what must hold after it."""

import asyncio
import collections
import contextlib
import os
import random
import signal
from collections.abc import Iterable
from pathlib import Path

from demo import load_profile, write_profiles
from flow import Flow
from sandbox import Sandbox

from valija import Client
from valija.registry.sample import sample_exchange

SENDERS = 8
KINDS = ("worker", "worker", "upkeep", "valkey", "supervisor")


class Run:
    """What one run did."""

    def __init__(self) -> None:
        self.flow = Flow()
        self.killed: collections.Counter[str] = collections.Counter()


async def kill_while_mail_flows(folder: Path, numbers: Iterable[int], dice: random.Random) -> Run:
    """Send a message for each of `numbers`, and read them, while SIGKILL falls; return once all are read and proved."""
    sandbox = Sandbox(
        folder, sample_exchange(suspended=()), more="[quotas]\nlease_ms = 2000\nsubmit_per_minute_max = 1000000\n"
    )
    write_profiles(sandbox)
    sandbox.start()
    run, left = Run(), iter(numbers)
    try:
        async with (
            Client(load_profile(sandbox, "mx.enlace")) as mexico,
            Client(load_profile(sandbox, "ca.liaison")) as canada,
            Client(load_profile(sandbox, "co.enlace")) as colombia,
        ):
            readers = [asyncio.create_task(run.flow.read(reader)) for reader in (canada, colombia)]
            over = asyncio.Event()
            hurting = asyncio.create_task(_hurt(sandbox, run, dice, over))
            await asyncio.gather(*(run.flow.send(mexico, left) for _ in range(SENDERS)))
            over.set()
            await hurting  # to its end: a kill that nobody waits for would come later, and nobody would start it again
            async with asyncio.timeout(60):
                await run.flow.until(lambda: not run.flow.accepted - run.flow.handled.keys())
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)
            await _all_proved(mexico, run.flow.accepted)
        for words in (("log", "fsck"), ("reconcile",)):
            found = await asyncio.to_thread(sandbox.command, *words)
            assert found.returncode == 0, (words, found.stdout, found.stderr)
    finally:
        sandbox.stop()
    return run


async def _hurt(sandbox: Sandbox, run: Run, dice: random.Random, over: asyncio.Event) -> None:
    while True:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), dice.uniform(0.2, 1.2))
            return
        kind = dice.choice(KINDS)
        if kind == "supervisor":
            await asyncio.to_thread(sandbox.kill)
            await asyncio.to_thread(sandbox.start)
        else:
            for pid in sandbox.processes()[kind][:1]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        run.killed[kind] += 1


async def _all_proved(sender: Client, accepted: set[str]) -> None:
    """Wait until acceptance and receipt of each message are proved; an alarm is a failure."""
    parts, waiting = sender._open, set(accepted)
    feed = parts.outbox.feed
    async with asyncio.timeout(120 + len(waiting) / 20):  # some four events of each are still to be verified
        while waiting:
            before = feed.position()
            await parts.tracking.refresh()
            if feed.position() > before:
                continue  # there may be more
            for digest in list(waiting):
                assert not parts.outbox.alarms.about(digest), digest
                proved = {event.event for event in feed.of(digest) if event.proof is not None}
                if proved >= {"SubmissionAcceptance", "ConsignmentAcceptance"}:
                    waiting.discard(digest)
            await asyncio.sleep(0.1)
