"""A key that was revoked: what it signed before counts for ever, what it signed after never, whoever made the file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from valija import bundle
from valija.registry.sample import SampleExchange, sample_exchange
from valija.testing import MemoryBroker
from valija.verify import Report, verify
from valija_schemas import api, evidence, leaf, message, tlog_proof
from valija_schemas.directory import Directory

EXAMPLES = Path(__file__).parents[2] / "schemas/examples"
REQUEST = json.loads((EXAMPLES / "information-request-1.json").read_text())
MX, CO = "mx.enlace", "co.enlace"
TYPE = "information-request/1"


def change_key(who: str, **changes: Any) -> Callable[[Directory], Directory]:
    """A directory in which the `sign` key of somebody has these fields."""

    def change(directory: Directory) -> Directory:
        points = [
            replace(p, sign=tuple(replace(key, **changes) for key in p.sign)) if p.id == who else p
            for p in directory.contact_points
        ]
        return replace(directory, contact_points=tuple(points))

    return change


class World:
    """One message from MX to CO, under directory version 1."""

    def __init__(self, folder: Path) -> None:
        self.exchange: SampleExchange = sample_exchange()
        self.broker = MemoryBroker(self.exchange)
        self.folder = folder
        self.sent = ""

    def next_directory(self, change: Callable[[Directory], Directory] = lambda d: d) -> None:
        self.exchange.next_directory(change)
        self.broker.learn()

    def revoke(self, who: str) -> None:
        self.next_directory(change_key(who, status="revoked", ended=self.exchange.now_ms + 1))

    async def send(self) -> None:
        async with self.broker.client(MX, self.folder) as sender:
            self.sent = (await sender.send(REQUEST, CO, type=TYPE)).digest
            await sender.track(self.sent)

    async def seal_without_sending(self) -> None:
        line = self.broker.line(MX)
        async with self.broker.client(MX, self.folder, line) as sender:
            await sender.directory()
            line.down = True
            self.sent = (await sender.send(REQUEST, CO, type=TYPE)).digest
            raw = sender._parts.outbox.raw(self.sent)
        self.found = message.read(raw, self.exchange.origin)

    async def receive(self) -> None:
        async with self.broker.client(CO, self.folder) as recipient:
            async for received in recipient.inbox():
                async with received:
                    pass

    async def prove(self, who: str = MX) -> dict[str, bytes]:
        async with self.broker.client(who, self.folder) as client:
            await client.directory()
            await client.track(self.sent)
            return bundle.read(await client.prove(self.sent))

    def judge(self, parts: dict[str, bytes]) -> Report:
        return verify(bundle.write(parts), self.exchange.root_digest)


def words(report: Report, part: str = f"the sign key of {MX}") -> tuple[str, str]:
    (found,) = [finding for finding in report.findings if finding.part == part]
    return found.result, found.words


def without(parts: dict[str, bytes], *begins: str) -> dict[str, bytes]:
    return {name: raw for name, raw in parts.items() if not name.startswith(begins)}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.mark.parametrize("gone", [False, True])
async def test_what_was_accepted_before_the_revocation_is_proved(world, gone):
    await world.send()
    await world.receive()
    world.next_directory()
    if gone:  # a directory that names the key no more takes its word away as well
        world.next_directory(change_key(MX, key="ab" * 32))
    else:
        world.revoke(MX)
    for _ in range(3):
        world.next_directory()
    parts = await world.prove()
    assert {name.split(".")[1] for name in parts if name.startswith("directory.")} == {"1", "2", "3", "6"}
    report = world.judge(parts)
    assert report.result == "proved", report.findings
    result, text = words(report)
    assert result == "proved"
    assert "revoked since directory version 3, entry 6 of the log; event-01.note, entry 2, stands before that" in text
    assert report.directory == 6
    assert any("directory version 6" in line for line in report.relied_on)


async def test_what_was_accepted_after_the_revocation_is_false(world):
    """A broker that is taken over accepts what a thief of the key signs, under a version from before."""
    await world.seal_without_sending()
    world.revoke(MX)
    world.broker.put(world.found)
    world.next_directory()
    parts = await world.prove()
    report = world.judge(parts)
    assert report.result == "false"
    assert "stands after that" in words(report)[1]
    # Whatever he leaves out, it does not become proved while a version that revokes the key is in the file.
    for begins in (
        ("directory.1.tlog-proof",), ("directory.2.",), ("directory.2.tlog-proof",), ("directory.3.",),
        ("directory.3.tlog-proof",), ("directory.2.", "directory.3.tlog-proof"), ("event-01.",),
    ):  # fmt: skip
        assert world.judge(without(parts, *begins)).result != "proved", begins
    # He shows a later version as the one that revoked: it stands after the acceptance, and is not the first.
    result, text = words(world.judge(without(parts, "directory.2.")))
    assert (result, "the first to revoke it is not shown" in text) == ("not checked", True)
    # Without any of them the file is what it always could be, and says as of when.
    report = world.judge(without(parts, "directory.2.", "directory.3."))
    assert (report.result, report.directory) == ("proved", 1)
    assert "active in directory version 1 of " in words(report)[1]
    assert any("a key revoked later does not show" in line for line in report.relied_on)


async def test_the_place_of_another_directory_does_not_pass_for_that_of_the_revocation(world):
    await world.seal_without_sending()
    world.revoke(MX)
    world.broker.put(world.found)
    world.next_directory()
    parts = await world.prove()
    swapped = {**parts, "directory.2.tlog-proof": parts["directory.3.tlog-proof"]}
    assert world.judge(without(swapped, "directory.3.")).result == "false"
    assert world.judge(swapped).result == "false"


async def test_places_in_two_trees_decide_nothing(world):
    """Each is signed; that one tree continues the other is not shown, so neither is which entry came first."""
    await world.send()
    old = world.broker.checkpoint()
    world.revoke(MX)
    parts = await world.prove()
    assert words(world.judge(parts))[0] == "proved"
    index = tlog_proof.parse(parts["event-01.tlog-proof"]).index
    size = 3
    parts["event-01.tlog-proof"] = tlog_proof.write(index, world.broker.inclusion(index, size).proof, old)
    result, text = words(world.judge(parts))
    assert (result, "not shown in one tree" in text) == ("not checked", True)


async def test_a_file_that_was_made_without_the_broker_does_not_decide(world):
    await world.send()
    world.revoke(MX)
    line = world.broker.line(MX)
    async with world.broker.client(MX, world.folder, line) as sender:
        await sender.directory()
        line.down = True
        parts = bundle.read(await sender.prove(world.sent))
    report = world.judge(parts)
    assert report.result == "not checked"
    assert "the place of directory version 2 in the log is not shown here" in words(report)[1]


async def test_a_recipient_proves_by_what_it_was_told_of(world):
    """The opening of the acceptance is the sender's; that of the handover names the signed note as well."""
    await world.send()
    await world.receive()
    world.revoke(MX)
    report = world.judge(await world.prove(CO))
    assert report.result == "proved", report.findings
    assert "event-01.txt, entry 3, stands before that" in words(report)[1]


async def test_an_event_after_the_revocation_does_not_say_when_the_message_was_signed(world):
    """It may have been signed before all the same: only the acceptance decides both ways."""
    await world.send()
    await world.receive()
    world.revoke(MX)
    late = world.broker._event(world.sent, "DeadLettered", CO, "attempts")
    world.broker._tell_both(CO, world.sent, late)
    parts = await world.prove(CO)
    assert parts["event-03.txt"] == late
    rest = without(parts, "event-01", "event-02", "event-03")
    rest |= {name.replace("03", "01"): raw for name, raw in parts.items() if name.startswith("event-03")}
    result, text = words(world.judge(rest))
    assert (result, "nothing here shows that it signed before" in text) == ("not checked", True)


@pytest.mark.parametrize("ended", [-1, 60_000])
async def test_a_retired_key_counts_for_what_it_says_it_signed_before(world, ended):
    await world.send()
    at = world.broker.accepted[world.sent][0].header.sent
    world.next_directory(change_key(MX, status="retired", ended=at + ended))
    report = world.judge(await world.prove())
    assert report.result == ("proved" if ended > 0 else "false")
    assert "it is retired in directory version 2" in words(report)[1]


async def test_a_receipt_by_a_key_that_was_revoked_later_is_proved(world):
    await world.send()
    await world.receive()
    parts = await world.prove()
    world.revoke(CO)
    parts = await world.prove()
    report = world.judge(parts)
    assert report.result == "proved", report.findings
    assert "event-03.note, entry 4, stands before that" in words(report, "event-03.note")[1]


async def test_a_receipt_that_a_revoked_key_signed_is_false(world):
    await world.send()
    world.revoke(CO)
    world.next_directory()
    found, _ = world.broker.accepted[world.sent]
    receipt = evidence.receipt_note(
        world.exchange.origin, "ConsignmentAcceptance", evidence.subject_of(found.header, found.note),
        world.exchange.keyrings[CO].sign, recipient=CO, time=world.broker.clock() - 60_000,
        directory=world.exchange.phonebooks[0].reference, log=message.EMPTY_LOG,
    )  # fmt: skip
    world.broker._tell_both(CO, world.sent, receipt)
    parts = await world.prove()
    assert receipt not in parts.values()  # our own client calls it an alarm, and proves nothing by it
    parts |= shown(world.broker, world.broker.feeds[MX][-1])
    for number in (1, 2, 3):
        book = world.exchange.phonebooks[number - 1]
        place = world.broker.inclusion(book.digest, len(world.broker.leaves))
        parts[f"directory.{number}.note"] = book.raw
        parts[f"directory.{number}.tlog-proof"] = tlog_proof.write(place.index, place.proof, world.broker.checkpoint())
    report = world.judge(parts)
    assert report.result == "false"
    assert "stands after that" in words(report, "event-02.note")[1]
    assert world.judge(without(parts, "directory.2.")).result != "proved"


def shown(broker: MemoryBroker, event: api.FeedEvent) -> dict[str, bytes]:
    """The parts of a second event, by somebody who assembles a bundle himself."""
    place = broker.inclusion(event.index, len(broker.leaves))
    assert broker.leaves[event.index] == leaf.of_event(event.salt, event.event)
    return {
        "event-02.note": event.event,
        "event-02.salt": event.salt.hex().encode() + b"\n",
        "event-02.tlog-proof": tlog_proof.write(event.index, place.proof, broker.checkpoint()),
    }
