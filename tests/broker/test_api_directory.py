"""The directory as a broker hands it out, and what it does not believe, whoever puts it there. SPEC.md section 4."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from harness import DAY_MS, Peer, change_point, known_everywhere, now_ms, publish, refused
from sandbox import Sandbox
from structlog.testing import capture_logs

from valija.registry import core
from valija.registry.sample import sample_exchange
from valija_broker.directory import Known, publish_folder
from valija_broker.shelves import DirectoryShelf, Heads
from valija_schemas import api, directory, limits
from valija_schemas import note as notes


async def fetch(peer: Peer, path: str) -> bytes:
    answer = await peer.request("GET", f"/v1/directory{path}")
    assert answer.status == 200, answer
    assert answer.headers["Content-Type"] == (api.NOTE_TYPE if path else api.MSGPACK_TYPE)
    return answer.body


async def newest(peer: Peer) -> api.Newest:
    return msgspec.msgpack.decode(await fetch(peer, ""), type=api.Newest)


async def test_a_newcomer_verifies_everything_from_the_digest_of_the_first_root(fresh):
    peer = fresh()
    await publish(peer.sandbox, lambda before: before)
    where = await newest(peer)
    roots = directory.Roots.first(await fetch(peer, "/roots/1"), peer.origin, peer.exchange.root_digest)
    for number in range(2, where.root + 1):
        roots = roots.extend(await fetch(peer, f"/roots/{number}"))
    book = None
    for number in range(1, where.directory + 1):
        book = directory.read_directory(await fetch(peer, f"/versions/{number}"), roots, book)
    assert book.reference == (where.directory, where.digest)
    directory.require_current(book, roots, now_ms())
    deadline = time.monotonic() + 30
    while True:
        freshness = directory.read_freshness(await fetch(peer, "/freshness"), roots, now_ms())
        if freshness.version == book.version or time.monotonic() > deadline:
            break
        await asyncio.sleep(0.1)
    assert (freshness.version, freshness.digest, freshness.root) == (book.version, book.digest, where.root)
    assert abs(freshness.issued - now_ms()) < limits.HOUR_MS


async def test_notes_are_handed_out_as_the_officers_signed_them(fresh):
    peer = fresh()
    for number, raw in enumerate(peer.exchange.directory_raws[:3], start=1):
        assert await fetch(peer, f"/versions/{number}") == raw
    assert await fetch(peer, "/roots/1") == peer.exchange.root_raw


async def test_the_limits_that_a_broker_names_are_those_that_it_keeps(fresh):
    answer = await fresh().request("GET", "/v1/limits")
    found = msgspec.msgpack.decode(answer.body, type=api.Limits)
    assert found.message_bytes_max == limits.message_bytes_max
    assert (found.submit_messages_max, found.submit_bytes_max) == (api.batch_messages_max, api.batch_bytes_max)
    assert abs(found.time - now_ms()) < 5_000


@pytest.mark.parametrize("number", ["0", "999999", "-1", "01", "x", "1.0", "99999999999999999999"])
async def test_a_version_that_does_not_exist_is_not_found(fresh, number):
    peer = fresh()
    for kind in ("roots", "versions"):
        refused(await peer.request("GET", f"/v1/directory/{kind}/{number}"), "not-found")


class Shelf:
    """What a store holds in which somebody writes who should not."""

    def __init__(self, roots: list[bytes], directories: list[bytes]) -> None:
        self.roots, self.directories = roots, directories

    async def heads(self) -> Heads:
        return Heads(root=len(self.roots), directory=len(self.directories))

    async def root(self, number: int) -> bytes:
        return self.roots[number - 1]

    async def directory(self, number: int) -> bytes:
        return self.directories[number - 1]


async def test_no_note_becomes_the_directory_but_the_next_one_signed_by_the_officers(store, tmp_path):
    """Neither as a file in the folder, nor written into the store behind the broker's back."""
    exchange = sample_exchange(now_ms=now_ms() - 20 * DAY_MS)
    root = exchange.root
    points, routes = exchange.phonebook.directory.contact_points, exchange.phonebook.directory.routes
    made = core.next_directory(exchange.phonebook, root, points, routes, now_ms(), origin=exchange.origin)
    value = core.read_draft(core.unsigned(made)).value

    def text(**changes):
        return directory.note_text(directory.DIRECTORY, exchange.origin, msgspec.structs.replace(value, **changes))

    two = exchange.officers[:2]
    stranger = notes.Ed25519Signer(exchange.officers[2].name, Ed25519PrivateKey.generate())
    again = notes.Ed25519Signer(exchange.officers[1].name, two[0]._key)
    forged = {
        "garbage": bytes(1_000),
        "empty": b"",
        "signed by one": notes.sign(text(), two[:1]),
        "signed by one, twice": notes.sign(text(), [two[0], two[0]]),
        "signed by one under two names": notes.sign(text(), [two[0], again]),
        "signed by one and a stranger under an officer's name": notes.sign(text(), [two[0], stranger]),
        "signed by the operators": notes.sign(text(), exchange.operators),
        "signed by one and the broker": notes.sign(text(), [exchange.broker_keys.evidence_signer, two[0]]),
        "another version": notes.sign(text(version=3), two),
        "on another history": notes.sign(text(previous="00" * 32), two),
        "under a root that is not known": notes.sign(text(root=2), two),
        "made out for too long": notes.sign(text(expires=now_ms() + 90 * DAY_MS), two),
        "a contact point twice": notes.sign(text(contact_points=(points[0], points[0])), two),
        "a reserved name": notes.sign(text(contact_points=(msgspec.structs.replace(points[0], id="broker"),)), two),
        "of another exchange": notes.sign(notes.text(directory.DIRECTORY, "x.example", text().split(b"\n")[1]), two),
        "of another kind": notes.sign(notes.text(directory.FRESHNESS, exchange.origin, text().split(b"\n")[1]), two),
        "the version before": exchange.directory_raws[0],
        "the root": exchange.root_raw,
        "altered": notes.sign(text(), two).replace(b'"active"', b'"suspended"', 1),
        "followed by more": notes.sign(text(), two) + b"x",
        "too large": notes.sign(text(), two) + bytes(limits.directory_bytes_max),
    }
    new = msgspec.structs.replace(root, version=2, officers=root.officers[:2])
    roots = {
        "signed by one": notes.sign(core.root_text(exchange.origin, new), two[:1]),
        "signed by its own officers alone": notes.sign(
            core.root_text(exchange.origin, msgspec.structs.replace(new, officers=tuple(
                msgspec.structs.replace(officer, key=other.public.hex())
                for officer, other in zip(root.officers[:2], [stranger, exchange.operators[0]], strict=True)
            ), operators=())), [stranger, exchange.operators[0]],
        ),
        "version 3": notes.sign(core.root_text(exchange.origin, msgspec.structs.replace(new, version=3)), two),
        "version 1": exchange.root_raw,
    }  # fmt: skip
    folder = tmp_path / "directory"
    exchange.publish(folder)
    shelf = DirectoryShelf(store)
    known = Known(exchange.origin, exchange.root_digest, shelf)
    await publish_folder(folder, known, shelf)
    assert known.reference == exchange.phonebook.reference

    for why, raw in [*forged.items(), *roots.items()]:
        name = "root.2.note" if raw in roots.values() and raw is roots.get(why) else "directory.2.note"
        with capture_logs() as logs:
            (folder / name).write_bytes(raw)
            await publish_folder(folder, known, shelf)
            (folder / name).unlink()
        heads = await shelf.heads()
        assert (heads.root, heads.directory) == (1, 1), why
        assert [line["event"] for line in logs] == ["directory_file_refused"], why
        written = Shelf([*exchange.root_raws], [*exchange.directory_raws])
        reader = Known(exchange.origin, exchange.root_digest, written)
        assert await reader.refresh()
        (written.roots if name.startswith("root") else written.directories).append(raw)
        with capture_logs() as logs:
            await reader.refresh()
        assert (reader.roots.newest.version, reader.reference) == (1, exchange.phonebook.reference), why
        assert [line["event"] for line in logs] == ["directory_not_believed"], why

    exchange.next_directory(now_ms=now_ms())
    exchange.publish(folder)
    await publish_folder(folder, known, shelf)
    assert known.reference == exchange.phonebook.reference, "and the real one, at the same place, is taken"


async def test_another_first_root_is_never_believed(store, tmp_path):
    """Whoever replaces the whole folder, or the whole store, with an exchange of its own, convinces nobody."""
    exchange, imposter = sample_exchange(), sample_exchange()
    imposter.publish(tmp_path / "directory")
    shelf = DirectoryShelf(store)
    known = Known(exchange.origin, exchange.root_digest, shelf)
    with capture_logs():
        await publish_folder(tmp_path / "directory", known, shelf)
        assert not known.has_root
        await shelf.publish_root(1, imposter.root_raw)
        await shelf.publish_directory(1, imposter.directory_raws[0])
        await known.refresh()
    assert not known.has_root
    assert not known.ready


# A broker of its own


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> Iterator[Sandbox]:
    exchange = sample_exchange(now_ms=now_ms() - 20 * DAY_MS, suspended=())
    found = Sandbox(tmp_path_factory.mktemp("own") / "x", exchange)
    found.start()
    yield found
    found.stop()


async def test_a_running_broker_passes_over_a_file_that_does_not_follow_until_the_right_one_is_there(own):
    async with Peer(own, "mx.enlace") as peer:
        version = own.exchange.phonebook.version
        (own.data / "directory" / f"directory.{version + 1}.note").write_bytes(own.exchange.directory_raws[-1])
        deadline = time.monotonic() + 30
        while not any(line.get("event") == "directory_file_refused" for line in own.log()):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        assert (await newest(peer)).directory == version
        refused(await peer.request("GET", f"/v1/directory/versions/{version + 1}"), "not-found")
        await publish(own, change_point("co.enlace", name="Another name"))
        assert (await newest(peer)).directory == version + 1


async def test_a_new_root_changes_who_may_sign_and_the_evidence_stays_provable(own):
    exchange = own.exchange
    async with Peer(own, "mx.enlace") as sender, Peer(own, "pe.enlace") as recipient:
        before = await sender.submit(sender.message(recipient))
        await publish(own, lambda directory_: directory_)
        exchange.next_root(
            lambda root: msgspec.structs.replace(root, issued=now_ms(), expires=now_ms() + 300 * DAY_MS),
            officers=exchange.officers,
        )
        await publish(own, lambda directory_: directory_)
        where = await newest(sender)
        assert (where.root, where.directory) == (2, exchange.phonebook.version)
        roots = directory.Roots.first(await fetch(sender, "/roots/1"), sender.origin, exchange.root_digest)
        roots = roots.extend(await fetch(sender, "/roots/2"))
        assert sender.verify(before.body).event == "SubmissionAcceptance"
        event = await sender.accepted(sender.message(recipient))
        assert event.directory == (where.directory, where.digest)


async def test_an_expired_directory_stops_sending_and_never_reading(own):
    async with Peer(own, "mx.enlace") as sender, Peer(own, "ca.liaison") as recipient:
        # Made out for one day, of which three seconds are left.
        own.exchange.next_directory(now_ms=now_ms() - DAY_MS + 3_000, days=1)
        own.publish()
        version = own.exchange.phonebook.version
        await known_everywhere(own, version)
        data = sender.message(recipient)
        first = await sender.submit(data)
        assert first.status == 202
        await asyncio.sleep(max(0.0, (own.exchange.phonebook.directory.expires - now_ms()) / 1000) + 0.1)
        found = refused(await sender.submit(sender.message(recipient)), "directory-expired")
        assert found.evidence is None
        (result,) = await sender.batch([sender.message(recipient)])
        assert result.status == found.status
        assert (await sender.submit(data)).body == first.body, "what was accepted stays accepted"
        (lent,) = await recipient.lease()
        assert await recipient.done(lent) == ["done"]
        assert (await newest(recipient)).directory == version
        await publish(own, lambda directory_: directory_)
        assert (await sender.submit(sender.message(recipient))).status == 202


async def test_a_suspension_published_while_upkeep_is_dead_reaches_everybody_when_it_lives_again(own):
    async with Peer(own, "mx.enlace") as sender, Peer(own, "co.enlace") as recipient:
        await sender.accepted(sender.message(recipient))
        (lent,) = await recipient.lease()
        (upkeep,) = own.processes()["upkeep"]
        os.kill(upkeep, signal.SIGKILL)
        await publish(own, change_point(recipient.id, status="suspended"))
        refused(await recipient.ask_lease(), "suspended")
        refused(await sender.submit(sender.message(recipient)), "suspended")
        await publish(own, change_point(recipient.id, status="active"))
        (again,) = await recipient.lease(instance="two", wait_ms=3_000)
        assert (again.message, again.attempt) == (lent.message, 1), "the time under suspension counted for nothing"
