"""Orders of operators at the broker: in the log before they are carried out, done once, whatever crashes in between."""

import asyncio
import errno
import itertools
import json
import os
import time
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from full_disk import no_room
from harness import digest_of
from log_folder import Log

from valija.registry.sample import sample_exchange
from valija_broker import orders
from valija_broker.cli import cli
from valija_broker.errors import StoreUnavailable
from valija_broker.log.retain import Retention
from valija_broker.mail import Release
from valija_broker.orders import Orders
from valija_broker.shelves import Directory
from valija_schemas import limits, order
from valija_schemas import note as notes

CA = "ca.liaison"
HERE = Directory(1, "ab" * 32)


def signed(exchange, signers, **changes):
    values = {"action": "discard", "message": "ab" * 32, "contact_point": CA, "time": time.time_ns() // 1_000_000,
              "reason": "nobody there can open it"}  # fmt: skip
    return notes.sign(order.text(exchange.origin, order.Action(**(values | changes))), signers)


# In a broker that runs


def command(sandbox, *words, code=0):
    found = CliRunner().invoke(cli, [*map(str, words), "--config", str(sandbox.config_path)])
    assert found.exit_code == code, (found.output, found.exception)
    return found.stdout


async def submit(sandbox, tmp_path, raw, code=0):
    file = tmp_path / "order.note"
    file.write_bytes(raw)
    return await asyncio.to_thread(command, sandbox, "order", "submit", file, code=code)


async def dead_letter(sender, recipient):
    data = sender.message(recipient)
    await sender.accepted(data)
    (lent,) = await recipient.lease()
    assert await recipient.release(lent.token, dead=True) == ["done"]
    return data


async def test_operators_see_a_dead_letter_send_it_back_and_give_it_up_and_both_sides_can_prove_who_did(
    fresh, sandbox, tmp_path
):
    sender, recipient = fresh(), fresh()
    a, b = sandbox.exchange.operators
    digest = digest_of(await dead_letter(sender, recipient))
    shown = await asyncio.to_thread(command, sandbox, "dead", "list", "--output", "ndjson")
    rows = [json.loads(line) for line in shown.splitlines()]
    (row,) = [row for row in rows if row["digest"] == digest]
    assert (row["mailbox"], row["sender"], row["reason"], row["attempts"]) == (recipient.id, sender.id, "unverified", 1)
    assert digest in await asyncio.to_thread(command, sandbox, "dead", "list")

    replay = signed(sandbox.exchange, [b], action="replay", message=digest, contact_point=recipient.id)
    assert "waits for" in await submit(sandbox, tmp_path, replay)
    (again,) = await recipient.lease(wait_ms=5_000)
    assert (digest_of(again.message), again.attempt) == (digest, 1)
    assert await recipient.release(again.token, dead=True) == ["done"]
    assert "by order of operator.b" in await submit(sandbox, tmp_path, replay), "the answer stays"
    assert await recipient.lease() == (), "an order is carried out once"

    alone = signed(sandbox.exchange, [a], message=digest, contact_point=recipient.id)
    assert "needs the signatures of 2" in await submit(sandbox, tmp_path, alone, code=1)
    raw = alone + notes.signature_line(b, alone.split(b"\n\n")[0] + b"\n")
    assert "is given up" in await submit(sandbox, tmp_path, raw)
    for peer in (sender, recipient):
        found = await peer.feed(6 if peer is recipient else 7)
        assert [event.get("event") or event["action"] for event in found][-5:] == [
            "DeadLettered", "replay", "DeadLettered", "discard", "ContentHandoverFailure",
        ]  # fmt: skip
        assert found[-1]["reason"] == "nobody there can open it"
        logged = [event.event for event in await peer.evidence(digest)]
        assert [replay, raw] == [event for event in logged if event.startswith(order.ACTION.encode())]


# What a crash leaves


class World:
    """Mailboxes, a ledger, and what carries orders out."""

    def __init__(self, mailboxes, letters, submission, clock, path, exchange):
        self.mailboxes, self.letters, self.exchange = mailboxes, letters, exchange
        self.submission, self.clock = submission, clock
        self.folder = path / "orders"
        orders.make_folder(self.folder)
        self.ledger = Log(path).ledger()
        self.known = SimpleNamespace(
            ready=True, origin=exchange.origin, roots=exchange.roots, reference=(HERE.version, HERE.digest)
        )
        retention = Retention(self.ledger, exchange.origin)
        self.orders = Orders(
            folder=self.folder,
            database=path / "evidence.sqlite",
            known=self.known,
            letters=letters,
            commit=self.commit,
            retention=retention,
            holds=None,
            keep=None,
        )

    async def commit(self, row):
        self.ledger.add([row])

    async def dead_letter(self):
        s = self.submission()
        await self.mailboxes.accept(s)
        (lease,) = await self.mailboxes.lease(CA, instance="one", limit=1, lease_ms=60_000, directory=HERE)
        gone = Release(token=lease.token, dead=True, reason="unverified")
        await self.mailboxes.release(CA, [gone], directory=HERE)
        return s.digest

    def order(self, digest, **changes):
        """Put a good order; where it waits, and where its answer will be."""
        raw = signed(self.exchange, self.exchange.operators, **{"message": digest, "time": self.clock()} | changes)
        return self.put(raw)

    def put(self, raw):
        note, answer = orders.place(self.folder, raw)
        orders.put(note, raw)
        return note, answer

    async def answer(self, raw):
        _, answer = self.put(raw)
        await self.orders.carry_out()
        return orders.read_result(answer)


@pytest.fixture
async def world(mailboxes, letters, submission, clock, tmp_path, exchange):
    found = World(mailboxes, letters, submission, clock, tmp_path, exchange)
    yield found
    found.ledger.close()


@pytest.fixture(scope="module")
def exchange():
    return sample_exchange()


async def test_what_may_not_be_ordered_is_refused_with_words_and_not_logged(world, exchange):
    digest = await world.dead_letter()
    what = {"message": digest, "time": world.clock()}
    a, b = exchange.operators
    for raw, words in (
        (signed(exchange, [a], **what), "needs the signatures of 2"),
        (signed(exchange, exchange.officers[:2], **what), "no role `operator`"),
        (signed(exchange, [a, b, exchange.officers[0]], **what), "no role `operator`"),
        (signed(exchange, [a, b], **what | {"time": world.clock() - limits.order_age_max_ms}), "72 hours"),
        (signed(exchange, [a, b], **what | {"time": world.clock() - 1}), "died again"),
        (signed(exchange, [a, b], **what, contact_point="br.enlace"), "no dead letter"),
        (signed(exchange, [a, b], **what | {"message": "ab" * 32}), "no dead letter"),
        (b"not a note", "does not begin"),
        (b"x" * 1_000_000, "does not begin"),
    ):
        result = await world.answer(raw)
        assert result.status == "refused"
        assert words in result.words
    assert world.ledger.state.size == 0
    assert [letter.digest for letter in await world.letters.of(CA)] == [digest]


class PowerCutError(Exception):
    pass


def cut(work, after):
    """`work`, with the power gone before it, or `after` it."""

    async def asynchronous(*args, **how):
        if after:
            await work(*args, **how)
        raise PowerCutError

    def synchronous(*args, **how):
        if after:
            work(*args, **how)
        raise PowerCutError

    return asynchronous if asyncio.iscoroutinefunction(work) else synchronous


async def test_a_crash_at_any_step_leaves_an_order_that_is_done_once(world, outbox, monkeypatch):
    failures = ready = leaves = 0
    for action, step, after in itertools.product(
        ("replay", "discard"), ("commit", "act", "put", "move"), (False, True)
    ):
        note, answer = world.order(await world.dead_letter(), action=action)
        act = "revive" if action == "replay" else "discard"
        owner, name = {
            "commit": (world.orders, "_commit"),
            "act": (world.letters, act),
            "put": (orders, "put"),
            "move": (type(note), "replace"),
        }[step]
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, cut(getattr(owner, name), after))
            with pytest.raises(PowerCutError):
                await world.orders.carry_out()
        for _ in range(2):
            await world.orders.carry_out()
        leaves, failures, ready = leaves + 1, failures + (action == "discard"), ready + (action == "replay")
        assert orders.read_result(answer).status == "done"
        assert (note.exists(), (world.folder / "done" / note.name).exists()) == (False, True)
        assert world.ledger.state.size == leaves
        assert await world.letters.of(CA) == []
        assert [entry.event for entry in await outbox.read(0)].count("ContentHandoverFailure") == failures
        assert (await world.mailboxes.depths([CA]))[CA].ready == ready
        if ready:  # out of the way of the next one
            (lease,) = await world.mailboxes.lease(
                CA, instance=f"t{leaves}", limit=1, lease_ms=limits.DAY_MS, directory=HERE
            )
            assert lease.attempt == 1
            ready -= 1


async def test_a_file_that_cannot_be_read_stands_in_no_other_order_s_way(world):
    (world.folder / "0.note").mkdir()
    (world.folder / f"{'0' * 64}.note").symlink_to(world.folder / "nowhere")
    _, answer = world.order(await world.dead_letter())
    await world.orders.carry_out()
    assert orders.read_result(answer).status == "done"


async def test_an_answer_that_finds_no_room_is_written_when_there_is_room_and_nothing_piles_up(world, monkeypatch):
    note, answer = world.order(await world.dead_letter())

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        for _ in range(3):
            await world.orders.carry_out()
    assert {path.name for path in world.folder.iterdir()} == {note.name, "done"}
    await world.orders.carry_out()
    assert orders.read_result(answer).status == "done"
    assert world.ledger.state.size == 1


async def test_an_order_that_finds_no_room_is_not_half_there(sandbox, tmp_path):
    file = tmp_path / "order"
    file.write_bytes(b"x" * 100)
    before = set(sandbox.data.joinpath("orders").iterdir())
    with no_room(10):
        result = CliRunner().invoke(cli, ["order", "submit", str(file), "--config", str(sandbox.config_path)])
    assert (result.exit_code, "Run the same again" in result.output) == (75, True), result.output
    assert set(sandbox.data.joinpath("orders").iterdir()) == before


async def test_an_order_waits_while_the_store_is_away(world, monkeypatch):
    note, answer = world.order(await world.dead_letter())

    async def away(*_, **__):
        raise StoreUnavailable("gone")

    with monkeypatch.context() as patch:
        patch.setattr(world.letters, "discard", away)
        with pytest.raises(StoreUnavailable):
            await world.orders.carry_out()
    assert (note.exists(), answer.exists()) == (True, False)
    await world.orders.carry_out()
    assert orders.read_result(answer).status == "done"
    found = world.ledger._connection.execute("SELECT party, number FROM feed ORDER BY party").fetchall()
    assert found == [(CA, 1), ("mx.enlace", 1), ("operator", 1)], "both sides, and the operators"
    assert world.folder.stat().st_mode & 0o077 == 0
