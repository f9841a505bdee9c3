"""Leaves, checkpoints and proofs: SPEC.md section 5.3."""

from typing import Any

from valija_schemas import checkpoint, evidence, leaf, merkle, tlog_proof, wire
from valija_schemas import note as notes
from valija_schemas.checkpoint import Ed25519Cosigner, Head, MlDsa44Cosigner
from vectors import field, shape
from vectors.field import ORIGIN
from vectors.made import Group
from vectors.made.evidence import event

LOG = notes.Ed25519Signer(f"{ORIGIN}/log", field.Ed25519PrivateKey.from_private_bytes(field.seed("log sign")))
TIME = 1_795_488_862
EVENT = notes.text(evidence.EVIDENCE, ORIGIN, wire.encode(event("ContentHandover")))
LEAVES = (
    leaf.of_directory(field.ANCHOR),
    leaf.of_directory(field.REFERENCE[1]),
    leaf.of_event(field.seed("salt"), EVENT),
)
A, B, C = (merkle.leaf_hash(entry) for entry in LEAVES)
HEAD = Head(f"{ORIGIN}/log", 3, merkle.node_hash(merkle.node_hash(A, B), C))
HELD = {"origin": ORIGIN, "anchor": field.ANCHOR, "held": [field.ROOT_1]}


class Signed:
    """Signature lines under a head."""

    def __init__(self, recorded: field.Recorded) -> None:
        self._recorded = recorded
        self._log = MlDsa44Cosigner(f"{ORIGIN}/log", field.ml_dsa())

    def ml_dsa(self, head: Head = HEAD, *, name: str = "", time_s: int = TIME) -> bytes:
        signed = checkpoint.ml_dsa_44_message(self._log.name, head, time_s)
        value = self._recorded("ml-dsa-44", signed, lambda: self._log.cosign(head, time_s))
        line = notes.Signature(name or self._log.name, self._log.key_id, time_s.to_bytes(8, "big") + value)
        return notes.write_line(line)

    def witness(self, number: int, head: Head = HEAD, time_s: int = TIME) -> bytes:
        name = field.WITNESSES[number]
        key = field.Ed25519PrivateKey.from_private_bytes(field.seed(name))
        return checkpoint.cosignature_line(Ed25519Cosigner(name, key), head, time_s)

    def good(self, head: Head = HEAD) -> list[bytes]:
        return [checkpoint.log_line(LOG, head), self.ml_dsa(head), self.witness(0, head)]


def groups(recorded: field.Recorded) -> list[shape.Group]:
    signed = Signed(recorded)
    return [*_leaves(), _checkpoints(signed), _proofs(signed)]


def _leaves() -> list[shape.Group]:
    group = Group("event-leaf", "event-leaf", "5.3")
    salt = field.seed("salt")
    group.accept("handover", output=LEAVES[2].hex(), salt=salt.hex(), data=EVENT)
    empty = leaf.of_event(salt, b"").hex()
    group.accept(
        "of-nothing", "The commitment is of bytes, whatever they are.", output=empty, salt=salt.hex(), data=b""
    )
    stops = "HMAC fills a short key with zeros and hashes a long one: two salts would open one leaf."
    for name, value in {
        "31-bytes": salt[:-1],
        "33-bytes": salt + b"\0",
        "none": b"",
        "65-bytes": salt * 2 + b"\0",
    }.items():
        group.refuse(f"salt-of-{name}", stops, salt=value.hex(), data=EVENT)
    other = Group("directory-leaf", "directory-leaf", "5.3")
    other.accept("version", output=LEAVES[1].hex(), digest=field.REFERENCE[1])
    stops = "A digest has one spelling."
    other.refuse("upper-case", stops, digest=field.REFERENCE[1].upper())
    other.refuse("short", stops, digest=field.REFERENCE[1][2:])
    other.refuse("with-spaces", stops, digest=" ".join(field.REFERENCE[1][n : n + 2] for n in range(0, 64, 2)))
    return [group.made, other.made]


def _raw(head: Head, lines: list[bytes]) -> bytes:
    return head.text + b"\n" + b"".join(lines)


def _checkpoints(signed: Signed) -> shape.Group:
    group = Group("checkpoint", "checkpoint", "5.3", **HELD)
    log, ml_dsa, witness = signed.good()
    group.accept("witnessed", data=_raw(HEAD, [log, ml_dsa, witness]))
    group.accept("lines-in-another-order", "Lines have no order.", data=_raw(HEAD, [witness, ml_dsa, log]))
    group.accept("two-witnesses", "More than the quorum.", data=_raw(HEAD, [log, ml_dsa, witness, signed.witness(1)]))
    stranger = notes.signature_line(field.signer("mx.enlace"), HEAD.text)
    group.accept(
        "line-of-a-stranger",
        "Unknown lines are ignored on a checkpoint.",
        spec="1.4",
        data=_raw(HEAD, [log, ml_dsa, witness, stranger]),
    )
    stops = "Without the quorum somebody may be shown another tree: it is not called complete."
    group.add("no-witness", "unwitnessed", stops, data=_raw(HEAD, [log, ml_dsa]))
    stops = "Ed25519 alone may one day be forged."
    group.refuse("no-ml-dsa", stops, data=_raw(HEAD, [log, witness]))
    group.refuse("no-ed25519", "The log signs its checkpoints.", data=_raw(HEAD, [ml_dsa, witness]))
    group.refuse("witness-alone", "A witness is not the log.", data=_raw(HEAD, [witness]))
    bad = "A line of a known key that does not hold spoils the checkpoint."
    other = Head(HEAD.origin, 2, merkle.node_hash(A, B))
    group.refuse("ed25519-of-another-tree", bad, data=_raw(HEAD, [checkpoint.log_line(LOG, other), ml_dsa, witness]))
    group.refuse("ml-dsa-of-another-tree", bad, data=_raw(HEAD, [log, signed.ml_dsa(other), witness]))
    group.refuse("witness-of-another-tree", bad, data=_raw(HEAD, [log, ml_dsa, signed.witness(0, other)]))
    turned = ml_dsa[:-20] + (b"A" if ml_dsa[-20:-19] != b"A" else b"B") + ml_dsa[-19:]
    group.refuse("ml-dsa-altered", bad, data=_raw(HEAD, [log, turned, witness]))
    time = ml_dsa.split(b" ")
    raw = notes.read_lines(ml_dsa, 0)[0][0]
    shifted = notes.write_line(notes.Signature(raw.name, raw.key_id, (TIME + 1).to_bytes(8, "big") + raw.value[8:]))
    group.refuse("ml-dsa-with-another-time", "The time is signed too.", data=_raw(HEAD, [log, shifted, witness]))
    group.refuse(
        "witness-at-time-0",
        "A witness says when it looked.",
        data=_raw(HEAD, [log, ml_dsa, signed.witness(0, time_s=0)]),
    )
    assert time[0] == "—".encode()
    group.refuse(
        "line-twice",
        "Two lines of one key: one reader counts another than the next.",
        spec="1.1",
        data=_raw(HEAD, [log, ml_dsa, witness, witness]),
    )
    good = _raw(HEAD, [log, ml_dsa, witness])
    group.refuse("something-follows", "Bytes that nobody signed must not travel along.", data=good + b"\n")
    group.refuse("no-line", "A checkpoint that nobody signed.", data=HEAD.text + b"\n")
    strange = Head("test.example/log", HEAD.size, HEAD.root)
    group.refuse("other-log", "Another exchange's log.", data=_raw(strange, signed.good(strange)))
    extended = HEAD.text + b"extension\n"
    line = notes.signature_line(LOG, extended)
    group.refuse(
        "extension-line",
        "The ML-DSA cosignature does not cover extension lines.",
        data=extended + b"\n" + line + ml_dsa + witness,
    )
    text = HEAD.text
    for name, changed in {
        "size-leading-zero": text.replace(b"\n3\n", b"\n03\n"),
        "size-negative": text.replace(b"\n3\n", b"\n-3\n"),
        "size-beyond-2-63": text.replace(b"\n3\n", b"\n9223372036854775808\n"),
        "root-without-padding": text[:-2] + b"\n",
        "root-other-last-bits": text[:-3] + bytes([text[-3] + 1]) + text[-2:],
        "root-of-31-bytes": text.rsplit(b"\n", 2)[0] + b"\n" + field.base64.b64encode(bytes(31)) + b"\n",
    }.items():
        assert changed != text, name
        data = changed + b"\n" + notes.signature_line(LOG, changed) + ml_dsa + witness
        group.refuse(name, "A checkpoint has one spelling.", data=data)
    empty = Head(HEAD.origin, 0, bytes(32))
    group.refuse("empty-tree-with-a-root", "The empty tree has one root.", data=_raw(empty, signed.good(empty)))
    nothing = Head(HEAD.origin, 0, merkle.EMPTY_ROOT)
    group.accept("empty-tree", "A log begins with nothing.", data=_raw(nothing, signed.good(nothing)))
    return group.made


def _proofs(signed: Signed) -> shape.Group:
    group = Group("proof", "proof", "5.3", **HELD)
    head = _raw(HEAD, signed.good())
    paths = ([B, C], [A, C], [merkle.node_hash(A, B)])

    def proof(index: int, path: list[bytes], below: bytes = head, extra: bytes | None = None) -> bytes:
        return tlog_proof.write(index, path, below, extra)

    for index, path in enumerate(paths):
        name = ("root", "directory", "event")[index]
        group.accept(name, "The leaf stands where the proof says.", leaf=LEAVES[index].hex(), data=proof(index, path))
    entry: dict[str, Any] = {"leaf": LEAVES[2].hex()}
    good = proof(2, paths[2])
    group.accept(
        "with-an-extra-line", "The extra line says nothing that counts.", **entry, data=proof(2, paths[2], extra=b"x")
    )
    stops = "A proof without enough witnesses is not called complete."
    group.add("no-witness", "unwitnessed", stops, **entry, data=proof(2, paths[2], _raw(HEAD, signed.good()[:2])))
    stops = "What is not in the tree is not proved."
    group.refuse("other-leaf", stops, leaf=LEAVES[1].hex(), data=good)
    group.refuse("other-index", stops, **entry, data=proof(1, paths[2]))
    group.refuse("path-longer", stops, **entry, data=proof(2, [*paths[2], A]))
    group.refuse("path-shorter", stops, **entry, data=proof(2, []))
    group.refuse("path-altered", stops, **entry, data=proof(2, [merkle.node_hash(B, A)]))
    group.refuse("path-in-another-order", stops, leaf=LEAVES[0].hex(), data=proof(0, [C, B]))
    group.refuse("leaf-of-the-third-kind", "There are two kinds of leaves.", leaf="03" + LEAVES[2].hex()[2:], data=good)
    third = b"\x03" + LEAVES[2][1:]
    alone = Head(HEAD.origin, 1, merkle.leaf_hash(third))
    stops = "There are two kinds of leaves, whatever a log puts into its tree."
    group.refuse(
        "leaf-of-the-third-kind-in-the-tree",
        stops,
        leaf=third.hex(),
        data=proof(0, [], _raw(alone, signed.good(alone))),
    )
    group.refuse("leaf-of-34-bytes", "A leaf has 33 bytes.", leaf=LEAVES[2].hex() + "00", data=good)
    node = (b"\x01" + A + B).hex()
    stops = "An inner node must not be shown as a leaf (RFC 6962 section 2.1)."
    group.refuse("node-as-leaf", stops, leaf=node, data=good)
    one = "A proof has one spelling."
    for name, data in {
        "no-first-line": good.split(b"\n", 1)[1],
        "other-version": good.replace(b"@v1", b"@v2"),
        "index-leading-zero": good.replace(b"index 2", b"index 02"),
        "index-missing": good.replace(b"index 2\n", b""),
        "index-beyond": good.replace(b"index 2", b"index 3"),
        "index-twice": good.replace(b"index 2\n", b"index 2\nindex 2\n"),
        "extra-not-base64": good.replace(b"index 2", b"extra ?\nindex 2"),
        "extra-behind-index": good.replace(b"index 2\n", b"index 2\nextra eA==\n"),
        "cr-lf": good.replace(b"\n", b"\r\n"),
        "no-checkpoint": good.split(b"\n\n")[0] + b"\n\n",
    }.items():
        group.refuse(name, one, **entry, data=data)
    spoiled = _raw(HEAD, [checkpoint.log_line(LOG, HEAD), signed.witness(0)])
    group.refuse(
        "checkpoint-without-ml-dsa", "Ed25519 alone may one day be forged.", **entry, data=proof(2, paths[2], spoiled)
    )
    return group.made
