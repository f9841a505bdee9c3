"""The trust store: it verifies from the anchor, never goes back, and every crash leaves a state that loads."""

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from valija import durable
from valija.errors import (
    DirectoryConflictError,
    DirectoryExpiredError,
    DirectoryInvalidError,
    DirectoryRollbackError,
    NotInstalledError,
    TrustError,
)
from valija.registry import core
from valija.registry.sample import sample_exchange
from valija.trust import TrustStore
from valija_schemas import limits
from valija_schemas import note as notes
from valija_schemas.directory import DIRECTORY, Officer, note_text

replace = msgspec.structs.replace
now = 1_795_500_000_000
points = (("mx.enlace", "MX", "law-enforcement"), ("ca.liaison", "CA", "law-enforcement"))


@pytest.fixture
def exchange():
    return sample_exchange(points=points, suspended=(), now_ms=now)


@pytest.fixture
def opened(exchange, tmp_path):
    """Opens the store of this test: again and again, as after a crash."""

    def again():
        return TrustStore(tmp_path / "trust", exchange.origin, exchange.root_digest)

    return again


def filled(store, exchange):
    for raw in exchange.root_raws:
        store.add_root(raw)
    for raw in exchange.directory_raws:
        store.add_directory(raw)
    return store


def new_officers():
    made = []
    for name in ("d", "e"):
        signer = notes.Ed25519Signer(f"exchange.example/officer.{name}", Ed25519PrivateKey.generate())
        made.append((signer, Officer(id=f"officer.{name}", organisation=f"New {name}", key=signer.public.hex())))
    return [signer for signer, _ in made], tuple(officer for _, officer in made)


def rival(exchange, version, signers=None, **changes):
    """Another directory `version`, on the same version before, signed in earnest."""
    changes = {"routes": ()} | changes
    directory = replace(exchange.phonebooks[version - 1].directory, **changes)
    return notes.sign(note_text(DIRECTORY, exchange.origin, directory), signers or exchange.officers[:2])


def replace_officers(exchange):
    """Root 2, whose officers are others; the directories held so far are not theirs."""
    signers, officers = new_officers()
    raw = exchange.next_root(lambda root: replace(root, officers=officers), officers=[*exchange.officers[:2], *signers])
    return signers, raw


def files(store):
    return {path.name: path.read_bytes() for path in store.folder.iterdir() if path.is_file()}


def test_what_was_added_is_there_after_a_restart(exchange, opened):
    exchange.next_directory(lambda book: replace(book, routes=()))
    exchange.next_root()
    exchange.next_directory()
    filled(opened(), exchange)
    store = opened()
    assert (store.root_version, store.directory_version, store.first_wanted) == (2, 3, 4)
    assert store.phonebook.reference == exchange.phonebook.reference
    assert [store.version(number).digest for number in (1, 2, 3)] == [book.digest for book in exchange.phonebooks]
    assert store.version(0) is store.version(4) is None
    assert store.version(1).point("mx.enlace") == exchange.phonebook.point("mx.enlace")


def test_an_empty_store_says_what_to_do(opened):
    store = opened()
    for look in ("roots", "phonebook"):
        with pytest.raises(NotInstalledError) as caught:
            getattr(store, look)
        assert "digest" in caught.value.hint
    assert (store.root_version, store.directory_version, store.first_wanted) == (0, 0, 1)
    with pytest.raises(NotInstalledError):
        store.add_directory(sample_exchange(points=points).directory_raws[0])


def test_nothing_but_the_anchor_is_believed_first(exchange, opened):
    other = sample_exchange(points=points, now_ms=now)
    with pytest.raises(DirectoryInvalidError, match="digest"):
        opened().add_root(other.root_raw)
    filled(opened(), exchange)
    with pytest.raises(DirectoryInvalidError):
        TrustStore(opened().folder, exchange.origin, other.root_digest)
    with pytest.raises(DirectoryInvalidError):
        TrustStore(opened().folder, "other.example", exchange.root_digest)


def test_adding_the_newest_again_changes_nothing(exchange, opened):
    store = filled(opened(), exchange)
    before = files(store)
    assert store.add_directory(exchange.directory_raws[0]).version == 1
    assert store.add_root(exchange.root_raw).newest.version == 1
    assert files(store) == before


def test_an_older_version_is_refused(exchange, opened):
    exchange.next_directory()
    store = filled(opened(), exchange)
    before = files(store)
    for raw in (exchange.directory_raws[0], rival(exchange, 1)):
        with pytest.raises(DirectoryRollbackError):
            store.add_directory(raw)
    assert files(store) == before
    assert opened().directory_version == 2


def test_another_directory_of_the_same_version_is_an_incident(exchange, opened):
    store = filled(opened(), exchange)
    with pytest.raises(DirectoryConflictError) as caught:
        store.add_directory(rival(exchange, 1))
    assert "incident" in caught.value.hint
    assert store.phonebook.digest == exchange.phonebook.digest


def test_another_root_of_the_same_version_is_an_incident(exchange, opened):
    exchange.next_root()
    store = filled(opened(), exchange)
    other = replace(exchange.root, expires=exchange.root.expires - 1)
    raw = notes.sign(core.root_text(exchange.origin, other), exchange.officers[:2])
    with pytest.raises(DirectoryConflictError):
        store.add_root(raw)
    assert store.add_root(exchange.root_raw).newest.version == 2  # an old one that is held


def test_skipped_versions_and_roots_are_refused(exchange, opened):
    exchange.next_directory()
    exchange.next_directory()
    exchange.next_root()
    exchange.next_root()
    store = opened()
    store.add_root(exchange.root_raws[0])
    with pytest.raises(DirectoryInvalidError):
        store.add_root(exchange.root_raws[2])
    store.add_directory(exchange.directory_raws[0])
    with pytest.raises(DirectoryInvalidError):
        store.add_directory(exchange.directory_raws[2])


def test_nothing_is_written_before_every_check_has_passed(exchange, opened):
    exchange.next_directory()
    store = opened()
    store.add_root(exchange.root_raw)
    store.add_directory(exchange.directory_raws[0])
    before = files(store)
    good = exchange.directory_raws[1]
    bad = [
        good[: good.rindex("— ".encode())],  # one signature
        good.replace(b'"version":2', b'"version":3', 1),
        good.replace(b"exchange.example\n", b"other.example\n", 1),
        good[:-10],
        good + b"x",
        b"",
        b"[" * 100_000,
        b"valija/directory/v1 exchange.example\n" + b"[" * 100_000 + b"\n\n",
        exchange.root_raw,
        exchange.freshness(),
    ]
    for raw in bad:
        with pytest.raises(TrustError):
            store.add_directory(raw)
        with pytest.raises(TrustError):
            store.add_root(raw + b"x")
        with pytest.raises(TrustError):
            store.set_freshness(raw + b"x", now)
    assert files(store) == before
    assert store.add_directory(good).version == 2


def test_a_disk_that_fails_leaves_the_older_state(exchange, opened, monkeypatch):
    exchange.next_directory()
    store = opened()
    store.add_root(exchange.root_raw)
    store.add_directory(exchange.directory_raws[0])
    with monkeypatch.context() as patch:
        patch.setattr(durable, "write", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "No space left")))
        with pytest.raises(TrustError, match="No space left"):
            store.add_directory(exchange.directory_raws[1])
    assert (store.directory_version, opened().directory_version) == (1, 1)
    assert store.add_directory(exchange.directory_raws[1]).version == 2


def test_two_processes_that_add_one_version_agree(exchange, opened):
    exchange.next_directory()
    one, two = filled(opened(), exchange), None
    two = opened()
    raw = exchange.next_directory()
    one.add_directory(raw)
    assert two.add_directory(raw).version == one.directory_version == opened().directory_version


def test_a_damaged_store_does_not_open(exchange, opened):
    exchange.next_directory()
    exchange.next_directory()
    folder = filled(opened(), exchange).folder
    whole = (folder / "directory.2.note").read_bytes()
    for damaged in (
        whole.replace(b"law-enforcement", b"administrative", 1),
        whole[:-5],
        b"",
        exchange.directory_raws[0],
    ):
        (folder / "directory.2.note").write_bytes(damaged)
        with pytest.raises(DirectoryInvalidError, match=r"directory\.2\.note"):
            opened()
    (folder / "directory.2.note").unlink()
    with pytest.raises(DirectoryInvalidError, match=r"and not directory\.2\.note") as caught:
        opened()
    assert "Restore" in caught.value.hint
    (folder / "directory.2.note").write_bytes(whole)
    (folder / ".tmp-0011").write_bytes(b"left by a crash")
    assert opened().directory_version == 3


def test_a_file_that_changes_under_an_open_store_is_noticed(exchange, opened):
    exchange.next_directory()
    store = filled(opened(), exchange)
    (store.folder / "directory.1.note").write_bytes(rival(exchange, 1))
    with pytest.raises(DirectoryInvalidError, match="changed since"):
        store.version(1)


def test_sending_needs_a_current_directory_and_freshness(exchange, opened):
    store = filled(opened(), exchange)
    with pytest.raises(DirectoryExpiredError, match="has not said"):
        store.require_current(now)
    store.set_freshness(exchange.freshness(), now)
    assert opened().require_current(now).version == 1
    day = limits.freshness_lifetime_max_ms
    with pytest.raises(DirectoryExpiredError, match="has not said"):  # a frozen mirror
        store.require_current(now + day)
    late = exchange.phonebook.directory.expires
    store.set_freshness(exchange.freshness(now_ms=late), late)
    with pytest.raises(DirectoryExpiredError, match="expired"):
        store.require_current(late)
    assert opened().phonebook.point("mx.enlace")  # reading goes on


def test_a_newer_version_that_is_known_to_exist_stops_sending_until_it_is_here(exchange, opened):
    store = filled(opened(), exchange)
    raw = exchange.next_directory()
    store.set_freshness(exchange.freshness(), now)
    with pytest.raises(DirectoryExpiredError, match="version 2 is the newest"):
        store.require_current(now)
    store.add_directory(raw)
    assert store.require_current(now).version == 2


def test_freshness_that_goes_back_is_refused(exchange, opened):
    old = exchange.freshness()
    exchange.next_directory()
    store = filled(opened(), exchange)
    with pytest.raises(DirectoryRollbackError):
        store.set_freshness(old, now)
    ahead = opened()
    exchange.next_directory()
    ahead.set_freshness(exchange.freshness(), now)
    exchange.phonebooks.pop()
    with pytest.raises(DirectoryRollbackError, match="before"):
        ahead.set_freshness(exchange.freshness(now_ms=now + 1), now + 1)


def test_freshness_that_names_another_directory_is_an_incident(exchange, opened):
    store = filled(opened(), exchange)
    exchange.phonebooks[0] = type(exchange.phonebook)(exchange.phonebook.directory, "0" * 64, b"")
    with pytest.raises(DirectoryConflictError):
        store.set_freshness(exchange.freshness(), now)


def test_freshness_by_a_wrong_key_or_expired_is_refused(exchange, opened):
    store = filled(opened(), exchange)
    text = notes.parse(exchange.freshness()).text
    with pytest.raises(DirectoryInvalidError):
        store.set_freshness(notes.sign(text, [exchange.broker_keys.evidence_signer]), now)
    with pytest.raises(DirectoryInvalidError, match="expired"):
        store.set_freshness(exchange.freshness(), now + limits.freshness_lifetime_max_ms)


def test_a_client_twenty_roots_behind_catches_up(exchange, opened):
    store = filled(opened(), exchange)
    for _ in range(20):
        exchange.next_root()
        exchange.next_directory()
    for raw in exchange.root_raws[1:]:
        store.add_root(raw)
    for raw in exchange.directory_raws[1:]:
        store.add_directory(raw)
    store.set_freshness(exchange.freshness(), now)
    assert opened().require_current(now).reference == exchange.phonebook.reference


def test_a_root_that_keeps_its_officers_lets_the_directory_stand(exchange, opened):
    exchange.next_root()
    store = filled(opened(), exchange)
    store.set_freshness(exchange.freshness(), now)
    assert store.require_current(now).version == 1
    with pytest.raises(DirectoryConflictError):
        store.add_directory(rival(exchange, 1))


def test_replaced_officers_may_sign_the_held_directory_as_it_is(exchange, opened):
    store = filled(opened(), exchange)
    signers, root = replace_officers(exchange)
    store.add_root(root)
    store.set_freshness(exchange.freshness(), now)
    with pytest.raises(DirectoryExpiredError, match="signed by 0"):
        store.require_current(now)
    assert store.first_wanted == 1
    raw = core.sign_note(core.sign_note(exchange.directory_raws[0], signers[0]), signers[1])
    store.add_directory(raw)
    for one in (store, opened()):
        assert one.require_current(now).digest == exchange.phonebook.digest
        assert one.first_wanted == 2


def test_new_officers_may_replace_what_stolen_keys_signed_and_nobody_else_may(exchange, opened):
    exchange.next_directory()  # version 2 is honest; 3 and 4 are what a thief of two officers' keys made
    honest = exchange.phonebook
    exchange.next_directory(lambda book: replace(book, contact_points=()))
    exchange.next_directory()
    store = filled(opened(), exchange)
    signers, root = replace_officers(exchange)
    cure = core.next_directory(
        honest, exchange.root, honest.directory.contact_points, honest.directory.routes, now, origin=exchange.origin
    )
    raw = notes.sign(cure, signers)
    with pytest.raises(TrustError):
        store.add_directory(raw)  # before the root is known
    store.add_root(root)
    with pytest.raises(DirectoryConflictError):
        store.add_directory(rival(exchange, 4))  # the thief goes on
    assert store.add_directory(raw).version == 3
    for one in (store, opened()):
        assert (one.directory_version, one.first_wanted) == (3, 4)
        assert one.phonebook.point("mx.enlace") is not None
        assert one.version(2).digest == honest.digest
        with pytest.raises(DirectoryConflictError):
            one.add_directory(exchange.directory_raws[2])
    kept = sorted(path.name.split(".")[1] for path in (store.folder / "replaced").iterdir())
    assert kept == ["3", "4"]


def test_a_crash_while_versions_give_way_leaves_a_state_that_loads_and_goes_on(exchange, opened, monkeypatch):
    exchange.next_directory()
    exchange.next_directory()
    store = filled(opened(), exchange)
    signers, root = replace_officers(exchange)
    store.add_root(root)
    raw = notes.sign(core.next_directory(None, exchange.root, (), (), now, origin=exchange.origin), signers)
    real, calls = durable.sync_folder, []

    def crash(folder):
        calls.append(folder)
        if len(calls) == crash_at:
            raise KeyboardInterrupt
        real(folder)

    monkeypatch.setattr(durable, "sync_folder", crash)
    crash_at, done = 0, False
    while not done:
        crash_at += 1
        calls.clear()
        again = opened()
        assert 1 <= again.directory_version <= 3
        try:
            done = again.add_directory(raw).version == 1 and len(calls) < crash_at
        except KeyboardInterrupt:
            with pytest.raises(DirectoryExpiredError):
                opened().require_current(now)
    assert crash_at > 2
    assert opened().phonebook.directory.contact_points == ()


def test_a_start_verifies_each_version_once(exchange, opened, monkeypatch):
    for _ in range(50):
        exchange.next_directory()
    exchange.publish(opened().folder)
    verified, verify = [], TrustStore._verified

    def counted(self, raw, *rest):
        verified.append(raw)
        return verify(self, raw, *rest)

    monkeypatch.setattr(TrustStore, "_verified", counted)
    store = opened()
    assert verified == exchange.directory_raws
    assert store.version(20).digest == exchange.phonebooks[19].digest


def test_freshness_of_an_older_root_is_refused_and_of_a_newer_one_stops_sending(exchange, opened):
    before = exchange.freshness()
    store = filled(opened(), exchange)
    root = exchange.next_root()
    store.set_freshness(exchange.freshness(), now)
    with pytest.raises(DirectoryExpiredError):
        store.require_current(now)
    store.add_root(root)
    assert store.require_current(now).version == 1
    with pytest.raises(DirectoryRollbackError, match="root 1"):
        opened().set_freshness(before, now)


def test_an_earlier_freshness_note_does_not_shorten_a_later_one(exchange, opened):
    store = filled(opened(), exchange)
    early, late = exchange.freshness(), exchange.freshness(now_ms=now + 5)
    store.set_freshness(late, now + 5)
    store.set_freshness(early, now + 5)
    assert (store.folder / "freshness.note").read_bytes() == late
    assert store.freshness.issued == now + 5


def test_a_copy_with_fewer_signatures_does_not_take_the_place_of_a_backed_one(exchange, opened):
    store = filled(opened(), exchange)
    signers, root = replace_officers(exchange)
    store.add_root(root)
    backed = core.sign_note(core.sign_note(exchange.directory_raws[0], signers[0]), signers[1])
    store.add_directory(backed)
    store.add_directory(exchange.directory_raws[0])
    store.add_directory(core.sign_note(backed, exchange.officers[2]))
    assert (store.folder / "directory.1.note").read_bytes() == backed
