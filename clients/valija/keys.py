"""The private keys of a contact point, wherever they lie, and which of them the directory names.

Whoever uses keys asks for `Keys`, so that a hardware token can stand in for the keyring file.

Before this room: `client`, `sending`, `inbox`. After it: `keyring`, `key_file`. Rules: schemas/SPEC.md section 1.6,
"Keys".
"""

import functools
from typing import Literal, Protocol

from valija import age
from valija.errors import KeyMissingError, RecipientError
from valija_schemas.directory import Phonebook
from valija_schemas.note import Signer


class Keys(Protocol):
    """The keys of one contact point, wherever they lie. Safe to share between threads.

    A call may wait for a token or a person. It raises `KeyMissingError` where the key is not here: that is a local
    fault, never a reason to refuse a message.
    """

    @property
    def origin(self) -> str:
        """The exchange that the keys belong to."""
        ...

    @property
    def id(self) -> str:
        """The contact point."""
        ...

    @property
    def sign(self) -> Signer:
        """Signs messages and receipts: the newest key of this use."""
        ...

    @property
    def auth(self) -> Signer:
        """Signs HTTP requests: the newest key of this use."""
        ...

    def signer(self, use: Literal["sign", "auth"], public: str) -> Signer:
        """The signer with this public key in hex, which the directory may still name after a newer one was made."""
        ...

    def seal_identity(self, key_id: str) -> age.Identity:
        """What opens bodies sealed to the seal key with this id."""
        ...


def holds(keys: Keys, use: str, key: str) -> bool:
    """Whether the private half of a key is here: `key` is the public one in hex, of a seal key its id."""
    try:
        if use == "seal":
            keys.seal_identity(key)
        else:
            keys.signer("sign" if use == "sign" else "auth", key)
    except KeyMissingError:
        return False
    return True


def signer(keys: Keys, phonebook: Phonebook, use: str) -> Signer:
    """The key of `use`, `sign` or `auth`, that the directory names as active: a newer one may not be published yet.

    Raises:
        KeyMissingError: none of them is in this keyring.
    """
    point = phonebook.point(keys.id)
    named = () if point is None else (point.sign if use == "sign" else point.auth)
    for key in named:
        if key.status == "active":
            try:
                return keys.signer("sign" if use == "sign" else "auth", key.key)
            except KeyMissingError:
                continue
    raise KeyMissingError(
        f"no {use} key of {keys.id} that directory version {phonebook.version} names is in this keyring",
        hint="Use the keyring whose keys the officers admitted, or fetch the newest directory.",
    )


def own_recipient(keys: Keys, phonebook: Phonebook) -> age.SealRecipient:
    """Ourselves: a seal key that the directory has for us and that this keyring holds, or another could open it.

    Raises:
        RecipientError, KeyMissingError: there is none.
    """
    own = phonebook.point(keys.id)
    if own is None or own.seal_key is None:
        raise RecipientError(f"{keys.id} has no seal key in force in directory version {phonebook.version}")
    for key in sorted(own.seal, key=lambda key: key.status != "active"):
        if key.status != "revoked" and holds(keys, "seal", key.key_id):
            return seal_recipient(key.public)
    raise KeyMissingError(
        f"no seal key of {keys.id} that directory version {phonebook.version} names is in this keyring",
        hint="Use the keyring whose keys the officers admitted. If nobody here made another, call an officer.",
    )


@functools.lru_cache(maxsize=1024)
def seal_recipient(public: bytes) -> age.SealRecipient:
    """The seal key with these bytes. It is tried when it is read, which takes as long as sealing: once is enough."""
    return age.SealRecipient.from_bytes(public)
