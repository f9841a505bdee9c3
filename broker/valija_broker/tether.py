"""Start a program that ends when its parent does: `python -m valija_broker.tether PARENT_PID -- PROGRAM ...`.

A server that outlives a killed supervisor would keep the data directory and answer nobody. On Linux the kernel is
asked to send SIGTERM when the parent ends, and the program takes this process's place. Elsewhere this process
stays and watches. The parent must start it from a thread that lives as long as the parent itself (the main
thread does): Linux counts the thread, not the process.

Before this room: `embedded`, and `nursery` for what it forks. After it: the server.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
PR_SET_NAME = 15
WATCH_INTERVAL_S = 0.5


def main(arguments: list[str]) -> int:
    """Tie the program in `arguments` to the parent; on Linux this does not return."""
    if len(arguments) < 3 or arguments[1] != "--" or not arguments[0].isdigit():
        print("usage: python -m valija_broker.tether PARENT_PID -- PROGRAM [ARGUMENT ...]", file=sys.stderr)  # noqa: T201
        return 2
    parent, command = int(arguments[0]), arguments[2:]
    if sys.platform != "linux":
        return _watch(parent, command)
    if tie_to(parent):
        os.execvp(command[0], command)  # noqa: S606 - no shell is wanted
    return 1


def tie_to(parent: int) -> bool:
    """Ask the kernel to end this process when `parent` ends (on Linux); False when it has ended already."""
    if sys.platform == "linux":
        _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    # The parent may have ended before the line above; then no signal will ever come.
    return os.getppid() == parent


def show_as(name: str) -> None:
    """Show this process under a name of its own, of at most 15 bytes, in `ps` and `top` (on Linux)."""
    if sys.platform == "linux":
        _prctl(PR_SET_NAME, name.encode("ascii"))


def _prctl(option: int, value: int | bytes) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option})")


def _watch(parent: int, command: list[str]) -> int:
    with subprocess.Popen(command, close_fds=False) as child:  # the lock's descriptor goes on to it
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: child.terminate())
        while child.poll() is None:
            if os.getppid() != parent:
                child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(WATCH_INTERVAL_S)
            time.sleep(0)
        return child.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
