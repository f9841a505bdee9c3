"""Where an entry stands in the log, and whether a key stood when it signed: what `verify` says, these two decide.

An entry has a place: the tree that it was shown in, and its index there. A tree counts only if a root of the chain
names the keys that signed it, the post-quantum one among them, and as many witnesses as that root asks for saw it.
Between two places of one tree it is certain which entry came first; between two trees nothing is, whoever signed both.

The promise: a key that a directory revokes is never called good on anybody's word, nor on a time that its holder wrote.

Before this room: `verify`. After it: `valija_schemas.tlog_proof`. Rules: schemas/SPEC.md sections 2 and 5.3.
"""

from collections.abc import Mapping, Sequence

import msgspec

from valija.clock import iso
from valija_schemas import message, tlog_proof
from valija_schemas.checkpoint import Checkpoint, Policy
from valija_schemas.directory import Key, Phonebook, Roots


class FalseError(Exception):
    """A part does not hold."""


class UnknownError(Exception):
    """What is needed to check a part is not here."""


class Place(msgspec.Struct, frozen=True):
    """An entry of the log, and the tree that it was shown in."""

    part: str  #: Of the bundle.
    index: int
    size: int
    root: bytes

    def shares_tree(self, other: "Place") -> bool:
        """Whether the two were shown in one tree, so that their indexes can be compared."""
        return (self.size, self.root) == (other.size, other.root)


class Trees:
    """The trees that the proofs of one bundle lead to. Two that cannot both be of one log are seen."""

    def __init__(self, roots: Roots, relied: dict[str, None]) -> None:
        """`relied` takes what made a place believed, in words, in order and once each."""
        self._roots = roots
        self._relied = relied
        self._seen: dict[int, str] = {}  # index -> part
        self._trees: dict[int, bytes] = {}  # size -> root

    def place(self, part: str, proof: tlog_proof.Proof, entry: bytes) -> tuple[Place, Checkpoint, str]:
        """The place of `entry`, 33 bytes, the checkpoint that shows it, and words for it.

        Raises:
            FalseError: it is not there, stands there twice, or the tree is not the log's.
            UnknownError: too few signed that tree.
        """
        errors = []
        for root in self._roots.newest_first():
            number = root.version
            try:
                proved = tlog_proof.verify(proof, entry, Policy.of_root(self._roots.origin, root))
            except tlog_proof.ProofError as error:
                errors.append(str(error))
                continue
            head = proved.checkpoint
            if not head.post_quantum:
                raise UnknownError("the log did not sign this checkpoint with its ML-DSA-44 key")
            if not proved.complete:
                seen = len(head.witnesses)
                raise UnknownError(f"unwitnessed: {seen} witnesses saw this tree, root {number} asks for {root.quorum}")
            if proved.index in self._seen:
                raise FalseError(f"it is the same entry of the log as {self._seen[proved.index]}")
            if self._trees.setdefault(head.size, head.root) != head.root:
                raise FalseError(f"two logs: another tree of {head.size} leaves stands in this bundle, signed as well")
            self._seen[proved.index] = part
            self._relied[f"root version {number}, for the log's keys"] = None
            self._relied[f"Ed25519 key {root.broker.log} of {head.head.origin}"] = None
            self._relied[f"ML-DSA-44 key {root.broker.log_ml_dsa[:32]}... of {head.head.origin}"] = None
            for witness, _ in head.witnesses:
                self._relied[f"witness {witness}"] = None
            by = f"{len(head.witnesses)} witnesses" if head.witnesses else "no witness (the root asks for none)"
            at = time_words((head.log_time_s or 0) * 1000)
            words = f"entry {proved.index} of the log, of {head.size} at {at}, Ed25519 and post-quantum; {by}"
            return Place(part, proved.index, head.size, head.root), head, words
        raise FalseError(errors[0])


def named_key(book: Phonebook, who: str, public: str) -> Key | None:
    """The `sign` key of a contact point, in hex, as a directory version has it."""
    point = book.point(who)
    return next((key for key in point.sign if key.key == public), None) if point else None


def revoked(book: Phonebook, who: str, public: str) -> bool:
    """Whether a directory version revokes a `sign` key, or names it no more, which says as much."""
    key = named_key(book, who, public)
    return key is None or key.status == "revoked"


def standing(
    key: Key,
    who: str,
    at_ms: int,
    books: Mapping[int, Phonebook],
    logged: Mapping[int, Place],
    signed: Place | None,
    seen: Sequence[Place],
) -> str:
    """Words that say why a signature made by `key`, which says that it was made at `at_ms`, counts to this day.

    `books` are the directory versions at hand, `logged` the places of those that are shown to be in the log. `signed`
    is the entry that decides, `seen` are others that name the signed note: with one before the revocation the note was
    there before it; one after it shows nothing.

    Raises:
        FalseError: it does not.
        UnknownError: this cannot be decided by what is here.
    """
    newest = books[max(books)]
    now = named_key(newest, who, key.key)
    by = f"directory version {newest.version} of {time_words(newest.directory.issued)}, the newest here"
    if now is not None and now.status == "active":
        return f"it is active in {by}"
    if now is not None and now.status == "retired":
        if not message.key_holds(now, at_ms):
            raise FalseError(f"it is retired in {by}, from a time before that of the signature")
        return f"it is retired in {by}, and says itself that it signed before it was"
    what = f"it is {'revoked' if now is not None else 'not named any more'} in {by}"
    first, place = _revocation(key, who, books, logged, what)
    known = [signed] if signed is not None else list(seen)
    comparable = sorted((each for each in known if each.shares_tree(place)), key=lambda each: each.index)
    if known and not comparable:
        raise UnknownError(f"{what}; that and the signature are not shown in one tree, so it is open which came first")
    if comparable and comparable[0].index < place.index:
        earliest = comparable[0]
        return (
            f"it is revoked since directory version {first}, entry {place.index} of the log; {earliest.part}, entry"
            f" {earliest.index}, stands before that, so it had signed by then"
        )
    if signed is not None:
        raise FalseError(
            f"it is revoked since directory version {first}, entry {place.index} of the log; {signed.part}, entry"
            f" {signed.index}, stands after that"
        )
    raise UnknownError(f"{what}; nothing here shows that it signed before that")


def _revocation(
    key: Key, who: str, books: Mapping[int, Phonebook], logged: Mapping[int, Place], what: str
) -> tuple[int, Place]:
    """The first version that revokes a key, and its place.

    Any later one lists the key as revoked as well. So the version before must be here too, chained to it, and still
    count the key: else somebody shows a later one, and a signature from between the two looks older than it is.
    """
    first = min(number for number, book in books.items() if number > 1 and revoked(book, who, key.key))
    before = books.get(first - 1)
    if before is None or revoked(before, who, key.key):
        raise UnknownError(f"{what}; which version was the first to revoke it is not shown here")
    if books[first].directory.previous != before.digest:
        raise FalseError(f"directory version {first} does not follow from the version {first - 1} that is here")
    if first not in logged:
        raise UnknownError(f"{what}; the place of directory version {first} in the log is not shown here")
    return first, logged[first]


def time_words(at_ms: int) -> str:
    """A time for people."""
    try:
        return iso(at_ms)
    except (OverflowError, ValueError, OSError):
        return f"{at_ms} ms after 1970"
