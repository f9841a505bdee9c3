"""Legal hold, its release and the erasure of one message by order: in the log with what they do, once, or refused."""

import asyncio
import contextlib
import itertools
import json
import re
import sqlite3
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from harness import digest_of
from log_folder import Log

from valija.registry.sample import sample_exchange
from valija_broker import orders
from valija_broker.cli import cli
from valija_broker.directory import now_ms
from valija_broker.evidence import Erased, row_of
from valija_broker.log import ordered
from valija_broker.log.retain import BEGIN, Retention
from valija_broker.orders import Orders
from valija_schemas import evidence, limits, order
from valija_schemas import note as notes
from valija_schemas.erasure import Erasure, erasure_text, parse_erasure

MX, CA, CO = "mx.enlace", "ca.liaison", "co.enlace"
HERE = (1, "ab" * 32)


def signed(exchange, signers, **changes):
    values = {"contact_point": None, "message": None, "time": now_ms(), "reason": "the court of sample asks for it"}
    return notes.sign(order.text(exchange.origin, order.Action(**(values | changes))), signers)


@pytest.fixture(scope="module")
def exchange():
    return sample_exchange()


class World:
    """A ledger, and what carries orders out; no queues are needed."""

    def __init__(self, path, exchange):
        self.exchange, self.path, self.log = exchange, path, Log(path)
        self.folder = path / "orders"
        orders.make_folder(self.folder)
        self.ledger = self.log.ledger()
        self.retention = Retention(self.ledger, exchange.origin)
        self.orders = Orders(
            folder=self.folder,
            database=self.log.database,
            known=SimpleNamespace(
                ready=True, origin=exchange.origin, roots=exchange.roots, phonebook=exchange.phonebook, reference=HERE
            ),
            letters=None,
            commit=None,
            retention=self.retention,
            holds=None,
            keep=self.keep,
        )
        self.count = itertools.count(1)

    async def keep(self, work):
        return work()[0]

    def events(self, *names, to=(CA, CO), at=0):
        """Events of a new message, by name, and by name and recipient; its digest."""
        number = next(self.count)
        digest = f"{number:064x}"
        subject = evidence.Subject(
            id=f"00000000-0000-4000-8000-{number:012x}", message=digest, note=digest, body=digest, body_length=1,
            sender=MX,
        )  # fmt: skip
        for name in names:
            event, _, one = name.partition(" ")
            text = evidence.event_text(
                self.exchange.origin, event, subject, to=(one,) if one else to, time=at or now_ms(), directory=HERE,
                reason="expired" if one else None,
            )  # fmt: skip
            self.ledger.add([row_of(text, b"s" * 32)])
        return digest

    def ended(self, at=0):
        return self.events(
            "SubmissionAcceptance", f"ContentHandoverFailure {CA}", f"ContentHandoverFailure {CO}", at=at
        )

    def put(self, raw):
        note, answer = orders.place(self.folder, raw)
        answer.unlink(missing_ok=True)
        orders.put(note, raw)
        return note, answer

    async def give(self, *signers, **what):
        """The answer to an order that `signers`, or both operators, gave."""
        _, answer = self.put(signed(self.exchange, signers or self.exchange.operators, **what))
        await self.orders.carry_out()
        return orders.read_result(answer)

    async def done(self, *signers, **what):
        found = await self.give(*signers, **what)
        assert found.status == "done", found
        return found.words

    async def refused(self, words, *signers, **what):
        before = self.ledger.state.size
        found = await self.give(*signers, **what)
        assert (found.status, words in found.words) == ("refused", True), found
        assert self.ledger.state.size == before, "a refused order is no event"

    def feed(self, party):
        with contextlib.closing(sqlite3.connect(self.log.database)) as connection:
            query = "SELECT event FROM feed JOIN events USING (seq) WHERE party = ? ORDER BY number"
            return [event for (event,) in connection.execute(query, (party,))]

    def erase_by_age(self):
        return self.retention.erase(before=now_ms() + 1, now=now_ms(), reason="retain_days 90", after=BEGIN).erased


@pytest.fixture
def world(tmp_path, exchange):
    found = World(tmp_path, exchange)
    yield found
    found.ledger.close()


async def test_an_erasure_is_refused_under_legal_hold_and_done_once_that_is_released(world, exchange):
    a, b = exchange.operators
    message, other = world.ended(at=1), world.ended(at=1)
    assert "until two operators release it" in await world.done(a, action="retain", message=message)
    await world.done(b, action="retain", contact_point=CO)
    for what in (message, other):
        await world.refused("a legal hold covers", action="erase", message=what)
    assert world.erase_by_age() == 0
    await world.done(action="release", contact_point=CO)
    await world.refused("Only an order that releases", action="erase", message=message)
    assert "3 openings" in await world.done(action="erase", message=other)
    await world.done(action="release", message=message)
    assert "3 openings" in await world.done(action="erase", message=message)
    assert ordered.holds(world.log.database) == []


async def test_the_parties_of_a_message_and_the_contact_point_itself_are_told_of_a_legal_hold(world, exchange):
    message = world.events("SubmissionAcceptance")
    await world.done(exchange.operators[0], action="retain", message=message)
    await world.done(exchange.operators[0], action="retain", contact_point=CA)
    names = {who: [json.loads(e.split(b"\n")[1]).get("action") for e in world.feed(who)] for who in (MX, CA, CO)}
    assert names == {MX: [None, "retain"], CA: ["retain", "retain"], CO: ["retain"]}
    assert len(world.feed("operator")) == 2


async def test_an_erasure_leaves_the_order_to_read_and_names_it(world):
    message = world.ended()
    reason = "\u00e9" * 500  # as long as a reason can be
    await world.done(action="erase", message=message, reason=reason)
    *_, asked, said = world.feed("operator")
    assert parse_erasure(said, world.exchange.origin).order == notes.parse(asked).digest
    for who in (MX, CA, CO):
        assert world.feed(who)[-1] == asked, "why the others are gone"
        assert set(world.feed(who)[:-1]) == {None}
    await world.log.run()
    assert world.log.differences() == []
    assert world.erase_by_age() == 1, "the order itself goes by age"
    await world.log.run()
    assert world.log.differences() == []


async def test_an_erasure_that_is_handed_in_again_reaches_nothing_that_came_after_it(world, exchange):
    """A refused message may be accepted later: an old order must not take the evidence of what waits."""
    message = world.events("SubmissionRejection")
    erase = signed(exchange, exchange.operators, action="erase", message=message)
    _, answer = world.put(erase)
    await world.orders.carry_out()
    assert orders.read_result(answer).words.startswith("1 openings")
    world.count = itertools.count(int(message, 16))
    assert world.events("SubmissionAcceptance") == message
    size = world.ledger.state.size
    world.put(erase)
    await world.orders.carry_out()
    assert orders.read_result(answer).words.startswith("0 openings")
    assert (world.ledger.state.size, ordered.about_message(world.log.database, message).openings) == (size, 1)
    await world.refused("has not ended", action="erase", message=message)


async def test_what_may_not_be_ordered_about_evidence_is_refused_with_words_and_not_logged(world, exchange):
    a, _ = exchange.operators
    message, ended = world.events("SubmissionAcceptance", f"ContentHandoverFailure {CA}"), world.ended()
    no = world.refused
    await no("has not ended for co.enlace", action="erase", message=message)
    await no("has no evidence", action="erase", message="ab" * 32)
    await no("has no evidence", a, action="retain", message="ab" * 32)
    await no("has no evidence", a, action="retain", contact_point="nobody.here")
    await no("has no evidence", a, action="retain", contact_point="operator")
    await no("release needs the signatures of 2", a, action="release", message=ended)
    await no("erase needs the signatures of 2", a, action="erase", message=ended)
    await no("no role `operator`", exchange.officers[0], action="retain", message=ended)
    await no("there is no legal hold", action="release", message=ended)
    await no("72 hours", a, action="retain", message=ended, time=now_ms() - limits.order_age_max_ms)
    before = now_ms() - 1
    await world.done(a, action="retain", message=ended)
    await no("held again after this was signed", action="release", message=ended, time=before)
    await world.done(action="release", message=ended)
    await world.done(action="erase", message=ended)
    await no("no opening of message", action="erase", message=ended)


async def test_an_order_about_evidence_that_comes_again_changes_nothing(world, exchange):
    message = world.ended(at=1)
    held = signed(exchange, exchange.operators[:1], action="retain", message=message)
    freed = signed(exchange, exchange.operators, action="release", message=message, time=now_ms() + 1_000)
    for raw, held_then in ((held, True), (freed, False), (held, False)):
        for _ in range(2):
            _, answer = world.put(raw)
            await world.orders.carry_out()
            assert orders.read_result(answer).status == "done"
            assert bool(ordered.holds(world.log.database)) == held_then
    assert world.ledger.state.size == 5
    await world.done(exchange.operators[1], action="retain", message=message)
    world.put(freed)
    await world.orders.carry_out()
    assert [hold.what for hold in ordered.holds(world.log.database)] == [message], "a release ends no later hold"


class PowerCutError(Exception):
    pass


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", ["keep", "put", "move"])
@pytest.mark.parametrize("action", ["retain", "release", "erase"])
async def test_a_crash_at_any_step_leaves_an_order_about_evidence_that_is_done_once(
    world, exchange, monkeypatch, action, step, after
):
    message = world.ended()
    if action == "release":
        await world.done(exchange.operators[0], action="retain", message=message)
    note, answer = world.put(signed(exchange, exchange.operators, action=action, message=message))
    owner, name = {"keep": (world.orders, "_keep"), "put": (orders, "put"), "move": (type(note), "replace")}[step]
    real = getattr(owner, name)

    async def cut(*args):
        if after:
            await real(*args)
        raise PowerCutError

    def cut_now(*args):
        if after:
            real(*args)
        raise PowerCutError

    size = world.ledger.state.size
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, cut if step == "keep" else cut_now)
        with pytest.raises(PowerCutError):
            await world.orders.carry_out()
    for _ in range(2):
        await world.orders.carry_out()
    assert orders.read_result(answer).status == "done"
    assert world.ledger.state.size == size + 1 + (action == "erase")
    assert len(ordered.holds(world.log.database)) == (action == "retain")
    assert world.feed(MX)[0] is None or action != "erase"
    await world.log.run()
    assert world.log.differences() == []


async def test_fsck_tells_a_legal_hold_and_an_erasure_that_no_order_in_the_log_stands_behind(world, exchange):
    first, second = world.ended(), world.ended()
    await world.done(exchange.operators[0], action="retain", message=first)
    said = Erasure(order="0a" * 32, leaves=((0, 1),), time=now_ms(), reason="none")
    world.ledger.commit(lambda _: [Erased(time=said.time, event=erasure_text(exchange.origin, said), salt=b"s" * 32)])
    with contextlib.closing(sqlite3.connect(world.log.database)) as connection, connection:
        (lost,) = connection.execute("SELECT by_order FROM retained").fetchone()
        connection.execute("DELETE FROM retained")
        connection.execute("INSERT INTO retained VALUES (1, ?, ?, 1, 1)", (second, "0b" * 32))
    await world.log.run()
    assert world.log.differences() == [
        f"leaf 7: it names order {'0a' * 32}, which is not in the log before it",
        f"a legal hold rests on order {'0b' * 32}, which is not in the log",
        f"order {lost} is in the log, and the legal holds know nothing of it",
    ]


# In a broker that runs


async def test_operators_hold_release_and_erase_at_a_broker_that_runs_and_its_log_stays_whole(fresh, sandbox, tmp_path):
    sender, recipient = fresh(), fresh()
    a, b = sandbox.exchange.operators
    digest = digest_of(data := sender.message(recipient))
    await sender.accepted(data)
    await recipient.done(*await recipient.lease())
    assert len(await sender.feed(3)) == 3

    async def command(*words, code=0):
        line = [*map(str, words), "--config", str(sandbox.config_path)]
        found = await asyncio.to_thread(CliRunner().invoke, cli, line)
        assert found.exit_code == code, (found.output, found.exception)
        return found.stdout

    async def submit(*signers, code=0, **what):
        file = tmp_path / "order.note"
        file.write_bytes(signed(sandbox.exchange, signers, **what))
        return await command("order", "submit", file, code=code)

    assert "is erased until" in await submit(a, action="retain", contact_point=recipient.id)
    shown = await command("log", "retained")
    assert f"{recipient.id}\t" in shown
    rows = [json.loads(line) for line in (await command("log", "retained", "--output", "ndjson")).splitlines()]
    assert [row["what"] for row in rows if row["what"] == recipient.id] == [recipient.id]
    assert "a legal hold covers" in await submit(a, b, action="erase", message=digest, code=1)
    assert "is over" in await submit(b, a, action="release", contact_point=recipient.id)
    salts = [event.salt for event in await sender.evidence(digest)]
    assert "3 openings" in await submit(a, b, action="erase", message=digest)
    there = b"".join(path.read_bytes() for path in sandbox.data.glob("evidence.sqlite*"))
    assert (len(salts), [salt for salt in salts if salt in there]) == (3, []), (
        "overwritten, also in what SQLite wrote last"
    )
    erased = re.search(r"^valija_openings_erased_total (\S+)", sandbox.get("/metrics")[1], re.MULTILINE)
    assert float(erased[1]) >= 3
    (asked,) = await sender.evidence(digest)
    assert order.read_order(asked.event, sandbox.exchange.origin, sandbox.exchange.root).operators == (
        "operator.a", "operator.b",
    )  # fmt: skip
    page = await recipient.page()
    assert [bool(event.event) for event in page.events] == [False, False, True, True, True]
    await command("log", "fsck")
