"""A leaf is 33 bytes that tell a stranger nothing. SPEC.md section 5.3."""

import hashlib
import hmac

import pytest

from valija_schemas import leaf
from valija_schemas.leaf import LeafError

SALT = bytes(range(32))
EVENT = b"valija/evidence/v1 exchange.example\n{}\n"


def test_the_leaf_of_an_event_is_its_commitment():
    found = leaf.of_event(SALT, EVENT)
    assert found == b"\1" + hmac.new(SALT, EVENT, hashlib.sha256).digest()
    assert len(found) == 33
    leaf.check(found)
    assert leaf.of_event(SALT[::-1], EVENT) != found
    assert leaf.of_event(SALT, EVENT + b"\n") != found


def test_the_leaf_of_a_directory_is_its_digest():
    digest = hashlib.sha256(b"directory").hexdigest()
    found = leaf.of_directory(digest)
    assert found == b"\2" + hashlib.sha256(b"directory").digest()
    leaf.check(found)


@pytest.mark.parametrize("length", [0, 16, 31, 33, 64, 65])
def test_a_salt_of_another_length_is_refused(length):
    with pytest.raises(LeafError, match="32 bytes"):
        leaf.of_event(bytes(length), EVENT)


def test_without_that_one_commitment_would_have_two_salts():
    # RFC 2104 section 2: a short key is filled with zeros.
    short = SALT[:31]
    assert hmac.digest(short, EVENT, hashlib.sha256) == hmac.digest(short + b"\0", EVENT, hashlib.sha256)


@pytest.mark.parametrize("digest", ["", "ab" * 31, "ab" * 33, "AB" * 32, "zz" * 32, " " + "ab" * 32, "ab " * 32])
def test_what_is_no_digest_makes_no_leaf(digest):
    with pytest.raises(LeafError, match="digest"):
        leaf.of_directory(digest)


@pytest.mark.parametrize("other", [b"", b"\1", b"\1" + bytes(31), b"\1" + bytes(33), bytes(33), b"\3" + bytes(32)])
def test_there_is_no_other_leaf(other):
    with pytest.raises(LeafError):
        leaf.check(other)
