"""How people sign in at the broker's console: with the key that the root gives them, on their own machine.

The console draws a challenge, a command signs it in a note with the address at which it reached the console, and is
given a token, and a link for a browser. The key stays where it is; the token opens what the person's roles allow.

Everything here is pure: a note, a root and a time in, a verdict out. SPEC.md section 5.6.
"""

from typing import Annotated, Final

import msgspec

from valija_schemas import limits, wire
from valija_schemas import note as notes
from valija_schemas.directory import Operator, Role, Root
from valija_schemas.wire import Identifier, Milliseconds

SESSION: Final = "valija/session/v1"

challenge_ms: Final = 120 * limits.SECOND_MS  #: How long one may be answered: a person types a passphrase meanwhile.
link_ms: Final = 60 * limits.SECOND_MS  #: How long a link works, once: the command opens the browser at once.
idle_ms: Final = 15 * 60 * limits.SECOND_MS  #: Without a request of theirs, a session ends.
session_ms: Final = 8 * limits.HOUR_MS  #: A working day: then it ends whatever happens in it.

Challenge = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{22,128}$")]
Secret = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{43}$")]
"""32 random bytes in base64url. Whoever has one is believed to be who it was given to."""
Address = Annotated[str, msgspec.Meta(pattern=r"^https?://[a-z0-9.:\[\]-]{1,255}$")]


class SessionError(ValueError):
    """This does not sign anybody in; the text, which says why, is for our own log."""


class _Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fields in this order, all present, none unknown."""


class SignIn(_Record, frozen=True, kw_only=True):
    """`valija/session/v1`: somebody who works at the broker answers a challenge of its console."""

    operator: Identifier  #: Who signs in.
    address: Address  #: Of the console, as the command reached it. Another console cannot pass the note on.
    challenge: Challenge
    time: Milliseconds  #: When it was signed.


class Challenged(_Record, frozen=True, kw_only=True):
    """What the console draws for whoever asks."""

    origin: str  #: The exchange.
    challenge: Challenge
    expires: Milliseconds  #: It is answered until then, once.
    time: Milliseconds  #: The broker's clock.


class SignedIn(_Record, frozen=True, kw_only=True):
    """A session, as it stands."""

    operator: Identifier
    roles: tuple[Role, ...]
    idle: Milliseconds  #: When it ends unless something is asked before.
    expires: Milliseconds  #: When it ends in any case.


class Begun(_Record, frozen=True, kw_only=True):
    """A session that has just begun."""

    token: Secret  #: For `Authorization: Bearer`.
    link: str  #: Begins a session in a browser, once, within a minute; it ends with this one.
    session: SignedIn


_read: Final = wire.Decoder(SignIn, limits.note_bytes_max)


def text(origin: str, value: SignIn) -> bytes:
    """The text to sign.

    Raises:
        WireError: no reader would take it.
    """
    json = wire.encode(value)
    _read(json)
    return notes.text(SESSION, origin, json)


def parse_sign_in(raw: bytes, origin: str) -> tuple[notes.Note, SignIn]:
    """A note that is well-formed; whether it signs anybody in is `read_sign_in`.

    Raises:
        SessionError: another kind, another exchange, or not the one form.
    """
    try:
        note = notes.parse(raw)
        notes.require(note, SESSION, origin)
        return note, _read(note.json)
    except ValueError as error:
        raise SessionError(str(error)) from None


def read_sign_in(raw: bytes, origin: str, root: Root, address: str, at_ms: int) -> tuple[Operator, SignIn]:
    """Who signs in with this note at the console of `address`. That the challenge was drawn there is for its caller.

    Raises:
        SessionError: as `parse_sign_in`; for another console, signed at another time, by nobody whom `root` names so.
    """
    note, value = parse_sign_in(raw, origin)
    if value.address != address:
        raise SessionError(f"it is for the console at {value.address}")
    if not at_ms - challenge_ms - limits.signature_skew_max_ms <= value.time <= at_ms + limits.signature_skew_max_ms:
        raise SessionError(f"it was signed {at_ms - value.time} ms ago")
    found = next((one for one in root.operators if one.id == value.operator), None)
    if found is None:
        raise SessionError(f"{value.operator} is not in root version {root.version}")
    try:
        notes.verify_one(note, [notes.Verifier(f"{origin}/{found.id}", bytes.fromhex(found.key))])
    except notes.NoteError as error:
        raise SessionError(str(error)) from None
    return found, value
