"""The operator against mail and directory; what it can do unseen; and the table that tells all of it."""

import json
import re
from pathlib import Path

import attack_table
import msgspec

from valija import holding
from valija_schemas import api, evidence, limits, message, problem
from valija_schemas import note as notes
from valija_schemas.directory import FRESHNESS, Freshness, note_text

ROOT = Path(__file__).parents[2]
MX, CO, CA = "mx.enlace", "co.enlace", "ca.liaison"
REQUEST = str(ROOT / "schemas/examples/information-request-1.json")
SEND = ("send", REQUEST, "--type", "information-request/1", "--to", CO)


def test_an_acceptance_before_the_message_proves_nothing(world, told):
    origin, keys = world.operator.origin, world.operator.keys

    def accept(body, status, _):
        found = message.read(body, origin)
        text = evidence.event_text(
            origin, "SubmissionAcceptance", evidence.subject_of(found.header, found.note), to=tuple(found.header.to),
            time=found.header.sent - 60_000, directory=found.header.directory, reason=None,
        )  # fmt: skip
        return status, notes.sign(text, [keys.evidence_signers(origin)[keys.evidence_id]])

    world.operator.accept = accept
    told("acceptance-backdated", world.member(MX).run(*SEND))


def test_a_message_without_its_acceptance_is_delivered_with_an_alarm(world, told):
    world.member(MX).send(CA)
    world.operator.lent = lambda _, lent: [msgspec.structs.replace(each, acceptance=b"none") for each in lent]
    recipient = world.member(CA)
    result = recipient.run("inbox", "--output", "ndjson")
    assert "ALARM" in result.output
    digest = json.loads(result.stdout.splitlines()[0])["digest"]
    told("acceptance-withheld", recipient.run("track", digest))


def test_a_message_that_was_altered_is_not_delivered(world, told):
    world.member(MX).send(CA)

    def alter(_, lent):
        return [msgspec.structs.replace(each, message=each.message[:-1] + b"\0") for each in lent]

    world.operator.lent = alter
    told("message-altered", world.member(CA).run("inbox", "--output", "ndjson"))


def test_a_message_that_comes_again_is_not_delivered_again(world, told):
    world.member(MX).send(CO)
    kept = []
    world.operator.lent = lambda _, lent: kept.extend(lent) or lent
    recipient = world.member(CO)
    recipient.receive()
    again = [msgspec.structs.replace(each, token=each.token[:-1] + "0", attempt=1) for each in kept]
    assert again
    world.operator.lent = lambda _, lent: [*lent, *(again.pop() for _ in list(again))]
    told("message-twice", recipient.run("inbox", "--output", "ndjson"))


def test_a_directory_of_the_operators_own_is_not_believed(world, told):
    exchange = world.sandbox.exchange
    note = notes.parse(exchange.directory_raws[-1], limits.directory_bytes_max)
    forged = notes.sign(note.text, [exchange.broker_keys.evidence_signer])
    world.operator.notes[f"/v1/directory/versions/{exchange.phonebook.version}"] = forged
    told("directory-forged", world.member(CA, new=True).run("directory"))


def test_a_directory_that_goes_back_is_refused(world, told):
    exchange = world.sandbox.exchange
    member = world.member(MX)
    before = exchange.freshness(now_ms=now_of(world))
    old = exchange.phonebook
    exchange.next_directory()
    world.sandbox.publish()
    world.logged()
    while "directory version 3" not in (shown := member.run("directory")).output.lower():
        assert shown.exit_code == 0, shown.output
    newest = api.Newest(root=exchange.root.version, directory=old.version, digest=old.digest)
    world.operator.notes["/v1/directory"] = api.encode(newest)
    world.operator.notes["/v1/directory/freshness"] = before
    told("directory-rollback", member.run("directory"))


def now_of(world):
    return world.sandbox.exchange.now_ms


def test_a_freshness_note_that_ran_out_stops_sending(world, told):
    operator, exchange = world.operator, world.sandbox.exchange
    old = Freshness(
        version=exchange.phonebook.version, digest=exchange.phonebook.digest, root=exchange.root.version,
        issued=exchange.now_ms - 2 * limits.DAY_MS, expires=exchange.now_ms - limits.DAY_MS,
    )  # fmt: skip
    text = note_text(FRESHNESS, operator.origin, old)
    operator.notes["/v1/directory/freshness"] = notes.sign(text, [operator.keys.freshness(operator.origin)])
    told("freshness-old", world.member(MX, new=True).run(*SEND))


def test_a_hold_that_no_operators_ordered_is_found_out(world, told, monkeypatch):
    monkeypatch.setattr(holding, "spread_s", 0.0)
    answer = problem.encode(problem.of("held", time_ms=now_of(world), detail="a pretext"))
    world.operator.accept = lambda *_: (problem.KINDS[problem.Code.HELD].status, answer)
    member = world.member(MX, new=True)
    told("hold-claimed", member.run(*SEND))
    found = member.run("monitor", "--once")
    assert (found.exit_code, "ALARM: the broker refuses us as held" in found.output) == (10, True)


def test_mail_that_is_withheld_looks_like_a_slow_recipient(world, told):
    sender, recipient = world.member(MX), world.member(CO)
    world.operator.lent = lambda _, lent: []
    result = sender.run(*SEND, "--wait", "handed-over", "--timeout", "0.3", "--output", "ndjson")
    told("withheld", result)
    recipient.done("inbox", "--output", "ndjson")
    digest = re.search(r"[0-9a-f-]{36} is not handed-over", result.output)[0].split()[0]
    file = f"{sender.state}.zip"
    told("withheld-proof", sender.run("prove", digest, "-o", file))


def test_a_refusal_without_a_reason_is_no_evidence(world, told):
    answer = problem.encode(problem.of("route-not-allowed", time_ms=now_of(world), detail="a pretext"))
    world.operator.accept = lambda *_: (problem.KINDS[problem.Code.ROUTE_NOT_ALLOWED].status, answer)
    told("refused", world.member(MX).run(*SEND))


def test_every_row_of_the_table_is_done_by_a_test():
    text = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    assert [key for key in attack_table.ROWS if f'"{key}"' not in text] == []


def test_the_page_tells_what_the_tests_saw():
    assert attack_table.rendered() in (ROOT / "SECURITY.md").read_text("utf-8"), attack_table.rendered()
