"""What is known of one message, in the order of time, and who says so.

The promise: a line says `verified` only of what a signature stands behind.

Before this room: `client`. After it: `outbox`, `inbox_store`. Rules: schemas/SPEC.md section 5.
"""

from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from valija.inbox_store import Received
from valija.outbox import Outbox, Sent
from valija_schemas import evidence, hold, order
from valija_schemas import note as notes

_OF_OPERATORS: Final = frozenset({order.EVENT, hold.EVENT})


class Happening(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a timeline."""

    time: int
    event: str
    to: tuple[str, ...]  #: The recipients that it speaks of.
    says: Literal["verified", "the broker says", "here", "alarm"]
    by: str  #: Who signed it, or whose statement it is.
    detail: str | None
    index: int | None = None  #: Its place in the log, where it is proved to be there.
    witnessed: bool = False  #: Whether as many witnesses saw that tree as the root asks for.


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one message, in the order of time."""

    id: str
    digest: str
    direction: Literal["sent", "received"]
    type: str
    sender: str
    to: tuple[str, ...]
    state: str
    complete: bool  #: Whether the broker could be asked for what is new.
    happenings: tuple[Happening, ...]


def of_sent(sent: Sent, me: str, outbox: Outbox, *, complete: bool) -> Timeline:
    """What is known of a message of ours."""
    found = [Happening(time=sent.sent, event="Sealed", to=sent.to, says="here", by=me, detail=None)]
    if sent.acceptance is not None and all(e.event != "SubmissionAcceptance" for e in outbox.feed.of(sent.digest)):
        accepted = evidence.read_event(notes.parse(sent.acceptance).json)
        found.append(
            Happening(
                time=accepted.time, event=accepted.event, to=accepted.to, says="verified", by="broker", detail=None
            )
        )
    for digest in (*sent.replaced, sent.digest):
        found += _told(digest, me, outbox)
    for reply, sender, at in outbox.replies(sent.digest):
        found.append(Happening(time=at, event="Reply", to=(me,), says="verified", by=sender, detail=reply))
    return Timeline(
        id=sent.id,
        digest=sent.digest,
        direction="sent",
        type=sent.type,
        sender=me,
        to=sent.to,
        state=sent.state,
        complete=complete,
        happenings=_in_order(found),
    )


def of_received(received: Received, me: str, outbox: Outbox, *, complete: bool) -> Timeline:
    """What is known of a message for us."""
    steps = [(received.fetched, "Fetched", received.fault)]
    if received.settled is not None:
        steps.append((received.settled, received.state.capitalize(), received.reason))
    found = [
        Happening(time=at, event=event, to=(me,), says="here", by="here", detail=detail) for at, event, detail in steps
    ]
    found += _told(received.digest, me, outbox)
    return Timeline(
        id=received.id,
        digest=received.digest,
        direction="received",
        type=received.type,
        sender=received.sender,
        to=(me,),
        state=received.state,
        complete=complete,
        happenings=_in_order(found),
    )


def of_operators(me: str, outbox: Outbox) -> tuple[Happening, ...]:
    """What operators did that concerns no message, but this contact point as a whole."""
    return _in_order([found for found in _told("", me, outbox) if found.event in _OF_OPERATORS])


def _told(digest: str, me: str, outbox: Outbox) -> Iterator[Happening]:
    """Events and alarms about a message, whoever sent it."""
    for event in outbox.feed.of(digest):
        by = event.who[0] if event.event.startswith("Consignment") and event.who else "broker"
        yield Happening(
            time=event.time,
            event=event.event,
            to=event.who,
            says="the broker says" if event.verdict == "stated" else event.verdict,
            by="operators" if event.event in _OF_OPERATORS else by,
            detail=event.detail or event.reason,
            index=event.leaf,
            witnessed=event.complete,
        )
    for alarm in outbox.alarms.about(digest):
        yield Happening(time=alarm.time, event="Alarm", to=(), says="alarm", by=me, detail=alarm.text)


def _in_order(found: list[Happening]) -> tuple[Happening, ...]:
    return tuple(sorted(found, key=lambda happening: happening.time))
