"""A case and its messages, as a list shows them and as a case is opened.

Before this room: `index`. After it: `course`, `place`.
"""

import msgspec

from valija.cases.course import Said, State
from valija.cases.place import Apart
from valija.cases.sources import Source


class Head(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What a list shows of the content of a case."""

    reference: str | None = None  #: Of the one who began it.
    title: str | None = None
    use: tuple[str, ...] = ()  #: All handling codes of its messages.
    retain_until: str | None = None  #: The first day on which something in it must be erased.


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the list of cases."""

    id: str  #: The thread; of messages that stand apart, the thread and whose they are.
    thread: str
    apart: Apart | None  #: Why these messages do not stand in the thread that they name.
    exercise: bool
    others: tuple[str, ...]  #: The contact points that we share it with.
    messages: int
    last: int  #: When its last message was sealed or fetched here, in ms.
    last_type: str
    state: State
    due: int | None  #: When the answer is due that is waited for, in ms.
    overdue: bool
    reference: str | None
    title: str | None
    use: tuple[str, ...]  #: Handling codes.
    retain_until: str | None
    expired: bool  #: Whether `retain_until` has passed.

    def __repr__(self) -> str:
        return f"Case({self.id!r}, {self.state!r})"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A message of a case, as the index keeps it."""

    digest: str
    source: Source
    number: int
    state: str
    apart: Apart | None
    said: Said

    @property
    def counts(self) -> bool:
        """Whether it was not refused: by the broker, or by us."""
        return self.state not in {"refused", "rejected"}
