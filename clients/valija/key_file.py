"""A keyring file that is read again when another program of this machine added keys to it.

The promise: a program that runs for months finds the keys that `valija keys rotate` made meanwhile, and goes on with
those that it has where the file cannot be read.

Before this room: the settings. After it: `keyring`. Rules: schemas/SPEC.md section 1.6, "Keys".
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

from valija import age
from valija.errors import KeyMissingError, ValijaError
from valija.keyring import Keyring
from valija_schemas.note import Ed25519Signer

_log: Final = logging.getLogger("valija.keyring")


class KeyFile:
    """The keys of a keyring file, for a program that runs on while `valija keys rotate` adds to it.

    The file is looked at again where a key is asked for that is not known, or the newest one is. Safe to share between
    threads.
    """

    def __init__(self, path: Path, load: Callable[[], Keyring]) -> None:
        """`load` opens the file at `path`; what it raises, this raises."""
        self._path = path
        self._load = load
        self._stamp = self._look()  # before it is read: what is written meanwhile is then seen
        self.keyring = load()  #: As it was read last.

    @property
    def origin(self) -> str:
        """The exchange that the keys belong to."""
        return self.keyring.origin

    @property
    def id(self) -> str:
        """The contact point."""
        return self.keyring.id

    @property
    def sign(self) -> Ed25519Signer:
        """Signs messages and receipts: the newest key of this use."""
        self._refresh()
        return self.keyring.sign

    @property
    def auth(self) -> Ed25519Signer:
        """Signs HTTP requests: the newest key of this use."""
        self._refresh()
        return self.keyring.auth

    def signer(self, use: Literal["sign", "auth"], public: str) -> Ed25519Signer:
        """See `Keyring.signer`."""
        try:
            return self.keyring.signer(use, public)
        except KeyMissingError:
            if not self._refresh():
                raise
            return self.keyring.signer(use, public)

    def seal_identity(self, key_id: str) -> age.SealIdentity:
        """See `Keyring.seal_identity`."""
        try:
            return self.keyring.seal_identity(key_id)
        except KeyMissingError:
            if not self._refresh():
                raise
            return self.keyring.seal_identity(key_id)

    def __repr__(self) -> str:
        return f"KeyFile({self.origin}/{self.id})"

    def _refresh(self) -> bool:
        """Read the file again if it is another one; whether it was read."""
        stamp = self._look()
        if stamp in {None, self._stamp}:
            return False
        try:
            self.keyring = self._load()
        except ValijaError as error:  # the keys that were read go on serving
            _log.warning("the keyring was changed and cannot be read: %s", error)
            return False
        self._stamp = stamp
        return True

    def _look(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
