"""The service manager, systemd say: the socket that it holds for us, and what the supervisor tells it.

A socket that it binds (sd_listen_fds(3)) stays open while the broker starts again: who connects meanwhile waits, and is
not refused. What is told is sd_notify(3), in a datagram for each word.

Nothing is said where nobody asked for it in the environment, and what cannot be said ends nothing: the broker serves
as well without its manager.

Before this room: `supervisor`. Rules: broker/DESIGN.md, "Processes".
"""

import os
import socket
from collections.abc import MutableMapping
from typing import Final, Self

import structlog

from valija_broker.errors import BadConfig

_log: Final = structlog.get_logger("service_manager")

_first: Final = 3  #: SD_LISTEN_FDS_START: behind standard input, output and error.


class ServiceManager:
    """Where to say it, and how often the manager wants to hear that the broker lives."""

    def __init__(
        self, address: str = "", watchdog_s: float | None = None, listening: socket.socket | None = None
    ) -> None:
        self.listening: Final = listening  #: Where agencies come in, if the manager bound that; it keeps it.
        self.watchdog_s: Final = watchdog_s  #: After so much silence it ends the broker; None: it never does.
        self._address: Final = address
        self._failing = False

    @classmethod
    def of(cls, environment: MutableMapping[str, str], pid: int) -> Self:
        """The manager that started the process `pid`. Its variables are taken out: they are for no other process.

        A watchdog of another process (WATCHDOG_PID) is none, nor is one without a number; nor are its sockets ours
        (LISTEN_PID).

        Raises:
            BadConfig: it hands over anything but one socket that listens.
        """
        address = environment.pop("NOTIFY_SOCKET", "")
        microseconds = environment.pop("WATCHDOG_USEC", "")
        whose = environment.pop("WATCHDOG_PID", str(pid))
        meant = address and whose == str(pid) and microseconds.isdecimal() and int(microseconds) > 0
        listening = _inherited(environment, pid)
        return cls(address, int(microseconds) / 1e6 if meant else None, listening)

    @property
    def listens(self) -> bool:
        """Whether anybody wants to hear."""
        return bool(self._address)

    def tell(self, *assignments: str) -> bool:
        """Say this, `READY=1` for instance, in one datagram; False when nobody heard it."""
        if not self._address:
            return False
        # A name that begins with @ is one of Linux's abstract names: a zero byte stands there.
        where = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
                out.setblocking(False)
                out.sendto("\n".join(assignments).encode(), os.fsencode(where))
        except OSError as error:
            if not self._failing:
                _log.warning("service_manager_deaf", address=self._address, error=error.strerror)
            self._failing = True
            return False
        self._failing = False
        return True


def _inherited(environment: MutableMapping[str, str], pid: int) -> socket.socket | None:
    """The one socket that the manager hands over; None where it hands over none."""
    number, whose = environment.pop("LISTEN_FDS", ""), environment.pop("LISTEN_PID", "")
    environment.pop("LISTEN_FDNAMES", "")
    if whose != str(pid) or number in {"", "0"}:
        return None
    try:
        if number != "1":
            raise OSError
        found = socket.socket(fileno=_first)
        if not found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise OSError
    except OSError:
        raise BadConfig("the service manager must hand over one socket, which listens (ListenStream=)") from None
    found.set_inheritable(False)
    found.setblocking(False)
    return found
