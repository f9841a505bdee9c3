"""When the broker says that operators hold us: it has to show their order, and what is told is what that says.

A hold stops a contact point whose keys may be in other hands. A broker that merely claims one is withholding mail; so
the claim is compared with a note that two operators of the newest root signed, and is an alarm without it. A note that
our feed says was lifted is none: else a broker could show it until its end.

Before this room: `sending`, `inbox`. After it: the line, `refresh`, `tracking`. Rules: schemas/SPEC.md section 4.7.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from valija.errors import HeldError, ValijaError
from valija.line import Line
from valija.log import Log
from valija.refresh import Library
from valija.standing import time_words
from valija.tracking import Tracking
from valija_schemas import hold
from valija_schemas.hold import HoldError

_log: Final = logging.getLogger("valija.holding")

T = TypeVar("T")

spread_s = 3.0  #: A hold that begins or ends is known in every process of a broker by then.


class Holding:
    """Asks for the order behind a claim. Share it between tasks."""

    def __init__(
        self,
        *,
        origin: str,
        me: str,
        library: Library,
        line: Line,
        log: Log,
        tracking: Tracking,
        clock: Callable[[], int],
    ) -> None:
        self._origin = origin
        self._me = me
        self._library = library
        self._line = line
        self._log = log
        self._tracking = tracking
        self._clock = clock

    async def through(self, call: Callable[[], Awaitable[T]]) -> T:
        """Do `call`; once more, some seconds later, where the broker says that we are held and does not show it.

        Raises:
            HeldError: we are held, by whom, until when and why; or the broker says so twice and cannot show it, which
                is an alarm. Nothing was done.
        """
        try:
            return await call()
        except HeldError:
            if (proved := await self.held()) is not None:
                raise proved from None
        await asyncio.sleep(spread_s)  # the hold may have begun or ended between the two questions
        try:
            return await call()
        except HeldError as error:
            if (proved := await self.held()) is not None:
                raise proved from None
            text = (
                "the broker refuses us as held by operators, and does not show an order of two of them that is in force"
            )
            self._log.alarm(text)
            hint = "Tell a registry officer: the broker stops our mail without an order. Keep the state folder."
            raise HeldError(f"{text}: {error}", hint=hint) from None

    async def held(self) -> HeldError | None:
        """Who holds us, until when and why, by an order that was verified and not lifted; None where none is shown.

        Raises:
            UnavailableError: the broker cannot be asked now.
        """
        given = await self._given()
        if given is None or given.hold.until is None:
            return None
        until = time_words(given.hold.until)
        return HeldError(f"{hold.words(given)} until {until} at the latest, with this reason: {given.hold.reason}")

    async def _given(self) -> hold.Given | None:
        raws = await self._line.holds()
        for again in (False, True):
            for raw in raws:
                try:
                    given = hold.read_hold(raw, self._origin, self._library.roots.newest)
                except HoldError as error:
                    _log.warning("a hold that the broker shows is not believed: %s", error)
                    continue
                if given.hold.contact_point == self._me and given.in_force(self._clock()):
                    if given.digest not in await self._tracking.lifted():
                        return given
                    _log.warning("the hold that the broker shows was lifted")
            if raws and not again:
                try:
                    await self._library.refresh(force=True)  # the operators may be those of a newer root
                except ValijaError as error:
                    _log.warning("the directory could not be refreshed: %s", error)
        return None
