"""Gathers what proves a message: its events, their places in the log, and the roots and directories that these rest on.

Where the broker can be asked, every event and every directory version is shown in one tree, that of the newest
checkpoint: only there is it certain which came first. A key that has ended since brings the first version that does
not count it, and the one before, so that a reader can decide. Without the broker, or while
witnesses are away, the proofs stand as they were kept.

Before this room: `client`. After it: `bundle`, the form. Rules: schemas/SPEC.md sections 2 and 5.
"""

import contextlib
import logging
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from valija import age, bundle
from valija.errors import AnswerInvalidError, KeyMissingError, RefusedError, StateError, UnavailableError
from valija.feed_store import StoredEvent
from valija.keys import Keys, holds
from valija.log import Log, LogError
from valija.refresh import Library
from valija.seal import SealError, open_disclosed
from valija.standing import named_key
from valija_schemas import leaf as leaves
from valija_schemas import note as notes
from valija_schemas import tlog_proof
from valija_schemas.checkpoint import Checkpoint
from valija_schemas.message import Header, Message, MessageError, read

_log: Final = logging.getLogger("valija.prove")


async def gather(
    found: Message,
    acceptance: bytes | None,
    events: Sequence[StoredEvent],
    *,
    library: Library,
    log: Log,
    key: age.FileKey | None,
) -> bytes:
    """The bundle of a message, of what is proved to be in the log about it, and of everything that these rest on.

    Raises:
        BundleError: it would be too large.
    """
    proved = [event for event in events if event.proof is not None and event.verdict != "alarm"][: bundle.events_max]
    signers = [(found.header.sender, found.header.directory[0])]
    parts = {bundle.README: bundle.README_TEXT, bundle.MESSAGE: found.note.raw, bundle.BODY: found.body}
    for number, event in enumerate(proved, start=1):
        signed = b"\n\n" in event.note
        stem = f"event-{number:02}"
        parts[f"{stem}.{'note' if signed else 'txt'}"] = event.note
        parts[f"{stem}.salt"] = event.salt.hex().encode() + b"\n"
        parts[f"{stem}.tlog-proof"] = event.proof or b""
        text = event.note[: event.note.index(b"\n\n") + 1] if signed else event.note
        named = msgspec.json.decode(text.split(b"\n")[1], type=_Named)
        signers.append((named.recipient, named.directory[0]))
    if acceptance is not None and all(event.event != "SubmissionAcceptance" for event in proved):
        parts[bundle.ACCEPTANCE] = acceptance
    for number, raw in enumerate(library.roots.raws, start=1):
        parts[f"root.{number}.note"] = raw
    versions = {library.phonebook.version}
    for who, number in signers:
        versions |= {number, *_ends(library, who, number)}
    books = {number: book for number in sorted(versions) if (book := library.version(number)) is not None}
    for number, book in books.items():
        parts[f"directory.{number}.note"] = book.raw
    try:
        checkpoint = await log.follow()
        if not checkpoint.complete:
            raise LogError("too few witnesses stand behind the newest tree")
        for number, event in enumerate(proved, start=1):
            entry = leaves.of_event(event.salt, event.note)
            parts[f"event-{number:02}.tlog-proof"] = await _shown(log, event, entry, checkpoint)
        for number, book in books.items():
            with contextlib.suppress(RefusedError, LogError):  # one that is not in the log yet stands without its place
                entry = leaves.of_directory(book.digest)
                parts[f"directory.{number}.tlog-proof"] = await log.show(book.digest, entry, checkpoint)
    except (UnavailableError, RefusedError, AnswerInvalidError, LogError) as error:
        _log.warning("the places in the log are those that were kept: %s", error)
    if key is not None:
        parts[bundle.FILE_KEY] = key.to_bytes().hex().encode() + b"\n"
    return bundle.write(parts)


def disclosed_key(found: Message, keys: Keys, kept: tuple[bytes, str] | None) -> age.FileKey:
    """The key of the body of a message: one that we sent, as the outbox kept it sealed for us; or one sealed for us.

    It is given away only where it opens the body under this very note. Somebody may send us a body that was copied from
    a message of others: that one is refused, and whoever asked for its key would have the key of theirs.

    Raises:
        KeyMissingError: it is neither, the seal key is not in this keyring, or the body is not what this note sealed.
        StateError: what the outbox keeps is not the key of this message.
    """
    if kept is not None:
        identity = keys.seal_identity(kept[1])
        try:
            key = age.FileKey(age.decrypt(kept[0], identity))
            open_disclosed(found, key)  # or whoever can write to the outbox has us disclose another message
        except (age.AgeError, SealError) as error:
            raise StateError(
                f"the outbox is damaged: what it keeps is not the key of this message: {error}",
                hint="Ask a recipient to run `valija prove --disclose`, or prove it without --disclose.",
            ) from None
        return key
    key_id = found.header.to.get(keys.id)
    if key_id is None:
        raise KeyMissingError(
            "the content of this message cannot be disclosed here: it was sealed for its recipients alone, and the"
            " program that sent it did not keep its key",
            hint="Ask a recipient to run `valija prove --disclose`, or prove it without --disclose.",
        )
    try:
        key = age.file_key(found.body, keys.seal_identity(key_id), position=list(found.header.to).index(keys.id))
        open_disclosed(found, key)
    except (age.AgeError, SealError) as error:
        raise KeyMissingError(
            f"the content of this message cannot be disclosed: it was not sealed for us under this note: {error}",
            hint="Prove it without --disclose.",
        ) from None
    return key


def sent_here(
    raw: bytes, digest: str, kept: tuple[bytes, str] | None, *, origin: str, keys: Keys, library: Library
) -> tuple[Header, bytes]:
    """What we signed as the message `digest`, and the document that we sealed under that: both from `raw` alone.

    Nothing else that lies in the outbox is asked: whoever can write to it, and has no key of ours, could have the
    document of one message sealed for the recipients of another, or have us sign a document of their own.

    Raises:
        StateError: the outbox is damaged, or an older program sealed this message.
        KeyMissingError: the seal key that opens its key is not in this keyring.
    """
    try:
        if kept is None:
            raise StateError("an older program sealed it and did not keep its key")
        found = read(raw, origin)
        if (found.digest, found.header.sender) != (digest, keys.id):
            raise StateError("the outbox is damaged: this is another message")
        # Whatever became of the key since: what it signed is sealed again, with the one that counts now.
        point = library.phonebook.point(keys.id)
        own = [key.key for key in point.sign if holds(keys, "sign", key.key)] if point else []
        notes.verify_one(found.note, [notes.Verifier(f"{origin}/{keys.id}", bytes.fromhex(key)) for key in own])
        return found.header, open_disclosed(found, disclosed_key(found, keys, kept))[1]
    except (StateError, MessageError, notes.NoteError, SealError) as error:
        raise StateError(
            f"message {digest[:16]} cannot be sealed again: {error}", hint="Send it again, with another key."
        ) from None


class _Named(msgspec.Struct):
    directory: tuple[int, str] = (0, "")
    recipient: str = ""  #: Who signed it, where it is a receipt.


async def _shown(log: Log, event: StoredEvent, entry: bytes, checkpoint: Checkpoint) -> bytes:
    """The proof of an event in the tree of `checkpoint`: the one that was kept, if it is of that tree."""
    kept = event.proof or b""
    if event.leaf is None or tlog_proof.parse(kept).checkpoint == checkpoint.raw:
        return kept
    return await log.show(event.leaf, entry, checkpoint)


def _ends(library: Library, who: str, number: int) -> Iterator[int]:
    """Where a `sign` key that directory version `number` counts has ended since: that version, and the one before."""
    named, newest = library.version(number), library.phonebook
    point = named.point(who) if named else None
    for key in point.sign if point else ():
        if key.status != "active" or _counts(library, newest.version, who, key.key):
            continue
        good, ended = number, newest.version  # a key that ended stays so: the first version is found by halving
        while ended - good > 1:
            middle = (good + ended) // 2
            good, ended = (middle, ended) if _counts(library, middle, who, key.key) else (good, middle)
        yield from (good, ended)


def _counts(library: Library, number: int, who: str, public: str) -> bool:
    book = library.version(number)
    key = named_key(book, who, public) if book else None
    return key is not None and key.status == "active"
