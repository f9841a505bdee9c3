"""Groups of recipients on a command line: made into names, shown, and asked about before anything is sealed.

Before this room: `send`. After it: `valija.whom`, by way of the client.
"""

from collections.abc import Sequence
from typing import Final

from valija import whom
from valija.cli import asking, common
from valija.client import Client
from valija.paper.language import Words

asked_above: Final = 5  #: Recipients of a group. More are not written to before somebody has read the list.


def listed(options: Sequence[str]) -> list[str]:
    """What `--to` names: repeated, or separated by commas."""
    return [each.strip() for part in options for each in part.split(",") if each.strip()]


async def named(client: Client, to: Sequence[str], type_: str, words: Words, *, yes: bool) -> list[str]:
    """The ids of `to`. Where a group is among them they are shown, and above `asked_above` somebody is asked.

    Raises:
        UsageError: the answer is no, or there is nobody to ask; or there is no such group.
        RecipientError: nobody is left of a group, or too many are.
    """
    if not any(map(whom.is_group, to)):
        return list(to)
    found = await client.expand(to, type_)
    group, count = ", ".join(to), len(found.ids)
    common.words(words.say("{group} means {count} contact points:", group=group, count=count))
    for id_ in found.ids:
        common.words(f"  {id_}")
    for each in found.left_out[:asked_above]:
        common.words(words.say("Left out: {why}", why=each.why))
    if len(found.left_out) > asked_above:
        common.words(words.say("Left out as well: {count} more", count=len(found.left_out) - asked_above))
    if count > asked_above and not yes:
        asking.agree(words.say("Send it to these {count}?", count=count), "--yes")
    return list(found.ids)
