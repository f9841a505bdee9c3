"""Ten contact points, each trying everything on what belongs to two others: nothing is told, and nothing changes.

What is somebody else's and what does not exist are answered alike, byte for byte.
"""

import re
import uuid

from harness import digest_of

from valija_broker.routes import Agencies
from valija_schemas import api

POINTS = 10
#: The same for everybody, and nothing of anybody. `/v1/limits`, the broker's own, holds the time.
COMMON = (
    "/v1/directory", "/v1/directory/holds", "/v1/directory/freshness", "/v1/directory/roots/1",
    "/v1/directory/versions/1",
    "/v1/log/checkpoint", "/v1/log/consistency?old=1&new=1", "/v1/log/inclusion?index=0&size=1",
    "/v1/log/tile/0/000.p/1",
)  # fmt: skip
COMMON_ROUTES = {
    "/v1/directory", "/v1/directory/holds", "/v1/directory/freshness", "/v1/directory/roots/{number}",
    "/v1/directory/versions/{number}",
    "/v1/limits", "/v1/log/checkpoint", "/v1/log/consistency", "/v1/log/inclusion", "/v1/log/tile/{path:.+}",
}  # fmt: skip
OWN_ROUTES = {
    "/v1/messages", "/v1/messages/batch", "/v1/leases", "/v1/leases/acknowledge", "/v1/leases/extend",
    "/v1/leases/release", "/v1/events", "/v1/evidence/{message}",
}  # fmt: skip


def plain(answer, *echoed):
    """An answer without its time and without what the asker had sent itself."""
    body = re.sub(rb'"time":\d+', b"", answer.body)
    for text in echoed:
        body = body.replace(text.encode(), b"*")
    return answer.status, body


def test_every_endpoint_is_tried():
    table = Agencies.table.__get__(Agencies.__new__(Agencies))()
    assert {route.path for route in table} == COMMON_ROUTES | OWN_ROUTES


async def test_nobody_learns_or_changes_anything_of_two_others(fresh):
    peers = [fresh() for _ in range(POINTS)]
    pairs = []  # sender, recipient, message, delivery
    for n, sender in enumerate(peers):
        recipient = peers[(n + 1) % POINTS]
        data = sender.message(recipient)
        await sender.accepted(data)
        (lent,) = await recipient.lease()
        pairs.append((sender, recipient, data, lent))

    for asker in peers:
        guessed = "0.999999999." + "0" * 32
        absent = await ask(asker, digest=uuid.uuid4().hex * 2, token=guessed, receipt=asker.receipt(pairs[0][3]))
        for sender, recipient, data, lent in pairs:
            if asker is recipient:
                continue
            digest = "0" * 64 if asker is sender else digest_of(data)
            told = await ask(asker, digest=digest, token=lent.token, receipt=asker.receipt(lent))
            assert told == absent, (asker.id, sender.id, recipient.id)
        assert await asker.lease(instance="other", have=[lent.token for *_, lent in pairs]) == ()

    # Nobody submits in another's name, and the answer does not say whether the message is known.
    thief = peers[0]
    for sender, _, data, _ in pairs[1:]:
        (known,) = await thief.batch([data])
        (fresh_one,) = await thief.batch([sender.message(peers[0])])
        assert (known.status, known.acceptance) == (fresh_one.status, fresh_one.acceptance) == (403, None)
        assert re.sub(rb'"time":\d+', b"", known.problem) == re.sub(rb'"time":\d+', b"", fresh_one.problem)

    # Nothing was changed: each delivery still ends by its own recipient's word, and feeds hold what is one's own.
    for _, recipient, _, lent in pairs:
        assert await recipient.done(lent) == ["done"]
    for n, peer in enumerate(peers):
        mine = {digest_of(pairs[n][2]), digest_of(pairs[n - 1][2])}
        feed = await peer.feed(5)
        assert {event["message"] for event in feed} == mine
        assert len(feed) == 5


async def ask(asker, *, digest, token, receipt):
    """What each endpoint says of a message and a delivery, without what was sent."""
    evidence = await asker.request("GET", f"/v1/evidence/{digest}")
    acknowledged = await asker.post("/v1/leases/acknowledge", [api.Acknowledgement(token=token, receipt=receipt)])
    extended = await asker.post("/v1/leases/extend", api.Extension(tokens=(token,)))
    given_back = await asker.post("/v1/leases/release", [api.Release(token=token, delay_ms=0, dead=False)])
    dead = await asker.post("/v1/leases/release", [api.Release(token=token, delay_ms=0, dead=True)])
    results = [
        [(r.result, r.deadline) for r in api.read_lease_results(answer.body)]
        for answer in (acknowledged, extended, given_back, dead)
    ]
    return plain(evidence, digest), results


async def test_what_everybody_may_read_is_the_same_for_everybody(fresh):
    sender, recipient, *others = (fresh() for _ in range(4))
    await sender.accepted(sender.message(recipient))
    await sender.feed(1)
    for target in COMMON:
        for _ in range(20):  # a checkpoint, a freshness note or a tile may be replaced between two of them
            answers = [await peer.request("GET", target) for peer in (sender, recipient, *others)]
            if len({plain(answer) for answer in answers}) == 1:
                break
        else:
            raise AssertionError(f"{target} is not the same for everybody")
