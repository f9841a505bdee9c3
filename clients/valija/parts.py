"""What an open client is made of, and how its parts hang together.

Before this room: `client`. After it: `sending`, `inbox`, `tracking`, `monitor` and what they stand on.
"""

import contextlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from valija import config as configs
from valija.bilateral import Schemas
from valija.cases.sources import Sources
from valija.cases.threads import Threads
from valija.connect import Endpoint
from valija.errors import ConfigError, KeyMissingError, SchemaMissingError
from valija.holding import Holding
from valija.inbox import Mailbox
from valija.inbox_store import InboxStore
from valija.keys import Keys, signer
from valija.line import Line
from valija.log import Log
from valija.monitor import Monitor
from valija.outbox import Outbox
from valija.receive import UnknownTypeError
from valija.refresh import Library
from valija.sending import Sending
from valija.tracking import Tracking
from valija.transport import Transport
from valija_schemas import documents
from valija_schemas.message import Message
from valija_schemas.note import Signer


class Parts:
    """The parts of one client, opened. `close` them."""

    def __init__(self, config: configs.Config, keys: Keys, line: Line | None, clock: Callable[[], int]) -> None:
        folder: Path = config.state_folder
        origin = config.exchange
        self.keys: Final = keys
        self.schemas: Final = Schemas(folder)
        self.outbox: Final = Outbox(folder / "outbox.sqlite")
        self.inbox: Final = InboxStore(folder / "inbox.sqlite")
        self.sources: Final = Sources(folder)
        self.threads: Final = Threads(self.sources, origin, keys.id)
        self.line: Final[Line] = line or Transport(
            Endpoint.of(config),
            lambda: _auth(keys, self.library),
            fallback=lambda: keys.auth,
            clock=clock,
        )
        self.library: Final = Library(folder / "trust", origin, config.root, self.line, clock)
        self.log: Final = Log(origin=origin, library=self.library, line=self.line, outbox=self.outbox, clock=clock)
        self.monitor: Final = Monitor(
            path=folder / "monitor.state",
            keys=keys,
            log=self.log,
            line=self.line,
            library=self.library,
            outbox=self.outbox,
            received=self.inbox.find,
            clock=clock,
        )
        self.tracking: Final = Tracking(
            origin=origin,
            me=keys.id,
            library=self.library,
            line=self.line,
            outbox=self.outbox,
            log=self.log,
            clock=clock,
        )
        self.holding: Final = Holding(
            origin=origin,
            me=keys.id,
            library=self.library,
            line=self.line,
            log=self.log,
            tracking=self.tracking,
            clock=clock,
        )
        self.sending: Final = Sending(
            origin=origin,
            keys=keys,
            library=self.library,
            line=self.line,
            outbox=self.outbox,
            log=self.log,
            holding=self.holding,
            schemas=self.schemas,
            clock=clock,
        )
        self.mailbox: Final = Mailbox(
            origin=origin,
            keys=keys,
            library=self.library,
            line=self.line,
            store=self.inbox,
            log=self.log,
            holding=self.holding,
            open_document=partial(open_document, schemas=self.schemas),
            clock=clock,
            on_reply=self._on_reply,
            on_alarm=lambda digest, text, note: self.outbox.alarms.add(digest, clock(), text, note),
            on_handed_in=lambda digest: self.outbox.feed.handed_in(digest, clock()),
        )
        self._clock = clock

    def close(self) -> None:
        """Let go of the files."""
        for each in (self.outbox, self.inbox, self.sources):
            each.close()

    def _on_reply(self, message: Message) -> None:
        """Note a reply, if it is one: its sender was a recipient of what it answers, and we who sent that are its."""
        header = message.header
        answered = self.outbox.find(header.in_reply_to) if header.in_reply_to else None
        if answered is None or answered.digest != header.in_reply_to:
            return
        if header.sender in answered.to:  # that we are in its `to`, `receive` has verified
            self.outbox.add_reply(answered.digest, message.digest, header.sender, self._clock())


def _auth(keys: Keys, library: Library) -> Signer:
    """The `auth` key that the directory names; the newest one where what is held names none of ours.

    A later version may name that, and only who signs may fetch it: a contact point that was admitted after version 1,
    or that lost its keyring, reads on by this from versions that do not know its keys.
    """
    if not library.empty:
        with contextlib.suppress(KeyMissingError):
            return signer(keys, library.phonebook, "auth")
    return keys.auth


def open_document(type_: str, json: bytes, schema: str | None, schemas: Schemas) -> object:
    """The document of a type, for a bilateral type one that keeps the agreed `schema`.

    Raises:
        UnknownTypeError: there is no such type here, or none was agreed on.
        SchemaMissingError: what was agreed on is not on this machine.
        DocumentError: it is no such document.
    """
    if schema is not None:
        try:
            return schemas.decode(type_, json, schema)
        except SchemaMissingError:
            raise
        except ConfigError as error:
            raise SchemaMissingError(str(error), hint=error.hint) from None
    try:
        return documents.decode(type_, json)
    except documents.UnknownType as error:
        raise UnknownTypeError(str(error)) from None
