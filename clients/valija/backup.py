"""The keyring once more, in one age file that lies elsewhere, and back from it.

A backup is what a keyring file is, sealed for whoever keeps it: a passphrase, or keys of others. Any age tool opens it.
It holds every key that the keyring ever held, so that mail sealed to an older one still opens.

The promise: a backup is said to be made once it was read back and its content compared; nothing that is there is ever
written over.

Before this room: `cli`. After it: `keyring`, `age`.
"""

from collections.abc import Sequence
from pathlib import Path

from valija import age, durable
from valija import keyring as keyrings
from valija.errors import KeyringError, KeyringExistsError
from valija.keyring import Keyring


def write(path: Path, keyring: Keyring, recipients: Sequence[age.Recipient]) -> None:
    """Write a backup that each of `recipients` opens, or the one passphrase, and read it back.

    A passphrase is tried. Keys of others cannot be: their content is compared under the file's own key.

    Raises:
        KeyringExistsError: something is there.
        KeyringError: it cannot be written, or was not read back as it was written.
    """
    text, key = keyring.to_text().encode(), age.FileKey.generate()
    data = age.encrypt(text, recipients, key=key)
    try:
        durable.write(path, data, mode=keyrings.secret_mode)
        again = path.read_bytes()
    except FileExistsError:
        raise KeyringExistsError(f"{path} is there already, and keys are never written over") from None
    except OSError as error:
        raise KeyringError(f"{path} cannot be written: {error.strerror}") from None
    opens: list[age.Identity | age.FileKey] = [key, *(each for each in recipients if isinstance(each, age.Passphrase))]
    try:
        sound = again == data and all(age.decrypt(again, each) == text for each in opens)
    except age.AgeError:
        sound = False
    if not sound:
        raise KeyringError(f"{path} was not read back as it was written", hint="Do not rely on it; use another disk.")


def restore(path: Path, backup: Keyring, recipient: age.Recipient, identity: age.Identity) -> None:
    """Put the keys of a backup at `path`, sealed for this machine, and open them once.

    The same keys that are there already are left as they are: a restore that was interrupted can be run again.

    Raises:
        KeyringExistsError: other keys are there.
        KeyringError: it cannot be written, or was not read back as it was written.
    """
    try:
        keyrings.save(path, backup, recipient)
    except KeyringExistsError:
        try:
            there = keyrings.load(path, identity).to_text()
        except KeyringError:
            there = None
        if there != backup.to_text():
            raise
    if keyrings.load(path, identity).to_text() != backup.to_text():
        raise KeyringError(f"{path} was not read back as it was written")
