"""What log and witness say to each other, byte for byte. SPEC.md section 5.3; C2SP tlog-witness."""

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from valija_schemas import checkpoint, note, witness
from valija_schemas.checkpoint import Ed25519Cosigner, Head, cosignature_line, log_line
from valija_schemas.note import Ed25519Signer, Signature, Verifier
from valija_schemas.witness import WitnessError

ORIGIN = "exchange.example/log"
HEAD = Head(ORIGIN, 10, hashlib.sha256(b"root").digest())
TIME = 1_795_488_860


def ed25519(seed):
    return Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)


W1, W2 = Ed25519Cosigner("witness.example/w1", ed25519(11)), Ed25519Cosigner("witness.example/w2", ed25519(12))
WITNESS = Verifier(W1.name, W1.public)
CHECKPOINT = checkpoint.write(HEAD, [log_line(Ed25519Signer(ORIGIN, ed25519(1)), HEAD)])
PROOF = tuple(hashlib.sha256(bytes([n])).digest() for n in range(4))
BODY = witness.format_request(7, PROOF, CHECKPOINT)
LINE = base64.b64encode(PROOF[0])
RESPONSE = cosignature_line(W1, HEAD, TIME)

# C2SP tlog-witness: its example of a request
EXAMPLE = """old 20852014
PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=
/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=

example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=
""".encode()  # noqa: E501  # as it is printed there
# and of an answer
ANSWER = """— witness.example/w1 CMp+6LWBU0anHGH5aNDTJkH/gj79sG+T6+iP2ThYN5krrDJbR1HDnucjL39QsZTSvVjyQLrdk3DXDqI5G2HgLatVs0pWh6Up69HVOw==
— witness.example/w1 I7rEps0pvK2UqkS2gSpVUDhrhVtQV9lgF6pRrWAvjJHjyWpW7VcE3SiOlVlbQNt64vWhO+DlkL0+UfzuOBMh9ChdMkP1vi/lCAsmlw==
— witness.example/w2 AWui8Sk55XjYLOijihBjhqEH6nS1ndDymE0a+6idX7pLcnoB+dhnz0854aLZgrrKbYKA7nC3HNJhm/kWl7oJlqU3rXXvpysAdyP3wQ==
""".encode()  # noqa: E501


def test_a_request_is_an_old_size_a_proof_an_empty_line_and_a_checkpoint():
    assert b"old 7\n" + b"".join(base64.b64encode(value) + b"\n" for value in PROOF) + b"\n" + CHECKPOINT == BODY
    request = witness.parse_request(BODY)
    assert (request.old_size, request.proof, request.checkpoint, request.head) == (7, PROOF, CHECKPOINT, HEAD)
    assert witness.format_request(0, (), CHECKPOINT) == b"old 0\n\n" + CHECKPOINT
    assert witness.parse_request(b"old 0\n\n" + CHECKPOINT).proof == ()
    assert witness.parse_request(b"old 10\n\n" + CHECKPOINT).old_size == 10


def test_the_example_of_the_specification_is_read_and_written_again():
    request = witness.parse_request(EXAMPLE)
    assert (request.old_size, len(request.proof), request.head.size) == (20_852_014, 4, 20_852_163)
    assert witness.format_request(request.old_size, request.proof, request.checkpoint) == EXAMPLE


def test_the_statuses_are_those_of_the_specification():
    statuses = (witness.OK, witness.BAD_REQUEST, witness.FORBIDDEN, witness.NOT_FOUND, witness.CONFLICT)
    assert (*statuses, witness.UNPROCESSABLE) == (200, 400, 403, 404, 409, 422)
    assert witness.SIZE_CONTENT_TYPE == "text/x.tlog.size"
    assert witness.PATH == "add-checkpoint"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\n",
        b"old 7\n",
        b"old 7\n\n",
        CHECKPOINT,
        b"\n" + BODY,
        b"7\n\n" + CHECKPOINT,
        b"old\n\n" + CHECKPOINT,
        b"old \n\n" + CHECKPOINT,
        b"old  7\n\n" + CHECKPOINT,
        b"Old 7\n\n" + CHECKPOINT,
        b"new 7\n\n" + CHECKPOINT,
        b"old 07\n\n" + CHECKPOINT,
        b"old -1\n\n" + CHECKPOINT,
        b"old 7 \n\n" + CHECKPOINT,
        b"old 11\n\n" + CHECKPOINT,
        b"old 9223372036854775808\n\n" + CHECKPOINT,
        b"old 7\r\n\r\n" + CHECKPOINT,
        b"old 7\n" + CHECKPOINT,
        b"old 7\n\n\n" + CHECKPOINT,
        b"old 7\n" + LINE + b"\n\n\n" + CHECKPOINT,
        b"old 7\n\n" + LINE + b"\n\n" + CHECKPOINT,
        b"old 7\n" + LINE[:-1] + b"\n\n" + CHECKPOINT,
        b"old 7\n" + LINE + b" \n\n" + CHECKPOINT,
        b"old 7\n" + LINE + b"\r\n\n" + CHECKPOINT,
        b"old 7\nold 8\n\n" + CHECKPOINT,
        b"old 7\n" + (LINE + b"\n") * 64 + b"\n" + CHECKPOINT,
        BODY.replace(b"\n", b"\r\n"),
        BODY[:-1],
        BODY + b"\n",
        BODY + BODY,
        BODY + bytes(2**20),
    ],
)
def test_another_form_of_a_request_is_refused(body):
    with pytest.raises(WitnessError):
        witness.parse_request(body)


def test_a_request_has_at_most_63_lines_of_proof():
    assert len(witness.parse_request(witness.format_request(7, PROOF[:1] * 63, CHECKPOINT)).proof) == 63
    with pytest.raises(WitnessError, match="63"):
        witness.format_request(7, PROOF[:1] * 64, CHECKPOINT)


@pytest.mark.parametrize(
    ("old_size", "proof", "raw"),
    [(-1, (), CHECKPOINT), (11, (), CHECKPOINT), (2**63, (), CHECKPOINT), (7, (b"",), CHECKPOINT), (7, (), b"")],
)
def test_what_cannot_be_read_is_not_asked(old_size, proof, raw):
    with pytest.raises(WitnessError):
        witness.format_request(old_size, proof, raw)


@given(st.binary(max_size=120), st.sampled_from([b"", b"old 7\n", b"old 7\n\n", BODY, BODY[:120]]))
def test_random_bytes_are_refused_or_are_the_one_spelling_of_a_request(data, before):
    try:
        request = witness.parse_request(before + data)
    except WitnessError:
        return
    assert witness.format_request(request.old_size, request.proof, request.checkpoint) == before + data


# Answers


def test_an_answer_gives_the_line_to_add_to_the_checkpoint():
    stranger = cosignature_line(W2, HEAD, TIME)
    body = witness.format_response([stranger, RESPONSE])
    assert body == stranger + RESPONSE
    assert witness.parse_response(body, HEAD, WITNESS) == (RESPONSE, TIME)
    both = CHECKPOINT + RESPONSE
    policy = checkpoint.Policy(ORIGIN, Ed25519Signer(ORIGIN, ed25519(1)).public, None, (WITNESS,), 1)
    assert checkpoint.verify_checkpoint(both, policy).witnesses == ((W1.name, TIME),)


def test_lines_by_others_alone_are_no_cosignature():
    for body in (ANSWER, cosignature_line(W2, HEAD, TIME), log_line(Ed25519Signer(W1.name, ed25519(11)), HEAD)):
        with pytest.raises(WitnessError, match="this has 0"):
            witness.parse_response(body, HEAD, WITNESS)


def test_a_cosignature_that_stands_twice_is_refused():
    for second in (RESPONSE, cosignature_line(W1, HEAD, TIME + 1)):
        with pytest.raises(WitnessError, match="this has 2"):
            witness.parse_response(RESPONSE + second, HEAD, WITNESS)


@pytest.mark.parametrize(
    "other",
    [
        Head(ORIGIN, 11, HEAD.root),
        Head("other.example/log", 10, HEAD.root),
        Head(ORIGIN, 10, hashlib.sha256(b"other").digest()),
    ],
)
def test_a_cosignature_of_another_checkpoint_is_refused(other):
    with pytest.raises(WitnessError, match="does not hold"):
        witness.parse_response(cosignature_line(W1, other, TIME), HEAD, WITNESS)


@pytest.mark.parametrize("time", [0, TIME - 1, TIME + 1, 2**63, 2**64 - 1])
def test_a_cosignature_of_another_time_is_refused(time):
    line = note.write_line(Signature(W1.name, W1.key_id, time.to_bytes(8, "big") + W1.cosign(HEAD, TIME)))
    with pytest.raises(WitnessError, match="does not hold"):
        witness.parse_response(line, HEAD, WITNESS)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\n",
        b"\n" + RESPONSE,
        RESPONSE[:-1],
        RESPONSE + b"\n",
        RESPONSE[:-1] + b"\r\n",
        RESPONSE + b"x",
        CHECKPOINT + RESPONSE,
        RESPONSE[2:],
        RESPONSE * 33,
        bytes(2**20),
    ],
)
def test_what_is_not_signature_lines_is_no_answer(body):
    with pytest.raises(WitnessError):
        witness.parse_response(body, HEAD, WITNESS)


@given(st.binary(max_size=120), st.sampled_from([b"", RESPONSE, "— ".encode(), RESPONSE[:60]]))
def test_random_bytes_raise_the_one_error(data, before):
    try:
        found = witness.parse_response(before + data, HEAD, WITNESS)
    except WitnessError:
        return
    assert found == (RESPONSE, TIME)


def test_a_conflict_gives_the_size_that_the_witness_knows():
    assert witness.format_size(20_852_014) == b"20852014\n"
    assert witness.parse_size(b"20852014\n") == 20_852_014
    assert witness.parse_size(witness.format_size(0)) == 0
    for body in (b"", b"\n", b"7", b"07\n", b"7\r\n", b"7\n\n", b" 7\n", b"-7\n", b"9223372036854775808\n"):
        with pytest.raises(WitnessError):
            witness.parse_size(body)


@given(st.binary(max_size=30))
def test_a_random_size_raises_the_one_error(data):
    try:
        size = witness.parse_size(data)
    except WitnessError:
        return
    assert witness.format_size(size) == data
