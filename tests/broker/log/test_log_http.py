"""What a member sees of the log: proofs that verify, tiles that lead to the root. SPEC.md sections 3.3 and 5.3."""

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from harness import Peer, publish, refused
from sandbox import Sandbox

from valija_broker import config
from valija_broker.keys import Keys
from valija_broker.log.opening import open_ledger
from valija_broker.log.retain import Retention
from valija_broker.log.view import LogView
from valija_schemas import api, leaf, limits, merkle, tiles
from valija_schemas import checkpoint as checkpoints
from valija_schemas import note as notes
from valija_schemas.checkpoint import Policy
from valija_schemas.tiles import Bundle


def verified(peer, raw):
    return checkpoints.verify_checkpoint(raw, Policy.of_root(peer.origin, peer.exchange.roots.newest))


def proved(peer, feed):
    """The checkpoint of a page, once every event on it is proved."""
    found = verified(peer, feed.checkpoint)
    assert found.post_quantum
    for event in feed.events:
        hash_ = merkle.leaf_hash(leaf.of_event(event.salt, event.event))
        merkle.verify_inclusion(hash_, event.index, found.size, event.proof, found.root)
    return found


def fsck(sandbox):
    found = sandbox.command("log", "fsck")
    return found.returncode, found.stdout + found.stderr


async def wait_for(peer, count):
    """The whole feed on one page, once it has `count` events."""
    async with asyncio.timeout(30):
        while True:
            found = await peer.page(0)
            if len(found.events) >= count:
                return found
            await asyncio.sleep(0.02)


async def test_each_event_of_a_feed_is_proved_by_the_checkpoint_of_its_page(fresh):
    sender, recipient = fresh(), fresh()
    await asyncio.gather(*(sender.accepted(sender.message(recipient)) for _ in range(20)))
    await recipient.done(*await recipient.lease())
    first = proved(sender, await wait_for(sender, 60))
    message = sender.message(recipient)
    accepted = await sender.accepted(message)
    page = await wait_for(sender, 61)
    second = proved(sender, page)
    assert [event.number for event in page.events] == list(range(1, len(page.events) + 1))
    one = api.read_feed((await sender.request("GET", f"/v1/evidence/{accepted.message}")).body)
    proved(sender, one)
    answer = await sender.request("GET", f"/v1/log/consistency?old={first.size}&new={second.size}")
    proof = api.read_consistency(answer.body)
    merkle.verify_consistency(first.size, first.root, second.size, second.root, proof)
    newest = await sender.request("GET", "/v1/log/checkpoint")
    assert newest.headers["Content-Type"].startswith("text/plain")
    assert verified(sender, newest.body).size >= second.size


async def test_the_tiles_and_the_entries_lead_to_the_root(fresh):
    sender, recipient = fresh(), fresh()
    await asyncio.gather(*(sender.accepted(sender.message(recipient)) for _ in range(64)))
    found = proved(sender, await wait_for(sender, 64))

    async def get(name):
        answer = await sender.request("GET", f"/v1/log/{name.path}")
        if answer.status == 404:  # it gave way to the full one
            answer = await sender.request("GET", f"/v1/log/{name.path.partition('.p/')[0]}")
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "application/octet-stream"
        return answer.body

    held = {tile: await get(tile) for tile in tiles.tiles_made(0, found.size)}
    assert tiles.root(found.size, lambda tile: held[tile][: tile.width * 32]) == found.root
    entries = []
    for bundle in tiles.bundles_made(0, found.size):
        entries += tiles.decode_bundle(await get(Bundle(bundle.index, bundle.width)), bundle.width)
    made = tiles.grow(0, [merkle.leaf_hash(entry) for entry in entries], lambda _: b"")
    assert all(made[tile] == data[: tile.width * 32] for tile, data in held.items())
    versions = [entry for entry in entries if entry[:1] == leaf.DIRECTORY]
    assert leaf.of_directory(sender.exchange.phonebook.digest) in versions


async def test_every_root_and_directory_version_and_every_leaf_is_shown_in_any_published_tree(fresh):
    sender, recipient = fresh(), fresh()
    await publish(sender.sandbox, lambda before: before)
    await sender.accepted(sender.message(recipient))
    published = (*sender.exchange.root_raws, *sender.exchange.directory_raws)
    digests = [notes.parse(raw, limits.directory_bytes_max).digest for raw in published]
    async with asyncio.timeout(10):
        while True:  # the newest version becomes a leaf within a second
            found = proved(sender, await wait_for(sender, 1))
            target = f"/v1/log/inclusion?size={found.size}&version={digests[-1]}"
            if (await sender.request("GET", target)).status == 200:
                break
            await asyncio.sleep(0.05)
    places = {}
    for digest in digests:
        answer = await sender.request("GET", f"/v1/log/inclusion?size={found.size}&version={digest}")
        assert answer.status == 200, answer
        place = places[digest] = api.read_inclusion(answer.body)
        hash_ = merkle.leaf_hash(leaf.of_directory(digest))
        merkle.verify_inclusion(hash_, place.index, found.size, place.proof, found.root)
        by_index = await sender.request("GET", f"/v1/log/inclusion?size={found.size}&index={place.index}")
        assert api.read_inclusion(by_index.body) == place
    assert len({place.index for place in places.values()}) == len(digests)
    directories = [places[digest].index for digest in digests[len(sender.exchange.root_raws) :]]
    assert directories == sorted(directories)
    # A tree from before the newest version does not have it.
    early = directories[-1]
    refused(await sender.request("GET", f"/v1/log/inclusion?size={early}&version={digests[-1]}"), "not-found")


async def test_every_smaller_tree_is_proved_whether_or_not_it_was_published(fresh):
    """A checkpoint covers several leaves. Whoever asks for a tree between two of them hears the truth, not a fault."""
    sender, recipient = fresh(), fresh()
    await sender.batch([sender.message(recipient) for _ in range(12)])
    page = await wait_for(sender, 12)
    found = proved(sender, page)
    for event in page.events:
        size = event.index + 1  # the tree that ends with this leaf
        answer = await sender.request("GET", f"/v1/log/inclusion?size={size}&index={event.index}")
        root = merkle.leaf_hash(leaf.of_event(event.salt, event.event))
        for left in api.read_inclusion(answer.body).proof:
            root = merkle.node_hash(left, root)
        answer = await sender.request("GET", f"/v1/log/consistency?old={size}&new={found.size}")
        merkle.verify_consistency(size, root, found.size, found.root, api.read_consistency(answer.body))
        if size > 1:
            answer = await sender.request("GET", f"/v1/log/consistency?old={size - 1}&new={size}")
            assert answer.status == 200


@pytest.mark.parametrize(
    "target",
    ["tile/0/999", "tile/0/0", "tile/x", "tile/0/000/checkpoint", "tile/64/000",
     "consistency?old=1&new=99999999", "consistency?old=2&new=1", "inclusion?size=1&index=1",
     "inclusion?size=99999999&index=0", f"inclusion?size=1&version={'ab' * 32}", "inclusion?size=1&version=x",
     "inclusion"],
)  # fmt: skip
async def test_what_the_log_does_not_have_is_not_found(fresh, target):
    refused(await fresh().request("GET", f"/v1/log/{target}"), "not-found")


@pytest.mark.parametrize("target", ["checkpoint", "consistency?old=0&new=0", "inclusion?size=1&index=0", "tile/0/000"])
async def test_the_log_is_for_members(fresh, target):
    refused(await fresh().send("GET", f"/v1/log/{target}"), "not-signed")


@pytest.mark.parametrize(
    "path", ["tile/../checkpoint", "../evidence.sqlite", "checkpoint", "/etc/passwd", "tile/0/.000.new"]
)
def test_nothing_but_tiles_can_be_named(tmp_path, path):
    with pytest.raises(tiles.TileError):
        LogView(tmp_path).file(path)


async def test_numbers_that_are_none_are_malformed(fresh):
    refused(await fresh().request("GET", "/v1/log/consistency?old=-1&new=x"), "malformed")


@pytest.mark.faults
async def test_an_erased_event_keeps_its_number_in_the_feed_and_the_log_goes_on(tmp_path):
    sandbox = Sandbox(tmp_path / "x")
    sandbox.start()
    try:
        settings = config.load(sandbox.config_path)
        async with Peer(sandbox, "mx.enlace") as sender, Peer(sandbox, "ca.liaison") as recipient:
            old = await sender.accepted(sender.message(recipient))
            await recipient.done(*await recipient.lease())
            await wait_for(sender, 3)
            # As upkeep does, a minute later. The running upkeep finds that somebody else wrote, and ends; the next one
            # publishes what is there.
            with contextlib.closing(open_ledger(settings, Keys.load(settings.keys_path))) as ledger:
                now = time.time_ns() // 1_000_000 + 60_000
                step = Retention(ledger, settings.exchange.origin).erase(before=now, now=now, reason="a test")
                assert step.erased == 3
                size = ledger.state.size
            await sender.accepted(sender.message(recipient))
            page = await wait_for(sender, 4)
            assert verified(sender, page.checkpoint).size > size
            assert [event.number for event in page.events] == [1, 2, 3, 4]
            assert [bool(event.event or event.salt) for event in page.events] == [False, False, False, True]
            refused(await sender.request("GET", f"/v1/evidence/{old.message}"), "not-found")
        status, text = await asyncio.to_thread(fsck, sandbox)
        assert (status, ", 3 without opening" in text) == (0, True), text
    finally:
        sandbox.stop()


async def test_upkeep_killed_at_random_under_load_leaves_a_whole_log(tmp_path):
    sandbox = Sandbox(tmp_path / "x")
    sandbox.start()
    try:
        a, b = [point.id for point in sandbox.exchange.phonebook.directory.contact_points if point.status == "active"][
            :2
        ]
        source, accepted, heads, killed = random.Random(3), [], [], 0
        async with Peer(sandbox, a) as sender, Peer(sandbox, b) as recipient:
            ends = time.monotonic() + 5

            async def send():
                while time.monotonic() < ends:
                    accepted.append((await sender.accepted(sender.message(recipient))).message)
                    if (page := await sender.page(max(0, len(accepted) - 5))).checkpoint:
                        heads.append(proved(sender, page))

            async def kill():
                nonlocal killed
                while time.monotonic() < ends:
                    await asyncio.sleep(source.uniform(0.5, 1.5))
                    for pid in sandbox.processes()["upkeep"]:
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGKILL)
                            killed += 1

            async with asyncio.TaskGroup() as tasks:
                for _ in range(3):
                    tasks.create_task(send())
                tasks.create_task(kill())
            assert killed >= 2
            seen, after = [], 0
            async with asyncio.timeout(30):
                while len(seen) < len(accepted):
                    page = await sender.page(after, 1000)
                    last = proved(sender, page)
                    seen += [api_event.event for api_event in page.events]
                    after += len(page.events)
            assert len(seen) == len(accepted)
            for head in random.Random(4).sample(heads, 20):
                answer = await sender.request("GET", f"/v1/log/consistency?old={head.size}&new={last.size}")
                proof = api.read_consistency(answer.body)
                merkle.verify_consistency(head.size, head.root, last.size, last.root, proof)
        assert fsck(sandbox)[0] == 0, fsck(sandbox)
        async with asyncio.timeout(20):  # the supervisor waits longer after each end
            while sandbox.get("/readyz")[0] != 200:
                await asyncio.sleep(0.1)
        upkeep = [sys.executable, "-m", "valija_broker.upkeep", str(sandbox.config_path)]
        second = await asyncio.to_thread(subprocess.run, upkeep, capture_output=True, text=True, check=False)
        assert second.returncode == 1
        assert "another upkeep" in second.stderr
    finally:
        sandbox.stop()
    assert fsck(sandbox)[0] == 0
    tile = next(path for path in sorted((sandbox.data / "log/tile/0").rglob("*")) if path.is_file())
    tile.unlink()
    status, text = fsck(sandbox)
    assert status == 1
    assert f"{tile.relative_to(sandbox.data / 'log')} is missing" in text
