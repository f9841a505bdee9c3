"""A held contact point does nothing, its mail waits, and nothing but its end or a lifting lets it go. SPEC.md 4.7."""

import asyncio
import contextlib
import json
import sqlite3

import pytest
from click.testing import CliRunner
from harness import everywhere, now_ms, publish, refused
from log_folder import Log
from msgspec.structs import replace

from valija.registry.sample import sample_exchange
from valija_broker import config, directory, holds, orders
from valija_broker.cli import cli, main
from valija_broker.directory import Known, publish_folder, utc
from valija_broker.errors import StoreUnavailable
from valija_broker.holds import Holds, logged
from valija_broker.observe.observer import watching
from valija_broker.orders import Orders
from valija_broker.shelves import DirectoryShelf
from valija_schemas import api, hold, limits
from valija_schemas import note as notes
from valija_schemas.hold import Hold

CA = "ca.liaison"


def held(exchange, id_, **changes):
    values = {"action": "hold", "contact_point": id_, "hold": None, "directory": exchange.phonebook.reference,
              "time": now_ms(), "until": now_ms() + limits.HOUR_MS, "reason": "a laptop was stolen"}  # fmt: skip
    return Hold(**(values | changes))


def lifted(raw, id_, **changes):
    values = {"action": "lift", "contact_point": id_, "hold": notes.parse(raw).digest, "directory": None,
              "time": now_ms(), "until": None, "reason": "it was found again"}  # fmt: skip
    return Hold(**(values | changes))


def signed(exchange, value, signers=None):
    return notes.sign(hold.text(exchange.origin, value), signers or exchange.operators)


# In a broker that runs


class Operators:
    """Operators at the broker's machine, and everything that has to hold of a contact point."""

    def __init__(self, sandbox, path):
        self.sandbox, self.path, self.exchange = sandbox, path, sandbox.exchange

    async def command(self, *words, code=0):
        line = [*map(str, words), "--config", str(self.sandbox.config_path)]
        found = await asyncio.to_thread(CliRunner().invoke, cli, line)
        assert found.exit_code == code, (found.output, found.exception)
        return found.stdout

    async def submit(self, raw, code=0):
        file = self.path / "hold.note"
        file.write_bytes(raw)
        return await self.command("order", "submit", file, code=code)

    async def known(self, peer, *, there):
        """Wait until every worker has taken what was published."""
        await everywhere(peer, "/v1/directory/holds", lambda answer: bool(api.read_holds(answer.body)) == there)

    async def hold(self, peer, **changes):
        raw = signed(self.exchange, held(self.exchange, peer.id, **changes))
        assert "is held until" in await self.submit(raw)
        await self.known(peer, there=True)
        return raw

    async def lift(self, peer, raw):
        assert "is lifted" in await self.submit(signed(self.exchange, lifted(raw, peer.id)))
        await self.known(peer, there=False)


@pytest.fixture
async def operators(sandbox, tmp_path):
    await publish(sandbox, lambda directory: directory)
    return Operators(sandbox, tmp_path)


async def test_a_held_contact_point_reads_and_does_nothing_else_and_its_mail_waits(fresh, operators):
    sender, peer = fresh(), fresh()
    await sender.accepted(sender.message(peer))
    await sender.accepted(sender.message(peer))
    (lent,) = await peer.lease(limit=1)
    receipt, own = peer.receipt(lent), peer.message(sender)
    raw = await operators.hold(peer)
    await sender.accepted(sender.message(peer, expires=now_ms() + 2_500))
    for target, value in (
        ("/v1/leases", api.LeaseRequest(instance="one", have=(), limit=1, wait_ms=0)),
        ("/v1/leases/acknowledge", [api.Acknowledgement(token=lent.token, receipt=receipt)]),
        ("/v1/leases/extend", api.Extension(tokens=(lent.token,))),
        ("/v1/leases/release", [api.Release(token=lent.token, delay_ms=0, dead=True)]),
        ("/v1/messages/batch", [own]),
    ):
        refused(await peer.post(target, value), "held")
    answer = await peer.submit(own)
    rejection = peer.verify(refused(answer, "held").evidence.encode())
    assert (rejection.event, rejection.reason, answer.headers["Retry-After"]) == ("SubmissionRejection", "held", "60")
    for target in ("/v1/directory", "/v1/directory/freshness", "/v1/events", "/v1/limits", "/v1/log/checkpoint"):
        assert (await peer.request("GET", target)).status == 200
    assert api.read_holds((await peer.request("GET", "/v1/directory/holds")).body) == (raw,)
    assert api.read_holds((await sender.request("GET", "/v1/directory/holds")).body) == (), "nobody else is told"
    assert f"{peer.id}\t" in await operators.command("hold", "list")
    rows = [json.loads(line) for line in (await operators.command("hold", "list", "--output", "ndjson")).splitlines()]
    assert notes.parse(raw).digest in {row["digest"] for row in rows}
    async with watching(config.load(operators.sandbox.config_path)) as live:
        until = (await live.mailbox(peer.id)).held_until
        (item,) = [one for one in (await live.overview()).attention if one.values.get("contact_point") == peer.id]
        assert (item.code, item.verdict, item.values["time"]) == ("hold", "ok", utc(until))
    # Mail to it is accepted and waits: its senders see no hold, and are not stopped by one.
    await sender.accepted(sender.message(peer))
    *_, failure = await sender.feed(6)
    assert (failure["event"], failure["reason"]) == ("ContentHandoverFailure", "held")
    await operators.lift(peer, raw)
    assert "was lifted" in await operators.submit(raw, code=1), "the answer of before is not given again"
    again = await peer.lease(instance="two")
    assert [x.attempt for x in again] == [1, 1, 1], "nothing of the time under the hold is counted"
    assert await peer.acknowledge(api.Acknowledgement(token=lent.token, receipt=receipt)) == ["stale"]
    assert await peer.done(*again) == ["done"] * 3
    await sender.accepted(peer.message(sender))
    told = [event for event in await peer.feed(9) if event.get("action")]
    assert [event["action"] for event in told] == ["hold", "lift"]
    assert told[0]["reason"] == "a laptop was stolen"


# What survives, and what a crash leaves


class World:
    """A store, a ledger, and what carries holds out."""

    def __init__(self, store, path, exchange):
        self.exchange, self.path = exchange, path
        self.shelf = DirectoryShelf(store)
        self.ledger = Log(path).ledger()
        exchange.publish(path / "directory")
        orders.make_folder(path / "orders")
        self.restart()

    def restart(self):
        self.known = Known(self.exchange.origin, self.exchange.root_digest, self.shelf)
        self.holds = Holds(
            database=self.path / "evidence.sqlite", known=self.known, shelf=self.shelf, commit=self.commit
        )
        self.orders = Orders(
            folder=self.path / "orders",
            database=self.path / "evidence.sqlite",
            known=self.known,
            letters=None,
            commit=self.commit,
            retention=None,
            holds=self.holds,
            keep=None,
        )

    async def commit(self, row):
        self.ledger.add([row])

    async def publish(self):
        """What upkeep does twice a second."""
        await self.holds.show()
        await publish_folder(self.path / "directory", self.known, self.shelf)
        await self.known.refresh()

    async def shown(self):
        """What the shelf has."""
        return await self.shelf.holds((await self.shelf.heads()).holds)

    def put(self, raw):
        note, answer = orders.place(self.path / "orders", raw)
        answer.unlink(missing_ok=True)
        orders.put(note, raw)
        return answer

    async def give(self, value, raw=b""):
        answer = self.put(raw or signed(self.exchange, value))
        await self.orders.carry_out()
        return orders.read_result(answer)


@pytest.fixture
async def world(store, tmp_path):
    found = World(store, tmp_path, sample_exchange())
    await found.publish()
    yield found
    found.ledger.close()


async def test_a_hold_outlives_a_restart_and_a_store_that_is_lost_or_altered(world, store, admin):
    assert (await world.give(held(world.exchange, CA))).status == "done"
    world.restart()
    await world.publish()
    assert not world.known.is_active(CA)
    worker = Known(world.exchange.origin, world.exchange.root_digest, world.shelf)
    await worker.refresh()
    await admin.delete("{s0}:holds")
    await admin.hdel("{s0}:heads", "holds")
    await worker.refresh()
    assert not worker.is_active(CA), "what a process knows does not go with a key of the store"
    await world.publish()
    assert await world.shown()
    await admin.hdel("{s0}:heads", "holds")
    await world.publish()
    worker = Known(world.exchange.origin, world.exchange.root_digest, world.shelf)
    await worker.refresh()
    assert not worker.is_active(CA)
    await admin.delete("{s0}:heads", "{s0}:holds", "{s0}:root:1", "{s0}:directory:1")
    world.restart()
    worker = Known(world.exchange.origin, world.exchange.root_digest, world.shelf)
    await world.publish()
    await worker.refresh()
    assert worker.why_not_active(CA)[0] == "held"
    for altered in (b"\xff", b"\x90", b""):
        await admin.set("{s0}:holds", altered)
        worker = Known(world.exchange.origin, world.exchange.root_digest, world.shelf)
        await worker.refresh()
        await world.publish()
        await worker.refresh()
        assert not worker.is_active(CA), "also for one that looked before it was set right"


async def test_a_hold_ends_by_itself_at_its_time(world, monkeypatch):
    value = held(world.exchange, CA)
    await world.give(value)
    await world.known.refresh()
    assert world.known.why_not_active(CA)[0] == "held"
    monkeypatch.setattr(directory, "now_ms", lambda: value.until - 1)
    assert not world.known.is_active(CA)
    monkeypatch.setattr(directory, "now_ms", lambda: value.until)
    assert world.known.is_active(CA)
    assert world.known.holds == ()
    monkeypatch.setattr(holds, "now_ms", lambda: value.until)
    await world.publish()
    assert await world.shown() == []
    found = await world.give(value)
    assert (found.status, "over already" in found.words) == ("refused", True)


async def test_whoever_writes_to_the_store_holds_nobody(world):
    strangers = sample_exchange().operators
    forged = signed(world.exchange, held(world.exchange, CA), strangers)
    await world.shelf.set_holds([forged, b"garbage", signed(world.exchange, held(world.exchange, CA))[:-90]])
    await world.known.refresh()
    assert world.known.is_active(CA)
    await world.publish()
    assert await world.shown() == []


@pytest.mark.parametrize("step", ["before", "commit", "show"])
async def test_a_crash_at_any_step_of_a_hold_leaves_it_done_once(world, monkeypatch, step):
    value = held(world.exchange, CA)
    answer = world.put(signed(world.exchange, value))

    async def away(*_):
        if step == "commit":
            await world.commit(*_)
        raise StoreUnavailable("the power is gone")

    with monkeypatch.context() as patch:
        owner, name = (world.shelf, "set_holds") if step == "show" else (world.holds, "_commit")
        patch.setattr(owner, name, away)
        with pytest.raises(StoreUnavailable):
            await world.orders.carry_out()
    world.restart()
    await world.publish()
    assert world.known.is_active(CA) == (step == "before")
    await world.orders.carry_out()
    assert orders.read_result(answer).status == "done"
    await world.known.refresh()
    assert not world.known.is_active(CA)
    assert world.ledger.state.size == 1


async def test_a_lifted_hold_stays_lifted_whatever_is_handed_in_again(world):
    value = held(world.exchange, CA)
    raw = signed(world.exchange, value)
    assert (await world.give(value)).status == "done"
    lift = lifted(raw, CA)
    assert (await world.give(lift)).status == "done"
    found = await world.give(value)
    assert (found.status, "was lifted" in found.words) == ("refused", True)
    found = await world.give(held(world.exchange, CA, reason="again"))
    assert (found.status, "held under directory version 1 already" in found.words) == ("refused", True)
    world.exchange.next_directory(now_ms=now_ms())
    world.exchange.publish(world.path / "directory")
    await world.publish()
    assert (await world.give(held(world.exchange, CA))).status == "done"
    assert (await world.give(lift)).status == "done", "it says what it said"
    await world.publish()
    assert not world.known.is_active(CA), "and the later hold stays"
    with contextlib.closing(sqlite3.connect(world.path / "evidence.sqlite")) as connection, connection:
        parties = connection.execute("SELECT DISTINCT party FROM feed ORDER BY party").fetchall()
        assert parties == [(CA,), ("operator",)]
        connection.execute("UPDATE events SET event = ? WHERE seq = 1", (raw.replace(b"stolen", b"st0len"),))
    assert len(logged(world.path / "evidence.sqlite", world.exchange.origin)) == 2, "an altered one is not believed"


async def test_a_root_that_drops_an_operator_ends_what_that_one_held(world):
    await world.give(held(world.exchange, CA))
    await world.known.refresh()
    assert not world.known.is_active(CA)
    world.exchange.next_root(lambda root: replace(root, operators=root.operators[:1]))
    world.exchange.next_directory(now_ms=now_ms())
    world.exchange.publish(world.path / "directory")
    await world.publish()
    assert world.known.is_active(CA)


async def test_what_may_not_be_held_is_refused_with_words_and_stops_nobody(world):
    exchange, (a, b) = world.exchange, world.exchange.operators
    exchange.next_directory(now_ms=now_ms())
    exchange.publish(world.path / "directory")
    await world.publish()
    good, older = held(exchange, CA), exchange.phonebooks[0].reference
    for raw, words in (
        (signed(exchange, good, [a]), "needs the signatures of 2 operators, and bears 1"),
        (signed(exchange, good, [a, notes.Ed25519Signer(b.name, a._key)]), "no role `operator`"),
        (signed(exchange, good, sample_exchange().operators), "no role `operator`"),
        (signed(exchange, held(exchange, "nobody.here")), "is no contact point"),
        (signed(exchange, held(exchange, CA, directory=older)), "another directory version"),
        (signed(exchange, held(exchange, CA, time=1, until=2)), "over already"),
        (notes.sign(hold.text("other.example", good), [a, b]), "exchange"),
    ):
        found = await world.give(good, raw)
        assert (found.status, words in found.words) == ("refused", True), found
    await world.publish()
    assert world.known.is_active(CA)
    assert world.ledger.state.size == 0


def test_a_folder_where_no_broker_ran_is_told_in_words(tmp_path, monkeypatch, capsys):
    path = tmp_path / "broker.toml"
    path.write_text(f'data = "{tmp_path}"\n[exchange]\norigin = "exchange.example"\nroot_digest = "{"0" * 64}"\n')
    for words in (("hold", "list"), ("log", "retained")):
        monkeypatch.setattr("sys.argv", ["valija-broker", *words, "--config", str(path)])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 1
        assert "evidence.sqlite cannot be read" in capsys.readouterr().err
