"""Calls that arrive together are made as one: one commit, one sync of the disk, for everything that waits for it.

The promise: a call returns when its own part was done, or raises what became of it; one that fails takes no other with
it, unless all of them failed together. A caller that was cancelled before the call is left out.

Before this room: `sending`. After it: `outbox`.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from valija.errors import ValijaError

A = TypeVar("A")
R = TypeVar("R")


class Together(Generic[A, R]):
    """Gathers calls of one turn of the event loop. Tasks of one loop share it.

    `call` takes what they came with, and returns for each, in order, its result or the error to raise.
    """

    def __init__(self, call: Callable[[Sequence[A]], Sequence[R | ValijaError]]) -> None:
        self._call: Final = call
        self._waiting: list[tuple[A, asyncio.Future[R]]] = []

    async def __call__(self, item: A) -> R:
        """Make the call for `item`, together with those of other tasks."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._make)
        future: asyncio.Future[R] = loop.create_future()
        self._waiting.append((item, future))
        return await future

    def _make(self) -> None:
        waiting = [(item, future) for item, future in self._waiting if not future.done()]
        self._waiting.clear()
        if not waiting:
            return
        try:
            results = self._call([item for item, _ in waiting])
        except Exception as error:  # noqa: BLE001 - whatever it is, each of those who wait has to hear of it
            for _, future in waiting:
                future.set_exception(error)
            return
        for (_, future), result in zip(waiting, results, strict=True):
            if isinstance(result, ValijaError):
                future.set_exception(result)
            else:
                future.set_result(result)
