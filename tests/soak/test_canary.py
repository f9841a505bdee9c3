"""Secrets in every spelling, in every file, in the memory of every process, and in the core files that they leave."""

import os
import resource
import secrets
import signal
import time
from pathlib import Path

from canary import in_bytes, in_files, in_memory, private_keys, spellings, use
from harness import Peer
from sandbox import Sandbox

from valija.registry.sample import sample_exchange


def written_beside() -> bool:
    """Whether the system writes a core file into the folder that the process works in."""
    return not Path("/proc/sys/kernel/core_pattern").read_text().startswith(("|", "/"))


def ended_with_core(pid: int, folder: Path) -> list[Path]:
    """End a process with SIGABRT, and wait until its core file lies somewhere under `folder`, whole."""
    os.kill(pid, signal.SIGABRT)
    size, deadline = 0, time.monotonic() + 60
    while written_beside() and time.monotonic() < deadline:
        time.sleep(1.0)
        for core in folder.rglob("core*"):
            if core.is_file() and not core.name.startswith("core-of"):
                if core.stat().st_size == size:
                    return [core.rename(core.with_name(f"core-of-{pid}"))]
                size = core.stat().st_size
    return []


async def test_no_secret_is_in_a_core_file_of_the_broker(tmp_path: Path, monkeypatch, figure):
    """Where the system writes core files beside the process; elsewhere the memory is looked at alone."""
    beside = written_beside()
    monkeypatch.chdir(tmp_path)
    resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
    sandbox = Sandbox(tmp_path / "x", sample_exchange(suspended=()))
    sandbox.start()
    try:
        canary = secrets.token_hex(24)
        async with Peer(sandbox, "mx.enlace") as sender, Peer(sandbox, "ca.liaison") as recipient:
            needles = spellings("document", canary.encode()) | private_keys(sender) | private_keys(recipient)
            for _ in range(20):
                await use(sender, recipient, canary)
        figure("secrets, in every spelling", len(needles))
        processes = sandbox.processes()
        for kind, pids in processes.items():
            for pid in pids:
                assert in_memory(pid, needles | {"known": b"exchange.example"}) == {"known"}, kind
        figure("processes", {kind: len(pids) for kind, pids in processes.items()})
        cores = [
            core for kind in ("worker", "upkeep", "valkey") for core in ended_with_core(processes[kind][0], tmp_path)
        ]
    finally:
        sandbox.kill()
    figure("core files, bytes", [path.stat().st_size for path in cores])
    assert len(cores) == 3 * beside
    for core in cores:
        assert in_bytes(core.read_bytes(), needles) == set(), core
        core.unlink()
    files = in_files(tmp_path, needles)
    figure("files", len(files))
    assert not any(files.values()), files
