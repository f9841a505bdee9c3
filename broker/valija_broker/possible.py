"""What an order would do now: whom it concerns, and why it would be refused. Reading only.

Asked twice: when somebody proposes an order, so that nobody signs one in vain, and when it is carried out, where the
answer decides.

Before this room: `orders`, `console.proposals`. After it: `log.ordered`, `holds`. Rules: schemas/SPEC.md section 5.4.
"""

import asyncio
from pathlib import Path

from valija_broker import holds
from valija_broker.database import reading
from valija_broker.dead_letters import DeadLetter
from valija_broker.directory import Known, now_ms
from valija_broker.log import ordered
from valija_broker.log.ordered import About
from valija_schemas import hold
from valija_schemas.hold import Given, Hold, HoldError
from valija_schemas.order import Action, OrderError


def require_dead(letter: DeadLetter | None, action: Action) -> DeadLetter:
    """The dead letter that is meant.

    Raises:
        OrderError: there is none, or it died again after the order's time.
    """
    if letter is None:
        raise OrderError(f"{action.contact_point} has no dead letter {action.message}")
    if letter.since > action.time:
        raise OrderError("the message died again after this was signed: look again, and sign a new order")
    return letter


async def about(action: Action, database: Path, known: Known) -> About:
    """The message, or the contact point, whose evidence an order is about.

    Raises:
        sqlite3.Error: the ledger could not be read.
    """
    if action.message is not None:
        return await asyncio.to_thread(ordered.about_message, database, action.message)
    if known.phonebook.point(action.what) is not None:
        return About(sender=None, parties=(action.what,))
    return await asyncio.to_thread(ordered.about_point, database, action.what)


async def require_evidence(action: Action, found: About, database: Path) -> None:
    """Refuse an order about evidence that is not there, or a release of what is not held.

    Raises:
        OrderError: see above.
        sqlite3.Error: the ledger could not be read.
    """
    if not found.parties:
        raise OrderError(f"this broker has no evidence of {action.what}")
    if action.action == "release":
        held = {hold.what: hold for hold in await asyncio.to_thread(ordered.holds, database)}
        if action.what not in held:
            raise OrderError(f"there is no legal hold on {action.what}")
        if held[action.what].since > action.time:
            raise OrderError("it was held again after this was signed: look again, and sign a new order")
    if action.action == "erase" and not found.openings:
        raise OrderError(f"no opening of message {action.what} is left to erase")


def require_erasable(action: Action, found: About, database: Path) -> None:
    """Refuse an erasure that the ledger would refuse if it came now. It decides again, in its own transaction.

    Raises:
        OrderError: a legal hold covers the message, or it waits for a recipient.
        sqlite3.Error: the ledger could not be read.
    """
    covered = {action.what, found.sender, *found.parties}
    if any(held.what in covered for held in ordered.holds(database)):
        raise OrderError(f"a legal hold covers {action.what}")
    with reading(database) as connection:
        waiting = ordered.waiting_in(connection, action.what)
    if waiting:
        raise OrderError(f"the message has not ended for {', '.join(waiting)}")


async def require_hold(value: Hold, digest: str, database: Path, known: Known) -> None:
    """Refuse a hold, or a lifting, that could not be given now.

    Raises:
        HoldError: see above.
        sqlite3.Error: the ledger could not be read.
    """
    if known.phonebook.point(value.contact_point) is None:
        raise HoldError(f"{value.contact_point} is no contact point of this exchange")
    entries = await asyncio.to_thread(holds.logged, database, known.origin)
    earlier = [(entry.digest, entry.hold) for entry in entries if entry.hold.contact_point == value.contact_point]
    given = Given(hold=value, digest=digest, operators=(), raw=b"")
    hold.is_new(given, earlier, known.reference, now_ms())


async def hold_in_force(contact_point: str, database: Path, known: Known) -> str:
    """The digest of the hold on a contact point, by the ledger.

    Raises:
        HoldError: there is none.
        sqlite3.Error: the ledger could not be read.
    """
    entries = await asyncio.to_thread(holds.logged, database, known.origin)
    for entry in holds.in_force(entries, now_ms()):
        if entry.hold.contact_point == contact_point:
            return entry.digest
    raise HoldError(f"{contact_point} is not held")
