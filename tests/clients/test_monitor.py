"""The monitor over restarts: what it keeps, what it refuses, and what happens in our name that we did not ask for."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from valija import StateError, durable, monitor, monitor_state
from valija.client import Client
from valija.keyring import Keyring
from valija.monitor import Look
from valija.registry.sample import sample_exchange
from valija.testing import MemoryBroker
from valija_schemas import leaf, tiles
from valija_schemas.directory import Directory, Key, SealKey
from valija_schemas.keys import fingerprint

EXAMPLES = Path(__file__).parents[2] / "schemas/examples"
REQUEST = json.loads((EXAMPLES / "information-request-1.json").read_text())
MX, CO = "mx.enlace", "co.enlace"
TYPE = "information-request/1"


class World:
    """A member whose monitor runs once in each process, and what it asked the broker for."""

    def __init__(self, folder: Path) -> None:
        self.exchange = sample_exchange()
        self.broker = MemoryBroker(self.exchange)
        self.folder = folder
        self.fetched: list[str] = []
        tile = self.broker.tile

        def told(path: str) -> bytes:
            self.fetched.append(path)
            return tile(path)

        self.broker.tile = told

    @property
    def state(self) -> Path:
        return self.folder / MX / "monitor.state"

    def fill(self, count: int) -> None:
        """Entries of others."""
        first = len(self.broker.leaves)
        self.broker.leaves.extend(leaf.of_event(bytes(32), b"%d" % n) for n in range(first, first + count))

    async def send(self, folder: Path | None = None) -> str:
        async with self.broker.client(MX, folder or self.folder) as sender:
            return (await sender.send(REQUEST, CO, type=TYPE)).digest

    async def receive(self, folder: Path | None = None) -> None:
        async with self.broker.client(CO, folder or self.folder) as recipient:
            async for message in recipient.inbox():
                async with message:
                    pass

    async def look(self, who: str = MX, work: Callable[[Client], Any] = lambda _: None, **how: Any) -> Look:
        """One run of the monitor, in a process of its own."""
        self.fetched.clear()
        async with self.broker.client(who, self.folder) as client:
            work(client)
            return await client.monitor(**how)

    def forget_outbox(self) -> None:
        for path in (self.folder / MX).glob("outbox.sqlite*"):
            path.unlink()

    def change(self, **changes: Any) -> None:
        """The directory that follows, with these fields in our entry."""

        def apply(directory: Directory) -> Directory:
            points = [replace(p, **changes) if p.id == MX else p for p in directory.contact_points]
            return replace(directory, contact_points=tuple(points))

        self.exchange.next_directory(apply)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_a_new_start_reads_on_from_where_the_last_one_was(world):
    await world.send()
    world.fill(700)
    first = await world.look()
    assert (first.faults, first.own, first.size) == ((), 1, len(world.broker.leaves))
    assert "read from its first entry" in first.word
    assert "tile/entries/000" in world.fetched
    await world.send()
    second = await world.look()
    assert (second.faults, second.own, second.size, second.word) == ((), 2, first.size + 1, "")
    width = second.size % tiles.WIDTH
    assert world.fetched == [f"tile/entries/002.p/{width}", f"tile/0/002.p/{width}"]
    third = await world.look()
    assert (third.faults, third.own, third.size) == ((), 2, second.size)
    assert world.fetched == []
    assert world.state.stat().st_mode & 0o077 == 0


async def test_a_long_log_is_read_in_steps_and_no_tile_is_asked_for_that_was_never_published(world, monkeypatch):
    monkeypatch.setattr(monitor, "step_entries", tiles.WIDTH)
    for count in (900, 1, 300):
        world.fill(count)
        size = len(world.broker.leaves)
        look = await world.look()
        assert (look.faults, look.size) == ((), size)
        partial = {path for path in world.fetched if ".p/" in path}
        assert partial <= {name.path for name in (*tiles.tiles_made(0, size), *tiles.bundles_made(0, size))}


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: b"", lambda raw: raw[:-1], lambda raw: raw[:40] + bytes([raw[40] ^ 1]) + raw[41:],
        lambda raw: b"\x00" * len(raw), lambda raw: raw + b"x",
    ],
)  # fmt: skip
async def test_a_damaged_state_is_an_alarm_and_the_log_is_read_again(world, damage):
    await world.send()
    await world.look()
    world.state.write_bytes(damage(world.state.read_bytes()))
    look = await world.look()
    assert (look.own, look.size, look.word) == (1, len(world.broker.leaves), "The log is read from its first entry.")
    assert f"{world.state}, where the monitor keeps how far it read, was damaged" in look.faults[0]
    look = await world.look(work=lambda client: client.mark_seen())
    assert (look.faults, look.word) == ((), "")


async def test_a_missing_state_is_begun_anew_with_a_word(world):
    await world.send()
    await world.look()
    world.state.unlink()
    look = await world.look()
    assert (look.faults, look.own, look.size) == ((), 1, len(world.broker.leaves))
    assert "the log is read from its first entry" in look.word
    assert (await world.look()).word == ""


async def test_a_state_whose_tree_is_not_its_root_is_not_believed(world):
    await world.send()
    await world.look()
    state, _ = monitor_state.load(world.state, world.exchange.origin)
    for other in (replace(state, root=b"x" * 32), replace(state, edge=()), replace(state, edge=(b"x",))):
        monitor_state.save(world.state, other)
        assert "was damaged" in (await world.look()).faults[0]
    for other in (replace(state, origin="another.example"), replace(state, layout=2)):
        monitor_state.save(world.state, other)
        look = await world.look(work=lambda client: client.mark_seen())
        assert look.faults == ()
        assert "of another version of this program or of another exchange" in look.word


def meanwhile(client: Client, happens: Callable[[], Any]) -> None:
    """`happens`, and is awaited, in the middle of a look of `client`: once it has the checkpoint."""
    follow = client._parts.log.follow

    async def then() -> Any:
        found = await follow()
        await happens()
        return found

    client._parts.log.follow = then


async def test_what_is_kept_never_gives_way_to_a_smaller_tree(world):
    await world.look()

    async def other_run() -> None:
        world.fill(300)
        async with world.broker.client(MX, world.folder) as client:
            await client.monitor()

    look = await world.look(work=lambda client: meanwhile(client, other_run))
    assert look.size < 300
    kept, _ = monitor_state.load(world.state, world.exchange.origin)
    assert kept.size == len(world.broker.leaves)


async def test_a_directory_that_comes_in_the_middle_of_a_look_is_looked_at(world):
    await world.look()

    def work(client: Client) -> None:
        async def suspended() -> None:
            world.change(status="suspended")
            await client.directory()

        meanwhile(client, suspended)

    assert (await world.look(work=work)).faults == ()
    (fault,) = (await world.look()).faults
    assert "says that we are suspended" in fault


async def test_a_crash_while_the_state_is_kept_leaves_the_one_before(world, monkeypatch):
    await world.send()
    await world.look()
    before = world.state.read_bytes()
    await world.send()
    write = durable.write

    def fail(path: Path, data: bytes, **how: Any) -> None:
        if path == world.state:
            raise OSError(28, "No space left on device")
        write(path, data, **how)

    with monkeypatch.context() as patch:
        patch.setattr(durable, "write", fail)
        with pytest.raises(StateError, match="No space left"):
            await world.look()
    assert world.state.read_bytes() == before
    look = await world.look()
    assert (look.faults, look.own) == ((), 2)


async def test_a_log_that_shrank_since_is_an_alarm_though_the_outbox_forgot_it(world):
    for _ in range(3):
        await world.send()
    await world.look()
    before = world.state.read_bytes()
    world.forget_outbox()
    del world.broker.leaves[4:]
    del world.broker.feeds[MX][2:]
    look = await world.look()
    assert any("the log shrank" in fault for fault in look.faults), look.faults
    assert world.state.read_bytes() == before


async def test_a_log_that_was_changed_where_it_had_been_read_is_an_alarm(world):
    await world.send()
    world.fill(300)
    await world.look()
    world.forget_outbox()
    world.broker.leaves[200] = leaf.of_event(bytes(32), b"changed")
    world.broker._checkpoints.clear()
    world.fill(1)
    look = await world.look()
    assert any("two logs" in fault for fault in look.faults), look.faults


async def test_a_version_that_stands_twice_in_the_log_is_an_alarm(world):
    """A revocation that is logged again, later, would make what was signed after it look older than it is."""
    await world.look()
    world.broker.leaves.append(world.broker.leaves[1])
    look = await world.look()
    assert any("that it has already" in fault for fault in look.faults), look.faults


async def test_an_event_that_is_told_late_is_looked_for_too(world):
    await world.send()
    late = world.broker.feeds[MX].pop()
    assert (await world.look()).own == 0
    world.broker.feeds[MX].append(late)
    look = await world.look()
    assert (look.faults, look.own) == ((), 1)
    world.state.unlink()
    world.fill(1)

    def move(client: Client) -> None:
        client._parts.outbox._db.execute("UPDATE valija_events SET leaf = leaf + 1")

    look = await world.look(work=move)
    assert any("is not our event" in fault for fault in look.faults)


async def test_a_message_in_our_name_that_we_did_not_send_is_an_alarm(world, tmp_path, caplog):
    await world.send()
    assert (await world.look()).faults == ()
    theirs = await world.send(tmp_path / "thief")
    await world.receive()
    assert (await world.look(shared=True)).faults == ()
    world.state.unlink()
    (fault,) = (await world.look()).faults
    assert f"message {theirs} was sent in our name, and not by this state folder" in fault
    assert "call a registry officer" in fault
    # It is told again until a person has seen it, and not once more when the log is read from its first entry.
    assert (await world.look()).faults == (fault,)
    assert (await world.look(work=lambda client: client.mark_seen())).faults == ()
    world.state.unlink()
    assert (await world.look()).faults == ()
    assert caplog.text.count("was sent in our name") == 1  # of three events


async def test_a_receipt_in_our_name_that_we_did_not_give_is_an_alarm(world, tmp_path):
    await world.send()
    await world.receive()
    assert (await world.look(CO)).faults == ()
    digest = await world.send()
    await world.receive(tmp_path / "thief")
    (fault,) = (await world.look(CO)).faults
    assert f"ConsignmentAcceptance of message {digest} was signed in our name, and not by this state folder" in fault


@pytest.mark.parametrize("how", ["suspended", "revoked", "stranger", "gone"])
async def test_a_change_of_our_own_entry_that_we_did_not_ask_for_is_an_alarm(world, how):
    assert (await world.look()).faults == ()
    point = world.exchange.phonebook.point(MX)
    stranger = Keyring.generate(world.exchange.origin, MX)
    if how == "suspended":
        world.change(status="suspended")
        words = "says that we are suspended"
    elif how == "revoked":
        world.change(sign=(replace(point.sign[0], status="revoked", ended=1),))
        words = f"our sign key {fingerprint(bytes.fromhex(point.sign[0].key))[:19]} is revoked"
    elif how == "stranger":
        key = base64.b64encode(stranger.seal.recipient.to_bytes()).decode()
        world.change(seal=(SealKey(key=key, status="active", ended=None), *point.seal))
        shown = fingerprint(stranger.seal.recipient.to_bytes())[:19]
        words = f"gives us the seal key {shown}, which is not in this keyring"
    else:
        points = [p for p in world.exchange.phonebook.directory.contact_points if p.id != MX]
        world.exchange.next_directory(lambda directory: replace(directory, contact_points=tuple(points)))
        words = "does not name us any more"
    (fault,) = (await world.look()).faults
    assert fault.startswith("directory version 2 ")
    assert words in fault
    assert "registry officer" in fault


async def test_a_rotation_that_we_asked_for_is_no_alarm(world):
    assert (await world.look()).faults == ()
    point = world.exchange.phonebook.point(MX)
    world.exchange.keyrings[MX] = new = world.exchange.keyrings[MX].rotate(["sign"])
    added = Key(key=new.sign.public.hex(), status="active", ended=None)
    world.change(sign=(added, replace(point.sign[0], status="retired", ended=1)))
    assert (await world.look()).faults == ()
    world.change(sign=(added, replace(point.sign[0], status="revoked", ended=1)))
    assert (await world.look()).faults == ()
