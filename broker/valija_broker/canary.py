"""What the canary last came back with. `valija canary` writes it, on this machine or beside it; here it is only read.

A canary is a contact point of its own that sends itself an exercise each minute, takes it, acknowledges it, and waits
until the log has proved it. So its file says of the whole walk, from outside, what no metric of one part can.

Before this room: `supervisor` and `observe`. After it: nothing.
"""

import os
from pathlib import Path
from typing import Final

import msgspec

from valija_schemas.wire import Count, Milliseconds

file_bytes_max: Final = 4_096  #: It has about 80; another program may have written to where it lies.


class Canary(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The newest message of the canary that came back."""

    sent: Milliseconds
    returned: Milliseconds  #: When its proof had been verified, by the clock of the canary.
    round_trip: Count  #: Between these two by a clock that nobody sets, in ms.


_decoder: Final = msgspec.json.Decoder(Canary)


def read(path: Path) -> Canary | None:
    """What is in the file; None where there is none yet, or it is not a canary's."""
    try:
        # Who may write there may make a pipe of it, too, and a pipe that nobody writes to must hold up nobody.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            return _decoder.decode(file.read(file_bytes_max))
    except (OSError, msgspec.MsgspecError, ValueError):
        return None
