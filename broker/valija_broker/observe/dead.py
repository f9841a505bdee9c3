"""The dead letters of all mailboxes, grouped by why they died.

Before this room: `observer`. After it: `dead_letters`.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from valija_broker.dead_letters import DeadLetters
from valija_schemas import admin

words: Final = {
    "attempts": "It was lent as often as the settings allow, and nobody acknowledged it. Ask the contact point whether"
    " its program runs and what it says; then send the letters back to the queue.",
    "altered": "What is stored of it is not what was accepted: the store was changed, or its disk is at fault. Look"
    " after the disk, have the sender send it again, and give this one up.",
}  # fmt: skip
other: Final = "The contact point's program gave it back as one that it cannot take. Ask it what the program says."


async def letters(found: DeadLetters, mailboxes: Iterable[str]) -> list[admin.DeadLetter]:
    """Every dead letter of `mailboxes`.

    Raises:
        StoreUnavailable: the store could not be reached.
    """
    return [
        admin.DeadLetter(
            mailbox=mailbox, digest=letter.digest, id=letter.id, sender=letter.sender, since=letter.since,
            attempts=letter.attempts, reason=letter.reason,
        )
        for mailbox in mailboxes
        for letter in await found.of(mailbox)
    ]  # fmt: skip


async def groups(dead: DeadLetters, mailboxes: Iterable[str]) -> tuple[admin.DeadGroup, ...]:
    """The dead letters of `mailboxes` by cause, the commonest first.

    Raises:
        StoreUnavailable: the store could not be reached.
    """
    found: dict[str, list[admin.DeadLetter]] = defaultdict(list)
    for letter in await letters(dead, mailboxes):
        found[letter.reason].append(letter)
    grouped = []
    for reason, died in found.items():
        died.sort(key=lambda letter: letter.since)
        grouped.append(
            admin.DeadGroup(
                reason=reason, words=words.get(reason, other), count=len(died),
                mailboxes=tuple(sorted({letter.mailbox for letter in died})), oldest=died[0].since,
                letters=tuple(died[: admin.page_max]),
            )
        )  # fmt: skip
    return tuple(sorted(grouped, key=lambda group: (-group.count, group.reason)))
