"""The nursery: the process that workers and upkeep are forked from, so that their code is imported once.

Importing takes most of a second of a core, and a broker has several processes. The supervisor makes the nursery while
it has neither a loop nor a thread, and asks it for each process from then on. The nursery has one thread, no loop, no
connection and no keys: what it forks finds nothing in it but code. It ends when the supervisor is gone, and its
children with it. When it is killed, the kernel ends its children (on Linux), and the supervisor ends too.

Before this room: `supervisor`. After it: `worker`, `upkeep`, `console`. Rules: broker/DESIGN.md, "Processes".
"""

import asyncio
import contextlib
import gc
import importlib
import os
import select
import signal
import socket
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, Literal, NoReturn, Self, get_args

import msgspec

from valija_broker import process, tether
from valija_broker.errors import NurseryEnded

_orders_bytes_max: Final = 1 << 18  #: Of one read. An order is a line that names a path or two.
_descriptors_max: Final = 2
_blocked: Final = (signal.SIGINT, signal.SIGTERM)

Shared = Literal["upkeep", "worker"]  #: A module of this package; its `main` takes arguments and returns a status.
Program = Shared | Literal["console"]  #: There is one at most, so that what only it needs is imported in it.
Main = Callable[[list[str]], int]


class Start(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Fork a process. Descriptors come with it: the one to say readiness on, then those that the program gets."""

    program: Program
    arguments: tuple[str, ...]  #: The numbers of its descriptors are put behind them.
    environment: dict[str, str]  #: What it has beside the environment of the supervisor.


class Signal(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Send a signal to a process, unless it has ended: then its id may be somebody else's."""

    pid: int
    number: int


class Question(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Say that orders are still carried out."""


class Answer(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The answer to `Question`."""


class Started(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The answer to `Start`."""

    pid: int


class Ended(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A process ended, with exit status `status` or by signal -`status`."""

    pid: int
    status: int


class Forked:
    """A process that the nursery started, as far as the supervisor has heard."""

    def __init__(self, pid: int, nursery: "Nursery") -> None:
        self.pid: Final = pid
        self.ended: Final[asyncio.Future[int]] = asyncio.get_running_loop().create_future()  #: The status of `Ended`.
        self._nursery: Final = nursery

    async def wait(self) -> int:
        """Wait for its end; the status."""
        return await asyncio.shield(self.ended)

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it still runs."""
        with contextlib.suppress(NurseryEnded):
            self._nursery.order(Signal(pid=self.pid, number=number))


class Nursery:
    """The supervisor's end. An `async with`."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._asked: deque[asyncio.Future[Forked]] = deque()
        self._questions: deque[asyncio.Future[None]] = deque()
        self._running: dict[int, Forked] = {}

    async def __aenter__(self) -> Self:
        self._hearing = asyncio.create_task(self._hear())
        return self

    async def __aexit__(self, *_: object) -> None:
        await process.end(self._hearing)

    async def start(self, order: Start, descriptors: Sequence[int]) -> Forked:
        """Start a process, which gets copies of `descriptors`.

        Raises:
            NurseryEnded: nobody starts one.
        """
        self.order(order, descriptors)
        self._asked.append(asyncio.get_running_loop().create_future())
        return await self._asked[-1]

    async def answer(self) -> None:
        """Ask whether orders are still carried out, and return once they are.

        Raises:
            NurseryEnded: they never will be.
        """
        self.order(Question())
        self._questions.append(asyncio.get_running_loop().create_future())
        await self._questions[-1]

    def order(self, order: Start | Signal | Question, descriptors: Sequence[int] = ()) -> None:
        """Send an order. It is small and is read at once, so that the socket has room for it.

        Raises:
            NurseryEnded: nobody reads it.
        """
        try:
            socket.send_fds(self._control, [msgspec.json.encode(order) + b"\n"], descriptors)
        except OSError as error:
            raise NurseryEnded(f"the nursery takes no orders: {error.strerror}") from None

    async def _hear(self) -> None:
        """Take what is reported. Once the nursery is gone, nothing of it runs, and nothing will."""
        reader, writer = await asyncio.open_connection(sock=self._control)
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                match msgspec.json.decode(line, type=Started | Ended | Answer):
                    case Started(pid=pid):
                        self._running[pid] = Forked(pid, self)
                        if not (asked := self._asked.popleft()).cancelled():
                            asked.set_result(self._running[pid])
                    case Answer():
                        if not (question := self._questions.popleft()).cancelled():
                            question.set_result(None)
                    case Ended(pid=pid, status=status):
                        self._running.pop(pid).ended.set_result(status)
        for forked in self._running.values():
            forked.ended.set_result(-signal.SIGTERM)
        unanswered: list[asyncio.Future[Forked] | asyncio.Future[None]] = [*self._asked, *self._questions]
        for waiting in unanswered:
            if not waiting.cancelled():
                waiting.set_exception(NurseryEnded("the nursery ended"))


@contextlib.contextmanager
def made(metrics_folder: str, listening: socket.socket | None = None) -> Iterator[Nursery]:
    """Fork a nursery, whose processes count in `metrics_folder`; `listening` is not for it.

    Only while this process has no loop and no thread.
    """
    ours, its = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        if listening is not None:
            listening.close()
        _leave(_tend, its, metrics_folder)
    its.close()
    try:
        with ours:
            ours.setblocking(False)
            yield Nursery(ours)
    finally:
        os.waitpid(pid, 0)  # it reads the end of its orders, ends its children, and ends


# In the nursery, and in what it forks


def _tend(control: socket.socket, metrics_folder: str) -> int:
    """Carry out orders until the supervisor is gone."""
    os.setsid()
    # The supervisor stops the processes in order, whatever reaches all of them at once. Blocked and not ignored: what
    # is sent to a process that was just forked waits until that lets it in.
    signal.pthread_sigmask(signal.SIG_BLOCK, _blocked)
    tether.show_as("valija-nursery")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = metrics_folder
    mains = {name: importlib.import_module(f"valija_broker.{name}").main for name in get_args(Shared)}
    mains["console"] = _console
    for counters in Path(metrics_folder).iterdir():  # the import made them; each process makes its own
        counters.unlink()
    gc.collect()
    gc.freeze()  # so that the collector does not write into the memory that all share
    ended, signalled = socket.socketpair()
    signalled.setblocking(False)
    signal.set_wakeup_fd(signalled.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    running: set[int] = set()
    with contextlib.suppress(ConnectionError):
        while True:
            ready, _, _ = select.select([control, ended], [], [])
            if ended in ready:
                ended.recv(4096)
                _report(control, running)
            if control in ready:
                # A read ends with the descriptors that came in it: there is at most one `Start`, and it is the last.
                orders, descriptors, _, _ = socket.recv_fds(control, _orders_bytes_max, _descriptors_max)
                if not orders:
                    break
                for line in orders.splitlines():
                    match msgspec.json.decode(line, type=Start | Signal | Question):
                        case Question():
                            control.sendall(msgspec.json.encode(Answer()) + b"\n")
                        case Start() as start:
                            pid = _fork(start, mains[start.program], descriptors, (control, ended, signalled))
                            running.add(pid)
                            control.sendall(msgspec.json.encode(Started(pid=pid)) + b"\n")
                        case Signal(pid=pid, number=number) if pid in running:
                            os.kill(pid, number)
    for pid in running:
        os.kill(pid, signal.SIGTERM)
    return 0


def _console(arguments: list[str]) -> int:
    main: Main = importlib.import_module("valija_broker.console.serve").main
    return main(arguments)


def _report(control: socket.socket, running: set[int]) -> None:
    """Say which processes ended, and how. What they counted stays; what they measured goes."""
    from prometheus_client import multiprocess  # noqa: PLC0415 - where it counts is decided when it is imported

    for pid in list(running):
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            running.remove(pid)
            multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]  # untyped library
            control.sendall(msgspec.json.encode(Ended(pid=pid, status=os.waitstatus_to_exitcode(status))) + b"\n")


def _fork(start: Start, main: Main, descriptors: Sequence[int], ours: Sequence[socket.socket]) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _leave(_run, start, main, descriptors, ours, parent)
    for descriptor in descriptors:
        os.close(descriptor)
    return pid


def _run(start: Start, main: Main, descriptors: Sequence[int], nurserys: Sequence[socket.socket], parent: int) -> int:
    """What a process does that was just forked: forget the nursery, and do its work."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for found in nurserys:
        found.close()
    os.setsid()
    tether.show_as(f"valija-{start.program}")
    if not tether.tie_to(parent):
        return 1
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _blocked)
    os.environ.update(start.environment)
    readiness, *more = descriptors
    os.environ[process.READY_VARIABLE] = str(readiness)
    return main([*start.arguments, *map(str, more)])


def _leave(program: Callable[..., int], *arguments: object) -> NoReturn:
    """Do this, and end the process: what it was forked from does not go on in it."""
    status = 1
    try:
        status = program(*arguments)
    except BaseException:  # noqa: BLE001 - nobody else is left to say it
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)
