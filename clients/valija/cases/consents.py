"""Consents that came otherwise than in a message: a letter, a telephone call. Somebody here recorded them by hand.

Each lies in an age file for our seal key, with the file that shows it, in `consents.sqlite` of the state folder.
Unlike the case index this file cannot be made again. A consent by hand is always shown as one: no signature of the
other side stands behind it.

The promise: what was recorded is on the disk, and none of its content in clear.

Before this room: `desk`. After it: `database`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from valija import age
from valija.cases.handling import Consent
from valija.database import open_database, transaction
from valija.errors import StateError
from valija.keys import Keys

proof_bytes_max: Final = 8 * 1024 * 1024  #: A scanned letter of some pages.
_LAYOUT: Final = 1
_SCHEMA: Final = """CREATE TABLE valija_consents (
  number INTEGER PRIMARY KEY,
  message TEXT NOT NULL,          -- the digest of what may be passed on
  sealed BLOB NOT NULL,           -- the consent and its proof, an age file
  key_id TEXT NOT NULL            -- our seal key that opens it
);
CREATE INDEX valija_consents_message ON valija_consents (message)"""


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    consent: Consent
    proof: bytes


_decode: Final = msgspec.json.Decoder(_Record)


class Consents:
    """The consents that were recorded by hand in one state folder. One thread at a time."""

    def __init__(self, folder: Path, keys: Keys) -> None:
        self._db = open_database(folder / "consents.sqlite", _SCHEMA, _LAYOUT)
        self._keys: Final = keys

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def record(self, consent: Consent, proof: bytes, own: age.SealRecipient) -> None:
        """Keep a consent and what shows it."""
        sealed = age.encrypt(msgspec.json.encode(_Record(consent=consent, proof=proof)), [own])
        with transaction(self._db):
            # A crash before the commit leaves nothing: it is recorded again.
            self._db.execute(
                "INSERT INTO valija_consents (message, sealed, key_id) VALUES (?, ?, ?)",
                (consent.message, sealed, own.key_id),
            )

    def of(self, digest: str) -> Iterator[Consent]:
        """The consents for a message, oldest first.

        Raises:
            StateError: the file is damaged.
            KeyMissingError: the seal key that opens one is not in this keyring.
        """
        rows = self._db.execute(
            "SELECT sealed, key_id FROM valija_consents WHERE message = ? ORDER BY number", (digest,)
        ).fetchall()
        for row in rows:
            identity = self._keys.seal_identity(row["key_id"])
            try:
                found = _decode.decode(age.decrypt(row["sealed"], identity)).consent
            except (age.AgeError, msgspec.MsgspecError) as error:
                raise StateError(f"a recorded consent does not open: {error}") from None
            if found.message == digest:  # or a consent for another message was put here
                yield found
