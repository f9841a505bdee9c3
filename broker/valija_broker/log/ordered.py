"""What the ledger says of a message, or of a contact point, that operators order something about.

Read before the order enters the ledger, by the one task that carries orders out: nobody else holds or erases, so what
was read here is still so when it does.

Before this room: `orders`. After it: nothing. SPEC.md section 5.4.
"""

from pathlib import Path
from sqlite3 import Connection

import msgspec

from valija_broker.database import reading
from valija_broker.evidence import OPERATORS
from valija_broker.reconcile import Share, sort_share
from valija_schemas import order


class About(msgspec.Struct, frozen=True, kw_only=True):
    """A message or a contact point, as the ledger has it."""

    sender: str | None  #: Of the message.
    parties: tuple[str, ...]  #: Who is told; empty where the ledger has nothing of it.
    waiting: tuple[str, ...] = ()  #: Recipients whose share of the message has not ended.
    openings: int = 0  #: Of the message, that an order may erase.


class Hold(msgspec.Struct, frozen=True):
    """A legal hold."""

    what: str  #: The digest of a message, or a contact point.
    order: str  #: Digest of the order that is the newest on it.
    since: int  #: When that was carried out, in ms.


def about_message(database: Path, digest: str) -> About:
    """A message, by its digest.

    Raises:
        sqlite3.Error: the ledger could not be read.
    """
    accepted: set[Share] = set()
    ended: set[Share] = set()
    sender, openings = None, 0
    with reading(database) as connection:
        query = "SELECT name, event, sender FROM events WHERE message = ?"
        for name, event, from_ in connection.execute(query, (digest,)):
            sender, openings = from_, openings + (name != order.EVENT)
            sort_share(name, digest, event, accepted, ended)
        query = "SELECT DISTINCT party FROM feed JOIN events USING (seq) WHERE message = ? AND party != ?"
        parties = {party for (party,) in connection.execute(query, (digest, OPERATORS))}
    parties |= {recipient for _, recipient in accepted}
    return About(
        sender=sender,
        parties=tuple(sorted(parties)),
        waiting=tuple(sorted(recipient for _, recipient in accepted - ended)),
        openings=openings,
    )


def about_point(database: Path, id_: str) -> About:
    """A contact point.

    Raises:
        sqlite3.Error: the ledger could not be read.
    """
    with reading(database) as connection:
        known = connection.execute("SELECT 1 FROM feed WHERE party = ? AND party != ?", (id_, OPERATORS)).fetchone()
    return About(sender=None, parties=(id_,) if known else ())


def holds(database: Path) -> list[Hold]:
    """The legal holds that are in force.

    Raises:
        sqlite3.Error: the ledger could not be read.
    """
    with reading(database) as connection:
        return holds_in(connection)


def holds_in(connection: Connection) -> list[Hold]:
    """As `holds`."""
    newest = {
        what: (held, Hold(what, by, time))
        for what, by, held, time in connection.execute(
            "SELECT what, by_order, held, time FROM retained ORDER BY number"
        )
    }
    return [hold for held, hold in newest.values() if held]
