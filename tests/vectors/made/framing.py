"""Notes and framing: SPEC.md section 1.1."""

import base64
import hashlib

from valija_schemas import limits
from valija_schemas import note as notes
from vectors import field, shape
from vectors.made import Group

KIND = "valija/receipt/v1"
TEXT = notes.text(KIND, field.ORIGIN, b'{"sample":1}')
ONE = notes.signature_line(field.signer("mx.enlace"), TEXT)
TWO = notes.signature_line(field.signer("ca.liaison"), TEXT)
DASH = "— ".encode()


def digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def line(name: str, value: bytes) -> bytes:
    return DASH + name.encode() + b" " + base64.b64encode(value) + b"\n"


def numbered(count: int) -> bytes:
    return b"".join(line(f"exchange.example/p{n}", n.to_bytes(4, "big") + bytes(64)) for n in range(count))


def groups(_: field.Recorded) -> list[shape.Group]:
    return [_lone(), _messages()]


def _lone() -> shape.Group:
    group = Group("note", "note", "1.1", origin=field.ORIGIN, kind=KIND)
    good = TEXT + b"\n" + ONE
    group.accept("one-signature", output=digest(TEXT), data=good)
    group.accept("two-signatures", "A second line changes nothing of the digest.", output=digest(TEXT), data=good + TWO)
    group.accept(
        "signatures-32",
        "As many lines as there may be are read.",
        output=digest(TEXT),
        data=TEXT + b"\n" + numbered(32),
    )
    group.refuse("signatures-33", "Lines without end cost work without end.", data=TEXT + b"\n" + numbered(33))
    group.refuse("no-signature", "What nobody signed is no note.", data=TEXT + b"\n")
    group.refuse("one-name-and-id-twice", "Of two such lines one reader counts another than the next.", data=good + ONE)
    other = line("exchange.example/mx.enlace", b"else" + bytes(64))
    group.accept(
        "one-name-two-ids", "A person with two keys may sign with both.", output=digest(TEXT), data=good + other
    )
    same_id = line("exchange.example/xx.enlace", notes.key_id("exchange.example/mx.enlace", b"") + bytes(64))
    group.accept(
        "one-id-two-names", "A key id is a hint, and may be another's too.", output=digest(TEXT), data=good + same_id
    )
    encoded = ONE.rsplit(b" ", 1)[1].rstrip(b"\n")
    spelled = {
        "base64-without-padding": encoded.rstrip(b"="),
        "base64-url-alphabet": encoded.replace(b"/", b"_").replace(b"+", b"-"),
        "base64-other-last-bits": encoded[:-2] + bytes([encoded[-2] + 1]) + b"=",
        "base64-with-a-space-behind": encoded + b" ",
        "base64-with-a-tab": encoded[:8] + b"\t" + encoded[8:],
        "base64-in-two-parts": encoded[:8] + b"=" + encoded[8:],
    }
    for name, value in spelled.items():
        assert value != encoded, name
        stops = "A second spelling of one signature makes a second note of the same bytes signed."
        group.refuse(name, stops, data=TEXT + b"\n" + ONE.replace(encoded, value))
    group.refuse("key-id-alone", "A line without a signature signs nothing.", data=TEXT + b"\n" + line("e/x", b"1234"))
    group.refuse("no-name", "A line without a name is nobody's.", data=TEXT + b"\n" + line("", bytes(68)))
    group.refuse(
        "name-with-plus",
        "C2SP signed-note keeps the plus for spelling keys.",
        data=TEXT + b"\n" + line("e/x+y", bytes(68)),
    )
    group.refuse(
        "name-beyond-ascii",
        "Names that look alike are two to a reader of bytes.",
        data=TEXT + b"\n" + line("exchange.example/mx.enlacé", bytes(68)),
    )
    group.refuse(
        "two-spaces-after-the-name",
        "A line has one spelling.",
        data=TEXT + b"\n" + ONE.replace(b" " + encoded, b"  " + encoded),
    )
    group.refuse(
        "hyphen-for-dash", "A line that only looks like a signature.", data=TEXT + b"\n" + ONE.replace(DASH, b"- ")
    )
    group.refuse("cr-lf", "Line ends that a tool rewrote change what was signed.", data=good.replace(b"\n", b"\r\n"))
    group.refuse("no-empty-line", "Where the text ends must not be guessed.", data=TEXT + ONE)
    group.refuse("two-empty-lines", "Signature lines follow the first empty line at once.", data=TEXT + b"\n\n" + ONE)
    longer = TEXT + b"{}\n"
    group.refuse(
        "three-lines-of-text",
        "A third line would be signed and not read.",
        data=notes.sign(longer, [field.signer("mx.enlace")]),
    )
    one_line = f"{KIND} {field.ORIGIN}\n".encode()
    group.refuse("one-line-of-text", "A note has its JSON.", data=notes.sign(one_line, [field.signer("mx.enlace")]))
    group.refuse("cut-in-a-line", "A note that was cut off is no shorter note.", data=good[:-1])
    group.refuse("cut-in-the-text", "A note that was cut off is no shorter note.", data=TEXT[:-3])
    group.refuse("empty", "Nothing is no note.", data=b"")
    group.refuse("line-feeds", "Empty lines are no note.", data=b"\n\n\n")
    group.refuse("something-follows", "Bytes that no signature covers must not travel with a note.", data=good + b"\n")
    group.refuse("a-body-follows", "Only a message has a body.", data=good + notes.BODY_BEGINS)
    group.refuse(
        "split-at-the-last-empty-line",
        "A reader that looks for the empty line from the end signs off on a longer text.",
        data=good + b"\n" + TWO,
    )
    for name, first in {
        "other-exchange": f"{KIND} test.example",
        "other-kind": f"valija/evidence/v1 {field.ORIGIN}",
        "later-version": f"valija/receipt/v2 {field.ORIGIN}",
        "no-origin": KIND,
        "tab-for-space": f"{KIND}\t{field.ORIGIN}",
        "space-before": f" {KIND} {field.ORIGIN}",
        "space-behind": f"{KIND} {field.ORIGIN} ",
        "origin-with-plus": f"{KIND} exchange+example",
        "origin-beyond-ascii": f"{KIND} exchangé.example",
        "byte-order-mark": f"\ufeff{KIND} {field.ORIGIN}",
    }.items():
        data = notes.sign(first.encode() + b'\n{"sample":1}\n', [field.signer("mx.enlace")])
        group.refuse(f"first-line-{name}", "Line 1 says what was signed and for whom, in one spelling.", data=data)
    _limits(group)
    return group.made


def _limits(group: Group) -> None:
    room = limits.signature_line_bytes_max - len(DASH) - 1 - len(base64.b64encode(bytes(3_000)))
    for name, size in (("longest", room), ("too-long", room + 1)):
        data = TEXT + b"\n" + line("x" * size, bytes(3_000))
        stops = "A signature line has 5,120 bytes at most, without its line feed."
        group.add(f"line-{name}", "accept" if name == "longest" else "refused", stops, spec="1.8", data=data)
    for name, size in (("longest", limits.note_bytes_max), ("too-long", limits.note_bytes_max + 1)):
        empty = notes.text(KIND, field.ORIGIN, b'{"sample":""}')
        bare = notes.sign(empty, [field.signer("mx.enlace")])
        text = notes.text(KIND, field.ORIGIN, b'{"sample":"%s"}' % (b"x" * (size - len(bare))))
        data = notes.sign(text, [field.signer("mx.enlace")])
        assert len(data) == size
        stops = "A note of 16 KiB is read, a longer one costs its reader nothing."
        group.add(name, "accept" if name == "longest" else "refused", stops, spec="1.8", data=data)


def _messages() -> shape.Group:
    kind = "valija/message/v1"
    group = Group("note", "message-note", "1.1", origin=field.ORIGIN, kind=kind)
    body = notes.BODY_BEGINS + b"the rest is the sender's to choose"
    head = field.naming(field.header(), body)
    note = field.message_note(field.header(), body)
    text = notes.parse(note).text
    assert head.body_length == len(body)
    group.accept("and-body", output=digest(text), data=note + body)
    hostile = notes.BODY_BEGINS + b"\n" + ONE + b"\n" + TWO
    note_2 = field.message_note(field.header(), hostile)
    group.accept(
        "body-with-signature-lines",
        "A body that holds an empty line and signature lines must not be taken for the signatures.",
        output=digest(notes.parse(note_2).text),
        data=note_2 + hostile,
    )
    group.refuse("without-body", "A message has a body; a note alone is a message that was cut off.", data=note)
    group.refuse("body-after-an-empty-line", "Nothing stands between signatures and body.", data=note + b"\n" + body)
    group.refuse(
        "body-is-no-age-file",
        "A client that forgot to seal sends its document in the clear.",
        data=field.message_note(field.header(), field.DOCUMENT) + field.DOCUMENT,
    )
    armor = b"-----BEGIN AGE ENCRYPTED FILE-----\n" + body
    group.refuse(
        "body-in-armor", "One message has one spelling.", data=field.message_note(field.header(), armor) + armor
    )
    return group.made
