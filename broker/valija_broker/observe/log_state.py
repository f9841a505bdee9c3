"""The log as it is published, who cosigned its newest checkpoint, and what a legal hold is on.

Before this room: `observer`. After it: `log.view`, `log.ordered`.
"""

from pathlib import Path

from valija_broker.log import ordered
from valija_broker.log.view import LogView
from valija_schemas import admin
from valija_schemas import checkpoint as checkpoints
from valija_schemas.checkpoint import Checkpoint, Policy


def shown(found: Checkpoint, quorum: int) -> admin.Checkpoint:
    """A verified checkpoint, as it is shown."""
    return admin.Checkpoint(
        size=found.size,
        root=found.root.hex(),
        time=found.log_time_s * 1000 if found.log_time_s else None,
        cosigned=tuple(name for name, _ in found.witnesses),
        quorum=quorum,
    )


def state(log: LogView, policy: Policy, database: Path) -> admin.LogState:
    """The log and who watches it.

    Raises:
        LogError: the public checkpoint cannot be read.
        CheckpointError: it is not the log's.
        sqlite3.Error: the legal holds cannot be read.
    """
    raw, _ = log.checkpoint()
    newest = shown(checkpoints.verify_checkpoint(raw, policy), policy.quorum) if raw else None
    return admin.LogState(
        origin=policy.origin,
        checkpoint=newest,
        note=raw.decode("utf-8", "backslashreplace"),
        witnesses=tuple(
            admin.WitnessState(name=one.name, cosigned=bool(newest and one.name in newest.cosigned))
            for one in policy.witnesses
        ),
        retained=tuple(sorted(hold.what for hold in ordered.holds(database))),
    )
