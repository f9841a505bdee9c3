"""What officers change while mail is under way, over a real broker: officers, keys of contact points, and their end."""

import asyncio

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from demo import load_profile, write_profiles
from harness import Peer, now_ms
from promises import example
from sandbox import Sandbox

from valija import Client, enrol
from valija.errors import RefusedError
from valija.registry import admission, entries, history
from valija.registry.sample import SampleExchange, sample_exchange
from valija_schemas import api, changes, limits
from valija_schemas import note as notes
from valija_schemas.directory import ContactPoint, Officer

MX, CA = "mx.enlace", "ca.liaison"
REQUEST = "information-request/1"
OVERLAP_MS = entries.overlap_days_default * limits.DAY_MS
replace = msgspec.structs.replace


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    found = Sandbox(tmp_path_factory.mktemp("registry") / "x", sample_exchange(suspended=()), workers=1)
    write_profiles(found)
    found.start()
    yield found
    assert found.stop() == 0


async def publish(world: Sandbox, points: tuple[ContactPoint, ...] | None = None) -> None:
    """Sign the version that follows, with `points`, and wait until the broker knows it."""
    exchange = world.exchange
    exchange.next_directory(lambda book: replace(book, contact_points=points or book.contact_points), now_ms=now_ms())
    world.publish()
    async with asyncio.timeout(20), Peer(world, "co.enlace") as peer:  # its keys stay as they are
        while await newest(peer) < exchange.phonebook.version:
            await asyncio.sleep(0.05)


async def newest(peer: Peer) -> int:
    answer = await peer.request("GET", "/v1/directory")
    return msgspec.msgpack.decode(answer.body, type=api.Newest).directory


def points(world: Sandbox) -> tuple[ContactPoint, ...]:
    return world.exchange.phonebook.directory.contact_points


def replace_an_officer(exchange: SampleExchange, number: int) -> None:
    """The next root: one officer of three goes and another comes; those of both roots sign."""
    comes = notes.Ed25519Signer(f"{exchange.origin}/officer.n{number}", Ed25519PrivateKey.generate())
    organisation = exchange.root.officers[0].organisation
    entry = Officer(id=f"officer.n{number}", organisation=organisation, key=comes.public.hex())
    before = [*exchange.officers]
    exchange.officers[:] = [*before[1:], comes]
    exchange.next_root(
        lambda root: replace(root, issued=now_ms(), officers=(*root.officers[1:], entry)), officers=[*before, comes]
    )


async def read(client: Client) -> list[str]:
    """The digests of all that waits, delivered and acknowledged."""
    found = []
    async for message in client.inbox():
        async with message:
            found.append(message.digest)
    return found


async def test_a_client_twenty_roots_behind_follows_them_one_by_one_and_reads_its_old_mail(world, tmp_path):
    exchange = world.exchange
    first = {officer.key for officer in exchange.root.officers}
    async with Client(load_profile(world, CA)) as canada:
        assert await read(canada) == []
    async with Client(load_profile(world, MX)) as mexico:
        old = await mexico.send(example("information-request"), CA, type=REQUEST)
    for number in range(20):
        replace_an_officer(exchange, number)
    assert not first & {officer.key for officer in exchange.root.officers}, "nobody is left of the first officers"
    await publish(world)
    async with Client(load_profile(world, MX)) as mexico:
        new = await mexico.send(example("information-request"), CA, type=REQUEST)
    async with Client(load_profile(world, CA)) as canada:
        assert await read(canada) == [old.digest, new.digest]
        assert (await canada.directory()).directory.root == 21
    published = history.read_folder(world.data / "directory")
    assert {each.result for each in history.judge(published, exchange.root_digest, now_ms())} == {"holds", "unchecked"}


async def test_a_rotation_loses_no_mail_and_a_revocation_ends_all_of_it_at_once(world):
    exchange = world.exchange
    old = {id_: exchange.keyrings[id_] for id_ in (MX, CA)}
    new = {id_: ring.rotate() for id_, ring in old.items()}
    async with Client(load_profile(world, MX), keys=new[MX]) as mexico:
        under_way = [await mexico.send(example("information-request"), CA, type=REQUEST)]
        # Drafted now, and published only after the next message.
        changed = points(world)
        for id_, ring in new.items():
            changed = rotated(exchange, changed, id_, ring)
        under_way.append(await mexico.send(example("information-request"), CA, type=REQUEST))
        await publish(world, changed)
        exchange.keyrings.update(new)
        async with Client(load_profile(world, CA), keys=new[CA]) as canada:
            assert await read(canada) == [sent.digest for sent in under_way], "sealed to the old key, by the old one"
        after = await mexico.send(example("information-request"), CA, type=REQUEST)
    async with Client(load_profile(world, CA), keys=new[CA]) as canada:
        assert await read(canada) == [after.digest]

    async with Client(load_profile(world, MX), keys=new[MX]) as mexico:
        await mexico.send(example("information-request"), CA, type=REQUEST)  # taken, and not yet fetched
        held = entries.find(points(world), MX)
        every = [key.key for _, key in changes.keys_of(held)]
        await publish(world, entries.with_revoked(points(world), MX, every, now_ms()))
        async with Client(load_profile(world, CA), keys=new[CA]) as canada:
            assert await read(canada) == [], "whatever its `sent` says"
        with pytest.raises(RefusedError, match="unverified"):
            await mexico.send(example("information-request"), CA, type=REQUEST)


def rotated(exchange, held, id_, ring):
    """The entries with other keys for a contact point, as officers draft them: asked for, proved, admitted."""
    point = entries.find(held, id_)
    first = enrol.make_request(
        exchange.keyrings[id_], name=point.name, area=point.area, state=point.state, now_ms=exchange.now_ms
    )
    books = [book.directory for book in exchange.phonebooks]
    seen = admission.Seen(exchange.origin, [exchange.root], books, [admission.read(first, exchange.origin)])
    raw = enrol.make_request(
        ring, name=point.name, area=point.area, state=point.state, previous=enrol.request_digest(first)
    )
    kept = admission.check(raw, seen)
    challenge, expected = admission.make_challenge(kept.request)
    admission.check_answer(enrol.answer_challenge(challenge, ring), expected)
    return entries.with_request(held, kept.request, now_ms() + OVERLAP_MS)
