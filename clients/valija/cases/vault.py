"""The key of a file of our own, and what lies sealed under it: each row by itself, bound to what it is a row of.

The key is drawn with the first row, and lies in the file as an age file for our seal key. Where that does not open
any more, there is no key, and whoever keeps the file begins it anew.

Before this room: `index`. After it: `valija.age`.
"""

import sqlite3
from collections.abc import Callable
from typing import Final

from valija import age
from valija.errors import KeyMissingError, StateError
from valija.keys import Keys

OwnRecipient = Callable[[], age.SealRecipient]
"""Our seal key, as the directory names it. Raises `ValijaError` where there is none."""


class Vault:
    """The sealed rows of one file, whose table `valija_meta` has the key."""

    def __init__(self, db: sqlite3.Connection, keys: Keys, own: OwnRecipient) -> None:
        self._db: Final = db
        self._keys: Final = keys
        self._own: Final = own
        self._key: age.RecordKey | None = None

    def forget(self) -> None:
        """Read the key again when it is next needed: another process may have begun the file anew."""
        self._key = None

    @property
    def key(self) -> age.RecordKey | None:
        """The key of the file; None where it is not there or does not open."""
        if self._key is None:
            rows = self._db.execute("SELECT value FROM valija_meta WHERE name IN ('key', 'key_id') ORDER BY name")
            kept = [bytes(row["value"]) for row in rows]
            if len(kept) == 2:
                try:
                    identity = self._keys.seal_identity(kept[1].decode())
                    self._key = age.RecordKey(age.decrypt(kept[0], identity))
                except (KeyMissingError, age.AgeError, ValueError):
                    return None
        return self._key

    def seal(self, plaintext: bytes, bound: str) -> bytes:
        """A row; with the first one the key is drawn, in the transaction that writes it."""
        key = self.key
        if key is None:
            key, own = age.RecordKey.generate(), self._own()
            self._db.executemany(
                "INSERT OR REPLACE INTO valija_meta VALUES (?, ?)",
                [("key", age.encrypt(key.to_bytes(), [own])), ("key_id", own.key_id.encode())],
            )
            self._key = key
        return key.seal(plaintext, bound.encode())

    def open(self, sealed: bytes | None, bound: str) -> bytes | None:
        """What a row says; None where there is none, or no key.

        Raises:
            StateError: it was changed, or put in the place of another.
        """
        key = self.key
        if sealed is None or key is None:
            return None
        try:
            return key.open(sealed, bound.encode())
        except age.AgeError:
            raise StateError(
                "the case index is damaged", hint="Delete cases.sqlite in the state folder: it is made again."
            ) from None
