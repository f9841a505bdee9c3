"""The operators' API over a broker that runs: who is answered what, and that it is as declared. SPEC.md section 3.5."""

import contextlib
import json
import re

import pytest
from at_console import Clerk
from declared_answers import ADMIN
from harness import digest_of, refused

from valija_broker import openapi_admin

TABLE = openapi_admin.described().table
READS = [route for route in TABLE.routes.values() if route.method == "GET" and route.roles]
ROLES = {
    "operator.a": "operator",
    "operator.observer": "observer",
    "operator.registrar": "registrar",
    "operator.auditor": "auditor",
}


@pytest.fixture
async def clerks(sandbox):
    async with contextlib.AsyncExitStack() as stack:
        yield [await (await stack.enter_async_context(Clerk(sandbox, who))).sign_in() for who in ROLES]


@pytest.fixture
async def clerk(sandbox):
    async with Clerk(sandbox) as found:
        yield await found.sign_in()


async def get(clerk, target, status=200):
    answer = await clerk.ask(target)
    ADMIN.check("GET", target, answer.status, answer.headers, answer.body)
    assert answer.status == status, answer
    return json.loads(answer.body)


async def test_each_route_answers_whom_it_is_declared_for_and_nobody_else(clerks, fresh):
    sender, taker = fresh(), fresh()
    raw = sender.message(taker)
    await sender.accepted(raw)
    await sender.feed(1)
    wish = json.dumps({"act": "retain", "contact_point": taker.id, "reason": "a court asks for it"}).encode()
    headers = {"Authorization": f"Bearer {clerks[0].token}", "Content-Type": "application/json"}
    made = await clerks[0].send("POST", "/admin/v1/proposals", wish, headers)
    named = {"contact_point": taker.id, "digest": digest_of(raw), "proposal": json.loads(made.body)["id"]}
    for route in READS:
        target = re.sub(r"\{(\w+)\}", lambda found: named[found[1]], route.path)
        if any(query.needed for query in route.query):
            target += "?month=2026-10"
        for clerk in clerks:
            if ROLES[clerk.who] in route.roles:
                await get(clerk, target)
            else:
                refused(await clerk.ask(target), "not-allowed")
        refused(await clerk.ask(target, token="x" * 43), "not-signed-in")
        refused(await clerk.send("GET", target), "not-signed-in")


async def test_observers_count_dead_letters_and_see_none(clerks, fresh):
    sender, taker = fresh(), fresh()
    await sender.accepted(sender.message(taker))
    (lent,) = await taker.lease()
    await taker.release(lent.token, dead=True)
    operator, observer, registrar, auditor = clerks
    for clerk in (operator, auditor):
        groups = await get(clerk, "/admin/v1/dead-letters")
        assert taker.id in {letter["mailbox"] for group in groups for letter in group["letters"]}
    for clerk in (observer, registrar):
        groups = await get(clerk, "/admin/v1/dead-letters")
        assert sum(group["count"] for group in groups) >= 1
        assert [group["letters"] for group in groups] == [[]] * len(groups)


async def test_messages_are_found_by_what_is_known_of_them_and_come_in_pages(clerk, fresh):
    sender, taker = fresh(), fresh()
    digests = []
    for _ in range(3):
        raw = sender.message(taker)
        await sender.accepted(raw)
        digests.insert(0, digest_of(raw))
    await sender.feed(3)
    first = await get(clerk, f"/admin/v1/messages?sender={sender.id}&recipient={taker.id}&state=waiting&count=2")
    assert [row["digest"] for row in first["messages"]] == digests[:2]
    rest = await get(clerk, f"/admin/v1/messages?sender={sender.id}&after={first['next']}")
    assert [row["digest"] for row in rest["messages"]] == digests[2:]
    found = await get(clerk, f"/admin/v1/messages?prefix={digests[0][:20]}")
    assert [row["digest"] for row in found["messages"]] == digests[:1]


@pytest.mark.parametrize(
    "query",
    [
        "x=1", "sender=a&sender=a", "sender=A", "sender=", "sender=a%0A", "type=x", "state=ready", "exercise=perhaps",
        "prefix=%25%25%25%25", "prefix=a", "since=-1", "since=1.5", "until=9007199254740992", "count=0", "count=201",
        "after=", "after=%27%3B--", "after=" + "9" * 65, "sender=%ff", "sender=\u202e",
    ],
)  # fmt: skip
async def test_a_parameter_that_is_not_of_its_form_is_refused_by_name(clerk, query):
    answer = await clerk.ask(f"/admin/v1/messages?{query}")
    problem = refused(answer, "malformed")
    assert problem.detail.isprintable()


async def test_what_is_not_there_is_not_found(clerk):
    points, messages = ("nobody", "%2e%2e", "A"), ("0" * 64, "x")
    for target in (*(f"contact-points/{id_}" for id_ in points), *(f"messages/{digest}" for digest in messages), "x"):
        refused(await clerk.ask(f"/admin/v1/{target}"), "not-found")


async def test_a_browser_reads_here_and_does_nothing(clerk):
    await clerk.browse()
    fields = {"Origin": clerk.sandbox.console}
    assert (await clerk.get("/admin/v1/overview")).status == 200
    refused(await clerk.send("DELETE", "/admin/v1/session", None, fields | {"Cookie": clerk.cookie}), "not-allowed")
    assert (await clerk.get("/")).status == 200


async def test_who_observes_and_posts_is_refused(sandbox):
    async with Clerk(sandbox, "operator.observer") as observer:
        await observer.sign_in()
        for route in TABLE.routes.values():
            if route.method != "GET" and route.roles and "observer" not in route.roles:
                target = re.sub(r"\{\w+\}", "0" * 64, route.path)
                refused(await observer.ask(target, method=route.method), "not-allowed")
        for route in READS:
            answer = await observer.ask(re.sub(r"\{\w+\}", "0" * 64, route.path), method="POST")
            assert answer.status in {403, 405}, answer
