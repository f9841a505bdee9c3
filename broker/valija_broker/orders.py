"""Orders of operators: what waits in the folder `orders` is verified, put into the log, carried out and answered.

`valija-broker order submit` puts a note there; upkeep takes it. The broker adds nothing to what the operators signed.
The leaf comes before the act, or with it, and the parties get its opening: nothing is done with a dead letter or with
evidence that is not in the log. Every step may be repeated: what is in the log is not put there again, what is no
longer dead is not touched.

Before this room: `cli`, `upkeep`. After it: `dead_letters`, `evidence`, `log.retain`. Rules: schemas/SPEC.md section
5.4.
"""

import asyncio
import hashlib
import os
import secrets
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, Literal

import msgspec
import structlog

from valija_broker import possible
from valija_broker.database import reading
from valija_broker.dead_letters import DeadLetter, DeadLetters
from valija_broker.directory import Known, now_ms
from valija_broker.errors import NotEnded, UnderHold
from valija_broker.evidence import Row, order_id, order_row
from valija_broker.holds import Holds
from valija_broker.log.ledger import Added
from valija_broker.log.retain import Given, Retention
from valija_broker.shelves import Directory
from valija_schemas import hold, limits, order
from valija_schemas.order import Order, OrderError

_log: Final = structlog.get_logger("orders")

Acted = tuple[int, Added]  #: Openings that were erased, and what the ledger grew by.


class Result(msgspec.Struct, frozen=True):
    """What became of an order, as its file has it."""

    status: Literal["done", "refused"]
    words: str


def place(folder: Path, raw: bytes) -> tuple[Path, Path]:
    """Where an order waits, and where its result will be; one more signature makes another file."""
    name = hashlib.sha256(raw).hexdigest()
    return folder / f"{name}.note", folder / f"{name}.result"


def make_folder(folder: Path) -> None:
    """The folder, and the one for what was answered. Only the broker's user may look into it."""
    (folder / "done").mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)


def put(path: Path, data: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        OSError: the disk said no.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        # A crash before the rename leaves a temporary file, which nobody takes for an order or a result.
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)  # it is tried again and again while the disk is full
        raise


def read_result(path: Path) -> Result | None:
    """The result at `path`, or None where there is none yet."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Result)
    except FileNotFoundError:
        return None


class Orders:
    """Carries orders out. One task at a time; upkeep owns it."""

    def __init__(
        self,
        *,
        folder: Path,
        database: Path,
        known: Known,
        letters: DeadLetters,
        commit: Callable[[Row], Awaitable[None]],
        retention: Retention,
        holds: Holds,
        keep: Callable[[Callable[[], Acted]], Awaitable[int]],
    ) -> None:
        """`commit` returns once the row is in the ledger; a row that is there already changes nothing.

        `keep` does in a thread what uses `retention`, alone in the ledger, publishes it, and returns how many openings
        were erased.
        """
        self._folder = folder
        self._database = database
        self._known = known
        self._letters = letters
        self._commit = commit
        self._retention = retention
        self._holds = holds
        self._keep = keep

    async def carry_out(self) -> None:
        """Answer every order that waits.

        Raises:
            StoreUnavailable: some may have been answered; the next run does the rest.
        """
        if not self._known.ready:
            return
        for path in sorted(await asyncio.to_thread(lambda: list(self._folder.glob("*.note")))):
            try:
                await self._answer(path)
            except (OSError, sqlite3.Error) as error:  # no reason for upkeep to end: it is tried again
                _log.error("order_not_answered", file=path.name, error=str(error))

    async def _answer(self, path: Path) -> None:
        raw = await asyncio.to_thread(_read, path)
        try:
            result = Result("done", await self._order(raw))
        except OrderError as error:
            result = Result("refused", str(error))
        _log.info("order", file=path.name, status=result.status, words=result.words)
        # A crash from here on finds the note again: it is in the log and no longer dead, so it is done as well.
        await asyncio.to_thread(put, path.with_suffix(".result"), msgspec.json.encode(result))
        await asyncio.to_thread(path.replace, self._folder / "done" / path.name)

    async def _order(self, raw: bytes) -> str:
        if raw.startswith(f"{hold.HOLD} ".encode()):
            return await self._holds.give(raw)
        found = order.read_order(raw, self._known.origin, self._known.roots.newest)
        if found.action.message is not None and found.action.contact_point is not None:
            return await self._dead_letter(found, raw, found.action.message, found.action.contact_point)
        return await self._evidence(found, raw)

    # Dead letters

    async def _dead_letter(self, found: Order, raw: bytes, message: str, recipient: str) -> str:
        action = found.action
        letter = await self._letters.find(recipient, message)
        if (letter is None or letter.since > action.time) and await asyncio.to_thread(self._logged, found):
            return f"this {action.action} is in the log already, and nothing is left to do"
        order.require_timely(found, now_ms())
        letter = possible.require_dead(letter, action)
        await self._commit(order_row(found, raw, letter.sender, (letter.sender, recipient)))
        # A crash here leaves an order in the log that was not carried out; the note still waits, and is.
        return await self._act(found, letter, recipient)

    async def _act(self, found: Order, letter: DeadLetter, recipient: str) -> str:
        action = found.action
        if action.action == "replay":
            count = await self._letters.revive(recipient, [letter.ref])
            words = f"message {action.message} waits for {recipient} again"
        else:
            here = Directory(*self._known.reference)
            count = await self._letters.discard(recipient, [letter.ref], reason=action.reason, directory=here)
            words = f"message {action.message} is given up for {recipient}; both sides are told"
        if not count:
            return "the message ended meanwhile; the order is in the log"
        return f"{words}, by order of {', '.join(found.operators)}"

    # Evidence

    async def _evidence(self, found: Order, raw: bytes) -> str:
        action, kept = found.action, self._retention
        about = await possible.about(action, self._database, self._known)
        if not await asyncio.to_thread(self._logged, found):
            order.require_timely(found, now_ms())
            await possible.require_evidence(action, about, self._database)
        elif action.action != "erase":
            return f"this {action.action} is in the log already, and nothing is left to do"
        given = Given(found.digest, order_row(found, raw, about.sender, about.parties), now_ms())
        match action.action:
            case "retain":
                await self._keep(lambda: (0, kept.retain(action.what, given)))
                words = f"no evidence of {action.what} is erased until two operators release it"
            case "release":
                await self._keep(lambda: (0, kept.release(action.what, given)))
                words = f"the legal hold on {action.what} is over"
            case _:
                try:
                    count = await self._keep(lambda: kept.erase_message(action.what, given))
                except (NotEnded, UnderHold) as error:
                    raise OrderError(f"{error}. {error.hint}") from None
                words = f"{count} openings of message {action.what} are erased"
        return f"{words}, by order of {', '.join(found.operators)}"

    def _logged(self, found: Order) -> bool:
        with reading(self._database) as connection:
            row = connection.execute("SELECT 1 FROM events WHERE id = ?", (order_id(found.digest),)).fetchone()
        return row is not None


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(limits.note_bytes_max + 1)
