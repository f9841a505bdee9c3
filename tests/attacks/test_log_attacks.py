"""The operator against the log: what it drops, alters, moves, dates, forks and rolls back, and who sees it."""

import os
import time

import pytest
from dishonest import Row
from msgspec.structs import replace as replaced

from valija_broker.errors import LogDiverged
from valija_schemas import api, evidence
from valija_schemas import checkpoint as checkpoints
from valija_schemas import note as notes

MX, CO, CA = "mx.enlace", "co.enlace", "ca.liaison"
MINUTE_MS = 61_000


def rows(entries, name, digest=""):
    """The rows of an event, and of one message."""
    found = [row for row in entries if isinstance(row, Row) and row.name == name]
    return [row for row in found if not digest or row.message == digest]


def swapped(entries, old, new):
    return [new if row is old else row for row in entries]


def show_another(world, name, digest, alter):
    """Show MX a log in which an event of a message is another: what `alter` makes of the operator and the true row."""
    entries = world.operator.entries()
    true = rows(entries, name, digest)[-1]
    forged = swapped(entries, true, alter(world.operator, true))
    world.operator.logs[MX] = world.operator.forge(world.path(), forged)


def later(by_ms):
    return lambda operator, true: operator.restate(true, time=true.time + by_ms)


def exchange_in_feed(world, true, other):
    """Show in every feed `other` for the true event."""

    def alter(_, feed):
        events = [replaced(event, event=other.event) if event.event == true.event else event for event in feed.events]
        return replaced(feed, events=tuple(events))

    world.operator.feed = alter


# What was promised


def test_an_acceptance_that_is_left_out_of_the_log_breaks_its_promise(world, told):
    sender = world.member(MX)
    world.operator.logs[MX] = world.operator.forge(world.path())
    digest = sender.send(CO)
    early = sender.run("track", digest)
    assert early.exit_code == 0, early.output
    told("acceptance-dropped", sender.run("track", digest, later_ms=MINUTE_MS))
    told("acceptance-dropped", sender.run("track", digest, later_ms=MINUTE_MS))  # and every time


def test_a_receipt_that_is_left_out_of_the_log_is_missed_by_its_signer(world, told):
    sender, recipient = world.member(MX), world.member(CO)
    digest = sender.send(CO)
    recipient.receive()
    world.logged()
    entries = world.operator.entries()
    entries.remove(*rows(entries, "ConsignmentAcceptance", digest))
    world.operator.logs[MX] = world.operator.logs[CO] = world.operator.forge(world.path(), entries)
    shown = sender.run("track", digest)
    assert (shown.exit_code, "ConsignmentAcceptance" in shown.output) == (0, False)
    early = recipient.run("track", digest)
    assert early.exit_code == 0, early.output
    told("receipt-dropped", recipient.run("track", digest, later_ms=MINUTE_MS))


def test_an_event_from_the_future_is_believed_by_nobody(world, told):
    sender = world.member(MX)
    digest = sender.send(CO)
    world.logged()
    show_another(world, "SubmissionAcceptance", digest, later(3_600_000))
    told("acceptance-future", sender.run("track", digest))


def test_an_event_that_is_dated_back_contradicts_an_earlier_checkpoint(world, told):
    sender = world.member(MX)
    digest = sender.send(CO)
    world.member(CO).receive()
    world.logged()
    show_another(world, "ContentHandover", digest, later(-600_000))
    told("event-backdated", sender.run("track", digest))


# What was said


def test_a_receipt_that_was_altered_does_not_verify(world, told):
    sender = world.member(MX)
    digest = sender.send(CO)
    world.member(CO).receive()
    world.logged()

    def alter(operator, true):
        return operator.with_event(true, true.event.replace(b'"time":1', b'"time":2', 1))

    show_another(world, "ConsignmentAcceptance", digest, alter)
    told("receipt-altered", sender.run("track", digest))


def test_an_event_that_is_not_the_one_of_the_log_is_not_believed(world, told):
    sender = world.member(MX)
    digest = sender.send(CO)
    world.logged()
    true = rows(world.operator.entries(), "SubmissionAcceptance", digest)[-1]
    other = world.operator.restate(true, time=true.time + 5)
    exchange_in_feed(world, true, other)
    told("event-altered", sender.run("track", digest))


@pytest.mark.parametrize("attack", ["feed-gap", "feed-exchanged"])
def test_the_numbers_of_a_feed_leave_nothing_out_and_nothing_moved(world, told, attack):
    sender = world.member(MX)
    sender.send(CO)
    world.member(CO).receive()
    world.logged()

    def alter(who, feed):
        first, *others = feed.events or [None]
        events = others if attack == "feed-gap" else [*reversed(others), first]
        return replaced(feed, events=tuple(events)) if who == MX and others else feed

    world.operator.feed = alter
    told(attack, sender.run("monitor", "--once"))


def test_what_a_feed_said_once_it_says_again(world, told):
    sender = world.member(MX)
    digest = sender.send(CO)
    world.logged()
    entries = world.operator.entries()
    world.operator.logs[MX] = world.operator.forge(world.path(), entries)  # which no witness saw
    assert "unwitnessed" in sender.done("track", digest)
    true = rows(entries, "SubmissionAcceptance", digest)[-1]
    other = world.operator.restate(true, time=true.time + 5)
    world.operator.be_honest()
    exchange_in_feed(world, true, other)
    told("feed-changed", sender.run("monitor", "--once"))


def test_an_event_of_others_is_not_taken_for_ours(world, told):
    stranger = world.member(CA)
    entries = world.operator.entries()
    row = rows(entries, "ContentHandover")[0]
    theirs = replaced(row, parties=(*row.parties, CA))
    world.operator.logs[CA] = world.operator.forge(world.path(), swapped(entries, row, theirs))
    told("feed-stranger", stranger.run("monitor", "--once"))


def test_a_handover_that_is_invented_is_the_brokers_word_alone(world, told):
    sender, recipient = world.member(MX), world.member(CA)
    digest = sender.send(CA)
    world.logged()
    entries = world.operator.entries()
    accepted = rows(entries, "SubmissionAcceptance", digest)[-1]
    found = evidence.read_event(notes.parse(accepted.event).json)
    said = replaced(found, event="ContentHandover", time=found.time + 1)
    event = world.operator.written(said, signed=False)
    invented = world.operator.with_event(accepted, event, name="ContentHandover", parties=(MX, CA))
    log = world.operator.forge(world.path(), [*entries, invented], None)
    world.operator.logs[MX] = world.operator.logs[CA] = log
    shown = sender.done("track", digest)
    assert "the broker says" in shown
    seen = recipient.run("monitor", "--once")
    assert digest in seen.output
    assert "UNWITNESSED" in seen.output  # no witness may be asked about an invented entry: the true log goes on
    log.set_checkpoint(lambda head, lines: checkpoints.write(
        head, [*(notes.write_line(line) for line in lines), world.witness.line(head)]
    ))  # fmt: skip  # as if the witness had seen nothing else
    told("handover-invented", recipient.run("monitor", "--once"))


# The log


def test_a_history_that_was_altered_is_another_log(world, told):
    entries = world.operator.entries()
    row = rows(entries, "ContentHandover")[0]
    world.operator.logs[CA] = world.operator.forge(
        world.path(), swapped(entries, row, world.operator.restate(row, time=row.time + 1))
    )
    told("history-altered", world.member(CA).run("monitor", "--once"))


def test_an_entry_that_was_inserted_makes_another_log(world, told):
    sender = world.member(MX)
    entries = world.operator.entries()
    row = rows(entries, "SubmissionAcceptance")[0]
    late = world.operator.restate(row, time=row.time + 1)
    digest = sender.send(CO)
    world.logged()
    world.operator.logs[MX] = world.operator.forge(world.path(), [*entries[:5], late, *world.operator.entries()[5:]])
    told("history-inserted", sender.run("track", digest))


def test_an_entry_that_was_altered_does_not_give_the_tree(world, told):
    log = world.operator.forge(world.path())
    (path,) = [path for path in (log.path / "log/tile/entries").rglob("*") if path.is_file()]
    path.write_bytes(path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 1]))
    world.operator.logs[CA] = log
    told("entries-altered", world.member(CA).run("monitor", "--once"))


def fork(world, entries):
    """Another log than the true one, from its last entry on."""
    row = rows(entries, "ContentHandover")[0]
    return world.operator.forge(world.path(), [*entries, world.operator.restate(row, time=row.time + 2)])


@pytest.mark.parametrize(("attack", "victim", "new"), [("fork", MX, False), ("fork-new", CA, True)])
def test_members_who_are_shown_two_logs_find_it_by_their_own_mail(world, told, attack, victim, new):
    sender, recipient = world.member(victim, new=new), world.member(CO)
    entries = world.operator.entries()
    log = fork(world, entries)
    if new:  # from the first entry on
        log = world.operator.forge(world.path(), [*entries[1:], entries[0]])
    world.operator.logs[victim] = log
    sender.run("monitor", "--once")
    digest = sender.send(CO)
    recipient.receive()
    world.logged()
    told(attack, recipient.run("track", digest))
    assert recipient.run("monitor", "--once").exit_code == 10  # the alarm stays until a person has seen it
    recipient.done("monitor", "--seen")
    recipient.done("monitor", "--once")


def test_a_log_does_not_go_back(world, told):
    sender = world.member(MX)
    sender.done("monitor", "--once")
    world.operator.logs[MX] = world.operator.forge(world.path(), world.operator.entries()[:-1])
    told("rollback", sender.run("monitor", "--once"))


def test_a_log_that_is_hidden_from_a_new_member_shows_in_its_first_mail(world, told):
    sender, recipient = world.member(MX), world.member(CA, new=True)
    sender.done("monitor", "--once")
    world.operator.logs[CA] = world.operator.forge(world.path(), world.operator.entries()[:5])
    sender.send(CA)
    digest = recipient.receive()
    early = recipient.run("track", digest)
    assert early.exit_code == 0, early.output
    told("rollback-new", recipient.run("track", digest, later_ms=MINUTE_MS))


def test_a_checkpoint_needs_its_post_quantum_signature(world, told):
    log = world.operator.forge(world.path())
    signer = world.operator.keys.log_signer(world.operator.origin)
    log.set_checkpoint(lambda head, _: checkpoints.write(head, [checkpoints.log_line(signer, head)]))
    world.operator.logs[CA] = log
    told("no-ml-dsa", world.member(CA).run("monitor", "--once"))


def test_a_directory_that_the_log_does_not_have_was_shown_to_few(world, told):
    member, exchange, answers = world.member(CA), world.sandbox.exchange, world.operator.notes
    raw = exchange.next_directory()  # officers signed it; the operator keeps it from everybody else
    version, digest = exchange.phonebook.reference
    answers["/v1/directory"] = api.encode(api.Newest(root=exchange.root.version, directory=version, digest=digest))
    answers["/v1/directory/freshness"] = exchange.freshness()
    answers[f"/v1/directory/versions/{version}"] = raw
    exchange.phonebooks.pop()
    exchange.directory_raws.pop()
    early = member.run("monitor", "--once")
    assert early.exit_code == 0, early.output
    for path in (member.state / "trust").iterdir():
        os.utime(path, (time.time() - 61, time.time() - 61))
    told("directory-hidden", member.run("monitor", "--once"))


# Witnesses


def test_a_witness_cosigns_no_other_tree(world, told):
    entries = world.operator.entries()
    other = [*entries[1:], entries[0]]
    seen, answers = list(world.witness.seen), len(world.witness.answers)
    with pytest.raises(LogDiverged) as error:
        world.operator.forge(world.path(), other, world.witness)
    told("witness-fork", str(error.value))
    with pytest.raises(LogDiverged, match="does not continue it"):
        world.operator.forge(world.path(), [*other, entries[0], fork_row(world, entries)], world.witness)
    assert world.witness.seen == seen
    assert set(world.witness.answers[answers:]) == {409, 422}


def fork_row(world, entries):
    row = rows(entries, "ContentHandover")[0]
    return world.operator.restate(row, time=row.time + 3)


def test_a_witness_cosigns_no_smaller_tree(world, told):
    with pytest.raises(LogDiverged) as error:
        world.operator.forge(world.path(), world.operator.entries()[:-1], world.witness)
    told("witness-smaller", str(error.value))
    assert world.witness.answers[-1] == 409


def test_an_unwitnessed_log_is_called_so_and_completed_when_the_witness_is_back(world, told):
    sender = world.member(MX)
    digest = sender.send(CO)
    world.logged()
    log = world.operator.forge(world.path())
    world.operator.logs[MX] = log
    assert ", unwitnessed" in sender.done("track", digest)
    told("unwitnessed-proof", sender.run("prove", digest, "-o", f"{sender.state}.1.zip"))
    told("unwitnessed-log", sender.run("monitor", "--once"))
    log.publish(world.witness)  # the same tree, and no new event
    assert ", proved" in sender.done("track", digest)
    assert sender.run("prove", digest, "-o", f"{sender.state}.2.zip").exit_code == 0
    sender.done("monitor", "--once")


def test_a_forged_cosignature_spoils_the_checkpoint(world, told):
    log = world.operator.forge(world.path())

    def forge(head, lines):
        seen = checkpoints.Head(head.origin, head.size + 1, head.root)
        return checkpoints.write(head, [*map(notes.write_line, lines), world.witness.line(seen)])

    log.set_checkpoint(forge)
    world.operator.logs[CA] = log
    told("witness-forged", world.member(CA).run("monitor", "--once"))


def test_a_proof_that_is_refused_stays_an_open_question(world, told, monkeypatch):
    monkeypatch.setattr("valija.transport.backoff_first_s", 0.001)
    sender = world.member(MX)
    world.operator.logs[MX] = world.operator.forge(world.path(), world.operator.entries()[:5])
    world.operator.logs[MX].consistency = None  # it answers 500
    digest = sender.send(CO)
    world.operator.logs[MX].reader.feed = world.operator.forge(world.path()).reader.feed
    told("proof-refused", sender.run("track", digest))
