"""The advice on a legal basis, shown to whoever types, and their answer to it.

Before this room: `send`. After it: `valija.basis`, by way of the client.
"""

import click

from valija.cli import asking, common
from valija.client import Client
from valija.errors import TrustError
from valija.order import Order
from valija.paper.language import Words

OPTION = "--legal-basis-confirmed"

option = click.option(OPTION, is_flag=True, help="Stand by a legal basis that the directory puts in doubt, unasked.")


async def confirmed(client: Client, order: Order, words: Words) -> bool:
    """Whether a person who sees the advice stands by the basis. Where nobody can be asked, nobody does: sending judges.

    Raises:
        UsageError: the answer is no.
    """
    if not asking.terminal():
        return False
    try:
        advice = await client.advise(order)
    except TrustError:
        return False  # what an earlier run sent needs no directory in force; for anything else sending says the same
    for line in advice.lines(words):
        common.words(line)
    if advice.doubts and not advice.free:
        asking.agree(words.say("Send it on this legal basis?"), OPTION)
    return True
