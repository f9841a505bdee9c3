"""What stands inside the seal, and what opens it."""

import hashlib

import msgspec
import pytest

from valija import age, seal
from valija.registry.sample import SampleExchange
from valija_schemas import message, wire

DOCUMENT = b'{"text":"sample"}'
ID = "01939000-0000-7000-8000-000000000000"


def header(exchange: SampleExchange, *to: str, **changes: object) -> message.Header:
    values = {
        "id": ID,
        "sender": "mx.enlace",
        "to": {id_: exchange.keyrings[id_].seal.recipient.key_id for id_ in sorted(to)},
        "type": "information-request/1",
        "thread": ID,
        "in_reply_to": None,
        "sent": exchange.now_ms,
        "expires": exchange.now_ms + 1000,
        "priority": "routine",
        "exercise": True,
        "directory": exchange.phonebook.reference,
        "log": message.EMPTY_LOG,
        "body": None,
        "body_length": 0,
        "attachments": (),
    }
    return message.Header(**(values | changes))


def recipients(exchange: SampleExchange, head: message.Header) -> list[age.SealRecipient]:
    return [exchange.keyrings[id_].seal.recipient for id_ in head.to]


def written(exchange: SampleExchange, head: message.Header, document: bytes = DOCUMENT) -> message.Message:
    raw = seal.write(head, document, recipients(exchange, head), exchange.origin, exchange.keyrings["mx.enlace"].sign)
    return message.read(raw, exchange.origin)


def sealed_as(exchange: SampleExchange, head: message.Header, plaintext: bytes) -> message.Message:
    """A message whose seal holds whatever a careless or hostile sender put there."""
    body = age.encrypt(plaintext, recipients(exchange, head))
    full = msgspec.structs.replace(head, body=hashlib.sha256(body).hexdigest(), body_length=len(body))
    return message.read(
        message.compose(full, exchange.origin, exchange.keyrings["mx.enlace"].sign) + body, "exchange.example"
    )


def test_each_recipient_opens_the_document_at_its_own_place(exchange):
    found = written(exchange, header(exchange, "co.enlace", "ca.liaison"))
    for place, id_ in enumerate(["ca.liaison", "co.enlace"]):
        inner, document = seal.open_sealed(found, exchange.keyrings[id_].seal, place)
        assert document == DOCUMENT
        assert (inner.body, inner.body_length) == (None, 0)
        assert inner.to == found.header.to


def test_no_other_stanza_than_ones_own_is_tried(exchange):
    found = written(exchange, header(exchange, "co.enlace", "ca.liaison"))
    with pytest.raises(seal.SealError):
        seal.open_sealed(found, exchange.keyrings["ca.liaison"].seal, 1)


def test_a_stock_tool_shows_the_warning_before_the_document(exchange):
    found = written(exchange, header(exchange, "co.enlace"))
    lines = age.decrypt(found.body, exchange.keyrings["co.enlace"].seal).split(b"\n")
    assert lines[1] == seal.WARNING
    assert lines[2].rstrip(b" ") == DOCUMENT


@pytest.mark.parametrize("length", [0, 1, 9, 1023, 1024, 1025, 70_000])
def test_the_length_of_a_body_shows_only_its_magnitude(exchange, length):
    head = header(exchange, "co.enlace")
    document = b'{"text":"' + b"x" * length + b'"}'
    plaintext = age.decrypt(written(exchange, head, document).body, exchange.keyrings["co.enlace"].seal)
    assert len(plaintext) == seal.padded_length(len(plaintext))
    assert len(plaintext) <= (len(wire.encode(head)) + len(seal.WARNING) + len(document) + 2) * 1.12


def test_padme_gives_the_published_buckets():
    # PETS 2019, section 4: the last E - S bits of the length are zero.
    assert [seal.padded_length(n) for n in (1, 7, 8, 9, 33, 100, 129, 1_000, 1_000_000)] == [
        1, 7, 8, 10, 36, 104, 144, 1024, 1_015_808
    ]  # fmt: skip


@pytest.mark.parametrize(
    "name", [name for name in message.Header.__struct_fields__ if name not in {"body", "body_length"}]
)
def test_a_body_that_was_sealed_under_another_note_does_not_open(exchange, name):
    head = header(exchange, "co.enlace", "ca.liaison")
    other = {
        "id": ID.replace("9000", "9001"),
        "sender": "ca.liaison",
        "to": {"co.enlace": head.to["co.enlace"]},
        "type": "response/1",
        "thread": ID.replace("9000", "9001"),
        "in_reply_to": "0" * 64,
        "sent": head.sent - 1,
        "expires": head.expires + 1,
        "priority": "flash",
        "exercise": False,
        "directory": (1, "0" * 64),
        "log": (1, "0" * 64),
        "attachments": (("0" * 64, 1),),
    }
    inner = msgspec.structs.replace(head, **{name: other[name]})
    framed = b"\n".join([wire.encode(inner), seal.WARNING, DOCUMENT])
    found = sealed_as(exchange, head, framed.ljust(seal.padded_length(len(framed))))
    with pytest.raises(seal.SealError, match=name):
        seal.open_sealed(found, exchange.keyrings["ca.liaison"].seal, 0)


def test_the_frame_has_one_spelling(exchange):
    head = header(exchange, "co.enlace")
    good = b"\n".join([wire.encode(head), seal.WARNING, DOCUMENT])
    padded = good.ljust(seal.padded_length(len(good)))
    assert seal.open_sealed(sealed_as(exchange, head, padded), exchange.keyrings["co.enlace"].seal, 0)[1] == DOCUMENT
    for bad in (
        padded + b" " * 64,
        good if len(good) != len(padded) else padded + b" ",
        padded.replace(b"proves nothing", b"proves a lot!!"),
        padded.replace(b"\n" + DOCUMENT, b"\n\n" + DOCUMENT),
        padded.replace(seal.WARNING + b"\n", b""),
        b"",
        padded[1:],
    ):
        with pytest.raises(seal.SealError):
            seal.open_sealed(sealed_as(exchange, head, bad), exchange.keyrings["co.enlace"].seal, 0)


def test_sealing_for_other_keys_than_the_header_names_is_refused(exchange):
    head = header(exchange, "co.enlace")
    with pytest.raises(seal.SealError):
        seal.seal(head, DOCUMENT, [exchange.keyrings["ca.liaison"].seal.recipient])
    with pytest.raises(seal.SealError):
        seal.seal(msgspec.structs.replace(head, body="0" * 64), DOCUMENT, recipients(exchange, head))
    with pytest.raises(seal.SealError):
        seal.seal(head, b'{"a":1}\n{"b":2}', recipients(exchange, head))


def test_a_document_too_large_for_one_message_says_so(exchange):
    head = header(exchange, "co.enlace")
    with pytest.raises(seal.SealTooLargeError):
        seal.seal(head, b'{"text":"' + b"x" * 1_048_576 + b'"}', recipients(exchange, head))
