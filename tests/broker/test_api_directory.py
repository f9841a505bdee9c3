"""The directory as the broker hands it out: what the officers signed, byte for byte, and soon in every worker."""

import asyncio

import pytest
from harness import change_point, known_everywhere, now_ms, publish, refused

from valija.trust import TrustStore
from valija_schemas import api, limits
from valija_schemas.directory import read_freshness


async def get(peer, target):
    answer = await peer.request("GET", target)
    assert answer.status == 200, answer
    return answer.body


async def test_a_stranger_to_the_files_verifies_every_version_from_the_anchor_on(fresh, tmp_path):
    peer = fresh()
    newest = api.Decoder(api.Newest)(await get(peer, "/v1/directory"))
    store = TrustStore(tmp_path, peer.origin, peer.exchange.root_digest)
    for number in range(1, newest.root + 1):
        store.add_root(await get(peer, f"/v1/directory/roots/{number}"))
    for number in range(1, newest.directory + 1):
        store.add_directory(await get(peer, f"/v1/directory/versions/{number}"))
    assert store.phonebook.reference == (newest.directory, newest.digest)
    freshness = read_freshness(await get(peer, "/v1/directory/freshness"), store.roots, now_ms())
    assert (freshness.version, freshness.digest) == store.phonebook.reference


async def test_a_published_version_is_soon_in_every_worker(fresh):
    peer = fresh()
    version = await publish(peer.sandbox, change_point(peer.id, name="Another name"))
    seconds = await known_everywhere(peer.sandbox, version)
    print(f"in every worker after {seconds:.2f} s")
    newest = api.Decoder(api.Newest)(await get(peer, "/v1/directory"))
    assert newest.directory == version


@pytest.mark.parametrize("number", ["0", "999999", "-1", "01", "x", "1.0", "99999999999999999999"])
async def test_a_version_that_does_not_exist_is_not_found(fresh, number):
    peer = fresh()
    for kind in ("roots", "versions"):
        refused(await peer.request("GET", f"/v1/directory/{kind}/{number}"), "not-found")


async def test_a_note_that_does_not_follow_is_not_published(fresh):
    peer = fresh()
    folder = peer.sandbox.data / "directory"
    version = peer.exchange.phonebook.version
    bad = folder / f"directory.{version + 1}.note"
    bad.write_bytes(peer.exchange.directory_raws[-1])  # the version before, under the next one's name
    try:
        await asyncio.sleep(1.2)  # more than one look into the folder
        assert api.Decoder(api.Newest)(await get(peer, "/v1/directory")).directory == version
        assert any(line.get("event") == "directory_file_refused" for line in peer.sandbox.log())
    finally:
        bad.unlink()


async def test_the_limits_are_those_that_are_kept(fresh):
    peer = fresh()
    found = api.Decoder(api.Limits)(await get(peer, "/v1/limits"))
    assert abs(found.time - now_ms()) < 10_000
    assert found.message_bytes_max == limits.message_bytes_max
    assert (found.submit_messages_max, found.attempts_max) == (api.batch_messages_max, 10)
