"""What a recipient does with a message: SPEC.md sections 1.7 and 2."""

import hashlib
from typing import Any

import msgspec

from valija.seal import WARNING, inner
from valija_schemas import age_header, agreements, limits, message, wire
from valija_schemas import note as notes
from vectors import field, shape
from vectors.field import DAY, NOW, SENT
from vectors.made import Group

DOCUMENT = field.DOCUMENT


def groups(recorded: field.Recorded) -> list[shape.Group]:
    sealer = field.Sealer(recorded)
    key = field.seal_identity("ca.liaison").to_text()
    group = Group("receive", "receive", "2", **field.CHAIN, me="ca.liaison", seal_key=key)
    _good(group, sealer)
    _inside(group, sealer)
    _age(group, sealer)
    _documents(group, sealer)
    _before_opening(group, sealer)
    return [group.made, *_newer(sealer), _bilateral(sealer)]


def alone(**changes: Any) -> message.Header:
    return msgspec.structs.replace(field.header(to=("ca.liaison",)), **changes)


def sent(head: message.Header, body: bytes) -> dict[str, bytes]:
    """The two parts of a message, as inputs."""
    return {"note": field.message_note(head, body), "body": body}


def _good(group: Group, sealer: field.Sealer) -> None:
    opened = DOCUMENT.decode()
    group.accept("alone", output=opened, now=NOW, **sent(alone(), sealer.body(alone())))
    both = sent(field.header(), sealer.body(field.header()))
    group.accept("first-of-two", "A recipient opens at its position.", output=opened, now=NOW, **both)
    co = field.seal_identity("co.enlace").to_text()
    stops = "A recipient opens at its position."
    group.accept("second-of-two", stops, output=opened, now=NOW, me="co.enlace", seal_key=co, **both)
    old = field.header(to=("ca.liaison",), expires=SENT + 30 * DAY)
    stops = "An expired directory stops sending and never reading."
    group.accept("directory-expired", stops, output=opened, now=NOW + 12 * DAY, **sent(old, sealer.body(old)))
    retired = alone(to={"ca.liaison": field.seal_id("ca.liaison", "retired long ago")})
    key = field.seal_identity("ca.liaison", "retired long ago").to_text()
    stops = "What a broker accepted opens with the key that it was sealed for, retired or not."
    group.accept("retired-seal-key", stops, output=opened, now=NOW, seal_key=key, **sent(retired, sealer.body(retired)))


def _inside(group: Group, sealer: field.Sealer) -> None:
    head = alone()

    def add(name: str, stops: str, plaintext: bytes) -> None:
        body = sealer.file(sealer.stanzas(head), plaintext)
        group.add(name, "cannot-open", stops, spec="1.7", now=NOW, **sent(head, body))

    stops = "Nobody signs or forwards another's ciphertext as their own."
    for name, changes in {
        "from": {"sender": "oas.ssm"},
        "to": {"to": field.header().to},
        "type": {"type": "information-request/1"},
        "sent": {"sent": SENT - 1},
        "exercise": {"exercise": False},
        "id": {"id": "01a20b79-c7db-7c31-9d5e-000000000000"},
        "reply": {"in_reply_to": "0" * 64},
    }.items():
        add(f"inner-{name}-differs", stops, field.framed(msgspec.structs.replace(head, **changes)))
    first, second, third = wire.encode(inner(head)), WARNING, DOCUMENT

    def padded(*lines: bytes) -> bytes:
        joined = b"\n".join(lines)
        return joined + b" " * (len(_padme(joined)) - len(joined))

    named = wire.encode(field.naming(head, b"x"))
    add("inner-names-a-body", "The inner line cannot name the body that it is in.", padded(named, second, third))
    add(
        "inner-not-in-form",
        "The inner line is in the one form too.",
        padded(first.replace(b":", b": ", 1), second, third),
    )
    add("two-lines", "Inside are three lines.", padded(first, third))
    add("four-lines", "Inside are three lines.", padded(first, second, third, third))
    stops = "The person who runs a stock tool must be told that opening proves nothing."
    add("other-warning", stops, field.framed(head, DOCUMENT, WARNING.replace(b"proves nothing", b"proves all")))
    good = field.framed(head)
    stops = "The length of a body must tell nothing, and there is one padding for a length."
    add("no-padding", stops, good.rstrip(b" ") if good.endswith(b" ") else good + b" ")
    add("more-padding", stops, good + b" ")
    add("twice-the-padding", stops, good.ljust(2 * len(good)))
    add("newline-at-the-end", stops, padded(first, second, third)[:-1] + b"\n")
    zeros = good.rstrip(b" ").ljust(len(good), b"\0")
    body = sealer.file(sealer.stanzas(head), zeros)
    group.add("zero-bytes-for-spaces", "schema", "Only spaces are padding.", spec="1.7", now=NOW, **sent(head, body))
    add("empty", "An empty body is no document.", b"")


def _padme(data: bytes) -> bytes:
    """Padme once more, from the formula of SPEC.md section 1.7."""
    exponent = len(data).bit_length() - 1
    mask = (1 << (exponent - exponent.bit_length())) - 1
    return data.ljust((len(data) + mask) & ~mask)


def _age(group: Group, sealer: field.Sealer) -> None:
    head, both = alone(), field.header()
    plaintext = field.framed(head)
    stanza = sealer.stanza(field.seal_identity("ca.liaison"))
    other = sealer.stanza(field.seal_identity("co.enlace"))

    def add(name: str, stops: str, body: bytes, of: message.Header = head, **changes: Any) -> None:
        group.add(name, "cannot-open", stops, spec="1.7", now=NOW, **sent(of, body), **changes)

    stops = "A sender must not seal to somebody under a name that is not theirs."
    add("stanzas-swapped", stops, sealer.file([other, stanza], field.framed(both)), both)
    add("sealed-for-another", "A share that its recipient cannot open.", sealer.file([other], plaintext))
    strange = sealer.stanza(field.seal_identity("ca.liaison"), b"another file key")
    stops = "Two recipients must not be shown two documents in one message."
    add("other-file-key", stops, sealer.file([strange], plaintext))
    add("mac-of-another-key", stops, sealer.file([stanza], plaintext, mac_key=b"another file key"))
    body = sealer.file([stanza], plaintext)
    covered = len(age_header.write_stanzas([stanza]))
    mac_end = covered + len(age_header.write_mac(bytes(32)))
    add("mac-altered", "The header is as its writer made it.", body[: covered + 2] + b"A" + body[covered + 3 :])
    enc = age_header.sealed_enc(stanza)

    def changed(new: bytes) -> bytes:
        text = age_header.encode_base64(new).decode()
        return sealer.file([age_header.Stanza(stanza.type, (text,), stanza.body)], plaintext)

    add("x25519-share-zero", "A share of 0 makes a secret that everybody knows.", changed(enc[:-32] + bytes(32)))
    add("x25519-share-one", "A share of small order does too.", changed(enc[:-32] + b"\1" + bytes(31)))
    add("ml-kem-altered", "A changed encapsulation gives another secret.", changed(bytes([enc[0] ^ 1]) + enc[1:]))
    wrapped = age_header.Stanza(stanza.type, stanza.args, bytes([stanza.body[0] ^ 1]) + stanza.body[1:])
    add("wrapped-key-altered", "A changed file key is none.", sealer.file([wrapped], plaintext))
    grease = age_header.Stanza("xyz-grease", ("abc",), b"")
    stops = "There is one kind of stanza: nothing to choose, and nothing to hide a recipient in."
    add("grease", stops, sealer.file([stanza, grease], plaintext))
    x25519 = age_header.Stanza("X25519", (age_header.encode_base64(bytes(32)).decode(),), bytes(32))
    add("x25519-stanza", stops, sealer.file([x25519], plaintext))
    add("stanza-too-many", "A hidden recipient.", sealer.file([stanza, other], plaintext))
    add("stanza-too-few", "A recipient who cannot open.", sealer.file([stanza], field.framed(both)), both)
    stops = "A payload that was cut, joined or turned around is not shorter or longer, it is none."
    add("payload-altered", stops, body[:-1] + bytes([body[-1] ^ 1]))
    add("payload-cut", stops, body[:-1])
    add("payload-longer", stops, body + b"\0")
    add("payload-not-last", stops, body[:mac_end] + field.payload(plaintext, last=b"\x00"))
    add("payload-nonce-altered", stops, body[:mac_end] + bytes([body[mac_end] ^ 1]) + body[mac_end + 1 :])


def _documents(group: Group, sealer: field.Sealer) -> None:
    for name, document, stops in (
        ("document-empty", b"{}", "A document has its fields."),
        ("document-a-list", b"[]", "A document is an object."),
        (
            "document-newline-at-an-end",
            DOCUMENT.replace(b"Nothing is held.", b"Nothing is held.\\n"),
            "A text does not end with a newline.",
        ),
        ("document-not-in-form", DOCUMENT.replace(b":", b": ", 1), "A document has one spelling too."),
        (
            "document-unknown-field",
            DOCUMENT.replace(b'"language"', b'"x":1,"language"'),
            "A program would not know what it drops.",
        ),
        ("document-missing-field", DOCUMENT.replace(b',"expected":null', b""), "What is not known is null."),
        ("document-of-another-type", b'{"language":"en"}', "A document is of the type that the note names."),
    ):
        assert document != DOCUMENT
        group.add(name, "schema", stops, spec="2", now=NOW, **sent(alone(), sealer.body(alone(), document)))
    marked = DOCUMENT.replace(b"Nothing is held.", "Nothing is held.\\n\u0300".encode())
    stops = "A reader must look at the text, not at its escapes: a mark after a line break makes no letter with an n."
    group.accept(
        "document-mark-after-a-newline",
        stops,
        spec="1.2",
        output=marked.decode(),
        now=NOW,
        **sent(alone(), sealer.body(alone(), marked)),
    )
    strange = alone(type="unheard-of/1")
    stops = "A sender must not wait for somebody who cannot read what was sent."
    group.add("type-unknown", "unknown-type", stops, now=NOW, **sent(strange, sealer.body(strange)))


def _bilateral(sealer: field.Sealer) -> shape.Group:
    """A type that two agreed on, at a recipient that has no schemas."""
    agreed = agreements.Bilateral(type="x-report/1", between=("ca.liaison", "mx.enlace"), schema="1" * 64)
    directory = field.directory_note(field.directory(bilateral=(agreed,)))
    group = Group(
        "receive",
        "receive-bilateral",
        "4.2",
        origin=field.ORIGIN,
        anchor=field.ANCHOR,
        held=[field.ROOT_1, directory],
        me="ca.liaison",
        seal_key=field.seal_identity("ca.liaison").to_text(),
        now=NOW,
    )
    reference = (1, field.digest(directory))
    head = alone(type="x-report/1", directory=reference)
    stops = "Who does not hold the agreed schema cannot judge: the message waits."
    group.add("schema-not-here", "local-fault", stops, **sent(head, sealer.body(head)))
    head = alone(type="x-report/2", directory=reference)
    stops = "What nobody agreed on is no type."
    group.add("not-agreed", "unknown-type", stops, **sent(head, sealer.body(head)))
    return group.made


def _before_opening(group: Group, sealer: field.Sealer) -> None:
    head, body = alone(), sealer.body(alone())
    good = field.message_note(head, body)
    text, signature = notes.parse(good).text, notes.parse(good).signatures[0]
    turned = signature.value[:-1] + bytes([signature.value[-1] ^ 1])

    def unverifiable(name: str, stops: str, note: bytes, with_body: bytes = body) -> None:
        group.add(name, "unverifiable", stops, now=NOW, note=note, body=with_body)

    stops = "Nobody makes a recipient sign a word about what nobody sent."
    altered = notes.write_line(notes.Signature(signature.name, signature.key_id, turned))
    unverifiable("signature-altered", stops, text + b"\n" + altered)
    unverifiable("signed-by-another", stops, field.message_note(head, body, field.signer("co.enlace")))
    unverifiable("signed-by-a-revoked-key", stops, field.message_note(head, body, field.signer("mx.enlace", "revoked")))
    unverifiable("signed-twice", stops, notes.sign(text, [field.signer("mx.enlace"), field.signer("ca.liaison")]))
    unverifiable("body-altered", "The body is the one that was signed.", good, body[:-1] + bytes([body[-1] ^ 1]))
    unverifiable("body-cut", "The body is the one that was signed.", good, body[:-1])
    unverifiable("body-missing", "A message has a body.", good, b"")
    length = msgspec.structs.replace(field.naming(head, body), body_length=len(body) + 1)
    unverifiable("length-differs", "Length and digest both hold.", field.signed(message.KIND, length, "mx.enlace"))
    foreign = field.signed(message.KIND, field.naming(head, body), "mx.enlace", origin="test.example")
    unverifiable("other-exchange", "Mail of a test exchange is not mail of this.", foreign)
    named = msgspec.structs.replace(head, directory=(1, "0" * 64))
    unverifiable("other-directory", "Two directories shown to two parties.", field.message_note(named, body))
    attached = field.naming(head, body)
    null = field.signed(
        message.KIND, wire.encode(attached).replace(f'"{attached.body}"'.encode(), b"null"), "mx.enlace"
    )
    unverifiable("body-null", "A note names its body.", null)
    long = notes.BODY_BEGINS.ljust(limits.body_bytes_max + 1, b"x")
    long_note = field.message_note(head, long)
    rest = b"y" * (limits.message_bytes_max + 1 - len(long) - len(long_note))
    stops = "Size is looked at before anything else."
    unverifiable("too-large", stops, long_note, long + rest)
    ahead = msgspec.structs.replace(head, directory=(2, "0" * 64))
    ahead_body = sealer.body(ahead)
    stops = "A version that the broker does not show is no fault of the sender."
    group.add("directory-not-shown", "local-fault", stops, now=NOW, **sent(ahead, ahead_body))
    group.add("expired", "local-fault", "Old mail is not shown as new.", now=head.expires, note=good, body=body)
    group.add(
        "key-not-here",
        "local-fault",
        "A missing key is not the sender's fault.",
        now=NOW,
        note=good,
        body=body,
        seal_key="",
    )
    group.add("not-in-to", "not-for-us", "Mail for somebody else.", now=NOW, me="co.enlace", note=good, body=body)
    strange = alone(to={"ca.liaison": field.seal_id("co.enlace")})
    stops = "A share under a key that the directory never gave its recipient."
    group.add("key-of-another", "not-for-us", stops, now=NOW, **sent(strange, sealer.body(strange)))
    assert hashlib.sha256(body).hexdigest() == field.naming(head, body).body


def _newer(sealer: field.Sealer) -> list[shape.Group]:
    """The sender's key after a newer version said something else of it."""
    found = []
    first_points = (field.point("ca.liaison", "CA"), field.point("mx.enlace"))
    first = field.directory_note(field.directory(contact_points=first_points))
    reference = (1, field.digest(first))
    head = alone(directory=reference)
    body = sealer.body(head)
    for name, status, ended, expect, stops in (
        ("retired-after", "retired", SENT + 1, "accept", "A rotation must not lose mail that is on its way."),
        ("retired-before", "retired", SENT, "unverifiable", "A key that is over signs no more."),
        ("revoked-after", "revoked", SENT + 1, "unverifiable", "Who holds a revoked key writes any time."),
        ("not-named", None, 0, "unverifiable", "A key that a version names no more is as good as revoked."),
    ):
        keys = [field.ed_key("mx.enlace", "second")]
        keys += [field.ed_key("mx.enlace", "", status, ended)] if status else []
        points = (first_points[0], field.point("mx.enlace", sign=tuple(keys)))
        following = field.directory(contact_points=points, version=2, issued=NOW - DAY, previous=reference[1])
        group = Group(
            "receive",
            "receive-newer-directory",
            "1.6",
            origin=field.ORIGIN,
            anchor=field.ANCHOR,
            held=[field.ROOT_1, first, field.directory_note(following)],
            me="ca.liaison",
            seal_key=field.seal_identity("ca.liaison").to_text(),
            now=NOW,
        )
        group.add(name, expect, stops, output=DOCUMENT.decode() if expect == "accept" else None, **sent(head, body))
        found.append(group.made)
    return found
