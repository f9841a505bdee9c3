"""What those who run the broker may see of it: pure reading, for their commands, their console and their API.

It reads the store, the evidence database, the published log and the directory, and fills the records of
`valija_schemas.admin`. It holds no key, opens no message, writes nothing, and does not know who asks: what a role may
see is decided where it is asked.

Before this room: `cli`, `console`. After it: `evidence`, `store`, `shelves`, `log`.
"""

from typing import Protocol

from valija_schemas import admin
from valija_schemas.wire import Digest, Identifier


class Observer(Protocol):
    """How it stands. Each method looks anew, but all mailboxes together are looked at once in a few seconds at most.

    Every one raises StoreError where the store, and sqlite3.Error where the evidence database cannot be read; but
    `overview` and `health` say so in what they return, since they are asked just then.
    """

    async def overview(self) -> admin.Overview:
        """How all of it stands, and what needs attention."""

    async def mailboxes(self) -> tuple[admin.Mailbox, ...]:
        """Every contact point of the newest directory, in its order."""

    async def mailbox(self, name: Identifier) -> admin.Mailbox | None:
        """One of them; None where the directory has none of this name."""

    async def messages(self, wanted: admin.Wanted, after: str | None, count: int) -> admin.Messages:
        """At most `count` messages, the newest first, from where `next` of the page before says.

        Raises:
            ValueError: `after` is not of a page.
        """

    async def story(self, digest: Digest) -> admin.MessageStory | None:
        """One message and its events; None where none of this digest was accepted."""

    async def dead(self) -> tuple[admin.DeadGroup, ...]:
        """The dead letters by cause, the commonest first."""

    async def versions(self) -> tuple[admin.DirectoryVersion, ...]:
        """The versions of the directory that the broker keeps, the newest first."""

    async def log(self) -> admin.LogState:
        """The newest checkpoint and who cosigned it."""

    async def acts(self, before: int | None, count: int) -> tuple[admin.Act, ...]:
        """At most `count` acts of operators, the newest first, of leaves before index `before`."""

    async def health(self) -> admin.Health:
        """A look at every part."""

    async def report(self, month: str) -> admin.Report:
        """What an evaluation mechanism may know of a month such as `2026-10`.

        Raises:
            ValueError: it is none.
        """
