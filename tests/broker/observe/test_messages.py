"""Rows of messages: they say what the events and the headers say, page after page, and go when those go."""

import json
import random
import shutil
import sqlite3
import statistics
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from log_folder import Log

from valija_broker.errors import BadConfig
from valija_broker.evidence import Headline, hold_row, order_row, row_of
from valija_broker.log import messages as rows
from valija_broker.log.retain import Retention
from valija_broker.log.view import LogView
from valija_broker.observe import history, pages, report
from valija_schemas import admin, hold, order, wire
from valija_schemas import note as notes

BEGIN, END = report.bounds("2026-10")
POINTS = {
    "mx.enlace": ("MX", "judicial"), "co.enlace": ("CO", "judicial"), "ca.liaison": ("CA", "political"),
    "ca.other": ("CA", "political"),
}  # fmt: skip
DIRECTORY = [
    SimpleNamespace(id=id_, state=state, organisation=None, area=area) for id_, (state, area) in POINTS.items()
]
TYPES = ("information-request/1", "response/1")
ENDS = {"delivered": "ConsignmentAcceptance", "refused": "ConsignmentRejection", "failed": "ContentHandoverFailure"}


def event(name, one, to, time, reason=None):
    said = {
        "event": name, "id": one.id, "message": one.digest, "note": "a" * 64, "body": "b" * 64, "body_length": 9,
        "from": one.sender, "to": list(to), "time": time, "directory": [1, "c" * 64], "reason": reason,
    }  # fmt: skip
    return b"valija/evidence/v1 exchange.example\n" + json.dumps(said, separators=(",", ":")).encode() + b"\n"


def made(count, dice):
    """So many messages, in the order of the log; what became of each share; and the rows of it all."""
    sent, entries = [], []
    for number in range(count):
        sender = dice.choice(list(POINTS))
        to = sorted(dice.sample([id_ for id_ in POINTS if id_ != sender], dice.randint(1, 3)))
        known = [one for one in sent if sender in one.to and one.sender in to]
        one = SimpleNamespace(
            id=f"{dice.getrandbits(32):08x}-0000-4000-8000-{number:012x}", digest=f"{dice.getrandbits(256):064x}",
            sender=sender, to=to, type=dice.choice(TYPES), exercise=dice.random() < 0.2,
            in_reply_to=dice.choice(known).digest if known and dice.random() < 0.5 else None,
            accepted=BEGIN + dice.randrange(-24, 48) * rows.HOUR_MS,  # several at one time
            ends={},
        )  # fmt: skip
        headline = Headline(one.type, "routine", one.exercise, one.id, one.in_reply_to, 1_000 + number, END)
        entries.append(
            row_of(event("SubmissionAcceptance", one, to, one.accepted), dice.randbytes(32),
                   headline=wire.encode(headline))
        )  # fmt: skip
        for recipient in to:
            if (state := dice.choice((*ENDS, None))) is not None:
                time = one.accepted + dice.randrange(10_000_000)
                reason = None if state == "delivered" else "expired"
                one.ends[recipient] = (state, time, reason)
                entries.append(row_of(event(ENDS[state], one, [recipient], time, reason), dice.randbytes(32)))
        sent.append(one)
    return sent, entries


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A ledger with 150 messages in three transactions."""
    log = Log(tmp_path_factory.mktemp("rows"))
    sent, entries = made(150, random.Random(20031006))
    ledger = log.ledger()
    for part in (entries[:100], entries[100:250], entries[250:]):
        ledger.add(part)
    ledger.close()
    return SimpleNamespace(log=log, sent=sent, entries=entries)


@pytest.fixture
def copy(whole, tmp_path):
    shutil.copytree(whole.log.path, tmp_path / "copy")
    return Log(tmp_path / "copy")


def fits(one, wanted):
    states = {to: one.ends[to][0] if to in one.ends else "waiting" for to in one.to}
    shares = [to for to in one.to if wanted.recipient in {None, to} and wanted.state in {None, states[to]}]
    return (
        bool(shares)
        and wanted.sender in {None, one.sender}
        and wanted.type in {None, one.type}
        and wanted.exercise in {None, one.exercise}
        and (wanted.prefix is None or one.digest.startswith(wanted.prefix) or one.id.startswith(wanted.prefix))
        and (wanted.since is None or one.accepted >= wanted.since)
        and (wanted.until is None or one.accepted < wanted.until)
    )


def every(log, wanted, count):
    found, after = [], None
    while True:
        page = pages.page(log.database, wanted, after, count)
        assert len(page.messages) <= count
        found += page.messages
        if (after := page.next) is None:
            return found


def some_wanted(sent, dice):
    one = dice.choice(sent)
    values = {
        "sender": one.sender, "recipient": dice.choice(one.to), "type": one.type, "exercise": one.exercise,
        "state": dice.choice(("waiting", *ENDS)), "prefix": dice.choice((one.digest, one.id))[: dice.randint(4, 8)],
        "since": one.accepted, "until": one.accepted + 1,
    }  # fmt: skip
    return admin.Wanted(**{name: values[name] for name in dice.sample(list(values), dice.choice((0, 1, 1, 2, 3)))})


@pytest.mark.parametrize("walked", [20, pages.walked_max])
def test_pages_show_each_message_that_fits_once_and_in_order(whole, monkeypatch, walked):
    monkeypatch.setattr(pages, "walked_max", walked)
    dice = random.Random(walked)
    for _ in range(20):
        wanted = some_wanted(whole.sent, dice)
        if walked == 20 and wanted.prefix is not None:
            continue  # a prefix is no walk
        found = every(whole.log, wanted, dice.choice((7, 50)))
        expected = {one.digest for one in whole.sent if fits(one, wanted)}
        assert sorted(row.digest for row in found) == sorted(expected), wanted
        assert [row.accepted for row in found] == sorted((row.accepted for row in found), reverse=True)


def test_a_row_says_what_the_header_and_the_events_say(whole):
    for one in whole.sent:
        row = pages.message(whole.log.database, one.digest)
        assert (row.id, row.sender, row.type, row.exercise) == (one.id, one.sender, one.type, one.exercise)
        assert (row.in_reply_to, row.accepted, row.expires) == (one.in_reply_to, one.accepted, END)
        assert [(share.recipient, share.state, share.since, share.reason) for share in row.shares] == [
            (to, *one.ends.get(to, ("ready", None, None))) for to in one.to
        ]


def test_a_filter_of_hostile_values_is_refused_or_finds_nothing(whole):
    for values in (
        {"sender": "' OR 1=1 --"}, {"prefix": "%%%%"}, {"prefix": "abc"}, {"since": -1}, {"until": 1 << 80},
        {"type": "\udcff"}, {"state": "ready"}, {"recipient": ""}, {"exercise": "yes"},
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"."):
            pages.page(whole.log.database, admin.Wanted(**values), None, 10)
    nobody = admin.Wanted(sender="nobody", type="nothing/1", since=(1 << 53) - 1)
    assert pages.page(whole.log.database, nobody, None, 10).messages == ()
    for after in ("", "1", "1-0", "1-", "-1-1", "1-1 OR 1=1", "9" * 30 + "-1", "\u0661-\u0661", "1-1\n"):
        with pytest.raises(ValueError, match="place"):
            pages.page(whole.log.database, admin.Wanted(), after, 10)


def test_a_report_counts_what_a_count_by_hand_counts(whole):
    month = [one for one in whole.sent if BEGIN <= one.accepted < END]
    assert 0 < len(month) < len(whole.sent)
    real = [one for one in month if not one.exercise]
    pairs = {}
    for one in real:
        for to in one.to:
            key = (POINTS[one.sender][0], *POINTS[to])
            messages, answers, took = pairs.setdefault(key, [[], [], []])
            messages.append(one)
            if one.ends.get(to, ("failed",))[0] != "failed":
                took.append(one.ends[to][1] - one.accepted)
            replies = [
                reply.accepted
                for reply in whole.sent
                if reply.in_reply_to == one.digest and reply.sender == to and one.sender in reply.to
                and not reply.exercise and reply.accepted >= BEGIN
            ]  # fmt: skip
            if replies:
                answers.append(max(min(replies) - one.accepted, 0))
    found = report.report(whole.log.database, "exchange.example", DIRECTORY, "2026-10")
    assert (found.messages, found.exercises) == (len(real), len(month) - len(real))
    assert found.by_type == {type_: sum(one.type == type_ for one in real) for type_ in TYPES}
    assert any(answers for _, answers, _ in pairs.values())
    assert {
        (row.sender, row.recipient, row.area): (row.messages, row.answered, row.answer_median, row.collect_median)
        for row in found.exchanged
    } == {
        key: (
            len(messages), len(answers), int(statistics.median(answers)) if answers else None,
            int(statistics.median(took)) if took else None,
        )
        for key, (messages, answers, took) in pairs.items()
    }  # fmt: skip
    assert report.report(whole.log.database, "exchange.example", DIRECTORY, "2025-10").exchanged == ()
    for bad in (
        "2026-13",
        "2026-1",
        "2026-10-01",
        "",
        "0000-01",
        "9999-12",
        "\uff12\uff10\uff12\uff16-10",
        "2026-10\n",
    ):
        with pytest.raises(ValueError, match="month"):
            report.bounds(bad)


def test_minutes_and_hours_count_what_happened_then(tmp_path):
    log, dice = Log(tmp_path), random.Random(1)
    now = BEGIN + 40 * rows.HOUR_MS
    sent, _ = made(60, dice)
    for one in sent:
        one.accepted = now - dice.randrange(30 * rows.HOUR_MS)
        one.ends = {to: ("delivered", one.accepted + 1_000 * 2 ** dice.randrange(12), None) for to in one.to}
    accepted = [row_of(event("SubmissionAcceptance", one, one.to, one.accepted), bytes(32)) for one in sent]
    ends = [
        row_of(event("ConsignmentAcceptance", one, [to], 5), bytes(32), taken=time)  # whatever a receipt's time is
        for one in sent for to, (_, time, _) in one.ends.items()
    ]  # fmt: skip
    ledger = log.ledger()
    ledger.add([*accepted, *ends[:30]])
    ledger.add([*accepted, *ends])  # read again after a crash: what is known counts once
    ledger.close()
    first = now // rows.MINUTE_MS - 59
    shown = history.minutes(log.database, now)
    assert [minute.time for minute in shown] == [(first + n) * rows.MINUTE_MS for n in range(60)]
    assert sum(minute.accepted for minute in shown) == sum(one.accepted >= first * rows.MINUTE_MS for one in sent) > 0
    collected = history.collected(log.database, now)
    hour = now // rows.HOUR_MS - 23
    for to in POINTS:
        times = [
            (one.ends[to][1], one.ends[to][1] - one.accepted) for one in sent
            if to in one.ends and 0 <= one.ends[to][1] // rows.HOUR_MS - hour < 24
        ]  # fmt: skip
        assert collected[to].hours == tuple(
            sum(time // rows.HOUR_MS - hour == n for time, _ in times) for n in range(24)
        )
        exact = sorted(took for _, took in times)[-(-len(times) * 95 // 100) - 1]
        assert exact <= collected[to].p95 <= exact * 1.2
    late = history.minutes(log.database, now + 100 * rows.HOUR_MS)
    assert sum(minute.accepted for minute in late) == 0
    assert history.collected(log.database, now + 100 * rows.HOUR_MS) == {}


def test_a_row_goes_with_the_openings_of_its_message(copy, whole):
    ledger = copy.ledger()
    kept = Retention(ledger, "exchange.example")
    after = (-1, 0)
    while after is not None:
        after = kept.erase(before=END + 20_000_000, now=END, reason="retain_days 1", after=after).after
    with sqlite3.connect(copy.database) as connection:
        assert connection.execute("SELECT count(*) FROM messages").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM shares").fetchone() == (0,)
    connection.close()
    assert ledger.truncate_wal()
    ledger.close()
    one = whole.sent[0]
    assert pages.message(copy.database, one.digest) is None
    data = b"".join(path.read_bytes() for path in copy.path.glob("evidence.sqlite*"))
    assert not any(sent.id.encode() in data or sent.digest.encode() in data for sent in whole.sent)
    ledger = copy.ledger()
    ledger.add(whole.entries)  # an outbox entry that comes late brings nothing back
    ledger.close()
    assert pages.page(copy.database, admin.Wanted(), None, 10).messages == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("UPDATE messages SET sender = 'nobody' WHERE seq = 1", "leaf 0: the row of its message"),
        ("DELETE FROM messages WHERE seq = 1", "leaf 0: the row of its message"),
        ("UPDATE shares SET state = 3 WHERE seq = 1", "leaf 0: the shares of its message"),
        ("DELETE FROM shares WHERE seq = 1", "leaf 0: the shares of its message"),
        ("UPDATE shares SET accepted = 5 WHERE seq = 1", "leaf 0: the shares of its message"),
        ("PRAGMA user_version = 7", "is marked as of version 7"),
    ],
)
def test_fsck_finds_a_row_that_does_not_say_what_its_events_say(copy, change, words):
    assert copy.differences() == []
    with sqlite3.connect(copy.database) as connection:
        connection.execute(change)
    connection.close()
    assert any(words in difference for difference in copy.differences())


def test_a_ledger_of_another_release_is_refused_with_what_to_do(copy):
    for version in (0, rows.HOUR_MS):
        with sqlite3.connect(copy.database) as connection:
            connection.execute(f"PRAGMA user_version = {version}")
        connection.close()
        with pytest.raises(BadConfig, match=r"another release .*RUNBOOK"):
            copy.ledger()


def test_how_long_messages_waited_says_nothing_of_exercises(whole):
    ledger = whole.log.ledger()
    taken = [(one.digest, one.accepted + number) for number, one in enumerate(whole.sent)]
    assert ledger.waited(taken) == [number for number, one in enumerate(whole.sent) if not one.exercise]
    assert ledger.waited([("0" * 64, 1)]) == [], "a message that is not known"
    ledger.close()


async def test_a_story_proves_what_is_published_and_nothing_that_was_altered(copy, whole):
    one = whole.sent[-1]
    view = LogView(copy.folder)
    row = pages.message(copy.database, one.digest)
    assert history.story(copy.database, view, one.digest).message == row
    assert history.story(copy.database, view, "0" * 64) is None
    assert {event.proof for event in history.story(copy.database, view, one.digest).events} == {"waiting"}
    await copy.run()
    told = history.story(copy.database, view, one.digest).events
    assert [event.proof for event in told] == ["proved"] * len(told)
    assert [event.index for event in told] == [
        index for index, entry in enumerate(whole.entries) if entry.message == one.digest
    ]
    for change in (
        "salt = zeroblob(32)",
        "leaf = (SELECT leaf FROM events WHERE seq = 1)",
        "event = CAST(event || x'0a' AS BLOB)",
    ):
        before = copy.database.read_bytes()
        with sqlite3.connect(copy.database) as connection:
            connection.execute(f"UPDATE events SET {change} WHERE seq = ?", (told[0].index + 1,))
        connection.close()
        assert history.story(copy.database, view, one.digest).events[0].proof == "false", change
        copy.database.write_bytes(before)


def test_acts_name_who_signed_and_the_leaf(copy):
    signers = [notes.Ed25519Signer(f"exchange.example/{id_}", Ed25519PrivateKey.generate()) for id_ in ("op.b", "op.a")]
    action = order.Action(
        action="discard", message="d" * 64, contact_point="ca.liaison", time=END, reason="nobody asks"
    )
    held = hold.Hold(
        action="hold",
        contact_point="mx.enlace",
        hold=None,
        directory=(1, "c" * 64),
        time=END,
        until=END + 1,
        reason="lost",
    )
    texts = order.text("exchange.example", action), hold.text("exchange.example", held)
    given, stopped = (notes.sign(text, signers) for text in texts)
    ledger = copy.ledger()
    size = ledger.state.size
    ledger.add(
        [
            order_row(order.Order(action=action, digest=notes.parse(given).digest, operators=("op.a", "op.b")), given,
                      "mx.enlace", ("ca.liaison",)),
            hold_row(hold.Given(hold=held, digest=notes.parse(stopped).digest, operators=("op.a",), raw=stopped)),
        ]
    )  # fmt: skip
    ledger.close()
    last, first = history.acts(copy.database, None, 10)
    assert (first.act, first.message, first.contact_point, first.reason, first.index) == (
        "discard", "d" * 64, "ca.liaison", "nobody asks", size,
    )  # fmt: skip
    assert (last.act, last.contact_point, last.reason, last.index) == ("hold", "mx.enlace", "lost", size + 1)
    assert first.operators == last.operators == ("op.a", "op.b")
    assert first.digest == notes.parse(given).digest
    assert history.acts(copy.database, size + 1, 10) == (first,)
    assert history.acts(copy.database, None, 1) == (last,)
    assert history.acts(copy.database, 0, 10) == ()
