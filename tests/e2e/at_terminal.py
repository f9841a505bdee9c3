"""The operator's command as a person has it: `valija-registry console` in a terminal of its own, read and answered."""

import os
import pty
import re
import select
import subprocess
import time
from pathlib import Path
from typing import Self

from sandbox import Sandbox

from valija import age, keyring

wait_s = 30.0
PASSPHRASE = "correct horse"


def write_keys(sandbox: Sandbox) -> Path:
    """A folder with the keyring of everybody who works at the broker, and the passphrase of all."""
    folder = sandbox.folder / "operators"
    folder.mkdir()
    (folder / "passphrase").write_text(f"{PASSPHRASE}\n")
    for who, held in sandbox.exchange.operator_keyrings.items():
        keyring.save(folder / f"{who}.keyring", held, age.Passphrase(PASSPHRASE, 1))
    return folder


class Terminal:
    """One operator's command, signed in, until `close`."""

    def __init__(self, sandbox: Sandbox, who: str) -> None:
        keys = sandbox.folder / "operators"
        program = Path(os.sys.executable).parent / "valija-registry"
        mine, its = pty.openpty()
        clean = {
            name: value for name, value in os.environ.items() if name not in {"DISPLAY", "BROWSER", "WAYLAND_DISPLAY"}
        }
        line = [program, "console", sandbox.console, "--key", keys / f"{who}.keyring", "--as", who, "--no-browser"]
        self._process = subprocess.Popen(
            [str(word) for word in (*line, "--passphrase-file", keys / "passphrase")],
            stdin=its, stdout=its, stderr=its, env=clean | {"COLUMNS": "200"}, start_new_session=True,
        )  # fmt: skip
        os.close(its)
        self._terminal = mine
        self.text = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(20)
        os.close(self._terminal)

    def until(self, pattern: str) -> re.Match[str]:
        """Wait until the screen has `pattern` beyond what was read before; what is after it stays unread."""
        deadline = time.monotonic() + wait_s
        while not (found := re.search(pattern, self.text, re.DOTALL)):
            ready, _, _ = select.select([self._terminal], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise AssertionError(f"no {pattern!r} in:\n{self.text}")
            try:
                self.text += os.read(self._terminal, 65_536).decode("utf-8", "replace").replace("\r", "")
            except OSError:
                raise AssertionError(f"it ended without {pattern!r}:\n{self.text}") from None
        self.text = self.text[found.end() :]
        return found

    def types(self, line: str) -> None:
        """Type a line."""
        os.write(self._terminal, line.encode() + b"\n")

    @property
    def link(self) -> str:
        """The link that it prints once it is signed in."""
        return self.until(r"(http://\S+/sign-in\?link=\S+)\s")[1]

    def signs(self, *words: str) -> None:
        """Read the next proposal, which must have `words`, and sign it."""
        shown = self.until(r"Proposed:(.*)Sign this as \S+\? \[y/N\]: ")[1]
        for word in words:
            assert word in shown, shown
        self.types("y")
        self.until("Signed\\.")
