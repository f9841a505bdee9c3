"""Problems: every refusal has a code, a word for a person, and tells a stranger nothing. SPEC.md section 3.4."""

import json
import unicodedata

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from valija_schemas import problem
from valija_schemas.problem import KINDS, REJECTIONS, Code, FirstAcceptance, Flaw, ProblemError

TIME = 1_795_488_860_123
VAGUE = [code for code in Code if KINDS[code].vague]
NOTE = "valija/evidence/v1 exchange.example\n{}\n\n— exchange.example/broker AAAA\n".encode()


def test_every_code_is_described():
    assert set(KINDS) == set(Code)
    for code, kind in KINDS.items():
        assert 400 <= kind.status <= 599
        assert kind.title
        assert kind.title[0].isupper()
        assert not kind.title.endswith(".")
        assert kind.hint.endswith(".")
        assert code == code.lower()
        assert code.replace("-", "").isalpha()


def test_titles_tell_codes_apart():
    assert len({kind.title for kind in KINDS.values()}) == len(KINDS)


def test_only_a_verified_live_message_with_its_senders_own_fault_gives_evidence():
    assert {str(code) for code in REJECTIONS} == {
        "stale-directory",
        "unknown-recipient",
        "suspended",
        "held",
        "route-not-allowed",
        "unknown-type",
        "keys-mismatch",
        "attachments-not-accepted",
        "body-shape",
    }
    # Somebody who holds a copy of a note can send another body behind it; a message that is not live proves nothing.
    assert not REJECTIONS & {Code.BODY_MISMATCH, Code.EXPIRED, Code.TOO_OLD, Code.SENT_IN_THE_FUTURE, Code.UNVERIFIED}


def test_what_heals_by_itself_is_not_sealed_again():
    for kind in KINDS.values():
        assert not (kind.retryable and kind.reseal)
    assert {code for code, kind in KINDS.items() if kind.reseal} == {
        Code.STALE_DIRECTORY,
        Code.KEYS_MISMATCH,
        Code.TOO_OLD,
    }
    assert all(KINDS[code].retryable for code in KINDS if KINDS[code].status in {408, 429} or KINDS[code].status >= 500)


@pytest.mark.parametrize("code", list(Code))
def test_a_problem_is_read_as_it_was_written(code):
    made = problem.of(
        code,
        time_ms=TIME,
        detail="mx.enlace is not in the directory",
        evidence=NOTE,
        accepted=FirstAcceptance(digest="0" * 64, time=TIME),
        errors=[Flaw(pointer="/to", detail="empty")],
    )
    again = problem.decode(problem.encode(made))
    assert again == made
    assert again.kind is KINDS[code]
    assert again.type == f"urn:valija:problem:{code}"
    assert (again.status, again.title, again.retryable) == (
        KINDS[code].status,
        KINDS[code].title,
        KINDS[code].retryable,
    )
    if code not in VAGUE:
        assert again.evidence is not None
        assert again.evidence.encode() == NOTE


@pytest.mark.parametrize("code", VAGUE)
def test_who_is_not_known_to_have_signed_learns_nothing(code):
    vague = problem.encode(problem.of(code, time_ms=TIME))
    assert vague == problem.encode(
        problem.of(
            code,
            time_ms=TIME,
            detail="mx.enlace has another key",
            evidence=NOTE,
            accepted=FirstAcceptance(digest="0" * 64, time=TIME),
            errors=[Flaw(pointer="/from", detail="unknown")],
        )
    )
    fields = json.loads(vague)
    assert fields["detail"] == fields["title"]


def test_signatures_and_absent_things_are_vague():
    assert set(VAGUE) == {Code.NOT_SIGNED, Code.NOT_SIGNED_IN, Code.UNVERIFIED, Code.NOT_FOUND}
    assert [KINDS[code].status for code in VAGUE] == [401, 401, 403, 404]


def test_every_member_of_rfc_9457_is_there():
    fields = json.loads(problem.encode(problem.of("quota", time_ms=TIME, detail="10,000 messages wait")))
    assert fields == {
        "type": "urn:valija:problem:quota",
        "title": "Too much waits for this recipient",
        "status": 429,
        "detail": "10,000 messages wait",
        "code": "quota",
        "retryable": True,
        "time": TIME,
        "evidence": None,
        "accepted": None,
        "errors": [],
    }


def test_an_unknown_code_cannot_be_written_and_can_be_read():
    with pytest.raises(ValueError, match="frobnicated"):
        problem.of("frobnicated", time_ms=TIME)
    fields = json.loads(problem.encode(problem.of(Code.BUSY, time_ms=TIME)))
    newer = json.dumps({**fields, "code": "frobnicated", "instance": "/x", "wanted": [1]}).encode()
    read = problem.decode(newer)
    assert read.code == "frobnicated"
    assert read.kind is None
    assert read.retryable


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>502 Bad Gateway</html>",
        b"[]",
        b"{}",
        b"null",
        b"[" * 100_000,
        b'{"code":"\xff"}',
        b" " * (problem.problem_bytes_max + 1),
    ],
    ids=["empty", "html", "list", "object", "null", "deep", "no UTF-8", "long"],
)
def test_an_answer_that_is_no_problem_of_ours_is_said_to_be_none(data):
    with pytest.raises(ProblemError):
        problem.decode(data)


@given(st.binary(max_size=200))
def test_random_answers_raise_nothing_else(data):
    with pytest.raises(ProblemError):
        problem.decode(data)


_hostile = st.text(st.characters(codec=None), max_size=600) | st.text(
    "a\x1b\r\n\u202e\u2066\ufeff\u0301é\ud800", max_size=30
)


def is_safe(text):
    return not any(unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for c in text)


@given(_hostile, _hostile)
def test_a_detail_may_quote_anything_and_stays_one_safe_line(detail, pointer):
    made = problem.of(Code.MALFORMED, time_ms=TIME, detail=detail, errors=[Flaw(pointer=pointer, detail=detail)] * 50)
    read = problem.decode(problem.encode(made))
    assert read == made
    assert is_safe(read.detail)
    assert all(is_safe(flaw.pointer) and is_safe(flaw.detail) for flaw in read.errors)
    assert len(read.errors) == problem.errors_max


def test_evidence_that_is_no_text_does_not_stop_a_refusal():
    assert problem.of(Code.HELD, time_ms=TIME, evidence=b"\xff").evidence == "\ufffd"


def test_what_a_foreign_broker_says_cannot_move_the_cursor():
    made = problem.of(Code.BUSY, time_ms=TIME)
    foreign = msgspec.structs.replace(
        made,
        type="a\x1b[2J",
        title="b\u202e",
        detail="c\r\n",
        code="d\x07",
        errors=(Flaw(pointer="\0", detail="\x9b"),),
    )
    read = problem.decode(problem.encode(foreign))
    for text in (read.type, read.title, read.detail, read.code, read.errors[0].pointer, read.errors[0].detail):
        assert is_safe(text)


def test_a_problem_with_a_whole_note_as_evidence_can_be_read():
    made = problem.of(Code.CONFLICT, time_ms=TIME, evidence=b'"' * 16 * 1024, detail="d" * 5000)
    assert problem.decode(problem.encode(made)) == made
    assert len(made.detail) == problem.text_characters_max
