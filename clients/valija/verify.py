"""What a bundle proves, to whom and on what: bytes and the digest of a root in, a report out.

No network, no clock, no file, no profile. Nothing in a bundle is believed until the chain from the anchor, the digest
of root 1 that a person compared, reaches it: roots, then directories, then whoever they name. Keys of the log and of
its witnesses come from those roots alone, and so does the claim that a proof outlives Ed25519.

The promise: `proved` is said only where everything in the bundle was checked and held, and the report names what is
silent, what stands on the broker's word, and what could not be decided. No input raises.

Before this room: `bundle`. After it: nothing; the words are for people. Rules: schemas/SPEC.md section 5.
"""

import functools
import hashlib
from collections.abc import Callable, Sequence
from typing import Final, Literal

import msgspec

from valija import age, bundle, seal
from valija.receive import verify_promise
from valija.standing import FalseError, Place, Trees, UnknownError, standing, time_words
from valija_schemas import directory as directories
from valija_schemas import evidence, leaf, limits, message, order, tlog_proof
from valija_schemas import note as notes
from valija_schemas.directory import Directory, Key, Phonebook, Roots

Result = Literal["proved", "stated", "silent", "not checked", "false"]

_SIGNED_BY_BROKER: Final = frozenset({"SubmissionAcceptance", "SubmissionRejection"})


class Finding(msgspec.Struct, frozen=True):
    """What is to be said of one part."""

    part: str
    result: Result
    words: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a bundle proves."""

    result: Literal["proved", "not checked", "false"]
    anchor: str  #: The digest of root 1 that everything rests on.
    exchange: str | None
    digest: str | None  #: Of the message.
    relied_on: tuple[str, ...]  #: The root, the log's keys and the witnesses that made it so, in words.
    directory: int | None  #: The newest version in it: a key that was revoked later does not show.
    findings: tuple[Finding, ...]


def verify(data: bytes, anchor: str) -> Report:
    """Judge the bundle `data` by the root whose digest is `anchor`."""
    return verify_and_open(data, anchor)[0]


def verify_and_open(data: bytes, anchor: str) -> tuple[Report, bytes | None]:
    """As `verify`, and the document, in JSON, of a bundle that is proved and discloses it."""
    found = _Bundle(anchor)
    try:
        found.judge(bundle.read(data))
    except bundle.BundleError as error:
        found.say("the file", "not checked", f"{error}; nothing in it can be relied on")
    except FalseError as error:
        found.say(found.at, "false", str(error))
    except UnknownError as error:
        found.say(found.at, "not checked", str(error))
    # Hostile bytes reach many decoders: one that lets another error through must not end in a traceback, nor in trust.
    except (ValueError, ArithmeticError, LookupError, TypeError, AttributeError, RecursionError, MemoryError) as error:
        found.say(found.at, "false", f"it cannot be read: {error}")
    report = found.report()
    return report, found.document if report.result == "proved" else None


class _Bundle:
    """One bundle while it is judged."""

    def __init__(self, anchor: str) -> None:
        self.at = "the file"  # the part that is being looked at
        self.document: bytes | None = None  # in JSON, where it is disclosed
        self._anchor = anchor
        self._findings: list[Finding] = []
        self._relied: dict[str, None] = {}
        self._roots: Roots | None = None
        self._books: dict[int, Phonebook] = {}
        self._message: message.Message | None = None
        self._logged: dict[int, Place] = {}  # directory version -> its place
        self._accepted: Place | None = None
        self._other: list[Place] = []  # of events about the message, but its acceptance and refusals

    def say(self, part: str, result: Result, words: str) -> None:
        self._findings.append(Finding(part, result, words))

    def report(self) -> Report:
        results = {finding.result for finding in self._findings}
        result: Literal["proved", "not checked", "false"] = "not checked"
        if "false" in results:
            result = "false"
        elif "proved" in results and "not checked" not in results:
            result = "proved"
        return Report(
            result=result,
            anchor=self._anchor,
            exchange=self._roots.origin if self._roots else None,
            digest=self._message.digest if self._message else None,
            relied_on=tuple(self._relied),
            directory=max(self._books, default=None),
            findings=tuple(self._findings),
        )

    def judge(self, parts: dict[str, bytes]) -> None:
        """From the anchor outward. What raises here ends it, since all that follows would rest on it."""
        for name in (bundle.README, "root.1.note", bundle.MESSAGE, bundle.BODY):
            if name not in parts:
                raise UnknownError(f"{name} is missing")
        if hashlib.sha256(parts[bundle.README]).hexdigest() not in bundle.README_DIGESTS:
            self.say(bundle.README, "not checked", "this is no text that a bundle ever began with")
        roots = self._read_roots(parts)
        self._read_directories(parts, roots)
        trees = Trees(roots, self._relied)
        for name in parts:
            if name.startswith("directory.") and name.endswith(".tlog-proof"):
                self.at = name
                self._try(functools.partial(self._version, name, parts, trees))
        found, key = self._read_message(parts, roots)
        events = self._events(parts)
        logged = 0
        for name in events:
            self.at = name
            logged += self._try(functools.partial(self._event, name, parts, found, roots, trees))
        if bundle.ACCEPTANCE in parts:
            self.at = bundle.ACCEPTANCE
            self._try(lambda: self._acceptance(parts[bundle.ACCEPTANCE], found, roots))
        self.at = f"the sign key of {found.header.sender}"
        self._try(lambda: self.say(self.at, "proved", self._standing(key, found.header)))
        if bundle.FILE_KEY in parts:
            self.at = bundle.FILE_KEY
            self._try(lambda: self._disclosed(parts[bundle.FILE_KEY], found))
        if not logged:
            self.say("the log", "not checked", "no event of this message is shown to be in the log")
        self._silence(found, parts)

    def _try(self, work: Callable[[], None]) -> bool:
        """Whether a part, on which no other rests, holds."""
        try:
            work()
        except UnknownError as error:
            self.say(self.at, "not checked", str(error))
        except (FalseError, ValueError, LookupError, TypeError, ArithmeticError, RecursionError) as error:
            self.say(self.at, "false", str(error))
        else:
            return True
        return False

    # The chain

    def _read_roots(self, parts: dict[str, bytes]) -> Roots:
        self.at = "root.1.note"
        origin = notes.parse(parts["root.1.note"], limits.directory_bytes_max).origin
        try:
            roots = Roots.first(parts["root.1.note"], origin, self._anchor)
            for number in range(2, 1 + sum(name.startswith("root.") for name in parts)):
                self.at = f"root.{number}.note"
                if self.at not in parts:
                    raise UnknownError("the chain of roots has a gap")
                roots = roots.extend(parts[self.at])
        except directories.DirectoryError as error:
            raise FalseError(str(error)) from None
        self._roots = roots
        root = roots.newest
        self.say(
            self.at, "proved",
            f"root version {root.version} of {origin}, reached from the digest {self._anchor[:16]}... of root 1;"
            f" {root.threshold.keys} officers of {root.threshold.organisations} organisations sign",
        )  # fmt: skip
        return roots

    def _read_directories(self, parts: dict[str, bytes], roots: Roots) -> None:
        for name, raw in parts.items():
            if not name.startswith("directory.") or not name.endswith(".note"):
                continue
            self.at = name
            number = int(name.split(".")[1])
            try:
                note = notes.parse(raw, limits.directory_bytes_max)
                step = msgspec.json.decode(note.json, type=_Step)
                # The version before is not here: whoever names this one names its digest, which says as much.
                before = Directory(
                    version=number - 1,
                    issued=0,
                    expires=0,
                    root=1,
                    previous=None,
                    contact_points=(),
                    routes=(),
                    treaties=(),
                    bilateral=(),
                )
                previous = Phonebook(before, step.previous or "", b"") if number > 1 else None
                self._books[number] = directories.read_directory(raw, roots, previous)
            except (directories.DirectoryError, notes.NoteError, msgspec.MsgspecError) as error:
                raise FalseError(str(error)) from None
            self.say(name, "proved", f"directory version {number}, signed by the officers of root {step.root}")
        if self._books:
            newest = self._books[max(self._books)]
            what = f"directory version {newest.version} of {time_words(newest.directory.issued)}"
            self._relied[f"{what}: a key revoked later does not show here"] = None

    def _version(self, name: str, parts: dict[str, bytes], trees: Trees) -> None:
        number = int(name.split(".")[1])
        if number not in self._books:
            raise UnknownError(f"directory version {number} itself is not here")
        proof = tlog_proof.parse(parts[name])
        place, _, where = trees.place(name, proof, leaf.of_directory(self._books[number].digest))
        self._logged[number] = place
        self.say(name, "proved", f"directory version {number}: {where}")

    def _named(self, reference: tuple[int, str]) -> Phonebook:
        book = self._books.get(reference[0])
        if book is None:
            raise UnknownError(f"directory version {reference[0]}, which it names, is not here")
        if book.digest != reference[1]:
            raise FalseError(f"it names another directory version {reference[0]}")
        return book

    # The message

    def _read_message(self, parts: dict[str, bytes], roots: Roots) -> tuple[message.Message, Key]:
        self.at = bundle.MESSAGE
        try:
            found = message.read(parts[bundle.MESSAGE] + parts[bundle.BODY], roots.origin)
            if found.note.raw != parts[bundle.MESSAGE]:
                raise FalseError("it is not a note alone")
            header = found.header
            book = self._named(header.directory)
            key = message.check_signature(found.note, header, book)
        except message.MessageError as error:
            raise FalseError(str(error)) from None
        self._message = found
        self.say(
            bundle.MESSAGE, "proved",
            f"{header.sender} signed it under directory version {book.version}: {header.type} {header.id} to"
            f" {', '.join(header.to)}, which says that it was sent at {time_words(header.sent)}",
        )  # fmt: skip
        self.at = bundle.BODY
        try:
            message.check_body(header, found.body)
        except message.MessageError as error:
            raise FalseError(str(error)) from None
        self.say(bundle.BODY, "proved", "it is the sealed content that the sender signed, unaltered")
        return found, key

    def _standing(self, key: Key, header: message.Header) -> str:
        return standing(key, header.sender, header.sent, self._books, self._logged, self._accepted, self._other)

    def _disclosed(self, key: bytes, found: message.Message) -> None:
        value = bytes.fromhex(key.decode("ascii"))
        if value.hex().encode() + b"\n" != key:
            raise FalseError("this is not a key in lower-case hex")
        try:
            _, self.document = seal.open_disclosed(found, age.FileKey(value))
        except (seal.SealError, age.AgeError, ValueError) as error:
            raise FalseError(f"it does not open the body: {error}") from None
        words = f"it opens the body: {len(self.document)} bytes of content, sealed under this note"
        self.say(bundle.FILE_KEY, "proved", words)

    # What happened to it

    def _events(self, parts: dict[str, bytes]) -> list[str]:
        self.at = "the events"
        given = {name for name in parts if name.startswith("event-")}
        found = []
        for number in range(1, len(given) // 3 + 1):
            stem = f"event-{number:02}"
            note = f"{stem}.note" if f"{stem}.note" in given else f"{stem}.txt"
            needed = {note, f"{stem}.salt", f"{stem}.tlog-proof"}
            if not needed <= given:
                raise UnknownError(f"event {number} is not whole")
            given -= needed
            found.append(note)
        if given:
            raise UnknownError(f"{min(given)} belongs to no event that is whole")
        return found

    def _event(self, name: str, parts: dict[str, bytes], found: message.Message, roots: Roots, trees: Trees) -> None:
        stem, raw = name.split(".", maxsplit=1)[0], parts[name]
        salt = parts[f"{stem}.salt"]
        if len(salt) != 2 * leaf.SALT_BYTES + 1 or bytes.fromhex(salt.decode("ascii")).hex().encode() + b"\n" != salt:
            raise FalseError("its salt is not 32 bytes in lower-case hex")
        entry = leaf.of_event(bytes.fromhex(salt.decode("ascii")), raw)
        place, head, where = trees.place(name, tlog_proof.parse(parts[f"{stem}.tlog-proof"]), entry)
        if raw.startswith(f"{evidence.RECEIPT} ".encode()):
            if not name.endswith(".note"):
                raise FalseError("a receipt is a signed note")
            at_ms, who, result, what = self._receipt(raw, found, roots, place)
        elif raw.startswith(f"{order.ACTION} ".encode()):
            if not name.endswith(".note"):
                raise FalseError("an order is a signed note")
            at_ms, who, result, what = self._order(raw, found, roots)
        else:
            at_ms, who, result, what = self._broker_event(raw, found, roots, signed=name.endswith(".note"))
        if head.is_older_than(at_ms):
            raise FalseError("it is dated after the checkpoint that proves it")
        match msgspec.json.decode(raw.split(b"\n")[1], type=_Kind).event:
            case "SubmissionAcceptance":
                if self._accepted is None or place.index < self._accepted.index:
                    self._accepted = place
            # A refused message counts only if it was accepted as well; an order does not name the signed note.
            case "SubmissionRejection" | "":
                pass
            case _:
                self._other.append(place)
        self.say(name, result, f"{who}: {what}; {where}")

    def _receipt(self, raw: bytes, found: message.Message, roots: Roots, place: Place) -> tuple[int, str, Result, str]:
        note, receipt = evidence.parse_receipt(raw, roots.origin)
        who = receipt.recipient
        if evidence.subject_of_receipt(receipt) != evidence.subject_of(found.header, found.note):
            raise FalseError("this is a receipt for another message")
        if who not in found.header.to:
            raise FalseError(f"{who} is no recipient of this message")
        point = self._named(receipt.directory).point(who)
        if point is None:
            raise FalseError(f"{who} is not in the directory that the receipt names")
        keys = {bytes.fromhex(key.key): key for key in point.sign}
        verifiers = [notes.Verifier(f"{roots.origin}/{who}", public) for public in keys]
        key = keys[notes.verify_one(note, verifiers).public]
        if not message.key_holds(key, receipt.time):
            raise FalseError(f"the sign key of {who} is {key.status}")
        counts = standing(key, who, receipt.time, self._books, self._logged, place, ())
        reason = f", reason: {receipt.reason}" if receipt.reason else ""
        return (
            receipt.time,
            who,
            "proved",
            f"signed {receipt.event} at {time_words(receipt.time)}{reason}; of the key: {counts}",
        )

    def _order(self, raw: bytes, found: message.Message, roots: Roots) -> tuple[int, str, Result, str]:
        given = order.read_logged(raw, roots.origin, roots.newest_first())
        action = given.action
        if action.message != found.note.digest or action.contact_point not in {None, *found.header.to}:
            raise FalseError("this order is about another message")
        share = f" for {action.contact_point}" if action.contact_point else ""
        words = f"ordered {action.action}{share} at {time_words(action.time)}, reason: {action.reason}"
        return action.time, ", ".join(given.operators), "proved", words

    def _broker_event(
        self, raw: bytes, found: message.Message, roots: Roots, *, signed: bool
    ) -> tuple[int, str, Result, str]:
        if signed:
            event = evidence.verify_evidence(raw, roots.origin, roots.evidence_verifiers())
        else:
            event = evidence.parse_event_text(raw, roots.origin)
            if event.event in _SIGNED_BY_BROKER:
                raise FalseError(f"the broker did not sign this {event.event}")
        self._about(event, found)
        self._named_if_here(event.directory)
        what = f"{event.event} for {', '.join(event.to)} at {time_words(event.time)}"
        if event.reason:
            what += f", reason: {event.reason}"
        if signed:
            return event.time, "the broker", "proved", f"signed {what}"
        words = f"put {what} into its log, unsigned: nobody else confirms that it was so"
        return event.time, "the broker", "stated", words

    def _about(self, event: evidence.Event, found: message.Message) -> None:
        subject = evidence.subject_of(found.header, found.note)
        if evidence.subject_of_receipt(event) != subject or not set(event.to) <= set(found.header.to):
            raise FalseError("this event is of another message")
        if event.event == "SubmissionAcceptance":
            _, fault = verify_promise(event, found.header, subject)
            if fault:
                raise FalseError(fault)

    def _named_if_here(self, reference: tuple[int, str]) -> None:
        if reference[0] in self._books:
            self._named(reference)

    def _acceptance(self, raw: bytes, found: message.Message, roots: Roots) -> None:
        event = evidence.verify_evidence(raw, roots.origin, roots.evidence_verifiers())
        if event.event != "SubmissionAcceptance":
            raise FalseError(f"this is a {event.event}")
        self._about(event, found)
        self.say(
            bundle.ACCEPTANCE, "proved",
            f"the broker signed that it accepted the message at {time_words(event.time)}; its place in the log is the"
            " sender's to show",
        )  # fmt: skip

    def _silence(self, found: message.Message, parts: dict[str, bytes]) -> None:
        texts = [raw for name, raw in parts.items() if name.startswith("event-") and name.endswith((".note", ".txt"))]
        for who in found.header.to:
            if not _speaks(texts, b'{"event":"Consignment', b'"recipient":"%s"' % who.encode()):
                self.say(who, "silent", "no receipt here: this proves neither that it received nor that it did not")
        if bundle.ACCEPTANCE not in parts and not _speaks(texts, b'{"event":"SubmissionAcceptance"', b""):
            self.say("the broker", "silent", "no acceptance here")
        if self._roots is not None:
            newest = f"root version {self._roots.newest.version} and directory version {max(self._books)}"
            self.say("the officers", "silent", f"what they signed after {newest}, a key revoked since for instance")


class _Kind(msgspec.Struct, frozen=True):
    event: str = ""


class _Step(msgspec.Struct, frozen=True):
    previous: str | None
    root: int


def _speaks(texts: Sequence[bytes], begins: bytes, names: bytes) -> bool:
    return any(begins in text and names in text for text in texts)
