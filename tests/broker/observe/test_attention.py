"""What a person is told to look at, from figures: the figure from which on, and the words."""

import string
from pathlib import Path

import msgspec
import pytest
from harness import DAY_MS, now_ms

from valija_broker import canary, cli
from valija_broker.batch import disk_free_bytes_min
from valija_broker.config import Exchange, Settings
from valija_broker.observe import attention, dead, health
from valija_broker.observe.looks import Disk, Look, Server, Waiting
from valija_schemas import admin, note, wire
from valija_schemas.checkpoint import Checkpoint, Head, Policy

NOW = now_ms()
SETTINGS = Settings(exchange=Exchange(origin="exchange.example"), data="data")
MINUTE_MS = 60_000
GIB = 1 << 30


def server(**changes):
    return Server(**({"used_bytes": 1, "bytes_max": 100, "writes": True, "ahead_ms": 0, "future_ms": 0} | changes))


def box(number=0, *, waits_ms=0, **changes):
    values = {
        "id": f"p{number:03}", "state": "MX", "organisation": None, "name": "An office", "area": "judicial",
        "status": "active", "held_until": None, "ready": 0, "leased": 0, "dead": 0,
        "oldest": NOW - waits_ms if waits_ms else None, "collect_p95": None, "last_seen": None, "keys": {}, "hours": (),
    }  # fmt: skip
    return admin.Mailbox(**(values | changes))


def signed(*witnesses, quorum=1):
    """A checkpoint of now with these cosignatures: a name, and by how many seconds it is dated after the log."""
    at = NOW // 1000
    verifiers = tuple(note.Verifier(name, bytes(32)) for name in ("north", "south"))
    return {
        "checkpoint": Checkpoint(
            Head("exchange.example/log", 7, bytes(32)), b"", at, tuple((name, at + s) for name, s in witnesses),
            len(witnesses) >= quorum,
        ),
        "policy": Policy("exchange.example/log", bytes(32), None, verifiers, quorum),
    }  # fmt: skip


def look(**changes):
    values = {
        "time": NOW, "away": {}, "missing": "", "boxes": (), "stuck": (), "server": server(),
        "outbox": Waiting(events=0, oldest=None), "disks": (Disk(folder="data", free_bytes=5 * GIB),),
        "directory": 3, "expires": NOW + 20 * DAY_MS, "holds": (), "keyless": (), "canary": None,
        "canary_configured": False, **signed(("north", 0), ("south", 1), quorum=2),
    }  # fmt: skip
    return Look(**(values | changes))


def came_back(ago_ms, round_trip=900):
    back = canary.Canary(sent=NOW - ago_ms - round_trip, returned=NOW - ago_ms, round_trip=round_trip)
    return {"canary": back, "canary_configured": True}


WELL = {
    "a broker": {},
    "mail that waits for less than it takes to start a program again": {"boxes": (box(waits_ms=60_000, ready=3),)},
    "a mailbox whose owner may not collect": {"stuck": (box(waits_ms=DAY_MS, status="suspended"),)},
    "events of the moment": {"outbox": Waiting(events=10_000, oldest=NOW - 29_000)},
    "an old checkpoint where nothing happened since": {**signed(("north", 0), quorum=1), "policy": None},
    "a directory for a week": {"expires": NOW + 7 * DAY_MS},
    "a witness that was asked late": signed(("north", 3_000), ("south", 0), quorum=2),
    "clocks apart by less than a second": {"server": server(ahead_ms=-900, future_ms=900)},
    "a store without a bound": {"server": server(bytes_max=0, used_bytes=GIB)},
    "a store at seven tenths": {"server": server(used_bytes=70)},
    "a canary of just now": came_back(4 * MINUTE_MS),
}  # fmt: skip

AMISS = [
    ("broker-away", "critical", {"away": {"broker": "refused"}}),
    ("broker-not-ready", "critical", {"missing": "worker-1"}),
    ("store-away", "critical", {"away": {"store": "gone"}, "server": None, "outbox": None}),
    ("evidence-away", "critical", {"away": {"evidence": "locked"}}),
    ("log-away", "critical", {"away": {"log": "no checkpoint"}, "checkpoint": None}),
    ("disk-away", "critical", {"away": {"disk": "no folder"}, "disks": ()}),
    ("mailbox-stuck", "warning", {"stuck": (box(waits_ms=16 * MINUTE_MS, ready=1),)}),
    ("dead-letters", "warning", {"boxes": (box(dead=1),)}),
    ("events-wait", "warning", {"outbox": Waiting(events=1, oldest=NOW - 31_000)}),
    ("events-wait", "critical", {"outbox": Waiting(events=1, oldest=NOW - 61_000)}),
    ("outbox-growing", "critical", {"outbox": Waiting(events=10_001, oldest=NOW)}),
    ("witness-away", "warning", signed(("north", 0), quorum=1)),
    ("directory-none", "critical", {"directory": 0, "expires": None}),
    ("directory-expires", "warning", {"expires": NOW + 7 * DAY_MS - 1}),
    ("directory-expires-now", "critical", {"expires": NOW + DAY_MS - 1}),
    ("directory-expired", "critical", {"expires": NOW}),
    ("keys-retired", "warning", {"keyless": ("p000",)}),
    ("hold", "ok", {"holds": (("p000", NOW + DAY_MS),)}),
    ("clock-store", "warning", {"server": server(ahead_ms=-1_001)}),
    ("clock-store", "critical", {"server": server(ahead_ms=5_001)}),
    ("clock-back", "warning", {"server": server(future_ms=1_001)}),
    ("clock-witness", "warning", signed(("north", -6), ("south", 0), quorum=2)),
    ("store-not-writing", "critical", {"server": server(writes=False)}),
    ("memory-near", "warning", {"server": server(used_bytes=71)}),
    ("memory-full", "critical", {"server": server(used_bytes=81)}),
    ("disk-near", "warning", {"disks": (Disk(folder="data", free_bytes=GIB - 1),)}),
    ("disk-full", "critical", {"disks": (Disk(folder="data", free_bytes=GIB // 4 - 1),)}),
    ("canary-never", "warning", {"canary_configured": True}),
    ("canary-late", "critical", came_back(5 * MINUTE_MS + 1)),
    ("canary-slow", "warning", came_back(0, round_trip=15_001)),
]


@pytest.mark.parametrize("changes", WELL.values(), ids=WELL)
def test_nothing_is_said_of_what_is_well(changes):
    assert attention.findings(look(**changes), SETTINGS) == ()


@pytest.mark.parametrize(("code", "verdict", "changes"), AMISS, ids=[f"{row[0]}-{row[1]}" for row in AMISS])
def test_what_is_amiss_is_said_once_and_decides_its_part(code, verdict, changes):
    seen = look(**changes)
    found = attention.findings(seen, SETTINGS)
    (one,) = found
    assert (one.item.code, one.item.verdict) == (code, verdict)
    assert one.item.words == attention.WORDS[code].format_map(one.item.values)
    assert wire.Decoder(admin.Attention, 4_096)(wire.encode(one.item)) == one.item
    (check,) = [check for check in health.health(seen, found, SETTINGS).checks if check.name == one.part]
    if verdict != "ok":
        assert (check.verdict, check.code, check.words) == (verdict, code, one.item.words)
    else:  # a hold does what was ordered: no monitor calls anybody for it
        assert check.verdict == "ok"


@pytest.mark.parametrize(("code", "verdict", "changes"), AMISS, ids=[f"{row[0]}-{row[1]}" for row in AMISS])
def test_the_command_beside_it_is_one_that_there_is(code, verdict, changes):
    del code, verdict
    (one,) = attention.findings(look(**changes), SETTINGS)
    words = one.item.command.removeprefix("valija-broker ").split()
    known = {name for group in cli.COMMANDS.values() for name in group}
    assert " ".join(words[:2]) in known or words[0] in known or words == ["check", one.part]


def test_prometheus_calls_somebody_at_the_same_figures():
    rules = (Path(__file__).parents[3] / "deploy" / "prometheus" / "alerts.yml").read_text()
    for bound in (
        f"valija_store_memory_bytes > {attention.memory_near} * ",
        f"valija_disk_free_bytes < {attention.disk_near * disk_free_bytes_min}",
        f"valija_outbox_events > {attention.outbox_events_many}",
        f"time() < {attention.directory_soon_ms // DAY_MS} * 86400",
        f"time() < {attention.directory_now_ms // 1000}",
        f"valija_canary_last_success_timestamp_seconds > {attention.canary_late_ms // 1000}",
        f"valija_canary_round_trip_seconds > {attention.canary_slow_ms // 1000}",
    ):
        assert bound in rules


def test_the_table_above_has_every_code():
    counted = {"mailboxes-stuck", "keys-retired-more", "holds", "quorum-lacking"}
    assert {row[0] for row in AMISS} | counted == set(attention.WORDS)


def test_too_few_witnesses_are_said_beside_who_is_away():
    found = attention.findings(look(**signed(("south", 0), quorum=2)), SETTINGS)
    assert [one.item.code for one in found] == ["quorum-lacking", "witness-away"]
    assert found[0].item.values == {"have": "1", "quorum": "2"}


def test_four_thousand_contact_points_in_trouble_are_named_up_to_ten_and_counted():
    many = tuple(box(n, waits_ms=DAY_MS + n, ready=1) for n in range(4_000))
    seen = look(
        boxes=many, stuck=many, keyless=tuple(one.id for one in many),
        holds=tuple((f"q{n}", NOW + DAY_MS) for n in range(4_000)),
    )  # fmt: skip
    found = attention.findings(seen, SETTINGS)
    codes = [one.item.code for one in found]
    assert [codes.count(code) for code in ("mailbox-stuck", "keys-retired", "hold")] == [10, 10, 10]
    assert {one.item.values["count"] for one in found if "count" in one.item.values} == {"3990"}
    assert found[0].item.values["contact_point"] == "p3999"  # whose mail has waited for longest
    assert len(found) == 33


def test_the_gravest_comes_first_and_decides():
    seen = look(missing="store", boxes=(box(dead=1),), holds=(("p000", NOW + DAY_MS),))
    found = attention.findings(seen, SETTINGS)
    assert [one.item.verdict for one in found] == ["critical", "warning", "ok"]
    assert health.health(seen, found, SETTINGS).verdict == "critical"


def test_what_is_not_set_up_is_unknown_and_alarms_nobody():
    seen = look(**signed(quorum=0), server=server())
    seen = msgspec.structs.replace(seen, policy=None)
    found = health.health(seen, attention.findings(seen, SETTINGS), SETTINGS)
    assert {check.name for check in found.checks if check.verdict == "unknown"} == {"clock", "canary"}
    assert found.verdict == "ok"


def test_the_words_of_every_code_name_their_values_alone():
    for words in (*attention.WORDS.values(), *health.WORDS.values(), *dead.words.values(), dead.other):
        for _, name, form, conversion in string.Formatter().parse(words):
            assert name is None or (name.isidentifier() and not form and conversion is None)
