"""What a real `serve` tells the service manager, and when it must say nothing."""

import asyncio
import os
import select
import signal
import socket
import time
from pathlib import Path

import pytest
from sandbox import Sandbox

from valija_broker.service_manager import ServiceManager


class Manager:
    """A service manager that hears on an abstract address."""

    def __init__(self, name: str) -> None:
        self.address = f"@{name}"
        self.heard: list[str] = []  #: Assignments, without those to the watchdog.
        self.beats = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{name}")

    def close(self) -> None:
        self._socket.close()

    def listen(self, for_s: float) -> bool:
        """Take what was said, or is said within this time; False when it is nothing."""
        if not select.select([self._socket], [], [], for_s)[0]:
            return False
        for assignment in self._socket.recv(4096).decode().split("\n"):
            if assignment == "WATCHDOG=1":
                self.beats += 1
            else:
                self.heard.append(assignment)
        return True

    def wait_for(self, true, within_s: float = 30.0) -> None:
        deadline = time.monotonic() + within_s
        while not true():
            assert time.monotonic() < deadline, self.heard
            self.listen(0.1)

    def wait_for_beats(self) -> None:
        """Wait for two more: a beat that was on its way may be one."""
        while self.listen(0):
            pass
        before = self.beats
        self.wait_for(lambda: self.beats >= before + 2)


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    found = Manager(f"valija-{os.getpid()}-{tmp_path.name}")
    monkeypatch.setenv("NOTIFY_SOCKET", found.address)
    monkeypatch.setenv("WATCHDOG_USEC", "100000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    yield found
    found.close()


def stop(pid: int) -> None:
    """Stop a process, and wait until it stands still."""
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.faults
async def test_the_service_manager_hears_of_readiness_only_once_it_is_so_and_of_life_only_while_what_ends_starts_again(
    tmp_path, manager
):
    sandbox = Sandbox(tmp_path / "x", workers=1)
    notes = {path: path.read_bytes() for path in (sandbox.data / "directory").iterdir()}
    for path in notes:
        path.unlink()
    starting = asyncio.create_task(asyncio.to_thread(sandbox.start))
    try:
        # All but the directory is there: the broker lives, and is not ready.
        await asyncio.to_thread(manager.wait_for, lambda: "STATUS=not ready: directory" in manager.heard)
        await asyncio.to_thread(manager.wait_for_beats)
        assert manager.heard[0] == "STATUS=opening the store"
        assert "READY=1" not in manager.heard
        for path, note in sorted(notes.items()):
            path.write_bytes(note)
        await asyncio.to_thread(manager.wait_for, lambda: "READY=1" in manager.heard)
        assert sandbox.get("/readyz")[0] == 200
        await starting
        assert manager.heard[-2:] == ["READY=1", "STATUS=ready"]

        # The end of a worker is no end of the broker.
        processes = sandbox.processes()
        os.kill(processes["worker"][0], signal.SIGKILL)
        manager.wait_for_beats()

        # Each of these is what starts the others again: without it, nothing is said.
        for kind in ("supervisor", "nursery"):
            stop(processes[kind][0])
            deadline = time.monotonic() + 20
            while manager.listen(0.4):
                assert time.monotonic() < deadline, "it says that it lives"
            os.kill(processes[kind][0], signal.SIGCONT)
            manager.wait_for_beats()

    finally:
        status = await asyncio.to_thread(sandbox.stop)
    assert status == 0
    while manager.listen(0):
        pass
    assert manager.heard.count("READY=1") == 1
    assert manager.heard[-2:] == ["STOPPING=1", "STATUS=letting what is in flight finish"]


def test_a_service_manager_that_is_not_there_or_does_not_hear_ends_nothing(tmp_path):
    assert not ServiceManager().tell("READY=1")
    assert not ServiceManager(str(tmp_path / "nobody")).tell("READY=1")
    assert not ServiceManager("@" + "x" * 200).tell("READY=1")
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(str(path))
        heard = ServiceManager(str(path))
        sent = 0
        while sent < 100_000 and heard.tell("WATCHDOG=1"):  # until there is no room: it does not wait for some
            sent += 1
        assert 0 < sent < 100_000
        assert deaf.recv(100) == b"WATCHDOG=1"
        assert heard.tell("READY=1", "STATUS=ready")


@pytest.mark.parametrize(
    ("variables", "watchdog_s"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_a_watchdog_is_told_only_by_the_process_that_it_watches(variables, watchdog_s):
    environment = {"NOTIFY_SOCKET": "/run/x", "PATH": "/bin"} | variables
    assert ServiceManager.of(environment, 7).watchdog_s == watchdog_s
    assert environment == {"PATH": "/bin"}, "what is started later would speak too"
