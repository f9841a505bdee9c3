"""What somebody at the broker's console wants ordered, or published, until it is signed and handed in. SPEC.md 5.5.

A browser has no key, so what is clicked in it is a proposal: the text of an order (5.4) or a hold (4.7) that nobody has
signed. Operators sign that text on their own machines, from what the text itself says; it is named by its digest, so
one that was exchanged has another name. A root or a directory comes signed by its officers, and is offered.

Before this room: `order`, `hold`. After it: the console, and the command that operators sign with.
"""

from typing import Annotated, Final, Literal

import msgspec

from valija_schemas.admin import DeadLetter
from valija_schemas.order import ActionName
from valija_schemas.wire import Count, Digest, Identifier, Milliseconds

ActName = ActionName | Literal["hold", "lift"]
OfferState = Literal["offered", "handed-in", "in-force"]

proposal_ms: Final = 15 * 60 * 1_000  #: A proposal is for people who are there now; who comes later looks again.
proposals_max: Final = 200  #: Of all operators; more would hide the one that matters.
proposals_of_one_max: Final = 50
line_bytes_max: Final = 1_024  #: A name of 64 letters, an origin of 255, an Ed25519 signature in base64.
offers_max: Final = 4  #: Roots and directories, of up to 8 MiB each.

Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class _Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fields in this order, none unknown."""


class Wish(_Record, frozen=True, kw_only=True):
    """What is to be ordered, before it is a text."""

    act: ActName
    message: Digest | None = None
    contact_point: Identifier | None = None
    hours: Annotated[int, msgspec.Meta(ge=1, le=72)] | None = None  #: Of a hold: 72 unless given.
    reason: Reason


class Preview(_Record, frozen=True, kw_only=True):
    """What it would do, by a look at the moment when it was proposed."""

    letter: DeadLetter | None  #: The dead letter that is meant.
    concerned: tuple[Identifier, ...]  #: Who is told of it in their feed.
    until: Milliseconds | None  #: When a hold would end.


class Proposal(_Record, frozen=True, kw_only=True):
    """The text of an order that waits for signatures, or what became of it."""

    id: Digest  #: Of the text. A reader computes it again.
    text: str  #: What is signed. What else stands here is read from it, or is not part of the order.
    act: ActName
    message: Digest | None
    contact_point: Identifier | None
    reason: str
    by: Identifier  #: Who proposed it.
    time: Milliseconds  #: When.
    ends: Milliseconds  #: When it is forgotten here; nothing ends what was handed in.
    needs: Count  #: How many operators must sign.
    signed: tuple[Identifier, ...]
    state: Literal["open", "handed-in", "done", "refused"]
    words: str | None  #: What the broker answered to it.
    note: str | None  #: The order with its signatures, once it is handed in.
    preview: Preview


class Proposals(_Record, frozen=True, kw_only=True):
    """Those that are kept, the oldest first."""

    proposals: tuple[Proposal, ...]


class SignatureLine(_Record, frozen=True, kw_only=True):
    """What an operator's command hands in."""

    line: Annotated[str, msgspec.Meta(max_length=line_bytes_max)]  #: One signature line of a note, with its newline.


class Offer(_Record, frozen=True, kw_only=True):
    """A root or a directory that its officers signed and that may be published."""

    digest: Digest
    kind: Literal["root", "directory"]
    version: Count
    issued: Milliseconds
    expires: Milliseconds
    signed: tuple[str, ...]  #: The names on its signature lines.
    changes: tuple[str, ...]  #: Against the version in force, in the words that officers read.
    by: Identifier  #: Who offered it.
    ends: Milliseconds  #: When it is forgotten here.
    state: OfferState


class Offers(_Record, frozen=True, kw_only=True):
    """Those that are kept, the oldest first."""

    offers: tuple[Offer, ...]
