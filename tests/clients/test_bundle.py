"""The file of evidence: one form, and checked with stock tools as its README says."""

import asyncio
import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from valija import bundle
from valija.registry.sample import SampleExchange, sample_exchange
from valija.testing import MemoryBroker
from valija.verify import verify
from valija_schemas import leaf, message
from valija_schemas import note as notes

EXAMPLES = Path(__file__).parents[2] / "schemas/examples"
REQUEST = json.loads((EXAMPLES / "information-request-1.json").read_text())
MX, CO = "mx.enlace", "co.enlace"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[SampleExchange, bytes]:
    """An exchange of two roots and three directories, and the bundle of a message under the second."""
    exchange, folder = sample_exchange(), tmp_path_factory.mktemp("bundle")

    async def work() -> bytes:
        exchange.next_root()
        exchange.next_directory()
        broker = MemoryBroker(exchange)
        async with broker.client(MX, folder) as sender:
            sent = await sender.send(REQUEST, CO, type="information-request/1")
            exchange.next_directory()
            await sender.directory()
            return await sender.prove(sent.id)

    return exchange, asyncio.run(work())


def test_it_holds_every_root_and_the_directories_that_it_rests_on(made):
    _, data = made
    assert list(bundle.read(data)) == [
        "README.txt", "root.1.note", "root.2.note", "directory.2.note", "directory.2.tlog-proof", "directory.3.note",
        "directory.3.tlog-proof", "message.note", "body.age",
        "event-01.note", "event-01.salt", "event-01.tlog-proof",
    ]  # fmt: skip


@pytest.mark.skipif(not all(map(shutil.which, ("sed", "sha256sum", "openssl"))), reason="needs stock tools")
def test_its_readme_tells_commands_that_work(made, tmp_path):
    exchange, data = made
    parts = bundle.read(data)
    for name, raw in parts.items():
        (tmp_path / name).write_bytes(raw)

    def types(command: str) -> str:
        assert command in parts[bundle.README].decode()
        command = command.replace("NN", "01")
        done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout

    assert types("sed '/^$/,$d' root.1.note | sha256sum").split()[0] == exchange.root_digest
    header = message.read_note(notes.parse(parts["message.note"]), exchange.origin)
    assert types("sha256sum body.age").split()[0] == header.body
    salt = bytes.fromhex(parts["event-01.salt"].decode())
    found = types("openssl dgst -sha256 -mac HMAC -macopt hexkey:$(cat event-NN.salt) event-NN.note").split()[-1]
    assert "01" + found == leaf.of_event(salt, parts["event-01.note"]).hex()


def test_every_text_that_a_bundle_ever_began_with_is_still_known():
    """Whoever changes README_TEXT adds its digest at the end, and takes none away."""
    assert bundle.README_DIGESTS[0] == "ae38f45646014dc94149fcd4633bfeaf825351b982e7914d2dec070bc6bf1406"
    assert bundle.README_DIGESTS[-1] == hashlib.sha256(bundle.README_TEXT).hexdigest()
    assert len(set(bundle.README_DIGESTS)) == len(bundle.README_DIGESTS)


def test_a_bundle_with_an_older_text_is_as_good(made, monkeypatch):
    exchange, data = made
    older = b"an older text\n"
    parts = {**bundle.read(data), bundle.README: older}
    assert verify(bundle.write(parts), exchange.root_digest).result == "not checked"
    monkeypatch.setattr(bundle, "README_DIGESTS", (hashlib.sha256(older).hexdigest(), *bundle.README_DIGESTS))
    assert verify(bundle.write(parts), exchange.root_digest).result == "proved"


@pytest.mark.parametrize("name", ["", "x", "../message.note", "event-1.note", "root.0.note", "MESSAGE.note", "a/b"])
def test_no_other_name_is_written(name):
    with pytest.raises(bundle.BundleError, match="no part"):
        bundle.write({name: b""})


def test_what_is_too_large_is_not_written():
    with pytest.raises(bundle.BundleError, match="fit"):
        bundle.write({"body.age": bytes(bundle.bundle_bytes_max)})
    with pytest.raises(bundle.BundleError, match="at most"):
        bundle.read(bytes(bundle.bundle_bytes_max + 1))


def test_names_that_point_at_the_same_bytes_are_not_read():
    """Such a file unpacks to far more than it holds."""
    one = bundle.write({"body.age": b"x" * 1000})
    begin, end = one.index(b"PK\x01\x02"), one.index(b"PK\x05\x06")
    entry = one[begin:end]
    count = 100
    tail = bytearray(one[end:])
    tail[8:10] = tail[10:12] = count.to_bytes(2, "little")
    tail[12:16] = (len(entry) * count).to_bytes(4, "little")
    with pytest.raises(bundle.BundleError, match="overlap"):
        bundle.read(one[:begin] + entry * count + bytes(tail))
