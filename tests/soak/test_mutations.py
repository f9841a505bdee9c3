"""Tampered messages, as many as there is time for: none is accepted or opened, and nothing raises but our errors."""

import itertools
import random
import time
from collections import Counter

from mutations import Corpus, Judges, dishonest, every_byte, exchanged

MESSAGES = 100


def test_a_million_tampered_messages_are_refused(soak_seconds, figure):
    seed = random.randrange(2**32)
    figure("seed", seed)
    dice = random.Random(seed)
    corpus = Corpus(MESSAGES, dice)
    judges = Judges(corpus)
    tried: Counter[str] = Counter()
    ends = time.monotonic() + soak_seconds

    def judge(kind, variants, of, refuse):
        for data in variants:
            if data not in corpus.raws:
                refuse(data, dice.choice(list(of.header.to)))
                tried[kind] += 1

    for turn in itertools.count():
        one, other = corpus.messages[turn % MESSAGES], dice.choice(corpus.messages)
        judge("a byte changed", every_byte(one.raw, dice), one, judges.refuse)
        if other is not one:
            judge("parts exchanged", exchanged(one, other, corpus), one, judges.refuse)
            judge("signed by a dishonest sender", dishonest(one, other, corpus, dice), one, judges.not_opened)
        if time.monotonic() > ends:
            break
    figure("messages of which every byte was changed", min(turn + 1, MESSAGES))
    for kind, count in tried.items():
        figure(kind, count)
    figure("in all", tried.total())
    figure("accepted or opened", judges.verdicts["Opened"])
    figure("refused by the broker", dict(judges.refused.most_common()))
    figure("the recipient's verdicts", dict(judges.verdicts.most_common()))
    assert not judges.verdicts["Opened"]
