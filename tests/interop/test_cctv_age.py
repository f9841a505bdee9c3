"""The CCTV age testkit (C2SP/CCTV, npm `cctv-age`, public domain): every vector, or the reason why it is left out.

Most vectors of headers and streams are sealed to plain X25519, which Valija neither writes nor opens. The identity for
it stands here and not in `valija.age`, so that those vectors still test the code that Valija does use.
"""

import zlib
from base64 import b64decode
from collections import Counter
from hashlib import sha256
from io import BytesIO

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from valija import age
from valija.age import bech32
from valija_schemas.age_header import AgeHeaderError, decode_base64, parse_header, write_mac, write_stanzas

pytestmark = pytest.mark.interop

vectors_in_the_testkit = 143
left_out = {"ASCII armor, which no Valija message has": 33}

outcomes = {
    "success": None,
    "no match": age.NoMatchError,
    "HMAC failure": age.MacError,
    "header failure": age.HeaderError,
    "payload failure": age.PayloadError,
}
known_keys = {"expect", "payload", "identity", "passphrase", "armored", "compressed", "file key", "comment"}


class X25519Identity:
    """C2SP age.md, "The X25519 recipient type"."""

    def __init__(self, text):
        self.key = X25519PrivateKey.from_private_bytes(bech32.decode("AGE-SECRET-KEY-", text))

    def unwrap(self, stanza):
        if stanza.type != "X25519":
            return None
        if len(stanza.args) != 1:
            raise age.HeaderError("arguments")
        try:
            share = decode_base64(stanza.args[0].encode())
        except AgeHeaderError:
            raise age.HeaderError("share") from None
        if len(share) != 32 or len(stanza.body) != 32:
            raise age.HeaderError("sizes")
        try:
            secret = self.key.exchange(X25519PublicKey.from_public_bytes(share))
        except ValueError:
            raise age.HeaderError("small order") from None
        salt = share + self.key.public_key().public_bytes_raw()
        wrapping = HKDF(algorithm=SHA256(), length=32, salt=salt, info=b"age-encryption.org/v1/X25519").derive(secret)
        try:
            return ChaCha20Poly1305(wrapping).decrypt(bytes(12), stanza.body, None)
        except InvalidTag:
            return None


class AnyOf:
    """Whichever of the identities a vector names opens a stanza."""

    def __init__(self, identities):
        self.identities = identities

    def unwrap(self, stanza):
        return next(filter(None, (identity.unwrap(stanza) for identity in self.identities)), None)


def identity(key, value):
    if key == "passphrase":
        return age.Passphrase(value)
    return age.SealIdentity.from_text(value) if value.startswith("AGE-SECRET-KEY-PQ-1") else X25519Identity(value)


class Vector:
    def __init__(self, name, data):
        head, _, file = data.partition(b"\n\n")
        pairs = [line.split(": ", 1) for line in head.decode().split("\n")]
        self.name = name
        self.fields = dict(pairs)
        unknown = self.fields.keys() - known_keys
        assert not unknown, f"{name} has a key that this test does not know: {unknown}"
        assert self.fields.get("compressed", "zlib") == "zlib", name
        self.file = zlib.decompress(file) if "compressed" in self.fields else file
        self.identities = [identity(key, value) for key, value in pairs if key in {"passphrase", "identity"}]

    @property
    def reason_to_leave_out(self):
        return "ASCII armor, which no Valija message has" if self.fields.get("armored") == "yes" else None


@pytest.fixture(scope="module")
def vectors(node):
    return {name: Vector(name, b64decode(data)) for name, data in node("vectors.mjs").items()}


@pytest.fixture(scope="module")
def run(vectors):
    return [vector for vector in vectors.values() if vector.reason_to_leave_out is None]


def test_every_vector_is_run_or_left_out_for_a_named_reason(vectors, run, capsys):
    reasons = Counter(vector.reason_to_leave_out for vector in vectors.values() if vector.reason_to_leave_out)
    expected = Counter(vector.fields["expect"] for vector in run)
    with capsys.disabled():
        print(f"\nCCTV age testkit: {len(vectors)} vectors, {len(run)} run {dict(expected)}, left out {dict(reasons)}")
    assert len(vectors) == vectors_in_the_testkit
    assert dict(reasons) == left_out
    assert expected.keys() <= outcomes.keys(), "a vector expects an outcome of an unknown class"


def test_each_vector_has_the_outcome_that_it_names(run, subtests):
    for vector in run:
        with subtests.test(vector.name):
            sink = BytesIO()
            error = outcomes[vector.fields["expect"]]
            if error is None:
                age.decrypt_stream(BytesIO(vector.file), sink, AnyOf(vector.identities))
            else:
                with pytest.raises(error) as caught:
                    age.decrypt_stream(BytesIO(vector.file), sink, AnyOf(vector.identities))
                assert type(caught.value) is error
            if "payload" in vector.fields:
                assert sha256(sink.getvalue()).hexdigest() == vector.fields["payload"]
            else:
                assert sink.getvalue() == b""


def test_the_file_key_of_a_vector_opens_it_as_its_identity_does(run, subtests):
    for vector in run:
        if vector.fields["expect"] != "success":
            continue
        with subtests.test(vector.name):
            file_key = age.file_key(vector.file, AnyOf(vector.identities))
            assert file_key.to_bytes().hex() == vector.fields["file key"]
            assert sha256(age.decrypt(vector.file, file_key)).hexdigest() == vector.fields["payload"]


def test_a_header_that_is_accepted_is_written_again_byte_for_byte(run, subtests):
    written = 0
    for vector in run:
        with subtests.test(vector.name):
            try:
                header = parse_header(vector.file)
            except AgeHeaderError:
                assert vector.fields["expect"] == "header failure"
            else:
                again = write_stanzas(header.stanzas) + write_mac(header.mac)
                assert again == vector.file[: header.length]
                written += 1
    assert written
