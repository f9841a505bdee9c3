"""A message to oneself: sealed, accepted, lent, opened, answered for and in the log, as mail of others would be.

It is an exercise, most urgent, and lives ten minutes. While it is fetched, other flash mail that waits longer is lent
for a moment and given back, which counts as an attempt; no other mail is touched.

The promise: when it returns, everything between this machine and the log did its part; nothing is left in the mailbox.

Before this room: `checkup`, and `client` for a canary. After it: `sending`, `inbox`, `tracking`. Rules: schemas/SPEC.md
sections 2 and 5.
"""

import asyncio
from datetime import timedelta
from typing import Final

from valija.errors import RecipientError, StillWaitingError, UnavailableError
from valija.inbox import Mailbox
from valija.order import Order, prepare
from valija.outbox import Sent
from valija.sending import Sending
from valija.tracking import Tracking
from valija_schemas.directory import ContactPoint, Phonebook
from valija_schemas.documents.blocks.case import Authority, Handling
from valija_schemas.documents.forms.response import Response

TYPE: Final = "response/1"  #: The one type that may go from any area to any, unless officers decided otherwise.
lifetime: Final = timedelta(minutes=10)
lookahead_max: Final = 32  #: Messages that may come before it: flash ones.
_wait_ms: Final = 2_000
_COUNTRY: Final = "US"  # An organisation has none and the form wants one: that of the seat of the OAS.


def refusal(phonebook: Phonebook, me: str) -> str | None:
    """Why the directory does not let `me` write to itself; None if it does."""
    point = phonebook.point(me)
    if point is None or point.status != "active":
        return f"{me} is not active in directory version {phonebook.version}"
    if not phonebook.allows(TYPE, point, point):
        return f"no route takes {TYPE} from {point.area} to {point.area}"
    return None


def document(point: ContactPoint) -> Response:
    """What is sent: an answer that nothing is known, to nobody's request."""
    return Response(
        language="en",
        authority=Authority(
            name=point.name,
            country=point.state or _COUNTRY,
            functions="Exercise",
            email="exercise@example.org",
        ),
        handling=Handling(use=("H1",), purpose="Exercise"),
        outcome="not-held",
        reasons="Exercise: a message of this contact point to itself, to see that mail goes through.",
    )


def order(point: ContactPoint) -> Order:
    """The exercise that `point` sends itself."""
    type_, json = prepare(document(point), None)
    return Order(
        type=type_,
        json=json,
        to=(point.id,),
        key=None,
        priority="flash",
        lifetime=int(lifetime.total_seconds() * 1000),
        in_reply_to=None,
        thread=None,
        exercise=True,
    )


async def go(point: ContactPoint, *, sending: Sending, mailbox: Mailbox, tracking: Tracking, seconds: float) -> Sent:
    """Send the exercise, fetch it, open it, answer for it, and wait until the log has the receipt.

    Raises:
        InboxBusyError: another program reads this inbox: it would be handed the exercise.
        StillWaitingError: it did not come back within `seconds`.
        UnavailableError, RefusedError, RecipientError, DeliveryFailedError, TrustError: see the text.
    """
    await mailbox.open()
    sent = await sending.send(order(point))
    if sent.state != "accepted":
        raise UnavailableError(f"the exercise {sent.id} could not be sent now")
    await fetch(sent, mailbox, tracking, seconds)
    return sent


async def go_as(
    me: str, phonebook: Phonebook, *, sending: Sending, mailbox: Mailbox, tracking: Tracking, seconds: float
) -> Sent:
    """The same for a canary, whose mailbox has nothing else: what an earlier one left there is answered for, too.

    Raises:
        RecipientError: the directory does not let `me` write to itself.
        ValijaError: as `go`.
    """
    point, why = phonebook.point(me), refusal(phonebook, me)
    if point is None or why is not None:
        raise RecipientError(why or me, hint="Ask a registry officer for a route to itself.")
    sent = await go(point, sending=sending, mailbox=mailbox, tracking=tracking, seconds=seconds)
    while (left := mailbox.pick((TYPE,))) is not None:
        header = left.opened.message.header
        if header.sender == me and header.exercise:
            await mailbox.begin(left)
            await mailbox.settle(left, None, None)
            await mailbox.finish(left)
    return sent


async def fetch(sent: Sent, mailbox: Mailbox, tracking: Tracking, seconds: float) -> None:
    """Fetch, open and answer for `sent`, a message to ourselves; `mailbox` is open. Waits for the receipt in the log.

    Raises:
        StillWaitingError: that took longer than `seconds`.
        UnavailableError, RefusedError, DeliveryFailedError: see the text.
    """
    try:
        async with asyncio.timeout(seconds):
            for _ in range(lookahead_max):
                await mailbox.fetch(_wait_ms, limit=1)
                held = mailbox.pick_digest(sent.digest)
                if held is not None:
                    await mailbox.begin(held)
                    await mailbox.settle(held, None, None)
                    await mailbox.finish(held)
                    break
            else:
                raise UnavailableError(f"{sent.id} was accepted and not handed over")
            await tracking.wait(sent, "acknowledged", seconds)
    except TimeoutError:
        raise StillWaitingError(f"{sent.id} did not come back within {seconds:g} s") from None
