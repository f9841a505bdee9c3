"""Whether a message of the state folder is its sender's still: whoever can write there could have put it there.

Anybody can seal to us, so that a message opens says nothing of who wrote it; its signature does, under the directory
version that it names.

Pure but for `version`, which reads the directories held. Before this room: `desk`, `work`. After it:
`valija_schemas.message`. Rules: schemas/SPEC.md section 2.
"""

from collections.abc import Callable

from valija.errors import StateError
from valija_schemas.directory import Phonebook
from valija_schemas.message import Message, MessageError, check_digest, check_signature, read

Version = Callable[[int], Phonebook | None]
"""A directory version that is held, by its number; None where it is not."""


def authentic(raw: bytes, digest: str, origin: str, version: Version) -> Message:
    """The message `raw`, which is `digest`, and which the sender signed that it names.

    Raises:
        StateError: it is not.
    """
    try:
        found = read(raw, origin)
        number, named = found.header.directory
        book = version(number)
        if book is None or book.digest != named:
            raise MessageError("unverified", f"directory version {number} is not the one that it names")
        check_signature(found.note, found.header, book)
        check_digest(found.header, found.body)
        if found.digest != digest:
            raise MessageError("unverified", "this is another message")
    except MessageError as error:
        raise StateError(f"the inbox is damaged: message {digest[:16]} does not verify: {error}") from None
    return found
