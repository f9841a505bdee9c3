"""Orders of operators: what waits in the folder `orders` is verified, put into the log, carried out and answered.

`valija-broker order submit` puts a note there; upkeep takes it. The broker adds nothing to what the operators signed.
The leaf comes before the act, and both parties get its opening: nothing is done with a dead letter that is not in the
log. Every step may be repeated: what is in the log is not put there again, what is no longer dead is not touched.

Before this room: `cli`, `upkeep`. After it: `queue`, `evidence`. Rules: schemas/SPEC.md section 5.4.
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

from valija_broker.database import reading
from valija_broker.directory import Known, now_ms
from valija_broker.evidence import Row
from valija_broker.mail import DeadLetter
from valija_broker.queue import Directory, Mailboxes
from valija_schemas import leaf, limits, order, wire
from valija_schemas.order import Order, OrderError

_log: Final = structlog.get_logger("orders")

PARTY: Final = "operator"  #: Its feed has every order. The name is reserved: no contact point can read it.


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
    # A crash before the rename leaves a temporary file, which nobody takes for an order or a result.
    with temporary.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def read_result(path: Path) -> Result | None:
    """The result at `path`, or None where there is none yet."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Result)
    except FileNotFoundError:
        return None


def order_row(found: Order, raw: bytes, sender: str) -> Row:
    """The event that an order is: for both parties, and for the operators' own feed."""
    action, salt = found.action, secrets.token_bytes(leaf.SALT_BYTES)
    return Row(
        id=event_id(found),
        name=order.EVENT,
        message=action.message,
        sender=sender,
        time=action.time,
        event=raw,
        salt=salt,
        leaf=leaf.of_event(salt, raw),
        parties=tuple(dict.fromkeys((sender, action.recipient, PARTY))),
    )


def event_id(found: Order) -> bytes:
    """What makes an order the same order: its text, whoever signed it besides."""
    return hashlib.sha256(wire.encode(("order", found.digest))).digest()


class Orders:
    """Carries orders out. One task at a time; upkeep owns it."""

    def __init__(
        self,
        *,
        folder: Path,
        database: Path,
        known: Known,
        mailboxes: Mailboxes,
        commit: Callable[[Row], Awaitable[None]],
    ) -> None:
        """`commit` returns once the row is in the ledger; a row that is there already changes nothing."""
        self._folder = folder
        self._database = database
        self._known = known
        self._mailboxes = mailboxes
        self._commit = commit

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
        found = order.read_order(raw, self._known.origin, self._known.roots.newest)
        action = found.action
        letter = await self._mailboxes.dead_letter(action.recipient, action.message)
        if letter is None or letter.since > action.time:
            if await asyncio.to_thread(self._logged, found):
                return f"this {action.action} is in the log already, and nothing is left to do"
            order.require_timely(found, now_ms())
            if letter is None:
                raise OrderError(f"{action.recipient} has no dead letter {action.message}")
            raise OrderError("the message died again after this was signed: look again, and sign a new order")
        order.require_timely(found, now_ms())
        await self._commit(order_row(found, raw, letter.sender))
        # A crash here leaves an order in the log that was not carried out; the note still waits, and is.
        return await self._act(found, letter)

    async def _act(self, found: Order, letter: DeadLetter) -> str:
        action = found.action
        if action.action == "replay":
            count = await self._mailboxes.revive(action.recipient, [letter.ref])
            words = f"message {action.message} waits for {action.recipient} again"
        else:
            here = Directory(*self._known.reference)
            count = await self._mailboxes.discard(action.recipient, [letter.ref], reason=action.reason, directory=here)
            words = f"message {action.message} is given up for {action.recipient}; both sides are told"
        if not count:
            return "the message ended meanwhile; the order is in the log"
        return f"{words}, by order of {', '.join(found.operators)}"

    def _logged(self, found: Order) -> bool:
        with reading(self._database) as connection:
            row = connection.execute("SELECT 1 FROM events WHERE id = ?", (event_id(found),)).fetchone()
        return row is not None


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(limits.note_bytes_max + 1)
