"""What a registrar publishes: what the officers signed, seen before it is published, and nothing else."""

import asyncio
import errno

import pytest
from msgspec.structs import replace

from valija.registry.sample import sample_exchange
from valija_broker import errors, orders
from valija_broker.console.offers import Offers
from valija_broker.directory import Known, now_ms, publish_folder
from valija_broker.shelves import DirectoryShelf
from valija_schemas import limits
from valija_schemas import note as notes
from valija_schemas.proposal import offers_max, proposal_ms

REGISTRAR = "operator.registrar"


class World:
    """A store, a folder that upkeep watches, and what registrars offered."""

    def __init__(self, store, path):
        self.exchange, self.folder, self.late = sample_exchange(), path / "directory", 0
        self.shelf = DirectoryShelf(store)
        self.known = Known(self.exchange.origin, self.exchange.root_digest, self.shelf)
        self.offers = Offers(folder=self.folder, known=self.known, clock=lambda: now_ms() + self.late)

    async def upkeep(self):
        await publish_folder(self.folder, self.known, self.shelf)

    def next_directory(self, status="suspended"):
        """The next version, signed, which suspends a contact point, in the exchange's memory alone."""

        def change(book):
            points = tuple(replace(p, status=status) if p.id == "mx.enlace" else p for p in book.contact_points)
            return replace(book, contact_points=points)

        return self.exchange.next_directory(change)

    def files(self):
        return sorted(path.name for path in self.folder.iterdir())


@pytest.fixture
async def world(store, tmp_path):
    found = World(store, tmp_path)
    found.exchange.publish(found.folder)
    await found.upkeep()
    return found


async def test_a_registrar_publishes_what_officers_signed_after_seeing_what_it_changes(world):
    raw = world.next_directory()
    offered = await world.offers.offer(REGISTRAR, raw)
    assert (offered.kind, offered.version, offered.state) == ("directory", 2, "offered")
    assert offered.changes == ("~ mx.enlace: status 'active' becomes 'suspended'",)
    assert offered.signed == ("exchange.example/officer.a", "exchange.example/officer.b")
    assert "directory.2.note" not in world.files(), "offering publishes nothing"
    assert (await world.offers.publish(REGISTRAR, offered.digest)).state == "handed-in"
    assert (world.folder / "directory.2.note").read_bytes() == raw
    await world.upkeep()
    assert [each.state for each in world.offers.shown()] == ["in-force"]
    assert (await world.offers.publish(REGISTRAR, offered.digest)).state == "in-force"
    with pytest.raises(errors.NotProposable, match="where 3 comes next"):
        await world.offers.offer(REGISTRAR, raw)
    world.late = proposal_ms
    assert world.offers.shown() == ()
    with pytest.raises(errors.NoSuchProposal):
        await world.offers.publish(REGISTRAR, offered.digest)


async def test_a_root_comes_before_the_directory_that_names_it(world):
    root = world.exchange.next_root(lambda root: replace(root, operators=root.operators[:3]))
    book = world.next_directory()
    with pytest.raises(errors.NotProposable, match="names root 2, which is not known"):
        await world.offers.offer(REGISTRAR, book)
    offered = await world.offers.offer(REGISTRAR, root)
    assert offered.kind == "root"
    assert [line[:19] for line in offered.changes] == ["- operator.auditor ", "- operator.registra"]
    await world.offers.publish(REGISTRAR, offered.digest)
    await world.upkeep()
    with pytest.raises(errors.NotAllowed):  # that root took the role away
        await world.offers.offer(REGISTRAR, book)


async def test_nobody_else_publishes_and_nothing_that_upkeep_would_refuse_is_taken(world):
    before = world.files()
    raw = world.next_directory()
    text = notes.parse(raw, limits.directory_bytes_max).text
    offered = await world.offers.offer(REGISTRAR, raw)
    for who in ("operator.a", "operator.observer", "operator.auditor", "officer.a", "", "operator.z"):
        with pytest.raises(errors.NotAllowed):
            await world.offers.offer(who, raw)
        with pytest.raises(errors.NotAllowed):
            await world.offers.publish(who, offered.digest)
    strangers = sample_exchange()
    for bad in (
        notes.sign(text, world.exchange.officers[:1]),
        notes.sign(text, strangers.officers),
        notes.sign(text, world.exchange.operators),
        raw.replace(b"suspended", b"active", 1),
        strangers.root_raw,
        strangers.directory_raws[0],
        world.exchange.root_raw,
        world.next_directory("active"),  # version 3
        raw + b"x",
        b"",
        b"\xff" * 1_000,
        b"x" * (limits.directory_bytes_max + 1),
    ):
        with pytest.raises(errors.NotProposable):
            await world.offers.offer(REGISTRAR, bad)
    assert world.files() == before


async def test_two_good_texts_of_one_version_are_never_both_published(world):
    one = world.next_directory()
    world.exchange.phonebooks.pop()
    other = world.next_directory("withdrawn")
    first, second = [await world.offers.offer(REGISTRAR, raw) for raw in (one, other)]
    done = await asyncio.gather(
        world.offers.publish(REGISTRAR, first.digest),
        world.offers.publish(REGISTRAR, second.digest),
        return_exceptions=True,
    )
    assert done[0].state == "handed-in"
    assert isinstance(done[1], errors.ProposalSettled)
    assert (world.folder / "directory.2.note").read_bytes() == one


async def test_a_damaged_file_in_the_folder_gives_way_and_a_full_disk_is_said(world, monkeypatch):
    raw = world.next_directory()
    (world.folder / "directory.2.note").write_bytes(raw[:-20])
    offered = await world.offers.offer(REGISTRAR, raw)
    with monkeypatch.context() as patch:

        def full(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        patch.setattr(orders, "put", full)
        with pytest.raises(errors.NotHandedIn, match="No space left"):
            await world.offers.publish(REGISTRAR, offered.digest)
    await world.offers.publish(REGISTRAR, offered.digest)
    await world.upkeep()
    assert world.known.reference[0] == 2


async def test_what_is_offered_is_bounded(world):
    raws = []
    for number in range(offers_max + 1):
        raws.append(world.exchange.next_directory(days=number + 1))
        world.exchange.phonebooks.pop()
    for raw in raws[:-1]:
        await world.offers.offer(REGISTRAR, raw)
    with pytest.raises(errors.TooManyProposals):
        await world.offers.offer(REGISTRAR, raws[-1])
    assert len(world.offers.shown()) == offers_max
