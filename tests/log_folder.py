"""A log in a folder, with nothing around it."""

import hashlib
from pathlib import Path

from valija_broker.evidence import Row, Version, row_of
from valija_broker.keys import Keys
from valija_broker.log import fsck as checks
from valija_broker.log.ledger import Ledger
from valija_broker.log.publish import Folder, Publisher
from valija_schemas import checkpoint as checkpoints
from valija_schemas.checkpoint import Policy

ORIGIN = "exchange.example"
KEYS = Keys.generate()
POLICY = Policy(
    f"{ORIGIN}/log", bytes.fromhex(KEYS.public.log), bytes.fromhex(KEYS.public.log_ml_dsa)
)  # as upkeep has it


_EVENT = (
    b"valija/evidence/v1 exchange.example\n"
    b'{"event":"ContentHandover","id":"01a20b79-c7db-7c31-9d5e-%012x","message":"%064x","note":"' + b"a" * 64 + b'",'
    b'"body":"' + b"b" * 64 + b'","body_length":9,"from":"mx.enlace","to":["p%d"],"time":%d,'
    b'"directory":[1,"' + b"c" * 64 + b'"],"reason":null}\n'
)


def row(number: int, message: int | None = None) -> Row:
    """As `derive` makes it, and quicker; its time is its number, and so is its message unless said otherwise."""
    event = _EVENT % (number, number if message is None else message, number % 3, number)
    return row_of(event, hashlib.sha256(b"salt %d" % number).digest())


def rows(begin: int, end: int) -> list[Row]:
    return [row(number) for number in range(begin, end)]


def version(number: int) -> Version:
    return Version(hashlib.sha256(b"%d" % number).hexdigest())


class Log:
    """What survives a crash, the folder; and what one process makes of it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def database(self) -> Path:
        return self.path / "evidence.sqlite"

    @property
    def folder(self) -> Path:
        return self.path / "log"

    def ledger(self, kind=Ledger) -> Ledger:
        return kind(self.database, ORIGIN, KEYS.log_signer(ORIGIN), KEYS.log_cosigner(ORIGIN))

    def publisher(self, ledger, store=None, **how) -> Publisher:
        return Publisher(ledger, store or Folder(self.folder), POLICY, **how)

    async def run(self, *batches, store=None, kind=Ledger, **how):
        """One process: check, publish, and then each batch."""
        ledger = self.ledger(kind)
        try:
            publisher = self.publisher(ledger, store, **how)
            publisher.check()
            await publisher.complete()
            await publisher.publish()
            for batch in batches:
                ledger.add(batch)
                await publisher.publish()
            return ledger.state
        finally:
            ledger.close()

    def differences(self) -> list[str]:
        return list(checks.fsck(self.database, self.folder, POLICY, checks.Checked()))

    def public(self):
        return checkpoints.verify_checkpoint((self.folder / "checkpoint").read_bytes(), POLICY)
