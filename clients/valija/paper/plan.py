"""What a document means once it is sent: how its receiver may use it, by when an answer is due, what it cites.

Before this room: `valija.cli.check`, `valija.cli.dry_run`. After it: `valija_schemas.documents`. Pure.
"""

from collections.abc import Iterator

from valija.clock import ms_of
from valija.paper.language import Words
from valija_schemas import documents
from valija_schemas.documents.base import Block
from valija_schemas.documents.blocks import File, Handling, LegalBasis, RespondBy


def handling_of(document: documents.Document) -> Handling:
    """What the receiver may do with `document`; every type says it."""
    found: Handling = getattr(document, "handling")  # noqa: B009 - the field of each type, not of their base
    return found


def handling(document: documents.Document, words: Words) -> Iterator[str]:
    """What the receiver may do with `document`, a sentence a line."""
    found = handling_of(document)
    for use in found.use:
        yield words.code("use", use)
    if found.text is not None:
        yield found.text
    yield words.say("Sent for: {purpose}", purpose=found.purpose)
    if found.retain_until is not None:
        yield words.say("The receiver erases it after {day}.", day=found.retain_until)
    if found.consent_contact is not None:
        yield words.say("Whom to ask for consent: {contact}", contact=found.consent_contact)


def legal_basis(document: documents.Document, words: Words) -> Iterator[str]:
    """The instruments that `document` cites, one a line."""
    found: tuple[LegalBasis, ...] = getattr(document, "legal_basis", ())
    for basis in found:
        parts = (words.code("instrument", basis.instrument), basis.title, basis.article)
        yield ", ".join(part for part in parts if part is not None)


def due(document: documents.Document, priority: documents.Priority, now_ms: int) -> int | None:
    """By when an answer is due, in milliseconds since 1970, if `document` is of a type that is answered; else None.

    Where it names no time its priority does, counted from receipt; here from `now_ms`.
    """
    wanted: RespondBy | None = getattr(document, "respond_by", None)
    if wanted is not None:
        return ms_of(wanted.by)
    return documents.respond_by_default_ms(priority, now_ms) if documents.type_of(document).replies else None


def due_why(document: documents.Document, priority: documents.Priority, words: Words) -> str:
    """Why an answer is due by then."""
    wanted: RespondBy | None = getattr(document, "respond_by", None)
    if wanted is not None:
        return wanted.reasons
    said = words.code("priority", priority).lower()
    return words.say("counted from receipt, for priority {priority}", priority=said)


def files(block: Block) -> Iterator[File]:
    """Every file in a document, in order."""
    for name in block.__struct_fields__:
        value = getattr(block, name)
        for inner in value if isinstance(value, tuple) else (value,):
            if isinstance(inner, File):
                yield inner
            elif isinstance(inner, Block):
                yield from files(inner)
