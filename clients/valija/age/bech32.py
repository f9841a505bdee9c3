"""Bech32, the spelling of age keys as text: a prefix, `1`, the bytes, and a checksum against slips of the pen.

Before this room: a key as text. After it: `keys`. Rules: BIP 173, without its limit on the length.
"""

from collections.abc import Iterable

from valija.age.errors import KeyFormatError

_alphabet = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_generators = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_checksum_length = 6


def encode(prefix: str, data: bytes) -> str:
    """Return `data` as lower-case text that begins with `prefix` and `1`."""
    values = _regroup(data, 8, 5)
    if left := len(data) * 8 % 5:
        values.append(data[-1] << (5 - left) & 31)
    rest = _polymod([*_spread(prefix), *values, *[0] * _checksum_length]) ^ 1
    values += [rest >> 5 * (_checksum_length - 1 - at) & 31 for at in range(_checksum_length)]
    return f"{prefix}1{''.join(_alphabet[value] for value in values)}"


def decode(prefix: str, text: str) -> bytes:
    """Return the bytes of `text`, which is all lower or all upper case as `prefix` is.

    Raises:
        KeyFormatError: the prefix, a character or the checksum is wrong. The text is not repeated: it may be secret.
    """
    start = f"{prefix}1"
    body = text[len(start) :]
    if not text.startswith(start) or body != (body.upper() if prefix.isupper() else body.lower()):
        raise KeyFormatError(f"This is no key that begins with {start}.")
    values = [_alphabet.find(character) for character in body.lower()]
    if len(values) < _checksum_length or -1 in values:
        raise KeyFormatError(f"The key that begins with {start} holds a character that no key has, or is cut off.")
    if _polymod([*_spread(prefix.lower()), *values]) != 1:
        raise KeyFormatError(f"The key that begins with {start} has a wrong checksum: one of its characters is wrong.")
    values = values[:-_checksum_length]
    left = len(values) * 5 % 8
    if left >= 5 or (left and values[-1] & (1 << left) - 1):
        raise KeyFormatError(f"The key that begins with {start} does not end as the encoding demands.")
    return bytes(_regroup(values, 5, 8))


def _regroup(values: Iterable[int], width: int, new_width: int) -> list[int]:
    """Cut a row of `width`-bit values into `new_width`-bit ones; bits that fill no whole one are left off."""
    held = bits = 0
    result = []
    for value in values:
        held = held << width | value
        bits += width
        while bits >= new_width:
            bits -= new_width
            result.append(held >> bits)
            held &= (1 << bits) - 1
    return result


def _spread(prefix: str) -> list[int]:
    codes = prefix.encode("ascii")
    return [*(code >> 5 for code in codes), 0, *(code & 31 for code in codes)]


def _polymod(values: Iterable[int]) -> int:
    rest = 1
    for value in values:
        top = rest >> 25
        rest = (rest & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_generators):
            if top >> bit & 1:
                rest ^= generator
    return rest
