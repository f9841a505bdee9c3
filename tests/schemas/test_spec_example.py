"""The worked example of SPEC.md: what the page quotes is what the files hold, and the files verify with our code."""

import base64
import hashlib
import re
from pathlib import Path

import pytest

from valija import age
from valija.receive import Opened, receive
from valija.seal import WARNING, open_sealed
from valija_schemas import documents, evidence, http_signature, keys, limits, message, wire
from valija_schemas import note as notes
from valija_schemas.directory import Phonebook, Roots, read_directory, read_freshness, read_request, require_current

SCHEMAS = Path(__file__).parents[2] / "schemas"
EXAMPLE = SCHEMAS / "vectors" / "example"
SPEC = (SCHEMAS / "SPEC.md").read_text("utf-8")
ORIGIN = "exchange.example"
QUOTES = re.findall(r"<!-- vectors/example/([a-z0-9.-]+)(, cut)? -->\n```text\n(.*?)```\n", SPEC, re.DOTALL)
CELLS = dict(re.findall(r"^\| ([^|]+?) \| `([0-9a-f, ]+)` \|$", SPEC.partition("## 6 ")[2], re.MULTILINE))


def file(name: str) -> bytes:
    return (EXAMPLE / name).read_bytes()


def root_digest() -> str:
    return notes.parse(file("root.1.note"), limits.directory_bytes_max).digest


def chain() -> tuple[Roots, Phonebook]:
    roots = Roots.first(file("root.1.note"), ORIGIN, root_digest())
    return roots, read_directory(file("directory.1.note"), roots, None)


def identity() -> age.SealIdentity:
    return age.SealIdentity.from_text(file("ca.liaison.key").decode().splitlines()[1])


def test_every_quote_is_the_file() -> None:
    assert {"message.note", "acceptance.note", "receipt.note", "body.age"} <= {name for name, _, _ in QUOTES}
    for name, cut, quoted in QUOTES:
        data = file(name)
        if not cut:
            assert quoted.encode() in {data, data + b"\n"}, name
            continue
        # `[...]` stands for what is left out; the header of the age file is quoted, not its payload.
        pattern = ".+".join(map(re.escape, quoted.rstrip("\n").split("[...]"))).encode()
        end = rb"\n.*" if name == "body.age" else rb"\n?"
        assert re.fullmatch(pattern + end, data, re.DOTALL), name


def test_every_file_is_named_in_the_readme() -> None:
    named = (EXAMPLE / "README.md").read_text("utf-8")
    for path in EXAMPLE.iterdir():
        assert path.name == "README.md" or f"`{path.name}`" in named, path.name


def test_the_table_says_what_the_files_hash_to() -> None:
    _, phonebook = chain()
    sent = message.read(file("message"), ORIGIN)
    point, sender = phonebook.point("ca.liaison"), phonebook.point("mx.enlace")
    assert point
    assert sender
    sign = bytes.fromhex(sender.sign[0].key)
    auth = bytes.fromhex(point.auth[0].key)
    salt = bytes.fromhex(file("handover.salt").decode())
    plaintext = file("plaintext")
    assert {
        "digest of root 1": root_digest(),
        "digest of directory version 1": phonebook.digest,
        "digest of the message: SHA-256 of the two lines of its note": sent.digest,
        "SHA-256 of its whole note": hashlib.sha256(file("message.note")).hexdigest(),
        "SHA-256 of its body": hashlib.sha256(file("body.age")).hexdigest(),
        "seal key id of `ca.liaison`": hashlib.sha256(base64.b64decode(point.seal[0].key)).hexdigest(),
        "`sign` key of `mx.enlace`": sign.hex(),
        "key id of that key on signature lines": notes.key_id(f"{ORIGIN}/mx.enlace", sign).hex(),
        "`auth` key of `ca.liaison`": auth.hex(),
        "its `keyid`": keys.auth_key_id(auth),
        "bytes inside the seal before and after padding": f"{len(plaintext.rstrip())}, {len(plaintext)}",
        "salt of the handover event": salt.hex(),
        "its commitment (5.3)": evidence.commitment(salt, file("handover.event")).hex(),
    } == CELLS
    assert f"\n    {root_digest()}\n" in SPEC


def test_the_directory_verifies_from_the_anchor() -> None:
    roots, phonebook = chain()
    now = message.read(file("message"), ORIGIN).header.sent
    require_current(phonebook, roots, now)
    assert read_freshness(file("freshness.note"), roots, now).digest == phonebook.digest
    request, _ = read_request(file("request.note"), ORIGIN)
    point = phonebook.point(request.contact_point)
    assert point
    assert (point.sign[0].key, point.seal[0].key, point.auth[0].key) == (request.sign, request.seal, request.auth)


def test_the_message_is_its_note_and_its_body_and_a_broker_takes_it() -> None:
    _, phonebook = chain()
    sent = message.read(file("message"), ORIGIN)
    assert file("message.note") + file("body.age") == file("message")
    message.check_signature(sent.note, sent.header, phonebook)
    message.check_times(sent.header, sent.header.sent + 1_000)
    message.check_recipients(sent.header, phonebook, sent.header.sent + 1_000)
    message.check_body(sent.header, sent.body)


def test_the_body_opens_to_the_three_lines() -> None:
    sent = message.read(file("message"), ORIGIN)
    assert age.decrypt(sent.body, identity(), position=0) == file("plaintext")
    _, opened = open_sealed(sent, identity(), 0)
    assert opened == file("document.json")
    assert documents.encode(documents.decode(sent.header.type, opened)) == opened
    assert WARNING.decode() in SPEC


def test_a_recipient_receives_it() -> None:
    roots, phonebook = chain()

    class Books:
        def __init__(self) -> None:
            self.roots, self.phonebook = roots, phonebook

        def version(self, number: int) -> Phonebook | None:
            return phonebook if number == 1 else None

    class NothingSeen:
        def first_fetched(self, digest: str) -> None:
            return None

        def settled(self, digest: str) -> bool:
            return False

        def digest_of(self, sender: str, id_: str) -> None:
            return None

    sent = message.read(file("message"), ORIGIN)
    verdict = receive(
        file("message"),
        file("acceptance.note"),
        origin=ORIGIN,
        me="ca.liaison",
        now_ms=sent.header.sent + 2_000,
        books=Books(),
        seen=NothingSeen(),
        seal_identity=lambda _: identity(),
        open_document=lambda type_, json, _: documents.decode(type_, json),
    )
    assert isinstance(verdict, Opened)
    assert verdict.acceptance_fault is None


def test_the_evidence_verifies_and_speaks_of_the_message() -> None:
    roots, phonebook = chain()
    sent = message.read(file("message"), ORIGIN)
    subject = evidence.subject_of(sent.header, sent.note)
    accepted = evidence.verify_evidence(file("acceptance.note"), ORIGIN, roots.evidence_verifiers())
    assert evidence.subject_of_receipt(accepted) == subject
    assert evidence.subject_of_receipt(evidence.parse_event_text(file("handover.event"), ORIGIN)) == subject
    note, receipt = evidence.parse_receipt(file("receipt.note"), ORIGIN)
    point = phonebook.point("ca.liaison")
    assert point
    notes.verify_one(note, [notes.Verifier(f"{ORIGIN}/ca.liaison", bytes.fromhex(point.sign[0].key))])
    assert evidence.subject_of_receipt(receipt) == subject


def test_the_request_is_signed_as_the_profile_says() -> None:
    _, phonebook = chain()
    first, *fields = file("http-request").decode().rstrip("\n").split("\n")
    method, target, _ = first.split(" ")
    headers = [tuple(part.encode() for part in field.split(": ", 1)) for field in fields]
    parsed = http_signature.parse(method, target, headers, {"broker.exchange.example"})  # type: ignore[arg-type]
    found = phonebook.by_auth_key(parsed.keyid)
    assert found
    assert found[0].id == "ca.liaison"
    http_signature.check(parsed, public=bytes.fromhex(found[1].key), now_ms=parsed.created * 1_000)
    parsed.check_body(b"")
    assert parsed.base == file("http-signature-base")


@pytest.mark.parametrize("name", ["message.note", "acceptance.note", "receipt.note", "directory.1.note"])
def test_every_note_is_in_the_one_form(name: str) -> None:
    note = notes.parse(file(name), limits.directory_bytes_max)
    assert note.origin == ORIGIN
    read = {
        message.KIND: message.read_header,
        evidence.EVIDENCE: evidence.read_event,
        evidence.RECEIPT: evidence.read_receipt,
    }.get(note.kind)
    if read is not None:
        assert wire.encode(read(note.json)) == note.json
