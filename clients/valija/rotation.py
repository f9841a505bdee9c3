"""Other keys for a contact point: made beside the old ones, asked for, and used once the directory names them.

The keyring is the one place where the change is recorded: new keys and the note that asks for them go into it in one
step, the file for the officers is derived from it. The note follows from the last one that officers admitted, which is
the newest whose keys the directory names. Nobody has to tell when the change takes place: whoever signs uses the key
that the newest directory calls active, whoever opens uses the key that a message was sealed for.

The promise: a crash at any line leaves the old keys, and either no new ones or new ones with their request; running
the command again goes on from there.

Before this room: `cli`. After it: `keyring`, `enrol`. Rules: schemas/SPEC.md sections 1.6 and 4.4.
"""

from pathlib import Path
from typing import Final

import msgspec

from valija import age, durable
from valija import keyring as keyrings
from valija.config import Config
from valija.database import hold
from valija.enrol import make_request
from valija.errors import ConfigError, EnrolmentError, KeyringError
from valija.keyring import Keyring
from valija_schemas.directory import ContactPoint, DirectoryError, Request, read_request

_LOST_HINT: Final = "Name the file with --previous. If it is lost, tell the officers, and use --lost."


class Asked(msgspec.Struct, frozen=True):
    """A request of ours."""

    request: Request
    digest: str
    raw: bytes


def newest_admitted(keyring: Keyring, point: ContactPoint, given: bytes | None = None) -> str:
    """The digest of the request that officers admitted last; `given` is one that the keyring does not remember.

    Raises:
        EnrolmentError: none of them is it.
    """
    known = [*keyring.requests, *([given] if given is not None else [])]
    for asked in (_read(raw, keyring) for raw in reversed(known)):
        if any(key.key == asked.request.sign for key in point.sign):
            return asked.digest
    raise EnrolmentError("the request that the officers admitted is not here", hint=_LOST_HINT)


def waiting(keyring: Keyring, point: ContactPoint) -> Asked | None:
    """The newest request, if officers have not admitted it."""
    if not keyring.requests:
        return None
    asked = _read(keyring.requests[-1], keyring)
    return None if any(key.key == asked.request.sign for key in point.sign) else asked


def rotated(keyring: Keyring, point: ContactPoint, previous: str | None, now_ms: int) -> Keyring:
    """The keyring with new keys, and as its newest request the note that asks for them."""
    earlier = [_read(raw, keyring).request.time for raw in keyring.requests]
    now_ms = max([now_ms, *(time + 1 for time in earlier)])  # officers refuse one that is not newer
    fresh = keyring.rotate(now_ms=now_ms)
    raw = make_request(
        fresh,
        name=point.name,
        area=point.area,
        state=point.state,
        organisation=point.organisation,
        previous=previous,
        now_ms=now_ms,
    )
    return fresh.with_request(raw)


def rotate(
    config: Config, point: ContactPoint, *, given: bytes | None, lost: bool, again: bool, now_ms: int
) -> tuple[Keyring, Asked, Path]:
    """Make and keep new keys, and write the file that asks for them; the keyring, the request and the file.

    A request that waits already is written once more and nothing is made, unless `again` is set.

    Raises:
        EnrolmentError: nothing shows what was admitted before, and `lost` is not set.
        KeyringError, ConfigError: a file cannot be read or written; what was there is still there.
    """
    path = config.keyring_path
    lock = hold(path.with_name(f"{path.name}.lock"))
    if lock is None:
        raise KeyringError("another process changes this keyring now", hint="Wait until it has ended.")
    try:
        keyring = config.load_keyring()  # under the lock: what another process added is in it
        asked = waiting(keyring, point)
        if asked is None or again:
            previous = None if lost else newest_admitted(keyring, point, given)
            keyring = rotated(keyring, point, previous, now_ms)
            # A crash before the file is replaced leaves the old keys and no request.
            keyrings.save(path, keyring, opener(config), replace=True)
            if config.load_keyring().to_text() != keyring.to_text():
                raise KeyringError(f"{path} was not read back as it was written")
            asked = _read(keyring.requests[-1], keyring)
        # A crash here leaves new keys with a request that nobody has: the next run writes its file.
        return keyring, asked, _write_request(path.parent, asked)
    finally:
        lock.close()


def opener(config: Config) -> age.Recipient:
    """What the keyring of this profile is sealed for.

    Raises:
        ConfigError, KeyringError: it is not there or cannot be used.
    """
    identity = config.identity()
    return identity.recipient if isinstance(identity, age.SealIdentity) else identity


def _write_request(folder: Path, asked: Asked) -> Path:
    path = folder / f"{asked.request.contact_point}.{asked.digest[:8]}.request"
    try:
        durable.write(path, asked.raw, replace=True)  # its name is its digest's: it is the same file or none
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from None
    return path


def _read(raw: bytes, keyring: Keyring) -> Asked:
    try:
        request, digest = read_request(raw, keyring.origin)
    except DirectoryError as error:
        raise EnrolmentError(f"this is no request of this exchange: {error}", hint=_LOST_HINT) from None
    if request.contact_point != keyring.id:
        raise EnrolmentError(f"this is a request of {request.contact_point}", hint=_LOST_HINT)
    return Asked(request, digest, raw)
