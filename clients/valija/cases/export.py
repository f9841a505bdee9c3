"""The papers of a case as files: documents, messages as transmitted, acceptances, evidence, and an index of them.

What may be exported, `desk` decides before anything is written. The files hold the content in plain, so the folder is
new and its owner's alone. `INDEX.txt` says of each document whose it is, what may be done with it, and which consent is
on record.

Before this room: `work`. After it: the disk.
"""

from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Final

from valija import durable
from valija.cases.exchange import Exchange, Turn
from valija.cases.handling import Consent, Purpose, confidentiality_of, handling_of
from valija.clock import iso
from valija.errors import StateError
from valija.paper import plan
from valija.paper.language import Words
from valija_schemas.printable import printable

INDEX: Final = "INDEX.txt"

Papers = Mapping[str, bytes | None]  #: By the digest of the message; None where there is none.


def export(
    found: Exchange, folder: Path, purpose: Purpose, day: str, acceptances: Papers, evidence: Papers, words: Words
) -> list[Path]:
    """Write the papers of a case into `folder`, which is made. The index comes last: without it a folder is not whole.

    Raises:
        StateError: the folder is there already, or cannot be written.
    """
    lines = list(_head(found, purpose, day, words))
    written: list[Path] = []
    try:
        folder.mkdir(parents=True, mode=0o700)
        for number, turn in enumerate(found.turns, start=1):
            stem = f"{number:03}-{turn.entry.said.sender}-{turn.entry.said.type.replace('/', '-')}"
            parts = {
                ".json": None if turn.json is None else turn.json + b"\n",
                ".message": turn.raw,
                ".acceptance": acceptances[turn.entry.digest],
                ".evidence.zip": evidence[turn.entry.digest],
            }
            lines += ["", f"{number}.", *_about(turn, found.consents.get(turn.entry.digest, ()), day, words)]
            for suffix, data in parts.items():
                if data is not None:
                    written.append(folder / f"{stem}{suffix}")
                    durable.write(written[-1], data, mode=0o600)
                    lines.append(f"   {written[-1].name}  SHA-256 {sha256(data).hexdigest()}")
        written.append(folder / INDEX)
        durable.write(written[-1], (printable("\n".join(lines)) + "\n").encode(), mode=0o600)
    except FileExistsError:
        raise StateError(f"{folder} is there already", hint="Name a folder that is not there yet.") from None
    except OSError as error:
        raise StateError(f"{folder} cannot be written: {error.strerror}") from None
    return written


def _head(found: Exchange, purpose: Purpose, day: str, words: Words) -> Iterator[str]:
    case, say = found.case, words.say
    if case.exercise:
        yield say("EXERCISE: nobody acts on this.")
    yield say("Case {reference}  {title}", reference=case.reference or "-", title=case.title or "").rstrip()
    yield say("Thread {thread}, with {others}", thread=case.id, others=", ".join(case.others))
    uses = {
        "internal": say("Exported for internal use on {day}.", day=day),
        "judicial": say("Exported for judicial use on {day}.", day=day),
        "other": say("Exported for other use on {day}.", day=day),
    }
    yield f"{uses[purpose]} {say('What follows may be used so far as its senders allow.')}"


def _about(turn: Turn, consents: tuple[Consent, ...], day: str, words: Words) -> Iterator[str]:
    said, say = turn.entry.said, words.say
    whom = say("{type} of {sender} to {recipients}", type=said.type, sender=said.sender, recipients=", ".join(said.to))
    yield f"   {whom}, {iso(turn.at)}, {turn.entry.state}"
    yield f"   {say('Message {digest}', digest=said.digest)}"
    if turn.document is None:
        yield f"   {say('Its document does not open here: {why}', why=turn.unreadable)}"
        return
    for line in handling_lines(turn, consents, day, words):
        yield f"   {line}"


def handling_lines(turn: Turn, consents: tuple[Consent, ...], day: str, words: Words) -> Iterator[str]:
    """What may be done with a document, in lines: uses, purpose, limit, erasure, confidentiality, consents.

    What others wrote in several lines is marked from the second on, so that none of them passes for a line of ours.
    """
    for text in _handling(turn, consents, day, words):
        first, *others = printable(text).split("\n")
        yield first
        yield from (f"  | {line}" for line in others)


def _handling(turn: Turn, consents: tuple[Consent, ...], day: str, words: Words) -> Iterator[str]:
    if turn.document is None:
        return
    say = words.say
    for use in plan.handling(turn.document, words):
        yield say("Handling: {use}", use=use)
    until = handling_of(turn.document).retain_until
    if until is not None and until < day:
        yield say("It was to be kept until {day}: erase it, as its sender asks.", day=until)
    confidential = confidentiality_of(turn.document, day)
    if confidential is not None:
        level = words.code("level", confidential.level)
        if confidential.until is None:
            yield say("Confidentiality: {level}", level=level)
        else:
            yield say("Confidentiality: {level}, until {day}", level=level, day=confidential.until)
    for name in ("restrictions", "conditions_of_use"):
        if text := getattr(turn.document, name, None):
            yield say("Conditions: {text}", text=text)
    for consent in consents:
        yield _consent(consent, day, words)


def _consent(consent: Consent, day: str, words: Words) -> str:
    """A consent, and how it came: a reply that is signed, or recorded by hand."""
    say = words.say
    named = [*(f"{name} ({state})" for name, state in consent.proposed), *consent.points]
    whom = ", ".join(named) or say("nobody named")
    if consent.by_hand:
        how = say("RECORDED BY HAND from {file}", file=consent.proof)
    else:
        how = say("message {digest}", digest=consent.reply)
    given = iso(consent.at)[:10]
    parts = [say("Consent of {who} on {day} ({how}) for {whom}", who=consent.by, day=given, how=how, whom=whom)]
    if not consent.whole:
        parts.append(say("for parts of it alone"))
    if consent.in_proceedings:
        parts.append(say("also in judicial proceedings"))
    if consent.conditions:
        parts.append(say("conditions: {text}", text=consent.conditions))
    if consent.valid_until:
        parts.append(say("until {day}", day=consent.valid_until))
        if not consent.holds(day):
            parts.append(say("PASSED"))
    return "; ".join(parts)
