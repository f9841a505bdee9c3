"""Roots, directories, freshness and requests: what is believed, and each attack that is not. SPEC.md section 4."""

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from valija import enrol
from valija.keyring import Keyring
from valija.registry import core
from valija.registry.sample import sample_exchange
from valija_schemas import limits
from valija_schemas import note as notes
from valija_schemas.directory import (
    DIRECTORY,
    FRESHNESS,
    ROOT,
    DirectoryError,
    Freshness,
    Officer,
    Roots,
    Threshold,
    missing_signatures,
    note_text,
    read_directory,
    read_freshness,
    read_request,
    require_current,
)

replace = msgspec.structs.replace
now = 1_795_500_000_000
points = (("mx.enlace", "MX", "law-enforcement"), ("oas.sample", "OAS", "administrative"))


@pytest.fixture
def exchange():
    return sample_exchange(points=points, suspended=(), now_ms=now)


def new_officer(name, organisation, key=None):
    signer = notes.Ed25519Signer(f"exchange.example/officer.{name}", key or Ed25519PrivateKey.generate())
    return signer, Officer(id=f"officer.{name}", organisation=organisation, key=signer.public.hex())


def signed_directory(exchange, signers, **changes):
    directory = replace(exchange.phonebook.directory, **changes)
    return notes.sign(note_text(DIRECTORY, exchange.origin, directory), signers)


def next_directory(exchange, signers=None, **changes):
    book = exchange.phonebook
    changes = {"version": book.version + 1, "previous": book.digest} | changes
    return signed_directory(exchange, exchange.officers[:2] if signers is None else signers, **changes)


def root_note(exchange, root, signers):
    return notes.sign(note_text(ROOT, exchange.origin, root), signers)


def first(exchange, root, signers=None):
    raw = root_note(exchange, root, signers or exchange.officers[:2])
    return Roots.first(raw, exchange.origin, notes.parse(raw, limits.directory_bytes_max).digest)


def test_a_signed_step_is_believed(exchange):
    book = read_directory(next_directory(exchange), exchange.roots, exchange.phonebook)
    assert book.version == 2
    assert book.point("mx.enlace").state == "MX"
    assert book.point("oas.sample").organisation == "OAS"
    mx, oas = book.point("mx.enlace"), book.point("oas.sample")
    assert book.allows("information-request/1", mx, oas)
    assert not book.allows("firearms-trace-request/1", mx, oas)


def test_one_officer_is_not_enough(exchange):
    with pytest.raises(DirectoryError, match="signed by 1 officers"):
        read_directory(next_directory(exchange, exchange.officers[:1]), exchange.roots, exchange.phonebook)


def test_one_key_signing_twice_counts_once(exchange):
    raw = next_directory(exchange, [exchange.officers[0], exchange.officers[0]])
    with pytest.raises(DirectoryError, match="same name and key id"):
        read_directory(raw, exchange.roots, exchange.phonebook)


def test_one_key_under_the_names_of_two_officers_counts_once(exchange):
    key = exchange.officers[0]._key
    alias = notes.Ed25519Signer(exchange.officers[1].name, key)
    with pytest.raises(DirectoryError, match="signed by 1 officers"):
        read_directory(next_directory(exchange, [exchange.officers[0], alias]), exchange.roots, exchange.phonebook)


def test_a_root_with_one_key_under_two_ids_is_refused(exchange):
    officers = exchange.root.officers
    twice = replace(officers[1], key=officers[0].key)
    with pytest.raises(DirectoryError, match="stands twice"):
        first(exchange, replace(exchange.root, officers=(officers[0], twice, officers[2])))


def test_officers_of_one_organisation_alone_do_not_meet_the_threshold(exchange):
    one = tuple(replace(officer, organisation="One") for officer in exchange.root.officers[:2])
    root = replace(exchange.root, officers=(*one, exchange.root.officers[2]))
    with pytest.raises(DirectoryError, match="of 1 organisations"):
        first(exchange, root)
    roots = first(exchange, root, exchange.officers[1:])
    with pytest.raises(DirectoryError, match="of 1 organisations"):
        read_directory(exchange.directory_raws[0], roots, None)


def test_strangers_and_the_broker_do_not_count(exchange):
    stranger, _ = new_officer("a", "X")
    for other in (stranger, exchange.broker_keys.evidence_signer, exchange.keyrings["mx.enlace"].sign):
        with pytest.raises(DirectoryError, match="signed by 1 officers"):
            read_directory(next_directory(exchange, [exchange.officers[0], other]), exchange.roots, exchange.phonebook)


def test_a_broken_signature_of_an_officer_spoils_the_whole_note(exchange):
    raw = next_directory(exchange, exchange.officers)
    line = raw.splitlines()[-1]
    other = notes.signature_line(exchange.officers[2], b"another text\n").rstrip(b"\n")
    with pytest.raises(DirectoryError, match="does not hold"):
        read_directory(raw.replace(line, other), exchange.roots, exchange.phonebook)


def test_missing_signatures_counts_keys_and_organisations(exchange):
    assert missing_signatures(next_directory(exchange, exchange.officers[:1]), exchange.origin, exchange.root) == (1, 1)
    assert missing_signatures(next_directory(exchange), exchange.origin, exchange.root) == (0, 0)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"version": 3}, "where 2 comes next"),
        ({"version": 1}, "where 2 comes next"),
        ({"previous": "0" * 64}, "does not follow"),
        ({"previous": None}, "does not follow"),
        ({"root": 2}, "not known"),
        ({"expires": now + limits.directory_lifetime_max_ms + 1}, "30 days"),
        ({"expires": now}, "30 days"),
    ],
)
def test_a_step_that_is_not_the_next_one_is_refused(exchange, changes, why):
    with pytest.raises(DirectoryError, match=why):
        read_directory(next_directory(exchange, **changes), exchange.roots, exchange.phonebook)


def test_fast_forward_to_a_huge_version_is_refused(exchange):
    with pytest.raises(DirectoryError, match="where 2 comes next"):
        read_directory(next_directory(exchange, version=limits.integer_max), exchange.roots, exchange.phonebook)


def test_a_note_of_another_exchange_is_refused(exchange):
    directory = replace(exchange.phonebook.directory, version=2, previous=exchange.phonebook.digest)
    raw = notes.sign(note_text(DIRECTORY, "other.example", directory), exchange.officers[:2])
    with pytest.raises(DirectoryError, match=r"other\.example"):
        read_directory(raw, exchange.roots, exchange.phonebook)


def test_names_of_the_exchange_itself_cannot_be_contact_points(exchange):
    book = exchange.phonebook.directory
    for name in ("broker", "log.two", "officer.a", "operator.x", "witness"):
        renamed = tuple(sorted((replace(book.contact_points[0], id=name), book.contact_points[1]), key=lambda p: p.id))
        with pytest.raises(DirectoryError, match="reserved"):
            read_directory(next_directory(exchange, contact_points=renamed), exchange.roots, exchange.phonebook)


def test_one_key_cannot_stand_twice_in_a_directory(exchange):
    a, b = exchange.phonebook.directory.contact_points
    for thief in (replace(b, sign=a.sign), replace(b, sign=a.auth), replace(b, seal=a.seal), replace(b, auth=b.sign)):
        with pytest.raises(DirectoryError, match="stands twice"):
            read_directory(next_directory(exchange, contact_points=(a, thief)), exchange.roots, exchange.phonebook)


def test_entries_and_routes_have_one_order(exchange):
    book = exchange.phonebook.directory
    for changes in (
        {"contact_points": book.contact_points[::-1]},
        {"contact_points": (book.contact_points[0],) * 2},
        {"routes": book.routes[::-1]},
    ):
        with pytest.raises(DirectoryError, match="order"):
            read_directory(next_directory(exchange, **changes), exchange.roots, exchange.phonebook)


def test_an_ended_key_has_a_time_and_an_active_one_has_none(exchange):
    a, b = exchange.phonebook.directory.contact_points
    for key in (replace(a.sign[0], status="revoked"), replace(a.sign[0], ended=now)):
        with pytest.raises(DirectoryError, match="active and ended"):
            changed = (replace(a, sign=(key,)), b)
            read_directory(next_directory(exchange, contact_points=changed), exchange.roots, exchange.phonebook)


def test_the_first_root_is_believed_by_its_digest_alone(exchange):
    with pytest.raises(DirectoryError, match="not the"):
        Roots.first(exchange.root_raw, exchange.origin, "0" * 64)
    with pytest.raises(DirectoryError, match="must be version 1"):
        first(exchange, replace(exchange.root, version=2))


def test_a_root_rotation_needs_the_thresholds_of_both_roots(exchange):
    d, officer_d = new_officer("d", "New North")
    e, officer_e = new_officer("e", "New South")
    replaced = replace(exchange.root, version=2, officers=(officer_d, officer_e))
    old = exchange.officers
    for signers in ([d, e], old[:2], [old[0], d, e], [*old[:2], d]):
        with pytest.raises(DirectoryError, match="officers of"):
            exchange.roots.extend(root_note(exchange, replaced, signers))
    assert exchange.roots.extend(root_note(exchange, replaced, [*old[:2], d, e])).newest == replaced


def test_no_root_is_skipped_or_repeated(exchange):
    for version in (1, 3):
        with pytest.raises(DirectoryError, match="after root 1"):
            exchange.roots.extend(root_note(exchange, replace(exchange.root, version=version), exchange.officers[:2]))


def test_a_directory_may_not_go_back_to_an_older_root(exchange):
    exchange.next_root()
    exchange.next_directory()
    with pytest.raises(DirectoryError, match="older root"):
        read_directory(next_directory(exchange, root=1), exchange.roots, exchange.phonebook)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"threshold": Threshold(keys=4, organisations=2)}, "never be met"),
        ({"threshold": Threshold(keys=2, organisations=4)}, "never be met"),
        ({"quorum": 1}, "quorum"),
        ({"expires": now + limits.root_lifetime_max_ms + 1}, "too long"),
    ],
)
def test_a_root_that_cannot_work_is_refused(exchange, changes, why):
    with pytest.raises(DirectoryError, match=why):
        first(exchange, replace(exchange.root, **changes))


def test_one_key_has_one_use_in_a_root(exchange):
    broker = exchange.root.broker
    for changed in (
        {"broker": replace(broker, log=broker.freshness)},
        {"broker": replace(broker, freshness=broker.evidence[0])},
        {"broker": replace(broker, log=exchange.root.officers[0].key)},
        {"operators": (replace(exchange.root.operators[0], key=broker.log),)},
    ):
        with pytest.raises(DirectoryError, match="two uses"):
            first(exchange, replace(exchange.root, **changed))


def test_an_expired_root_or_directory_stops_sending_and_never_reading(exchange):
    book = exchange.phonebook
    require_current(book, exchange.roots, book.directory.expires - 1)
    with pytest.raises(DirectoryError, match="directory version 1 has expired"):
        require_current(book, exchange.roots, book.directory.expires)
    with pytest.raises(DirectoryError, match="root version 1 has expired"):
        require_current(book, exchange.roots, exchange.root.expires)
    assert read_directory(book.raw, exchange.roots, None).digest == book.digest  # at any time


def test_after_the_officers_were_replaced_their_directory_sends_nothing_more(exchange):
    d, officer_d = new_officer("d", "New North")
    e, officer_e = new_officer("e", "New South")
    book = exchange.phonebook
    exchange.next_root(lambda root: replace(root, officers=(officer_d, officer_e)), officers=[*exchange.officers, d, e])
    with pytest.raises(DirectoryError, match="signed by 0 officers"):
        require_current(book, exchange.roots, now + 1)
    again = read_directory(core.sign_note(core.sign_note(book.raw, d), e), exchange.roots, None)
    require_current(again, exchange.roots, now + 1)


def test_freshness_is_believed_until_it_expires(exchange):
    raw = exchange.freshness()
    assert read_freshness(raw, exchange.roots, now).version == 1
    with pytest.raises(DirectoryError, match="expired"):
        read_freshness(raw, exchange.roots, now + limits.freshness_lifetime_max_ms)
    with pytest.raises(DirectoryError, match="too long"):
        read_freshness(exchange.freshness(lifetime_ms=limits.freshness_lifetime_max_ms + 1), exchange.roots, now)


def test_freshness_by_any_other_key_is_refused(exchange):
    text = notes.parse(exchange.freshness()).text
    freshness = Freshness(version=1, digest="0" * 64, root=1, issued=now, expires=now + 1)
    assert note_text(FRESHNESS, exchange.origin, freshness) != text
    for signer in (exchange.broker_keys.evidence_signer, exchange.broker_keys.log_signer, exchange.officers[0]):
        with pytest.raises(DirectoryError, match="not by a key"):
            read_freshness(notes.sign(text, [signer]), exchange.roots, now)


def test_a_request_is_signed_by_both_of_its_keys():
    keyring = Keyring.generate("exchange.example", "co.enlace", now_ms=now)
    raw = enrol.make_request(keyring, name="Oficina de enlace", area="judicial", state="CO", now_ms=now)
    request, digest = read_request(raw, "exchange.example")
    assert (request.contact_point, request.time) == ("co.enlace", now)
    assert digest == notes.parse(raw).digest
    text = notes.parse(raw).text
    stranger = notes.Ed25519Signer(keyring.sign.name, Ed25519PrivateKey.generate())
    for signers in ([keyring.sign], [keyring.auth], [keyring.sign, stranger], [keyring.sign, keyring.auth, stranger]):
        with pytest.raises(DirectoryError, match="two signatures"):
            read_request(notes.sign(text, signers), "exchange.example")


def test_a_request_with_one_key_for_both_uses_is_refused():
    keyring = Keyring.generate("exchange.example", "co.enlace", now_ms=now)
    request, _ = read_request(
        enrol.make_request(keyring, name="x", area="judicial", state="CO", now_ms=now), "exchange.example"
    )
    text = note_text("valija/request/v1", "exchange.example", replace(request, auth=request.sign))
    with pytest.raises(DirectoryError, match="two signatures"):
        read_request(notes.sign(text, [keyring.sign]), "exchange.example")
