"""Who may speak in a thread: its parties, of what they were told; and in an exercise nothing but an exercise."""

import itertools
from typing import Any

import pytest

from valija.cases.place import Link, Place, place

ME, CO, CA, X = "mx.enlace", "co.enlace", "ca.liaison", "xx.office"
T = "thread"


def link(digest: str, sender: str, to: tuple[str, ...], known: int, **how: Any) -> Link:
    filled = {"id": digest, "thread": T, "in_reply_to": None, "exercise": False} | how
    return Link(digest=digest, sender=sender, to=to, known=known, **filled)


ASKED = link("a", ME, (CO, CA), 1, id=T)
ANSWERED = link("b", CO, (ME,), 2, in_reply_to="a")
THANKED = link("c", ME, (CO,), 3, in_reply_to="b")
WITHDRAWN = link("d", ME, (CO, CA), 4)


def test_what_the_parties_say_to_each_other_belongs_into_the_thread_in_whatever_order_it_is_read():
    expected = {each.digest: Place(T) for each in (ASKED, ANSWERED, THANKED, WITHDRAWN)}
    for order in itertools.permutations((ASKED, ANSWERED, THANKED, WITHDRAWN)):
        assert place(order, ME) == expected


@pytest.mark.parametrize(
    ("stray", "apart"),
    [
        (link("s", X, (ME,), 5), "not-a-party"),
        (link("s", X, (ME,), 5, in_reply_to="a"), "not-a-party"),
        (link("s", X, (ME,), 5, id=T), "not-a-party"),  # another message under the thread's own name
        (link("s", CA, (ME,), 5, in_reply_to="b"), "not-a-party"),  # which was not sent to it
        (link("s", CO, (ME,), 5, in_reply_to="no-such"), "unknown"),
        (link("s", CO, (ME,), 5, in_reply_to="other"), "other-thread"),
        (link("s", CO, (ME,), 5, in_reply_to="a", exercise=True), "exercise"),
    ],
)
def test_what_only_names_the_thread_stands_apart_with_the_reason(stray, apart):
    found = place([ASKED, ANSWERED, stray], ME, elsewhere={"other"})
    drill = "/exercise" if stray.exercise else ""
    assert found["s"] == Place(f"{T}/{stray.sender}{drill}", apart)
    assert {found["a"], found["b"]} == {Place(T)}


def test_what_we_answer_to_a_stranger_does_not_make_it_a_party():
    stray = link("s", X, (ME,), 5)
    ours = link("o", ME, (X,), 6, in_reply_to="s")
    again = link("t", X, (ME,), 7, in_reply_to="o")
    found = place([ASKED, stray, ours, again], ME)
    assert {found[each].case for each in "sot"} == {f"{T}/{X}"}


def test_a_message_that_came_before_the_first_does_not_take_the_thread_from_it():
    early = link("s", X, (ME,), 0)
    first = link("f", CO, (ME, X), 1, id=T)
    assert place([early, first], ME) == {"f": Place(T), "s": Place(T)}
    alone = link("s", X, (ME,), 0)
    assert place([alone], ME) == {"s": Place(f"{T}/{X}", "unknown")}


def test_a_message_to_ourselves_is_one_message():
    own = link("a", ME, (ME,), 1, id=T)
    assert place([own, own], ME) == {"a": Place(T)}
