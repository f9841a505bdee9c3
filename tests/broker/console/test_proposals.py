"""Proposals: a browser proposes, operators sign on their own machines, and the broker is given the order once."""

import asyncio
import errno
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from log_folder import Log
from msgspec.structs import replace

from valija.registry.sample import sample_exchange
from valija_broker import errors, orders
from valija_broker.console.proposals import Proposals
from valija_broker.directory import now_ms
from valija_broker.holds import Holds
from valija_broker.log.retain import Retention
from valija_broker.mail import Release
from valija_broker.orders import Orders
from valija_broker.shelves import Directory
from valija_schemas import hold, order
from valija_schemas import note as notes
from valija_schemas.proposal import Wish, line_bytes_max, proposal_ms, proposals_of_one_max

CA, MX = "ca.liaison", "mx.enlace"
A, B = "operator.a", "operator.b"
OTHERS = ("operator.observer", "operator.registrar", "operator.auditor")
HERE = Directory(1, "ab" * 32)
WISH = Wish(act="retain", contact_point=CA, reason="the court of sample asks for it")
HOLD = replace(WISH, act="hold")


class World:
    """A ledger, proposals over it, and what carries orders out, with queues or without."""

    def __init__(self, path, mailboxes=None, letters=None, clock=now_ms):
        self.exchange, self.folder, self.mailboxes = sample_exchange(), path / "orders", mailboxes
        self.late = 0
        self.ledger = Log(path).ledger()
        self.known = SimpleNamespace(
            ready=True,
            origin=self.exchange.origin,
            roots=self.exchange.roots,
            phonebook=self.exchange.phonebook,
            reference=self.exchange.phonebook.reference,
        )
        where = {"folder": self.folder, "database": path / "evidence.sqlite", "known": self.known, "letters": letters}
        self.proposals = Proposals(**where, clock=lambda: clock() + self.late)
        shelf = SimpleNamespace(shows=self.nothing, set_holds=self.nothing)
        self.orders = Orders(
            **where,
            commit=self.commit,
            retention=Retention(self.ledger, self.exchange.origin),
            holds=Holds(database=where["database"], known=self.known, shelf=shelf, commit=self.commit),
            keep=self.keep,
        )

    async def nothing(self, *_):
        return True

    async def commit(self, row):
        self.ledger.add([row])

    async def keep(self, work):
        return work()[0]

    def line(self, who, text):
        signer = self.exchange.operator_keyrings[who].operator if isinstance(who, str) else who
        return notes.signature_line(signer, text.encode()).decode()

    async def sign(self, made, *who):
        for each in who:
            made = await self.proposals.sign(made.id, each, self.line(each, made.text))
        return made

    def handed_in(self):
        return sorted(self.folder.glob("*.note"))

    async def dead_letter(self, submission):
        accepted = submission()
        await self.mailboxes.accept(accepted)
        (lease,) = await self.mailboxes.lease(CA, instance="one", limit=1, lease_ms=60_000, directory=HERE)
        gone = Release(token=lease.token, dead=True, reason="unverified")
        await self.mailboxes.release(CA, [gone], directory=HERE)
        return accepted


@pytest.fixture
def world(tmp_path):
    found = World(tmp_path)
    yield found
    found.ledger.close()


# Who may, and what counts as a signature


async def test_only_operators_propose_withdraw_and_sign(world):
    made = await world.proposals.propose(A, WISH)
    for who in (*OTHERS, "officer.a", CA, "", "operator.z"):
        with pytest.raises(errors.NotAllowed):
            await world.proposals.propose(who, replace(WISH, contact_point=MX))
        with pytest.raises(errors.NotAllowed):
            world.proposals.withdraw(made.id, who)
        with pytest.raises(errors.NotAllowed):
            await world.proposals.sign(made.id, who, world.line(A, made.text))
    assert await world.proposals.shown() == (made,)
    assert world.handed_in() == []


async def test_a_signature_counts_only_from_its_operator_over_this_very_text(world):
    made = await world.proposals.propose(A, WISH)
    other = await world.proposals.propose(B, replace(WISH, contact_point=MX))
    impostor = notes.Ed25519Signer(f"{world.exchange.origin}/{A}", Ed25519PrivateKey.generate())
    twin = notes.Ed25519Signer(f"{world.exchange.origin}/{A}", world.exchange.operators[1]._key)
    own = world.line(A, made.text)
    for bad in (
        world.line(A, other.text),
        world.line(B, made.text),
        world.line(impostor, made.text),
        world.line(twin, made.text),
        world.line(world.exchange.officers[0], made.text),
        world.line("operator.auditor", made.text),
        own + own,
        own + world.line(B, made.text),
        own + "\n" + own,
        own.rstrip("\n"),
        own + "age-encryption.org/v1\n",
        own.replace("\N{EM DASH}", "-"),
        made.text + "\n" + own,
        "",
        "\ud800",
        "\N{EM DASH} x " + "A" * line_bytes_max,
    ):
        with pytest.raises(errors.BadSignature):
            await world.proposals.sign(made.id, A, bad)
    assert [each.signed for each in await world.proposals.shown()] == [(), ()]
    assert world.handed_in() == []
    assert (await world.proposals.sign(made.id, A, own)).state == "handed-in"


async def test_who_lost_the_role_since_has_signed_nothing(world):
    made = await world.proposals.propose(A, HOLD)
    assert (await world.sign(made, B)).signed == (B,)
    fewer = tuple(replace(one, roles=("observer",)) if one.id == B else one for one in world.exchange.root.operators)
    world.exchange.next_root(lambda root: replace(root, operators=fewer))
    world.known.roots = world.exchange.roots
    assert (await world.sign(made, A)).signed == (A,)
    assert world.handed_in() == []


# Bounds and ends


async def test_ten_thousand_proposals_leave_room_for_another_operator_and_are_told_of_the_bound(world):
    world.known.phonebook = SimpleNamespace(point=lambda id_: id_)
    told = set()
    for number in range(10_000):
        made = world.proposals.propose(A, replace(WISH, contact_point=f"x{number}"))
        (found,) = await asyncio.gather(made, return_exceptions=True)
        if number >= proposals_of_one_max:
            told.add((type(found), str(found)))
    assert told == {(errors.TooManyProposals, f"{A} has {proposals_of_one_max} proposals here")}
    await world.proposals.propose(B, WISH)
    assert len(await world.proposals.shown()) == proposals_of_one_max + 1
    world.late = proposal_ms
    assert await world.proposals.shown() == ()


async def test_what_became_of_the_oldest_gives_way_to_new_ones_and_nothing_that_waits_does(world, monkeypatch):
    monkeypatch.setattr("valija_broker.console.proposals.proposals_max", 3)
    world.known.phonebook = SimpleNamespace(point=lambda id_: id_)
    waiting, first, second = [
        await world.proposals.propose(A, replace(WISH, contact_point=f"x{number}")) for number in range(3)
    ]
    with pytest.raises(errors.TooManyProposals):
        await world.proposals.propose(B, WISH)
    await world.sign(first, A)
    await world.sign(second, B)
    await world.orders.carry_out()
    await world.proposals.shown()
    new = await world.proposals.propose(B, WISH)
    assert [each.id for each in await world.proposals.shown()] == [waiting.id, second.id, new.id]


async def test_a_proposal_ends_after_its_time_and_by_withdrawal_and_can_be_made_again(world):
    made = await world.proposals.propose(A, WISH)
    world.late = proposal_ms - 1_000
    assert await world.proposals.one(made.id) == made
    world.late = proposal_ms
    with pytest.raises(errors.NoSuchProposal):
        await world.sign(made, A)
    again = await world.proposals.propose(A, WISH)
    world.proposals.withdraw(again.id, B)
    with pytest.raises(errors.NoSuchProposal):
        world.proposals.withdraw(again.id, B)
    assert await world.proposals.shown() == ()
    done = await world.sign(await world.proposals.propose(B, WISH), A)
    with pytest.raises(errors.ProposalSettled):
        world.proposals.withdraw(done.id, A)


async def test_what_would_be_refused_is_not_proposed_and_said_in_words(world):
    for words, wish in {
        "no evidence of": Wish(act="erase", message="cd" * 32, reason="r"),
        "names a message and nothing else": Wish(act="erase", contact_point=CA, reason="r"),
        "names a message or a contact point": Wish(act="retain", reason="r"),
        "there is no legal hold": replace(WISH, act="release"),
        "is not held": replace(WISH, act="lift"),
        "no contact point of this": replace(HOLD, contact_point="br.enlace"),
        "names a contact point and no message": replace(HOLD, message="cd" * 32),
        "only a hold lasts": replace(WISH, hours=3),
        "names a message and a contact point": replace(WISH, act="replay"),
    }.items():
        with pytest.raises(errors.NotProposable, match=words):
            await world.proposals.propose(A, wish)
    for reason in (
        "",
        "two\nlines",
        "x" * 501,
        "\N{RIGHT-TO-LEFT OVERRIDE}deloh",
        "\x1b[2J",
        "e\N{COMBINING ACUTE ACCENT}",
    ):
        with pytest.raises(errors.NotProposable):
            await world.proposals.propose(A, replace(WISH, reason=reason))
    assert await world.proposals.shown() == ()


# What is handed in


async def test_a_hold_and_its_lifting_take_two_people_each(world):
    made = await world.proposals.propose(A, replace(HOLD, hours=5))
    assert (made.needs, made.preview.concerned, made.preview.until) == (2, (CA,), made.time + 5 * 3_600_000)
    assert (await world.sign(made, A, A)).state == "open", "one person twice is one"
    given = await world.sign(made, B)
    assert hold.read_hold(given.note.encode(), world.exchange.origin, world.exchange.root).operators == (A, B)
    await world.orders.carry_out()
    (shown,) = await world.proposals.shown()
    assert (shown.state, "is held until" in shown.words) == ("done", True)
    with pytest.raises(errors.NotProposable, match="was held under directory version 1 already"):
        await world.proposals.propose(A, HOLD)
    lift = await world.sign(await world.proposals.propose(B, replace(WISH, act="lift")), A, B)
    await world.orders.carry_out()
    assert "is lifted" in (await world.proposals.one(lift.id)).words
    assert (await world.proposals.one(given.id)).state == "done"


async def test_an_order_that_cannot_be_written_stays_signed_and_is_handed_in_later_once(world, monkeypatch):
    made = await world.proposals.propose(A, WISH)
    for after in (False, True):  # nothing was written; all of it was, and the answer was lost
        with monkeypatch.context() as patch:
            real = orders.put

            def full(path, raw, real=real, after=after):
                if after:
                    real(path, raw)
                raise OSError(errno.ENOSPC, "No space left on device")

            patch.setattr(orders, "put", full)
            with pytest.raises(errors.NotHandedIn):
                await world.sign(made, A)
        shown = await world.proposals.one(made.id)
        assert (shown.state, shown.signed, shown.note) == ("open", (A,), None)
    assert (await world.sign(made, A)).state == "handed-in"
    assert len(world.handed_in()) == 1
    await world.orders.carry_out()
    assert (world.ledger.state.size, (await world.proposals.one(made.id)).state) == (1, "done")


async def test_two_operators_at_once_on_one_dead_letter_make_one_act_and_the_second_is_told(
    mailboxes, letters, submission, clock, tmp_path
):
    world = World(tmp_path, mailboxes, letters, clock)
    accepted = await world.dead_letter(submission)
    digest = accepted.digest
    wish = Wish(act="replay", message=digest, contact_point=CA, reason="they have their keys again")
    made, told = await asyncio.gather(
        world.proposals.propose(A, wish), world.proposals.propose(B, wish), return_exceptions=True
    )
    assert isinstance(told, errors.ProposalSettled)
    assert "operator.a proposed this before" in str(told)
    assert (made.preview.letter.digest, made.preview.letter.reason) == (digest, "unverified")
    assert made.preview.concerned == (made.preview.letter.sender, CA)
    discard = await world.proposals.propose(B, replace(wish, act="discard"))

    first, second = await asyncio.gather(world.sign(made, A), world.sign(made, B), return_exceptions=True)
    assert first.state == "handed-in"
    assert isinstance(second, errors.ProposalSettled)
    assert "signed by operator.a and handed in before" in str(second)
    assert len(world.handed_in()) == 1
    found = order.read_order(first.note.encode(), world.exchange.origin, world.exchange.root)
    assert (found.action.action, found.operators) == ("replay", (A,))
    await world.sign(discard, A, B)
    await world.orders.carry_out()
    states = {each.act: (each.state, each.words) for each in await world.proposals.shown()}
    done = [act for act, (state, _) in states.items() if state == "done"]
    assert len(done) == 1, states
    (refused,) = [words for _, (state, words) in states.items() if state == "refused"]
    assert "has no dead letter" in refused
    assert await letters.of(CA) == []
    with pytest.raises(errors.NotProposable, match="has no dead letter"):
        await world.proposals.propose(A, wish)
    world.ledger.close()
