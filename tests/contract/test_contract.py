"""One suite over the broker in memory and the real one: what a program finds at `valija.testing`, it finds in earnest.

Everything is asked through the line that a client has (`valija.line.Line` and two calls more). Lines of the real
broker are signed HTTP. Contact points are used once, so that no test sees the mail of another.
"""

import asyncio
import contextlib
import hashlib
import inspect
import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from harness import Peer, facts, known_everywhere, now_ms, with_body
from msgspec.structs import replace
from sandbox import Sandbox

from valija import Client, Config, HandlingError, RefusedError, UnavailableError, enrol, keyring, rotation, transport
from valija.bilateral import Schemas
from valija.keyring import Keyring
from valija.line import Line
from valija.registry.sample import SampleExchange, sample_exchange
from valija.testing import MemoryBroker, MemoryLine, config_for
from valija.transport import Transport
from valija.verify import verify
from valija_schemas import api, checkpoint, evidence, leaf, limits, merkle, message, problem
from valija_schemas import note as notes
from valija_schemas.agreements import Bilateral
from valija_schemas.directory import ContactPoint, Request, read_request

EXAMPLES = Path(__file__).parents[2] / "schemas/examples"
REQUEST = json.loads((EXAMPLES / "information-request-1.json").read_text("utf-8"))
TYPE = "information-request/1"
SUSPENDED, OFFICE = "suspended", "office"
PAIR, REPORT = ("pair.a", "pair.b"), "x-vehicle-report/1"
SCHEMA = (Path(__file__).parents[2] / "schemas/vectors/example/x-vehicle-report-1.schema.json").read_bytes()
SEEN = {"country": "MX", "direction": "leaving", "place": "Km 9", "plate": "A-1", "seen": "2026-11-02T10:00:00Z"}
ATTEMPTS, LEASE_MS = 3, 1_000
POINTS = [f"p{n}" for n in range(70)]


def make_exchange() -> SampleExchange:
    points = [(id_, "MX", "law-enforcement") for id_ in (*POINTS, SUSPENDED, *PAIR)]
    agreed = Bilateral(type=REPORT, between=PAIR, schema=hashlib.sha256(SCHEMA).hexdigest())
    return sample_exchange(points=[*points, (OFFICE, "OAS", "political")], suspended=[SUSPENDED], bilateral=[agreed])


class Side:
    """One of the two brokers."""

    url = "http://127.0.0.1:9"

    def __init__(self, exchange: SampleExchange, names: Iterator[str]) -> None:
        self.exchange = exchange
        self._names = names

    def peers(self, count: int) -> list[Peer]:
        """Contact points that nobody has used, to compose with."""
        return [self.peer(next(self._names)) for _ in range(count)]

    def peer(self, id_: str) -> Peer:
        return Peer(SimpleNamespace(exchange=self.exchange, port=0), id_)

    def line(self, peer: Peer) -> contextlib.AbstractAsyncContextManager[Any]:
        raise NotImplementedError

    def open(self, config: Config, keys: Keyring | None = None) -> Client:
        """A client with `keys`, or with those of its profile."""
        raise NotImplementedError

    def client(self, peer: Peer, folder: Path) -> Client:
        return self.open(config_for(self.exchange, peer.id, folder, self.url), peer.keys)

    async def publish(self) -> None:
        """Return when the broker knows the newest directory."""


class Memory(Side):
    def __init__(self, exchange: SampleExchange, names: Iterator[str]) -> None:
        super().__init__(exchange, names)
        self.broker = MemoryBroker(exchange, lease_ms=LEASE_MS, attempts_max=ATTEMPTS)

    @contextlib.asynccontextmanager
    async def line(self, peer: Peer) -> AsyncIterator[MemoryLine]:
        yield self.broker.line(peer.id)

    def open(self, config: Config, keys: Keyring | None = None) -> Client:
        return Client(config, keys=keys, line=self.broker.line(config.contact_point))


class Real(Side):
    def __init__(self, sandbox: Sandbox, names: Iterator[str]) -> None:
        super().__init__(sandbox.exchange, names)
        self.sandbox = sandbox
        self.url = sandbox.url

    def line(self, peer: Peer) -> Transport:
        return Transport(self.sandbox.url, lambda: peer.keys.auth)

    def open(self, config: Config, keys: Keyring | None = None) -> Client:
        return Client(config, keys=keys)

    async def publish(self) -> None:
        self.sandbox.publish()
        await known_everywhere(self.sandbox, self.exchange.phonebook.version)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    more = f"[quotas]\nlease_ms = {LEASE_MS}\nattempts_max = {ATTEMPTS}\n"
    found = Sandbox(tmp_path_factory.mktemp("real") / "x", make_exchange(), workers=1, more=more)
    found.start()
    yield found, iter(POINTS)
    found.stop()


@pytest.fixture(scope="module")
def exchange():
    return make_exchange()


@pytest.fixture(params=["memory", "real"])
def side(request, exchange):
    if request.param == "memory":
        return Memory(exchange, iter(POINTS))
    return Real(*request.getfixturevalue("sandbox"))


@pytest.fixture
def impatient(monkeypatch):
    """The real line repeats what may pass five times, a second or more apart."""
    monkeypatch.setattr(transport, "attempts_max", 1)


async def lease(line: Line, limit: int = 64, wait_ms: int = 0, have: tuple[str, ...] = (), instance: str = "one"):
    return await line.lease(api.LeaseRequest(instance=instance, have=have, limit=limit, wait_ms=wait_ms))


async def results(answers) -> list[str]:
    return [result.result for result in await answers]


def receipt(peer: Peer, lent: api.Lent, **changes: Any) -> api.Acknowledgement:
    return api.Acknowledgement(token=lent.token, receipt=peer.receipt(lent, **changes))


async def feed(line: Line, count: int) -> list[dict[str, Any]]:
    """The feed once it has `count` events; each is checked to be in the log under the page's checkpoint."""
    found: list[dict[str, Any]] = []
    deadline = time.monotonic() + 30
    while len(found) < count and time.monotonic() < deadline:
        page = await line.events(len(found), 5_000)
        head = checkpoint.parse(page.checkpoint)[0] if page.events else None
        for event in page.events:
            assert event.number == len(found) + 1
            hash_ = merkle.leaf_hash(leaf.of_event(event.salt, event.event))
            merkle.verify_inclusion(hash_, event.index, head.size, event.proof, head.root)
            found.append(facts(event.event))
    assert len(found) >= count, found
    return found


def refused(caught: Any, code: str) -> problem.Problem:
    assert caught.value.problem.code == code, caught.value
    return caught.value.problem


# In


async def test_a_repeat_gets_the_first_answer_byte_for_byte(side):
    mexico, canada = side.peers(2)
    raw = mexico.message(canada)
    async with side.line(mexico) as line:
        first = await line.submit(raw)
        event = mexico.verify(first)
        assert (event.event, event.to, event.sender) == ("SubmissionAcceptance", (canada.id,), mexico.id)
        assert await line.submit(raw) == first
        assert await line.submit(notes.split(raw)[0].raw) == first, "whatever body comes with it"
    async with side.line(canada) as line:
        assert len(await lease(line)) == 1


async def test_another_message_with_the_same_id_is_a_conflict_that_names_the_first(side):
    mexico, canada = side.peers(2)
    raw = mexico.message(canada)
    async with side.line(mexico) as line:
        await line.submit(raw)
        header = message.read(raw, mexico.origin).header
        with pytest.raises(RefusedError) as caught:
            await line.submit(mexico.message(canada, id=header.id, priority="urgent"))
        assert refused(caught, "conflict").accepted.digest == message.read(raw, mexico.origin).digest


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("expired", {"sent": lambda now: now - 2_000, "expires": lambda now: now - 1_000}),
        ("too-old", {"sent": lambda now: now - 73 * limits.HOUR_MS, "expires": lambda now: now + limits.HOUR_MS}),
        ("unknown-type", {"type": lambda _: "no-such/1"}),
        ("stale-directory", {"directory": lambda _: (1, "ab" * 32)}),
    ],
)
async def test_a_message_against_a_rule_is_refused_with_its_code(side, code, changes):
    mexico, canada = side.peers(2)
    made = {name: value(now_ms()) for name, value in changes.items()}
    async with side.line(mexico) as line:
        with pytest.raises(RefusedError) as caught:
            await line.submit(mexico.message(canada, **made))
    assert_like_a_rejection(mexico, caught.value.problem, code)


async def test_a_refusal_that_may_pass_is_told_as_one_that_may_pass(side, impatient):
    mexico, canada = side.peers(2)
    header = mexico.header(canada)
    body = mexico.body(header)
    async with side.line(mexico) as line:
        for raw, code in (
            (mexico.message(canada, directory=(99, "ab" * 32)), "unknown-directory"),
            (mexico.sign(with_body(header, body)) + body[:-1] + bytes([body[-1] ^ 1]), "body-mismatch"),
            (mexico.sign(with_body(header, body)) + body[:-1], "body-mismatch"),
            (mexico.sign(with_body(header, body)), "body-mismatch"),
        ):
            with pytest.raises(UnavailableError, match=code):
                await line.submit(raw)


def assert_like_a_rejection(sender: Peer, found: problem.Problem, code: str) -> None:
    assert found.code == code
    assert (found.evidence is not None) == problem.KINDS[problem.Code(code)].rejection
    if found.evidence is not None:
        event = sender.verify(found.evidence.encode())
        assert (event.event, event.reason) == ("SubmissionRejection", code)


async def test_recipients_that_may_not_be_written_to_are_told_apart(side):
    mexico, canada = side.peers(2)
    async with side.line(mexico) as line:
        for to, code in ((SUSPENDED, "suspended"), (OFFICE, "route-not-allowed")):
            with pytest.raises(RefusedError) as caught:
                await line.submit(mexico.message(side.peer(to)))
            assert_like_a_rejection(mexico, caught.value.problem, code)
        wrong = mexico.header(canada, to={canada.id: mexico.recipient.key_id})
        body = mexico.body(wrong)
        with pytest.raises(RefusedError) as caught:
            await line.submit(mexico.sign(with_body(wrong, body)) + body)
        assert_like_a_rejection(mexico, caught.value.problem, "keys-mismatch")
        events = await feed(line, 3)
    assert [(event["event"], event["reason"]) for event in events] == [
        ("SubmissionRejection", code) for code in ("suspended", "route-not-allowed", "keys-mismatch")
    ]


async def test_a_bilateral_type_travels_between_the_two_who_agreed_and_nobody_else(side, tmp_path):
    one, other = map(side.peer, PAIR)
    (third,) = side.peers(1)
    for sender, recipients in ((third, [one]), (one, [third]), (one, [other, third])):
        async with side.line(sender) as line:
            with pytest.raises(RefusedError) as caught:
                await line.submit(sender.message(*recipients, type=REPORT))
            assert_like_a_rejection(sender, caught.value.problem, "route-not-allowed")
            with pytest.raises(RefusedError) as caught:
                await line.submit(sender.message(*recipients, type="x-vehicle-report/2"))
            assert_like_a_rejection(sender, caught.value.problem, "unknown-type")
    async with side.client(one, tmp_path / "one") as client:
        Schemas(client.config.state_folder).add(SCHEMA)
        sent = await client.send(SEEN, other.id, type=REPORT)
        assert sent.state == "accepted"
    async with side.client(other, tmp_path / "other") as client:
        Schemas(client.config.state_folder).add(SCHEMA)
        async for found in client.inbox(REPORT):
            async with found:
                assert (found.id, dict(found.document.fields)) == (sent.id, SEEN)
            break


async def test_what_its_sender_did_not_sign_or_seal_is_refused(side):
    mexico, canada = side.peers(2)
    header = mexico.header(canada)
    body = mexico.body(header)
    async with side.line(mexico) as line:
        for raw, code in (
            (mexico.sign(with_body(header, body), signers=[canada.keys.sign]) + body, "unverified"),
            (b"hello", "malformed"),
        ):
            with pytest.raises(RefusedError) as caught:
                await line.submit(raw)
            assert refused(caught, code).evidence is None
    async with side.line(canada) as line:
        assert await lease(line) == ()


async def test_each_message_of_a_batch_stands_alone(side):
    mexico, canada = side.peers(2)
    good, bad = mexico.message(canada), mexico.message(side.peer(OFFICE))
    async with side.line(mexico) as line:
        first, second, third = await line.submit_many([good, bad, good])
    assert (first.status, third.status, first.acceptance) == (202, 202, third.acceptance)
    assert problem.decode(second.problem).code == "route-not-allowed"
    assert second.acceptance is None


async def test_who_is_suspended_reads_and_does_nothing_else(side):
    peer, (canada,) = side.peer(SUSPENDED), side.peers(1)
    async with side.line(peer) as line:
        for call in (lease(line), line.extend(["0"]), line.submit(peer.message(canada))):
            with pytest.raises(RefusedError) as caught:
                await call
            refused(caught, "suspended")
        assert (await line.newest()).directory == side.exchange.phonebook.version


# Out


async def test_the_most_urgent_comes_first_then_the_oldest(side):
    mexico, canada = side.peers(2)
    order = ["routine", "flash", "urgent", "routine", "flash"]
    raws = [mexico.message(canada, priority=priority) for priority in order]
    async with side.line(mexico) as line:
        for raw in raws:
            await line.submit(raw)
    async with side.line(canada) as line:
        first = await lease(line, limit=2)
        rest = await lease(line, have=tuple(each.token for each in first))
    assert [each.message for each in (*first, *rest)] == [raws[n] for n in (1, 4, 2, 0, 3)]


async def test_a_lease_is_one_worker_s_until_it_lapses_and_a_lost_answer_is_given_again(side):
    mexico, canada = side.peers(2)
    async with side.line(mexico) as line:
        acceptance = await line.submit(mexico.message(canada))
    async with side.line(canada) as line:
        (lent,) = await lease(line)
        assert (lent.attempt, lent.acceptance, lent.lease_ms) == (1, acceptance, LEASE_MS)
        assert await lease(line, have=(lent.token,)) == ()
        (again,) = await lease(line)
        assert (again.token, again.attempt) == (lent.token, 1)
        assert await lease(line, instance="two") == ()
        (other,) = await lease(line, instance="two", wait_ms=10_000)
        assert other.attempt == 2
        assert await results(line.extend([lent.token])) == ["stale"]
        assert await results(line.acknowledge([receipt(canada, lent)])) == ["stale"]
        assert await results(line.acknowledge([receipt(canada, other)])) == ["done"]
        assert await results(line.acknowledge([receipt(canada, other)])) == ["gone"]
        assert await results(line.extend([other.token, "0.no-token".replace("-", "")])) == ["gone", "gone"]


async def test_a_lease_that_lapsed_counts_as_long_as_nobody_took_it(side):
    mexico, canada = side.peers(2)
    async with side.line(mexico) as line:
        for _ in range(2):
            await line.submit(mexico.message(canada))
    async with side.line(canada) as line:
        first, second = await lease(line)
        await asyncio.sleep(LEASE_MS / 1000 + 0.2)
        (extended,) = await line.extend([first.token])
        assert extended.result == "done"
        assert extended.deadline > first.deadline
        assert await results(line.acknowledge([receipt(canada, second)])) == ["done"]


async def test_a_message_that_is_given_back_comes_again_now_or_later_and_in_the_end_never(side):
    mexico, canada = side.peers(2)
    async with side.line(mexico) as line:
        await line.submit(mexico.message(canada))
    async with side.line(canada) as line:
        (lent,) = await lease(line)
        give = api.Release(token=lent.token, delay_ms=0, dead=False)
        assert await results(line.release([give])) == ["done"]
        assert await results(line.release([give])) == ["stale"]
        for attempt in range(2, ATTEMPTS + 1):
            (lent,) = await lease(line)
            assert lent.attempt == attempt
            delay = 300 if attempt == ATTEMPTS else 0
            await line.release([api.Release(token=lent.token, delay_ms=delay, dead=False)])
        assert await lease(line) == ()
        assert await lease(line, wait_ms=600) == (), "its attempts are used up"
        events = await feed(line, 2)
    assert [(event["event"], event["reason"]) for event in events] == [
        ("ContentHandover", None), ("DeadLettered", "attempts"),
    ]  # fmt: skip


async def test_what_cannot_be_verified_goes_to_the_dead_letters(side):
    mexico, canada = side.peers(2)
    async with side.line(mexico) as line:
        await line.submit(mexico.message(canada))
    async with side.line(canada) as line:
        (lent,) = await lease(line)
        assert await results(line.release([api.Release(token=lent.token, delay_ms=0, dead=True)])) == ["done"]
        assert await lease(line) == ()
        assert [(event["event"], event["reason"]) for event in await feed(line, 2)][1] == ("DeadLettered", "unverified")


async def test_a_receipt_that_proves_nothing_is_refused_and_the_message_stays(side):
    mexico, canada, colombia = side.peers(3)
    async with side.line(mexico) as line:
        await line.submit(mexico.message(canada))
        await line.submit(mexico.message(canada))
    async with side.line(canada) as line:
        first, second = await lease(line)
        bad = [
            api.Acknowledgement(token=first.token, receipt=b"nothing"),
            receipt(canada, first, signer=colombia.keys.sign),
            receipt(canada, first, recipient=colombia.id),
            receipt(canada, first, time=now_ms() + limits.HOUR_MS),
            api.Acknowledgement(token=first.token, receipt=canada.receipt(second)),
        ]
        assert await results(line.acknowledge(bad)) == ["refused"] * len(bad)
        rejection = receipt(canada, first, event="ConsignmentRejection", reason="schema")
        assert await results(line.acknowledge([rejection, receipt(canada, second)])) == ["done", "done"]
    async with side.line(colombia) as line:
        assert await results(line.extend([second.token])) == ["gone"]


async def test_mail_that_expires_is_handed_to_nobody_and_both_are_told(side):
    mexico, canada = side.peers(2)
    async with side.line(mexico) as line:
        raw = mexico.message(canada, expires=now_ms() + 900)
        await line.submit(raw)
        events = await feed(line, 2)
        assert [(event["event"], event["reason"]) for event in events] == [
            ("SubmissionAcceptance", None), ("ContentHandoverFailure", "expired"),
        ]  # fmt: skip
        with pytest.raises(RefusedError) as caught:
            await line.submit(raw)
        refused(caught, "expired")
    async with side.line(canada) as line:
        assert await lease(line) == ()
        assert (await feed(line, 1))[0]["event"] == "ContentHandoverFailure"


async def test_who_waits_is_woken(side):
    mexico, canada = side.peers(2)
    async with side.line(mexico) as sender, side.line(canada) as line:
        waiting = asyncio.create_task(lease(line, wait_ms=20_000))
        told = asyncio.create_task(sender.events(0, 20_000))
        await asyncio.sleep(0.2)
        raw = mexico.message(canada)
        await sender.submit(raw)
        (lent,) = await asyncio.wait_for(waiting, 15)
        assert lent.message == raw
        assert facts((await asyncio.wait_for(told, 15)).events[0].event)["event"] == "SubmissionAcceptance"


# Evidence, log, directory


async def test_each_party_has_its_own_feed_and_strangers_have_none(side):
    mexico, canada, stranger = side.peers(3)
    raw = mexico.message(canada)
    digest = message.read(raw, mexico.origin).digest
    async with side.line(mexico) as ours, side.line(canada) as theirs, side.line(stranger) as strange:
        await ours.submit(raw)
        (lent,) = await lease(theirs)
        await theirs.acknowledge([receipt(canada, lent)])
        events = await feed(ours, 3)
        assert [e["event"] for e in events] == ["SubmissionAcceptance", "ContentHandover", "ConsignmentAcceptance"]
        assert [e["event"] for e in await feed(theirs, 2)] == ["ContentHandover", "ConsignmentAcceptance"]
        assert [facts(e.event)["message"] for e in (await ours.evidence(digest)).events] == [digest] * 3
        assert (await strange.evidence(digest)).events == ()
        assert (await strange.events(0, 0)).events == ()
        signed = (await theirs.evidence(digest)).events[1].event
    note, _ = evidence.parse_receipt(signed, mexico.origin)
    notes.verify_one(note, [notes.Verifier(canada.name, canada.keys.sign.public)])


async def test_the_log_proves_itself(side):
    mexico, canada = side.peers(2)
    async with side.line(mexico) as line:
        before = checkpoint.parse(await line.checkpoint())[0]
        await line.submit(mexico.message(canada))
        await feed(line, 1)
        after = checkpoint.parse(await line.checkpoint())[0]
        assert after.size > before.size
        proof = await line.consistency(before.size, after.size)
        merkle.verify_consistency(before.size, before.root, after.size, after.root, proof)
        digest = side.exchange.phonebook.digest
        place = await line.inclusion(digest, after.size)
        hash_ = merkle.leaf_hash(leaf.of_directory(digest))
        merkle.verify_inclusion(hash_, place.index, after.size, place.proof, after.root)
        assert await line.inclusion(place.index, after.size) == place
        tile = await line.tile(f"tile/0/000.p/{after.size}")
        assert tile[32 * place.index : 32 * place.index + 32] == hash_
        bundle = await line.tile(f"tile/entries/000.p/{after.size}")
        assert bundle.count(leaf.of_directory(digest)) == 1
        for asked in (
            line.inclusion("ab" * 32, after.size),
            line.inclusion(after.size, after.size),
            line.inclusion(0, after.size + 9),
            line.consistency(after.size, after.size + 9),
            line.consistency(after.size, after.size - 1),
            line.tile(f"tile/0/000.p/{min(255, after.size + 9)}"),
        ):
            with pytest.raises(RefusedError) as caught:
                await asked
            refused(caught, "not-found")


async def test_the_directory_is_carried_as_the_officers_signed_it(side):
    (mexico,) = side.peers(1)
    exchange = side.exchange
    async with side.line(mexico) as line:
        newest = await line.newest()
        version = exchange.phonebook.version
        assert (newest.root, newest.directory, newest.digest) == (1, version, exchange.phonebook.digest)
        assert (await line.root(1), await line.directory(version)) == (exchange.root_raw, exchange.phonebook.raw)
        assert (await line.freshness()).startswith(b"valija/freshness/v1 ")
        for asked in (line.root(2), line.directory(9), line.directory(0)):
            with pytest.raises(RefusedError) as caught:
                await asked
            assert caught.value.problem.code in {"not-found", "malformed"}
        found = await line.limits()
    assert (found.lease_ms, found.attempts_max) == (LEASE_MS, ATTEMPTS)
    assert (found.message_bytes_max, found.submit_messages_max) == (limits.message_bytes_max, api.batch_messages_max)
    assert abs(found.time - now_ms()) < 30_000


# A client over either


async def test_a_client_sends_answers_follows_proves_and_examines(side, tmp_path):
    mexico, canada = side.peers(2)
    async with side.client(mexico, tmp_path) as sender, side.client(canada, tmp_path) as recipient:
        sent = await sender.send(REQUEST, canada.id, type=TYPE, key="one")
        assert (await sender.send(REQUEST, canada.id, type=TYPE, key="one")).digest == sent.digest
        async for received in recipient.inbox():
            async with received:
                await received.reject("Duplicado de ejemplo")
        kept = await sender.send(REQUEST, canada.id, type=TYPE)
        async for received in recipient.inbox():
            async with received:
                pass
        await sender.wait(kept, "acknowledged", timeout=30)
        timeline = await sender.track(sent.id)
        assert [step.says for step in timeline.happenings if step.event == "ConsignmentRejection"] == ["verified"]
        proof = await sender.prove(kept.id)
        assert {finding.verdict for finding in await sender.examine()} <= {"ok", "warning"}
        assert (await sender.monitor()).faults == ()
    assert verify(proof, side.exchange.root_digest).result == "proved"


async def test_a_case_is_followed_passed_on_by_consent_and_written_out(side, tmp_path):
    asks, holds, third = side.peers(3)
    closed = REQUEST | {"handling": REQUEST["handling"] | {"use": ["H2"]}}
    point = side.exchange.phonebook.point(third.id)
    wanted = {"name": point.name, "country": point.state, "functions": "Enlace de ejemplo"}
    async with side.client(asks, tmp_path) as asker, side.client(holds, tmp_path) as holder:
        sent = await asker.send(closed, holds.id, type=TYPE)
        await taken(holder)
        asking = example("dissemination-consent-request") | {"scope": "whole", "parts": None, "recipients": [wanted]}
        with pytest.raises(HandlingError):
            await holder.forward(sent.digest, third.id, why="Ejemplo", authority=asking["authority"])
        asking |= {"regarding": {"message": sent.digest}}
        asked = await holder.reply(sent.digest, asking, type="dissemination-consent-request/1")
        await taken(asker)
        granted = example("dissemination-consent-reply") | {"regarding": {"message": asked.digest}, "valid_until": None}
        await asker.reply(asked.digest, granted, type="dissemination-consent-reply/1")
        await taken(holder)
        passed = await holder.forward(sent.digest, third.id, why="Ejemplo")
        async with side.client(third, tmp_path) as receiver:
            (message,) = await taken(receiver)
        assert (message.digest, message.document.restrictions) == (passed.digest, granted["conditions"])
        for client, state in ((asker, "theirs"), (holder, "ours")):
            (case,) = [case for case in await client.cases() if case.id == sent.thread]
            assert (case.state, case.messages) == (state, 3)
        written = await holder.export_case(sent.thread, tmp_path / "papers", "other")
        assert len(written) == 3 * 4 + 1


async def taken(client: Client) -> list[Any]:
    found = []
    async for received in client.inbox():
        async with received:
            found.append(received)
    return found


def example(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((EXAMPLES / f"{name}-1.json").read_text("utf-8"))
    return found


async def test_a_client_that_runs_changes_over_when_the_directory_names_its_new_keys(side, tmp_path):
    mexico, canada = side.peers(2)
    host = keyring.make_host_key(tmp_path / "host")
    keyring.save(tmp_path / "keyring", mexico.keys, host.recipient)
    config = replace(
        config_for(side.exchange, mexico.id, tmp_path, side.url),
        keyring=str(tmp_path / "keyring"),
        host_key=str(tmp_path / "host"),
    )
    async with side.open(config) as sender, side.client(canada, tmp_path) as recipient:
        await sender.directory()
        point = side.exchange.phonebook.point(mexico.id)
        how = {"given": None, "lost": True, "again": False, "now_ms": now_ms()}
        newer, asked, _ = rotation.rotate(config, point, **how)
        under_way = await recipient.send(REQUEST, mexico.id, type=TYPE)
        admit(side.exchange, asked.request)
        await side.publish()
        # It asks with the key that has just retired, is refused, and asks with the new one.
        sent = await sender.send(REQUEST, canada.id, type=TYPE)
        assert sent.state == "accepted"
        await sender.directory()
        kept = await sender.send(REQUEST, canada.id, type=TYPE)
        signature = message.read(sender._open.outbox.raw(kept.digest), mexico.origin).note.signatures[0]
        assert signature.key_id == notes.key_id(mexico.name, newer.sign.public)
        async for received in sender.inbox():
            async with received:
                assert received.digest == under_way.digest, "it was sealed to the old key"
        await recipient.wait(under_way, "acknowledged", timeout=30)


async def test_whoever_is_admitted_later_reads_on_from_directories_that_do_not_name_its_keys(side, tmp_path):
    (canada,) = side.peers(1)
    exchange = side.exchange
    point = exchange.add_point("q.newcomer", "MX", "law-enforcement")
    exchange.next_directory(
        lambda directory: replace(directory, contact_points=(*directory.contact_points, point)), now_ms=now_ms()
    )
    await side.publish()
    config = config_for(exchange, point.id, tmp_path, side.url)
    async with side.open(config, exchange.keyrings[point.id]) as sender:
        assert (await sender.send(REQUEST, canada.id, type=TYPE)).state == "accepted"

    # Its keyring is lost: the directory that the state folder holds names no key of the new one.
    other = keyring.Keyring.generate(exchange.origin, point.id, now_ms=now_ms())
    raw = enrol.make_request(other, name=point.name, area=point.area, state=point.state)
    admit(exchange, read_request(raw, exchange.origin)[0])
    await side.publish()
    async with side.open(config, other) as sender:
        assert (await sender.send(REQUEST, canada.id, type=TYPE)).state == "accepted"


def admit(exchange: SampleExchange, asked: Request) -> None:
    """The next directory, in which a request for other keys is admitted; the old ones retire in a day."""

    def renew(point: ContactPoint) -> ContactPoint:
        if point.id != asked.contact_point:
            return point
        end = {"status": "retired", "ended": now_ms() + limits.DAY_MS}
        held = {use: getattr(point, use)[0] for use in ("sign", "seal", "auth")}
        return replace(
            point, **{use: (replace(old, key=getattr(asked, use)), replace(old, **end)) for use, old in held.items()}
        )

    exchange.next_directory(
        lambda directory: replace(directory, contact_points=tuple(map(renew, directory.contact_points))),
        now_ms=now_ms(),
    )


def test_the_line_in_memory_has_the_methods_of_the_real_one():
    def calls(class_: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(value).parameters)
            for name, value in inspect.getmembers(class_, inspect.iscoroutinefunction)
            if not name.startswith("_")
        }

    assert calls(MemoryLine) == calls(Transport)
    assert calls(Line).items() <= calls(Transport).items()
