"""Refuses a store that is older than the evidence: a copy from before, or a replica that was promoted too early.

Such a store lends mail again that was fetched long ago, and does not know what was accepted since. With each batch of
events the ledger notes how far it has read the outbox of each shard. The number of the newest entry only grows, also
where entries are removed; a store that has not come as far yet as the ledger has read is an old one.

Before this room: `supervisor`, `upkeep`. After it: `shelves`, the ledger's file. Rules: broker/DESIGN.md section 6.
"""

import asyncio
from pathlib import Path
from typing import Final

from valija_broker.database import reading
from valija_broker.errors import StoreIsOld
from valija_broker.layout import epoch_of
from valija_broker.shelves import Outbox, entry_number
from valija_broker.store import Store

LOST_MARKER: Final = "store-lost"  #: In the data folder: the next start shall count the embedded store as new.


def read_marks(database: Path) -> dict[int, tuple[int, str]]:
    """For each shard the epoch of the store and the newest entry of its outbox that the ledger has read.

    Raises:
        sqlite3.Error: the file is there and cannot be read.
    """
    if not database.exists():
        return {}
    with reading(database) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'read_to'").fetchone():
            return {}
        return {shard: (epoch, entry) for shard, epoch, entry in connection.execute("SELECT * FROM read_to")}


async def require_current(store: Store, database: Path) -> None:
    """Refuse a store that is behind what the ledger has read. One with a later epoch was begun anew, and passes.

    Raises:
        StoreIsOld: a person has to decide.
        StoreUnavailable: it could not be reached.
        sqlite3.Error: as `read_marks`.
    """
    marks = await asyncio.to_thread(read_marks, database)  # first: the store only grows meanwhile
    epoch = await epoch_of(store)
    outbox = Outbox(store)
    for shard, (known_epoch, entry) in marks.items():
        newest = await outbox.newest(shard)
        if (epoch, newest) < (known_epoch, entry_number(entry)):
            raise StoreIsOld(
                f"the store is an older copy: the outbox of shard {shard} ends with entry {newest[0]}-{newest[1]},"
                f" and the evidence has read up to {entry}"
            )
