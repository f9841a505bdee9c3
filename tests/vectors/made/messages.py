"""What a broker decides about a message: SPEC.md sections 1.3 to 1.6 and 3.1, without what its store knows."""

from typing import Any

import msgspec

from valija_schemas import agreements, limits, message, wire
from valija_schemas import note as notes
from vectors import field, shape
from vectors.field import DAY, NOW, SENT
from vectors.made import Group

L = 2**252 + 27742317777372353535851937790883648493  # RFC 8032 section 5.1


class Submissions:
    """Makes submissions of one body."""

    def __init__(self, recorded: field.Recorded) -> None:
        self.sealer = field.Sealer(recorded)
        self.head = field.naming(field.header(), self.sealer.body(field.header()))
        self.body = self.sealer.body(field.header())

    def note(self, who: notes.Ed25519Signer | None = None, **changes: Any) -> bytes:
        head = msgspec.structs.replace(self.head, **changes)
        return field.signed(message.KIND, head, who or field.signer(head.sender))

    def spelled(self, old: str, new: str) -> bytes:
        """Signed as it stands, with something else in its JSON."""
        json = wire.encode(self.head).decode()
        assert old in json, old
        return field.signed(message.KIND, json.replace(old, new, 1).encode(), "mx.enlace")


def groups(recorded: field.Recorded) -> list[shape.Group]:
    made = Submissions(recorded)
    group = Group("submit", "submit", "1.5", **field.CHAIN, body=made.body)
    group.accept("good", note=made.note(), now=NOW)
    _fields(group, made)
    _times(group, made)
    _signatures(group, made)
    _standing(group, made)
    return [group.made, _bodies(made), *_superseded(made), _bilateral(made)]


def _fields(group: Group, made: Submissions) -> None:
    to = wire.encode(made.head.to).decode()
    ca, co = field.seal_id("ca.liaison"), field.seal_id("co.enlace")
    digest = made.head.body
    one_form = "A field has one form, which the tables of this page give."
    for name, old, new, stops in (
        ("id-upper-case", field.ID, field.ID.upper(), "Two spellings of an id make two messages of one."),
        ("id-no-uuid", f'"id":"{field.ID}"', '"id":"1"', one_form),
        ("from-upper-case", '"mx.enlace"', '"MX.enlace"', "Names that differ in case are taken for one another."),
        ("from-empty", '"mx.enlace"', '""', one_form),
        ("to-empty", to, "{}", "A message is for somebody."),
        (
            "to-other-order",
            to,
            f'{{"co.enlace":"{co}","ca.liaison":"{ca}"}}',
            "Positions in `to` are positions of stanzas.",
        ),
        ("to-twice", to, f'{{"ca.liaison":"{ca}","ca.liaison":"{co}"}}', "Two readers would seal for two keys."),
        ("to-list", to, '["ca.liaison","co.enlace"]', "The sender says which key each share is sealed for."),
        ("to-name-of-65", '"ca.liaison"', '"' + "c" * 65 + '"', "An identifier has 64 characters at most."),
        ("type-without-version", '"response/1"', '"response"', "A document is never read as another version."),
        ("type-version-zero", '"response/1"', '"response/0"', one_form),
        ("thread-null", f'"thread":"{field.ID}"', '"thread":null', "The first message names itself."),
        (
            "reply-to-id",
            '"in_reply_to":null',
            f'"in_reply_to":"{field.ID}"',
            "A reply names a digest: ids are the sender's.",
        ),
        ("priority-unknown", '"urgent"', '"normal"', one_form),
        ("exercise-number", '"exercise":true', '"exercise":1', "A drill must not be taken for earnest."),
        (
            "directory-number-alone",
            wire.encode(field.REFERENCE).decode(),
            "1",
            "A version is named by number and digest.",
        ),
        (
            "log-missing",
            f'"log":{wire.encode(message.EMPTY_LOG).decode()},',
            "",
            "What a sender saw of the log travels.",
        ),
        ("body-null", f'"{digest}"', "null", "A note that names no body goes with any."),
        ("attachments-null", '"attachments":[]', '"attachments":null', one_form),
        (
            "unknown-field",
            '"attachments":[]',
            '"attachments":[],"copy":[]',
            "One reader would know it and another not.",
        ),
        ("sent-text", f'"sent":{SENT}', f'"sent":"{SENT}"', one_form),
    ):
        group.add(name, "malformed", stops, note=made.spelled(old, new), now=NOW)
    many = {f"p{n:02}": field.seal_id("ca.liaison") for n in range(65)}
    group.add(
        "to-65", "malformed", "Each recipient costs everybody a stanza.", spec="1.8", note=made.note(to=many), now=NOW
    )
    attachment = ((digest, 1),)
    stops = "A file that nobody stores must not seem to be sent."
    group.add("attachment", "attachments-not-accepted", stops, note=made.note(attachments=attachment), now=NOW)
    stops = "A list has its limit."
    group.add("attachments-33", "malformed", stops, spec="1.8", note=made.note(attachments=attachment * 33), now=NOW)
    group.accept("reply", "A reply names the digest of what it answers.", note=made.note(in_reply_to=digest), now=NOW)
    for priority in ("flash", "routine"):
        group.accept(priority, "Three priorities, and no other.", note=made.note(priority=priority), now=NOW)
    stops = "A body is refused by its length before a byte of it is read."
    long = made.note(body_length=limits.body_bytes_max + 1)
    group.add("body-too-long", "too-large", stops, spec="3.1", note=long, now=NOW)


def _times(group: Group, made: Submissions) -> None:
    hour, ahead, life = limits.HOUR_MS, limits.sent_ahead_max_ms, limits.lifetime_max_ms
    group.accept("sent-30-s-ahead", "Clocks differ.", note=made.note(sent=NOW + ahead), now=NOW)
    stops = "A message from the future outlives the record that knows it again."
    group.add("sent-further-ahead", "sent-in-the-future", stops, note=made.note(sent=NOW + ahead + 1), now=NOW)
    group.accept(
        "sent-72-h-ago", "An outbox may be offline for three days.", note=made.note(sent=NOW - 72 * hour), now=NOW
    )
    stops = "A recorded submission must not be replayed when its deduplication record is gone."
    group.add("sent-longer-ago", "too-old", stops, note=made.note(sent=NOW - 72 * hour - 1), now=NOW)
    stops = "A message lives 30 days at most."
    group.accept("lives-30-days", stops, note=made.note(expires=SENT + life), now=NOW)
    group.add("lives-longer", "malformed", stops, note=made.note(expires=SENT + life + 1), now=NOW)
    stops = "Old mail must not be held back and shown later as new."
    group.add("expired", "expired", stops, note=made.note(expires=NOW), now=NOW)
    stops = "A message that ends before it begins is nobody's meaning."
    backwards = made.note(sent=NOW + 2, expires=NOW + 2)
    group.add("expires-with-sent", "malformed", stops, note=backwards, now=NOW)


def _signatures(group: Group, made: Submissions) -> None:
    good = made.note()
    text, signature = notes.parse(good).text, notes.parse(good).signatures[0]

    def lined(*lines: bytes) -> bytes:
        return text + b"\n" + b"".join(lines)

    def line(value: bytes, name: str = signature.name, key_id: bytes = signature.key_id) -> bytes:
        return notes.write_line(notes.Signature(name, key_id, value))

    other = made.note(exercise=False)
    r, s = signature.value[:32], int.from_bytes(signature.value[32:], "little")
    turned = bytes([signature.value[0] ^ 1]) + signature.value[1:]
    mx, ca = field.signer("mx.enlace"), field.signer("ca.liaison")
    co_as_mx = notes.Ed25519Signer(mx.name, field.Ed25519PrivateKey.from_private_bytes(field.seed("co.enlace sign")))
    for name, note, stops in (
        ("signature-altered", lined(line(turned)), "Bytes that only look like a signature."),
        (
            "signature-of-another-text",
            lined(notes.write_line(notes.parse(other).signatures[0])),
            "A signature moved here.",
        ),
        (
            "signature-s-plus-l",
            lined(line(r + (s + L).to_bytes(32, "little"))),
            "A second signature made of the first.",
        ),
        ("signature-of-63-bytes", lined(line(signature.value[:-1])), "A signature has 64 bytes."),
        ("signature-of-65-bytes", lined(line(signature.value + b"\0")), "A signature has 64 bytes."),
        ("signature-of-zeros", lined(line(bytes(64))), "Zeros verify under weak keys and weak verifiers."),
        ("key-id-altered", lined(line(signature.value, key_id=b"\0\0\0\0")), "A line is looked up by name and key id."),
        ("name-of-another", lined(line(signature.value, name=ca.name)), "The name says whose line it is."),
        (
            "name-of-another-exchange",
            lined(line(signature.value, name="test.example/mx.enlace")),
            "A test exchange signs for itself.",
        ),
        ("signed-by-another", made.note(ca), "Nobody signs for somebody else."),
        ("signed-by-another-under-the-name", made.note(co_as_mx), "A name on a line is only a claim."),
        ("signed-by-the-auth-key", made.note(field.signer("mx.enlace", "auth")), "A key has one use."),
        ("signed-by-an-officer", made.note(field.signer("officer.a")), "Officers sign the registry, not messages."),
        ("signed-by-the-broker", made.note(field.signer("broker", "evidence")), "A broker cannot write in a name."),
        (
            "signed-twice",
            notes.sign(text, [mx, ca]),
            "A message has one signature line: a second is what one reader counts and another not.",
        ),
        (
            "signed-by-two-keys-of-the-sender",
            notes.sign(text, [mx, field.signer("mx.enlace", "retired later")]),
            "Exactly one line, whoever made the second.",
        ),
        ("signed-by-a-key-retired-before", made.note(field.signer("mx.enlace", "retired")), "A retired key is over."),
        ("signed-by-a-revoked-key", made.note(field.signer("mx.enlace", "revoked")), "A thief dates back."),
        ("sender-unknown", made.note(sender="nobody"), "Who is not in the directory does not write."),
        (
            "sender-broker",
            made.note(field.signer("broker", "evidence"), sender="broker"),
            "No contact point has that name.",
        ),
    ):
        group.add(name, "unverified", stops, spec="1.4", note=note, now=NOW)
    stops = "A rotation must not lose mail that is on its way."
    later = made.note(field.signer("mx.enlace", "retired later"))
    group.accept("signed-before-the-key-retired", stops, spec="1.6", note=later, now=NOW)
    stops = "A note of another exchange is not shown as one of this."
    foreign = field.signed(message.KIND, made.head, "mx.enlace", origin="test.example")
    group.add("other-exchange", "wrong-exchange", stops, spec="1.1", note=foreign, now=NOW)
    receipt = field.signed("valija/receipt/v1", made.head, "mx.enlace")
    stops = "A statement of one kind is not read as one of another."
    group.add("other-kind", "malformed", stops, spec="1.1", note=receipt, now=NOW)


def _standing(group: Group, made: Submissions) -> None:
    ca, co = field.seal_id("ca.liaison"), field.seal_id("co.enlace")

    def to(**keys: str) -> bytes:
        return made.note(to={name.replace("_", "."): key for name, key in keys.items()})

    other_digest = wire.encode((1, "0" * 64)).decode()
    for name, expect, note, stops in (
        ("sender-suspended", "suspended", made.note(sender="pe.enlace"), "A thief of a suspended point's keys."),
        (
            "recipient-suspended",
            "suspended",
            to(ca_liaison=ca, pe_enlace=field.seal_id("pe.enlace")),
            "Mail to a thief.",
        ),
        (
            "recipient-withdrawn",
            "unknown-recipient",
            to(ca_liaison=ca, uy_enlace=field.seal_id("uy.enlace")),
            "Mail to nobody.",
        ),
        (
            "recipient-unknown",
            "unknown-recipient",
            to(ca_liaison=ca, nobody=field.seal_id("nobody")),
            "Mail to nobody.",
        ),
        (
            "recipient-name-of-64",
            "unknown-recipient",
            made.note(to={"c" * 64: ca}),
            "64 characters are an identifier still.",
        ),
        (
            "no-route",
            "route-not-allowed",
            to(ca_liaison=ca, oas_ssm=field.seal_id("oas.ssm")),
            "Types go where officers let them.",
        ),
        ("type-without-route", "unknown-type", made.note(type="unheard-of/1"), "A type that nobody admitted."),
        ("type-other-version", "unknown-type", made.note(type="response/2"), "Versions are types of their own."),
        ("seal-key-of-another", "keys-mismatch", to(ca_liaison=co, co_enlace=co), "A re-addressed share."),
        (
            "seal-key-retired-7-days",
            "keys-mismatch",
            to(ca_liaison=field.seal_id("ca.liaison", "retired long ago"), co_enlace=co),
            "A retired key receives for 7 days.",
        ),
        (
            "directory-ahead",
            "unknown-directory",
            made.note(directory=(2, "0" * 64)),
            "A version that the broker was not shown.",
        ),
        (
            "directory-other-digest",
            "stale-directory",
            made.spelled(wire.encode(field.REFERENCE).decode(), other_digest),
            "Two directories shown to two parties.",
        ),
        ("directory-zero", "stale-directory", made.note(directory=(0, "0" * 64)), "There is no version 0."),
    ):
        group.add(name, expect, stops, spec="3.1", note=note, now=NOW)
    stops = "A rotation must not lose mail that is on its way."
    retired = to(ca_liaison=field.seal_id("ca.liaison", "retired"), co_enlace=co)
    group.accept("seal-key-just-retired", stops, spec="1.6", note=retired, now=NOW)
    late = NOW + 10 * DAY
    stops = "A directory that ran out may hide a revocation."
    note = made.note(sent=late, expires=late + DAY)
    group.add("directory-expired", "directory-expired", stops, spec="4.5", note=note, now=late)


def _bodies(made: Submissions) -> shape.Group:
    group = Group("submit", "submit-body", "3.1", **field.CHAIN, now=NOW)
    group.accept("good", note=made.note(), body=made.body)
    stops = "The body is the one that the sender signed, or the message is not."
    group.add("altered", "body-mismatch", stops, note=made.note(), body=made.body[:-1] + bytes([made.body[-1] ^ 1]))
    group.add("cut", "body-mismatch", stops, note=made.note(), body=made.body[:-1])
    group.add("longer", "body-mismatch", stops, note=made.note(), body=made.body + b"\0")
    alone = made.sealer.body(field.header(to=("ca.liaison",)))
    stops = "A body that some of the recipients cannot open."
    group.add(
        "one-stanza-for-two",
        "body-shape",
        stops,
        spec="1.7",
        note=field.message_note(field.header(), alone),
        body=alone,
    )
    return group.made


def _superseded(made: Submissions) -> list[shape.Group]:
    """A message may name a version for seven days after the next one was issued."""
    found = []
    points = (field.point("ca.liaison", "CA"), field.point("mx.enlace"))
    first = field.directory_note(field.directory(contact_points=points))
    reference = (1, field.digest(first))
    body = made.sealer.body(field.header(to=("ca.liaison",)))
    for name, issued, expect in (("recent", NOW - 7 * DAY + 1, "accept"), ("old", NOW - 7 * DAY, "stale-directory")):
        following = field.directory(contact_points=points, version=2, issued=issued, previous=reference[1])
        group = Group(
            "submit",
            f"submit-superseded-{name}",
            "3.1",
            origin=field.ORIGIN,
            anchor=field.ANCHOR,
            held=[field.ROOT_1, first, field.directory_note(following)],
            body=body,
            now=NOW,
        )
        current = (2, field.digest(field.directory_note(following)))
        head = field.header(to=("ca.liaison",))
        for which, named, outcome in (("current", current, "accept"), ("before", reference, expect)):
            note = field.message_note(msgspec.structs.replace(head, directory=named), body)
            group.add(which, outcome, "An old directory must not be used for ever.", note=note)
        found.append(group.made)
    return found


def _bilateral(made: Submissions) -> shape.Group:
    """Types that two contact points agreed on."""
    schemas = {"x-report/1": ("1" * 64, "1" * 64), "x-sheet/1": ("2" * 64, "3" * 64)}
    pairs = (("ca.liaison", "mx.enlace"), ("co.enlace", "mx.enlace"))
    agreed = [
        agreements.Bilateral(type=type_, between=pair, schema=schema)
        for type_, digests in schemas.items()
        for pair, schema in zip(pairs, digests, strict=True)
    ]
    agreed.append(agreements.Bilateral(type="x-theirs/1", between=("ca.liaison", "co.enlace"), schema="4" * 64))
    directory = field.directory_note(field.directory(bilateral=tuple(agreed)))
    group = Group(
        "submit",
        "submit-bilateral",
        "4.2",
        origin=field.ORIGIN,
        anchor=field.ANCHOR,
        held=[field.ROOT_1, directory],
        body=made.body,
        now=NOW,
    )

    def note(type_: str, *to: str) -> bytes:
        named = {id_: field.seal_id(id_) for id_ in to} or made.head.to
        return made.note(type=type_, to=named, directory=(1, field.digest(directory)))

    group.accept("one-schema", note=note("x-report/1"))
    stops = "All recipients read one document, and must judge it alike."
    group.add("two-schemas", "route-not-allowed", stops, note=note("x-sheet/1"))
    stops = "What two agreed on is theirs: a third, whatever its area, does not take part."
    group.add("of-two-others", "route-not-allowed", stops, note=note("x-theirs/1"))
    group.add("one-outside", "route-not-allowed", stops, note=note("x-report/1", "ca.liaison", "oas.ssm"))
    group.add("to-oneself", "route-not-allowed", stops, note=note("x-report/1", "mx.enlace"))
    stops = "A type that nobody agreed on."
    group.add("unknown", "unknown-type", stops, note=note("x-unheard-of/1"))
    group.add("other-version", "unknown-type", stops, note=note("x-report/2"))
    return group.made
