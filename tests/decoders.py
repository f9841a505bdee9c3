"""Every function of ours that reads somebody else's bytes, with good bytes to begin from.

A row is a name, a function from bytes, and seeds. The function may raise an exception class of ours and no other. What
lies behind a signature comes twice: as it stands, and signed anew by whoever may sign it, as a dishonest signer would
send it. `tests/surface/test_every_decoder.py` compares the names with the packages.
"""

import hashlib
import random
import tomllib
from collections.abc import Callable
from pathlib import Path

import msgspec

from valija import age, bundle, keyring
from valija.age import bech32
from valija.registry import core
from valija.registry.sample import SampleExchange, sample_exchange
from valija_broker import config, shelves
from valija_broker.mail import Record
from valija_schemas import (
    age_header,
    api,
    checkpoint,
    documents,
    erasure,
    evidence,
    hold,
    merkle,
    message,
    order,
    problem,
    session,
    settings,
    tiles,
    tlog_proof,
    wire,
    witness,
)
from valija_schemas import directory as directories
from valija_schemas import note as notes

Read = Callable[[bytes], object]
EXAMPLE = Path(__file__).parents[1] / "schemas" / "vectors" / "example"
ORIGIN = "exchange.example"
DIGEST = "ab" * 32
TOKEN = "0.12." + "0" * 32


class Decoder(msgspec.Struct, frozen=True):
    """One row."""

    name: str  #: `module.function`; behind a blank, in which way it is met.
    read: Read
    seeds: tuple[bytes, ...]


def all_decoders() -> list[Decoder]:
    """The table."""
    exchange = sample_exchange(ORIGIN)
    return [
        *_notes(exchange),
        *_orders(exchange),
        *_registry(exchange),
        *_log(),
        *_packed(),
        *_sealed(exchange),
        *_own(),
    ]


def changed(seed: bytes, dice: random.Random) -> bytes:
    """`seed` with one to three changes: bytes turned, cut, doubled, put in, or numbers and brackets in their place."""
    data = bytearray(seed)
    for _ in range(dice.randint(1, 3)):
        at, length = dice.randrange(len(data) + 1), dice.choice((1, 1, 2, 8, 64))
        match dice.randrange(6):
            case 0 if at < len(data):
                data[at] ^= 1 << dice.randrange(8)
            case 1:
                del data[at : at + length]
            case 2:
                data[at:at] = data[at : at + length]
            case 3:
                data[at:at] = dice.randbytes(length)
            case 4:
                data[at : at + length] = dice.choice(_PIECES)
            case _:
                del data[at:]
    return bytes(data)


_PIECES = (
    b'"', b"\\", b"\n", b"\n\n", b"{", b"[" * 400, b"}", b"null", b"-1", b"1e400", b"18446744073709551616", b"0", b"\0",
    b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xe2\x80\x94 ", b"\xe2\x80\xae", b"true", b"\xc1", b"\xdd\xff\xff\xff\xff",
    b"\x91" * 400, b"=", b"--- ", b"-> ", b" ", b"+", b"/", b"..", b"\r\n",
)  # fmt: skip


def _file(name: str) -> bytes:
    return (EXAMPLE / name).read_bytes()


def _line(name: str) -> bytes:
    return _file(name).split(b"\n")[1]


def _text(read: Callable[[str], object]) -> Read:
    return lambda data: read(data.decode("utf-8", "replace"))


def _signed(kind: str, signers: list[notes.Signer], read: Read) -> Read:
    """Reads a note of which `data` is the JSON."""
    return lambda data: read(notes.sign(notes.text(kind, ORIGIN, data), signers))


def _notes(exchange: SampleExchange) -> list[Decoder]:
    sign = [exchange.keyrings["mx.enlace"].sign]
    broker = [exchange.broker_keys.evidence_signer]
    verifiers = exchange.roots.evidence_verifiers()
    header = message.read_header(_line("message.note"))
    subject = evidence.subject_of(header, notes.parse(_file("message.note")))

    def receipt(data: bytes) -> object:
        return evidence.parse_receipt(data, ORIGIN)

    def promise(data: bytes) -> object:
        return evidence.verify_evidence(data, ORIGIN, verifiers)

    def of_message(data: bytes) -> object:
        note, body = notes.split(data)
        header = message.read_note(note, ORIGIN)
        message.check_signature(note, header, exchange.phonebook)
        return message.check_body(header, body)

    return [
        Decoder("note.parse", notes.parse, (_file("message.note"), _file("root.1.note"))),
        Decoder("note.split", notes.split, (_file("message"),)),
        Decoder("note.read_lines", lambda data: notes.read_lines(data, 0), (_file("message.note").split(b"\n\n")[1],)),
        Decoder(
            "note.parse_text", lambda d: notes.parse_text(d, evidence.EVIDENCE, ORIGIN), (_file("handover.event"),)
        ),
        Decoder("message.read", lambda data: message.read(data, ORIGIN), (_file("message"),)),
        Decoder("message.read_note", of_message, (_file("message"),)),
        Decoder("message.read_note signed", _signed(message.KIND, sign, of_message), (_line("message.note"),)),
        Decoder("message.read_header", message.read_header, (_line("message.note"),)),
        Decoder("evidence.read_event", evidence.read_event, (_line("acceptance.note"),)),
        Decoder("evidence.read_receipt", evidence.read_receipt, (_line("receipt.note"),)),
        Decoder("evidence.read_subject", evidence.read_subject, (wire.encode(subject),)),
        Decoder("evidence.parse_receipt", receipt, (_file("receipt.note"),)),
        Decoder("evidence.parse_receipt signed", _signed(evidence.RECEIPT, sign, receipt), (_line("receipt.note"),)),
        Decoder(
            "evidence.parse_event_text", lambda d: evidence.parse_event_text(d, ORIGIN), (_file("handover.event"),)
        ),
        Decoder("evidence.verify_evidence", promise, (_file("acceptance.note"),)),
        Decoder(
            "evidence.verify_evidence signed", _signed(evidence.EVIDENCE, broker, promise), (_line("acceptance.note"),)
        ),
    ]


def _orders(exchange: SampleExchange) -> list[Decoder]:
    operators: list[notes.Signer] = list(exchange.operators)
    action = order.Action(action="replay", message=DIGEST, contact_point="ca.liaison", time=1, reason="Sample.")
    raw = notes.sign(order.text(ORIGIN, action), operators)
    held = hold.Hold(
        action="hold", contact_point="ca.liaison", hold=None, directory=(1, DIGEST), time=1, until=2, reason="Sample."
    )
    held_raw = notes.sign(hold.text(ORIGIN, held), operators)
    erased = erasure.Erasure(order=None, leaves=((1, 2), (5, 9)), time=1, reason="Sample.")

    def read(data: bytes) -> object:
        return order.read_order(data, ORIGIN, exchange.root)

    def read_hold(data: bytes) -> object:
        return hold.read_hold(data, ORIGIN, exchange.root)

    signed_in = session.SignIn(
        operator="operator.a", address="https://c.example", challenge="A" * 54, time=exchange.now_ms
    )
    signed_in_raw = notes.sign(session.text(ORIGIN, signed_in), operators[:1])

    def read_sign_in(data: bytes) -> object:
        return session.read_sign_in(data, ORIGIN, exchange.root, "https://c.example", exchange.now_ms)

    return [
        Decoder("session.parse_sign_in", lambda data: session.parse_sign_in(data, ORIGIN), (signed_in_raw,)),
        Decoder("session.read_sign_in", read_sign_in, (signed_in_raw,)),
        Decoder(
            "session.read_sign_in signed",
            _signed(session.SESSION, operators[:1], read_sign_in),
            (wire.encode(signed_in),),
        ),
        Decoder("hold.parse_hold", lambda data: hold.parse_hold(data, ORIGIN), (held_raw,)),
        Decoder("hold.read_hold", read_hold, (held_raw,)),
        Decoder("hold.read_hold signed", _signed(hold.HOLD, operators, read_hold), (wire.encode(held),)),
        Decoder("hold.read_logged", lambda data: hold.read_logged(data, ORIGIN, [exchange.root]), (held_raw,)),
        Decoder("order.parse_order", lambda data: order.parse_order(data, ORIGIN), (raw,)),
        Decoder("order.read_order", read, (raw,)),
        Decoder("order.read_order signed", _signed(order.ACTION, operators, read), (wire.encode(action),)),
        Decoder("order.read_logged", lambda data: order.read_logged(data, ORIGIN, [exchange.root]), (raw,)),
        Decoder(
            "erasure.parse_erasure",
            lambda data: erasure.parse_erasure(data, ORIGIN),
            (erasure.erasure_text(ORIGIN, erased),),
        ),
    ]


def _registry(exchange: SampleExchange) -> list[Decoder]:
    officers: list[notes.Signer] = list(exchange.officers)
    broker: list[notes.Signer] = [exchange.broker_keys.freshness_signer]
    root = directories.Roots.first
    digest = exchange.root_digest

    def first(data: bytes) -> object:
        return root(data, ORIGIN, hashlib.sha256(data.partition(b"\n\n")[0] + b"\n").hexdigest())

    def directory(data: bytes) -> object:
        return directories.read_directory(data, exchange.roots, None)

    def freshness(data: bytes) -> object:
        return directories.read_freshness(data, exchange.roots, exchange.now_ms)

    raws = exchange.root_raw, exchange.directory_raws[0], exchange.freshness()
    lines = [raw.split(b"\n")[1] for raw in raws]
    return [
        Decoder("directory.Roots.first", lambda data: root(data, ORIGIN, digest), (raws[0],)),
        Decoder("directory.Roots.first signed", _signed(directories.ROOT, officers, first), (lines[0],)),
        Decoder(
            "directory.Roots.extend signed", _signed(directories.ROOT, officers, exchange.roots.extend), (lines[0],)
        ),
        Decoder("directory.read_directory", directory, (raws[1],)),
        Decoder("directory.read_directory signed", _signed(directories.DIRECTORY, officers, directory), (lines[1],)),
        Decoder("directory.read_freshness", freshness, (raws[2],)),
        Decoder("directory.read_freshness signed", _signed(directories.FRESHNESS, broker, freshness), (lines[2],)),
        Decoder(
            "directory.read_request", lambda data: directories.read_request(data, ORIGIN), (_file("request.note"),)
        ),
        Decoder("core.read_draft", core.read_draft, (raws[0], raws[1])),
    ]


def _log() -> list[Decoder]:
    hashes = [hashlib.sha256(b"%d" % n).digest() for n in range(3)]
    head = checkpoint.Head("exchange.example/log", 7, hashes[0])
    line = b"\xe2\x80\x94 exchange.example/log " + b"A" * 92 + b"\n"
    raw = checkpoint.write(head, [line])
    one = notes.Verifier("witness.example", hashes[1])
    policy = checkpoint.Policy(origin=head.origin, log=one.public, log_ml_dsa=None, witnesses=(), quorum=0)
    entries = b"".join(len(part).to_bytes(2, "big") + part for part in (b"a" * 33, b"b" * 33))
    asked = witness.format_request(3, hashes[:2], raw)
    return [
        Decoder("checkpoint.parse", checkpoint.parse, (raw,)),
        Decoder("checkpoint.verify_checkpoint", lambda data: checkpoint.verify_checkpoint(data, policy), (raw,)),
        Decoder("tlog_proof.parse", tlog_proof.parse, (tlog_proof.write(3, hashes, raw, b"x"),)),
        Decoder("witness.parse_request", witness.parse_request, (asked,)),
        Decoder("witness.parse_response", lambda data: witness.parse_response(data, head, one), (line,)),
        Decoder("witness.parse_size", witness.parse_size, (b"123\n",)),
        Decoder("merkle.parse_size", merkle.parse_size, (b"123",)),
        Decoder("merkle.parse_hash", merkle.parse_hash, (b"A" * 43 + b"=",)),
        Decoder("tiles.parse_path", _text(tiles.parse_path), (b"tile/0/x001/234.p/7", b"tile/entries/000")),
        Decoder("tiles.decode_bundle", lambda data: tiles.decode_bundle(data, 2), (entries,)),
    ]


def _packed() -> list[Decoder]:
    lent = api.Lent(token=TOKEN, attempt=1, deadline=2, lease_ms=3, acceptance=b"a", message=b"m")
    event = api.FeedEvent(number=1, event=b"e", salt=bytes(32), index=0, proof=(bytes(32),))
    values: dict[str, object] = {
        "read_batch": [b"one", b"two"],
        "read_submit_results": [api.SubmitResult(status=202, acceptance=b"a", problem=None)],
        "read_lease_request": api.LeaseRequest(instance="one", have=(TOKEN,), limit=1, wait_ms=0),
        "read_lent": [lent],
        "read_acknowledgements": [api.Acknowledgement(token=TOKEN, receipt=b"r")],
        "read_extension": api.Extension(tokens=(TOKEN,)),
        "read_releases": [api.Release(token=TOKEN, delay_ms=0, dead=False)],
        "read_lease_results": [api.LeaseResult(token=TOKEN, result="done", deadline=None)],
        "read_consistency": [bytes(32)],
        "read_inclusion": api.Inclusion(index=1, proof=(bytes(32),)),
        "read_holds": [b"one"],
        "read_feed": api.Feed(checkpoint=b"c", events=(event,)),
    }
    rows = [Decoder(f"api.{name}", getattr(api, name), (api.encode(value),)) for name, value in values.items()]
    told = problem.encode(problem.of("quota", time_ms=1, detail="Sample."))
    return [*rows, Decoder("problem.decode", problem.decode, (told,))]


def _sealed(exchange: SampleExchange) -> list[Decoder]:
    held = exchange.keyrings["mx.enlace"]
    body, private = _file("body.age"), _file("ca.liaison.key").decode().splitlines()[-1]
    identity = age.SealIdentity.from_text(private)
    phrase = age.Passphrase("sample", work_factor=1)
    return [
        Decoder("age_header.parse_header", age_header.parse_header, (body,)),
        Decoder("age_header.check_sealed_shape", lambda data: age_header.check_sealed_shape(data, 2), (body,)),
        Decoder("age_header.decode_base64", age_header.decode_base64, (b"AAECAw",)),
        Decoder("age.decrypt", lambda data: age.decrypt(data, identity, position=0), (body,)),
        Decoder("age.decrypt passphrase", lambda data: age.decrypt(data, phrase), (age.encrypt(b"x" * 99, [phrase]),)),
        Decoder("age.SealIdentity.from_text", _text(age.SealIdentity.from_text), (private.encode(),)),
        Decoder(
            "age.SealRecipient.from_text", _text(age.SealRecipient.from_text), (identity.recipient.to_text().encode(),)
        ),
        Decoder("age.SealRecipient.from_bytes", age.SealRecipient.from_bytes, (identity.recipient.to_bytes(),)),
        Decoder("bech32.decode", _text(lambda text: bech32.decode("AGE-SECRET-KEY-PQ-", text)), (private.encode(),)),
        Decoder("keyring.Keyring.from_text", _text(keyring.Keyring.from_text), (held.to_text().encode(),)),
        Decoder("bundle.read", bundle.read, (bundle.write({"message.note": b"m", "root.1.note": b"r"}),)),
        Decoder("documents.decode", lambda d: documents.decode("information-request/1", d), (_file("document.json"),)),
    ]


def _own() -> list[Decoder]:
    """What comes back from our own files and our own store, which somebody may have written to."""
    record = Record(
        digest=DIGEST, note_digest=DIGEST, time=1, directory=shelves.Directory(1, DIGEST), evidence_key_id="cd" * 8
    ).encode("mx.enlace", "id")  # fmt: skip
    entry = {
        "event": b"ContentHandover", "from": b"mx.enlace", "to": b"ca.liaison", "subject": b"{}", "time": b"12",
        "directory": b"1 " + DIGEST.encode(), "reason": b"", "salt": bytes(32), "key": b"", "note": b"",
    }  # fmt: skip
    example = (EXAMPLE.parents[2] / "deploy" / "broker.example.toml").read_bytes()

    def summed(data: bytes) -> object:
        return Record.decode(data + hashlib.sha256(b"mx.enlace|id\n" + data).digest()[:8], "mx.enlace", "id")

    def outbox(data: bytes) -> object:
        """`data` stands in each field in turn, under a sum that fits."""
        for name in entry:
            fields = entry | {name: data}
            row = [part for pair in (fields | {"sum": shelves.sum_of(list(fields.values()))}).items() for part in pair]
            shelves._entry(0, b"1-1", [part.encode() if isinstance(part, str) else part for part in row])
        return None

    def toml(data: bytes) -> object:
        return settings.load(config.Settings, data.decode("utf-8", "replace"), {}, "X_")

    assert tomllib.loads(example.decode())
    return [
        Decoder("mail.Record.decode", lambda data: Record.decode(data, "mx.enlace", "id"), (record,)),
        Decoder("mail.Record.decode summed", summed, (record[:-8],)),
        Decoder("shelves._entry summed", outbox, tuple(entry.values())),
        Decoder("settings.load", toml, (example,)),
    ]
