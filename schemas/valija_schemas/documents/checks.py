"""Check digits and other checks of one value that a pattern cannot make. Pure: a text in, a verdict out.

Each function expects a text that already fits the pattern of its type in `codes`.
"""

import datetime as dt
import ipaddress
from collections.abc import Callable
from typing import Final

import msgspec

# ISO 6346 gives letters the values from 10 up and leaves out the multiples of 11.
_ISO_6346: Final = dict(zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", (n for n in range(10, 39) if n % 11), strict=True))


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """A rule about one value, carried by its type as `Meta(extra={"check": ...})`."""

    rule: str  #: Its name: `imo-check-digit`.
    holds: Callable[[str], bool]  #: Whether a text keeps it.
    text: str  #: What is wrong and what to do when it does not hold.


def imo(number: str) -> bool:
    """An IMO ship number: the last digit of the sum of the first six, weighted 7 down to 2 (IMO A.1117(30))."""
    return sum(int(digit) * weight for digit, weight in zip(number, range(7, 1, -1), strict=False)) % 10 == int(
        number[6]
    )


def container(number: str) -> bool:
    """A container number: powers of two as weights, modulo 11, where 10 counts as 0 (ISO 6346 annex A)."""
    total = sum((_ISO_6346[sign] if sign.isalpha() else int(sign)) << place for place, sign in enumerate(number[:10]))
    return total % 11 % 10 == int(number[10])


def iban(number: str) -> bool:
    """An IBAN: read as one number, with the first four signs last and A as 10, it leaves 1 modulo 97 (ISO 13616)."""
    return int("".join(str(int(sign, 36)) for sign in number[4:] + number[:4])) % 97 == 1


def cas(number: str) -> bool:
    """A CAS registry number: digits weighted from the right, modulo 10."""
    digits = number.replace("-", "")
    return sum(place * int(digit) for place, digit in enumerate(reversed(digits[:-1]), 1)) % 10 == int(digits[-1])


def imei(number: str) -> bool:
    """An IMEI of 15 digits: the Luhn sum (3GPP TS 23.003 annex B). 14 and 16 digits carry no check digit."""
    if len(number) != 15:
        return True
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(number))]
    return sum(value // 10 + value % 10 for value in doubled) % 10 == 0


def date(text: str) -> bool:
    """A day that the calendar has."""
    try:
        dt.date.fromisoformat(text)
    except ValueError:
        return False
    return True


def date_part(text: str) -> bool:
    """A year, a month, or a day that the calendar has."""
    return date((text + "-01-01")[:10])


def date_time(text: str) -> bool:
    """A time on a day that the calendar has."""
    try:
        dt.date.fromisoformat(text[:10])
    except ValueError:
        return False
    return True


def in_order(first: str, second: str) -> bool:
    """Whether the date or time `second` is not before `first`. Where the calendar lacks one, another rule says so."""
    try:
        return dt.datetime.fromisoformat(second) >= dt.datetime.fromisoformat(first)
    except ValueError:
        return True


def ip_address(text: str) -> bool:
    """An IPv4 or IPv6 address, in the one spelling of RFC 5952."""
    try:
        return str(ipaddress.ip_address(text)) == text
    except ValueError:
        return False
