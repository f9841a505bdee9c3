"""Opens a message that lies here, or in a file, once more: to read it, long after it was fetched or sent.

The same checks as at its arrival (`receive`), with three differences that reading asks for: it may have expired since,
it may have been settled, and one that does not verify is opened all the same, so that a person sees what it says and
that it proves nothing. No network: the roots and directories that the state folder holds decide.

The promise: `verified` means that `receive` would have handed it over, or that our own key signed it. No message is
changed by being read, nobody is told, and nothing in plain is kept.

Before this room: `cli.show`. After it: `receive`, `prove`, `seal`. Rules: schemas/SPEC.md section 2.
"""

from typing import Final, Literal, Self

import msgspec

from valija import config as configs
from valija.errors import KeyMissingError, StateError, ValijaError
from valija.inbox_store import InboxStore, Received
from valija.keys import Keys
from valija.outbox import Outbox, Sent
from valija.prove import disclosed_key
from valija.receive import NeedDirectory, Opened, Rejected, check_acceptance, receive
from valija.seal import SealError, open_disclosed, open_sealed
from valija.trust import TrustStore
from valija_schemas import message
from valija_schemas.directory import Phonebook
from valija_schemas.message import Message, MessageError

Standing = Literal["verified", "false", "unchecked"]

_NO_ANSWER: Final = frozenset(
    {"status-update", "clarification", "dissemination-consent-request"}
)  #: Replies after which the other side still waits.


class Reopened(msgspec.Struct, frozen=True, kw_only=True):
    """A message, what of it verifies, and what stands in it."""

    message: Message
    standing: Standing
    detail: str  #: Why it is not verified, in the words of our log.
    json: bytes | None  #: The document as it was sealed; None where it cannot be opened here.
    unopened: str  #: Why not.
    accepted: int | None  #: When the broker accepted it, by its signed word, in ms.
    accepted_fault: str  #: Why that word proves nothing.
    book: Phonebook | None  #: The directory version that it names, where that is held.
    sent: Sent | None  #: As the outbox knows it.
    received: Received | None  #: As the inbox knows it.
    replies: tuple[tuple[str, str, int], ...]  #: Digest, sender and time of what answered it, oldest first.
    answered: bool  #: Whether one of these is more than word of where it stands.

    def __repr__(self) -> str:
        return f"Reopened({self.message.digest})"


class Shelf:
    """The messages of one state folder, to be read. Nothing is fetched, sent or changed."""

    def __init__(self, config: configs.Config, keys: Keys) -> None:
        folder = config.state_folder
        if not (folder / "trust").is_dir():
            raise StateError(
                f"{folder} holds no directory", hint="Run `valija directory` with this profile, then this again."
            )
        self._origin: Final = config.exchange
        self._keys: Final = keys
        self._books: Final = TrustStore(folder / "trust", config.exchange, config.root)
        self._outbox: Final = Outbox(folder / "outbox.sqlite")
        self._inbox: Final = InboxStore(folder / "inbox.sqlite")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._outbox.close()
        self._inbox.close()

    def find(self, id_or_digest: str) -> Reopened | None:
        """The message with this id or digest, received or sent here; None where there is none."""
        received = self._inbox.find(id_or_digest)
        if received is not None:
            return self._open(received.raw, received.acceptance)
        sent = self._outbox.find(id_or_digest)
        return None if sent is None else self._open(self._outbox.raw(sent.digest), sent.acceptance)

    def open_file(self, data: bytes, acceptance: bytes | None) -> Reopened:
        """A message as it was transmitted, from a file, with the acceptance that lies beside it.

        Raises:
            StateError: it is no message of this exchange.
        """
        return self._open(data, acceptance)

    def _open(self, raw: bytes, acceptance: bytes | None) -> Reopened:
        try:
            found = message.read(raw, self._origin)
        except MessageError as error:
            raise StateError(f"this is no message: {error}", hint="Ask for the file as it was saved.") from None
        sent, received = self._outbox.find(found.digest), self._inbox.find(found.digest)
        acceptance = acceptance or (received.acceptance if received else None) or (sent.acceptance if sent else None)
        if sent is not None and found.header.sender == self._keys.id:
            standing, detail = self._check(found)
            json, unopened = self._open_own(found, sent)
        else:
            standing, detail, json, unopened = self._receive(found)
        replies, answered = self._replies(found.digest, sent)
        event, fault = None, None
        if acceptance:
            event, fault = check_acceptance(acceptance, found, self._origin, self._books.roots)
        return Reopened(
            message=found,
            standing=standing,
            detail=detail,
            json=json,
            unopened=unopened,
            accepted=event.time if event is not None else None,
            accepted_fault=fault or "",
            book=self._named(found),
            sent=sent,
            received=received,
            replies=replies,
            answered=answered,
        )

    def _replies(self, digest: str, sent: Sent | None) -> tuple[tuple[tuple[str, str, int], ...], bool]:
        ours = self._outbox.answers(digest)
        found = {each.digest: each.type for each in ours}
        replies = [(each.digest, self._keys.id, each.sent) for each in ours]
        for reply, who, at in self._outbox.replies(digest) if sent is not None else ():
            received = self._inbox.find(reply)
            found[reply] = received.type if received is not None else ""
            replies.append((reply, who, at))
        return tuple(replies), any(type_.partition("/")[0] not in _NO_ANSWER for type_ in found.values())

    def _receive(self, found: Message) -> tuple[Standing, str, bytes | None, str]:
        verdict = receive(
            found.raw,
            b"",
            origin=self._origin,
            me=self._keys.id,
            now_ms=0,
            books=self._books,
            seen=_Unseen(),
            seal_identity=self._keys.seal_identity,
            open_document=lambda _, json, __: json,  # whether it is a document is the reader's to say
        )
        match verdict:
            case Opened():
                return "verified", "", verdict.json, ""
            case NeedDirectory():
                detail = f"it names directory version {verdict.version}, which is not held here"
                return ("unchecked", detail, *self._open_sealed(found))
            case Rejected():
                standing, detail = self._check(found)  # its sender's, and not for us, or not to be opened
                return standing, detail, None, verdict.detail
            case _:
                standing, detail = self._check(found)
                return (standing, detail, *self._open_sealed(found))

    def _check(self, found: Message) -> tuple[Standing, str]:
        """Signature and body, under the directory version that it names and under the newest."""
        header = found.header
        named = self._named(found)
        if named is None:
            return "unchecked", f"it names directory version {header.directory[0]}, which is not held here"
        try:
            if named.digest != header.directory[1]:
                raise MessageError("unverified", f"it names another directory version {named.version}")
            message.check_signature(found.note, header, named)
            message.check_body(header, found.body)
        except MessageError as error:
            return "false", str(error)
        try:
            message.check_signature(found.note, header, self._books.phonebook)
        except MessageError as error:
            # Whether it was signed before that, the log decides: `valija prove` shows it.
            return "unchecked", f"it verified under directory version {named.version}, and since then {error}"
        return "verified", ""

    def _named(self, found: Message) -> Phonebook | None:
        return self._books.version(found.header.directory[0])

    def _open_sealed(self, found: Message) -> tuple[bytes | None, str]:
        header = found.header
        key_id = header.to.get(self._keys.id)
        if key_id is None:
            return None, f"{self._keys.id} is not among its recipients"
        try:
            identity = self._keys.seal_identity(key_id)
            return open_sealed(found, identity, list(header.to).index(self._keys.id))[1], ""
        except (KeyMissingError, SealError) as error:
            return None, str(error)

    def _open_own(self, found: Message, sent: Sent) -> tuple[bytes | None, str]:
        try:
            key = disclosed_key(found, self._keys, self._outbox.file_key(sent.digest))
            return open_disclosed(found, key)[1], ""
        except (ValijaError, SealError) as error:
            return None, str(error)


class _Unseen:
    """To read is not to receive: nothing is late, and nothing was here before."""

    def first_fetched(self, digest: str) -> int | None:
        del digest
        return 0

    def settled(self, digest: str) -> bool:
        del digest
        return False

    def digest_of(self, sender: str, id_: str) -> str | None:
        del sender, id_
        return None
