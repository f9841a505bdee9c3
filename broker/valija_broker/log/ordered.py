"""What the ledger says of a message, or of a contact point, that operators order something about.

Read before the order enters the ledger, by the one task that carries orders out: nobody else holds or erases. Whether a
message still waits is asked again in the transaction that erases, since it may be accepted meanwhile.

Before this room: `orders`. After it: nothing. SPEC.md section 5.4.
"""

from collections.abc import Iterable
from pathlib import Path
from sqlite3 import Connection, Cursor

import msgspec

from valija_broker.database import reading
from valija_broker.evidence import OPERATORS
from valija_broker.reconcile import Share, sort_share
from valija_schemas import order


class About(msgspec.Struct, frozen=True, kw_only=True):
    """A message or a contact point, as the ledger has it."""

    sender: str | None  #: Of the message.
    parties: tuple[str, ...]  #: Who is told; empty where the ledger has nothing of it.
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
    with reading(database) as connection:
        query = "SELECT name, event, sender FROM events WHERE message = ?"
        rows = connection.execute(query, (digest,)).fetchall()
        query = "SELECT DISTINCT party FROM feed JOIN events USING (seq) WHERE message = ? AND party != ?"
        parties = {party for (party,) in connection.execute(query, (digest, OPERATORS))}
    accepted, _ = _shares(digest, ((name, event) for name, event, _ in rows))
    return About(
        sender=rows[-1][2] if rows else None,
        parties=tuple(sorted(parties | {recipient for _, recipient in accepted})),
        openings=sum(name != order.EVENT for name, _, _ in rows),
    )


def waiting_in(connection: Connection | Cursor, digest: str) -> list[str]:
    """Recipients whose share of a message has not ended.

    Raises:
        sqlite3.Error: the ledger could not be read.
    """
    query = "SELECT name, event FROM events WHERE message = ?"
    accepted, ended = _shares(digest, connection.execute(query, (digest,)))
    return sorted(recipient for _, recipient in accepted - ended)


def _shares(digest: str, rows: Iterable[tuple[str, bytes]]) -> tuple[set[Share], set[Share]]:
    accepted: set[Share] = set()
    ended: set[Share] = set()
    for name, event in rows:
        sort_share(name, digest, event, accepted, ended)
    return accepted, ended


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


def holds_in(connection: Connection | Cursor) -> list[Hold]:
    """As `holds`."""
    newest = {
        what: (held, Hold(what, by, time))
        for what, by, held, time in connection.execute(
            "SELECT what, by_order, held, time FROM retained ORDER BY number"
        )
    }
    return [hold for held, hold in newest.values() if held]
