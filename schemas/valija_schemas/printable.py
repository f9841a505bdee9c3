"""What others wrote, so that it can be put on a screen: it stands where it was put, and steers nothing.

Before this room: the commands of agencies and of the broker. After it: nothing.
"""

import unicodedata
from typing import Final

_STEERS: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def printable(text: str) -> str:
    """`text` without anything that moves a cursor or turns the direction of reading; line ends stay."""
    if text.isprintable():  # what is, holds none of these
        return text
    return "".join(c if c == "\n" or unicodedata.category(c) not in _STEERS else "\ufffd" for c in text)
