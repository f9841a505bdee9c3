"""What `valija send --dry-run` shows: to whom, as what, by when, under what, how large. Nothing is kept or sent.

Before this room: `valija.cli.send`. After it: `valija.client`, `valija.paper.plan`.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import click

from valija.cli import common
from valija.client import Client
from valija.clock import now_ms
from valija.order import Order
from valija.paper import plan, times
from valija.paper.language import Words
from valija_schemas import documents, limits
from valija_schemas.agreements import is_bilateral


async def show(client: Client, order: Order, words: Words, output: str) -> None:
    """Seal the message of `order`, drop it, and say on standard output what it would have been.

    Raises:
        RecipientError, TrustError, DocumentInvalidError: it would not be sent.
    """
    size, phonebook = await client.dry_run(order)
    advice = list((await client.advise(order)).lines(words))
    document = None if is_bilateral(order.type) else documents.decode(order.type, order.json)
    points = [point for point in map(phonebook.point, order.to) if point]
    if output != "table":
        printer = common.Printer(output, [])
        printer.add(_facts(order, document, size, phonebook.version, [point.id for point in points], advice))
        printer.close()
    else:
        whom = common.Printer(output, ["to", "state", "area", "name"])
        for point in points:
            whom.add({"to": point.id, "state": point.state, "area": point.area, "name": point.name})
        whom.close()
        for line in _lines(order, document, size, words, advice):
            click.echo(common.printable(line))
    common.words(words.say("Under directory version {version}. Nothing was sent.", version=phonebook.version))


def _lines(
    order: Order, document: documents.Document | None, size: int, words: Words, advice: Sequence[str]
) -> Iterator[str]:
    yield ""
    if order.exercise:
        yield words.say("EXERCISE: marked as such for every reader.")
    if document is None:
        yield order.type
    else:
        yield from _of_document(order, document, words, advice)
    yield words.say(
        "Priority {priority}; it waits for its recipients until {time}.",
        priority=words.code("priority", order.priority).lower(), time=times.instant(now_ms() + order.lifetime, None),
    )  # fmt: skip
    if order.in_reply_to is not None:
        yield words.say("In reply to {digest}", digest=order.in_reply_to)
    for file in plan.files(document) if document is not None else ():
        yield words.say(
            "File: {name}, {media_type}, {size} bytes, SHA-256 {sha256}",
            name=file.name, media_type=file.media_type, size=file.size, sha256=file.sha256,
        )  # fmt: skip
    yield words.say(
        "The document has {bytes} bytes, sealed {size}; a body has room for {limit}.",
        bytes=len(order.json), size=size, limit=limits.body_bytes_max,
    )  # fmt: skip


def _of_document(order: Order, document: documents.Document, words: Words, advice: Sequence[str]) -> Iterator[str]:
    yield f"{words.title(documents.type_of(document))} ({order.type})"
    for basis in plan.legal_basis(document, words):
        yield words.say("Legal basis: {basis}", basis=basis)
    yield from advice
    for use in plan.handling(document, words):
        yield words.say("Handling: {use}", use=use)
    due = plan.due(document, order.priority, now_ms())
    if due is not None:
        reason = plan.due_why(document, order.priority, words)
        yield words.say("Answer by {time}: {reason}", time=times.instant(due, None), reason=reason)
        if due <= now_ms():
            yield words.say("OVERDUE: the time by which an answer is wanted has passed.")


def _facts(
    order: Order, document: documents.Document | None, size: int, version: int, to: list[str], advice: Sequence[str]
) -> dict[str, Any]:
    due = None if document is None else plan.due(document, order.priority, now_ms())
    return {
        "type": order.type,
        "to": to,
        "priority": order.priority,
        "exercise": order.exercise,
        "in_reply_to": order.in_reply_to,
        "respond_by": common.iso(due) if due is not None else None,
        "legal_basis_advice": list(advice),
        "handling": [] if document is None else list(plan.handling_of(document).use),
        "files": [] if document is None else [file.name for file in plan.files(document)],
        "bytes": len(order.json),
        "sealed_bytes": size,
        "directory": version,
    }
