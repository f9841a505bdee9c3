"""Tampered messages, before a broker and before a recipient. The long form is tests/soak/test_mutations.py."""

import itertools
import random

import pytest
from mutations import Corpus, Judges, dishonest, every_byte, exchanged

from valija import receive


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus(6, random.Random(1))


@pytest.fixture
def judges(corpus) -> Judges:
    return Judges(corpus)


def test_what_was_not_tampered_with_is_accepted_and_opened(corpus, judges):
    for one in corpus.messages:
        assert judges.broker(one.raw) == ""
        for me in one.header.to:
            assert isinstance(judges.recipient(one.raw, me), receive.Opened)


def test_a_message_with_any_byte_changed_is_refused_by_broker_and_recipient(corpus, judges):
    one = min(corpus.messages, key=lambda found: len(found.raw))
    me = next(iter(one.header.to))
    for data in itertools.islice(every_byte(one.raw, random.Random(2)), 0, None, 7):
        if data not in corpus.raws:
            judges.refuse(data, me)


def test_parts_of_one_message_in_another_are_refused_by_broker_and_recipient(corpus, judges):
    tried = 0
    for one, other in itertools.permutations(corpus.messages[:3], 2):
        for data in exchanged(one, other, corpus):
            if data not in corpus.raws:
                judges.refuse(data, next(iter(one.header.to)))
                tried += 1
    assert tried > 300


def test_a_body_that_was_not_sealed_for_this_note_is_never_opened_though_its_sender_signed_it(corpus, judges):
    tried = 0
    for one, other in itertools.permutations(corpus.messages[:3], 2):
        for data in dishonest(one, other, corpus, random.Random(3)):
            for me in one.header.to:
                judges.not_opened(data, me)
            tried += 1
    assert tried > 100
