"""What is read from right to left, so that it can be put among what is not.

Before this room: `valija.cli`, `text`, `html`. After it: `valija_schemas.printable`.
"""

import unicodedata
from typing import Final

_RIGHT_TO_LEFT: Final = frozenset({"R", "AL", "AN"})
_ISOLATE: Final = "\u2068"  #: U+2068 and U+2069: what stands between them is laid out by itself (UAX 9).
_END: Final = "\u2069"


def isolated(line: str) -> str:
    """A printable line that turns nothing around it: what is read from right to left is so within itself."""
    if line.isascii() or not any(unicodedata.bidirectional(c) in _RIGHT_TO_LEFT for c in line):
        return line
    return f"{_ISOLATE}{line}{_END}"
