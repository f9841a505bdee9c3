"""The contact points of the newest directory, and how full their mailboxes are.

Before this room: `observer`. After it: `queue`, `directory`.
"""

from collections import Counter
from collections.abc import Iterable

from valija_broker.directory import Known
from valija_broker.queue import Mailboxes
from valija_schemas import admin
from valija_schemas.directory import ContactPoint, Key, SealKey


async def mailboxes(known: Known, queues: Mailboxes, points: Iterable[ContactPoint]) -> tuple[admin.Mailbox, ...]:
    """Each of `points` with its mailbox, in the order given.

    Raises:
        StoreUnavailable: the store could not be reached.
    """
    listed = list(points)
    depths = await queues.depths([point.id for point in listed])
    found = []
    for point in listed:
        depth, held = depths[point.id], known.held(point.id)
        found.append(
            admin.Mailbox(
                id=point.id, state=point.state, organisation=point.organisation, name=point.name, area=point.area,
                status=point.status, held_until=held.hold.until if held else None, ready=depth.ready,
                leased=depth.leased, dead=depth.dead, oldest=depth.oldest or None, collect_p95=None, last_seen=None,
                keys={"sign": _counted(point.sign), "seal": _counted(point.seal), "auth": _counted(point.auth)},
                hours=(),
            )
        )  # fmt: skip
    return tuple(found)


def _counted(keys: Iterable[Key | SealKey]) -> tuple[int, int, int]:
    """How many are active, retired, revoked."""
    counts = Counter(key.status for key in keys)
    return counts["active"], counts["retired"], counts["revoked"]
