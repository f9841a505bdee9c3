"""The keyring file: sealed, never written over, and nothing secret is ever shown."""

import os
import stat
import subprocess

import pytest

from valija import age, durable, keyring
from valija.errors import KeyMissingError, KeyringError, KeyringExistsError, KeyringLockedError
from valija.keyring import Keyring
from valija.keys import Keys
from valija_schemas import note as notes

now = 1_795_500_000_000
passphrase = age.Passphrase("correct horse battery staple", work_factor=2)


@pytest.fixture
def ring():
    return Keyring.generate("exchange.example", "mx.enlace", now_ms=now)


def secrets_of(ring):
    return [record.secret for record in ring._records]


def test_a_saved_keyring_opens_with_its_passphrase_and_no_other(ring, tmp_path):
    path = tmp_path / "mx.keyring"
    keyring.save(path, ring, passphrase)
    assert keyring.load(path, passphrase).to_text() == ring.to_text()
    with pytest.raises(KeyringLockedError):
        keyring.load(path, age.Passphrase("another"))
    with pytest.raises(KeyringLockedError):
        keyring.load(path, age.SealIdentity.generate())


def test_a_keyring_opens_with_the_host_key_it_was_sealed_to(ring, tmp_path):
    host = keyring.make_host_key(tmp_path / "host.key")
    keyring.save(tmp_path / "mx.keyring", ring, host.recipient)
    again = keyring.load_host_key(tmp_path / "host.key")
    assert keyring.load(tmp_path / "mx.keyring", again).to_text() == ring.to_text()


def test_nothing_lies_on_the_disk_unsealed(ring, tmp_path):
    keyring.save(tmp_path / "mx.keyring", ring, passphrase)
    assert [path.name for path in tmp_path.iterdir()] == ["mx.keyring"]
    data = (tmp_path / "mx.keyring").read_bytes()
    assert data.startswith(b"age-encryption.org/v1\n-> scrypt ")
    assert not any(secret.encode() in data for secret in secrets_of(ring))


@pytest.mark.skipif(os.name != "posix", reason="Windows has no modes")
def test_only_the_owner_may_read_keys(ring, tmp_path):
    keyring.save(tmp_path / "mx.keyring", ring, passphrase)
    keyring.make_host_key(tmp_path / "host.key")
    for name in ("mx.keyring", "host.key"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    (tmp_path / "host.key").chmod(0o640)
    with pytest.raises(KeyringError, match="others may read"):
        keyring.load_host_key(tmp_path / "host.key")


def test_keys_are_never_written_over(ring, tmp_path):
    path = tmp_path / "mx.keyring"
    keyring.save(path, ring, passphrase)
    before = path.read_bytes()
    with pytest.raises(KeyringExistsError):
        keyring.save(path, Keyring.generate("exchange.example", "mx.enlace"), passphrase)
    with pytest.raises(KeyringExistsError):
        keyring.make_host_key(path)
    assert path.read_bytes() == before
    keyring.save(path, ring.rotate(["seal"]), passphrase, replace=True)
    assert len(keyring.load(path, passphrase).held) == 4


def test_no_secret_stands_in_a_repr_or_an_error(ring):
    shown = f"{ring!r} {ring.held!r} {ring._records!r} {ring.sign!r} {ring.seal!r} {vars(ring)!r}"
    assert not any(secret in shown for secret in secrets_of(ring))
    seal = secrets_of(ring)[1]
    for damaged in (
        ring.to_text().replace('use = "sign"', 'use = "sing"'),
        ring.to_text().replace(seal, seal[:-1] + ("P" if seal[-1] == "Q" else "Q")),
        ring.to_text().replace("layout = 1", "layout = 2"),
        ring.to_text().replace("[[key]]", "[[key"),
        ring.to_text() + 'surplus = "x"\n',
    ):
        with pytest.raises(KeyringError) as caught:
            Keyring.from_text(damaged)
        assert not any(secret[:-1] in str(caught.value) for secret in secrets_of(ring))
        assert caught.value.__cause__ is None


def test_keys_that_were_replaced_are_kept_and_found(ring):
    grown = ring.rotate(now_ms=now + 5)
    assert grown.sign.public != ring.sign.public
    assert grown.signer("sign", ring.sign.public.hex()).public == ring.sign.public
    old = ring.seal.recipient.key_id
    assert grown.seal_identity(old).recipient.key_id == old
    assert [key.ended_ms for key in grown.held] == [None] * 3 + [now + 5] * 3
    again = Keyring.from_text(grown.to_text())
    assert again.to_text() == grown.to_text()
    twice = again.rotate(["seal"], now_ms=now + 9)
    assert [key.ended_ms for key in twice.held if key.use == "seal"] == [None, now + 9, now + 5]


def test_a_missing_key_is_a_local_fault(ring):
    with pytest.raises(KeyMissingError):
        ring.seal_identity("0" * 64)
    with pytest.raises(KeyMissingError):
        ring.signer("sign", ring.auth.public.hex())
    with pytest.raises(KeyMissingError):
        _ = ring.officer


def test_a_keyring_signs_in_its_own_name(ring):
    def uses(keys: Keys):
        return keys.sign.name, keys.auth.name

    assert uses(ring) == ("exchange.example/mx.enlace",) * 2
    raw = notes.sign(notes.text("valija/message/v1", "exchange.example", b"{}"), [ring.sign])
    assert notes.verify_one(notes.parse(raw), [notes.Verifier(ring.sign.name, ring.sign.public)])


def test_damaged_and_foreign_files_are_refused_with_a_hint(ring, tmp_path):
    path = tmp_path / "mx.keyring"
    keyring.save(path, ring, passphrase)
    data = path.read_bytes()
    for damaged in (data[:-1], data[:-20] + bytes(20), b"", b"hello", bytes(keyring.keyring_bytes_max + 1)):
        path.write_bytes(damaged)
        with pytest.raises(KeyringError) as caught:
            keyring.load(path, passphrase)
        assert caught.value.hint
    with pytest.raises(KeyringError):
        keyring.load(tmp_path / "none", passphrase)
    with pytest.raises(KeyringError):
        keyring.load_host_key(path)


@pytest.mark.parametrize("bad", ["", "two words", "plus+sign", "line\nbreak"])
def test_an_origin_that_no_note_could_bear_is_refused(bad):
    with pytest.raises(KeyringError):
        Keyring.generate(bad, "mx.enlace")


def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "file"
    durable.write(path, b"old")

    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="space"):
        durable.write(path, b"new", replace=True)
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [("file", b"old")]


@pytest.mark.skipif(os.name != "posix", reason="kills by signal")
def test_a_process_killed_before_the_move_leaves_what_was_there(tmp_path):
    path = tmp_path / "file"
    durable.write(path, b"old")
    code = (
        "import os, pathlib, sys; from valija import durable\n"
        "os.fsync = lambda descriptor: os.kill(os.getpid(), 9)\n"
        "durable.write(pathlib.Path(sys.argv[1]), b'new', replace=True)"
    )
    import sys

    assert subprocess.run([sys.executable, "-c", code, path], check=False).returncode == -9
    assert path.read_bytes() == b"old"


def test_a_file_system_without_links_still_refuses_to_write_over(tmp_path, monkeypatch):
    def unsupported(source, target):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", unsupported)
    durable.write(tmp_path / "file", b"first")
    with pytest.raises(FileExistsError):
        durable.write(tmp_path / "file", b"second")
    assert (tmp_path / "file").read_bytes() == b"first"
