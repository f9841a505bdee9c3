"""The broker's own keys: evidence, freshness and log. None of them opens anything.

They lie in one TOML file with mode 0600 (systemd's LoadCredential serves as well). The root, which the officers sign,
names their public halves; `valija-broker init` makes them and writes what the officers need.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from valija_broker.errors import BadConfig
from valija_schemas import checkpoint as checkpoints
from valija_schemas import note as notes
from valija_schemas.directory import BrokerKeys

PUBLIC_NAME: Final = "broker.public.toml"


class _Stored(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file: seeds of 32 bytes in hex."""

    evidence: str
    freshness: str
    log: str
    log_ml_dsa: str
    evidence_older: tuple[str, ...] = ()  #: Kept to repeat, byte for byte, what they said.


class Keys:
    """The broker's private keys, in memory."""

    def __init__(
        self,
        evidence: Ed25519PrivateKey,
        freshness: Ed25519PrivateKey,
        log: Ed25519PrivateKey,
        log_ml_dsa: MLDSA44PrivateKey,
        evidence_older: Sequence[Ed25519PrivateKey] = (),
    ) -> None:
        self._older = tuple(evidence_older)
        self._evidence = evidence
        self._freshness = freshness
        self._log = log
        self._log_ml_dsa = log_ml_dsa

    def __repr__(self) -> str:
        return "Keys(...)"

    @property
    def evidence_id(self) -> str:
        """Names the evidence key in the broker's own records: 16 hex digits of its SHA-256."""
        return _id(self._evidence)

    def evidence_signers(self, origin: str) -> dict[str, notes.Signer]:
        """The evidence key and the older ones, by their ids."""
        return {_id(key): notes.Ed25519Signer(f"{origin}/broker", key) for key in (self._evidence, *self._older)}

    def freshness(self, origin: str) -> notes.Ed25519Signer:
        """Signs freshness notes."""
        return notes.Ed25519Signer(f"{origin}/broker", self._freshness)

    def log_signer(self, origin: str) -> notes.Ed25519Signer:
        """Signs checkpoints, under the log's origin."""
        return notes.Ed25519Signer(checkpoints.origin_of(origin), self._log)

    def log_cosigner(self, origin: str) -> checkpoints.MlDsa44Cosigner:
        """Signs the same checkpoints against quantum computers."""
        return checkpoints.MlDsa44Cosigner(checkpoints.origin_of(origin), self._log_ml_dsa)

    @property
    def public(self) -> BrokerKeys:
        """What the root must say."""
        return BrokerKeys(
            evidence=tuple(key.public_key().public_bytes_raw().hex() for key in (self._evidence, *self._older)),
            freshness=self._freshness.public_key().public_bytes_raw().hex(),
            log=self._log.public_key().public_bytes_raw().hex(),
            log_ml_dsa=self._log_ml_dsa.public_key().public_bytes_raw().hex(),
        )

    @classmethod
    def generate(cls) -> "Keys":
        """New keys."""
        return cls(
            Ed25519PrivateKey.generate(),
            Ed25519PrivateKey.generate(),
            Ed25519PrivateKey.generate(),
            MLDSA44PrivateKey.generate(),
        )

    def rotated(self) -> "Keys":
        """These keys with a new one for evidence, and those before it among the older."""
        older = (self._evidence, *self._older)
        return Keys(Ed25519PrivateKey.generate(), self._freshness, self._log, self._log_ml_dsa, older)

    def save(self, path: Path) -> None:
        """Write the file, for its owner only. An existing file is never overwritten: the root names its keys.

        Raises:
            BadConfig: the file exists, or cannot be written.
        """
        stored = _Stored(
            evidence=self._evidence.private_bytes_raw().hex(),
            freshness=self._freshness.private_bytes_raw().hex(),
            log=self._log.private_bytes_raw().hex(),
            log_ml_dsa=self._log_ml_dsa.private_bytes_raw().hex(),
            evidence_older=tuple(key.private_bytes_raw().hex() for key in self._older),
        )
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise BadConfig(f"{path} exists and is not overwritten: the root names its keys") from None
        except OSError as error:
            raise BadConfig(f"{path} cannot be written: {error.strerror}") from None
        with os.fdopen(descriptor, "wb") as file:
            fields = msgspec.structs.asdict(stored)
            lines = [f"{name} = {msgspec.json.encode(value).decode()}\n" for name, value in fields.items()]
            file.write("".join(lines).encode())
            file.flush()
            os.fsync(file.fileno())

    @classmethod
    def load(cls, path: Path) -> "Keys":
        """Read the file.

        Raises:
            BadConfig: it cannot be read, others can read it, or it holds no keys. The text never quotes it.
        """
        try:
            if path.stat().st_mode & 0o077:
                raise BadConfig(f"{path} can be read by others: chmod 600 {path}")
            stored = msgspec.toml.decode(path.read_bytes(), type=_Stored)
            return cls(
                Ed25519PrivateKey.from_private_bytes(bytes.fromhex(stored.evidence)),
                Ed25519PrivateKey.from_private_bytes(bytes.fromhex(stored.freshness)),
                Ed25519PrivateKey.from_private_bytes(bytes.fromhex(stored.log)),
                MLDSA44PrivateKey.from_seed_bytes(bytes.fromhex(stored.log_ml_dsa)),
                [Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed)) for seed in stored.evidence_older],
            )
        except OSError as error:
            raise BadConfig(f"{path} cannot be read ({error.strerror}): `valija-broker init` makes it") from None
        except (msgspec.MsgspecError, ValueError):
            raise BadConfig(f"{path} does not hold the broker's keys") from None


def _id(key: Ed25519PrivateKey) -> str:
    return hashlib.sha256(key.public_key().public_bytes_raw()).hexdigest()[:16]
