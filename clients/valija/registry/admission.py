"""Who may enter the directory: what a request must prove, and which keys may never enter.

A key that stands anywhere already, under another name or for another use, would let one party be taken for another; a
key whose short note id collides with an older one can be ground in seconds. So every key that this exchange ever saw is
remembered by name and by use. A seal key cannot sign, so its holder opens a challenge instead.

The promise: `check` lets pass only requests whose `sign` and `auth` keys signed, whose keys are sound and new, and
which follow from the contact point's request before. Pure, but for the randomness of a challenge.

Before this room: `cli`. After it: `core`, which makes the entry. Rules: schemas/SPEC.md section 1.6, "Keys".
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from typing import Final

import msgspec

from valija import age
from valija.enrol import answer_bytes
from valija.errors import AdmissionRefusedError
from valija_schemas import keys
from valija_schemas import note as notes
from valija_schemas.directory import ContactPoint, Directory, DirectoryError, Request, Root, read_request


class Kept(msgspec.Struct, frozen=True):
    """A request that was admitted, and its digest."""

    request: Request
    digest: str


class Seen:
    """Every public key that an exchange ever saw: whose, for what, and whether it ended."""

    def __init__(
        self, origin: str, roots: Iterable[Root], directories: Iterable[Directory], requests: Iterable[Kept]
    ) -> None:
        self.origin: Final = origin
        self._owners: dict[bytes, tuple[str, str]] = {}
        self._note_ids: dict[tuple[str, bytes], bytes] = {}
        self._ended: set[bytes] = set()
        self._requests: dict[str, Kept] = {}
        for root in roots:
            self._remember_root(root)
        for directory in directories:
            for point in directory.contact_points:
                self._remember_point(point)
        for kept in requests:
            self._remember_request(kept)

    def last_request(self, id_: str) -> Kept | None:
        """The newest admitted request of a contact point."""
        return self._requests.get(id_)

    def refuse(self, who: str, use: str, public: bytes) -> None:
        """Refuse a key that somebody else has, that has another use, that ended, or whose note id is taken.

        Raises:
            AdmissionRefusedError: see above.
        """
        owner = self._owners.get(public)
        if owner is not None and owner != (who, use):
            raise AdmissionRefusedError(f"the {use} key of {who} was seen before: as the {owner[1]} key of {owner[0]}")
        if public in self._ended:
            raise AdmissionRefusedError(f"the {use} key of {who} was retired or revoked before")
        if use != "seal":
            name = f"{self.origin}/{who}"
            holder = self._note_ids.get((name, notes.key_id(name, public)))
            if holder is not None and holder != public:
                raise AdmissionRefusedError(f"the {use} key of {who} has the short id of an older key of that name")

    def remember(self, who: str, use: str, public: bytes) -> None:
        """Note a key as seen. The first to hold it stays its owner."""
        self._owners.setdefault(public, (who, use))
        if use != "seal":
            name = f"{self.origin}/{who}"
            self._note_ids.setdefault((name, notes.key_id(name, public)), public)

    def _remember_root(self, root: Root) -> None:
        for officer in root.officers:
            self.remember(officer.id, "officer", bytes.fromhex(officer.key))
        for operator in root.operators:
            self.remember(operator.id, "operator", bytes.fromhex(operator.key))
        for witness in root.witnesses:
            self.remember(witness.name, "witness", bytes.fromhex(witness.key))
        for key in root.broker.evidence:
            self.remember("broker", "evidence", bytes.fromhex(key))
        self.remember("broker", "freshness", bytes.fromhex(root.broker.freshness))
        self.remember("log", "log", bytes.fromhex(root.broker.log))

    def _remember_point(self, point: ContactPoint) -> None:
        for use, public, status in _held(point):
            self.remember(point.id, use, public)
            if status != "active":
                self._ended.add(public)

    def _remember_request(self, kept: Kept) -> None:
        request = kept.request
        for use, public in _publics(request):
            self.remember(request.contact_point, use, public)
        last = self._requests.get(request.contact_point)
        if last is None or last.request.time < request.time:
            self._requests[request.contact_point] = kept


def check(raw: bytes, seen: Seen) -> Kept:
    """The request in `raw`, if it may be admitted once its seal key is proved.

    Raises:
        AdmissionRefusedError: it is not well-formed or not signed by both keys, its name is reserved, a key is weak or
            was seen before, or it does not follow from the request before.
    """
    try:
        request, digest = read_request(raw, seen.origin)
    except DirectoryError as error:
        raise AdmissionRefusedError(f"this request is not believed: {error}") from None
    who = request.contact_point
    for use, public in _publics(request):
        _refuse_weak(who, use, public)
        seen.refuse(who, use, public)
    name = f"{seen.origin}/{who}"
    if notes.key_id(name, bytes.fromhex(request.sign)) == notes.key_id(name, bytes.fromhex(request.auth)):
        raise AdmissionRefusedError(f"the sign and the auth key of {who} have one short id")
    last = seen.last_request(who)
    if last is not None and last.digest == digest:
        return last  # Admitted before: the same step again.
    if request.previous != (last.digest if last else None) or (last and request.time <= last.request.time):
        raise AdmissionRefusedError(
            f"the request does not follow from the last one that was admitted for {who}",
            hint=f"Have it made again with --previous {last.digest}." if last else "Have it made without --previous.",
        )
    return Kept(request, digest)


def check_directory_keys(directory: Directory, seen: Seen) -> None:
    """What every officer's machine checks again before it signs: it may not trust the one that made the draft.

    Raises:
        AdmissionRefusedError: an active key is weak, was seen elsewhere, or ended before.
    """
    for point in directory.contact_points:
        for use, public, status in _held(point):
            if status == "active":
                seen.refuse(point.id, use, public)
                _refuse_weak(point.id, use, public)


def make_challenge(request: Request) -> tuple[bytes, str]:
    """What to send to the contact point, and the SHA-256 of the answer: nothing that is kept gives the answer away."""
    answer = secrets.token_bytes(answer_bytes)
    challenge = age.encrypt(answer, [age.SealRecipient.from_bytes(base64.b64decode(request.seal))])
    return challenge, hashlib.sha256(answer).hexdigest()


def check_answer(answer: bytes, expected: str) -> None:
    """Refuse an answer (a line of hex) whose SHA-256 is not `expected`.

    Raises:
        AdmissionRefusedError: it is another one, or none.
    """
    try:
        value = bytes.fromhex(answer.decode("ascii").strip())
    except ValueError:
        value = b""
    if len(value) != answer_bytes or not hmac.compare_digest(hashlib.sha256(value).hexdigest(), expected):
        raise AdmissionRefusedError(
            "this is not the answer to the challenge: nothing shows that the contact point holds its seal key",
            hint="Ask for the answer to the newest challenge, or run admit without --answer to make another one.",
        )


def _refuse_weak(who: str, use: str, public: bytes) -> None:
    try:
        if use == "seal":
            age.SealRecipient.from_bytes(public)
        else:
            keys.check_ed25519(public)
    except (keys.WeakKeyError, age.AgeError) as error:
        raise AdmissionRefusedError(f"the {use} key of {who} may not be used: {error}") from None


def _held(point: ContactPoint) -> list[tuple[str, bytes, str]]:
    held: list[tuple[str, bytes, str]] = [("sign", bytes.fromhex(key.key), key.status) for key in point.sign]
    held += [("auth", bytes.fromhex(key.key), key.status) for key in point.auth]
    return held + [("seal", key.public, key.status) for key in point.seal]


def _publics(request: Request) -> list[tuple[str, bytes]]:
    return [
        ("sign", bytes.fromhex(request.sign)),
        ("auth", bytes.fromhex(request.auth)),
        ("seal", base64.b64decode(request.seal)),
    ]
