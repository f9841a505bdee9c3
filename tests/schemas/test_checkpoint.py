"""Checkpoints: one form, the log's signature, who else stood behind it. SPEC.md section 5.3; C2SP tlog-checkpoint."""

import base64
import hashlib

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey
from hypothesis import given
from hypothesis import strategies as st

from valija_schemas import checkpoint, limits, merkle, note
from valija_schemas.checkpoint import (
    CheckpointError,
    Ed25519Cosigner,
    Head,
    MlDsa44Cosigner,
    Policy,
    cosignature_line,
    log_line,
    verify_checkpoint,
)
from valija_schemas.note import Ed25519Signer, Signature, Verifier

DASH = "— ".encode()
ORIGIN = "exchange.example/log"
ROOT = hashlib.sha256(b"root").digest()
HEAD = Head(ORIGIN, 20_852_163, ROOT)
TIME = 1_795_488_860


def ed25519(seed):
    return Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)


def ml_dsa(seed):
    return MLDSA44PrivateKey.from_seed_bytes(bytes([seed]) * 32)


LOG, PQ = Ed25519Signer(ORIGIN, ed25519(1)), MlDsa44Cosigner(ORIGIN, ml_dsa(2))
W1, W2, W3 = (Ed25519Cosigner(f"witness.example/w{n}", ed25519(10 + n)) for n in (1, 2, 3))


def verifier(witness):
    return Verifier(witness.name, witness.public)


POLICY = Policy(ORIGIN, LOG.public, PQ.public, (verifier(W1), verifier(W2), verifier(W3)), 2)


def lines_of(head=HEAD, time=TIME):
    return {
        "log": log_line(LOG, head),
        "pq": cosignature_line(PQ, head, time),
        "w1": cosignature_line(W1, head, time + 1),
        "w2": cosignature_line(W2, head, time + 2),
    }


LINES = lines_of()
RAW = checkpoint.write(HEAD, LINES.values())
TEXT = HEAD.text


def raw_line(name, id_, value):
    return note.write_line(Signature(name, id_, value))


def refused(raw, match=None, policy=POLICY):
    with pytest.raises(CheckpointError, match=match):
        verify_checkpoint(raw, policy)


# What holds


def test_a_checkpoint_says_who_stands_behind_it():
    found = verify_checkpoint(RAW, POLICY)
    assert found.head == HEAD
    assert (found.size, found.root, found.raw) == (20_852_163, ROOT, RAW)
    assert found.post_quantum
    assert found.log_time_s == TIME
    assert found.witnesses == ((W1.name, TIME + 1), (W2.name, TIME + 2))
    assert found.complete
    assert found.head.reference == (20_852_163, ROOT.hex())


def test_a_checkpoint_is_three_lines_an_empty_one_and_signatures():
    lines = RAW.decode().split("\n")
    assert lines[:4] == [ORIGIN, "20852163", base64.b64encode(ROOT).decode(), ""]
    assert [line.split(" ")[1] for line in lines[4:-1]] == [ORIGIN, ORIGIN, W1.name, W2.name]
    assert not lines[-1]
    assert checkpoint.origin_of("exchange.example") == ORIGIN


def test_without_others_it_is_the_log_s_word_alone():
    found = verify_checkpoint(checkpoint.write(HEAD, [LINES["log"]]), POLICY)
    assert (found.post_quantum, found.log_time_s, found.witnesses, found.complete) == (False, None, (), False)
    one = verify_checkpoint(checkpoint.write(HEAD, [LINES["w1"], LINES["log"]]), POLICY)
    assert (one.witnesses, one.complete) == (((W1.name, TIME + 1),), False)
    assert verify_checkpoint(checkpoint.write(HEAD, [LINES["log"]]), msgspec.structs.replace(POLICY, quorum=0)).complete


def test_the_order_of_lines_does_not_matter():
    found = verify_checkpoint(checkpoint.write(HEAD, list(LINES.values())[::-1]), POLICY)
    assert found.complete
    assert found.post_quantum


def test_without_the_log_s_ed25519_signature_nothing_is_believed():
    refused(checkpoint.write(HEAD, [LINES["pq"], LINES["w1"], LINES["w2"]]), "not signed by the log")
    refused(checkpoint.write(HEAD, [LINES["w1"]]), "not signed by the log")
    other = Ed25519Signer(ORIGIN, ed25519(99))
    refused(checkpoint.write(HEAD, [log_line(other, HEAD), LINES["pq"]]), "not signed by the log")


def test_a_policy_without_an_ml_dsa_key_claims_nothing():
    policy = msgspec.structs.replace(POLICY, log_ml_dsa=None)
    assert not verify_checkpoint(RAW, policy).post_quantum
    assert not verify_checkpoint(
        RAW, msgspec.structs.replace(POLICY, log_ml_dsa=ml_dsa(3).public_key().public_bytes_raw())
    ).post_quantum


def test_the_ml_dsa_cosignature_may_keep_its_time_to_itself():
    # C2SP tlog-cosignature: 0 makes no statement as to the largest tree.
    found = verify_checkpoint(checkpoint.write(HEAD, [LINES["log"], cosignature_line(PQ, HEAD, 0)]), POLICY)
    assert found.log_time_s == 0
    assert found.post_quantum


def test_an_empty_log_has_a_checkpoint():
    head = Head(ORIGIN, 0, merkle.EMPTY_ROOT)
    raw = checkpoint.write(head, lines_of(head).values())
    assert raw.startswith(b"exchange.example/log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n")
    assert verify_checkpoint(raw, POLICY).complete
    with pytest.raises(CheckpointError, match="empty tree"):
        checkpoint.write(Head(ORIGIN, 0, ROOT), [LINES["log"]])


# What is signed, byte for byte


def test_the_ml_dsa_cosignature_covers_the_structure_of_the_specification():
    message = (
        b"subtree/v1\n\x00\x14exchange.example/log"
        + bytes.fromhex("000000006b04fc5c")
        + b"\x14exchange.example/log"
        + bytes.fromhex("0000000000000000")
        + bytes.fromhex("00000000013e2dc3")
        + ROOT
    )
    assert int("000000006b04fc5c", 16) == TIME
    assert int("013e2dc3", 16) == HEAD.size
    assert checkpoint.ml_dsa_44_message(ORIGIN, HEAD, TIME) == message
    data = base64.b64decode(LINES["pq"].rsplit(b" ", 1)[1])
    id_ = hashlib.sha256(b"exchange.example/log\n\x06" + PQ.public).digest()[:4]
    assert len(PQ.public) == 1_312
    assert len(data) == 4 + 8 + 2_420
    assert data[:12] == id_ + bytes.fromhex("000000006b04fc5c")
    MLDSA44PublicKey.from_public_bytes(PQ.public).verify(data[12:], message)


def test_a_line_built_by_hand_holds():
    message = b"subtree/v1\n\0\x14" + ORIGIN.encode() + bytes(7) + b"\5\x14" + ORIGIN.encode()
    message += bytes(8) + HEAD.size.to_bytes(8, "big") + ROOT
    id_ = hashlib.sha256(ORIGIN.encode() + b"\n\x06" + PQ.public).digest()[:4]
    line = raw_line(ORIGIN, id_, bytes(7) + b"\5" + ml_dsa(2).sign(message))
    assert verify_checkpoint(checkpoint.write(HEAD, [LINES["log"], line]), POLICY).log_time_s == 5


def test_a_witness_s_cosignature_covers_the_lines_of_the_specification():
    signed = b"cosignature/v1\ntime 1795488861\nexchange.example/log\n20852163\n" + base64.b64encode(ROOT) + b"\n"
    assert checkpoint.ed25519_message(HEAD, TIME + 1) == signed
    id_ = hashlib.sha256(W1.name.encode() + b"\n\x04" + W1.public).digest()[:4]
    value = (TIME + 1).to_bytes(8, "big") + ed25519(11).sign(signed)
    assert LINES["w1"] == DASH + W1.name.encode() + b" " + base64.b64encode(id_ + value) + b"\n"


def test_the_log_signs_the_text_as_any_note():
    id_ = hashlib.sha256(b"exchange.example/log\n\x01" + LOG.public).digest()[:4]
    assert LINES["log"] == raw_line(ORIGIN, id_, ed25519(1).sign(TEXT))


def test_the_examples_of_the_specifications_are_read():
    # C2SP tlog-checkpoint and tlog-cosignature; their keys are not printed there.
    raw = (
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
        "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE"
        "+xeMcTOAYQ8=\n"
        "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0"
        "xUe+mbIUBkBIfZ+qnA==\n"
    ).encode()
    head, signatures = checkpoint.parse(raw)
    assert (head.origin, head.size) == ("example.com/behind-the-sofa", 20_852_163)
    assert raw.startswith(head.text + b"\n")
    assert [len(line.value) for line in signatures] == [64, 72]
    assert int.from_bytes(signatures[1].value[:8], "big") == 1_679_315_147
    assert checkpoint.ed25519_message(head, 1_679_315_147).startswith(
        b"cosignature/v1\ntime 1679315147\nexample.com/behind-the-sofa\n20852163\n"
    )


# A line that is known and does not hold


@pytest.mark.parametrize("other", [Head(ORIGIN, HEAD.size + 1, ROOT), Head("other.example/log", HEAD.size, ROOT)])
@pytest.mark.parametrize("who", ["log", "pq", "w1", "w2"])
def test_a_signature_over_another_size_or_origin_is_refused(who, other):
    lines = {**LINES, who: lines_of(other)[who]}
    refused(checkpoint.write(HEAD, lines.values()), "does not hold")


@pytest.mark.parametrize("who", ["log", "pq", "w1", "w2"])
def test_a_signature_over_another_root_is_refused(who):
    lines = {**LINES, who: lines_of(Head(ORIGIN, HEAD.size, bytes(32)))[who]}
    refused(checkpoint.write(HEAD, lines.values()), "does not hold")


@pytest.mark.parametrize("time", [0, 1, TIME - 1, TIME + 1, 2**63 - 1, 2**63, 2**64 - 1])
@pytest.mark.parametrize("who", ["pq", "w1"])
def test_a_cosignature_of_another_time_is_refused(who, time):
    signer = {"pq": PQ, "w1": W1}[who]
    value = time.to_bytes(8, "big") + signer.cosign(HEAD, TIME)
    refused(checkpoint.write(HEAD, {**LINES, who: raw_line(signer.name, signer.key_id, value)}.values()), "not hold")


def test_a_time_that_does_not_fit_is_refused_even_when_it_is_signed():
    for cosigner in (PQ, W1):
        value = (2**63).to_bytes(8, "big") + cosigner.cosign(HEAD, 2**63)
        refused(checkpoint.write(HEAD, [LINES["log"], raw_line(cosigner.name, cosigner.key_id, value)]), "not hold")
        for time in (-1, 2**63):
            with pytest.raises(CheckpointError, match="time"):
                cosignature_line(cosigner, HEAD, time)
    refused(checkpoint.write(HEAD, [LINES["log"], cosignature_line(W1, HEAD, 0)]), "does not hold")


@pytest.mark.parametrize("who", ["log", "pq", "w1", "w2"])
def test_a_turned_bit_in_any_known_signature_spoils_the_whole(who):
    data = base64.b64decode(LINES[who].rsplit(b" ", 1)[1])
    places = range(4 * 8, len(data) * 8, 1 if len(data) < 100 else 97)
    for bit in places:
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        line = LINES[who].rsplit(b" ", 1)[0] + b" " + base64.b64encode(changed) + b"\n"
        refused(checkpoint.write(HEAD, {**LINES, who: line}.values()), "does not hold")


@pytest.mark.parametrize("length", [1, 7, 8, 63, 64, 65, 71, 73, 2_420, 2_427, 2_429])
@pytest.mark.parametrize("who", ["log", "pq", "w1"])
def test_a_signature_of_another_length_does_not_hold(who, length):
    if (who, length) == ("log", 64):
        return
    whole = base64.b64decode(LINES[who].rsplit(b" ", 1)[1])
    name = ORIGIN if who != "w1" else W1.name
    value = whole[4:].ljust(length, b"\0")[:length]
    refused(checkpoint.write(HEAD, {**LINES, who: raw_line(name, whole[:4], value)}.values()), "does not hold")


def test_the_kinds_of_signature_do_not_stand_for_each_other():
    # The log's plain signature where a cosignature is expected, and the other way round.
    plain = ed25519(11).sign(TEXT)
    refused(checkpoint.write(HEAD, [LINES["log"], raw_line(W1.name, W1.key_id, bytes(8) + plain)]), "does not hold")
    as_witness = Ed25519Cosigner(ORIGIN, ed25519(1))
    cosigned = as_witness.cosign(HEAD, TIME)
    id_ = note.key_id(ORIGIN, LOG.public)
    refused(checkpoint.write(HEAD, [raw_line(ORIGIN, id_, cosigned)]), "does not hold")
    refused(checkpoint.write(HEAD, [raw_line(ORIGIN, id_, TIME.to_bytes(8, "big") + cosigned)]), "does not hold")
    refused(checkpoint.write(HEAD, [cosignature_line(as_witness, HEAD, TIME)]), "not signed by the log")


def test_a_cosigner_s_name_is_covered_by_ml_dsa():
    other = MlDsa44Cosigner("witness.example/w9", ml_dsa(2))
    value = TIME.to_bytes(8, "big") + other.cosign(HEAD, TIME)
    refused(checkpoint.write(HEAD, [LINES["log"], raw_line(ORIGIN, PQ.key_id, value)]), "does not hold")


# A line that is not known


def test_unknown_lines_are_ignored():
    stranger = Ed25519Cosigner("stranger.example/w", ed25519(50))
    unknown = [
        cosignature_line(stranger, HEAD, TIME),
        raw_line(W1.name, bytes(4), bytes(72)),
        raw_line("stranger.example/x", W1.key_id, bytes(72)),
        raw_line(ORIGIN, bytes(4), b"\0"),
        raw_line("stranger.example/pq", PQ.key_id, bytes(3_000)),
    ]
    found = verify_checkpoint(checkpoint.write(HEAD, [*unknown, *LINES.values()]), POLICY)
    assert found.witnesses == ((W1.name, TIME + 1), (W2.name, TIME + 2))


def test_a_witness_under_two_names_counts_once():
    twin = Ed25519Cosigner("witness.example/twin", ed25519(11))
    policy = msgspec.structs.replace(POLICY, witnesses=(verifier(W1), verifier(twin)))
    found = verify_checkpoint(
        checkpoint.write(HEAD, [LINES["log"], LINES["w1"], cosignature_line(twin, HEAD, TIME)]), policy
    )
    assert found.witnesses == ((W1.name, TIME + 1),)
    assert not found.complete


def test_a_log_that_witnesses_itself_is_no_witness():
    itself = Ed25519Cosigner("witness.example/itself", ed25519(1))
    policy = msgspec.structs.replace(POLICY, witnesses=(verifier(itself),), quorum=1)
    found = verify_checkpoint(checkpoint.write(HEAD, [LINES["log"], cosignature_line(itself, HEAD, TIME)]), policy)
    assert found.witnesses == ()
    assert not found.complete


def test_two_witnesses_of_one_name_and_id_are_told_apart_by_their_signature(monkeypatch):
    # 4 bytes of id are soon made to collide: let all keys of this name have the id of W1.
    other = Verifier(W1.name, W2.public)
    real = note.key_id
    monkeypatch.setattr(note, "key_id", lambda name, *rest: W1.key_id if name == W1.name else real(name, *rest))
    for witnesses in ((verifier(W1), other), (other, verifier(W1))):
        policy = msgspec.structs.replace(POLICY, witnesses=witnesses, quorum=1)
        found = verify_checkpoint(checkpoint.write(HEAD, [LINES["log"], LINES["w1"]]), policy)
        assert found.witnesses == ((W1.name, TIME + 1),)
    policy = msgspec.structs.replace(POLICY, witnesses=(other,), quorum=1)
    refused(checkpoint.write(HEAD, [LINES["log"], LINES["w1"]]), "does not hold", policy)


def test_keys_that_are_none_verify_nothing():
    for bad in (b"", bytes(31), bytes(33)):
        witnesses = (Verifier(W1.name, bad),)
        policy = Policy(ORIGIN, LOG.public, bad, witnesses, 0)
        assert verify_checkpoint(RAW, policy).witnesses == ()
        line = raw_line(ORIGIN, note.key_id(ORIGIN, bad, b"\6"), bytes(8 + 2_420))
        refused(checkpoint.write(HEAD, [LINES["log"], line]), "does not hold", policy)
        line = raw_line(W1.name, note.key_id(W1.name, bad, b"\4"), bytes(72))
        refused(checkpoint.write(HEAD, [LINES["log"], line]), "does not hold", policy)


def test_a_checkpoint_of_another_log_is_refused():
    refused(RAW, "not of other", msgspec.structs.replace(POLICY, origin="other.example/log"))
    refused(RAW, "not of", msgspec.structs.replace(POLICY, origin="exchange.example"))


# Form


def signed(text):
    """The text, whatever it is, with the log's signature."""
    return text + b"\n" + note.signature_line(LOG, text)


BASE64_ROOT = base64.b64encode(ROOT)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\n",
        b"exchange.example/log\n",
        b"exchange.example/log\n1\n",
        b"exchange.example/log\n1\n" + BASE64_ROOT + b"\nextension\n",
        b"exchange.example/log\n1\n" + BASE64_ROOT + b"\n\n",
        b"\n1\n" + BASE64_ROOT + b"\n",
        b" exchange.example/log\n1\n" + BASE64_ROOT + b"\n",
        b"exchange.example/log \n1\n" + BASE64_ROOT + b"\n",
        b"exchange example/log\n1\n" + BASE64_ROOT + b"\n",
        b"exchange+example/log\n1\n" + BASE64_ROOT + b"\n",
        b"exchange\texample/log\n1\n" + BASE64_ROOT + b"\n",
        b"exchange.example/log\0\n1\n" + BASE64_ROOT + b"\n",
        "exchange.éxample/log\n1\n".encode() + BASE64_ROOT + b"\n",
        "exchange\u00a0example/log\n1\n".encode() + BASE64_ROOT + b"\n",
        b"\xef\xbb\xbfexchange.example/log\n1\n" + BASE64_ROOT + b"\n",
        b"\xff\n1\n" + BASE64_ROOT + b"\n",
        b"x" * 256 + b"\n1\n" + BASE64_ROOT + b"\n",
        b"1\nexchange.example/log\n" + BASE64_ROOT + b"\n",
        b"exchange.example/log\n" + BASE64_ROOT + b"\n1\n",
        b"exchange.example/log\n01\n" + BASE64_ROOT + b"\n",
        b"exchange.example/log\n00\n" + BASE64_ROOT + b"\n",
        b"exchange.example/log\n+1\n" + BASE64_ROOT + b"\n",
        b"exchange.example/log\n-1\n" + BASE64_ROOT + b"\n",
        b"exchange.example/log\n1 \n" + BASE64_ROOT + b"\n",
        b"exchange.example/log\n\n" + BASE64_ROOT + b"\n",
        b"exchange.example/log\n9223372036854775808\n" + BASE64_ROOT + b"\n",
        b"exchange.example/log\n" + b"9" * 4_400 + b"\n" + BASE64_ROOT + b"\n",
        b"exchange.example/log\n0\n" + BASE64_ROOT + b"\n",
        b"exchange.example/log\n1\n\n",
        b"exchange.example/log\n1\n" + BASE64_ROOT[:-1] + b"\n",
        b"exchange.example/log\n1\n" + BASE64_ROOT + b"=\n",
        b"exchange.example/log\n1\n" + base64.b64encode(ROOT[:31]) + b"\n",
        b"exchange.example/log\n1\n" + base64.b64encode(ROOT + b"\0") + b"\n",
        b"exchange.example/log\n1\n" + base64.urlsafe_b64encode(b"\xff" * 32) + b"\n",
        b"exchange.example/log\n1\n" + ROOT.hex().encode() + b"\n",
        b"exchange.example/log\r\n1\r\n" + BASE64_ROOT + b"\r\n",
        b"exchange.example/log\n1\n" + BASE64_ROOT + b"\r\n",
    ],
)
def test_another_form_of_the_text_is_refused_though_the_log_signed_it(text):
    refused(signed(text))


def test_the_form_is_the_only_reason_for_that():
    text = b"exchange.example/log\n1\n" + BASE64_ROOT + b"\n"
    assert verify_checkpoint(signed(text), POLICY).size == 1
    text = b"exchange.example/log\n9223372036854775807\n" + BASE64_ROOT + b"\n"
    assert verify_checkpoint(signed(text), POLICY).size == 2**63 - 1


@pytest.mark.parametrize(
    "raw",
    [
        RAW.replace(b"\n", b"\r\n"),
        RAW[:-1],
        RAW[:-1] + b"\r\n",
        RAW + b"\n",
        RAW + b"x",
        RAW + RAW,
        RAW + DASH,
        RAW.replace(b"\n\n", b"\n"),
        RAW.replace(b"\n\n", b"\n\n\n"),
        RAW.replace(b"\n\n", b"\nx"),
        RAW.replace(b"\n\n", b"\n "),
        RAW.replace(DASH, b"- "),
        RAW.replace(DASH, "—".encode()),
        RAW.replace(DASH, "—\u00a0".encode()),
        TEXT,
        TEXT + b"\n",
        b"\n" + RAW,
    ],
)
def test_another_frame_is_refused(raw):
    refused(raw)


def test_two_lines_of_one_name_and_id_are_refused():
    for name, line in LINES.items():
        refused(TEXT + b"\n" + b"".join(LINES.values()) + line, "same name and key id")
        if name != "log":  # ML-DSA signs with other bytes each time
            refused(TEXT + b"\n" + b"".join(LINES.values()) + lines_of()[name], "same name and key id")


def test_there_are_at_most_32_lines():
    others = [raw_line(f"stranger.example/{n}", bytes(4), b"x") for n in range(31)]
    assert verify_checkpoint(checkpoint.write(HEAD, [*others, LINES["log"]]), POLICY)
    refused(TEXT + b"\n" + b"".join([*others, LINES["log"], LINES["w1"]]), "32 signature lines")


def test_a_checkpoint_has_at_most_its_limit():
    line = raw_line("stranger.example/w", bytes(4), bytes(3_700))
    assert len(line) < limits.signature_line_bytes_max
    refused(TEXT + b"\n" + line * 40, "at most")
    refused(bytes(2**20), "at most")


def test_a_checkpoint_cut_off_is_refused_but_between_two_lines():
    for cut in range(len(RAW)):
        if cut > len(TEXT) + 1 and RAW[cut - 1 : cut] == b"\n":
            assert not verify_checkpoint(RAW[:cut], POLICY).complete
        else:
            refused(RAW[:cut])


@given(st.integers(0, len(TEXT) + 120), st.integers(1, 255))
def test_a_changed_byte_of_text_or_signature_is_refused(position, change):
    data = bytearray(checkpoint.write(HEAD, [LINES["log"]]))
    data[position % len(data)] ^= change
    refused(bytes(data))


@given(st.binary(max_size=150), st.sampled_from([b"", TEXT, TEXT + b"\n", RAW, TEXT + b"\n" + DASH, b"a/log\n1\n"]))
def test_random_bytes_raise_the_one_error(data, before):
    try:
        head, _ = checkpoint.parse(before + data)
    except CheckpointError:
        return
    assert (before + data).startswith(head.text + b"\n")


@given(
    st.lists(
        st.sampled_from([b"\n", DASH, b"a/log", b" ", b"0", b"1", BASE64_ROOT, TEXT, LINES["log"], b"\r", b"AAAAAAAA"]),
        max_size=12,
    )
)
def test_random_pieces_raise_the_one_error(pieces):
    try:
        verify_checkpoint(b"".join(pieces), POLICY)
    except CheckpointError:
        return
    assert LINES["log"] in pieces


def test_what_cannot_be_read_is_not_written():
    for head, lines in (
        (Head("exchange example/log", 1, ROOT), [LINES["log"]]),
        (HEAD, []),
        (HEAD, [LINES["log"], LINES["log"]]),
        (HEAD, [LINES["log"][:-1]]),
    ):
        with pytest.raises(CheckpointError):
            checkpoint.write(head, lines)
    for head in (Head(ORIGIN, -1, ROOT), Head(ORIGIN, 2**63, ROOT), Head(ORIGIN, 1, b"")):
        with pytest.raises(ValueError, match=r"hash|leaves"):
            checkpoint.write(head, [LINES["log"]])
    for name in ("", "x" * 256):
        with pytest.raises(CheckpointError, match="255"):
            checkpoint.ml_dsa_44_message(name, HEAD, TIME)


def test_a_cosigner_does_not_show_its_key():
    assert repr(W1) == "Ed25519Cosigner('witness.example/w1')"
    assert repr(PQ) == "MlDsa44Cosigner('exchange.example/log')"
