"""Which public keys may be registered at all. SPEC.md section 1.6.

An Ed25519 key of small or mixed order, or one spelled in a second way, loads and verifies forged signatures in the
verifier that everybody uses (tried with OpenSSL 4: the identity point accepts one fixed signature for any text). So a
key is looked at once, slowly, when it is admitted, and never again.
"""

import hashlib
from typing import Final

_P: Final = 2**255 - 19
_L: Final = 2**252 + 27742317777372353535851937790883648493  # order of the prime-order group, RFC 8032 section 5.1
_D: Final = -121665 * pow(121666, -1, _P) % _P
_SQRT_M1: Final = pow(2, (_P - 1) // 4, _P)

_Point = tuple[int, int, int, int]  # extended coordinates, RFC 8032 section 5.1.4
_IDENTITY: Final[_Point] = (0, 1, 1, 0)


class WeakKeyError(ValueError):
    """This public key may not be registered; the text says why."""


def check_ed25519(public: bytes) -> None:
    """Refuse a key that is not a canonical point of the prime-order group.

    Raises:
        WeakKeyError: not 32 bytes, not the one spelling of a point, or of small or mixed order.
    """
    if len(public) != 32:
        raise WeakKeyError("an Ed25519 key has 32 bytes")
    y = int.from_bytes(public, "little") & (2**255 - 1)
    sign = public[31] >> 7
    if y >= _P:
        raise WeakKeyError("the key is not in its one spelling")
    # x^2 = (y^2 - 1) / (d y^2 + 1), RFC 8032 section 5.1.3
    u, v = (y * y - 1) % _P, (_D * y * y + 1) % _P
    x = u * pow(v, 3, _P) * pow(u * pow(v, 7, _P), (_P - 5) // 8, _P) % _P
    if (v * x * x - u) % _P != 0:
        x = x * _SQRT_M1 % _P
    if (v * x * x - u) % _P != 0:
        raise WeakKeyError("the key is not a point of the curve")
    if x == 0 and sign:
        raise WeakKeyError("the key is not in its one spelling")
    if x & 1 != sign:
        x = _P - x
    point = (x, y, 1, x * y % _P)
    if _is_identity(_multiply(8, point)):
        raise WeakKeyError("the key is of small order")
    if not _is_identity(_multiply(_L, point)):
        raise WeakKeyError("the key is of mixed order")


def auth_key_id(public: bytes) -> str:
    """The `keyid` of HTTP signatures: lower-case hex SHA-256 of the 32 public bytes."""
    return hashlib.sha256(public).hexdigest()


def fingerprint(public: bytes) -> str:
    """A public key in blocks of four, to be read over the telephone: 128 bits of its SHA-256."""
    return blocks(hashlib.sha256(public).hexdigest()[:32])


def blocks(digits: str) -> str:
    """Hex in blocks of four, to be read over the telephone; a digest thus takes two lines of eight blocks."""
    found = [digits[at : at + 4] for at in range(0, len(digits), 4)]
    return "\n".join(" ".join(found[at : at + 8]) for at in range(0, len(found), 8))


def unblocked(text: str) -> str:
    """Digits as a person types or pastes them, blanks, line ends and capitals included, in their one spelling."""
    return "".join(text.split()).lower()


def typed_digest(text: str) -> str:
    """A digest that a person typed or pasted: 64 digits of lower-case hex.

    Raises:
        ValueError: it is none.
    """
    digits = unblocked(text)
    if len(digits) != 64 or not set(digits) <= set("0123456789abcdef"):
        raise ValueError("a digest has 64 digits of hex: sixteen blocks of four")
    return digits


def _add(a: _Point, b: _Point) -> _Point:
    x1, y1, z1, t1 = a
    x2, y2, z2, t2 = b
    e = (y1 - x1) * (y2 - x2) % _P
    f = (y1 + x1) * (y2 + x2) % _P
    g = 2 * t1 * t2 * _D % _P
    h = 2 * z1 * z2 % _P
    i, j, k, m = f - e, h - g, h + g, f + e
    return i * j % _P, k * m % _P, j * k % _P, i * m % _P


def _multiply(scalar: int, point: _Point) -> _Point:
    result = _IDENTITY
    while scalar:
        if scalar & 1:
            result = _add(result, point)
        point = _add(point, point)
        scalar >>= 1
    return result


def _is_identity(point: _Point) -> bool:
    x, y, z, _ = point
    return x % _P == 0 and (y - z) % _P == 0
