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
from valija.paper.safe import printable

INDEX: Final = "INDEX.txt"

Papers = Mapping[str, bytes | None]  #: By the digest of the message; None where there is none.


def export(
    found: Exchange, folder: Path, purpose: Purpose, day: str, acceptances: Papers, evidence: Papers
) -> list[Path]:
    """Write the papers of a case into `folder`, which is made. The index comes last: without it a folder is not whole.

    Raises:
        StateError: the folder is there already, or cannot be written.
    """
    lines = list(_head(found, purpose, day))
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
            lines += ["", f"{number}.", *_about(turn, found.consents.get(turn.entry.digest, ()), day)]
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


def _head(found: Exchange, purpose: Purpose, day: str) -> Iterator[str]:
    case = found.case
    if case.exercise:
        yield "EXERCISE: nobody acts on this."
    yield f"Case {case.reference or '-'}  {case.title or ''}".rstrip()
    yield f"Thread {case.id}, with {', '.join(case.others)}"
    yield f"Exported for {purpose} use on {day}. What follows may be used so far as its senders allow."


def _about(turn: Turn, consents: tuple[Consent, ...], day: str) -> Iterator[str]:
    said = turn.entry.said
    yield f"   {said.type} of {said.sender} to {', '.join(said.to)}, {iso(turn.at)}, {turn.entry.state}"
    yield f"   Message {said.digest}"
    if turn.document is None:
        yield f"   Its document does not open here: {turn.unreadable}"
        return
    for line in handling_lines(turn, consents, day):
        yield f"   {line}"


def handling_lines(turn: Turn, consents: tuple[Consent, ...], day: str) -> Iterator[str]:
    """What may be done with a document, in lines: codes, purpose, limit, confidentiality, erasure, consents.

    What others wrote in several lines is marked from the second on, so that none of them passes for a line of ours.
    """
    for text in _handling(turn, consents, day):
        first, *others = printable(text).split("\n")
        yield first
        yield from (f"  | {line}" for line in others)


def _handling(turn: Turn, consents: tuple[Consent, ...], day: str) -> Iterator[str]:
    if turn.document is None:
        return
    handling = handling_of(turn.document)
    yield f"Handling {' '.join(handling.use)}: {handling.purpose}"
    if handling.text is not None:
        yield f"H3: {handling.text}"
    confidential = confidentiality_of(turn.document, day)
    if confidential is not None:
        yield f"Confidential: {confidential.level}{f' until {confidential.until}' if confidential.until else ''}"
    for name in ("restrictions", "conditions_of_use"):
        if getattr(turn.document, name, None):
            yield f"Conditions: {getattr(turn.document, name)}"
    if handling.retain_until is not None:
        yield f"Keep until {handling.retain_until}{', PASSED: erase it' if handling.retain_until < day else ''}"
    for consent in consents:
        yield consent_line(consent, day)


def consent_line(consent: Consent, day: str) -> str:
    """A consent, and how it came: a reply that is signed, or recorded by hand."""
    whom = ", ".join([*(f"{name} ({state})" for name, state in consent.proposed), *consent.points]) or "nobody named"
    how = f"RECORDED BY HAND from {consent.proof}" if consent.by_hand else f"message {consent.reply}"
    parts = [
        f"Consent of {consent.by} on {iso(consent.at)[:10]} ({how}) for {whom}",
        "" if consent.whole else "for parts of it alone",
        "also in judicial proceedings" if consent.in_proceedings else "",
        f"conditions: {consent.conditions}" if consent.conditions else "",
        f"until {consent.valid_until}{'' if consent.holds(day) else ', PASSED'}" if consent.valid_until else "",
    ]
    return "; ".join(part for part in parts if part)
