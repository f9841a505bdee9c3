"""What carries somebody else's document to a third party: spontaneous information, with the original attached.

No type says "this is passed on", and none is needed: who passes information on gives it without being asked (UNTOC
art. 18(4)), vouches for nothing in it, and stays bound by its sender's limits (18(5)), which are fields of that type.
The original travels as it was sealed, with its digest; its text begins with whose it is. Schemas/decisions says what
else was weighed.

Pure. Before this room: `desk`. After it: `valija_schemas.documents`.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from msgspec.structs import replace

from valija.cases.exchange import Turn
from valija.cases.handling import Consent, confidentiality_of, handling_of
from valija_schemas.documents import Document
from valija_schemas.documents.blocks import File
from valija_schemas.documents.blocks.case import Authority, Confidentiality, Grading
from valija_schemas.documents.blocks.information import Information
from valija_schemas.documents.forms.spontaneous_information import SpontaneousInformation

CARRIER = "spontaneous-information/1"


def carry(
    original: Turn, document: Document, authority: Authority, why: str, consents: Sequence[Consent], day: str
) -> SpontaneousInformation:
    """The document that passes `original` on, in the name of `authority`; `why` it may assist its receiver.

    `consents` are those that allow it: their conditions become restrictions.
    """
    said = original.entry.said
    handling = handling_of(document)
    restrictions = [
        text for text in (getattr(document, name, None) for name in ("restrictions", "conditions_of_use")) if text
    ] + [consent.conditions for consent in consents if consent.conditions]
    if restrictions and handling.use == ("H0",):  # its conditions are a limit, and H0 says that there is none
        handling = replace(handling, use=("H3",), text="\n".join(restrictions))
    at = datetime.fromtimestamp(original.at / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return SpontaneousInformation(
        language=document.language,
        authority=authority,
        # Whom to ask stays whoever said the limits: left empty, it would be us.
        handling=replace(handling, consent_contact=handling.consent_contact or said.sender),
        assists=why,
        items=(
            Information(
                # In no language: who said it, in which type, when, and the digest of the message.
                text=f"{said.sender}: {said.type}, {at}, {said.digest}",
                grading=Grading(source="X", information="4"),  # what it says is graded inside, by who said it
                files=(File.of(f"{said.sender}.{said.digest[:16]}.json", "application/json", original.json or b""),),
            ),
        ),
        confidentiality=confidentiality_of(document, day) or Confidentiality(level="none"),
        restrictions="\n".join(dict.fromkeys(restrictions)) or None,
        notice_contact=getattr(document, "notice_contact", None) or said.sender,
    )


def carried(document: Document) -> str | None:
    """The digest of the message that a document of `carry` passes on; None of any other."""
    if not isinstance(document, SpontaneousInformation) or len(document.items) != 1:
        return None
    digest = document.items[0].text.rpartition(" ")[2]
    names = [file.name for file in document.items[0].files]
    return digest if len(names) == 1 and names[0].endswith(f".{digest[:16]}.json") else None
