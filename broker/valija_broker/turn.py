"""Whose turn it is to write the ledger and to empty the outboxes: upkeep's, or for some seconds nobody's.

A backup copies the evidence and then the store. Between the two nothing may leave the outboxes, else an event would be
in neither copy. So upkeep takes its turn for each batch by a lock on a file, and a backup takes it for as long as it
copies. The lock goes with the process that holds it, however that ends. Mail is accepted and lent meanwhile.

Before this room: `drain`, `backup`. After it: nothing.
"""

import asyncio
import contextlib
import fcntl
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

from valija_broker.errors import BackupError

TURN_NAME: Final = "turn.lock"  #: In the data folder.
pause_s: Final = 0.02
wait_s: Final = 30.0  #: How long a backup waits for upkeep to end its batch.


class Turn:
    """Upkeep's side: taken for each batch. One event loop uses it."""

    def __init__(self, data: Path) -> None:
        self._path = data / TURN_NAME
        self._mine = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        """Nobody else writes meanwhile, in this process or in another."""
        async with self._mine:
            descriptor = _open(self._path)
            try:
                while not _try(descriptor):  # noqa: ASYNC110 - another process holds it
                    await asyncio.sleep(pause_s)
                yield
            finally:
                os.close(descriptor)


@contextlib.contextmanager
def held(data: Path) -> Iterator[None]:
    """A backup's side: upkeep stands still meanwhile, where it runs.

    Raises:
        BackupError: it does not come to the end of a batch, or another backup holds it.
    """
    descriptor = _open(data / TURN_NAME)
    try:
        deadline = time.monotonic() + wait_s
        while not _try(descriptor):
            if time.monotonic() > deadline:
                raise BackupError(f"{data / TURN_NAME} stays locked: does another backup run?")
            time.sleep(pause_s)
        yield
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
