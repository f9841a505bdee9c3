"""Who may enter the directory: keys that are sound, new and proved, under a name that is free."""

import base64
import itertools
import stat

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from valija import age, enrol
from valija.errors import AdmissionRefusedError, EnrolmentError
from valija.keyring import Keyring
from valija.registry import admission, entries
from valija.registry.folder import read_file
from valija.registry.sample import sample_exchange
from valija_schemas import keys
from valija_schemas import note as notes
from valija_schemas.directory import REQUEST, note_text, read_request

replace = msgspec.structs.replace
origin = "exchange.example"
now = 1_795_500_000_000


@pytest.fixture
def exchange():
    return sample_exchange(now_ms=now)


@pytest.fixture
def seen(exchange):
    return admission.Seen(origin, [exchange.root], [book.directory for book in exchange.phonebooks], [])


@pytest.fixture
def ring():
    return Keyring.generate(origin, "br.enlace", now_ms=now)


def request(ring, **changes):
    words = {"name": "Sample office", "area": "judicial", "state": "BR", "now_ms": now} | changes
    return enrol.make_request(ring, **words)


def altered(ring, signers=None, **changes):
    """A request that no honest tool makes, signed all the same."""
    value, _ = read_request(request(ring), origin)
    return notes.sign(note_text(REQUEST, origin, replace(value, **changes)), signers or [ring.sign, ring.auth])


def foreign(name, use, private):
    """A request for `name` in which one key is somebody else's, who lends it."""
    ring = Keyring.generate(origin, name, now_ms=now)
    lent = notes.Ed25519Signer(f"{origin}/{name}", private)
    signers = [lent, ring.auth] if use == "sign" else [ring.sign, lent]
    return altered(ring, signers, **{use: lent.public.hex()})


def test_an_honest_request_passes_and_becomes_an_entry(seen, ring):
    kept = admission.check(request(ring), seen)
    point = entries.entry(kept.request)
    assert (point.id, point.state, point.area, point.status) == ("br.enlace", "BR", "judicial", "active")
    assert point.seal_key.key_id == ring.seal.recipient.key_id
    assert kept.digest == enrol.request_digest(request(ring))


def test_a_request_for_another_exchange_or_not_signed_by_both_keys_is_refused(seen, ring):
    other = Keyring.generate("other.example", "br.enlace")
    for raw in (request(other), altered(ring, [ring.sign]), b"", request(ring) + b"x"):
        with pytest.raises(AdmissionRefusedError, match="not believed"):
            admission.check(raw, seen)


@pytest.mark.parametrize("name", ["broker", "log", "officer.z", "operator.z", "witness.z"])
def test_reserved_names_are_refused(seen, name):
    ring = Keyring.generate(origin, name)
    with pytest.raises(EnrolmentError, match="reserved"):
        request(ring)
    honest, _ = read_request(request(Keyring.generate(origin, "a")), origin)
    value = replace(honest, contact_point=name, sign=ring.sign.public.hex(), auth=ring.auth.public.hex())
    raw = notes.sign(note_text(REQUEST, origin, value), [ring.sign, ring.auth])
    with pytest.raises(AdmissionRefusedError, match="reserved"):
        admission.check(raw, seen)


def test_a_key_of_small_order_is_refused_though_its_forged_signature_holds(seen, ring):
    # The identity point: (R, S) = (identity, 0) verifies for every text (OpenSSL).
    identity = bytes([1]) + bytes(31)

    class Forger:
        name = ring.sign.name
        public = identity

        @staticmethod
        def sign(text):
            return identity + bytes(32)

    raw = altered(ring, [Forger(), ring.auth], sign=identity.hex())
    assert read_request(raw, origin)[0].sign == identity.hex()
    with pytest.raises(AdmissionRefusedError, match="small order"):
        admission.check(raw, seen)


@pytest.mark.parametrize("half", [0, 1])
def test_a_seal_key_that_breaks_every_message_is_refused(seen, ring, half):
    public = ring.seal.recipient.to_bytes()
    broken = public[:-32] + half.to_bytes(32, "little")
    with pytest.raises(AdmissionRefusedError, match=r"the seal key of br\.enlace may not be used"):
        admission.check(altered(ring, seal=base64.b64encode(broken).decode()), seen)


def test_a_key_that_anybody_ever_had_is_refused(seen, exchange):
    mexico = exchange.keyrings["mx.enlace"]
    privates = {
        "sign key of mx.enlace": mexico.sign._key,
        "auth key of mx.enlace": mexico.auth._key,
        "officer key of officer.a": exchange.officers[0]._key,
        "operator key of operator.b": exchange.operators[1]._key,
        "evidence key of broker": exchange.broker_keys.evidence,
        "freshness key of broker": exchange.broker_keys.freshness,
        "log key of log": exchange.broker_keys.log,
    }
    for (said, private), use in itertools.product(privates.items(), ("sign", "auth")):
        with pytest.raises(AdmissionRefusedError, match=f"as the {said}"):
            admission.check(foreign("br.enlace", use, private), seen)
    thief = Keyring.generate(origin, "br.enlace")
    stolen = base64.b64encode(mexico.seal.recipient.to_bytes()).decode()
    with pytest.raises(AdmissionRefusedError, match=r"as the seal key of mx\.enlace"):
        admission.check(altered(thief, seal=stolen), seen)


def test_a_key_may_not_change_its_use(seen, exchange):
    with pytest.raises(AdmissionRefusedError, match=r"as the sign key of mx\.enlace"):
        admission.check(foreign("mx.enlace", "auth", exchange.keyrings["mx.enlace"].sign._key), seen)


def test_a_key_of_an_older_directory_or_root_is_still_refused(exchange):
    gone = exchange.keyrings["co.enlace"].sign._key
    exchange.next_directory(
        lambda book: replace(book, contact_points=tuple(p for p in book.contact_points if p.id != "co.enlace"))
    )
    seen = admission.Seen(origin, [exchange.root], [book.directory for book in exchange.phonebooks], [])
    with pytest.raises(AdmissionRefusedError, match=r"co\.enlace"):
        admission.check(foreign("br.enlace", "sign", gone), seen)


def test_a_key_of_an_admitted_request_is_refused_before_any_directory_names_it(exchange, ring):
    kept = admission.Kept(*read_request(request(ring), origin))
    seen = admission.Seen(origin, [exchange.root], [], [kept])
    with pytest.raises(AdmissionRefusedError, match=r"as the sign key of br\.enlace"):
        admission.check(foreign("ar.enlace", "sign", ring.sign._key), seen)


def test_a_key_that_ended_never_comes_back(exchange):
    ring = exchange.keyrings["mx.enlace"]
    points = exchange.phonebook.directory.contact_points
    revoked = entries.with_revoked(points, "mx.enlace", [ring.sign.public.hex()], now)
    seen = admission.Seen(origin, [exchange.root], [replace(exchange.phonebook.directory, contact_points=revoked)], [])
    with pytest.raises(AdmissionRefusedError, match="retired or revoked before"):
        admission.check(request(ring, state="MX"), seen)


def test_a_name_whose_short_key_id_is_taken_is_refused(seen, monkeypatch):
    monkeypatch.setattr(notes, "key_id", lambda name, public: b"same")  # in earnest: seconds of grinding
    seen.remember("br.enlace", "sign", bytes(31) + b"1")
    with pytest.raises(AdmissionRefusedError, match="short id of an older key"):
        seen.refuse("br.enlace", "sign", bytes(32))
    seen.refuse("ar.enlace", "sign", bytes(32))


def test_a_request_whose_own_keys_share_a_short_id_is_refused(seen, ring, monkeypatch):
    raw = request(ring)
    believed = read_request(raw, origin)
    monkeypatch.setattr(admission, "read_request", lambda raw, origin: believed)
    monkeypatch.setattr(notes, "key_id", lambda name, public: b"same")
    with pytest.raises(AdmissionRefusedError, match="have one short id"):
        admission.check(raw, seen)


def test_only_the_holder_of_the_seal_key_can_answer(seen, ring):
    kept = admission.check(request(ring), seen)
    challenge, expected = admission.make_challenge(kept.request)
    answer = enrol.answer_challenge(challenge, ring)
    assert answer.decode().strip() not in expected
    admission.check_answer(answer, expected)
    with pytest.raises(EnrolmentError, match="another key"):
        enrol.answer_challenge(challenge, Keyring.generate(origin, "br.enlace"))
    for wrong in (b"", b"0" * 64 + b"\n", answer[:-3], b"\xff", challenge, answer + answer):
        with pytest.raises(AdmissionRefusedError, match="not the answer"):
            admission.check_answer(wrong, expected)


def test_a_message_cannot_be_opened_by_calling_it_a_challenge(ring):
    for plaintext in (b"", bytes(31), bytes(33), b'{"from":"mx.enlace"}' * 4):
        sealed = age.encrypt(plaintext, [ring.seal.recipient])
        with pytest.raises(EnrolmentError):
            enrol.answer_challenge(sealed, ring)
    for junk in (b"", b"age-encryption.org/v1\n", bytes(5000)):
        with pytest.raises(EnrolmentError):
            enrol.answer_challenge(junk, ring)


@pytest.mark.parametrize(
    "changes",
    [
        {"state": None},
        {"organisation": "OAS"},
        {"state": "br"},
        {"area": "military"},
        {"name": ""},
        {"name": "two\nlines"},
        {"name": "right\u202eleft"},
        {"previous": "x"},
    ],
)
def test_a_request_that_officers_would_refuse_is_not_made(ring, changes):
    with pytest.raises(EnrolmentError) as caught:
        request(ring, **changes)
    assert caught.value.hint


def test_new_keys_follow_from_the_request_before(exchange, ring):
    first = admission.check(request(ring), admission.Seen(origin, [exchange.root], [], []))
    seen = admission.Seen(origin, [exchange.root], [], [first])
    assert admission.check(request(ring), seen) == first  # the same step again
    older = admission.Kept(replace(first.request, time=now - 1), "1" * 64)
    for kept in ([older, first], [first, older]):  # the order of the files does not matter
        assert admission.Seen(origin, [], [], kept).last_request("br.enlace") == first
    grown = ring.rotate(["seal", "auth"], now_ms=now + 1)
    for previous in (None, "0" * 64):
        with pytest.raises(AdmissionRefusedError, match="does not follow") as caught:
            admission.check(request(grown, previous=previous, now_ms=now + 1), seen)
        assert first.digest in str(caught.value)
    assert admission.check(request(grown, now_ms=now + 1), seen, lost=True).request.previous is None
    with pytest.raises(AdmissionRefusedError, match="does not follow"):
        admission.check(request(grown, previous="0" * 64, now_ms=now + 1), seen, lost=True)
    with pytest.raises(AdmissionRefusedError, match="not newer"):
        admission.check(request(grown, previous=first.digest, now_ms=now), seen)
    second = admission.check(request(grown, previous=first.digest, now_ms=now + 1), seen)

    (point,) = entries.with_request([entries.entry(first.request)], second.request, now + 9)
    assert [(key.status, key.ended) for key in point.seal] == [("active", None), ("retired", now + 9)]
    assert [key.status for key in point.sign] == ["active"]
    assert point.seal_key.key_id == grown.seal.recipient.key_id


def test_new_keys_do_not_lift_a_suspension(exchange, ring):
    value, _ = read_request(request(ring), origin)
    suspended = entries.with_status([entries.entry(value)], "br.enlace", "suspended", now)
    later, _ = read_request(request(ring.rotate(["auth"])), origin)
    assert entries.with_request(suspended, later, now)[0].status == "suspended"


def test_admission_waits_for_the_answer_and_keeps_no_secret(ceremony):
    request = ceremony.request("mx.enlace")
    stdout, said = ceremony.run("admit", request, code=75)
    ring = ceremony.keyrings["mx.enlace"]
    for public in (ring.sign.public, ring.auth.public, ring.seal.recipient.to_bytes()):
        assert keys.fingerprint(public) in said
    assert stdout == f"{ceremony.registry / 'mx.enlace.challenge'}\n"
    (expected,) = (ceremony.registry / "challenges").iterdir()
    assert stat.S_IMODE(expected.stat().st_mode) & 0o077 == 0
    answer = ceremony.answer("mx.enlace")
    assert answer.read_text().strip() not in expected.read_text()
    assert not list(ceremony.registry.glob("*.draft"))

    wrong = ceremony.point / "wrong"
    wrong.write_text("0" * 64 + "\n")
    assert "not the answer" in ceremony.run("admit", request, "--answer", wrong, code=1)[1]
    assert not list(ceremony.registry.glob("*.draft"))
    assert not (ceremony.registry / "seen").exists()

    ceremony.run("admit", request, "--answer", answer)
    assert read_file(ceremony.registry / "directory.1.draft").value.contact_points[0].id == "mx.enlace"
    assert "no challenge was made" in ceremony.run("admit", request, "--answer", answer, code=1)[1]


def test_the_answer_of_an_older_challenge_admits_nobody(ceremony):
    request = ceremony.request("mx.enlace")
    ceremony.run("admit", request, code=75)
    old = ceremony.answer("mx.enlace").read_bytes()
    ceremony.run("admit", request, code=75)
    path = ceremony.point / "old"
    path.write_bytes(old)
    assert "newest challenge" in ceremony.run("admit", request, "--answer", path, code=1)[1]


def test_what_was_admitted_is_seen_by_the_next_admission(ceremony, load_officer):
    ceremony.admit("mx.enlace")
    victim = ceremony.keyrings["mx.enlace"]
    path = ceremony.point / "thief.request"
    for private, said in ((victim.sign._key, "sign key of mx.enlace"), (load_officer("c").officer._key, "officer.c")):
        path.write_bytes(foreign("thief", "auth", private))
        assert said in ceremony.run("admit", path, code=1)[1]


def test_two_fresh_ed25519_keys_are_never_refused_as_weak():
    for _ in range(20):
        keys.check_ed25519(Ed25519PrivateKey.generate().public_key().public_bytes_raw())
