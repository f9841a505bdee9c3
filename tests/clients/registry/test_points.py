"""What officers do to contact points and routes: other keys, an end of keys, suspension, withdrawal."""

import msgspec
import pytest

from valija import enrol, rotation
from valija.errors import RegistryError
from valija.keyring import Keyring
from valija.registry import core
from valija.registry.folder import Registry, read_file
from valija_schemas import changes, keys, limits, message
from valija_schemas.directory import DIRECTORY, Route, note_text

ORIGIN = "exchange.example"
NOW = 1_795_500_000_000
DAYS = limits.DAY_MS


def test_rotation_retires_the_old_keys_at_a_time_after_its_publication(running):
    old = running.keyrings["mx.enlace"]
    _, said = running.rotate("mx.enlace", old.rotate(["seal", "sign"]), "--overlap", "3")
    assert "~ mx.enlace: new seal key" in said
    assert "~ mx.enlace: sign key retired, end " in said
    assert "auth key" not in said
    point = running.drafted()["mx.enlace"]
    assert [key.status for key in point.sign] == [key.status for key in point.seal] == ["active", "retired"]
    assert [key.status for key in point.auth] == ["active"]
    issued = read_file(running.registry / "directory.2.draft").value.issued
    assert abs(point.sign[1].ended - issued - 3 * DAYS) < 10_000
    # Signed by the old key after the draft was made, and before anybody knew of the new one.
    assert message.key_holds(point.sign[1], issued + limits.HOUR_MS)
    assert not message.key_holds(point.sign[1], point.sign[1].ended)


def test_a_draft_that_waited_gives_the_keys_that_it_retires_more_time(running):
    running.rotate("mx.enlace", running.keyrings["mx.enlace"].rotate(), "--overlap", "1")
    registry, path = Registry(running.registry), running.registry / "directory.2.draft"
    later = core.now() + 2 * DAYS
    with pytest.raises(RegistryError, match=r"stale: a key of mx\.enlace that it retires has ended already"):
        registry.check(read_file(path), now_ms=later)
    registry.draft_directory(now_ms=later)
    registry.check(read_file(path), now_ms=later)
    assert {key.ended for key in running.drafted()["mx.enlace"].sign} == {None, later + 7 * DAYS}


def test_whoever_lost_everything_rotates_without_its_last_request_and_only_when_officers_say_so(running):
    other = Keyring.generate(ORIGIN, "mx.enlace")
    request = running.request("mx.enlace", other)
    assert "`rotate --lost`" in running.run("rotate", request, code=1)[1]
    running.run("rotate", "--lost", request, code=75)
    running.run("rotate", "--lost", request, "--answer", running.answer("mx.enlace"))
    point = running.drafted()["mx.enlace"]
    assert point.sign[0].key == other.sign.public.hex()


def test_what_an_agency_s_own_command_asks_for_is_what_the_officers_rotate(running):
    """Both sides keep a chain of requests: each follows from the newest whose keys the directory names."""
    first = (running.point / "mx.enlace.request").read_bytes()
    ring, at = running.keyrings["mx.enlace"].with_request(first), core.now()
    for version in (2, 3):
        point = Registry(running.registry).directory.contact_points[0]
        previous = rotation.newest_admitted(ring, point)
        running.keyrings["mx.enlace"] = ring = rotation.rotated(ring, point, previous, at)
        request = running.point / "again.request"
        request.write_bytes(ring.requests[-1])
        running.run("rotate", request, code=75)
        assert rotation.waiting(ring, point) is not None
        running.run("rotate", request, "--answer", running.answer("mx.enlace"))
        running.sign_and_publish(version, "b", "c")
        point = Registry(running.registry).directory.contact_points[0]
        assert rotation.waiting(ring, point) is None
        assert [key.status for key in point.seal] == ["active", *["retired"] * (version - 1)]
    lost = rotation.rotated(Keyring.generate(ORIGIN, "mx.enlace"), point, None, core.now())
    request.write_bytes(lost.requests[-1])
    running.run("rotate", request, code=1)
    running.run("rotate", "--lost", request, code=75)
    assert "HOLDS" in running.run("verify")[1]


def test_a_folder_that_does_not_keep_the_last_request_rotates_nobody_unasked(running):
    """A copy of nothing but the published notes knows no chain of requests, so it cannot tell an old one from a new."""
    for kept in (running.registry / "seen").iterdir():
        kept.unlink()
    grown = running.keyrings["mx.enlace"].rotate()
    last = enrol.request_digest((running.point / "mx.enlace.request").read_bytes())
    for previous in (None, last):
        request = running.request("mx.enlace", grown, previous=previous)
        assert "Copy `seen`" in running.run("rotate", request, code=1)[1]
        running.run("rotate", "--lost", request, code=75)


def test_a_request_in_a_draft_that_was_deleted_is_not_the_last_one(running):
    """What its contact point follows from is what the directory names; a draft that nobody published binds nobody."""
    old = running.keyrings["mx.enlace"]
    last = enrol.request_digest((running.point / "mx.enlace.request").read_bytes())
    running.rotate("mx.enlace", old.rotate(), previous=last)
    (running.registry / "directory.2.draft").unlink()
    other = old.rotate()
    running.rotate("mx.enlace", other, previous=last)
    assert running.drafted()["mx.enlace"].sign[0].key == other.sign.public.hex()
    running.admit("ca.liaison", state="CA")
    running.admit("ca.liaison", state="CA", ring=Keyring.generate(ORIGIN, "ca.liaison"))
    running.sign_and_publish(2)
    forgotten = running.request("mx.enlace", old.rotate(), previous=last)
    assert "does not follow" in running.run("rotate", forgotten, code=1)[1]


def test_keys_that_are_in_force_are_not_rotated_to_themselves(running):
    request = running.point / "mx.enlace.request"
    assert "has these keys already" in running.run("rotate", request, code=1)[1]


def test_admission_and_rotation_are_not_confused(running):
    assert "valija-registry rotate" in running.run("admit", running.request("mx.enlace"), code=1)[1]
    assert "valija-registry admit" in running.run("rotate", running.request("ca.liaison", state="CA"), code=1)[1]


def test_rotation_does_not_lift_a_suspension_and_resuming_does(running):
    running.run("suspend", "mx.enlace")
    running.rotate("mx.enlace", running.keyrings["mx.enlace"].rotate())
    assert running.drafted()["mx.enlace"].status == "suspended"
    assert "is suspended, and cannot become suspended" in running.run("suspend", "mx.enlace", code=1)[1]
    running.run("resume", "mx.enlace")
    assert running.drafted()["mx.enlace"].status == "active"
    assert "is active, and cannot become active" in running.run("resume", "mx.enlace", code=1)[1]


def test_a_fingerprint_is_taken_as_it_is_read_out(running):
    ring = running.keyrings["mx.enlace"]
    print_ = keys.fingerprint(ring.seal.recipient.to_bytes())
    assert f"seal           {print_}  active" in running.run("show", "--point", "mx.enlace")[0]
    assert "no key with this fingerprint" in running.run("retire", "mx.enlace", print_[:9], code=1)[1]
    assert "no contact point" in running.run("retire", "nobody", print_, code=1)[1]
    _, said = running.run("retire", "mx.enlace", *print_.upper().split())
    assert "mx.enlace has no seal key in force then: it needs `valija-registry rotate`" in said
    assert "could still be retired" in running.run("retire", "mx.enlace", print_, code=1)[1]
    running.run("revoke", "mx.enlace", print_.replace(" ", "\n"))
    assert running.drafted()["mx.enlace"].seal[0].status == "revoked"
    assert "could still be revoked" in running.run("revoke", "mx.enlace", print_, code=1)[1]


def test_a_stolen_keyring_is_revoked_whole_with_what_was_retired_before(running):
    running.rotate("mx.enlace", running.keyrings["mx.enlace"].rotate(["sign"]))
    running.run("revoke", "mx.enlace", code=2)
    running.run("revoke", "mx.enlace", "--all", "abcd", code=2)
    _, said = running.run("revoke", "mx.enlace", "--all")
    assert "no sign and no seal and no auth key in force then" in said
    point = running.drafted()["mx.enlace"]
    assert {key.status for _, key in changes.keys_of(point)} == {"revoked"}
    assert len(point.sign) == 2
    assert not any(message.key_holds(key, 0) for key in point.sign)


def test_who_withdraws_leaves_no_key_in_force_and_comes_back_with_new_ones_only(running):
    old = running.keyrings["mx.enlace"]
    running.run("withdraw", "mx.enlace")
    point = running.drafted()["mx.enlace"]
    assert (point.status, {key.status for _, key in changes.keys_of(point)}) == ("withdrawn", {"retired"})
    running.sign_and_publish(2)
    for again in ("withdraw", "suspend", "resume"):
        assert "valija-registry admit mx.enlace.request" in running.run(again, "mx.enlace", code=1)[1]
    last = enrol.request_digest((running.point / "mx.enlace.request").read_bytes())
    assert "retired or revoked before" in running.run("admit", running.request("mx.enlace", old), code=1)[1]
    assert (
        "valija-registry admit"
        in running.run("rotate", running.request("mx.enlace", old.rotate(), previous=last), code=1)[1]
    )
    running.admit("mx.enlace", ring=old.rotate(), previous=last)
    point = running.drafted()["mx.enlace"]
    assert (point.status, [key.status for key in point.sign]) == ("active", ["active", "retired"])


def test_routes_are_added_and_removed_area_by_area(running):
    assert "response/1: from" in running.run("route", "show")[0]
    running.run("route", "add", "person-alert/1", "--from", "political", "--to", "judicial", "--to", "political")
    assert (
        "allowed already"
        in running.run("route", "add", "person-alert/1", "--from", "political", "--to", "judicial", code=1)[1]
    )
    _, said = running.run("route", "remove", "response/1", "--from", "political", "--to", "judicial")
    assert "+ route person-alert/1: from political to judicial, political" in said
    assert "- route response/1: from political to judicial" in said
    assert "no such route" in running.run("route", "remove", "person-alert/2", code=1)[1]
    assert (
        "Write it with its version"
        in running.run("route", "add", "person-alert", "--from", "political", "--to", "judicial", code=1)[1]
    )
    running.run("route", "add", "x/1", "--from", "military", "--to", "judicial", code=2)
    assert "knows no type" in running.run("route", "add", "specimen/1", "--from", "political", "--to", "judicial")[1]
    running.run("route", "remove", "information-request/1")
    running.sign_and_publish(2)
    book = Registry(running.registry).store.phonebook
    assert Route(type="person-alert/1", sender="political", recipient="judicial") in book.directory.routes
    assert Route(type="response/1", sender="political", recipient="judicial") not in book.directory.routes
    assert "information-request/1" not in book.types


def test_no_file_on_an_officers_machine_takes_a_route_back(running):
    """Routes travel in what was signed: what was listed at the first root no longer speaks."""
    listed = running.registry / "routes.toml"
    assert not listed.exists()
    running.run("route", "remove", "person-alert/1")
    running.sign_and_publish(2)
    running.run("suspend", "mx.enlace")
    assert "person-alert" not in running.run("route", "show")[0]


def test_a_draft_is_signed_on_machines_that_hold_nothing_but_what_is_published(running, tmp_path):
    """Each officer's own folder has the published notes; the draft alone goes from one to the other."""
    running.run("suspend", "mx.enlace")
    draft = (running.registry / "directory.2.draft").read_bytes()
    for name in "ab":
        machine = tmp_path / name
        machine.mkdir()
        for note in running.watched.iterdir():
            (machine / note.name).write_bytes(note.read_bytes())
        (machine / "carried").write_bytes(draft)
        words = ("--registry", machine, "sign", machine / "carried", "--officer", running.officer_file(name), "--yes")
        _, said = running.run(*words, "--passphrase-file", running.passphrase)
        assert "~ mx.enlace: status 'active' becomes 'suspended'" in said
        draft = (machine / "carried").read_bytes()
    assert "valija-registry publish" in said
    running.publish(machine / "carried")
    assert Registry(running.registry).directory.contact_points[0].status == "suspended"


def test_a_draft_altered_between_two_signatures_is_signed_by_nobody_else(running):
    running.run("suspend", "mx.enlace")
    running.sign("directory.2.draft", "a")
    path = running.registry / "directory.2.draft"
    path.write_bytes(path.read_bytes().replace(b'"suspended"', b'"withdrawn"', 1))
    said = running.sign("directory.2.draft", "b", code=1)
    assert "Next: Make the draft again, and have it signed again." in said
    assert b"officer.b" not in path.read_bytes()
    running.publish(code=1)


def test_signing_twice_counts_once_and_is_said(running):
    running.run("suspend", "mx.enlace")
    running.sign("directory.2.draft", "a")
    before = (running.registry / "directory.2.draft").read_bytes()
    said = running.sign("directory.2.draft", "a")
    assert "officer.a has signed this before; nothing was changed" in said
    assert "carry" in said
    assert (running.registry / "directory.2.draft").read_bytes() == before


def test_an_officer_is_warned_before_signing_a_second_text_of_one_version(running):
    running.run("suspend", "mx.enlace")
    first = read_file(running.registry / "directory.2.draft").digest
    assert "CAREFUL" not in running.sign("directory.2.draft", "a")
    running.run("resume", "mx.enlace")
    said = running.sign("directory.2.draft", "a")
    assert "CAREFUL: officer.a signed another text of this version" in said
    assert first in keys.unblocked(said)
    assert "CAREFUL" not in running.sign("directory.2.draft", "b")


def test_an_officer_signs_nothing_that_is_stale_or_dated_ahead(running):
    registry = Registry(running.registry)
    value = registry.directory
    for shift, why in ((-31 * DAYS, "has expired"), (2 * DAYS, "a day ahead")):
        changed = msgspec.structs.replace(
            value, version=2, previous=registry.store.phonebook.digest,
            issued=value.issued + shift, expires=value.expires + shift,
        )  # fmt: skip
        file = running.registry / "other.draft"
        file.write_bytes(core.unsigned(note_text(DIRECTORY, ORIGIN, changed)))
        assert why in running.sign(file, "a", code=1)


def test_an_officer_signs_nothing_that_takes_a_revocation_back(running):
    running.run("revoke", "mx.enlace", "--all")
    running.sign_and_publish(2)
    registry = Registry(running.registry)
    (point,) = registry.directory.contact_points
    before = registry.store.phonebook
    for status, ended in (("active", None), ("retired", core.now() + 7 * DAYS)):
        key = msgspec.structs.replace(point.sign[0], status=status, ended=ended)
        points = (msgspec.structs.replace(point, sign=(key,)),)
        value = msgspec.structs.replace(before.directory, version=3, previous=before.digest, contact_points=points)
        file = running.registry / "other.draft"
        file.write_bytes(core.unsigned(note_text(DIRECTORY, ORIGIN, value)))
        assert "revoked before" in running.sign(file, "a", code=1)


def test_an_expired_directory_is_renewed_by_a_draft(running):
    registry = Registry(running.registry)
    later = registry.directory.expires + DAYS
    path = registry.draft_directory(now_ms=later)
    draft = read_file(path)
    registry.check(draft, now_ms=later)
    assert draft.value.expires == later + 30 * DAYS
    assert draft.value.contact_points == registry.directory.contact_points


def test_an_expired_root_is_renewed_by_the_same_officers(running):
    _, said = running.run("new-root")
    assert "It changes nothing but the dates." in said
    running.sign("root.2.draft", "a", "c")
    assert "`valija-registry draft` makes a directory under this root" in running.publish()[1]
    registry = Registry(running.registry)
    assert registry.root.version == 2
    assert registry.root.officers == registry.store.roots.version(1).officers


def test_the_broker_s_new_key_is_no_key_that_anybody_had(running):
    config = running.root_file(running.officers, name="next.toml")
    stolen = running.keyrings["mx.enlace"].auth.public.hex()
    broker = running.registry / "broker.toml"
    broker.write_text("\n".join(
        f'freshness = "{stolen}"' if line.startswith("freshness") else line
        for line in broker.read_text().splitlines()
    ))  # fmt: skip
    assert "as the auth key of mx.enlace" in running.run("new-root", config, code=1)[1]
    # Nor is it signed when another officer's tool drafted it.
    registry = Registry(running.registry)
    root = registry.root
    other = msgspec.structs.replace(
        root, version=2, broker=msgspec.structs.replace(root.broker, freshness=stolen)
    )  # fmt: skip
    file = running.registry / "other.draft"
    file.write_bytes(core.unsigned(core.root_text(ORIGIN, other)))
    assert "as the auth key of mx.enlace" in running.sign(file, "a", code=1)
