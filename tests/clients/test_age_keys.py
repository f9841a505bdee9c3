"""What `valija.age` promises about keys: one spelling, nothing unusable, nothing secret in sight."""

import hashlib
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valija import age
from valija.age import bech32

# C2SP age.md, "The MLKEM768-X25519 (i.e. X-Wing) hybrid post-quantum recipient type": its example of an identity, and
# how its example of a recipient begins and ends; the end holds the checksum over all of it.
example_identity = "AGE-SECRET-KEY-PQ-1XX76JRALNLXDMEW0CRK45QMCCH4X06SE84UN3VPM33W6HWDX0H3SK3ZQFR"
example_recipient_start = (
    "age1pq1x34nzsvr0rxjsgdn8zgyhfe8j7ceq5r9rdelkjuh3y235jzxshfg87pzf5zrqtzdxz95paef6caq5aapdmwjjqpjfdyxn"
)
example_recipient_end = "xpfqdkmhh6gjtqmwze9pyyzk3tlhl53k2ykx3qheyty7saeq0d3fzv49zc0k"
example_recipient_characters = 1_959

prime = 2**255 - 19
small_order = (
    0,
    1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
    prime - 1,
)

alice = age.SealIdentity.generate()
public = alice.recipient.to_bytes()


def test_the_example_of_the_specification_gives_its_recipient():
    identity = age.SealIdentity.from_text(example_identity)
    assert identity.to_text() == example_identity
    text = identity.recipient.to_text()
    assert len(text) == example_recipient_characters
    assert text.startswith(example_recipient_start)
    assert text.endswith(example_recipient_end)


def test_keys_survive_being_written_and_read():
    assert age.SealIdentity.from_text(alice.to_text()).recipient == alice.recipient
    assert age.SealRecipient.from_text(alice.recipient.to_text()) == alice.recipient
    assert age.SealRecipient.from_bytes(public) == alice.recipient
    assert hash(age.SealRecipient.from_bytes(public)) == hash(alice.recipient)
    assert age.SealIdentity.generate().recipient != alice.recipient


def test_a_key_id_is_the_hash_of_the_public_bytes():
    assert len(public) == 1_216
    assert alice.recipient.key_id == hashlib.sha256(public).hexdigest()


@pytest.mark.parametrize("point", small_order)
def test_a_key_whose_x25519_half_is_weak_is_refused(point):
    with pytest.raises(age.KeyFormatError):
        age.SealRecipient.from_bytes(public[:1_184] + point.to_bytes(32, "little"))


@pytest.mark.parametrize("point", [prime, prime + 1, prime + 9, 2**255 - 1, 2**255 + 9, 2**256 - 1])
def test_a_second_spelling_of_an_x25519_half_is_refused(point):
    with pytest.raises(age.KeyFormatError):
        age.SealRecipient.from_bytes(public[:1_184] + point.to_bytes(32, "little"))


def test_a_key_whose_ml_kem_half_is_not_in_range_is_refused():
    with pytest.raises(age.KeyFormatError):
        age.SealRecipient.from_bytes(b"\xff" * 384 + public[384:])


@given(st.binary(max_size=64) | st.binary(min_size=1_216, max_size=1_216) | st.binary(min_size=1_217, max_size=1_300))
@settings(max_examples=50)
def test_bytes_that_are_no_key_raise_the_one_error(data):
    with pytest.raises(age.KeyFormatError):
        age.SealRecipient.from_bytes(data if len(data) != 1_216 else b"\xff\xff" + data[2:])


def test_a_key_with_one_wrong_character_is_refused():
    text = alice.to_text()
    for place, character in enumerate(text):
        for other in {"Q", "P", "1", "B", "-", " ", character.lower()} - {character}:
            with pytest.raises(age.KeyFormatError):
                age.SealIdentity.from_text(text[:place] + other + text[place + 1 :])


@pytest.mark.parametrize("change", [str.lower, str.title, lambda text: text + "Q", lambda text: text[:-1], str.strip])
def test_a_private_key_has_one_spelling(change):
    text = alice.to_text()
    changed = change(text if change is not str.strip else text + "\n") + ("\n" if change is str.strip else "")
    with pytest.raises(age.KeyFormatError):
        age.SealIdentity.from_text(changed)


@pytest.mark.parametrize("size", [0, 16, 31, 33, 64])
def test_a_private_key_of_another_size_is_refused(size):
    with pytest.raises(age.KeyFormatError):
        age.SealIdentity.from_text(bech32.encode("age-secret-key-pq-", bytes(size)).upper())


def test_a_key_of_another_kind_is_refused():
    with pytest.raises(age.KeyFormatError):
        age.SealIdentity.from_text(bech32.encode("age-secret-key-", bytes(32)).upper())
    with pytest.raises(age.KeyFormatError):
        age.SealRecipient.from_text(bech32.encode("age", bytes(32)))
    with pytest.raises(age.KeyFormatError):
        age.SealRecipient.from_text(alice.to_text())
    with pytest.raises(age.KeyFormatError):
        age.SealIdentity.from_text(alice.recipient.to_text())


@given(st.text(max_size=100))
def test_text_that_is_no_key_raises_the_one_error(text):
    for start in ("", "AGE-SECRET-KEY-PQ-1"):
        with pytest.raises(age.KeyFormatError):
            age.SealIdentity.from_text(start + text)
    for start in ("", "age1pq1"):
        with pytest.raises(age.KeyFormatError):
            age.SealRecipient.from_text(start + text)


@given(st.binary(max_size=80), st.sampled_from(["age", "age1pq", "x"]))
def test_bytes_survive_bech32(data, prefix):
    assert bech32.decode(prefix, bech32.encode(prefix, data)) == data


# BIP 173, "Test vectors": valid ones whose data is a whole number of bytes, and invalid ones.
@pytest.mark.parametrize(
    ("prefix", "text"),
    [
        ("A", "A12UEL5L"),
        ("a", "a12uel5l"),
        ("abcdef", "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw"),
    ],
)
def test_the_vectors_of_bip_173_are_read(prefix, text):
    data = bech32.decode(prefix, text)
    assert bech32.encode(prefix.lower(), data) == text.lower()


@pytest.mark.parametrize(
    ("prefix", "text"),
    [
        ("a", "a12uel5m"),
        ("A", "A1G7SGD8"),
        ("a", "A12UEL5L"),
        ("a", "a12UEL5L"),
        ("x", "x1b4n0q5v"),
        ("li", "li1dgmt3"),
    ],
)
def test_the_invalid_vectors_of_bip_173_are_refused(prefix, text):
    with pytest.raises(age.KeyFormatError):
        bech32.decode(prefix, text)


@pytest.mark.parametrize("text", ["", "\ud800"])
def test_a_passphrase_that_is_no_text_is_refused(text):
    with pytest.raises(age.KeyFormatError):
        age.Passphrase(text)


def test_no_secret_stands_in_a_repr():
    passphrase = age.Passphrase("correct horse", work_factor=1)
    data = age.encrypt(b"", [alice.recipient])
    key = age.file_key(data, alice)
    shown = repr(alice) + repr(passphrase) + repr(key)
    for secret in (
        alice.to_text(),
        alice.to_text()[25:40].lower(),
        "correct",
        key.to_bytes().hex(),
        repr(key.to_bytes()),
    ):
        assert secret not in shown
    assert alice.recipient.key_id in repr(alice)


def test_no_secret_stands_in_an_error():
    secret = alice.to_text()
    with pytest.raises(age.KeyFormatError) as caught:
        age.SealIdentity.from_text(secret[:-1] + ("Q" if secret[-1] != "Q" else "P"))
    runs = {secret[at : at + 8] for at in range(len("AGE-SECRET-KEY-PQ-1"), len(secret) - 8)}
    assert not any(run in str(caught.value).upper() for run in runs)
    assert caught.value.__cause__ is None


def test_the_errors_are_one_sentence_each():
    for name in age.__all__:
        error = getattr(age, name)
        if isinstance(error, type) and issubclass(error, Exception):
            assert issubclass(error, age.AgeError)
            assert error.__doc__.count(".") == 1
            assert error.__doc__[0] in string.ascii_uppercase
