"""The officers' ceremony, run by the command: nothing is published that too few have signed."""

import json
import stat
import tomllib

import msgspec
import pytest

from valija.errors import RegistryError
from valija.registry import core
from valija.registry.folder import Registry, read_file
from valija.trust import TrustStore
from valija_schemas import keys, limits
from valija_schemas import note as notes
from valija_schemas.directory import DIRECTORY, ROOT, Key, Route, Threshold, note_text


def followed(ceremony):
    """What a client that got the digest of root 1 by telephone believes of the published folder."""
    note = notes.parse((ceremony.watched / "root.1.note").read_bytes(), limits.directory_bytes_max)
    return TrustStore(ceremony.watched, "exchange.example", note.digest)


def test_the_whole_ceremony_ends_in_a_folder_that_a_client_believes(ceremony):
    ceremony.admit("mx.enlace", state="MX")
    ceremony.admit("ca.liaison", state="CA")
    said = ceremony.sign("directory.1.draft", "a")
    assert "Missing: 1 more signature, of 1 other organisation" in said
    ceremony.publish(code=1)
    assert not (ceremony.watched / "directory.1.note").exists()
    assert "nothing: it can be published" in ceremony.sign("directory.1.draft", "c")
    stdout, _ = ceremony.publish()
    assert stdout == f"{ceremony.watched / 'directory.1.note'}\n"

    book = followed(ceremony).phonebook
    assert [point.id for point in book.directory.contact_points] == ["ca.liaison", "mx.enlace"]
    ring = ceremony.keyrings["mx.enlace"]
    assert book.point("mx.enlace").sign[0].key == ring.sign.public.hex()
    assert book.point("mx.enlace").seal_key.key_id == ring.seal.recipient.key_id
    assert Route(type="information-request/1", sender="law-enforcement", recipient="judicial") in book.directory.routes
    assert Route(type="response/1", sender="political", recipient="judicial") in book.directory.routes
    assert Route(type="person-alert/1", sender="administrative", recipient="judicial") not in book.directory.routes

    _, said = ceremony.run("suspend", "ca.liaison", "--days", "7")
    assert "~ ca.liaison: status 'active' becomes 'suspended'" in said
    ceremony.sign("directory.2.draft", "b", "c")
    ceremony.publish()
    book = followed(ceremony).phonebook
    assert (book.version, book.point("ca.liaison").status) == (2, "suspended")
    assert book.directory.expires - book.directory.issued == 7 * limits.DAY_MS
    assert sorted(path.name for path in ceremony.watched.iterdir()) == [
        "directory.1.note",
        "directory.2.note",
        "root.1.note",
    ]
    assert not list(ceremony.registry.glob("*.draft"))


def test_officers_each_make_a_sealed_keyring_that_nobody_else_reads(empty):
    line = tomllib.loads(empty.make_officer("a"))["officers"][0]
    assert (line["id"], line["organisation"]) == ("officer.a", "Registry of the South")
    data = empty.officer_file("a").read_bytes()
    assert data.startswith(b"age-encryption.org/v1\n-> scrypt ")
    assert stat.S_IMODE(empty.officer_file("a").stat().st_mode) & 0o077 == 0
    _, said = empty.run(
        *("officer", "a", "--organisation", "x", "--origin", "exchange.example"),
        *("--passphrase-file", empty.passphrase, "--work-factor", "2"),
        code=1,
    )
    assert "never written over" in said
    assert empty.officer_file("a").read_bytes() == data


def test_a_passphrase_is_asked_for_twice_and_never_shown(empty):
    words = ("officer", "a", "--organisation", "x", "--origin", "exchange.example", "--work-factor", "2")
    stdout, stderr = empty.run(*words, typed="one secret\none secret\n")
    assert "one secret" not in stdout + stderr
    assert stderr.count("assphrase") >= 2


def test_one_officer_alone_publishes_nothing(empty):
    officers = [empty.make_officer(name) for name in "abc"]
    empty.run("init", empty.root_file(officers))
    empty.publish(code=1)
    empty.sign("root.1.draft", "a", "a")  # the same officer twice is one officer
    _, said = empty.publish(code=1)
    assert "still needs 1 more signature, of 1 other organisation" in said
    assert not empty.watched.exists() or not list(empty.watched.iterdir())


def test_signing_shows_what_changes_and_asks(ceremony):
    ceremony.admit("mx.enlace")
    ring = ceremony.keyrings["mx.enlace"]
    words = ("sign", ceremony.registry / "directory.1.draft", "--officer", ceremony.officer_file("a"))
    before = (ceremony.registry / "directory.1.draft").read_bytes()
    stdout, said = ceremony.run(*words, typed="correct horse battery staple\nn\n", code=1)
    assert "+ contact point mx.enlace (MX, law-enforcement, active): Sample contact point of MX" in said
    assert keys.fingerprint(ring.seal.recipient.to_bytes()) in said
    assert "Sign this as officer.a? [y/N]" in said
    assert stdout == ""
    assert (ceremony.registry / "directory.1.draft").read_bytes() == before
    ceremony.run(*words, typed="correct horse battery staple\ny\n")
    assert len(read_file(ceremony.registry / "directory.1.draft").signatures) == 1


def test_copies_signed_on_two_machines_are_merged(ceremony, tmp_path):
    ceremony.admit("mx.enlace")
    draft = ceremony.registry / "directory.1.draft"
    copies = [tmp_path / "from-a", tmp_path / "from-b"]
    for copy, name in zip(copies, "ab", strict=True):
        copy.write_bytes(draft.read_bytes())
        ceremony.sign(copy, name)
    ceremony.publish(code=1)
    ceremony.publish(*copies)
    assert followed(ceremony).phonebook.version == 1


def test_a_change_to_a_draft_drops_the_signatures_under_it_and_says_so(ceremony):
    ceremony.admit("mx.enlace")
    ceremony.sign("directory.1.draft", "a", "b")
    _, said = ceremony.run("suspend", "mx.enlace")
    assert "exchange.example/officer.a, exchange.example/officer.b were given to the older draft" in said
    ceremony.publish(code=1)


def test_an_officer_never_signs_a_fork_or_a_gap(ceremony):
    ceremony.admit("mx.enlace")
    ceremony.sign("directory.1.draft", "a", "b")
    ceremony.publish()
    book = Registry(ceremony.registry).store.phonebook
    for version, previous in ((1, None), (2, "0" * 64), (3, book.digest)):
        other = msgspec.structs.replace(book.directory, version=version, previous=previous, routes=())
        file = ceremony.registry / "other.draft"
        file.write_bytes(core.unsigned(note_text(DIRECTORY, "exchange.example", other)))
        said = ceremony.sign(file, "c", code=1)
        assert "published in this folder" in said
        assert not read_file(file).signatures


def test_an_officer_never_signs_a_key_that_may_not_enter_whoever_drafted_it(ceremony, load_officer):
    ceremony.admit("mx.enlace")
    draft = read_file(ceremony.registry / "directory.1.draft")
    point = draft.value.contact_points[0]
    weak = Key(key="01" + "00" * 31, status="active", ended=None)
    stolen = Key(key=load_officer("b").officer.public.hex(), status="active", ended=None)
    for key, why in ((weak, "small order"), (stolen, "the officer key of officer.b")):
        changed = msgspec.structs.replace(point, auth=(key,))
        directory = msgspec.structs.replace(draft.value, contact_points=(changed,))
        file = ceremony.registry / "other.draft"
        file.write_bytes(core.unsigned(note_text(DIRECTORY, "exchange.example", directory)))
        assert why in ceremony.sign(file, "a", code=1)


def test_an_officer_never_signs_a_root_with_a_weak_key_or_one_that_cannot_work(ceremony):
    root = Registry(ceremony.registry).root
    weak = msgspec.structs.replace(root.officers[2], key="01" + "00" * 31)
    for changes, why in (
        ({"officers": (*root.officers[:2], weak)}, "small order"),
        ({"threshold": Threshold(keys=4, organisations=2)}, "never be met"),
    ):
        file = ceremony.registry / "other.draft"
        other = msgspec.structs.replace(root, version=2, **changes)
        file.write_bytes(core.unsigned(note_text(ROOT, "exchange.example", other)))
        assert why in ceremony.sign(file, "a", code=1)


def test_an_officer_never_signs_a_directory_that_verifiers_refuse(ceremony):
    ceremony.admit("mx.enlace")
    directory = read_file(ceremony.registry / "directory.1.draft").value
    for changes in ({"routes": directory.routes[::-1]}, {"expires": directory.expires + 1}):
        file = ceremony.registry / "other.draft"
        text = note_text(DIRECTORY, "exchange.example", msgspec.structs.replace(directory, **changes))
        file.write_bytes(core.unsigned(text))
        assert "this is no draft" in ceremony.sign(file, "a", code=1)


def test_files_of_another_exchange_are_not_worked_on(ceremony):
    ceremony.admit("mx.enlace")
    file = ceremony.registry / "other.draft"
    draft = (ceremony.registry / "directory.1.draft").read_bytes()
    file.write_bytes(draft.replace(b"exchange.example", b"other.example", 1))
    assert "belongs to the exchange other.example" in ceremony.sign(file, "a", code=1)
    config = ceremony.root_file(ceremony.officers, name="next.toml")
    config.write_text(config.read_text().replace("exchange.example", "other.example"))
    assert "this folder for exchange.example" in ceremony.run("new-root", config, code=1)[1]
    ceremony.run(
        *("officer", "z", "--organisation", "x", "--origin", "other.example"),
        *("--passphrase-file", ceremony.passphrase, "--work-factor", "2"),
    )
    assert "this keyring is for other.example" in ceremony.sign("directory.1.draft", "z", code=1)


def test_a_contact_points_key_never_becomes_an_officers(ceremony):
    ceremony.admit("mx.enlace")
    stolen = ceremony.keyrings["mx.enlace"].sign.public.hex()
    own = tomllib.loads(ceremony.officers[2])["officers"][0]["key"]
    config = ceremony.root_file([*ceremony.officers[:2], ceremony.officers[2].replace(own, stolen)], name="next.toml")
    assert "as the sign key of mx.enlace" in ceremony.run("new-root", config, code=1)[1]


def test_a_draft_that_changed_while_it_was_shown_is_not_signed(ceremony, load_officer):
    ceremony.admit("mx.enlace")
    registry, path = Registry(ceremony.registry), ceremony.registry / "directory.1.draft"
    shown = read_file(path)
    ceremony.run("suspend", "mx.enlace")
    with pytest.raises(RegistryError, match="changed while it was shown"):
        registry.add_signature(path, shown, load_officer("a").officer)
    with pytest.raises(RegistryError, match="texts differ"):
        core.merge([shown, read_file(path)])


def test_strangers_and_wrong_passphrases_sign_nothing(ceremony, tmp_path):
    ceremony.admit("mx.enlace")
    ceremony.make_officer("d")
    assert "is no officer of this root" in ceremony.sign("directory.1.draft", "d", code=1)
    ceremony.passphrase.write_text("wrong\n")
    assert "not sealed with this passphrase" in ceremony.sign("directory.1.draft", "a", code=1)
    ceremony.passphrase.write_text("\n")
    assert "first line" in ceremony.sign("directory.1.draft", "a", code=1)
    ceremony.passphrase.write_bytes(b"\xff\n")
    assert "in UTF-8" in ceremony.sign("directory.1.draft", "a", code=1)


def test_a_folder_that_cannot_be_written_is_named_with_what_to_do(running):
    _, said = running.run("publish", "--to", running.registry / "root.1.note" / "x", code=1)
    assert "cannot be used: Not a directory" in said


def test_officers_are_replaced_by_a_root_that_old_and_new_ones_sign(ceremony):
    ceremony.admit("mx.enlace")
    ceremony.sign("directory.1.draft", "a", "b")
    ceremony.publish()
    officers = [ceremony.make_officer(name) for name in "de"]
    config = ceremony.root_file(officers, name="next.toml")
    assert "Use new-root" in ceremony.run("init", config, code=1)[1]
    _, said = ceremony.run("new-root", config)
    assert "- officer.a (Registry of the South)" in said
    ceremony.sign("root.2.draft", "d", "e")
    assert "still needs 2 more signatures" in ceremony.publish(code=1)[1]
    ceremony.sign("root.2.draft", "a", "b")
    ceremony.publish()
    ceremony.run("draft")
    assert "no officer" in ceremony.sign("directory.2.draft", "a", code=1)
    ceremony.sign("directory.2.draft", "d", "e")
    ceremony.publish()
    store = followed(ceremony)
    assert (store.root_version, store.directory_version, store.phonebook.directory.root) == (2, 2, 2)


def test_a_draft_under_an_older_root_is_not_signed(ceremony):
    ceremony.admit("mx.enlace")
    ceremony.run("new-root", ceremony.root_file(ceremony.officers, name="next.toml"))
    ceremony.sign("root.2.draft", "a", "b")
    ceremony.publish(ceremony.registry / "root.2.draft")
    assert "root 2 is in force" in ceremony.sign("directory.1.draft", "a", code=1)
    ceremony.run("draft")
    ceremony.sign("directory.1.draft", "a", "b")
    ceremony.publish()
    assert followed(ceremony).phonebook.point("mx.enlace")


def test_the_first_routes_come_from_the_file_of_the_first_root(empty):
    officers = [empty.make_officer(name) for name in "abc"]
    row = '\n[[route]]\ntype = "consultation/1"\nsenders = ["political"]\nrecipients = ["political", "judicial"]\n'
    empty.run("init", empty.root_file([*officers, row]))
    empty.sign("root.1.draft", "a", "b")
    empty.publish()
    empty.run("draft")
    routes = [(route.sender, route.recipient) for route in Registry(empty.registry).routes()]
    assert routes == [("political", "judicial"), ("political", "political")]
    path = empty.registry / "routes.toml"
    (empty.registry / "directory.1.draft").unlink()
    path.write_text(path.read_text().replace("senders", "sender"))
    assert "unknown field" in empty.run("draft", code=1)[1]
    config = empty.root_file([*officers, row], name="next.toml")
    assert "`valija-registry route` changes them" in empty.run("new-root", config, code=1)[1]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("keys = 2", "keys = 4"), "asks for 4 officers who sign (`keys`) and lists 3"),
        (
            ("organisations = 2", "organisations = 4"),
            "asks for 4 organisations of officers (`organisations`) and lists 3",
        ),
        (("threshold =", "quorum = 1\nthreshold ="), "asks for 1 witnesses (`quorum`) and lists 0"),
        (("threshold =", "days = 731\nthreshold ="), "a root holds for 1 to 730 days"),
        (("keys = 2", "keys = 0"), "threshold, keys: this is less than 1"),
        (("keys = 2", "keys = 99"), "threshold, keys: this is more than 15"),
        (("keys = 2", 'keys = "two"'), "threshold, keys: this is text in quotes, and not a number"),
        (("exchange.example", "Exchange Example"), "origin: this is not a name of lower-case letters"),
        (("exchange.example", ""), "origin: this is not a name of lower-case letters"),
        (("[[officers]]", "[[officers]]\nquorum = 1"), "`quorum` stands under [[officers]] number 1"),
        (("\norganisation =", "\norganization ="), "under [[officers]] number 1; did you mean `organisation`?"),
        (('id = "officer.b"', ""), "`id` is missing in officers number 2"),
        (('key = "', 'key = "0'), "officers number 1, key: this is not a key: 64 lower-case hex digits"),
        (("[[officers]]", '[[route]]\ntype = "response/1"\nsenders = ["police"]\n[[officers]]'), "'police' is no area"),
        (("[[officers]]", '[[route]]\ntype = "response/1"\nsenders = []\n[[officers]]'), "senders: this is empty"),
        (('id = "officer.b"', 'id = "officer.a"'), "stands twice"),
        (('id = "officer.b"', 'id = "b"'), "begins with"),
        (("threshold", "treshold"), "treshold"),
        (('"broker.toml"', '"none.toml"'), "cannot be read"),
        (('origin = "exchange.example"', "origin ="), "this is not TOML: Invalid value"),
    ],
)
def test_a_root_that_cannot_work_is_not_drafted(empty, change, why):
    config = empty.root_file([empty.make_officer(name) for name in "abc"])
    config.write_text(config.read_text().replace(*change, 1))
    assert why in empty.run("init", config, code=1)[1]
    assert not list(empty.registry.glob("*.draft"))


def test_what_is_no_name_makes_no_keyring_and_what_is_no_public_file_no_root(empty):
    how = ("--passphrase-file", empty.passphrase, "--work-factor", "2")
    for name, organisation, where, why in (
        ("Ana B", "One", "exchange.example", "nobody in it"), ("ana", "One", "Exchange One", "cannot name an exchange"),
        ("ana", " ", "exchange.example", "the organisation has no name"),
    ):  # fmt: skip
        words = ("officer", name, "--organisation", organisation, "--origin", where)
        assert why in empty.run(*words, *how, code=1)[1]
    assert not list(empty.registry.glob("*.keyring"))
    config = empty.root_file([empty.make_officer(name) for name in "ab"])
    private = empty.registry / "keys.toml"
    private.write_text((empty.registry / "broker.toml").read_text() + "evidence_older = []\n")
    assert "`valija-broker init` writes" in empty.run("init", config, "--broker", private, code=1)[1]


def test_weak_keys_of_officers_and_broker_are_refused(empty):
    officers = [empty.make_officer(name) for name in "abc"]
    key = tomllib.loads(officers[0])["officers"][0]["key"]
    config = empty.root_file([officers[0].replace(key, "01" + "00" * 31), *officers[1:]])
    assert "a key of officer.a may not be used: the key is of small order" in empty.run("init", config, code=1)[1]
    config = empty.root_file(officers)
    broker = empty.registry / "broker.toml"
    log = tomllib.loads(broker.read_text())["log"]
    broker.write_text(broker.read_text().replace(log, "00" * 32))
    assert "a key of the broker may not be used" in empty.run("init", config, code=1)[1]


def test_a_revoked_key_and_a_lifted_suspension_are_drafted(ceremony):
    ceremony.admit("mx.enlace")
    ring = ceremony.keyrings["mx.enlace"]
    print_ = keys.fingerprint(ring.auth.public)
    assert "no key with this fingerprint" in ceremony.run("revoke", "mx.enlace", print_[:9], code=1)[1]
    ceremony.run("revoke", "mx.enlace", print_)
    ceremony.run("suspend", "mx.enlace")
    ceremony.run("resume", "mx.enlace")
    point = read_file(ceremony.registry / "directory.1.draft").value.contact_points[0]
    assert (point.auth[0].status, point.status) == ("revoked", "active")
    assert point.auth[0].ended is not None
    assert "could still be revoked" in ceremony.run("revoke", "mx.enlace", print_, code=1)[1]
    assert "no contact point" in ceremony.run("suspend", "nobody", code=1)[1]


def test_show_says_the_same_to_people_and_to_programs(ceremony):
    ceremony.admit("mx.enlace", name="Oficina [bold]de[/bold] enlace")
    ceremony.sign("directory.1.draft", "a", "b")
    ceremony.publish()
    ceremony.run("suspend", "mx.enlace")
    stdout, _ = ceremony.run("show")
    assert "Oficina [bold]de[/bold] enlace" in stdout  # no markup: a name cannot hide itself
    assert "route person-alert/1: from judicial, law-enforcement to judicial, law-enforcement" in stdout
    assert "~ mx.enlace: status 'active' becomes 'suspended'" in stdout
    said = json.loads(ceremony.run("show", "--json")[0])
    assert (said["value"]["version"], said["missing"]) == (2, {"keys": 2, "organisations": 2})
    said = json.loads(ceremony.run("show", "--version", "1", "--json")[0])
    assert said["signed"] == ["exchange.example/officer.a", "exchange.example/officer.b"]
    assert said["missing"] == {"keys": 0, "organisations": 0}
    assert "officer.c" in ceremony.run("show", ceremony.watched / "root.1.note")[0]
    ceremony.run("show", "--version", "9", code=1)


def test_an_empty_folder_says_where_to_begin(empty):
    assert "Begin with" in empty.run("show", code=1)[1]
    assert "no root is published" in empty.run("draft", code=1)[1]
    assert "Give --origin" in empty.run("officer", "a", "--organisation", "x", code=1)[1]


def test_a_damaged_registry_folder_is_not_worked_in(ceremony):
    path = ceremony.registry / "root.1.note"
    path.write_bytes(path.read_bytes()[:-20])
    ceremony.run("draft", code=1)
    path.write_bytes(b"x")
    ceremony.run("show", code=1)


def test_publishing_again_mends_the_watched_folder(ceremony):
    (ceremony.watched / "root.1.note").write_bytes(b"cut off")
    ceremony.publish()
    assert (ceremony.watched / "root.1.note").read_bytes() == (ceremony.registry / "root.1.note").read_bytes()
