"""The contact points of the newest directory: how full their mailboxes are, what they took, when they were heard from.

Before this room: `observer`, `looks`. After it: `queue`, `directory`, `seen`.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from valija_broker import seen
from valija_broker.directory import Known, now_ms
from valija_broker.observe.history import Collected, hours_shown
from valija_broker.queue import Mailboxes
from valija_schemas import admin
from valija_schemas.directory import ContactPoint, Key, SealKey


async def mailboxes(
    known: Known, queues: Mailboxes, heard: Path, points: Iterable[ContactPoint]
) -> tuple[admin.Mailbox, ...]:
    """Each of `points` with its mailbox, in the order given; `heard` is the folder that `seen` reads.

    Raises:
        StoreUnavailable: the store could not be reached.
    """
    listed = list(points)
    depths = await queues.depths([point.id for point in listed])
    heard_from, now = await asyncio.to_thread(seen.read, heard), now_ms()
    found = []
    for point in listed:
        depth, held = depths[point.id], known.held(point.id)
        found.append(
            admin.Mailbox(
                id=point.id, state=point.state, organisation=point.organisation, name=point.name, area=point.area,
                status=point.status, held_until=held.hold.until if held else None, ready=depth.ready,
                leased=depth.leased, dead=depth.dead, oldest=min(depth.oldest, now) or None, collect_p95=None,
                last_seen=heard_from.get(point.id),
                keys={"sign": _counted(point.sign), "seal": _counted(point.seal), "auth": _counted(point.auth)},
                hours=(),
            )
        )  # fmt: skip
    return tuple(found)


def with_collected(boxes: Iterable[admin.Mailbox], found: Mapping[str, Collected]) -> tuple[admin.Mailbox, ...]:
    """The same, each with what it took in the last day."""
    nothing = Collected((0,) * hours_shown, None)
    return tuple(
        msgspec.structs.replace(box, hours=took.hours, collect_p95=took.p95)
        for box, took in ((box, found.get(box.id, nothing)) for box in boxes)
    )


def _counted(keys: Iterable[Key | SealKey]) -> tuple[int, int, int]:
    """How many are active, retired, revoked."""
    counts = Counter(key.status for key in keys)
    return counts["active"], counts["retired"], counts["revoked"]
