"""What somebody wants sent, and whether it may be: a valid document, to recipients whom the directory lets have it.

Pure: a document and a directory in, a verdict out.

Before this room: `client`. After it: `whom`, `sending`. Rules: SPEC.md sections 2.1 and 4.4.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from valija import whom
from valija.bilateral import Schemas, agreed
from valija.errors import DocumentInvalidError, RecipientError, UsageError
from valija_schemas import documents, limits, message
from valija_schemas.agreements import is_bilateral
from valija_schemas.directory import ContactPoint, Phonebook
from valija_schemas.documents import bilateral
from valija_schemas.documents.bilateral import BilateralDocument


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants sent: a valid document and how it is to travel."""

    type: str
    json: bytes
    to: tuple[str, ...]
    key: str | None
    priority: message.Priority
    lifetime: int
    in_reply_to: str | None
    thread: str | None  #: None for a message that begins one.
    exercise: bool
    legal_basis_confirmed: bool = False  #: A person stands by the legal basis; no part of what a key names.

    @property
    def fingerprint(self) -> str:
        """What a repeat under the same key must share: everything but its times."""
        parts = [self.type, self.to, self.priority, self.in_reply_to, self.thread, self.exercise]
        return hashlib.sha256(msgspec.json.encode(parts) + b"\n" + self.json).hexdigest()

    def __repr__(self) -> str:
        return f"Order(type={self.type!r}, to={list(self.to)!r})"


def prepare(
    document: documents.Document | BilateralDocument | Mapping[str, Any], type_: str | None
) -> tuple[str, bytes]:
    """The type and the one JSON form of a document, which is valid; of a bilateral type, once `check_schema` says so.

    Raises:
        DocumentInvalidError: it is not, or its type is not known, or nobody said which type it is.
    """
    if isinstance(document, BilateralDocument):
        type_, document = type_ or document.type, document.fields
    try:
        if not isinstance(document, documents.Document):
            if type_ is None:
                raise UsageError(
                    "a mapping does not say what it is", hint="Name its type: type='information-request/1'."
                )
            if is_bilateral(type_):
                return type_, bilateral.from_builtins(document)
            document = documents.from_builtins(type_, document)
        found = documents.type_of(document).type_
        if type_ not in {None, found}:
            raise UsageError(f"this document is a {found}, not a {type_}")
        return found, documents.encode(document)
    except documents.DocumentError as error:
        raise _invalid(error) from None
    except documents.UnknownType as error:
        raise DocumentInvalidError(str(error), flaws=(str(error),)) from None


def check_schema(order: Order, me: str, phonebook: Phonebook, schemas: Schemas) -> None:
    """Refuse a document of a bilateral type that does not keep the schema that we agreed on with its recipients.

    Raises:
        RecipientError: not all of them agreed on one.
        SchemaMissingError: it is not on this machine.
        DocumentInvalidError: the document does not keep it.
    """
    if not is_bilateral(order.type):
        return
    digest = agreed(phonebook, order.type, me, order.to)
    if digest is None:
        raise RecipientError(
            f"the recipients agreed on different schemas of {order.type}", hint="Send it to each of them apart."
        )
    try:
        schemas.decode(order.type, order.json, digest)
    except documents.DocumentError as error:
        raise _invalid(error) from None


def check_recipients(order: Order, me: str, phonebook: Phonebook) -> list[ContactPoint]:
    """The entries of `order.to`, each of whom may be sent this.

    Raises:
        RecipientError: somebody may not; the text names all of them.
    """
    sender = phonebook.point(me)
    if sender is None:
        raise RecipientError(f"{me}, which this client sends for, is not in directory version {phonebook.version}")
    found = [phonebook.point(id_) for id_ in order.to]
    faults = list(_faults(order, sender, found, phonebook))
    if faults:
        raise RecipientError("; ".join(faults))
    return [point for point in found if point]


def _invalid(error: documents.DocumentError) -> DocumentInvalidError:
    return DocumentInvalidError(f"the document is not valid:\n{error}", flaws=tuple(map(str, error.errors)))


def _faults(
    order: Order, sender: ContactPoint, found: Sequence[ContactPoint | None], phonebook: Phonebook
) -> Iterator[str]:
    if not 1 <= len(order.to) <= limits.recipients_max:
        yield f"a message has 1 to {limits.recipients_max} recipients, not {len(order.to)}"
    if sender.status != "active":
        yield f"{sender.id} itself is {sender.status}"
    for id_, point in zip(order.to, found, strict=True):
        if whom.is_group(id_):
            yield f"{id_} is a group, to be made into the ids of its contact points with `expand` first"
        elif point is None:
            yield f"{id_} is not in directory version {phonebook.version}"
        elif fault := whom.why_not(phonebook, sender, order.type, point):
            yield fault
