"""Two other readings of RFC 6962 and RFC 9162 verify our checkpoints and proofs, and refuse changed ones.

`@sigstore/verify`, which npm itself runs, takes a checkpoint as signed note with an inclusion proof. It knows no
consistency proof; `@transmute/rfc9162` does, makes both kinds itself, and we verify what it makes.
"""

import random
from base64 import b64decode, b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from valija_broker.log import prove
from valija_schemas import checkpoint, leaf, merkle, note, tiles
from valija_schemas.checkpoint import Ed25519Cosigner, Head, MlDsa44Cosigner
from valija_schemas.note import Ed25519Signer

pytestmark = pytest.mark.interop

origin = "exchange.example/log"
key = Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)
log = Ed25519Signer(origin, key)
cosigner = MlDsa44Cosigner(origin, MLDSA44PrivateKey.from_seed_bytes(bytes([2]) * 32))
witness = Ed25519Cosigner("witness.example/w1", Ed25519PrivateKey.from_private_bytes(bytes([3]) * 32))
leaves = [leaf.of_event(n.to_bytes(32, "big"), b"event %d" % n) for n in range(600)]
kept = tiles.grow(0, [merkle.leaf_hash(entry) for entry in leaves], lambda _: b"")
tree = tiles.TileHashes(len(leaves), kept.__getitem__)
sizes = (*range(1, 18), 31, 32, 33, 64, 100, 127, 128, 129, 255, 256, 257, 300, 511, 512, 513, 600)
some = random.Random(6962)


def encoded(data):
    return b64encode(data).decode()


def root(size):
    return prove.root(tree, size)


def changes(job, *fields):
    """The job with one bit turned in each of `fields`, with a hash fewer, and with one more."""
    for field in fields:
        data = bytearray(b64decode(job[field]))
        at = some.randrange(len(data) * 8)
        data[at // 8] ^= 1 << at % 8
        yield {**job, field: encoded(data)}
    for at, value in enumerate(job["path"]):
        data = bytearray(b64decode(value))
        data[some.randrange(32)] ^= 1 << some.randrange(8)
        yield {**job, "path": [*job["path"][:at], encoded(data), *job["path"][at + 1 :]]}
    if job["path"]:
        yield {**job, "path": job["path"][:-1]}
    yield {**job, "path": [*job["path"], encoded(bytes(32))]}


def indexes(size):
    return sorted({0, size - 1, size // 2, some.randrange(size)})


def verdicts(node, good, bad):
    answers = node("log_peer.mjs", [*good, *bad])
    for job, answer in zip(good, answers, strict=False):
        assert answer == {}, (job, answer)
    for job, answer in zip(bad, answers[len(good) :], strict=True):
        assert "refused" in answer, job
    print(f"\n{len(good)} verified, {len(bad)} changed ones refused")


def inclusion(size, index):
    return {
        "do": "inclusion",
        "leaf": encoded(leaves[index]),
        "index": index,
        "size": size,
        "path": [encoded(value) for value in prove.inclusion(tree, index, size)],
        "root": encoded(root(size)),
    }


def logged(size, index):
    head = Head(origin, size, root(size))
    others = [checkpoint.cosignature_line(who, head, 1_795_488_860) for who in (cosigner, witness)]
    return {
        "do": "logged",
        "leaf": encoded(leaves[index]),
        "index": index,
        "path": [encoded(value) for value in prove.inclusion(tree, index, size)],
        "checkpoint": encoded(checkpoint.write(head, [checkpoint.log_line(log, head), *others])),
        "key": encoded(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)),
        "key_id": encoded(note.key_id(origin, log.public)),
        "name": origin,
    }


def consistency(old, new):
    return {
        "do": "consistency",
        "old_size": old,
        "old_root": encoded(root(old)),
        "new_size": new,
        "new_root": encoded(root(new)),
        "path": [encoded(value) for value in prove.consistency(tree, old, new)],
    }


def test_sigstore_verifies_our_checkpoints_with_our_proofs_and_refuses_changed_ones(node):
    good = [logged(size, index) for size in sizes for index in indexes(size)]
    bad = [other for job in good for other in changes(job, "leaf")]
    for job in good:
        raw = b64decode(job["checkpoint"])
        text = raw.index(b"\n\n")
        at = some.randrange(len(origin) + 1, text)
        turned = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
        bad.append({**job, "checkpoint": encoded(turned)})
        bad.append({**job, "key_id": encoded(bytes(4))})
    verdicts(node, good, bad)


def test_the_roots_of_another_implementation_are_ours(node):
    jobs = [{"do": "root", "leaves": [encoded(entry) for entry in leaves[:size]]} for size in sizes]
    for size, answer in zip(sizes, node("log_peer.mjs", jobs), strict=True):
        assert b64decode(answer["root"]) == root(size)


def test_another_implementation_verifies_our_inclusion_proofs_and_refuses_changed_ones(node):
    good = [inclusion(size, index) for size in sizes for index in indexes(size)]
    verdicts(node, good, [other for job in good for other in changes(job, "leaf", "root")])


def test_another_implementation_verifies_our_consistency_proofs_and_refuses_changed_ones(node):
    pairs = [(old, new) for new in sizes for old in sizes if old < new and (new < 18 or some.random() < 0.5)]
    good = [consistency(old, new) for old, new in pairs]
    verdicts(node, good, [other for job in good for other in changes(job, "old_root", "new_root")])


def test_we_verify_the_proofs_that_another_implementation_makes(node):
    cases = [(size, index, old) for size in sizes[1:] for index in indexes(size) for old in (index or 1,)]
    jobs = [
        {"do": "prove", "leaves": [encoded(entry) for entry in leaves[:size]], "index": index, "old_size": old}
        for size, index, old in cases
    ]
    for (size, index, old), answer in zip(cases, node("log_peer.mjs", jobs), strict=True):
        theirs = [b64decode(value) for value in answer["inclusion"]]
        merkle.verify_inclusion(merkle.leaf_hash(leaves[index]), index, size, theirs, root(size))
        assert theirs == prove.inclusion(tree, index, size)
        theirs = [b64decode(value) for value in answer["consistency"]]
        merkle.verify_consistency(old, root(old), size, root(size), theirs)
        assert theirs == prove.consistency(tree, old, size)
