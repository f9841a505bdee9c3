"""The dead letters of all mailboxes, grouped by why they died.

They are read from the store and not from the evidence: what was altered lies there without an event. A look reads so
many and no more; what lies beyond is counted.

Before this room: `observer`. After it: `dead_letters`.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from valija_broker import dead_letters
from valija_broker.dead_letters import DeadLetters
from valija_schemas import admin
from valija_schemas.wire import Digest, Identifier, MessageId

read_max: Final = 10_000  #: Letters of one look, of all mailboxes; of one mailbox `dead_letters.dead_letters_max`.
MORE: Final = "more"  #: The reason that stands for what was not read.

words: Final = {
    "attempts": "It was lent as often as the settings allow, and nobody acknowledged it. Ask the contact point whether"
    " its program runs and what it says; then send the letters back to the queue.",
    "unverified": "The contact point's program could not verify it, or not open it. Ask whether its directory and its"
    " keys are the newest, and what it says; then send the letters back to the queue.",
    "corrupt": "Its note or its body is not what was accepted: the store was changed, or its disk is at fault. Look"
    " after the disk, have the sender send it again, and give this one up.",
    "altered": "What the store says of it is not what was accepted: the store was changed, or its disk is at fault."
    " Look after the disk and have the sender send it again. No order can name it safely: it stays until the store is"
    " begun anew.",
    MORE: "So many more lie there that one look does not read them. Settle the others first.",
}  # fmt: skip
other: Final = "The contact point's program gave it back as one that it cannot take. Ask it what the program says."


async def letters(found: DeadLetters, mailboxes: Iterable[str]) -> list[admin.DeadLetter]:
    """The dead letters of `mailboxes`, the oldest of each first; `read_max` at most.

    Raises:
        StoreUnavailable: the store could not be reached.
    """
    read: list[admin.DeadLetter] = []
    for mailbox in mailboxes:
        limit = min(dead_letters.dead_letters_max, read_max - len(read))
        if limit > 0:
            read += [_letter(mailbox, letter) for letter in await found.of(mailbox, limit=limit)]
    return read


def groups(read: Iterable[admin.DeadLetter], counts: Mapping[str, int]) -> tuple[admin.DeadGroup, ...]:
    """The letters that were read by cause, the commonest first, and last of all how many were not read.

    `counts` says how many lie in each mailbox.
    """
    found: dict[str, list[admin.DeadLetter]] = defaultdict(list)
    unread = Counter(counts)
    for letter in read:
        found[letter.reason].append(letter)
        unread[letter.mailbox] -= 1
    grouped = [_group(reason, dead) for reason, dead in found.items()]
    grouped.sort(key=lambda group: (-group.count, group.reason))
    full = sorted(mailbox for mailbox, left in unread.items() if left > 0)
    if full and grouped:  # else they were settled meanwhile
        more = admin.DeadGroup(
            reason=MORE, words=words[MORE], count=sum(unread[mailbox] for mailbox in full), mailboxes=tuple(full),
            oldest=min(group.oldest for group in grouped), letters=(),
        )  # fmt: skip
        grouped.append(more)
    return tuple(grouped)


def _group(reason: str, dead: list[admin.DeadLetter]) -> admin.DeadGroup:
    dead.sort(key=lambda letter: letter.since)
    return admin.DeadGroup(
        reason=reason, words=words.get(reason, other), count=len(dead),
        mailboxes=tuple(sorted({letter.mailbox for letter in dead})), oldest=dead[0].since,
        letters=tuple(dead[: admin.page_max]),
    )  # fmt: skip


def _letter(mailbox: str, letter: dead_letters.DeadLetter) -> admin.DeadLetter:
    return admin.DeadLetter(
        mailbox=mailbox, digest=_whole(letter.digest, Digest), id=_whole(letter.id, MessageId),
        sender=_whole(letter.sender, Identifier), since=letter.since, attempts=letter.attempts, reason=letter.reason,
    )  # fmt: skip


def _whole(value: str, kind: type[str]) -> str | None:
    """What the store says, where it still has the form that it must have."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return None
