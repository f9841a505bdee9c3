"""The functions of the queues with a fault in them, to see that the simulation finds each kind of failure."""

from valija_broker.layout import library

_AGAIN = """
        redis.call('XADD', outbox, '*', unpack(redis.call('XREVRANGE', outbox, '+', '-', 'COUNT', 1)[1][2]))
"""

#: A name, what stands in the functions, and what stands there instead.
FAULTS = {
    "a pair's quota is not given back": ("  add(quota, 'bytes', -m.size)\n", ""),
    "a sender's quota is not given back": ("if add(stored, 'bytes', -m.size) <= 0 then", "if false then"),
    "an entry of the index is kept": ("  redis.call('ZREM', prefix .. 'x', sequence)\n", ""),
    "a message is kept when all are done": ("  redis.call('DEL', message)\n", ""),
    "an event enters twice": (
        "        answer, wrote = 'acknowledged', true\n",
        "        answer, wrote = 'acknowledged', true\n" + _AGAIN,
    ),
    "an event is left out": ("          if not known[2] then\n", "          if false then\n"),
    "a lease does not end": ("leased, '-inf', text(now), 'BYSCORE'", "leased, '-inf', '-inf', 'BYSCORE'"),
    "an old token counts": ("  if known[2] ~= token then", "  if not known[2] then"),
    "priority is lost": ("score_of(s.priority, number)", "score_of(2, number)"),
    "what comes back goes to the end": (
        "          redis.call('ZADD', ready, score_of(m.priority, tonumber(r.sequence)), r.sequence)",
        "          redis.call('ZADD', ready, score_of(m.priority, tonumber(r.sequence) + 1000), r.sequence)",
    ),
    "a repeat in one batch is stored again": ("    if first then", "    if first and n == 1 then"),
    "a rate counts each batch anew": ("return counted == minute and tonumber(count) or 0", "return 0"),
    "a lent message is ended": ("if deadline > now and deadline <= now + DEADLINE_MAX_MS then", "if false then"),
    "a delay is not kept": ("        if r.delay_ms > 0 then", "        if false then"),
    "a hold counts as an attempt": ("if known[2] and (tonumber(known[1]) or 0) > 0 then", "if false then"),
}


def damaged(fault: str) -> str:
    """The functions with one of `FAULTS` in them."""
    old, new = FAULTS[fault]
    assert library().code.count(old) == 1, fault
    return library().code.replace(old, new)
