"""What is sealed, and every private key of a contact point, stand nowhere where the broker writes, says or remembers.

The long form, tests/soak/test_canary.py, has the processes write core files.
"""

import io
import logging
import re
import secrets
import traceback

import pytest
from canary import in_bytes, in_files, in_memory, private_keys, spellings, use

from valija import age, keyring
from valija.errors import ValijaError


async def test_no_document_and_no_private_key_is_in_any_file_or_process_of_the_broker(sandbox, fresh):
    sender, recipient = fresh(), fresh()
    canary = secrets.token_hex(24)
    needles = spellings("document", canary.encode()) | private_keys(sender) | private_keys(recipient)
    known = {"known": (await use(sender, recipient, canary)).encode()}
    files = in_files(sandbox.folder, needles | known)
    assert {name for found in files.values() for name in found} == {"known"}, files
    assert {name.split("/")[-1].split(".")[0] for name, found in files.items() if found} >= {"appendonly", "evidence"}
    counted = sandbox.get("/metrics")[1]
    assert in_bytes(counted.encode(), needles | known) == set(), "a message is named on /metrics"
    points = [point.id for point in sandbox.exchange.phonebook.directory.contact_points]
    labels = [set(re.findall(r'"([^"]*)"', line)) for line in counted.splitlines() if line.startswith("valija_")]
    assert all(len(found & set(points)) <= 1 for found in labels), "two contact points stand together"
    held = {name: needle for name, needle in needles.items() if name.endswith("raw")}  # the long form takes them all
    for kind, pids in sandbox.processes().items():
        for pid in pids:
            found = in_memory(pid, held | {"known": sender.origin.encode()})
            assert found == {"known"}, (kind, found)


async def test_no_passphrase_and_no_key_is_in_what_an_error_or_a_log_says(sandbox, fresh, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    peer = fresh()
    phrase = secrets.token_hex(24)
    needles = spellings("passphrase", phrase.encode()) | private_keys(peer)
    path = tmp_path / "keyring.age"
    keyring.save(path, peer.keys, age.Passphrase(phrase, work_factor=1))
    said = io.StringIO()

    def fails(read):
        with pytest.raises((ValijaError, ValueError, age.AgeError)) as caught:
            read()
        said.write("".join(traceback.format_exception(caught.value)) + repr(caught.value))

    fails(lambda: keyring.load(path, age.Passphrase(phrase + "x", work_factor=1)))
    fails(lambda: keyring.load(path, peer.keys.seal))
    whole = path.read_bytes()
    for at in (10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        fails(lambda: keyring.load(path, age.Passphrase(phrase, work_factor=1)))
    text = peer.keys.to_text()
    for broken in (text + text, text.replace("secret", "sekret", 1), text[:-9], text.replace('"', '"x', 3)):
        fails(lambda broken=broken: keyring.Keyring.from_text(broken))
    said.write(
        caplog.text + repr(peer.keys) + repr(peer.keys.seal) + repr(peer.keys.held) + repr(age.Passphrase(phrase))
    )
    assert in_bytes(said.getvalue().encode(), needles) == set()
    assert in_files(tmp_path, needles) == {"keyring.age": set()}
