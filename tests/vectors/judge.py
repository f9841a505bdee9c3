"""Our own verdict on a vector: the decoders of broker and clients, in the order that SPEC.md gives.

What a broker decides in `accept`, with a store around it, stands here once more in the order of section 3.1 without
the store; everything else is called as the programs call it. An exception other than ours leaves, and fails the test.
"""

import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Final

from valija import age
from valija.bilateral import Schemas
from valija.enrol import EnrolmentError, answer_challenge
from valija.errors import KeyMissingError, ValijaError
from valija.parts import open_document
from valija.receive import (
    AlreadyDelivered,
    LocalFault,
    NeedDirectory,
    Opened,
    Rejected,
    Unverifiable,
    Verdict,
    check_acceptance,
    receive,
)
from valija.registry.admission import Seen, check
from valija.trust import TrustStore
from valija_schemas import (
    age_header,
    checkpoint,
    directory,
    erasure,
    evidence,
    hold,
    http_signature,
    keys,
    leaf,
    limits,
    message,
    order,
    session,
    tlog_proof,
)
from valija_schemas import note as notes
from valija_schemas.directory import Phonebook, Roots
from vectors import shape

Outcome = tuple[str, str | None]
REFUSED: Final[Outcome] = ("refused", None)
ACCEPT: Final[Outcome] = ("accept", None)


def judge(vector: shape.Vector) -> Outcome:
    """The outcome class and, where a reader gives something out, what that is."""
    return _READERS[vector.read](**vector.inputs)


def chain(origin: str, anchor: str, held: list[bytes]) -> tuple[Roots, list[Phonebook]]:
    """The verified roots and directory versions of `held`, in order."""
    roots, books = Roots.first(held[0], origin, anchor), list[Phonebook]()
    for raw in held[1:]:
        if raw.startswith(directory.ROOT.encode()):
            roots = roots.extend(raw)
        else:
            books.append(directory.read_directory(raw, roots, books[-1] if books else None))
    return roots, books


def note(origin: str, kind: str, data: bytes) -> Outcome:
    try:
        if kind == message.KIND:
            return "accept", message.read(data, origin).digest
        found = notes.parse(data)
        notes.require(found, kind, origin)
    except (notes.NoteError, message.MessageError):
        return REFUSED
    return "accept", found.digest


def erased(origin: str, data: bytes) -> Outcome:
    return _tried(erasure.ErasureError, lambda: erasure.parse_erasure(data, origin))


def submit(origin: str, anchor: str, held: list[bytes], note: bytes, body: bytes, now: int) -> Outcome:
    roots, books = chain(origin, anchor, held)
    try:
        _submit(message.read(note + body, origin), roots, books, now)
    except message.MessageError as error:
        return error.code, None
    return ACCEPT


def _submit(found: message.Message, roots: Roots, books: list[Phonebook], now: int) -> None:
    header, newest = found.header, books[-1]
    if header.body_length > limits.body_bytes_max:
        raise message.MessageError("too-large", "body")
    message.check_signature(found.note, header, newest)
    message.check_times(header, now)
    sender = newest.point(header.sender)
    if sender is None or sender.status != "active":
        raise message.MessageError("suspended", "sender")
    try:
        directory.require_current(newest, roots, now)
    except directory.DirectoryError as error:
        raise message.MessageError("directory-expired", str(error)) from None
    if header.attachments:
        raise message.MessageError("attachments-not-accepted", "attachments")
    number, digest = header.directory
    if number > newest.version:
        raise message.MessageError("unknown-directory", "ahead")
    if (number, digest) != newest.reference:
        following = books[number].directory.issued if 0 < number < newest.version else 0
        known = 0 < number < newest.version and books[number - 1].digest == digest
        if not known or now >= following + limits.superseded_directory_max_ms:
            raise message.MessageError("stale-directory", "old")
    if header.type not in newest.types:
        raise message.MessageError("unknown-type", "type")
    message.check_recipients(header, newest, now)
    message.check_body(header, found.body)


class _Books:
    def __init__(self, roots: Roots, books: list[Phonebook]) -> None:
        self.roots, self.phonebook, self._books = roots, books[-1], books

    def version(self, number: int) -> Phonebook | None:
        return self._books[number - 1] if 0 < number <= len(self._books) else None


class _NothingSeen:
    def first_fetched(self, digest: str) -> None:
        return None

    def settled(self, digest: str) -> bool:
        return False

    def digest_of(self, sender: str, id_: str) -> None:
        return None


def received(
    origin: str, anchor: str, held: list[bytes], me: str, seal_key: str, note: bytes, body: bytes, now: int
) -> Outcome:
    def identity(key_id: str) -> age.SealIdentity:
        found = age.SealIdentity.from_text(seal_key) if seal_key else None
        if found is None or found.recipient.key_id != key_id:
            raise KeyMissingError("it is not here")
        return found

    verdict: Verdict = receive(
        note + body,
        b"",
        origin=origin,
        me=me,
        now_ms=now,
        books=_Books(*chain(origin, anchor, held)),
        seen=_NothingSeen(),
        seal_identity=identity,
        open_document=partial(open_document, schemas=Schemas(Path("nowhere"))),
    )
    match verdict:
        case Opened(json=json):
            return "accept", json.decode()
        case Unverifiable():
            return "unverifiable", None
        case Rejected(reason=reason):
            return reason, None
        case LocalFault() | NeedDirectory():
            return "local-fault", None
        case AlreadyDelivered():
            raise AssertionError


def shaped(recipients: int, body: bytes) -> Outcome:
    return _tried(age_header.AgeHeaderError, lambda: age_header.check_sealed_shape(body, recipients))


def accepted(origin: str, anchor: str, held: list[bytes], note: bytes, data: bytes) -> Outcome:
    roots, _ = chain(origin, anchor, held)
    parsed = notes.parse(note)
    sent = message.Message(message.read_note(parsed, origin), parsed, b"")
    event, _ = check_acceptance(data, sent, origin, roots)
    return ACCEPT if event else REFUSED


def receipted(origin: str, anchor: str, held: list[bytes], note: bytes, data: bytes) -> Outcome:
    _, books = chain(origin, anchor, held)
    sent = notes.parse(note)
    header = message.read_note(sent, origin)
    try:
        found, receipt = evidence.parse_receipt(data, origin)
        point = books[-1].point(receipt.recipient)
        if point is None or receipt.recipient not in header.to:
            return REFUSED
        signs = [bytes.fromhex(key.key) for key in point.sign if message.key_holds(key, receipt.time)]
        notes.verify_one(found, [notes.Verifier(f"{origin}/{receipt.recipient}", public) for public in signs])
    except (evidence.EvidenceError, notes.NoteError):
        return REFUSED
    return ACCEPT if evidence.subject_of_receipt(receipt) == evidence.subject_of(header, sent) else REFUSED


def unsigned(origin: str, data: bytes) -> Outcome:
    try:
        event = evidence.parse_event_text(data, origin)
    except evidence.EvidenceError:
        return REFUSED
    return REFUSED if event.event.startswith("Submission") else ACCEPT


def _held(folder: str, origin: str, anchor: str, held: list[bytes]) -> TrustStore:
    store = TrustStore(Path(folder), origin, anchor)
    for raw in held:
        _offer(store, raw)
    return store


def _offer(store: TrustStore, raw: bytes) -> None:
    if raw.startswith(directory.ROOT.encode()):
        store.add_root(raw)
    else:
        store.add_directory(raw)


def chained(origin: str, anchor: str, held: list[bytes], data: bytes) -> Outcome:
    with tempfile.TemporaryDirectory() as folder:
        store = _held(folder, origin, anchor, held)
        return _tried(ValijaError, lambda: _offer(store, data))


def sending(origin: str, anchor: str, held: list[bytes], data: bytes, now: int) -> Outcome:
    def ask() -> None:
        store.set_freshness(data, now)
        store.require_current(now)

    with tempfile.TemporaryDirectory() as folder:
        store = _held(folder, origin, anchor, held)
        return _tried(ValijaError, ask)


def requested(origin: str, anchor: str, held: list[bytes], admitted: list[bytes], data: bytes) -> Outcome:
    roots, books = chain(origin, anchor, held)
    all_roots, versions = roots.newest_first(), [book.directory for book in books]
    kept = []
    for raw in admitted:
        kept.append(check(raw, Seen(origin, all_roots, versions, kept)))
    return _tried(ValijaError, lambda: check(data, Seen(origin, all_roots, versions, kept)))


@cache
def ed25519_key(key: str) -> Outcome:
    return _tried(keys.WeakKeyError, lambda: keys.check_ed25519(bytes.fromhex(key)))


def ed25519_signature(key: str, signature: str, data: bytes) -> Outcome:
    if ed25519_key(key) == REFUSED:
        return REFUSED
    return ACCEPT if notes.holds(bytes.fromhex(key), bytes.fromhex(signature), data) else REFUSED


def seal_key(data: bytes) -> Outcome:
    try:
        return "accept", age.SealRecipient.from_bytes(data).key_id
    except age.AgeError:
        return REFUSED


class _Keyring:
    def __init__(self, text: str) -> None:
        self.seal = age.SealIdentity.from_text(text)


def challenged(seal_key: str, data: bytes) -> Outcome:
    try:
        return "accept", answer_challenge(data, _Keyring(seal_key)).decode().rstrip("\n")  # type: ignore[arg-type]
    except EnrolmentError:
        return REFUSED


def http_request(authorities: list[str], key: str, request: bytes, body: bytes, now: int) -> Outcome:
    first, *lines = request.decode().rstrip("\n").split("\n")
    method, target, _ = first.split(" ")
    fields = [line.split(": ", 1) for line in lines]
    try:
        parsed = http_signature.parse(method, target, [(n.encode(), v.encode()) for n, v in fields], authorities)
        http_signature.check(parsed, public=bytes.fromhex(key), now_ms=now)
        parsed.check_body(body)
    except http_signature.SignatureError:
        return "not-signed", None
    return "accept", parsed.base.decode()


def event_leaf(salt: str, data: bytes) -> Outcome:
    try:
        return "accept", leaf.of_event(bytes.fromhex(salt), data).hex()
    except leaf.LeafError:
        return REFUSED


def directory_leaf(digest: str) -> Outcome:
    try:
        return "accept", leaf.of_directory(digest).hex()
    except leaf.LeafError:
        return REFUSED


def _policy(origin: str, anchor: str, held: list[bytes]) -> checkpoint.Policy:
    return checkpoint.Policy.of_root(origin, chain(origin, anchor, held)[0].newest)


def _believed(found: checkpoint.Checkpoint) -> Outcome:
    if not found.post_quantum:
        return REFUSED
    return ACCEPT if found.complete else ("unwitnessed", None)


def checkpointed(origin: str, anchor: str, held: list[bytes], data: bytes) -> Outcome:
    try:
        return _believed(checkpoint.verify_checkpoint(data, _policy(origin, anchor, held)))
    except checkpoint.CheckpointError:
        return REFUSED


def proved(origin: str, anchor: str, held: list[bytes], leaf: str, data: bytes) -> Outcome:
    policy = _policy(origin, anchor, held)
    try:
        found = tlog_proof.verify(tlog_proof.parse(data), bytes.fromhex(leaf), policy)
    except tlog_proof.ProofError:
        return REFUSED
    return _believed(found.checkpoint)


def ordered(origin: str, anchor: str, held: list[bytes], data: bytes, now: int) -> Outcome:
    root = chain(origin, anchor, held)[0].newest
    return _tried(order.OrderError, lambda: order.require_timely(order.read_order(data, origin, root), now))


def held_back(origin: str, anchor: str, held: list[bytes], earlier: list[bytes], data: bytes, now: int) -> Outcome:
    roots, books = chain(origin, anchor, held)

    def take() -> None:
        given = hold.read_hold(data, origin, roots.newest)
        if books[-1].point(given.hold.contact_point) is None:
            raise hold.HoldError("no contact point")
        before = [hold.parse_hold(raw, origin) for raw in earlier]
        own = [(note.digest, value) for note, value in before if value.contact_point == given.hold.contact_point]
        hold.is_new(given, own, books[-1].reference, now)

    return _tried(hold.HoldError, take)


def signed_in(
    origin: str, anchor: str, held: list[bytes], address: str, drawn: list[str], data: bytes, now: int
) -> Outcome:
    root = chain(origin, anchor, held)[0].newest

    def take() -> None:
        if session.read_sign_in(data, origin, root, address, now)[1].challenge not in drawn:
            raise session.SessionError("not drawn here, or answered")

    return _tried(session.SessionError, take)


def _tried(refusal: type[Exception], work: Callable[[], object]) -> Outcome:
    try:
        work()
    except refusal:
        return REFUSED
    return ACCEPT


_READERS: Final[dict[str, Callable[..., Outcome]]] = {
    "note": note,
    "erasure": erased,
    "submit": submit,
    "receive": received,
    "shape": shaped,
    "acceptance": accepted,
    "receipt": receipted,
    "event": unsigned,
    "chain": chained,
    "sending": sending,
    "request": requested,
    "ed25519-key": ed25519_key,
    "ed25519-signature": ed25519_signature,
    "seal-key": seal_key,
    "challenge": challenged,
    "http-request": http_request,
    "event-leaf": event_leaf,
    "directory-leaf": directory_leaf,
    "checkpoint": checkpointed,
    "proof": proved,
    "order": ordered,
    "hold": held_back,
    "session": signed_in,
}
assert _READERS.keys() == shape.READS.keys()
