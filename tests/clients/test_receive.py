"""What a recipient does with a message, rule by rule. Each test changes one thing of a good message."""

import dataclasses
import hashlib
import typing
from typing import Any

import msgspec
import pytest

from valija import age, receive, seal
from valija.errors import KeyMissingError
from valija.receive import AlreadyDelivered, LocalFault, NeedDirectory, Opened, Rejected, Unverifiable
from valija.registry.sample import SampleExchange, sample_exchange
from valija_schemas import evidence, limits, message, wire
from valija_schemas import note as notes
from valija_schemas.directory import Directory, Key, Phonebook

DOCUMENT = b'{"text":"sample"}'
ID = "01939000-0000-7000-8000-000000000000"
ME = "co.enlace"


@dataclasses.dataclass
class Books:
    roots: Any
    phonebook: Phonebook
    others: dict[int, Phonebook] = dataclasses.field(default_factory=dict)

    def version(self, number: int) -> Phonebook | None:
        return self.others.get(number)


@dataclasses.dataclass
class Seen:
    fetched: dict[str, int] = dataclasses.field(default_factory=dict)
    done: set[str] = dataclasses.field(default_factory=set)
    ids: dict[tuple[str, str], str] = dataclasses.field(default_factory=dict)

    def first_fetched(self, digest: str) -> int | None:
        return self.fetched.get(digest)

    def settled(self, digest: str) -> bool:
        return digest in self.done

    def digest_of(self, sender: str, id_: str) -> str | None:
        return self.ids.get((sender, id_))


@pytest.fixture
def exchange() -> SampleExchange:
    return sample_exchange()


def header(exchange: SampleExchange, **changes: Any) -> message.Header:
    to = changes.pop("to", (ME, "ca.liaison"))
    keys = {id_: exchange.keyrings[id_].seal.recipient.key_id for id_ in sorted(to)} if isinstance(to, tuple) else to
    values = {
        "id": ID,
        "sender": "mx.enlace",
        "to": keys,
        "type": "information-request/1",
        "thread": ID,
        "in_reply_to": None,
        "sent": exchange.now_ms,
        "expires": exchange.now_ms + limits.DAY_MS,
        "priority": "routine",
        "exercise": True,
        "directory": exchange.phonebook.reference,
        "log": message.EMPTY_LOG,
        "body": None,
        "body_length": 0,
        "attachments": (),
    }
    return message.Header(**(values | changes))


def write(
    exchange: SampleExchange, head: message.Header, *, signer: Any = None, body: bytes | None = None, **how: Any
) -> bytes:
    if body is None:
        keyrings = {keyring.seal.recipient.key_id: keyring for keyring in exchange.keyrings.values()}
        sealed_for = [keyrings[key].seal.recipient for key in head.to.values() if key in keyrings]
        body = seal.seal(head, how.get("document", DOCUMENT), sealed_for)
    full = msgspec.structs.replace(head, body=hashlib.sha256(body).hexdigest(), body_length=len(body))
    return (
        message.compose(full, how.get("origin", exchange.origin), signer or exchange.keyrings["mx.enlace"].sign) + body
    )


def acceptance(exchange: SampleExchange, raw: bytes, **changes: Any) -> bytes:
    found = message.read(raw, exchange.origin)
    event = changes.pop("event", "SubmissionAcceptance")
    subject = changes.pop("subject", evidence.subject_of(found.header, found.note))
    values = {"to": tuple(found.header.to), "time": exchange.now_ms, "directory": exchange.phonebook.reference}
    signer = changes.pop("signer", exchange.broker_keys.evidence_signer)
    return notes.sign(evidence.event_text(exchange.origin, event, subject, **(values | changes)), [signer])


def open_document(type_: str, json: bytes, _: str | None) -> object:
    if type_ == "unknown/1":
        raise receive.UnknownTypeError(type_)
    return msgspec.json.decode(json, type=dict[str, str], strict=True)


def verdict(exchange: SampleExchange, raw: bytes, **changes: Any) -> receive.Verdict:
    accepted = changes.pop("accepted", None)
    if accepted is None:
        try:
            accepted = acceptance(exchange, raw)
        except ValueError:
            accepted = b""
    values = {
        "origin": exchange.origin,
        "me": ME,
        "now_ms": exchange.now_ms + 5_000,
        "books": Books(exchange.roots, exchange.phonebook, {b.version: b for b in exchange.phonebooks}),
        "seen": Seen(),
        "seal_identity": exchange.keyrings[ME].seal_identity,
        "open_document": open_document,
    }
    return receive.receive(raw, accepted, **(values | changes))


def with_key(id_: str, use: str, status: str, ended: int | None, public: str) -> Any:
    def change(directory: Directory) -> Directory:
        new = Key(key=public, status="active", ended=None)
        points = []
        for point in directory.contact_points:
            if point.id == id_:
                old = msgspec.structs.replace(getattr(point, use)[0], status=status, ended=ended)
                point = msgspec.structs.replace(point, **{use: (new, old)})  # noqa: PLW2901
            points.append(point)
        return msgspec.structs.replace(directory, contact_points=tuple(points))

    return change


def new_key(exchange: SampleExchange) -> str:
    return type(exchange.keyrings[ME]).generate(exchange.origin, "mx.enlace").sign.public.hex()


def test_a_good_message_opens_with_its_acceptance(exchange):
    raw = write(exchange, header(exchange))
    found = verdict(exchange, raw)
    assert isinstance(found, Opened)
    assert found.document == {"text": "sample"}
    assert found.json == DOCUMENT
    assert found.acceptance is not None
    assert found.acceptance_fault is None
    assert "sample" not in repr(found)


def test_a_message_that_is_too_large_is_unverifiable(exchange):
    assert isinstance(verdict(exchange, b"x" * (limits.message_bytes_max + 1)), Unverifiable)


def test_broken_framing_and_other_spellings_are_unverifiable(exchange):
    raw = write(exchange, header(exchange))
    for bad in (b"", raw[1:], raw.replace(b"\n\n", b"\n", 1), raw.replace(b'"exercise":true', b'"exercise": true', 1)):
        assert isinstance(verdict(exchange, bad), Unverifiable)


def test_another_exchange_is_unverifiable(exchange):
    raw = write(exchange, header(exchange), origin="other.example")
    assert isinstance(verdict(exchange, raw), Unverifiable)


def test_a_higher_directory_version_is_fetched_first(exchange):
    exchange.next_directory()
    raw = write(exchange, header(exchange))
    old = Books(exchange.roots, exchange.phonebooks[0])
    assert verdict(exchange, raw, books=old) == NeedDirectory(2)
    assert isinstance(verdict(exchange, raw), Opened)


def test_another_directory_with_the_same_number_is_an_alarm(exchange):
    raw = write(exchange, header(exchange, directory=(1, "0" * 64)))
    found = verdict(exchange, raw)
    assert isinstance(found, Unverifiable)
    assert found.alarm


def test_a_directory_version_that_was_never_known_is_an_alarm(exchange):
    raw = write(exchange, header(exchange, directory=(0, "0" * 64)))
    found = verdict(exchange, raw)
    assert isinstance(found, Unverifiable)
    assert found.alarm


def test_a_message_under_the_version_before_is_read(exchange):
    raw = write(exchange, header(exchange))
    exchange.next_directory()
    assert isinstance(verdict(exchange, raw), Opened)


def test_a_sender_that_is_not_in_the_directory_is_unverifiable(exchange):
    assert isinstance(verdict(exchange, write(exchange, header(exchange, sender="xx.nobody"))), Unverifiable)


def test_anothers_signature_is_unverifiable(exchange):
    raw = write(exchange, header(exchange), signer=exchange.keyrings["ca.liaison"].sign)
    assert isinstance(verdict(exchange, raw), Unverifiable)


def test_two_signatures_are_unverifiable(exchange):
    head = header(exchange)
    body = seal.seal(head, DOCUMENT, [exchange.keyrings[id_].seal.recipient for id_ in head.to])
    full = msgspec.structs.replace(head, body=hashlib.sha256(body).hexdigest(), body_length=len(body))
    signers = [exchange.keyrings["mx.enlace"].sign, exchange.keyrings["ca.liaison"].sign]
    raw = notes.sign(notes.text(message.KIND, exchange.origin, wire.encode(full)), signers) + body
    assert isinstance(verdict(exchange, raw), Unverifiable)


def test_a_key_revoked_since_then_fails_at_once(exchange):
    raw = write(exchange, header(exchange))
    exchange.next_directory(with_key("mx.enlace", "sign", "revoked", exchange.now_ms + 60_000, new_key(exchange)))
    assert isinstance(verdict(exchange, raw), Unverifiable)


def test_a_key_retired_since_then_passes(exchange):
    raw = write(exchange, header(exchange))
    exchange.next_directory(with_key("mx.enlace", "sign", "retired", exchange.now_ms + 1, new_key(exchange)))
    assert isinstance(verdict(exchange, raw), Opened)


def test_a_key_retired_before_the_message_was_sent_fails(exchange):
    raw = write(exchange, header(exchange))
    exchange.next_directory(with_key("mx.enlace", "sign", "retired", exchange.now_ms, new_key(exchange)))
    assert isinstance(verdict(exchange, raw), Unverifiable)


def test_another_body_is_unverifiable(exchange):
    raw = write(exchange, header(exchange))
    other = write(exchange, header(exchange))
    note, _ = notes.split(raw)
    assert isinstance(verdict(exchange, note.raw + notes.split(other)[1]), Unverifiable)
    assert isinstance(verdict(exchange, raw + b"x"), Unverifiable)
    assert isinstance(verdict(exchange, raw[:-1]), Unverifiable)
    assert isinstance(verdict(exchange, note.raw), Unverifiable)


def test_a_body_that_nobody_sealed_is_refused_with_evidence(exchange):
    raw = write(exchange, header(exchange), body=notes.BODY_BEGINS + b"plain text that a client forgot to seal\n")
    found = verdict(exchange, raw)
    assert isinstance(found, Rejected)
    assert found.reason == "cannot-open"


def test_a_message_for_others_is_refused(exchange):
    found = verdict(exchange, write(exchange, header(exchange, to=("ca.liaison",))))
    assert isinstance(found, Rejected)
    assert found.reason == "not-for-us"


def test_a_message_under_our_name_with_another_key_is_refused(exchange):
    key = exchange.keyrings["pe.enlace"].seal.recipient.key_id
    found = verdict(exchange, write(exchange, header(exchange, to={ME: key})))
    assert isinstance(found, Rejected)
    assert found.reason == "not-for-us"


def test_a_message_that_had_expired_when_first_fetched_waits_for_the_clock(exchange):
    head = header(exchange)
    raw = write(exchange, head)
    found = verdict(exchange, raw, now_ms=head.expires)
    assert isinstance(found, LocalFault)
    assert found.code == "expired"


def test_a_message_that_expired_after_it_was_fetched_is_handed_over(exchange):
    head = header(exchange)
    raw = write(exchange, head)
    seen = Seen(fetched={message.read(raw, exchange.origin).digest: head.expires - 1})
    assert isinstance(verdict(exchange, raw, now_ms=head.expires + 1, seen=seen), Opened)


def test_a_message_delivered_before_is_answered_and_not_opened(exchange):
    raw = write(exchange, header(exchange))
    digest = message.read(raw, exchange.origin).digest
    seen = Seen(fetched={digest: exchange.now_ms}, done={digest})

    def never(_: str) -> age.Identity:
        raise AssertionError

    assert verdict(exchange, raw, seen=seen, seal_identity=never) == AlreadyDelivered(digest)


def test_an_id_used_for_two_messages_is_an_alarm_and_never_answered(exchange):
    raw = write(exchange, header(exchange))
    found = verdict(exchange, raw, seen=Seen(ids={("mx.enlace", ID): "0" * 64}))
    assert isinstance(found, LocalFault)
    assert found.alarm


def test_the_same_id_of_another_sender_is_another_message(exchange):
    raw = write(exchange, header(exchange))
    assert isinstance(verdict(exchange, raw, seen=Seen(ids={("ca.liaison", ID): "0" * 64})), Opened)


def test_a_key_that_is_not_here_is_a_local_fault(exchange):
    def missing(_: str) -> age.Identity:
        raise KeyMissingError("not here")

    found = verdict(exchange, write(exchange, header(exchange)), seal_identity=missing)
    assert isinstance(found, LocalFault)
    assert found.code == "key-missing"


def test_a_body_that_does_not_open_is_refused(exchange):
    head = header(exchange)
    body = bytearray(seal.seal(head, DOCUMENT, [exchange.keyrings[id_].seal.recipient for id_ in head.to]))
    body[-1] ^= 1
    found = verdict(exchange, write(exchange, head, body=bytes(body)))
    assert isinstance(found, Rejected)
    assert found.reason == "cannot-open"


def test_a_body_taken_from_somebody_elses_message_is_refused(exchange):
    _, body = notes.split(write(exchange, header(exchange)))
    mine = header(exchange, sender="ca.liaison", id=ID.replace("9000", "9001"))
    found = verdict(exchange, write(exchange, mine, body=body, signer=exchange.keyrings["ca.liaison"].sign))
    assert isinstance(found, Rejected)
    assert found.reason == "cannot-open"


def test_a_document_that_breaks_its_rules_is_refused(exchange):
    found = verdict(exchange, write(exchange, header(exchange), document=b'{"text":1}'))
    assert isinstance(found, Rejected)
    assert found.reason == "schema"


def test_a_type_newer_than_this_client_is_refused_with_evidence(exchange):
    found = verdict(exchange, write(exchange, header(exchange, type="unknown/1")))
    assert isinstance(found, Rejected)
    assert found.reason == "unknown-type"


def test_every_reason_of_this_client_is_one_that_the_specification_names():
    assert set(typing.get_args(receive.RejectionReason)) == evidence.REJECTION_REASONS


def test_an_acceptance_that_proves_nothing_is_told_and_does_not_withhold_mail(exchange):
    raw = write(exchange, header(exchange))
    other = write(exchange, header(exchange, id=ID.replace("9000", "9001")))
    forged = exchange.keyrings["ca.liaison"].sign
    for bad in (
        b"",
        acceptance(exchange, raw, signer=notes.Ed25519Signer("exchange.example/broker", forged._key)),
        acceptance(exchange, other),
        acceptance(exchange, raw, event="SubmissionRejection", reason="suspended"),
        acceptance(exchange, raw, to=(ME,)),
        acceptance(exchange, raw, time=message.read(raw, exchange.origin).header.sent - 30_001),
    ):
        found = verdict(exchange, raw, accepted=bad)
        assert isinstance(found, Opened)
        assert found.acceptance is None
        assert found.acceptance_fault
