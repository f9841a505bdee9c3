"""What a message that is about to be sent continues, and whether it may.

A message continues an exchange that this state folder holds, among its parties, in its own thread; an exercise
continues an exercise. Everything else is refused before anything is sealed, since its recipients would have to set it
apart.

Before this room: `client`. After it: `sources`, `place`. Rules: schemas/SPEC.md sections 1.3 and 1.5.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from valija.cases.place import Apart, Link, Place, place
from valija.cases.sources import Row, Sources, link
from valija.errors import UnknownMessageError, UsageError
from valija_schemas import documents
from valija_schemas.message import Header, read

#: May follow any message of an exchange (UNTOC art. 18(16), 18(19), 18(24)).
FOLLOW_UPS: Final = frozenset({"clarification/1", "status-update/1", "withdrawal/1", "dissemination-consent-request/1"})


def answers(type_: str, answered: str) -> bool:
    """Whether a document of `type_` is what somebody expects who sent, or got, one of type `answered`."""
    return type_ in FOLLOW_UPS or type_ in documents.types()[answered].replies


class Continued(msgspec.Struct, frozen=True, kw_only=True):
    """What a message continues."""

    thread: str
    others: tuple[str, ...]  #: Recipients who got nothing of what it answers: for them it is passed on.


class Threads:
    """The exchanges of one state folder. One thread at a time; it reads, and never waits for whoever writes."""

    def __init__(self, sources: Sources, origin: str, me: str) -> None:
        self._sources: Final = sources
        self._origin: Final = origin
        self._me: Final = me

    def apart(self, digest: str, thread: str) -> Apart | None:
        """Why a stored message does not stand in the thread that it names; None if it does."""
        return self._places(self._links(thread))[digest].apart

    def header(self, digest: str) -> Header:
        """The header of a message that was received or sent here.

        Raises:
            UnknownMessageError: it was not.
        """
        return read(self._row(digest).raw, self._origin).header

    def answering(self, answered: str, to: Sequence[str], thread: str | None, *, exercise: bool) -> Continued:
        """What a message in reply to `answered`, received or sent here, continues.

        Raises:
            UnknownMessageError: that is not here.
            UsageError: it would leave its thread, go past whoever wrote that, or mix an exercise with a real case.
        """
        row = self._row(answered)
        message = read(row.raw, self._origin)
        found = link(message.digest, message.header, row.known)
        if thread not in {None, found.thread}:
            raise UsageError(f"a reply to {answered[:16]} stays in its thread, {found.thread}")
        if found.sender == self._me:
            self._among({found.sender, *found.to}, to)
        elif found.sender not in to:
            raise UsageError(f"a reply to a message of {found.sender} goes to {found.sender}")
        _same(found, exercise)
        return Continued(thread=found.thread, others=tuple(sorted({*to} - {found.sender, *found.to})))

    def continuing(self, thread: str, to: Sequence[str], *, exercise: bool) -> Continued:
        """What a message in `thread` that answers no message of it continues.

        Raises:
            UnknownMessageError: no such thread is here.
            UsageError: somebody in `to` is no party to it, or it would mix an exercise with a real case.
        """
        links = self._links(thread)
        places = self._places(links)
        belong = [each for each in links if places[each.digest].apart is None]
        if not belong:
            raise UnknownMessageError(f"no thread {thread} is here", hint="See `valija case list --all`.")
        self._among({id_ for each in belong for id_ in (each.sender, *each.to)}, to)
        _same(belong[0], exercise)
        return Continued(thread=thread, others=())

    def _row(self, digest: str) -> Row:
        row = self._sources.find(digest)
        if row is None:
            raise UnknownMessageError(
                f"no message {digest[:16]} was received or sent here",
                hint="Answer it from the state folder that has it, or send a new message that names it in `regarding`.",
            )
        return row

    def _among(self, parties: set[str], to: Sequence[str]) -> None:
        strangers = sorted({*to} - parties)
        if strangers:
            raise UsageError(
                f"{', '.join(strangers)} is no party to this exchange",
                hint="Begin a new exchange; what somebody else wrote is passed on with `valija forward`.",
            )

    def _links(self, thread: str) -> list[Link]:
        return list(self._sources.links(thread, self._origin))

    def _places(self, links: Sequence[Link]) -> dict[str, Place]:
        named = {each.in_reply_to for each in links} - {each.digest for each in links}
        elsewhere = {digest for digest in named if digest is not None and self._sources.find(digest) is not None}
        return place(links, self._me, elsewhere)


def _same(found: Link, exercise: bool) -> None:
    if found.exercise != exercise:
        raise UsageError(
            "an exercise and a real case do not share a thread: this one is "
            + ("an exercise" if found.exercise else "real"),
            hint="Add --exercise." if found.exercise else "Leave --exercise out, or begin a new exchange.",
        )
