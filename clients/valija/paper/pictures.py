"""Which files may be shown as pictures: PNG and JPEG that begin as such and are no larger than a browser can open.

A picture in a format that holds programs or references (SVG), or that says something else than it is, is listed and
never shown.

Before this room: `html`. After it: nothing.
"""

import struct
from typing import Final

pixels_max: Final = 40_000_000  #: A larger one is no photograph of a case, and fills a telephone's memory.

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_JPEG: Final = b"\xff\xd8\xff"
_JPEG_FRAMES: Final = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})  #: ITU-T T.81, table B.1: SOF markers.


def shown_as(content: bytes) -> str | None:
    """The media type of a picture that may be shown; None for anything else."""
    if content.startswith(_PNG):
        kind, size = "image/png", _png_size(content)
    elif content.startswith(_JPEG):
        kind, size = "image/jpeg", _jpeg_size(content)
    else:
        return None
    return kind if size is not None and 0 < size[0] * size[1] <= pixels_max else None


def _png_size(content: bytes) -> tuple[int, int] | None:
    # PNG (Third Edition), 11.2.1: IHDR is the first chunk, and begins with width and height.
    if content[12:16] != b"IHDR" or len(content) < 24:
        return None
    width, height = struct.unpack(">II", content[16:24])
    return width, height


def _jpeg_size(content: bytes) -> tuple[int, int] | None:
    # ITU-T T.81, B.1: segments with a marker and a length, until the frame header says height and width.
    at = 2
    while at + 9 <= len(content) and content[at] == 0xFF:
        marker, length = content[at + 1], int.from_bytes(content[at + 2 : at + 4])
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack(">HH", content[at + 5 : at + 9])
            return width, height
        at += 2 + length
    return None
