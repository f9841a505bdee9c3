"""Every file of schemas/vectors, as bytes."""

from typing import Final

from vectors import field, shape
from vectors.made import (
    admission,
    evidence,
    form,
    framing,
    holds,
    logs,
    messages,
    opening,
    orders,
    registry,
    requests,
    sessions,
    shapes,
    signatures,
)

TOPICS: Final = {
    "framing": framing,
    "form": form,
    "submitting": messages,
    "sealing": shapes,
    "receiving": opening,
    "evidence": evidence,
    "registry": registry,
    "admission": admission,
    "requests": requests,
    "log": logs,
    "orders": orders,
    "holds": holds,
    "sessions": sessions,
    "signatures": signatures,
}


def make(recorded: field.Recorded) -> dict[str, bytes]:
    """File name to bytes."""
    return {
        f"{topic}.json": shape.write(shape.File(format=shape.FORMAT, topic=topic, groups=module.groups(recorded)))
        for topic, module in TOPICS.items()
    }
