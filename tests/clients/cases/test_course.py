"""Where a case stands: an answer ends a request only if it is final, and a question back turns it round."""

from typing import Any

import pytest

from valija.cases.course import Said, answers_finally, course
from valija.cases.summary import Summary
from valija_schemas import documents, limits

ME, CO, CA = "mx.enlace", "co.enlace", "ca.liaison"
REQUEST = "information-request/1"


def said(digest: str, sender: str, to: tuple[str, ...], type_: str = REQUEST, **summary: Any) -> Said:
    summary.setdefault("asks", type_ == REQUEST)
    about = None if digest == "a" else "a"
    return Said(
        digest=digest, sender=sender, to=to, type=type_, priority="flash", in_reply_to=about, received=1000,
        summary=Summary(**summary),
    )  # fmt: skip


ASKED = said("a", ME, (CO, CA), questions=(1, 2))


def answer(digest: str, sender: str, outcome: str) -> Said:
    return said(digest, sender, (ME,), "response/1", outcome=outcome)


@pytest.mark.parametrize("outcome", ["partial", "postponed", "more-information-needed"])
def test_an_answer_that_is_not_final_leaves_the_request_open(outcome):
    found = course([ASKED, answer("b", CO, outcome)], ME)
    assert found.state == ("ours" if outcome == "more-information-needed" else "theirs")
    assert found.asked[0].open


@pytest.mark.parametrize("outcome", ["full", "refused", "not-held"])
def test_a_request_is_answered_when_each_of_its_recipients_has_said_its_last_word(outcome):
    assert course([ASKED, answer("b", CO, outcome)], ME).state == "theirs"
    found = course([ASKED, answer("b", CO, outcome), answer("c", CA, "full")], ME)
    assert (found.state, found.due) == ("answered", None)


def test_an_answer_of_a_third_party_ends_nothing():
    assert course([said("a", ME, (CO,)), answer("b", CA, "full")], ME).state == "theirs"


def test_a_question_back_waits_for_the_asker_until_it_is_cleared():
    back = said("b", CO, (ME,), "clarification/1", questions=(1,))
    cleared = said("c", ME, (CO,), "clarification/1", answers=(1,))
    asked = said("a", ME, (CO,))
    for me, states in ((ME, ["theirs", "ours", "theirs"]), (CO, ["ours", "theirs", "ours"])):
        assert [course([asked, back, cleared][:n], me).state for n in (1, 2, 3)] == states


def test_what_another_recipient_still_owes_does_not_keep_our_answer_open():
    assert course([ASKED, answer("b", CO, "full")], CO).state == "answered"
    assert course([ASKED, answer("b", CO, "full")], CA).state == "ours"


def test_the_asker_alone_withdraws_and_the_last_question_ends_it():
    first, rest = (said("wv"[n], ME, (CO, CA), "withdrawal/1", withdrawn=(n + 1,)) for n in (0, 1))
    assert course([ASKED, first], ME).state == "theirs"
    assert course([ASKED, first, rest], ME).state == "withdrawn"
    assert course([ASKED, said("w", CO, (ME,), "withdrawal/1", withdrawn=())], ME).state == "theirs"


def test_the_most_urgent_of_what_is_open_says_when_it_is_due():
    late, soon = said("a", ME, (CO,), respond_by=900), said("b", ME, (CO,), respond_by=500)
    assert course([late, soon], ME).due == 500
    assert course([said("a", ME, (CO,))], ME).due == 1000 + 8 * limits.HOUR_MS


def test_every_type_that_answers_another_can_end_it_or_is_a_question_back():
    ends = {reply for type_ in documents.types().values() for reply in type_.replies}
    assert {reply for reply in ends if not answers_finally(reply, "done")} == {"clarification/1", "withdrawal/1"}


def test_a_case_without_a_question_is_information():
    assert course([said("a", CO, (ME,), "spontaneous-information/1")], ME).state == "information"
    assert course([], ME).state == "void"
