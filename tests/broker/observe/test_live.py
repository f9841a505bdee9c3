"""What operators see of a broker that runs, against what was really done there."""

import asyncio
import time

import pytest
from harness import digest_of, now_ms

from valija_broker import config
from valija_broker.observe import versions
from valija_broker.observe.observer import watching
from valija_schemas import admin, changes, message


@pytest.fixture
async def live(sandbox):
    async with watching(config.load(sandbox.config_path)) as found:
        yield found


async def until(look, good):
    """What `look` says once it is `good`."""
    for _ in range(300):
        found = await look()
        if good(found):
            return found
        await asyncio.sleep(0.1)
    raise AssertionError(found)


async def test_every_share_of_a_message_is_shown_where_it_is(live, fresh):
    sender, taker, refuser, waiter = fresh(), fresh(), fresh(), fresh()
    raw = sender.message(taker, waiter)
    await sender.accepted(raw)
    digest = digest_of(raw)
    await taker.done(*await taker.lease())
    story = await until(lambda: live.story(digest), lambda found: found is not None and len(found.events) >= 3)
    states = {share.recipient: share.state for share in story.message.shares}
    assert states[taker.id] == "delivered"
    assert (story.message.digest, story.message.sender) == (digest, sender.id)
    assert story.events[0].event == "SubmissionAcceptance"
    await until(lambda: live.story(digest), lambda found: {event.proof for event in found.events} == {"proved"})
    page = await live.messages(admin.Wanted(sender=sender.id), None, 10)
    assert [row.digest for row in page.messages] == [digest]
    assert (await live.messages(admin.Wanted(recipient=refuser.id), None, 10)).messages == ()
    box = await live.mailbox(waiter.id)
    assert (box.ready, box.leased, box.dead) == (1, 0, 0)
    assert box.oldest == story.message.accepted


async def test_what_has_no_end_yet_is_ready_or_lent_or_dead_as_the_store_has_it(live, fresh):
    sender, lazy, broken, waiter = fresh(), fresh(), fresh(), fresh()
    raw = sender.message(lazy, broken, waiter)
    await sender.accepted(raw)
    await sender.accepted(sender.message(lazy))
    await lazy.lease(limit=1)
    (lent,) = await broken.lease()
    await broken.release(lent.token, dead=True)
    began = now_ms()
    wanted = admin.Wanted(sender=sender.id)
    page = await until(lambda: live.messages(wanted, None, 10), lambda found: len(found.messages) == 2)
    for row in (page.messages[1], (await live.story(digest_of(raw))).message):
        found = {share.recipient: share for share in row.shares}
        assert {name: (one.state, one.attempts, one.reason) for name, one in found.items()} == {
            lazy.id: ("leased", 1, None), broken.id: ("dead", 1, "unverified"), waiter.id: ("ready", None, None),
        }  # fmt: skip
        assert began - 60_000 < found[broken.id].since <= now_ms()
    assert page.messages[0].shares[0].state == "ready"


async def test_a_message_is_shown_with_what_its_header_says_and_counts_where_it_went(live, fresh, sandbox):
    sender, taker = fresh(), fresh()
    began = sender.message(taker, priority="flash", exercise=False)
    await sender.accepted(began)
    await taker.done(*await taker.lease())
    answer = taker.message(sender, in_reply_to=digest_of(began), exercise=False)
    await taker.accepted(answer)
    story = await until(lambda: live.story(digest_of(answer)), lambda found: found is not None)
    header = message.read(answer, sandbox.exchange.origin).header
    row = story.message
    assert (row.id, row.type, row.priority, row.exercise) == (header.id, header.type, "routine", header.exercise)
    assert (row.thread, row.in_reply_to, row.expires) == (header.thread, digest_of(began), header.expires)
    assert row.bytes == len(answer)
    box = await until(lambda: live.mailbox(taker.id), lambda found: sum(found.hours) == 1)
    assert 0 < box.collect_p95 < 60_000
    untouched = await live.mailbox(fresh().id)
    assert (untouched.hours, untouched.collect_p95) == ((0,) * 24, None)
    found = await live.report(time.strftime("%Y-%m", time.gmtime(row.accepted / 1000)))
    assert found.origin == sandbox.exchange.origin
    assert found.messages == sum(found.by_type.values()) >= 2
    assert sum(row.answered for row in found.exchanged) >= 1
    with pytest.raises(ValueError, match="month"):
        await live.report("2026-1")


async def test_pages_go_on_where_the_one_before_ended_and_refuse_what_is_no_place(live, fresh):
    sender, taker = fresh(), fresh()
    digests = []
    for _ in range(5):
        raw = sender.message(taker)
        await sender.accepted(raw)
        digests.insert(0, digest_of(raw))
    wanted = admin.Wanted(sender=sender.id)
    await until(lambda: live.messages(wanted, None, 10), lambda page: len(page.messages) == 5)
    seen, after = [], None
    while True:
        page = await live.messages(wanted, after, 2)
        seen += [row.digest for row in page.messages]
        if (after := page.next) is None:
            break
    assert seen == digests
    for bad in ("", "0", "-1", "1 OR 1=1", "9" * 30, "٣"):
        with pytest.raises(ValueError, match="place"):
            await live.messages(wanted, bad, 2)


async def test_dead_letters_are_grouped_by_cause(live, fresh):
    sender, taker = fresh(), fresh()
    await sender.accepted(sender.message(taker))
    (lent,) = await taker.lease()
    await taker.release(lent.token, dead=True)
    groups = await live.dead()
    (letter,) = [letter for group in groups for letter in group.letters if letter.mailbox == taker.id]
    assert letter.sender == sender.id
    assert all(group.words and group.count >= len(group.letters) > 0 for group in groups)


async def test_an_overview_counts_what_is_there(live, fresh, sandbox):
    sender, taker = fresh(), fresh()
    await sender.accepted(sender.message(taker))
    found = await until(live.overview, lambda seen: seen.minutes[-1].accepted + seen.minutes[-2].accepted > 0)
    assert {item.code for item in found.attention} <= {"dead-letters"}
    assert found.ready >= 1
    assert found.oldest <= now_ms()
    assert found.directory == sandbox.exchange.phonebook.version
    assert len(found.minutes) == 60


async def test_a_contact_point_that_asks_or_sends_was_seen_and_one_that_does_neither_was_not(live, fresh):
    sender, taker, silent = fresh(), fresh(), fresh()
    began = now_ms()
    await sender.accepted(sender.message(taker))
    await taker.lease()
    for peer in (sender, taker):
        box = await until(lambda name=peer.id: live.mailbox(name), lambda found: found.last_seen is not None)
        assert began <= box.last_seen <= now_ms()
    assert (await live.mailbox(silent.id)).last_seen is None


async def test_every_part_of_a_broker_that_runs_is_well_and_says_by_which_figures(live):
    found = await live.health()
    checks = {check.name: check for check in found.checks}
    assert list(checks) == ["broker", "queue", "log", "directory", "clock", "storage", "canary"]
    assert {name: checks[name].code for name in ("broker", "log", "directory", "clock", "canary")} == {
        "broker": "broker-good", "log": "log-good", "directory": "directory-good", "clock": "clock-alone",
        "canary": "canary-none",
    }  # fmt: skip
    assert found.verdict in {"ok", "warning"}  # other tests leave dead letters
    assert checks["log"].values["leaves"] > 0
    assert checks["storage"].values["memory_bytes"] > 0
    assert "{" not in "".join(check.words for check in found.checks)


async def test_versions_of_the_directory_are_told_apart_in_words(sandbox):
    async with watching(config.load(sandbox.config_path)) as live:
        newest, first = (await live.versions())[0], (await live.versions())[-1]  # other tests may have published more
        books = [book for book in sandbox.exchange.phonebooks if book.version <= newest.version]
        assert newest.digest == books[-1].digest
        assert newest.contact_points == len(books[-1].directory.contact_points)
        lines = changes.changes(None, books[0].directory)
        assert first.version == 1
        assert list(first.changes[: versions.lines_max]) == lines[: versions.lines_max]
        assert len(first.changes) == versions.lines_max + 1 < len(lines)
        for shown, before, after in zip((await live.versions())[-2::-1], books, books[1:], strict=False):
            assert list(shown.changes) == changes.changes(before.directory, after.directory)
        assert len((await live.log()).note) > 0
