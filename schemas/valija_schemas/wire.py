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
    text = data.decode()
    if not _PLAIN.fullmatch(text):
        raise WireError("a string holds a control or bidirectional control character, or ends with a newline")
    if not unicodedata.is_normalized("NFC", text):
        raise WireError("a string is not in Unicode normalization form C")
