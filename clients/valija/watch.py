"""What happens in our name and was not asked for here: messages, receipts, and what a directory says of us.

Whoever has a copy of our keys, or officers who were deceived, can act as us. It shows in our own feed and in the
directory before anybody complains; a person has to look, since this machine knows only what it did itself.

The promise: nothing that this state folder did is called strange.

Before this room: `monitor`. After it: `outbox`, `inbox_store`, `refresh`. Rules: schemas/SPEC.md sections 4 and 5.2.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec

from valija.feed_store import StoredEvent
from valija.inbox_store import Received
from valija.keys import Keys, holds
from valija.outbox import Outbox
from valija.refresh import Library
from valija_schemas import evidence
from valija_schemas.directory import ContactPoint, Key, Phonebook, SealKey
from valija_schemas.keys import blocks, fingerprint

_ASK: Final = "Ask a registry officer who asked for it."
_CALL: Final = (
    "Was it another machine of ours, or is this folder new or an older copy? If not, call a registry officer: somebody"
    " else has our key, and it must be revoked"
)


class _Named(msgspec.Struct):
    sender: str = msgspec.field(name="from", default="")
    recipient: str = ""


def strange_events(
    events: Sequence[StoredEvent], me: str, outbox: Outbox, received: Callable[[str], Received | None]
) -> Iterator[tuple[str, str]]:
    """Of events of our feed, those that this state folder had no part in: the digest of the message, and words.

    Those that are an alarm already are left out.
    """
    told = set()
    for event in events:
        receipt = event.note.startswith(f"{evidence.RECEIPT} ".encode())
        if event.verdict == "alarm" or not (receipt or event.note.startswith(f"{evidence.EVIDENCE} ".encode())):
            continue
        named = msgspec.json.decode(event.note.split(b"\n")[1], type=_Named)
        if named.sender == me and event.message not in told and outbox.find(event.message) is None:
            told.add(event.message)
            what = f"by the broker's word, message {event.message} was sent in our name, and not by this state folder"
            yield event.message, f"{what}. {_CALL}, or the broker lies."
        if receipt and named.recipient == me:
            known = received(event.message)
            if known is None or known.receipt != event.note:
                what = f"{event.event} of message {event.message} was signed in our name, and not by this state folder"
                yield event.message, f"{what}. {_CALL}."


def strange_versions(library: Library, keys: Keys, since: int, until: int) -> Iterator[tuple[None, str]]:
    """As `strange_events`: each change of our own entry, in the directory versions after `since` up to `until`.

    A key that we hold explains that it came, and that another of its use went.
    """
    before = library.version(since)
    for number in range(since + 1, until + 1):
        book = library.version(number)
        if book is not None:
            for words in _changes(keys, before, book):
                yield None, words
        before = book


def _changes(keys: Keys, before: Phonebook | None, book: Phonebook) -> Iterator[str]:
    old = before.point(keys.id) if before else None
    new = book.point(keys.id)
    name = f"directory version {book.version}"
    if new is None:
        if old is not None:
            yield f"{name} does not name us any more. {_ASK}"
        return
    if new.status != (old.status if old else "active"):
        yield f"{name} says that we are {new.status}. {_ASK}"
    for use in ("sign", "seal", "auth"):
        was, now = _keys(old, use), _keys(new, use)
        active = [key for key, status in now.items() if status == "active"]
        for key in active:
            if was.get(key) != "active" and not holds(keys, use, key):
                yield (
                    f"{name} gives us the {use} key {_short(use, key)}, which is not in this keyring. Was it made on"
                    f" another machine of ours, or destroyed since? If not, call a registry officer: somebody else"
                    f" would act as us."
                )
        ended = [key for key, status in was.items() if status == "active" and now.get(key) != "active"]
        if ended and not any(holds(keys, use, key) for key in active):
            how = now.get(ended[0], "not named any more")
            yield f"{name} says that our {use} key {_short(use, ended[0])} is {how}. {_ASK}"


def _keys(point: ContactPoint | None, use: str) -> dict[str, str]:
    """The keys of a use, by public key or by the seal key's id, with their status."""
    found: Sequence[Key | SealKey] = () if point is None else getattr(point, use)
    return {key.key_id if isinstance(key, SealKey) else key.key: key.status for key in found}


def _short(use: str, key: str) -> str:
    """Half of a key's fingerprint, as officers and `valija doctor` show it. A seal key's id is the digest already."""
    return blocks(key[:16]) if use == "seal" else fingerprint(bytes.fromhex(key))[:19]
