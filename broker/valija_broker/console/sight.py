"""What a role may see: one `Observer` for each session, that shows that and refuses the rest.

API and pages ask through it, so that neither can show what the other would not. An observer and a registrar see how
queues, log and directory stand, and no single message: dead letters are counts to them. Operators and auditors see all.

Before this room: `api`, `pages`. After it: `observe`. Rules: schemas/SPEC.md section 3.5.
"""

import asyncio
import re
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Final, ParamSpec, TypeVar, get_args

import msgspec
import structlog

from valija_broker.errors import LogError, Refused, StoreError
from valija_broker.observe import Observer
from valija_schemas import admin
from valija_schemas.checkpoint import CheckpointError
from valija_schemas.directory import Role
from valija_schemas.wire import Digest, Identifier

_log: Final = structlog.get_logger("console")

P = ParamSpec("P")
T = TypeVar("T")

looks_max: Final = 4  #: At once, of all sessions together: the store and the disk are there for mail first.

EVERYBODY: Final[frozenset[Role]] = frozenset(get_args(Role))
OF_MESSAGES: Final[frozenset[Role]] = frozenset({"operator", "auditor"})

#: Who may see what, by the method of `Observer` that shows it.
MAY_SEE: Final[Mapping[str, frozenset[Role]]] = MappingProxyType(
    {
        "overview": EVERYBODY,
        "mailboxes": EVERYBODY,
        "mailbox": EVERYBODY,
        "messages": OF_MESSAGES,
        "story": OF_MESSAGES,
        "dead": EVERYBODY,
        "versions": EVERYBODY,
        "log": EVERYBODY,
        "acts": OF_MESSAGES,
        "health": EVERYBODY,
        "report": OF_MESSAGES,
    }
)
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class Window:
    """Where all sessions of a console look through, a few at once. One event loop uses it."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._turns = asyncio.Semaphore(looks_max)

    def of(self, roles: frozenset[Role]) -> "Sight":
        """The `Observer` of a session with `roles`."""
        return Sight(self._observer, self._turns, roles)


class Sight:
    """An `Observer` that shows what `roles` may see.

    Each method raises Refused: `not-allowed` where none of them may, `unavailable` where it cannot be read now.
    """

    def __init__(self, observer: Observer, turns: asyncio.Semaphore, roles: frozenset[Role]) -> None:
        self._observer = observer
        self._turns = turns
        self._roles = roles

    @property
    def messages_too(self) -> bool:
        """Whether single messages may be seen."""
        return bool(self._roles & OF_MESSAGES)

    async def overview(self) -> admin.Overview:
        """How all of it stands, and what needs attention."""
        return await self._look("overview", self._observer.overview)

    async def mailboxes(self) -> tuple[admin.Mailbox, ...]:
        """Every contact point of the newest directory, in its order."""
        return await self._look("mailboxes", self._observer.mailboxes)

    async def mailbox(self, name: Identifier) -> admin.Mailbox | None:
        """One of them; None where the directory has none of this name."""
        return await self._look("mailbox", self._observer.mailbox, name)

    async def messages(self, wanted: admin.Wanted, after: str | None, count: int) -> admin.Messages:
        """A page of messages.

        Raises:
            ValueError: `after` is not of a page.
        """
        return await self._look("messages", self._observer.messages, wanted, after, count)

    async def story(self, digest: Digest) -> admin.MessageStory | None:
        """One message and its events; None where none of this digest was accepted."""
        return await self._look("story", self._observer.story, digest)

    async def dead(self) -> tuple[admin.DeadGroup, ...]:
        """The dead letters by cause; without the letters for who may see no single message."""
        groups = await self._look("dead", self._observer.dead)
        if self.messages_too:
            return groups
        return tuple(msgspec.structs.replace(group, letters=()) for group in groups)

    async def versions(self) -> tuple[admin.DirectoryVersion, ...]:
        """The versions of the directory that the broker keeps, the newest first."""
        return await self._look("versions", self._observer.versions)

    async def log(self) -> admin.LogState:
        """The newest checkpoint and who cosigned it; who may see no message is not told which a legal hold is on."""
        state = await self._look("log", self._observer.log)
        if self.messages_too:
            return state
        return msgspec.structs.replace(
            state, retained=tuple(what for what in state.retained if not _DIGEST.fullmatch(what))
        )

    async def acts(self, before: int | None, count: int) -> tuple[admin.Act, ...]:
        """Acts of operators, the newest first, of leaves before index `before`."""
        return await self._look("acts", self._observer.acts, before, count)

    async def health(self) -> admin.Health:
        """A look at every part."""
        return await self._look("health", self._observer.health)

    async def report(self, month: str) -> admin.Report:
        """What an evaluation mechanism may know of a month.

        Raises:
            ValueError: it is none.
        """
        return await self._look("report", self._observer.report, month)

    async def _look(self, what: str, look: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        if not self._roles & MAY_SEE[what]:
            raise Refused("not-allowed", f"{what}: for {', '.join(sorted(MAY_SEE[what]))}")
        async with self._turns:
            try:
                return await look(*args, **kwargs)
            except (StoreError, LogError, CheckpointError, sqlite3.Error) as error:
                _log.warning("not_seen", what=what, error=str(error))
                raise Refused("unavailable", f"{what} cannot be looked at now") from error
