"""age files: how a message's body, an attachment and a keyring are sealed, and opened again.

The format is C2SP age v1, with two of its kinds of recipient: the post-quantum hybrid `mlkem768x25519` and the
passphrase (`scrypt`). Any age tool that knows them opens what this room writes, and the other way round. The primitives
are those of `cryptography`; this room adds the format and no cryptography of its own. It never gives out a byte of
plaintext that was not verified, and no secret stands in a `repr` or in an error.

Inside: `keys` (who), `file` (whole files), `payload` (chunks), `bech32` (keys as text), and `record` (rows of a file of
our own). The header's form is read by `valija_schemas.age_header`, the same reader that the broker uses. Before this
room: `valija.seal` and the keyring; no other room opens anything. Rules: schemas/SPEC.md section 1, "Seal".
"""

from valija.age.errors import AgeError, HeaderError, KeyFormatError, MacError, NoMatchError, PayloadError
from valija.age.file import decrypt, decrypt_stream, encrypt, encrypt_stream, file_key
from valija.age.keys import (
    FileKey,
    Identity,
    Passphrase,
    Recipient,
    SealIdentity,
    SealRecipient,
    work_factor_default,
    work_factor_max,
)
from valija.age.record import RecordKey

__all__ = [
    "AgeError",
    "FileKey",
    "HeaderError",
    "Identity",
    "KeyFormatError",
    "MacError",
    "NoMatchError",
    "Passphrase",
    "PayloadError",
    "Recipient",
    "RecordKey",
    "SealIdentity",
    "SealRecipient",
    "decrypt",
    "decrypt_stream",
    "encrypt",
    "encrypt_stream",
    "file_key",
    "work_factor_default",
    "work_factor_max",
]
