"""The log as it is published, who cosigned its newest checkpoint, and what a legal hold is on.

Before this room: `observer`. After it: `log.view`, `log.ordered`.
"""

from pathlib import Path

from valija_broker.log import ordered
from valija_broker.log.view import LogView
from valija_schemas import admin
from valija_schemas import checkpoint as checkpoints
from valija_schemas.checkpoint import Policy


def checkpoint(log: LogView, policy: Policy) -> admin.Checkpoint | None:
    """The newest published checkpoint; None before the first.

    Raises:
        LogError: it cannot be read.
        CheckpointError: it is not the log's.
    """
    raw, head = log.checkpoint()
    if not raw:
        return None
    found = checkpoints.verify_checkpoint(raw, policy)
    return admin.Checkpoint(
        size=head.size,
        root=head.root.hex(),
        time=found.log_time_s * 1000 if found.log_time_s else None,
        cosigned=tuple(name for name, _ in found.witnesses),
        quorum=policy.quorum,
    )


def state(log: LogView, policy: Policy, database: Path) -> admin.LogState:
    """The log and who watches it.

    Raises:
        LogError, CheckpointError: as `checkpoint`.
        sqlite3.Error: the legal holds cannot be read.
    """
    newest = checkpoint(log, policy)
    return admin.LogState(
        origin=policy.origin,
        checkpoint=newest,
        note=log.checkpoint()[0].decode("utf-8", "backslashreplace"),
        witnesses=tuple(
            admin.WitnessState(name=one.name, cosigned=bool(newest and one.name in newest.cosigned))
            for one in policy.witnesses
        ),
        retained=tuple(sorted(hold.what for hold in ordered.holds(database))),
    )
