"""A whole exchange on this machine: a sample registry, a real broker, a real Valkey, all on loopback.

For the demonstration and the tests. Broker processes are started by the command that an operator uses, and can be
stopped politely or killed; the folder keeps everything, so that the same exchange starts again.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final

from valija.registry.sample import SampleExchange, sample_exchange
from valija_broker.keys import Keys

start_s: Final = 30.0  #: Until a broker must be ready.
_names: Final = {
    "nursery": "valija-nursery",
    "upkeep": "valija-upkeep",
    "worker": "valija-worker",
    "console": "valija-console",
    "valkey": "valkey-server",
}


class Sandbox:
    """An exchange in a folder. `start` and `stop` it; `kill` it as a power cut would."""

    def __init__(
        self,
        folder: Path,
        exchange: SampleExchange | None = None,
        *,
        workers: int = 2,
        more: str = "",
        console: bool = False,
    ) -> None:
        self.folder: Final = folder.resolve()
        self.exchange: Final = exchange or sample_exchange()
        self.port: Final = free_port()
        self.metrics_port: Final = free_port()
        self.console_port: Final = free_port()
        self.data: Final = self.folder / "broker"
        self.log_path: Final = self.folder / "broker.log"
        self.config_path: Final = self.folder / "broker.toml"
        self._process: subprocess.Popen[bytes] | None = None
        self.data.mkdir(parents=True, mode=0o700)
        keys = self.exchange.broker_keys
        Keys(keys.evidence, keys.freshness, keys.log, keys.log_ml_dsa).save(self.data / "keys.toml")
        self.config_path.write_text(
            f'data = "{self.data}"\nworkers = {workers}\n{more}\n'
            f'[exchange]\norigin = "{self.exchange.origin}"\nroot_digest = "{self.exchange.root_digest}"\n'
            f'[listen]\nhost = "127.0.0.1"\nport = {self.port}\n'
            f'[metrics]\nhost = "127.0.0.1"\nport = {self.metrics_port}\n'
            + (f"[console]\nport = {self.console_port}\n" if console else "")
        )
        self.publish()

    @property
    def url(self) -> str:
        """Where agencies reach the broker."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def console(self) -> str:
        """Where operators reach the console, if it was asked for."""
        return f"http://127.0.0.1:{self.console_port}"

    def publish(self) -> None:
        """Hand the broker what the officers signed."""
        self.exchange.publish(self.data / "directory")

    def start(self) -> None:
        """Start the broker, and return when it is ready.

        Raises:
            RuntimeError: it did not get ready; the text quotes its log.
        """
        command = [sys.executable, "-m", "valija_broker", "serve", "--config", str(self.config_path)]
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        if wait_ready(self.metrics_port, self._process):
            return
        self.kill()
        raise RuntimeError(f"the broker did not get ready:\n{self.log_path.read_text()[-4000:]}")

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `valija-broker WORDS` on this exchange, as an operator does, and wait for its end."""
        line = [sys.executable, "-m", "valija_broker", *words, "--config", str(self.config_path)]
        return subprocess.run(line, capture_output=True, text=True, check=False)

    def get(self, path: str) -> tuple[int, str]:
        """Ask the health listener; status 0 when nobody listens."""
        return ask(self.metrics_port, path)

    def processes(self) -> dict[str, list[int]]:
        """Process ids by kind: supervisor, nursery, upkeep, worker, console, valkey."""
        found: dict[str, list[int]] = {kind: [] for kind in ("supervisor", *_names)}
        if self._process is None or self._process.poll() is not None:
            return found
        found["supervisor"].append(self._process.pid)
        for pid in descendants(self._process.pid):
            for kind, name in _names.items():
                if name_of(pid) == name:
                    found[kind].append(pid)
        return found

    def kill(self) -> int:
        """SIGKILL every process of the broker at once; say how many."""
        killed = 0
        for pids in self.processes().values():
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                    killed += 1
                except ProcessLookupError:
                    pass
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        return killed

    def stop(self) -> int:
        """SIGTERM, and wait; the exit status."""
        if self._process is None:
            return 0
        self._process.terminate()
        try:
            return self._process.wait(40)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        finally:
            self._process = None

    def wait(self) -> int:
        """Wait for the end of a broker that nobody stopped; the exit status."""
        return self._process.wait(40) if self._process else 0

    def log(self) -> list[dict[str, object]]:
        """The broker's log, a dictionary a line."""
        lines = self.log_path.read_text().splitlines() if self.log_path.exists() else []
        return [json.loads(line) for line in lines if line.startswith("{")]


def wait_ready(metrics_port: int, process: subprocess.Popen[bytes]) -> bool:
    """Wait until the broker that `process` runs is ready; False when it ended or took too long."""
    deadline = time.monotonic() + start_s
    while time.monotonic() < deadline and process.poll() is None:
        if ask(metrics_port, "/readyz")[0] == 200:
            return True
        time.sleep(0.05)
    return False


def ask(port: int, path: str) -> tuple[int, str]:
    """Ask a health listener of loopback; status 0 when nobody listens."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def free_port() -> int:
    """A port of loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def descendants(pid: int) -> list[int]:
    """Ids of the processes that `pid` started and that still run, with those that they started, the older first."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            if int(stat.rpartition(")")[2].split()[1]) == pid:
                found.append(int(entry.name))
    return found + [one for child in found for one in descendants(child)]


def name_of(pid: int) -> str:
    """The name under which `ps` shows a process, or an empty text when it is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""
