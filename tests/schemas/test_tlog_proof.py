"""A proof in one file, checked without a network. SPEC.md section 5.3; C2SP tlog-proof."""

import base64
import hashlib

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from valija_schemas import checkpoint, leaf, merkle, tlog_proof
from valija_schemas.checkpoint import Ed25519Cosigner, Head, MlDsa44Cosigner, Policy, cosignature_line, log_line
from valija_schemas.merkle import leaf_hash, node_hash
from valija_schemas.note import Ed25519Signer, Verifier
from valija_schemas.tlog_proof import Proof, ProofError

ORIGIN = "exchange.example/log"
TIME = 1_795_488_860


def ed25519(seed):
    return Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)


LOG = Ed25519Signer(ORIGIN, ed25519(1))
PQ = MlDsa44Cosigner(ORIGIN, MLDSA44PrivateKey.from_seed_bytes(bytes([2]) * 32))
W1 = Ed25519Cosigner("witness.example/w1", ed25519(11))
POLICY = Policy(ORIGIN, LOG.public, PQ.public, (Verifier(W1.name, W1.public),), 1)

# A tree of three leaves: two events and a directory version.
LEAVES = [
    leaf.of_event(bytes(32), b"event 0"),
    leaf.of_event(bytes(32), b"event 1"),
    leaf.of_directory(hashlib.sha256(b"directory").hexdigest()),
]
A, B, C = (leaf_hash(entry) for entry in LEAVES)
HEAD = Head(ORIGIN, 3, node_hash(node_hash(A, B), C))
PATHS = [(B, C), (A, C), (node_hash(A, B),)]


def lines_of(head):
    return [log_line(LOG, head), cosignature_line(PQ, head, TIME), cosignature_line(W1, head, TIME + 1)]


CHECKPOINT = checkpoint.write(HEAD, lines_of(HEAD))
RAW = tlog_proof.write(1, PATHS[1], CHECKPOINT)
HASH = base64.b64encode(A) + b"\n"


def spelled(index, path, raw=CHECKPOINT):
    return Proof(index, tuple(path), raw)


def refused(proof, entry=LEAVES[1], match=None, policy=POLICY):
    with pytest.raises(ProofError, match=match):
        tlog_proof.verify(proof, entry, policy)


def test_a_proof_is_an_index_hashes_and_the_checkpoint():
    lines = b"c2sp.org/tlog-proof@v1\nindex 1\n" + base64.b64encode(A) + b"\n" + base64.b64encode(C) + b"\n\n"
    assert lines + CHECKPOINT == RAW
    assert tlog_proof.parse(RAW) == Proof(1, (A, C), CHECKPOINT)


def test_the_leaf_is_proved_with_everybody_who_saw_the_tree():
    for index, (entry, path) in enumerate(zip(LEAVES, PATHS, strict=True)):
        found = tlog_proof.verify(tlog_proof.parse(tlog_proof.write(index, path, CHECKPOINT)), entry, POLICY)
        assert (found.index, found.checkpoint.head, found.complete) == (index, HEAD, True)
        assert found.checkpoint.post_quantum
        assert found.checkpoint.witnesses == ((W1.name, TIME + 1),)


def test_a_proof_without_enough_witnesses_says_so():
    raw = checkpoint.write(HEAD, [log_line(LOG, HEAD)])
    found = tlog_proof.verify(spelled(1, PATHS[1], raw), LEAVES[1], POLICY)
    assert not found.complete
    assert not found.checkpoint.post_quantum


def test_the_only_leaf_needs_no_path():
    head = Head(ORIGIN, 1, A)
    raw = tlog_proof.write(0, (), checkpoint.write(head, lines_of(head)))
    assert raw.startswith(b"c2sp.org/tlog-proof@v1\nindex 0\n\nexchange.example/log\n1\n")
    assert tlog_proof.verify(tlog_proof.parse(raw), LEAVES[0], POLICY).complete


def test_the_extra_line_is_carried_and_proves_nothing():
    raw = tlog_proof.write(1, PATHS[1], CHECKPOINT, b"anything\0")
    assert raw.split(b"\n")[1] == b"extra YW55dGhpbmcA"
    proof = tlog_proof.parse(raw)
    assert proof.extra == b"anything\0"
    with_it = tlog_proof.verify(proof, LEAVES[1], POLICY)
    assert with_it == tlog_proof.verify(spelled(1, PATHS[1]), LEAVES[1], POLICY)
    assert "extra" not in type(with_it).__struct_fields__


# What proves nothing


def test_another_leaf_index_or_path_is_refused():
    for index in range(3):
        for entry in LEAVES:
            if entry != LEAVES[index]:
                refused(spelled(index, PATHS[index]), entry)
    for path in ([], [A], [C, A], [A, C, C], [B, C], [C]):
        refused(spelled(1, path))
    for index in (0, 2, 3, -1, 2**63):
        refused(spelled(index, PATHS[1]))


@pytest.mark.parametrize("at", range(2))
def test_a_turned_bit_of_the_path_is_refused(at):
    for bit in range(256):
        changed = bytearray(PATHS[1][at])
        changed[bit // 8] ^= 1 << bit % 8
        path = [*PATHS[1][:at], bytes(changed), *PATHS[1][at + 1 :]]
        refused(spelled(1, path), match="another root")


def test_what_can_be_no_leaf_is_not_looked_for():
    head = Head(ORIGIN, 1, leaf_hash(b"any bytes"))
    raw = checkpoint.write(head, lines_of(head))
    refused(spelled(0, (), raw), b"any bytes", "33 bytes")


def test_a_node_is_not_taken_for_a_leaf():
    # RFC 6962 section 2.1.3: without the prefixes, the concatenation of A and B would stand at index 0 of two.
    head = Head(ORIGIN, 2, HEAD.root)
    raw = checkpoint.write(head, lines_of(head))
    refused(spelled(0, (C,), raw), A + B, "33 bytes")
    refused(spelled(0, (C,), raw), LEAVES[0], "another root")


def test_another_log_key_or_witness_is_refused():
    refused(spelled(1, PATHS[1]), match="not of", policy=msgspec.structs.replace(POLICY, origin="other.example/log"))
    refused(spelled(1, PATHS[1]), match="by the log", policy=msgspec.structs.replace(POLICY, log=W1.public))
    nobody = msgspec.structs.replace(POLICY, witnesses=())
    assert not tlog_proof.verify(spelled(1, PATHS[1]), LEAVES[1], nobody).complete
    for other in (Head(ORIGIN, 4, HEAD.root), Head(ORIGIN, 3, A), Head("other.example/log", 3, HEAD.root)):
        for at in range(3):
            mixed = lines_of(HEAD)
            mixed[at] = lines_of(other)[at]
            refused(spelled(1, PATHS[1], checkpoint.write(HEAD, mixed)), match="does not hold")


# Form

TOP = b"c2sp.org/tlog-proof@v1\n"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        TOP,
        TOP + b"index 1\n",
        TOP + b"index 1\n\n",
        CHECKPOINT,
        b"\n" + RAW,
        TOP + b"\n" + CHECKPOINT,
        TOP + HASH + b"\n" + CHECKPOINT,
        TOP + b"index 1\n" + CHECKPOINT,
        TOP + b"index 1\n\n\n" + CHECKPOINT,
        TOP + b"index 1\n\n" + HASH + b"\n" + CHECKPOINT,
        TOP + b"index 01\n\n" + CHECKPOINT,
        TOP + b"index -1\n\n" + CHECKPOINT,
        TOP + b"index  1\n\n" + CHECKPOINT,
        TOP + b"index 1 \n\n" + CHECKPOINT,
        TOP + b"index\n\n" + CHECKPOINT,
        TOP + b"index 3\n\n" + CHECKPOINT,
        TOP + b"index 9223372036854775808\n\n" + CHECKPOINT,
        TOP + b"Index 1\n\n" + CHECKPOINT,
        TOP + b"index 1\nindex 1\n\n" + CHECKPOINT,
        TOP + HASH + b"index 1\n\n" + CHECKPOINT,
        TOP + b"index 1\n" + HASH[:-2] + b"\n\n" + CHECKPOINT,
        TOP + b"index 1\n" + HASH * 64 + b"\n" + CHECKPOINT,
        TOP + b"index 1\nextra AAAA\n\n" + CHECKPOINT,
        TOP + b"extra AAAA\n\n" + CHECKPOINT,
        TOP + b"extra AAAA\nextra AAAA\nindex 1\n\n" + CHECKPOINT,
        TOP + b"extra \nindex 1\n\n" + CHECKPOINT,
        TOP + b"extra\nindex 1\n\n" + CHECKPOINT,
        TOP + b"extra AAA\nindex 1\n\n" + CHECKPOINT,
        TOP + b"extra AAB=\nindex 1\n\n" + CHECKPOINT,
        TOP + b"extra AA AA\nindex 1\n\n" + CHECKPOINT,
        TOP + b"extra AAAA\r\nindex 1\n\n" + CHECKPOINT,
        TOP + "extra é\nindex 1\n\n".encode() + CHECKPOINT,
        TOP + b"extra " + base64.b64encode(bytes(16 * 1024 + 1)) + b"\nindex 1\n\n" + CHECKPOINT,
        TOP.replace(b"v1", b"v2") + b"index 1\n\n" + CHECKPOINT,
        TOP.replace(b"\n", b" \n") + b"index 1\n\n" + CHECKPOINT,
        RAW.replace(b"\n", b"\r\n"),
        RAW[:-1],
        RAW + b"\n",
        RAW + bytes(2**20),
    ],
)
def test_another_form_is_refused(raw):
    with pytest.raises(ProofError):
        tlog_proof.parse(raw)


def test_the_form_is_the_only_reason_for_that():
    assert tlog_proof.parse(TOP + b"extra AAAA\nindex 2\n" + HASH * 63 + b"\n" + CHECKPOINT).index == 2
    assert tlog_proof.parse(tlog_proof.write(1, (), CHECKPOINT, bytes(16 * 1024))).extra == bytes(16 * 1024)


@pytest.mark.parametrize(
    ("index", "path", "raw", "extra"),
    [
        (-1, (), CHECKPOINT, None),
        (3, (), CHECKPOINT, None),
        (2**63, (), CHECKPOINT, None),
        (1, (b"",), CHECKPOINT, None),
        (1, (A,) * 64, CHECKPOINT, None),
        (1, (), b"", None),
        (1, (), CHECKPOINT, b""),
        (1, (), CHECKPOINT, bytes(16 * 1024 + 1)),
    ],
)
def test_what_cannot_be_read_is_not_written(index, path, raw, extra):
    with pytest.raises(ProofError):
        tlog_proof.write(index, path, raw, extra)


pieces = st.sampled_from(
    [TOP, b"index 1\n", b"extra AAAA\n", HASH, b"\n", CHECKPOINT, b"1", b"\r", b"extra ", b"index "]
)


@given(
    st.binary(max_size=120) | st.lists(pieces, max_size=10).map(b"".join), st.sampled_from([b"", TOP, RAW[:80], RAW])
)
def test_random_bytes_are_refused_or_are_the_one_spelling_of_a_proof(data, before):
    try:
        proof = tlog_proof.parse(before + data)
    except ProofError:
        return
    assert tlog_proof.write(proof.index, proof.path, proof.checkpoint, proof.extra) == before + data


@given(
    st.integers(-3, 2**64), st.lists(st.binary(max_size=40), max_size=5), st.binary(max_size=50), st.binary(max_size=40)
)
def test_verifying_anything_raises_the_one_error(index, path, raw, entry):
    for signed in (raw, CHECKPOINT):
        refused(Proof(index, tuple(path), signed), entry)
    assert merkle.HASH_BYTES == 32
