"""Mail that flows while everything is killed: what was accepted, what was handed over, and how often.

Before this room: `demo`, and the tests that kill. After it: `valija.client`.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from promises import DemoError, example

from valija import Client, Sent, UnavailableError


class Flow:
    """What is known of the 500 messages."""

    def __init__(self) -> None:
        self.moved = asyncio.Condition()
        self.began = time.monotonic()
        self.accepted: set[str] = set()
        self.handled: Counter[str] = Counter()
        self.again = 0

    async def send(self, client: Client, numbers: Any) -> None:
        """Send until the numbers run out; what could not be sent is repeated with its key."""
        document = example("information-request")
        for number in numbers:
            to = ("ca.liaison", "co.enlace")[number % 2]
            sent: Sent | None = None
            while sent is None or sent.state == "pending":
                try:
                    sent = await client.send(document, to, type="information-request/1", key=f"flow-{number}")
                except UnavailableError:
                    sent = None
                if sent is None or sent.state == "pending":
                    await asyncio.sleep(0.2)
            if sent.state != "accepted":
                raise DemoError(f"message {number} became {sent.state}")
            async with self.moved:
                self.accepted.add(sent.digest)
                self.moved.notify_all()

    async def read(self, client: Client) -> None:
        """Handle mail until cancelled."""
        async for message in client.inbox("information-request/1", follow=True):
            async with message:
                await asyncio.sleep(0)
            async with self.moved:
                self.handled[message.digest] += 1
                self.again += message.attempt > 1
                self.moved.notify_all()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until `holds`."""
        async with self.moved:
            await self.moved.wait_for(holds)
