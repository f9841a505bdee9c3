"""What others wrote, so that it can be put on a screen: it stands where it was put, and steers nothing.

Before this room: `valija.cli`, `text`, `html`. After it: nothing.
"""

import unicodedata
from typing import Final

_STEERS: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_RIGHT_TO_LEFT: Final = frozenset({"R", "AL", "AN"})
_ISOLATE: Final = "\u2068"  #: U+2068 and U+2069: what stands between them is laid out by itself (UAX 9).
_END: Final = "\u2069"


def printable(text: str) -> str:
    """`text` without anything that moves a cursor or turns the direction of reading; line ends stay."""
    if text.isprintable():  # what is, holds none of these
        return text
    return "".join(c if c == "\n" or unicodedata.category(c) not in _STEERS else "\ufffd" for c in text)


def isolated(line: str) -> str:
    """A printable line that turns nothing around it: what is read from right to left is so within itself."""
    if line.isascii() or not any(unicodedata.bidirectional(c) in _RIGHT_TO_LEFT for c in line):
        return line
    return f"{_ISOLATE}{line}{_END}"
