"""Acceptances, receipts and unsigned events: SPEC.md sections 1.4 and 5."""

import hashlib
from typing import Any

import msgspec

from valija_schemas import evidence, message, wire
from valija_schemas import note as notes
from vectors import field, shape
from vectors.field import NOW, REFERENCE, SENT
from vectors.made import Group

BODY = b"age-encryption.org/v1\nwhatever"
HEAD = field.naming(field.header(), BODY)
NOTE = field.message_note(field.header(), BODY)
SUBJECT = evidence.subject_of(HEAD, notes.parse(NOTE))
ZEROS = "0" * 64
BROKER = field.signer("broker", "evidence")


def groups(_: field.Recorded) -> list[shape.Group]:
    return [_acceptances(), _receipts(), _events()]


def event(name: str = "SubmissionAcceptance", **changes: Any) -> evidence.Event:
    fields = msgspec.structs.asdict(SUBJECT)
    to = tuple(HEAD.to) if name.startswith("Submission") else ("ca.liaison",)
    value = evidence.Event(event=name, **fields, to=to, time=NOW, directory=REFERENCE, reason=None)  # type: ignore[arg-type]
    return msgspec.structs.replace(value, **changes)


def _acceptances() -> shape.Group:
    group = Group("acceptance", "acceptance", "5.1", **field.CHAIN, note=NOTE)

    def signed(value: Any, *who: notes.Ed25519Signer, origin: str = field.ORIGIN) -> bytes:
        return field.signed(evidence.EVIDENCE, value, *(who or (BROKER,)), origin=origin)

    group.accept("good", data=signed(event()))
    stops = "The promise is about this message, all of it, or about none."
    for name, changes in {
        "other-id": {"id": "01a20b79-c7db-7c31-9d5e-000000000000"},
        "other-message": {"message": ZEROS},
        "other-note": {"note": ZEROS},
        "other-body": {"body": ZEROS},
        "other-length": {"body_length": 1},
        "other-sender": {"sender": "oas.ssm"},
        "a-recipient-missing": {"to": ("ca.liaison",)},
        "recipients-in-another-order": {"to": ("co.enlace", "ca.liaison")},
        "a-recipient-more": {"to": (*HEAD.to, "uy.enlace")},
        "a-rejection": {"event": "SubmissionRejection", "reason": "suspended"},
        "a-handover": {"event": "ContentHandover"},
        "with-a-reason": {"reason": "because"},
    }.items():
        group.refuse(name, stops, data=signed(event(**changes)))
    stops = "A date that contradicts the message."
    group.accept("30-s-before-sent", "Clocks differ.", spec="5.2", data=signed(event(time=SENT - 30_000)))
    group.refuse("dated-before-sent", stops, spec="5.2", data=signed(event(time=SENT - 30_001)))
    group.refuse("dated-after-expiry", stops, spec="5.2", data=signed(event(time=HEAD.expires)))
    stops = "Only an evidence key of the root speaks for the broker."
    for name, who in {
        "freshness-key": field.signer("broker", "freshness"),
        "log-key": notes.Ed25519Signer(BROKER.name, field.Ed25519PrivateKey.from_private_bytes(field.seed("log sign"))),
        "sender": field.signer("mx.enlace"),
        "recipient": field.signer("ca.liaison"),
        "officer": field.signer("officer.a"),
    }.items():
        group.refuse(f"signed-by-{name}", stops, spec="1.4", data=signed(event(), who))
    group.refuse(
        "signed-twice", "Exactly one line.", spec="1.4", data=signed(event(), BROKER, field.signer("mx.enlace"))
    )
    group.refuse("not-signed", "A promise that nobody signed.", spec="1.4", data=notes.parse(signed(event())).text)
    group.refuse(
        "other-exchange", "Another exchange's promise.", spec="1.1", data=signed(event(), origin="test.example")
    )
    unknown = wire.encode(event()).replace(b"SubmissionAcceptance", b"SubmissionAccepted")
    group.refuse("unknown-event", "A word that is not on this page.", data=signed(unknown))
    return group.made


def receipt(name: str = "ConsignmentAcceptance", **changes: Any) -> evidence.Receipt:
    fields = msgspec.structs.asdict(SUBJECT)
    value = evidence.Receipt(
        event=name,  # type: ignore[arg-type]
        **fields,
        recipient="ca.liaison",
        time=NOW,
        directory=REFERENCE,
        log=message.EMPTY_LOG,
        reason=None,
    )
    return msgspec.structs.replace(value, **changes)


def _receipts() -> shape.Group:
    group = Group("receipt", "receipt", "5.1", **field.CHAIN, note=NOTE)
    ca, mx = field.signer("ca.liaison"), field.signer("mx.enlace")

    def signed(value: Any, *who: notes.Ed25519Signer, origin: str = field.ORIGIN) -> bytes:
        return field.signed(evidence.RECEIPT, value, *(who or (ca,)), origin=origin)

    group.accept("accepted", data=signed(receipt()))
    group.accept(
        "rejected", "A rejection says why.", data=signed(receipt("ConsignmentRejection", reason="cannot-open"))
    )
    words = receipt("ConsignmentRejection", reason="x" * 500)
    group.accept("rejected-in-500-characters", "A person's words.", data=signed(words))
    stops = "Mail leaves the queue on its recipient's word about that very message alone."
    for name, changes in {
        "other-id": {"id": "01a20b79-c7db-7c31-9d5e-000000000000"},
        "other-message": {"message": ZEROS},
        "other-note": {"note": ZEROS},
        "other-body": {"body": ZEROS},
        "other-length": {"body_length": 1},
        "other-sender": {"sender": "oas.ssm"},
        "accepted-with-a-reason": {"reason": "because"},
        "rejected-without-a-reason": {"event": "ConsignmentRejection"},
        "rejected-in-501-characters": {"event": "ConsignmentRejection", "reason": "x" * 501},
        "rejected-in-two-lines": {"event": "ConsignmentRejection", "reason": "a\nb"},
        "broker-event": {"event": "ContentHandover"},
    }.items():
        group.refuse(name, stops, data=signed(receipt(**changes)))
    stops = "A receipt is its recipient's own word."
    oas = field.signer("oas.ssm")
    group.refuse("not-in-to", stops, spec="1.4", data=signed(receipt(recipient="oas.ssm"), oas))
    group.refuse("signed-by-sender", stops, spec="1.4", data=signed(receipt(), mx))
    group.refuse("signed-by-other-recipient", stops, spec="1.4", data=signed(receipt(), field.signer("co.enlace")))
    group.refuse("signed-by-broker", stops, spec="1.4", data=signed(receipt(), BROKER))
    group.refuse("signed-by-auth-key", stops, spec="1.4", data=signed(receipt(), field.signer("ca.liaison", "auth")))
    group.refuse("signed-twice", "Exactly one line.", spec="1.4", data=signed(receipt(), ca, mx))
    group.refuse(
        "other-exchange", "Another exchange's word.", spec="1.1", data=signed(receipt(), origin="test.example")
    )
    return group.made


def _events() -> shape.Group:
    group = Group("event", "event", "5.1", origin=field.ORIGIN)

    def text(value: evidence.Event | bytes, kind: str = evidence.EVIDENCE) -> bytes:
        return notes.text(kind, field.ORIGIN, value if isinstance(value, bytes) else wire.encode(value))

    group.accept("handover", data=text(event("ContentHandover")))
    group.accept("dead-lettered", "A dead letter says why.", data=text(event("DeadLettered", reason="attempts")))
    group.accept("failure", "A failure says why.", data=text(event("ContentHandoverFailure", reason="expired")))
    group.refuse(
        "handover-with-a-reason",
        "A reason is that of something that failed.",
        data=text(event("ContentHandover", reason="x")),
    )
    group.refuse(
        "failure-without-a-reason", "A negative event has a reason.", data=text(event("ContentHandoverFailure"))
    )
    group.refuse("dead-lettered-without-a-reason", "A negative event has a reason.", data=text(event("DeadLettered")))
    both = ("ca.liaison", "co.enlace")
    group.refuse(
        "handover-to-two", "These events speak of one recipient.", data=text(event("ContentHandover", to=both))
    )
    group.refuse(
        "handover-to-nobody", "These events speak of one recipient.", data=text(event("ContentHandover", to=()))
    )
    stops = "The broker signs what it promises: unsigned, it is no promise."
    group.refuse("acceptance-unsigned", stops, data=text(event()))
    group.refuse("rejection-unsigned", stops, data=text(event("SubmissionRejection", reason="suspended")))
    signed = field.signed(evidence.EVIDENCE, event("ContentHandover"), BROKER)
    group.refuse("handover-signed", "An event has one spelling, in which it is a leaf.", data=signed)
    group.refuse("receipt-unsigned", "A receipt is signed.", data=text(wire.encode(receipt()), evidence.RECEIPT))
    group.refuse("three-lines", "Two lines and nothing else.", data=text(event("ContentHandover")) + b"\n")
    assert hashlib.sha256(BODY).hexdigest() == HEAD.body
    return group.made
