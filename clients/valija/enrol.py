"""How a contact point asks to enter the directory, or for other keys, and proves that it holds them.

The request is a note that the `sign` and the `auth` key both sign: it binds the keys to the name and to the exchange.
A seal key cannot sign, so the officers' tool seals 32 random bytes to it, and whoever opens them holds it. The answer
goes back by the channel that the challenge came by. None of the three files is secret to anybody else's harm, and
none is believed before officers compared the fingerprints by a channel of their own.

Before this room: `keyring`. After it: `valija.registry.admission`. Rules: schemas/SPEC.md section 1.6, "Keys".
"""

import time
from typing import Final

from valija import age
from valija.errors import EnrolmentError
from valija.keyring import Keyring
from valija_schemas import limits, wire
from valija_schemas import note as notes
from valija_schemas.directory import REQUEST, Area, DirectoryError, Request, note_text, read_request

answer_bytes: Final = 32
challenge_bytes_max: Final = 4 * 1024  #: A header with one stanza takes 1.8 kB.


def make_request(
    keyring: Keyring,
    *,
    name: str,
    area: Area,
    state: str | None = None,
    organisation: str | None = None,
    previous: str | None = None,
    now_ms: int | None = None,
) -> bytes:
    """The note that asks for the current keys of `keyring`, signed by its `sign` and its `auth` key.

    `previous` is the digest of this contact point's request before, which its officers keep, too.

    Raises:
        EnrolmentError: the name, the owner or the area is not well-formed.
    """
    seal = next(key.public for key in keyring.held if key.seal is keyring.seal)
    request = Request(
        contact_point=keyring.id,
        state=state,
        organisation=organisation,
        name=name,
        area=area,
        sign=keyring.sign.public.hex(),
        seal=seal,
        auth=keyring.auth.public.hex(),
        previous=previous,
        time=now_ms if now_ms is not None else time.time_ns() // 1_000_000,
    )
    try:
        raw = notes.sign(note_text(REQUEST, keyring.origin, request), [keyring.sign, keyring.auth])
        read_request(raw, keyring.origin)
    except (wire.WireError, DirectoryError) as error:
        raise EnrolmentError(
            f"this request is not well-formed: {error}",
            hint="Give --name, one of the five areas, and either a State of two capitals or an organisation.",
        ) from None
    return raw


def request_digest(raw: bytes) -> str:
    """The digest of a request, for `previous` of the next one.

    Raises:
        EnrolmentError: it is no request.
    """
    try:
        return notes.parse(raw, limits.note_bytes_max).digest
    except notes.NoteError as error:
        raise EnrolmentError(f"this is no request: {error}") from None


def answer_challenge(raw_challenge: bytes, keyring: Keyring) -> bytes:
    """The 32 bytes that officers sealed to the current seal key, as a line of hex.

    Only what has exactly that length is given out, so that nobody can have a message opened by calling it a challenge.

    Raises:
        EnrolmentError: it was sealed to another key, or is not a challenge.
    """
    if len(raw_challenge) > challenge_bytes_max:
        raise EnrolmentError("this is too long to be a challenge")
    try:
        answer = age.decrypt(raw_challenge, keyring.seal, position=0)
    except age.NoMatchError:
        raise EnrolmentError("this challenge was sealed to another key than the newest one of this keyring") from None
    except age.AgeError as error:
        raise EnrolmentError(f"this is not a whole challenge: {error}") from None
    if len(answer) != answer_bytes:
        raise EnrolmentError("this is not a challenge: it does not hold 32 bytes")
    return answer.hex().encode() + b"\n"
