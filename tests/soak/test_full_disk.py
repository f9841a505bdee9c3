"""A disk that is really full, under each thing that is written: a small file system of its own is mounted and filled.

Root mounts it; where nobody may mount, this fails as for a missing tool. `make test` has the same faults by a limit of
the kernel on the size of files (tests/full_disk.py), which works everywhere, and is not the same word: EFBIG.
"""

import asyncio
import contextlib
import shutil
import subprocess
import time

import pytest
from demo import load_profile, write_profiles
from harness import Peer
from promises import example
from sandbox import Sandbox

from valija import Client, StateError
from valija.registry.sample import sample_exchange
from valija_schemas import api

MIB = 1 << 20
TYPE = "information-request/1"
ROOMY = 300 * MIB  #: Below 256 MiB nothing is accepted: a disk of the data folder or the store must begin with more.
UPKEEP, STORE = "child_ended", "the embedded server ended"
PLACES = {  # what is full -> the folder of the data that the small disk is mounted on, its size, and who ends by it
    "tiles and checkpoint": ("log", 2 * MIB, {UPKEEP}),
    "spool of orders": ("orders", MIB // 4, set()),
    "append-only file": ("valkey", ROOMY, {STORE}),
    "evidence and its write-ahead log": (".", ROOMY, {UPKEEP}),  # the store has a disk of its own
    "everything": (".", ROOMY, {STORE}),
}


def small_disk(path, size):
    """A file system of `size` bytes at `path`, gone again at the end."""
    return mounted(path, "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs")


@contextlib.contextmanager
def mounted(path, *what):
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        subprocess.run(["mount", *what, str(path)], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        detail = getattr(error, "stderr", b"").decode().strip()
        pytest.fail(f"this test must mount a file system of its own, and may not here: {error} {detail}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(path)], check=True)


def fill(path):
    """Take all that is left; remove the file to have room again."""
    filler = path / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 65_536)
    with contextlib.suppress(OSError), filler.open("ab", buffering=0) as file:
        while True:
            file.write(b"\0" * 512)
    assert shutil.disk_usage(path).free < 4_096
    return filler


async def until(what, within_s=90):
    deadline = time.monotonic() + within_s
    while not await what():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("place", PLACES)
async def test_a_broker_on_a_full_disk_loses_nothing_that_was_accepted_and_goes_on(tmp_path, figure, place):
    folder, size, ends = PLACES[place]
    sandbox = Sandbox(tmp_path / "x", sample_exchange(suspended=()), workers=1)
    path = sandbox.data / folder
    if path.exists():
        shutil.copytree(path, tmp_path / "kept")
    with contextlib.ExitStack() as disks:
        disks.enter_context(small_disk(path, size))
        if (tmp_path / "kept").exists():
            shutil.copytree(tmp_path / "kept", path, dirs_exist_ok=True)
        if folder == "." and STORE not in ends:
            (tmp_path / "apart").mkdir(mode=0o700)
            disks.enter_context(mounted(path / "valkey", "--bind", str(tmp_path / "apart")))
        sandbox.start()
        try:
            await mail_while_it_is_full(sandbox, path, ends, figure)
        finally:
            sandbox.stop()


async def mail_while_it_is_full(sandbox, path, ends, figure):
    async with Peer(sandbox, "mx.enlace") as sender, Peer(sandbox, "ca.liaison") as recipient:
        accepted, answers = [], {}
        at_first = [sender.message(recipient) for _ in range(5)]
        for message in at_first:
            await until(lambda message=message: taken(sender, message, accepted, answers))
        lent = await recipient.lease(limit=2)
        filler = fill(path)
        waiting = [sender.message(recipient) for _ in range(40)]
        for message in waiting:  # as many as find no room, and a receipt, which is always welcome
            await taken(sender, message, accepted, answers)
        receipts = [api.Acknowledgement(token=one.token, receipt=recipient.receipt(one)) for one in lent]

        async def all_met_it():  # what drains goes on, and writes
            answer = await recipient.post("/v1/leases/acknowledge", receipts)
            assert answer.status in {200, 503}
            await recipient.post("/v1/leases/extend", api.Extension(tokens=[one.token for one in lent]))
            return ends <= {line.get("event") for line in sandbox.log()}

        await until(all_met_it)
        order = tmp_order(sandbox, path)
        before = list(accepted)
        figure("answers while it was full", dict(answers))
        filler.unlink()
        if order is not None:
            assert "refused" in (await asyncio.to_thread(sandbox.command, "order", "submit", str(order))).stdout
        for message in waiting:
            if message not in before:
                await until(lambda message=message: taken(sender, message, accepted, answers))
        found = [one.message for one in lent]
        while len(found) < len(accepted):
            part = await recipient.lease(wait_ms=5_000)
            found += [one.message for one in part if one.message not in found]
            await recipient.done(*part)
        await recipient.done(*lent)
        assert sorted(found) == sorted(at_first + waiting) == sorted(accepted)
        assert {status for status, _ in answers} <= {202, 503}
        assert {code for status, code in answers if status == 503} <= {"full", "unavailable"}
        assert len(await sender.feed(3 * len(accepted), within_s=60)) == 3 * len(accepted)
    for words in (("log", "fsck"), ("reconcile",)):
        report = await asyncio.to_thread(sandbox.command, *words)
        assert report.returncode == 0, (words, report.stdout, report.stderr)


def tmp_order(sandbox, path):
    """Where the spool is full: an order that found no room, to be handed in again."""
    if path.name != "orders":
        return None
    order = sandbox.folder / "an order"
    order.write_bytes(b"no order, and larger than nothing" * 200)
    found = sandbox.command("order", "submit", str(order))
    assert (found.returncode, "Run the same again" in found.stderr) == (75, True), found
    return order


async def taken(sender, message, accepted, answers):
    """Submit once; whether it was accepted."""
    answer = await sender.submit(message)
    answers[answer.outcome] = answers.get(answer.outcome, 0) + 1
    if answer.status == 202 and message not in accepted:
        accepted.append(message)
    return answer.status == 202


@pytest.mark.parametrize("full", ["sender", "recipient"])
async def test_a_client_on_a_full_disk_loses_nothing_and_hands_nothing_over_twice(tmp_path, figure, full):
    sandbox = Sandbox(tmp_path / "x", sample_exchange(suspended=()), workers=1)
    write_profiles(sandbox)
    sandbox.start()
    document = example("information-request")
    try:
        mexico, canada = load_profile(sandbox, "mx.enlace"), load_profile(sandbox, "ca.liaison")
        state = {"sender": mexico, "recipient": canada}[full].state_folder
        with small_disk(state, 2 * MIB):
            async with Client(mexico) as sender, Client(canada) as recipient:
                await sender.send(document, "ca.liaison", type=TYPE, key="first")
                filler = fill(state)
                told = 0
                for number in range(20):
                    try:
                        await sender.send(document, "ca.liaison", type=TYPE, key=f"{number}")
                    except StateError:
                        told += 1
                handled = []
                told += await read(recipient, handled)
                figure("told that the disk is full", told)
                assert told
            filler.unlink()
            async with Client(mexico) as sender, Client(canada) as recipient:
                sent = [await sender.send(document, "ca.liaison", type=TYPE, key=f"{n}") for n in range(20)]
                assert {one.state for one in sent} == {"accepted"}

                async def all_read():
                    await read(recipient, handled)
                    return len(set(handled)) == 21

                await until(all_read, within_s=180)
                assert len(handled) == 21, "each once"
        for words in (("log", "fsck"), ("reconcile",)):
            report = await asyncio.to_thread(sandbox.command, *words)
            assert report.returncode == 0, (words, report.stdout, report.stderr)
    finally:
        sandbox.stop()


async def read(recipient, handled):
    """Read all that there is; 1 when the disk took no more."""
    try:
        async for message in recipient.inbox():
            async with message:
                pass
            handled.append(message.digest)
    except StateError:
        return 1
    return 0
