"""What a bundle proves, and that nothing which was touched proves anything."""

import asyncio
import io
import json
import random
import zipfile
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from valija import TrustError, bundle
from valija.clock import now_ms
from valija.registry.sample import SampleBroker, SampleExchange, sample_exchange
from valija.testing import MemoryBroker
from valija.verify import Report, verify
from valija_schemas import checkpoint, evidence, leaf, limits, merkle, message, tlog_proof
from valija_schemas import note as notes
from valija_schemas.directory import Witness

EXAMPLES = Path(__file__).parents[2] / "schemas/examples"
REQUEST = json.loads((EXAMPLES / "information-request-1.json").read_text())
MX, CO, CA = "mx.enlace", "co.enlace", "ca.liaison"
TYPE = "information-request/1"


async def take(broker: MemoryBroker, who: str, folder: Path, **how: Any) -> tuple[str, bytes]:
    """Receive what is there; the digest of the last message and the recipient's own bundle of it."""
    async with broker.client(who, folder) as recipient:
        digest = ""
        async for message in recipient.inbox():
            async with message:
                digest = message.digest
    async with broker.client(who, folder) as recipient:
        return digest, await recipient.prove(digest, **how)


class Case:
    """One message that was sent, received and acknowledged, and what both sides can show of it."""

    def __init__(self, exchange: SampleExchange) -> None:
        self.exchange = exchange
        self.sent = self.received = self.disclosed = self.disclosed_by_sender = self.stranger = b""

    @property
    def parts(self) -> dict[str, bytes]:
        return bundle.read(self.sent)

    def judge(self, parts: dict[str, bytes]) -> Report:
        return verify(bundle.write(parts), self.exchange.root_digest)


async def make_case(folder: Path) -> Case:
    exchange = sample_exchange()
    broker, case = MemoryBroker(exchange), Case(exchange)
    async with broker.client(MX, folder) as sender:
        other = await sender.send(REQUEST, CO, type=TYPE)
        await take(broker, CO, folder)
        sent = await sender.send(REQUEST, [CA, CO], type=TYPE)
        _, case.received = await take(broker, CO, folder)
        _, case.disclosed = await take(broker, CA, folder, disclose=True)
        case.sent = await sender.prove(sent.id)
        case.stranger = await sender.prove(other.id)
        case.disclosed_by_sender = await sender.prove(sent.id, disclose=True)
    return case


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return asyncio.run(make_case(tmp_path_factory.mktemp("case")))


def test_both_sides_prove_what_happened(case):
    for data in (case.sent, case.received, case.disclosed, case.stranger):
        report = verify(data, case.exchange.root_digest)
        assert report.result == "proved", report.findings
        assert report.exchange == case.exchange.origin
        assert any("root version 1" in line for line in report.relied_on)
    report = verify(case.sent, case.exchange.root_digest)
    events = [(f.result, f.words.split(";")[0]) for f in report.findings if f.part.startswith("event-")]
    assert [result for result, _ in events] == ["proved", "stated", "proved", "stated", "proved"]
    assert "signed SubmissionAcceptance" in events[0][1]
    assert {words.split(":")[0] for _, words in events} == {"the broker", CA, CO}


def test_what_is_missing_is_called_silent(case):
    report = verify(case.received, case.exchange.root_digest)
    assert [(f.part, f.result) for f in report.findings if f.result == "silent"] == [
        (CA, "silent"),
        ("the officers", "silent"),
    ]
    assert bundle.ACCEPTANCE in bundle.read(case.received)


def test_a_disclosed_bundle_opens_one_message(case):
    for data in (case.disclosed, case.disclosed_by_sender):
        report = verify(data, case.exchange.root_digest)
        assert [f.result for f in report.findings if f.part == bundle.FILE_KEY] == ["proved"]
    parts = bundle.read(case.disclosed)
    assert bundle.read(case.disclosed_by_sender)[bundle.FILE_KEY] == parts[bundle.FILE_KEY]
    assert bundle.FILE_KEY not in case.parts
    for key in (b"00" * 16 + b"\n", b"x", b"", parts[bundle.FILE_KEY].upper(), parts[bundle.FILE_KEY].strip()):
        assert case.judge({**parts, bundle.FILE_KEY: key}).result == "false"


def test_every_part_that_is_touched_spoils_the_whole(case):
    chance = random.Random(7)
    of_sender, of_recipient = (bundle.read(data) for data in (case.sent, case.disclosed))
    others = {name for name in of_recipient if name not in of_sender}
    assert {bundle.ACCEPTANCE, bundle.FILE_KEY} <= others
    for parts, names in ((of_sender, set(of_sender)), (of_recipient, others)):
        for name in sorted(names):
            raw = parts[name]
            for place in {0, len(raw) - 1, *(chance.randrange(len(raw)) for _ in range(12))}:
                touched = bytearray(raw)
                touched[place] ^= 1 << chance.randrange(8)
                report = case.judge({**parts, name: bytes(touched)})
                assert report.result != "proved", (name, place)
            for cut in (b"", raw[:-1], raw + b"\n", raw + raw):
                assert case.judge({**parts, name: cut}).result != "proved", name


def test_no_part_of_an_event_can_be_left_out(case):
    parts = case.parts
    for name in parts:
        if not name.startswith("directory.1."):
            rest = {other: raw for other, raw in parts.items() if other != name}
            assert case.judge(rest).result != "proved", name


def test_swapped_parts_prove_nothing(case):
    parts = case.parts
    events = sorted({name.split(".")[0] for name in parts if name.startswith("event-")})
    for first in events:
        for second in events:
            for what in (".tlog-proof", ".salt"):
                if first != second:
                    swapped = {**parts, first + what: parts[second + what], second + what: parts[first + what]}
                    assert case.judge(swapped).result == "false"


def test_an_event_that_stands_twice_is_false(case):
    parts = case.parts
    for what in (".note", ".salt", ".tlog-proof"):
        parts["event-06" + what] = parts["event-01" + what]
    assert case.judge(parts).result == "false"


def test_events_of_another_message_are_refused(case):
    mine, theirs = case.parts, bundle.read(case.stranger)
    for name, raw in theirs.items():
        if name.startswith("event-") and name.endswith((".note", ".txt")):
            stem = name.split(".")[0]
            other = {key: value for key, value in mine.items() if not key.startswith("event-")}
            other |= {key.replace(stem, "event-01"): theirs[key] for key in (f"{stem}.salt", f"{stem}.tlog-proof")}
            other |= {name.replace(stem, "event-01"): raw}
            report = case.judge(other)
            assert report.result == "false"
            assert any("another" in f.words for f in report.findings if f.result == "false")


async def test_a_chain_of_somebodys_own_is_false(case, tmp_path):
    forged = await make_case(tmp_path)  # in itself without a flaw, and of the same name
    for data in (forged.sent, bundle.write({**forged.parts, "root.1.note": case.parts["root.1.note"]})):
        report = verify(data, case.exchange.root_digest)
        assert report.result == "false"
        assert not [f for f in report.findings if f.result == "proved" and not f.part.startswith(("root", "direct"))]
    assert verify(case.sent, "0" * 64).result == "false"


async def test_a_proof_without_the_witnesses_that_the_root_asks_for_is_called_unwitnessed(tmp_path):
    exchange = sample_exchange()
    witness = Witness(name="witness.example/w", key="ab" * 32)
    exchange.next_root(lambda root: replace(root, witnesses=(witness,), quorum=1))
    exchange.next_directory()
    broker = MemoryBroker(exchange)
    async with broker.client(MX, tmp_path) as sender:
        sent = await sender.send(REQUEST, CO, type=TYPE)
        report = verify(await sender.prove(sent.id), exchange.root_digest)
    # Under root 1, which asked for none, the same proof is complete: the newest root decides.
    assert report.result == "not checked"
    assert any("unwitnessed" in f.words for f in report.findings)


def test_a_second_log_with_the_same_keys_is_seen_inside_one_bundle(case):
    parts, keys = case.parts, case.exchange.broker_keys
    del parts["directory.1.tlog-proof"]  # which is entry 0 as well
    first = tlog_proof.parse(parts["event-01.tlog-proof"])
    salt = bytes.fromhex(parts["event-01.salt"].decode())
    lone = merkle.leaf_hash(leaf.of_event(salt, parts["event-01.note"]))
    size = checkpoint.parse(first.checkpoint)[0].size
    others = [checkpoint.parse(tlog_proof.parse(parts[f"event-0{n}.tlog-proof"]).checkpoint)[0].size for n in (2, 3)]
    # A tree whose right part is invented, with the event at the place 0 of it.
    path, root = [], lone
    for _ in range((others[0] - 1).bit_length()):
        path.append(b"x" * 32)
        root = merkle.node_hash(root, path[-1])
    head = checkpoint.Head(f"{case.exchange.origin}/log", others[0], root)
    cosigner = checkpoint.MlDsa44Cosigner(head.origin, keys.log_ml_dsa)
    lines = [checkpoint.log_line(keys.log_signer, head), checkpoint.cosignature_line(cosigner, head, 1)]
    parts["event-01.tlog-proof"] = tlog_proof.write(0, path, checkpoint.write(head, lines))
    report = case.judge(parts)
    assert size
    assert report.result == "false"
    assert any("two logs" in f.words for f in report.findings)


def test_a_checkpoint_that_is_not_the_logs_own_proves_nothing(case):
    """Another origin, an unknown key, a size too small for the entry, a line of a known key that does not hold."""
    keys, proof = case.exchange.broker_keys, tlog_proof.parse(case.parts["event-02.tlog-proof"])
    head, lines = checkpoint.parse(proof.checkpoint)
    stranger = SampleBroker(case.exchange.origin)

    def signed(found: checkpoint.Head, by: SampleBroker) -> bytes:
        cosigner = checkpoint.MlDsa44Cosigner(found.origin, by.log_ml_dsa)
        signer = notes.Ed25519Signer(found.origin, by.log)
        return checkpoint.write(
            found, [checkpoint.log_line(signer, found), checkpoint.cosignature_line(cosigner, found, 1)]
        )

    forged = [replace(line, value=line.value[:-1] + bytes([line.value[-1] ^ 1])) for line in lines]
    for raw, words in (
        (signed(replace(head, origin="other.example/log"), keys), "not of exchange.example/log"),
        (signed(head, stranger), "not signed by the log"),
        (signed(replace(head, size=proof.index), keys), "beyond the size"),
        (checkpoint.write(head, map(notes.write_line, [lines[0], forged[1]])), "does not hold"),
        (checkpoint.write(head, map(notes.write_line, [forged[0], lines[1]])), "does not hold"),
    ):
        top = case.parts["event-02.tlog-proof"].partition(b"\n\n")[0]
        report = case.judge({**case.parts, "event-02.tlog-proof": top + b"\n\n" + raw})
        assert report.result == "false"
        assert any(words in f.words for f in report.findings), report.findings


def test_a_receipt_of_a_stranger_is_false(case):
    """One who signs for a message that was not sent to it, and whom the log shows."""
    found = message.read(case.parts[bundle.MESSAGE] + case.parts[bundle.BODY], case.exchange.origin)
    receipt = evidence.receipt_note(
        case.exchange.origin, "ConsignmentAcceptance", evidence.subject_of(found.header, found.note),
        case.exchange.keyrings[MX].sign, recipient=MX, time=found.header.sent + 1,
        directory=found.header.directory, log=message.EMPTY_LOG,
    )  # fmt: skip
    salt = bytes(32)
    parts = {name: raw for name, raw in case.parts.items() if not name.startswith("event-")}
    parts |= {"event-01.note": receipt, "event-01.salt": salt.hex().encode() + b"\n"}
    parts["event-01.tlog-proof"] = lone(case, receipt, salt, found.header.sent // 1000 + 1)
    report = case.judge(parts)
    assert report.result == "false"
    assert any("is no recipient of this message" in f.words for f in report.findings)


async def test_mail_of_a_directory_that_has_run_out_since_is_proved_all_the_same(tmp_path):
    """The life of a directory bounds what may be sent under it, never what was."""
    now = [now_ms() - 90 * limits.DAY_MS]
    exchange = sample_exchange(now_ms=now[0])
    broker = MemoryBroker(exchange, clock=lambda: now[0])
    async with broker.client(MX, tmp_path) as sender:
        sent = await sender.send(REQUEST, CO, type=TYPE)
        await sender.track(sent.id)
        now[0] += 90 * limits.DAY_MS
        with pytest.raises(TrustError):
            await sender.send(REQUEST, CO, type=TYPE)
        data = await sender.prove(sent.id)
    assert exchange.phonebook.directory.expires < now[0]
    assert verify(data, exchange.root_digest).result == "proved"


def lone(case: Case, event: bytes, salt: bytes, time_s: int) -> bytes:
    """The proof of an event that is all that there is in a log, signed at `time_s`."""
    keys, origin = case.exchange.broker_keys, f"{case.exchange.origin}/log"
    head = checkpoint.Head(origin, 1, merkle.leaf_hash(leaf.of_event(salt, event)))
    cosigner = checkpoint.MlDsa44Cosigner(origin, keys.log_ml_dsa)
    lines = [checkpoint.log_line(keys.log_signer, head), checkpoint.cosignature_line(cosigner, head, time_s)]
    return tlog_proof.write(0, [], checkpoint.write(head, lines))


@pytest.mark.parametrize(("ahead_s", "result"), [(0, "proved"), (29, "proved"), (32, "false"), (3600, "false")])
def test_an_event_that_is_dated_after_its_checkpoint_is_false(case, ahead_s, result):
    """An acceptance and a receipt alike: the log had them when it signed."""
    for name in ("event-01", "event-03"):
        parts = {name: raw for name, raw in case.parts.items() if not name.startswith("event-")}
        note = case.parts[f"{name}.note"]
        salt = bytes.fromhex(case.parts[f"{name}.salt"].decode())
        at_s = json.loads(note.split(b"\n")[1])["time"] // 1000
        proof = lone(case, note, salt, at_s - ahead_s)
        more = {"event-01.note": note, "event-01.salt": case.parts[f"{name}.salt"], "event-01.tlog-proof": proof}
        report = case.judge({**parts, **more})
        assert report.result == result, report.findings
        assert (result == "proved") != any("dated after the checkpoint" in f.words for f in report.findings)


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_acceptance_outside_the_life_of_its_message_is_false(case, when):
    header = json.loads(case.parts[bundle.MESSAGE].split(b"\n")[1])
    time_ms = header["sent"] - 30_001 if when == "before" else header["expires"]
    text = case.parts["event-01.note"].split(b"\n\n")[0] + b"\n"
    event = json.loads(text.split(b"\n")[1])
    text = text.replace(b'"time":%d' % event["time"], b'"time":%d' % time_ms)
    note = notes.sign(text, [case.exchange.broker_keys.evidence_signer])
    salt = bytes.fromhex(case.parts["event-01.salt"].decode())
    proof = lone(case, note, salt, time_ms // 1000)
    report = case.judge({**case.parts, "event-01.note": note, "event-01.tlog-proof": proof})
    assert report.result == "false"
    assert any(f"is dated {when} the message" in f.words for f in report.findings)


def test_a_checkpoint_without_its_post_quantum_signature_is_not_enough(case):
    parts, keys = case.parts, case.exchange.broker_keys
    proof = tlog_proof.parse(parts["event-01.tlog-proof"])
    head, _ = checkpoint.parse(proof.checkpoint)
    bare = checkpoint.write(head, [checkpoint.log_line(keys.log_signer, head)])
    report = case.judge({**parts, "event-01.tlog-proof": tlog_proof.write(proof.index, proof.path, bare)})
    assert report.result == "not checked"


def packed(parts: list[tuple[str, bytes]], **how: Any) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **how) as archive:
        for name, raw in parts:
            archive.writestr(name, raw)
    return file.getvalue()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_zip_of_another_form_is_not_read(case):
    parts, anchor = list(case.parts.items()), case.exchange.root_digest
    for data in (
        packed(parts),  # the same parts, packed by other software
        packed(parts, compression=zipfile.ZIP_DEFLATED),
        packed([*parts, parts[0]]),
        packed([*parts, ("../evil", b"x")]),
        packed([*parts, ("/etc/passwd", b"x")]),
        packed([*parts, ("event-99.note\x00", b"x")]),
        packed([("body.age", bytes(64 * 1024 * 1024))], compression=zipfile.ZIP_DEFLATED),  # a bomb
        packed([(f"x{n}", b"") for n in range(3000)]),
        bundle.write(dict(parts)) + b"x",
        b"x" + bundle.write(dict(parts)),
        bundle.write(dict(parts))[:-1],
        bundle.write(dict(reversed(parts))).replace(b"PK\x01\x02", b"PK\x01\x03", 1),
    ):
        report = verify(data, anchor)
        assert report.result == "not checked"
        assert len(report.findings) == 1
    assert bundle.write(dict(reversed(parts))) == case.sent


def mutated(raw: bytes, chance: random.Random) -> bytes:
    """`raw` after one to three bytes, cuts or insertions."""
    data = bytearray(raw)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(data)) if data else 0
        match chance.randrange(3):
            case 0 if data:
                data[at] ^= chance.randint(1, 255)
            case 1:
                del data[at : at + chance.randint(1, 40)]
            case _:
                data[at:at] = chance.randbytes(chance.randint(1, 40))
    return bytes(data)


def random_file(case: Case, parts: dict[str, bytes], chance: random.Random) -> bytes:
    """A file of one of six kinds, from noise to a bundle in its form with one part changed."""
    # Most never get past the ZIP, as most of what is random does not; those that do cost milliseconds.
    match chance.choices(range(6), (40, 26, 16, 14, 2, 2))[0]:
        case 0:
            return chance.randbytes(chance.randrange(400))
        case 1:
            return case.sent[: chance.randrange(len(case.sent))] + chance.randbytes(chance.randrange(400))
        case 2:
            return b"PK\x03\x04" + chance.randbytes(30) + case.sent[chance.randrange(len(case.sent)) :]
        case 3:
            return mutated(case.sent, chance)
        case 4:
            names = chance.sample(sorted(parts), chance.randint(1, len(parts)))
            return bundle.write({name: parts[chance.choice(names)] for name in names})
        case _:
            name = chance.choice(sorted(parts))
            return bundle.write({**parts, name: mutated(parts[name], chance)})


def test_ten_thousand_random_files_are_not_proved_and_raise_nothing(case):
    chance, parts, proved = random.Random(11), case.parts, 0
    for number in range(10_000):
        data = random_file(case, parts, chance)
        if data != case.sent:
            proved += verify(data, case.exchange.root_digest).result == "proved"
            assert not proved, number


def test_the_same_parts_make_the_same_file(case):
    assert bundle.write(case.parts) == case.sent
    note = notes.parse(case.parts[bundle.MESSAGE])
    assert verify(case.sent, case.exchange.root_digest).digest == note.digest
