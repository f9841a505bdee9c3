"""What the broker takes in, and everything that it must not. SPEC.md sections 1 and 3.3.

Each refusal is judged by its status and code, by what it leaves behind (nothing in the mailbox of anybody), and by its
evidence, which exists for the reasons of SubmissionRejection and for no other.
"""

import asyncio
import base64
import contextlib
import re
import uuid

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from harness import (
    DAY_MS,
    Peer,
    change_point,
    digest_of,
    now_ms,
    publish,
    read_answer,
    refused,
    revoked,
    with_body,
)  # fmt: skip
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from valija_schemas import api, limits, message, problem, wire
from valija_schemas import note as notes
from valija_schemas.age_header import parse_header


async def nothing_stored(*recipients: Peer) -> None:
    for recipient in recipients:
        assert await recipient.lease() == ()


async def rejected(sender: Peer, data: bytes, code: str, *recipients: Peer) -> problem.Problem:
    """Refused, as `code` has to be refused, with evidence exactly where there must be some, and nothing stored."""
    found = refused(await sender.submit(data), code)
    (result,) = await sender.batch([data])
    again = problem.decode(result.problem)
    assert (result.status, result.acceptance, again.code) == (found.status, None, code)
    if code in problem.REJECTIONS:
        for raw in (found.evidence, again.evidence):
            event = sender.verify(raw.encode())
            assert (event.event, event.reason, event.message) == ("SubmissionRejection", code, digest_of(data))
            assert (event.sender, event.directory[1]) == (sender.id, sender.exchange.phonebook.digest)
    elif code != "conflict":
        assert found.evidence is None
    assert found.accepted is None or code == "conflict"
    await nothing_stored(*recipients)
    return found


# What goes in


@pytest.mark.parametrize("size", [0, 300, 14_000, 17_000, 40_000, 400_000])
async def test_a_message_of_any_size_is_accepted_by_length_and_by_chunks(fresh, size):
    sender, recipient = fresh(), fresh()
    document = b'{"t":"' + b"x" * size + b'"}'
    first, second = sender.message(recipient, document=document), sender.message(recipient, document=document)

    async def chunks():
        for at in range(0, len(second), 5_000):
            yield second[at : at + 5_000]

    by_length, by_chunks = await sender.accepted(first), await sender.submit(chunks())
    assert by_chunks.status == 202
    assert by_length.message == digest_of(first)
    assert sorted(lent.message for lent in await recipient.lease()) == sorted([first, second])


async def test_an_acceptance_says_all_that_is_promised(fresh):
    sender, one, two = fresh(), fresh(), fresh()
    data = sender.message(one, two)
    event = await sender.accepted(data)
    note, body = notes.split(data)
    assert (event.event, event.reason) == ("SubmissionAcceptance", None)
    assert (event.message, event.note) == (note.digest, note.raw_digest)
    assert (event.body, event.body_length) == (message.read(data, sender.origin).header.body, len(body))
    assert (event.sender, event.to) == (sender.id, tuple(sorted([one.id, two.id])))
    assert event.directory == sender.exchange.phonebook.reference
    assert abs(event.time - now_ms()) < 5_000


async def test_an_exercise_is_left_out_of_what_is_counted_as_exchanged(fresh, sandbox):
    def counted() -> tuple[float, float]:
        text = sandbox.get("/metrics")[1]
        earnest = re.findall(r"^valija_messages_accepted_total{[^}]*} (\S+)$", text, re.MULTILINE)
        (drills,) = re.findall(r"^valija_exercises_accepted_total (\S+)$", text, re.MULTILINE)
        return sum(map(float, earnest)), float(drills)

    sender, recipient = fresh(), fresh()
    before = counted()
    for exercise in (True, True, False):
        assert (await sender.submit(sender.message(recipient, exercise=exercise))).status == 202
    assert counted() == (before[0] + 1, before[1] + 2)


async def test_a_message_to_sixty_four_recipients_reaches_each(fresh):
    sender, recipients = fresh(), [fresh() for _ in range(64)]
    data = sender.message(*recipients)
    event = await sender.accepted(data)
    assert len(event.to) == 64
    lent = await asyncio.gather(*(recipient.lease() for recipient in recipients))
    assert {x.message for (x,) in lent} == {data}
    results = await asyncio.gather(*(r.done(*x) for r, x in zip(recipients, lent, strict=True)))
    assert results == [["done"]] * 64


async def test_a_message_of_the_largest_size_is_accepted_and_a_byte_more_is_not(fresh):
    sender, recipient = fresh(), fresh()
    header = sender.header(recipient)
    body = sender.body(header)
    largest = body + bytes(limits.body_bytes_max - len(body))
    data = sender.sign(with_body(header, largest)) + largest
    await sender.accepted(data)
    (lent,) = await recipient.lease()
    assert lent.message == data
    assert await recipient.done(lent) == ["done"]
    over = largest + b"\0"
    await rejected(sender, sender.sign(with_body(sender.header(recipient), over)) + over, "too-large", recipient)


async def test_a_verified_sender_cannot_make_the_broker_read_more_than_a_body_by_sending_chunks(fresh):
    sender, recipient = fresh(), fresh()
    header = sender.header(recipient)
    body = sender.body(header) + bytes(8 * 1024 * 1024)
    data = sender.sign(with_body(header, body)) + body

    async def chunks():
        for at in range(0, len(data), 65_536):
            yield data[at : at + 65_536]

    with contextlib.suppress(OSError):  # the broker may hang up while we are still sending
        refused(await sender.submit(chunks()), "too-large")
    await nothing_stored(recipient)


# The first answer


async def test_the_same_message_again_gets_the_first_answer_even_after_it_was_acknowledged(fresh):
    sender, recipient = fresh(), fresh()
    data = sender.message(recipient)
    first = await sender.submit(data)
    await asyncio.sleep(0.01)
    assert (await sender.submit(data)).body == first.body
    (lent,) = await recipient.lease()
    assert lent.acceptance == first.body
    assert await recipient.done(lent) == ["done"]
    assert (await sender.submit(data)).body == first.body
    (result,) = await sender.batch([data])
    assert (result.status, result.acceptance) == (202, first.body)
    await nothing_stored(recipient)


async def test_a_repeat_gets_the_first_answer_without_its_body(fresh):
    """The first acceptance names the body; whatever comes with the same note again is not looked at."""
    sender, recipient = fresh(), fresh()
    data = sender.message(recipient)
    first = await sender.submit(data)
    note, _ = notes.split(data)
    assert (await sender.submit(note.raw)).body == first.body
    (lent,) = await recipient.lease()
    assert lent.message == data


async def test_another_message_under_the_same_id_is_a_conflict_that_names_the_first(fresh):
    sender, recipient = fresh(), fresh()
    first = sender.message(recipient)
    acceptance = await sender.submit(first)
    second = sender.message(recipient, id=message.read(first, sender.origin).header.id)
    await sender.feed(1)
    found = refused(await sender.submit(second), "conflict")
    assert found.accepted == problem.FirstAcceptance(
        digest=digest_of(first), time=sender.verify(acceptance.body).time
    )  # fmt: skip
    assert found.evidence == acceptance.body.decode()
    assert [x.message for x in await recipient.lease()] == [first]
    assert [event["event"] for event in await sender.feed(1)][:1] == ["SubmissionAcceptance"]


async def test_the_same_id_of_two_senders_is_two_messages(fresh):
    one, two, recipient = fresh(), fresh(), fresh()
    id_ = str(uuid.uuid4())
    await one.accepted(one.message(recipient, id=id_))
    await two.accepted(two.message(recipient, id=id_))
    assert len(await recipient.lease()) == 2


async def test_identical_submissions_at_the_same_moment_are_stored_once(fresh):
    sender, recipient = fresh(), fresh()
    data = sender.message(recipient)
    answers = await asyncio.gather(*(sender.submit(data) for _ in range(20)))
    assert {(a.status, a.body) for a in answers} == {(202, answers[0].body)}
    assert len(await recipient.lease()) == 1
    assert len(await sender.feed(2, within_s=1)) == 2, "one acceptance, one handover"


async def test_two_messages_of_one_id_at_the_same_moment_leave_one_and_a_conflict(fresh):
    sender, recipient = fresh(), fresh()
    id_ = str(uuid.uuid4())
    answers = await asyncio.gather(*(sender.submit(sender.message(recipient, id=id_)) for _ in range(6)))
    assert sorted(a.status for a in answers) == [202] + [409] * 5
    assert len(await recipient.lease()) == 1


async def test_a_refusal_does_not_use_up_the_id(fresh):
    sender, recipient = fresh(), fresh()
    id_ = str(uuid.uuid4())
    await rejected(sender, sender.message(recipient, id=id_, type="unknown-thing/1"), "unknown-type", recipient)
    await sender.accepted(sender.message(recipient, id=id_))


# Bytes that are no message


async def test_bytes_that_are_no_message_are_malformed(fresh):
    sender, recipient = fresh(), fresh()
    good = sender.message(recipient)
    note, body = notes.split(good)
    dash = "— ".encode()
    bad = {
        "nothing": b"",
        "random": bytes(range(256)) * 20,
        "no newline": b"x" * 40_000,
        "only newlines": b"\n" * 40_000,
        "truncated heading": good[:20],
        "truncated note": note.raw[:-30],
        "no signature": note.text + b"\n" + body,
        "crlf": note.raw.replace(b"\n", b"\r\n") + body,
        "byte order mark": b"\xef\xbb\xbf" + good,
        "body that is none": note.raw + b"plain text, sealed by nobody",
        "signature of another spelling": note.raw[:-1] + b"=\n" + body,
        "two equal signatures": note.raw + note.raw[len(note.text) + 1 :] + body,
        "thirty-three signatures": note.raw + b"".join(
            dash + b"exchange.example/x%d AAAAAAAA\n" % n for n in range(32)
        ) + body,
        "json of an endless string": note.text[:40] + b"a" * 20_000 + body,
    }  # fmt: skip
    for why, data in bad.items():
        assert refused(await sender.submit(data), "malformed").evidence is None, why
    await nothing_stored(recipient)


async def test_json_in_a_second_spelling_is_malformed_though_it_is_signed(fresh):
    sender, recipient = fresh(), fresh()
    header = sender.header(recipient)
    body = sender.body(header)
    json = wire.encode(with_body(header, body))
    spellings = {
        "space": json.replace(b'"type":', b'"type": '),
        "duplicate key": b'{"id":"%s",' % header.id.encode() + json[1:],
        "duplicate recipient": json.replace(b'"to":{', b'"to":{"%s":"%s",' % (recipient.id.encode(), b"a" * 64)),
        "unknown key": json[:-1] + b',"secret":1}',
        "missing key": json.replace(b'"exercise":true,', b""),
        "order of keys": json.replace(b'"priority":"routine","exercise":true', b'"exercise":true,"priority":"routine"'),
        "escape": json.replace(b'"routine"', b'"r\\u006futine"'),
        "upper case escape": json.replace(b'"routine"', b'"r\\u006Futine"'),
        "float": json.replace(b'"body_length":%d' % len(body), b'"body_length":%d.0' % len(body)),
        "exponent": json.replace(b'"exercise":true', b'"exercise":1e0'),
        "null body": json.replace(b'"body":"', b'"body":null,"x":"'),
        "upper case id": json.replace(header.id.encode(), header.id.upper().encode()),
        "negative": re.sub(rb'"sent":\d+', b'"sent":-1', json),
        "huge integer": re.sub(rb'"expires":\d+', b'"expires":' + b"9" * 400, json),
        "beyond 2^53": re.sub(rb'"expires":\d+', b'"expires":9007199254740993', json),
        "depth": b"[" * 8_000 + b"]" * 8_000,
        "surrogate": json.replace(b'"routine"', b'"\\ud800"'),
        "invalid utf-8": json.replace(b'"routine"', b'"\xff\xfe"'),
        "trailing newline in an identifier": json.replace(
            b'"%s"' % sender.id.encode(), b'"%s\\n"' % sender.id.encode()
        ),
        "no body digest": wire.encode(header),
    }
    for why, spelled in spellings.items():
        assert spelled != json, why
        data = notes.sign(notes.text(message.KIND, sender.origin, spelled), [sender.keys.sign]) + body
        assert refused(await sender.submit(data), "malformed").evidence is None, why
    await nothing_stored(recipient)


async def test_recipients_out_of_order_are_malformed(fresh):
    sender, one, two = fresh(), fresh(), fresh()
    header = sender.header(one, two)
    body = sender.body(header)
    json = wire.encode(with_body(header, body))
    first, second = (b'"%s":"%s"' % (k.encode(), v.encode()) for k, v in sorted(header.to.items()))
    swapped = json.replace(first + b"," + second, second + b"," + first)
    data = notes.sign(notes.text(message.KIND, sender.origin, swapped), [sender.keys.sign]) + body
    await rejected(sender, data, "malformed", one, two)


async def test_no_recipients_or_sixty_five_are_malformed(fresh):
    sender, recipient = fresh(), fresh()
    good = message.read(sender.message(recipient), sender.origin)
    for to in ({}, {f"p{n:03}": "ab" * 32 for n in range(65)}):
        data = sender.sign(msgspec.structs.replace(good.header, to=to)) + good.body
        assert refused(await sender.submit(data), "malformed")
    await nothing_stored(recipient)


# Who says so


async def test_a_note_of_another_exchange_or_kind_is_refused(fresh):
    sender, recipient = fresh(), fresh()
    header = sender.header(recipient)
    body = sender.body(header)
    signed = with_body(header, body)
    await rejected(sender, sender.sign(signed, origin="other.example") + body, "wrong-exchange", recipient)
    for kind in ("valija/receipt/v1", "valija/evidence/v1", "valija/message/v2"):
        await rejected(sender, sender.sign(signed, kind=kind) + body, "malformed", recipient)


async def test_only_a_sign_key_of_the_sender_signs_for_it_and_nobody_learns_more(fresh):
    """Unknown sender, somebody else's key, another use of the own key, an altered text: one and the same answer."""
    sender, other, recipient = fresh(), fresh(), fresh()
    good = message.read(sender.message(recipient), sender.origin)

    def renamed(key: notes.Signer) -> notes.Signer:
        return notes.Ed25519Signer(sender.name, key._key)

    stranger = msgspec.structs.replace(good.header, sender="nobody.there")
    broker = msgspec.structs.replace(good.header, sender="broker")
    other_line = notes.signature_line(other.keys.sign, good.note.text)
    forged = {
        "another's key under its own name": sender.sign(good.header, signers=[other.keys.sign]),
        "another's key under the sender's name": sender.sign(good.header, signers=[renamed(other.keys.sign)]),
        "the sender's auth key": sender.sign(good.header, signers=[sender.keys.auth]),
        "two signatures": sender.sign(good.header, signers=[sender.keys.sign, other.keys.sign]),
        "only another signature line": good.note.text + b"\n" + other_line,
        "an unknown sender": sender.sign(stranger),
        "the broker": sender.sign(broker),
        "an officer": sender.sign(good.header, signers=[sender.exchange.officers[0]]),
        "the evidence key": sender.sign(broker, signers=[sender.exchange.broker_keys.evidence_signer]),
        "an altered text": good.note.raw.replace(b'"routine"', b'"urgent"'),
        "a lone bit": _flip(good.note.raw),
    }
    bodies = set()
    for why, raw in forged.items():
        answer = await sender.submit(raw + good.body)
        refused(answer, "unverified")
        bodies.add(re.sub(rb'"time":\d+', b"", answer.body))
        assert why
    assert len(bodies) == 1
    await nothing_stored(recipient)


def _flip(raw: bytes) -> bytes:
    """The same note with one bit of the signature value turned."""
    head, encoded = raw.rstrip(b"\n").rsplit(b" ", 1)
    value = bytearray(base64.b64decode(encoded))
    value[20] ^= 1
    return head + b" " + base64.b64encode(value) + b"\n"


async def test_a_batch_takes_messages_of_its_caller_alone(fresh):
    sender, other, recipient = fresh(), fresh(), fresh()
    (result,) = await other.batch([sender.message(recipient)])
    assert (result.status, problem.decode(result.problem).code) == (403, "unverified")
    await nothing_stored(recipient)


# The body


async def test_a_body_other_than_the_one_named_is_refused(fresh):
    sender, recipient = fresh(), fresh()
    good = message.read(sender.message(recipient), sender.origin)
    another = message.read(sender.message(recipient), sender.origin)
    wrong = {
        "cut off": good.body[:-1],
        "longer": good.body + b"\0",
        "much longer": good.body + bytes(100_000),
        "absent": b"",
        "of another message": another.body,
        "one bit": good.body[:-1] + bytes([good.body[-1] ^ 1]),
    }
    for why, body in wrong.items():
        found = await rejected(sender, good.note.raw + body, "body-mismatch", recipient)
        assert found.evidence is None, why


async def test_a_body_that_is_not_sealed_for_exactly_those_named_is_refused(fresh):
    sender, one, two = fresh(), fresh(), fresh()
    for_one = sender.body(sender.header(one))
    for_both = sender.body(sender.header(one, two))
    head, payload = for_one[: parse_header(for_one).length], for_one[parse_header(for_one).length :]
    x25519 = re.sub(rb"-> mlkem768x25519 \S+", b"-> X25519 " + b"A" * 43, head)
    wrong = {
        "for fewer": (sender.header(one, two), for_one),
        "for more": (sender.header(one), for_both),
        "another kind of stanza": (sender.header(one), x25519 + payload),
        "no payload": (sender.header(one), head),
        "half a header": (sender.header(one), head[:100]),
        "plain text": (sender.header(one), notes.BODY_BEGINS + b"Dear colleagues, " * 40),
        "only the first line": (sender.header(one), notes.BODY_BEGINS),
        "many stanzas": (sender.header(one), notes.BODY_BEGINS + b"-> x\n\n" * 150_000),
    }
    for why, (header, body) in wrong.items():
        found = await rejected(sender, sender.sign(with_body(header, body)) + body, "body-shape", one, two)
        assert found.evidence, why


# Times


@pytest.mark.parametrize(
    ("sent", "expires", "code"),
    [
        (-2 * DAY_MS, -DAY_MS, "expired"),
        (-1_000, 0, "expired"),
        (33_000, DAY_MS, "sent-in-the-future"),
        (-3 * DAY_MS - 5_000, DAY_MS, "too-old"),
        (0, 30 * DAY_MS + 5_000, "malformed"),
        (60_000, 30_000, "malformed"),
    ],
)
async def test_times_out_of_bounds_are_refused_without_evidence(fresh, sent, expires, code):
    sender, recipient = fresh(), fresh()
    now = now_ms()
    await rejected(sender, sender.message(recipient, sent=now + sent, expires=now + expires), code, recipient)


async def test_times_at_the_edge_are_accepted(fresh):
    sender, recipient = fresh(), fresh()
    now = now_ms()
    for sent, expires in (
        (now + 27_000, now + 90_000),
        (now - 3 * DAY_MS + 5_000, now + 5_000),
        (now, now + 30 * DAY_MS),
    ):
        await sender.accepted(sender.message(recipient, sent=sent, expires=expires))


# The directory


async def test_what_the_directory_does_not_allow_is_refused_with_evidence(fresh):
    sender, one, judge, minister = fresh(), fresh(), fresh("judge"), fresh("minister")
    version, digest = sender.exchange.phonebook.reference
    old_key = {one.id: "ab" * 32}
    other_key = {one.id: sender.recipient.key_id}
    cases = [
        (sender.message(one, type="unknown-thing/1"), "unknown-type"),
        (sender.message(one, type="information-request/2"), "unknown-type"),
        (sender.message(minister, type="person-alert/1"), "route-not-allowed"),
        (sender.message(one, minister, type="information-request/1"), "route-not-allowed"),
        (minister.message(judge), "route-not-allowed"),
        (sender.message(one, to=old_key), "keys-mismatch"),
        (sender.message(one, to=other_key), "keys-mismatch"),
        (sender.message(one, directory=(version, "00" * 32)), "stale-directory"),
        (sender.message(one, directory=(0, "00" * 32)), "stale-directory"),
        (sender.message(one, attachments=(("ab" * 32, 10),)), "attachments-not-accepted"),
    ]
    for data, code in cases:
        assert (await rejected(minister if code == "route-not-allowed" and b"/minister " in data else sender,
                               data, code, one, judge, minister)).evidence  # fmt: skip
    unknown = await rejected(sender, sender.message(one, directory=(version + 1, digest)), "unknown-directory", one)
    assert unknown.evidence is None


@pytest.mark.parametrize("name", ["nobody.there", "broker", "log", "officer.a", "operator.a", "witness"])
async def test_nobody_is_found_under_a_name_that_is_no_contact_point(fresh, name):
    sender, one = fresh(), fresh()
    header = sender.header(one)
    body = sender.body(sender.header(one, fresh()))
    to = dict(sorted({one.id: header.to[one.id], name: "ab" * 32}.items()))
    await rejected(
        sender, sender.sign(with_body(msgspec.structs.replace(header, to=to), body)) + body, "unknown-recipient", one
    )  # fmt: skip


async def test_a_repeat_after_the_recipient_was_suspended_still_gets_the_first_answer(fresh):
    sender, recipient, other = fresh(), fresh(), fresh()
    data = sender.message(recipient)
    first = await sender.submit(data)
    assert first.status == 202
    await publish(sender.sandbox, change_point(recipient.id, status="suspended"))
    assert (await sender.submit(data)).body == first.body
    assert (await rejected(sender, sender.message(recipient, other), "suspended", other)).evidence


async def test_a_suspended_sender_is_refused_with_evidence_and_a_withdrawn_recipient_is_unknown(fresh):
    sender, gone, recipient = fresh(), fresh(), fresh()
    assert (await sender.submit(sender.message(recipient))).status == 202
    sender.exchange.next_directory(change_point(gone.id, status="withdrawn"), now_ms=now_ms())
    await publish(sender.sandbox, change_point(sender.id, status="suspended"))
    (before,) = await recipient.lease()
    assert await recipient.done(before) == ["done"]
    found = refused(await sender.submit(sender.message(recipient)), "suspended")
    assert sender.verify(found.evidence.encode()).reason == "suspended"
    await nothing_stored(recipient)
    other = fresh()
    await rejected(other, other.message(gone), "unknown-recipient")
    # Suspended, it still reads what it is told of: its own evidence.
    assert [e["event"] for e in await sender.feed(4)][-1] == "SubmissionRejection"


async def test_a_revoked_sign_key_ends_at_once_whatever_the_message_says(fresh):
    sender, recipient = fresh(), fresh()
    backdated = sender.message(recipient, sent=now_ms() - DAY_MS, expires=now_ms() + DAY_MS)
    point = sender.exchange.phonebook.point(sender.id)
    new = notes.Ed25519Signer(sender.name, Ed25519PrivateKey.generate())
    keys = (msgspec.structs.replace(point.sign[0], key=new.public.hex()), *revoked(point.sign, now_ms()))
    await publish(sender.sandbox, change_point(sender.id, sign=keys))
    refused(await sender.submit(backdated), "unverified")
    await nothing_stored(recipient)
    header = sender.header(recipient)
    body = sender.body(header)
    await sender.accepted(sender.sign(with_body(header, body), signers=[new]) + body)


async def test_an_older_directory_may_be_named_for_a_while(fresh):
    sender, recipient = fresh(), fresh()
    data = sender.message(recipient)
    await publish(sender.sandbox, lambda directory: directory)
    event = await sender.accepted(data)
    assert event.directory == sender.exchange.phonebook.reference
    assert message.read(data, sender.origin).header.directory != event.directory


async def test_a_sender_suspended_while_its_body_is_on_the_way_is_refused(fresh):
    """Whoever stole the keys could hold a hundred requests open, each a byte short, and finish them afterwards."""
    sender, recipient = fresh(), fresh()
    data = sender.message(recipient, document=b'{"t":"' + b"x" * 60_000 + b'"}')
    reader, writer = await sender.socket()
    writer.write(sender.raw_submit(data)[:-1])
    await writer.drain()
    await asyncio.sleep(0.2)
    await publish(sender.sandbox, change_point(sender.id, status="suspended"))
    writer.write(data[-1:])
    refused(await read_answer(reader), "suspended")
    writer.close()
    await nothing_stored(recipient)


async def test_a_message_that_expires_while_its_body_is_on_the_way_is_refused(fresh):
    sender, recipient = fresh(), fresh()
    data = sender.message(recipient, expires=now_ms() + 700, document=b'{"t":"' + b"x" * 60_000 + b'"}')
    reader, writer = await sender.socket()
    writer.write(sender.raw_submit(data)[:-1])
    await writer.drain()
    await asyncio.sleep(0.9)
    writer.write(data[-1:])
    refused(await read_answer(reader), "expired")
    writer.close()


# Evidence of refusals


async def test_a_refusal_is_in_the_sender_s_feed_once_for_each_digest_and_reason(fresh):
    sender, recipient = fresh(), fresh()
    one = sender.message(recipient, type="unknown-thing/1")
    two = sender.message(recipient, directory=(0, "00" * 32))
    answers = await asyncio.gather(*(sender.submit(data) for data in [one, two] * 5))
    assert {a.status for a in answers} == {422}
    await sender.submit(sender.message(recipient, expires=now_ms() - 1, sent=now_ms() - 2))  # no evidence
    feed = await sender.feed(3, within_s=1.5)
    assert sorted((e["event"], e["message"], e["reason"]) for e in feed) == sorted(
        [
            ("SubmissionRejection", digest_of(one), "unknown-type"),
            ("SubmissionRejection", digest_of(two), "stale-directory"),
        ]
    )
    assert await recipient.events() == ()
    for event in await sender.events():
        assert sender.verify(event.event).sender == sender.id
        assert len(event.salt) == 32


async def test_nobody_makes_evidence_against_a_sender_but_the_sender(fresh):
    sender, other, recipient = fresh(), fresh(), fresh()
    header = other.header(recipient, sender=sender.id, type="unknown-thing/1")
    body = other.body(header)
    for signers in ([other.keys.sign], [notes.Ed25519Signer(sender.name, other.keys.sign._key)]):
        refused(await other.submit(other.sign(with_body(header, body), signers=signers) + body), "unverified")
    await asyncio.sleep(0.3)
    assert await sender.events() == ()
    assert await other.events() == ()


# Batches


async def test_one_bad_message_of_a_batch_spoils_no_other(fresh):
    sender, recipient = fresh(), fresh()
    good = [sender.message(recipient) for _ in range(3)]
    bad = sender.message(recipient, type="unknown-thing/1")
    results = await sender.batch([good[0], b"garbage", good[1], bad, good[0], good[2]])
    assert [r.status for r in results] == [202, 400, 202, 422, 202, 202]
    assert results[0].acceptance == results[4].acceptance
    for result in results:
        assert (result.acceptance is None) == (result.status != 202) == (result.problem is not None)
    assert sorted(x.message for x in await recipient.lease()) == sorted(good)


async def test_a_batch_of_sixty_four_is_taken_and_one_of_sixty_five_is_not(fresh):
    sender, recipient = fresh(), fresh()
    messages = [sender.message(recipient) for _ in range(64)]
    results = await sender.batch(messages)
    assert [sender.verify(r.acceptance).message for r in results] == [digest_of(m) for m in messages]
    for bad in ([], messages + messages[:1]):
        refused(await sender.post("/v1/messages/batch", bad), "malformed")
    assert sorted(x.message for x in await recipient.lease()) == sorted(messages)


async def test_a_batch_beyond_its_size_is_refused_whole(fresh):
    sender, recipient = fresh(), fresh()
    body = api.encode([sender.message(recipient), bytes(api.batch_bytes_max)])
    refused(await sender.request("POST", "/v1/messages/batch", body), "too-large")
    await nothing_stored(recipient)


@pytest.mark.parametrize("value", [{"a": 1}, "text", [1], [b"x", None], 7, None, [[b"x"]]])
async def test_a_batch_of_another_shape_is_malformed(fresh, value):
    refused(await fresh().post("/v1/messages/batch", value), "malformed")


# Anything


async def test_no_mutation_of_a_message_is_accepted_or_upsets_the_broker(fresh):
    sender, recipient = fresh(), fresh()
    data = sender.message(recipient)
    loop = asyncio.get_running_loop()

    @settings(max_examples=300, database=None, suppress_health_check=list(HealthCheck))
    @given(mutated=mutations(data))
    @example(mutated=data + b"\0")
    def attack(mutated: bytes) -> None:
        answer = asyncio.run_coroutine_threadsafe(sender.submit(mutated), loop).result(20)
        assert 400 <= answer.status < 500, answer
        assert answer.code not in problem.REJECTIONS or answer.problem.evidence

    await asyncio.to_thread(attack)
    await nothing_stored(recipient)


@st.composite
def mutations(draw, data: bytes) -> bytes:
    """`data` with one to four changes, never equal to it. The note is hit as often as the body."""
    note, _ = notes.split(data)
    result = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.one_of(st.integers(0, len(note.raw)), st.integers(0, len(result))))
        what = draw(st.sampled_from(["set", "flip", "insert", "cut", "drop", "repeat", "truncate"]))
        if what == "insert" or at >= len(result):
            result[at:at] = draw(st.binary(min_size=1, max_size=40))
        elif what == "set":
            result[at] = draw(st.sampled_from(b'\n" {}:,0\\\x00\xff'))
        elif what == "flip":
            result[at] ^= 1 << draw(st.integers(0, 7))
        elif what == "cut":
            del result[at : at + draw(st.integers(1, 64))]
        elif what == "drop":
            del result[at]
        elif what == "repeat":
            result[at:at] = result[at : at + draw(st.integers(1, 64))]
        else:
            del result[at:]
    if result == data:
        result += b"\0"
    return bytes(result)
