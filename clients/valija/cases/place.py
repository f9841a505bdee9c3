"""Which messages belong into a thread, and which only say so.

A thread is named in the header, so everybody who knows its name can write it there. A message belongs into it if its
sender is a party to it and what it answers is a message of it that its sender got or wrote. Every other one stands
apart, in a place of its sender's own, with the reason; nothing is lost, and nothing mixes. An exercise and a real
case never mix.

The promise: the same messages give the same places, in whatever order they were read. Nothing here does I/O.

Before this room: `index`, `received`. After it: nothing. Rules: schemas/SPEC.md section 1.3.
"""

from collections.abc import Container, Iterable
from typing import Literal

import msgspec

Apart = Literal["unknown", "not-a-party", "other-thread", "exercise"]


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A message of a thread, as far as its place in it depends on it."""

    digest: str
    id: str
    thread: str
    sender: str
    to: tuple[str, ...]
    in_reply_to: str | None
    exercise: bool
    known: int  #: Since when it is known here: sealed or fetched, in ms by our own clock.


class Place(msgspec.Struct, frozen=True):
    """Where a message is listed."""

    case: str  #: The thread; or, of one that stands apart, the thread and whose message it is.
    apart: Apart | None = None


def place(links: Iterable[Link], me: str, elsewhere: Container[str] = ()) -> dict[str, Place]:
    """The place of each message of one thread, by digest. `elsewhere` has digests of messages of other threads."""
    # The message that bears the thread's name begins it, whatever came before it.
    ordered = sorted(links, key=lambda link: (link.id != link.thread, link.known, link.digest))
    first = ordered[0] if ordered and ordered[0].id == ordered[0].thread else None
    parties: set[str] = set()
    belong: dict[str, Link] = {}
    placed: dict[str, Place] = {}
    for link in ordered:
        if link.digest in placed:  # sent to ourselves: it was sent, and it was received
            continue
        answered = placed.get(link.in_reply_to or "")
        if link.sender == me and answered is not None and answered.apart:
            placed[link.digest] = answered  # what we answer to somebody's message goes where that stands
            continue
        apart = _apart(link, me, first, parties, belong, elsewhere)
        if apart is None:
            belong[link.digest] = link
            parties |= {link.sender, *link.to}
            placed[link.digest] = Place(link.thread)
        else:
            other = link.sender if link.sender != me else link.to[0]
            drill = "/exercise" if link.exercise else ""
            placed[link.digest] = Place(f"{link.thread}/{other}{drill}", apart)
    return placed


def _apart(
    link: Link, me: str, first: Link | None, parties: set[str], belong: dict[str, Link], elsewhere: Container[str]
) -> Apart | None:
    if first is None:
        return "other-thread" if link.in_reply_to in elsewhere else "unknown"
    if link is first and link.in_reply_to is None:
        return None
    if link.exercise != first.exercise:
        return "exercise"
    if link is not first and link.sender not in {me, *parties}:
        return "not-a-party"
    if link.in_reply_to is None:
        return None
    answered = belong.get(link.in_reply_to)
    if answered is None:
        return "other-thread" if link.in_reply_to in elsewhere else "unknown"
    return None if link.sender in {answered.sender, *answered.to} else "not-a-party"
