"""A backup of a broker that works has all that was answered before it began, and restores to a broker that is whole."""

import asyncio
import hashlib
import json
import shutil

import msgspec
import pytest
from click.testing import CliRunner
from harness import Peer, digest_of
from hypothesis import given
from hypothesis import strategies as st
from sandbox import Sandbox

from valija.registry.sample import sample_exchange
from valija_broker import aof, backup, config
from valija_broker.cli import cli
from valija_broker.errors import BackupError

MX, CA = "mx.enlace", "ca.liaison"


def command(*words: str) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in words)


@given(st.data())
def test_a_cut_file_is_kept_up_to_the_last_whole_command_outside_a_transaction(data):
    plain = st.lists(st.text("abc\r\n*$1", max_size=12), min_size=1, max_size=4)
    parts, ends = [], [0]
    for words in data.draw(st.lists(plain, max_size=6)):
        body = command("SET", *words)
        if data.draw(st.booleans()):
            body = command("multi") + body + command("HSET", "a") + command("EXEC")
        if data.draw(st.booleans()):
            body = b"#TS:1700000000\r\n" + body
            ends.append(ends[-1] + 16)
        parts.append(body)
        ends.append(len(b"".join(parts)))
    whole = b"".join(parts)
    at = data.draw(st.integers(0, len(whole)))
    assert aof.whole(whole[:at]) == max(end for end in ends if end <= at)


@pytest.mark.parametrize(
    "data", [b"SET a b\r\n", b"*1\r\n+OK\r\n", b"*1\r\n$3\r\nSETxx", b"*99999999999999\r\n", bytes(40)]
)
def test_what_is_no_append_only_file_is_not_copied(data):
    with pytest.raises(BackupError):
        aof.whole(command("SET", "a") + data)


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """A broker under load, a backup of it, then everything killed and the folder gone; what was answered by then."""
    folder = tmp_path_factory.mktemp("backup")
    sandbox = Sandbox(folder / "x", sample_exchange(suspended=()))
    sandbox.start()
    target = folder / "copy"

    async def work():
        accepted, taken = [], []

        async def sends(sender):
            while True:
                raw = sender.message(CA)
                await sender.accepted(raw)
                accepted.append(digest_of(raw))

        async def takes(recipient):
            while True:
                for lent in await recipient.lease(wait_ms=100):
                    if len(taken) % 2:
                        await recipient.done(lent)
                    taken.append(lent)

        async with Peer(sandbox, MX) as mexico, Peer(sandbox, CA) as canada:
            tasks = [asyncio.create_task(sends(mexico)) for _ in range(3)] + [asyncio.create_task(takes(canada))]
            while len(accepted) < 40:
                await asyncio.sleep(0.02)
            before = list(accepted)
            done = await asyncio.to_thread(sandbox.command, "backup", str(target))
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert done.returncode == 0, done.stderr
            return before

    before = asyncio.run(work())
    sandbox.kill()
    keys = (sandbox.data / "keys.toml").read_bytes()
    shutil.rmtree(sandbox.data)
    sandbox.data.mkdir(mode=0o700)
    (sandbox.data / "keys.toml").write_bytes(keys)
    (sandbox.data / "keys.toml").chmod(0o600)
    return sandbox, target, before


def test_what_was_answered_before_a_backup_is_in_it_and_nothing_is_amiss_after_its_restoration(copied):
    sandbox, target, before = copied
    done = sandbox.command("restore", str(target))
    assert done.returncode == 0, done.stderr
    sandbox.start()
    try:
        found = sandbox.command("reconcile")
        assert found.returncode == 0, found.stdout + found.stderr
        checked = sandbox.command("log", "fsck")
        assert checked.returncode == 0, checked.stdout
        accepted = json.loads(sandbox.command("messages", "--output", "json").stdout)
        listed = set()

        async def asked():
            async with Peer(sandbox, MX) as mexico:
                for digest in before:
                    if await mexico.evidence(digest):
                        listed.add(digest)
                raw = mexico.message(CA)
                await mexico.accepted(raw)

        asyncio.run(asked())
        assert listed == set(before)
        assert accepted["messages"]
    finally:
        sandbox.stop()


def test_no_key_and_no_password_is_in_a_backup(copied):
    sandbox, target, _ = copied
    private = [line.split(b'"')[1] for line in (sandbox.data / "keys.toml").read_bytes().splitlines() if b'= "' in line]
    assert len(private) >= 3
    for path in target.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert path.stat().st_mode & 0o077 == 0
            assert not any(key in data for key in private), path
            assert "password" not in path.name


@pytest.mark.parametrize("fault", ["altered", "missing", "more", "link", "no manifest", "outside"])
def test_a_backup_that_was_touched_is_not_restored(copied, tmp_path, fault):
    _, target, _ = copied
    shutil.copytree(target, tmp_path / "b")
    victim = tmp_path / "b" / "evidence.sqlite"
    if fault == "altered":
        with victim.open("r+b") as file:
            file.seek(5_000)
            file.write(b"\x01")
    elif fault == "missing":
        victim.unlink()
    elif fault == "more":
        (tmp_path / "b" / "keys.toml").write_text("")
    elif fault == "link":
        victim.unlink()
        victim.symlink_to(target / "evidence.sqlite")
    elif fault == "no manifest":
        (tmp_path / "b" / backup.MANIFEST).unlink()
    else:
        text = (tmp_path / "b" / backup.MANIFEST).read_text()
        (tmp_path / "b" / backup.MANIFEST).write_text(text.replace('"broker.toml"', '"../broker.toml"'))
    with pytest.raises(BackupError):
        backup.restore(
            tmp_path / "b",
            config.Settings(exchange=config.Exchange(origin="exchange.example"), data=str(tmp_path / "d")),
        )
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("name", ["keys.toml", "valkey/valkey.conf"])
def test_a_backup_brings_nothing_into_a_data_folder_but_what_backups_have(copied, tmp_path, name):
    _, target, _ = copied
    shutil.copytree(target, tmp_path / "b")
    (tmp_path / "b" / name).parent.mkdir(exist_ok=True)
    (tmp_path / "b" / name).write_bytes(b"of a stranger")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "keys.toml").write_bytes(b"ours")
    manifest = json.loads((tmp_path / "b" / backup.MANIFEST).read_text())
    digest = hashlib.sha256(b"of a stranger").hexdigest()
    manifest["files"].append({"name": name, "bytes": 13, "sha256": digest})  # it says of itself that this belongs
    (tmp_path / "b" / backup.MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(BackupError, match="no part of any backup"):
        backup.restore(tmp_path / "b", restored(tmp_path / "d"))
    assert [path.name for path in (tmp_path / "d").iterdir()] == ["keys.toml"]
    assert (tmp_path / "d" / "keys.toml").read_bytes() == b"ours"


def test_a_backup_whose_own_words_never_end_is_refused_unread(tmp_path):
    (tmp_path / backup.MANIFEST).symlink_to("/dev/zero")
    with pytest.raises(BackupError, match="neither a file nor a folder"):
        backup.check(tmp_path)


def test_no_link_in_a_folder_of_notes_brings_the_keys_into_a_backup(copied, tmp_path):
    _, target, _ = copied
    data = tmp_path / "d"
    (data / "directory").mkdir(parents=True)
    shutil.copyfile(target / "evidence.sqlite", data / "evidence.sqlite")
    (data / "keys.toml").write_text("the private ones")
    (data / "directory" / "root.9.note").symlink_to("../keys.toml")
    settings = msgspec.structs.replace(restored(data), store=config.Store(url="unix:/nowhere"))
    (tmp_path / "broker.toml").touch()
    with pytest.raises(BackupError, match="leads out of"):
        backup.make(settings, tmp_path / "broker.toml", tmp_path / "made")
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["d"]


def restored(data):
    return config.Settings(exchange=config.Exchange(origin="exchange.example"), data=str(data))


def test_a_backup_is_put_only_where_nothing_is_and_only_where_it_belongs(copied, tmp_path):
    _, target, _ = copied
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "evidence.sqlite").touch()
    for origin, data, words in (
        ("exchange.example", tmp_path / "d", "not empty"), ("other.example", tmp_path / "e", "is a backup of"),
    ):  # fmt: skip
        settings = config.Settings(exchange=config.Exchange(origin=origin), data=str(data))
        with pytest.raises(BackupError, match=words):
            backup.restore(target, settings)


def test_a_monitor_hears_by_the_status_and_in_its_own_form(sandbox):
    def check(*words):
        return CliRunner().invoke(cli, ["check", *words, "--config", str(sandbox.config_path)])

    good = check("broker", "--format", "nagios")
    assert good.exit_code == 0, good.output
    assert good.stdout == "VALIJA BROKER OK - All processes run and are ready.\n"
    found = check("queue", "--format", "json")
    values = json.loads(found.stdout)["values"]
    assert found.exit_code == {"ok": 0, "warning": 1, "critical": 2}[json.loads(found.stdout)["verdict"]]
    assert check("storage", "--critical", "free_bytes=1e18:").exit_code == 2
    assert check("queue", "--warning", "no_such=1").exit_code == 2
    text = check("queue", "--format", "prometheus").stdout
    assert f'valija_check_value{{part="queue",name="ready"}} {values["ready"]:.0f}\n' in text
    text = check("storage", "--format", "nagios").stdout
    figures = dict(item.split("=") for item in text.partition(" | ")[2].split())
    assert len(figures) == 4
    assert all(figure.isdigit() for figure in figures.values()), "an exponent, which not every monitor reads"
