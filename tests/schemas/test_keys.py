"""Which public keys may be registered: canonical points of the prime-order group, and nothing else. SPEC.md 1.6."""

import hashlib

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from valija_schemas import keys
from valija_schemas.keys import WeakKeyError

# The curve of RFC 8032 section 5.1, written again in affine coordinates and without a line from the code under test.
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def add(a, b):
    (x1, y1), (x2, y2) = a, b
    product = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + product, P - 2, P) % P
    y = (y1 * y2 + x1 * x2) * pow(1 - product, P - 2, P) % P
    return x, y


def times(n, point):
    result = (0, 1)
    while n:
        if n & 1:
            result = add(result, point)
        point = add(point, point)
        n >>= 1
    return result


def on_curve(point):
    x, y = point
    return (y * y - x * x - 1 - D * x * x * y * y) % P == 0


def encode(point, y_plus=0):
    x, y = point
    return (y + y_plus | (x & 1) << 255).to_bytes(32, "little")


def roots(square):
    candidate = pow(square, (P + 3) // 8, P)
    for root in (candidate, candidate * pow(2, (P - 1) // 4, P) % P):
        if root * root % P == square % P:
            return {root, -root % P}
    return set()


def decode(data):
    y = int.from_bytes(data, "little") & 2**255 - 1
    (x,) = (x for x in roots((y * y - 1) * pow(D * y * y + 1, P - 2, P)) if x & 1 == data[31] >> 7)
    return x, y


def small_order_points():
    # Some point times L is of an order that divides 8, and one of order 8 makes all the others.
    for y in range(2, 100):
        for x in roots((y * y - 1) * pow(D * y * y + 1, P - 2, P)):
            point = times(L, (x, y))
            if times(4, point) != (0, 1):
                return [times(n, point) for n in range(8)]
    raise AssertionError


SMALL = small_order_points()
HONEST = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key().public_bytes_raw()


def small_order_encodings():
    found = set()
    for x, y in SMALL:
        for sign in {x & 1} if x else {0, 1}:
            for spelled in {y, y + P} if y + P < 2**255 else {y}:
                found.add((spelled | sign << 255).to_bytes(32, "little"))
    return sorted(found)


def test_the_test_knows_the_curve():
    assert len(set(SMALL)) == 8
    assert all(on_curve(point) and times(8, point) == (0, 1) for point in SMALL)
    assert encode(decode(HONEST)) == HONEST
    assert times(L, decode(HONEST)) == (0, 1)
    assert len(small_order_encodings()) == 14


@pytest.mark.parametrize("public", small_order_encodings(), ids=lambda public: public.hex())
def test_a_key_of_small_order_is_refused_in_all_fourteen_encodings(public):
    with pytest.raises(WeakKeyError):
        keys.check_ed25519(public)


@pytest.mark.parametrize("torsion", range(1, 8))
def test_an_honest_key_with_a_point_of_small_order_added_is_refused(torsion):
    mixed = add(decode(HONEST), SMALL[torsion])
    assert on_curve(mixed)
    with pytest.raises(WeakKeyError, match="mixed order"):
        keys.check_ed25519(encode(mixed))


def test_the_refusal_matters_since_a_common_verifier_accepts_a_forgery():
    # Under the identity point, R = S*B holds for every text: R the base point, S one.
    identity = encode((0, 1))
    base = bytes.fromhex("5866666666666666666666666666666666666666666666666666666666666666")
    forged = base + (1).to_bytes(32, "little")
    for text in (b"", b"anything"):
        try:
            Ed25519PublicKey.from_public_bytes(identity).verify(forged, text)
        except (InvalidSignature, ValueError):
            pytest.skip("this verifier refuses the identity point by itself")
    with pytest.raises(WeakKeyError):
        keys.check_ed25519(identity)


@pytest.mark.parametrize("offset", range(19))
@pytest.mark.parametrize("sign", [0, 1])
def test_a_coordinate_of_the_prime_or_more_is_refused(offset, sign):
    with pytest.raises(WeakKeyError, match="spelling"):
        keys.check_ed25519((P + offset | sign << 255).to_bytes(32, "little"))


@pytest.mark.parametrize("y", [1, P - 1])
def test_a_sign_on_nothing_is_refused(y):
    with pytest.raises(WeakKeyError, match="spelling"):
        keys.check_ed25519((y | 1 << 255).to_bytes(32, "little"))


@pytest.mark.parametrize("public", [b"", bytes(31), bytes(33), HONEST + b"\0", HONEST[:31], HONEST.hex().encode()])
def test_a_key_of_another_length_is_refused(public):
    with pytest.raises(WeakKeyError, match="32 bytes"):
        keys.check_ed25519(public)


@settings(max_examples=50)
@given(st.binary(min_size=32, max_size=32))
def test_honest_keys_are_accepted(seed):
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    keys.check_ed25519(public)


@settings(max_examples=25)
@given(st.binary(min_size=32, max_size=32))
def test_a_random_key_is_judged_as_the_curve_judges_it(public):
    y = int.from_bytes(public, "little") & 2**255 - 1
    xs = roots((y * y - 1) * pow(D * y * y + 1, P - 2, P)) if y < P else set()
    good = bool(xs) and 0 not in xs and times(L, decode(public)) == (0, 1)
    try:
        keys.check_ed25519(public)
    except WeakKeyError:
        assert not good
    else:
        assert good


def test_the_keys_of_rfc_8032_are_accepted():
    # RFC 8032 section 7.1, tests 1 to 3
    for public in (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
    ):
        keys.check_ed25519(bytes.fromhex(public))


def test_names_of_keys_are_digests_of_the_whole_key():
    digest = hashlib.sha256(HONEST).hexdigest()
    assert keys.auth_key_id(HONEST) == digest
    assert keys.fingerprint(HONEST).replace(" ", "") == digest[:32]
    assert [len(block) for block in keys.fingerprint(HONEST).split(" ")] == [4] * 8


def test_a_digest_is_taken_as_it_was_read_out_and_nothing_else_is():
    digest = hashlib.sha256(b"root 1").hexdigest()
    shown = keys.blocks(digest)
    assert [len(line.split(" ")) for line in shown.split("\n")] == [8, 8]
    for typed in (digest, shown, shown.upper(), f"  {shown}\r\n", shown.replace(" ", "\t")):
        assert keys.typed_digest(typed) == digest
    for wrong in (
        "",
        digest[:-1],
        digest + "0",
        shown.replace("a", "g"),
        "-".join(shown.split()),
        keys.fingerprint(b""),
    ):
        with pytest.raises(ValueError, match="sixteen blocks of four"):
            keys.typed_digest(wrong)
