"""Plays a scenario: a client for each participant, a broker in memory between them, and a clock that the story sets.

The promise: what is shown was really sent, sealed, signed, fetched, verified and opened by the clients that agencies
use; every message is marked as an exercise.

Before this room: `valija.cli.exercise`. After it: `scenario`, `valija.testing`, `valija.client`.
"""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import msgspec

from valija.client import Client
from valija.clock import ms_of
from valija.exercise import scenario
from valija.exercise.scenario import Scenario, Step
from valija.outbox import Sent
from valija.received import Envelope, Message
from valija.registry.sample import sample_exchange
from valija.testing import MemoryBroker
from valija_schemas.directory import Phonebook
from valija_schemas.documents import DocumentType, respond_by_default_ms, type_of

ORIGIN: Final = "exercise.example"


class Played(msgspec.Struct, frozen=True):
    """A step that was played."""

    step: Step
    sent: Sent
    at: int  #: Milliseconds since 1970, by the clock of the story.
    received: tuple[Envelope, ...]  #: As each recipient opened it.
    due: int | None  #: When an answer is due, where the type has one.

    @property
    def type_(self) -> DocumentType:
        """The type of its document."""
        return type_of(self.received[0].document)


class Deadline(msgspec.Struct, frozen=True):
    """What a message asked for, and what came of it."""

    step: Step
    due: int
    answered: int | None  #: When the last answer came.

    @property
    def late(self) -> bool:
        """Whether the last answer came after the time that was asked for, or none came."""
        return self.answered is None or self.answered > self.due


class Stage:
    """Where a scenario is played. Enter `open`."""

    def __init__(self, script: Scenario, book: Phonebook, began_ms: int) -> None:
        self.script: Final = script
        self.book: Final = book  #: The directory of the story.
        self.began: Final = began_ms
        self.now = began_ms
        self.played: Final[list[Played]] = []
        self._clients: Final[dict[str, Client]] = {}

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, script: Scenario, folder: Path, now_ms: int) -> "AsyncIterator[Stage]":
        """A stage whose participants keep their state in `folder`."""
        points = [(point.id, point.state, point.area) for point in script.points]
        exchange = sample_exchange(ORIGIN, points, suspended=(), now_ms=now_ms - 1_000)
        stage = cls(script, exchange.phonebook, now_ms)
        broker = MemoryBroker(exchange, clock=lambda: stage.now)
        async with contextlib.AsyncExitStack() as stack:
            for point in script.points:
                stage._clients[point.id] = await stack.enter_async_context(broker.client(point.id, folder))
            yield stage

    async def play(self) -> AsyncIterator[Played]:
        """Each step, after it was played.

        Raises:
            ValijaError: a document of the scenario is not valid, or may not go where it is sent.
        """
        for step in self.script.steps:
            self.now = self.began + step.at_ms
            played = await self._play(step)
            self.played.append(played)
            yield played

    def deadlines(self) -> list[Deadline]:
        """Every message that wanted an answer, with the time of its last one."""
        answers = {
            played.step.reply_to: played.at for played in self.played if not _is_word_between(played)
        }  # later ones replace earlier ones
        return [
            Deadline(played.step, played.due, answers.get(played.step.name))
            for played in self.played
            if played.due is not None
        ]

    async def _play(self, step: Step) -> Played:
        sender = self._clients[step.sender]
        earlier = {played.step.name: played for played in self.played}
        document = scenario.written(
            step.document, self.began, {name: each.sent.digest for name, each in earlier.items()}
        )
        answered = earlier[step.reply_to].sent if step.reply_to else None
        sent = await sender.send(
            document,
            step.to,
            type=step.type,
            priority=step.priority,
            in_reply_to=None if answered is None else answered.digest,
            thread=None if answered is None else answered.thread,
            exercise=True,
        )
        received = tuple([await self._receive(id_) for id_ in step.to])
        return Played(step, sent, self.now, received, self._due(step, received[0].document))

    async def _receive(self, id_: str) -> Message:
        async for message in self._clients[id_].inbox():
            async with message:
                return message
        raise AssertionError(f"{id_} was sent a message and found none")

    def _due(self, step: Step, document: Any) -> int | None:
        if "response/1" not in type_of(document).replies or step.reply_to is not None:
            return None
        if (wanted := getattr(document, "respond_by", None)) is not None:
            return ms_of(wanted.by)
        return respond_by_default_ms(step.priority, self.now)


def _is_word_between(played: Played) -> bool:
    """Whether a message keeps its thread alive without answering: a status, a question, a withdrawal."""
    return played.step.type != "response/1" or played.received[0].document.outcome == "more-information-needed"
