"""The one JSON form, and the one door through which untrusted bytes become values. SPEC.md section 1.2.

A value has exactly one spelling: UTF-8, no spaces, fields in the order of the Struct and all present, map keys in
byte order, the shortest escapes, integers only. The decoder refuses every other spelling, so that what was signed,
what was hashed and what was read are the same thing. Strings are NFC and carry no control or bidirectional control
character, so that what a person sees is what the bytes say (Unicode UAX #9, UAX #15).
"""

import re
import unicodedata
from typing import Annotated, Final, Generic, TypeVar

import msgspec

from valija_schemas import limits

T = TypeVar("T")

Identifier = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9.-]{0,63}$")]
"""The name of a contact point, an officer, an operator."""

MessageId = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")]
"""A UUID in lower case, made by the sender (RFC 9562; version 7 by our clients)."""

Digest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256 value in lower-case hex."""

KeyHex = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
"""An Ed25519 public key: 32 bytes in lower-case hex."""

Count = Annotated[int, msgspec.Meta(ge=0, le=limits.integer_max)]
Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=limits.integer_max)]
"""A time: milliseconds since 1970-01-01T00:00:00Z, without leap seconds."""

Line = Annotated[str, msgspec.Meta(pattern=r"^[^\n]*$")]
"""A text of one line."""

# Control characters, and those that reorder what a person sees: ALM, LRM, RLM, the embeddings, overrides and
# isolates, the line and paragraph separators, and the byte order mark.
_FORBIDDEN: Final = "\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff"
# A whole JSON text in which the only escapes are the quote, the backslash and a newline that does not end its string.
# Possessive, so that it remembers nothing to go back to: without that, a directory of 8 MiB took a gigabyte to check.
_PLAIN: Final = re.compile(rf"(?:[^\\{_FORBIDDEN}]++|\\[\"\\]|\\n(?!\"))*+")

# Nearly every text is seen to be plain without those two checks, in a tenth of the time. ASCII but the backslash and
# DEL, and UTF-8 of U+00C0 to U+02FF, are never forbidden and, without a combining character, always in NFC.
_HARMLESS: Final = bytes({*range(0x20, 0x7F), *range(0x80, 0xC0), *range(0xC3, 0xCC)} - {ord("\\")})
# What most others have besides: escapes, and the first byte of U+0080 to U+00BF, of which half are controls.
_FREQUENT: Final = b"\\\xc2"
_CONTROL: Final = re.compile(rb"\xc2[\x80-\x9f]")
_ESCAPE: Final = re.compile(r"\\.")
_PLAIN_ESCAPES: Final = re.compile(rb"(?:[^\\]++|\\[\"\\]|\\n(?!\"))*+")

_ENCODER: Final = msgspec.json.Encoder(order="deterministic")


class WireError(ValueError):
    """The bytes are not the one spelling of a value of this type; the text says where and why."""


def encode(value: object) -> bytes:
    """The one spelling of `value`.

    Raises:
        WireError: the value has none (a control character, text that is not NFC, an integer out of range).
    """
    try:
        data = _ENCODER.encode(value)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError) as error:
        raise WireError(f"this cannot be written: {error}") from None
    _check_text(data)
    return data


class Decoder(Generic[T]):
    """Reads one type. Make it once, at import: building the reader costs more than a thousand readings."""

    def __init__(self, type_: type[T], bytes_max: int) -> None:
        self._decoder = msgspec.json.Decoder(type_)
        self._bytes_max = bytes_max

    def __call__(self, data: bytes) -> T:
        """The value that `data` spells.

        Raises:
            WireError: it is too long, no JSON, of another type, or spelled in another way. No other exception leaves.
        """
        if len(data) > self._bytes_max:
            raise WireError(f"{len(data)} bytes, more than {self._bytes_max}")
        try:
            value = self._decoder.decode(data)
            again = _ENCODER.encode(value)
        except (msgspec.MsgspecError, RecursionError, UnicodeError, ValueError) as error:
            raise WireError(str(error)) from None
        if again != data:
            raise WireError("this JSON is not in the one form (order, spaces, escapes, duplicate or missing fields)")
        _check_text(data)
        return value


def _check_text(data: bytes) -> None:
    if _seen_plain(data):
        return
    text = data.decode()
    if not _PLAIN.fullmatch(text):
        raise WireError("a string holds a control or bidirectional control character, or ends with a newline")
    # A combining mark after a newline stands beside the escape's n, and makes no letter of it.
    if not (unicodedata.is_normalized("NFC", text) or unicodedata.is_normalized("NFC", _ESCAPE.sub(_unescaped, text))):
        raise WireError("a string is not in Unicode normalization form C")


def _unescaped(escape: re.Match[str]) -> str:
    return "\n" if escape[0] == "\\n" else escape[0]


def _seen_plain(data: bytes) -> bool:
    suspect = data.translate(None, _HARMLESS)
    return not (
        suspect.translate(None, _FREQUENT)
        or (b"\xc2" in suspect and _CONTROL.search(data))
        or (b"\\" in suspect and not _PLAIN_ESCAPES.fullmatch(data))
    )
