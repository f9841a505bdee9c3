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
from valija_schemas import keys, limits
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
        self._last: dict[bytes, tuple[str, int]] = {}  # public key -> status and end, as published last
        self._requests: dict[str, Kept] = {}
        for root in roots:
            self.remember_root(root)
        for directory in directories:
            for point in directory.contact_points:
                self.remember_point(point)
        for kept in requests:
            self._remember_request(kept)

    def last_request(self, id_: str) -> Kept | None:
        """The newest admitted request of a contact point."""
        return self._requests.get(id_)

    def knows(self, public: bytes) -> bool:
        """Whether a key was ever seen."""
        return public in self._owners

    def refuse_status(self, who: str, use: str, public: bytes, status: str, ended: int) -> None:
        """Refuse a status that takes back what was published: a key that ended is in force again, or for longer.

        Raises:
            AdmissionRefusedError: see above.
        """
        before, end = self._last.get(public, ("active", 0))
        if status == "active" and before != "active":
            raise AdmissionRefusedError(f"the {use} key of {who} was retired or revoked before")
        if before == "revoked" and status != "revoked":
            raise AdmissionRefusedError(f"the {use} key of {who} was revoked before, and is {status}")
        if before == status == "retired" and ended > end:
            raise AdmissionRefusedError(f"the end of the retired {use} key of {who} was moved ahead")

    def refuse(self, who: str, use: str, public: bytes) -> None:
        """Refuse a key that somebody else has, that has another use, or whose note id is taken.

        Raises:
            AdmissionRefusedError: see above.
        """
        owner = self._owners.get(public)
        if owner is not None and owner != (who, use):
            raise AdmissionRefusedError(f"the {use} key of {who} was seen before: as the {owner[1]} key of {owner[0]}")
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

    def remember_root(self, root: Root) -> None:
        """Note every key of a root."""
        for who, use, public in root_keys(root):
            self.remember(who, use, public)

    def remember_point(self, point: ContactPoint) -> None:
        """Note every key of a contact point, and what became of it."""
        for use, public, status, ended in held_keys(point):
            self.remember(point.id, use, public)
            self._last[public] = (status, ended)

    def _remember_request(self, kept: Kept) -> None:
        request = kept.request
        for use, public in asked_keys(request):
            self.remember(request.contact_point, use, public)
        last = self._requests.get(request.contact_point)
        if last is None or last.request.time < request.time:
            self._requests[request.contact_point] = kept


def read(raw: bytes, origin: str) -> Kept:
    """The request in `raw`, signed by the keys that it asks for.

    Raises:
        AdmissionRefusedError: it is none.
    """
    try:
        return Kept(*read_request(raw, origin))
    except DirectoryError as error:
        raise AdmissionRefusedError(
            f"this request is not believed: {error}",
            hint="Is this the file, whole, that the contact point made? If it is, it makes a new one.",
        ) from None


def check(raw: bytes, seen: Seen, *, lost: bool = False) -> Kept:
    """The request in `raw`, if it may be admitted once its seal key is proved.

    With `lost` it need not follow from the last one, which its contact point, or the officers, have no more.

    Raises:
        AdmissionRefusedError: it is not well-formed or not signed by both keys, its name is reserved, a key is weak or
            was seen before, or it does not follow from the request before.
    """
    kept = read(raw, seen.origin)
    request, digest = kept.request, kept.digest
    who = request.contact_point
    for use, public in asked_keys(request):
        refuse_weak(who, use, public)
        seen.refuse(who, use, public)
        seen.refuse_status(who, use, public, "active", 0)
    name = f"{seen.origin}/{who}"
    if notes.key_id(name, bytes.fromhex(request.sign)) == notes.key_id(name, bytes.fromhex(request.auth)):
        raise AdmissionRefusedError(f"the sign and the auth key of {who} have one short id")
    last = seen.last_request(who)
    if last is not None and last.digest == digest:
        return last  # Admitted before: the same step again.
    if last is None:
        if request.previous is not None and not lost:
            raise AdmissionRefusedError(
                f"the request follows from another one, and none was admitted for {who}",
                hint="Have it made without a request before; or copy `seen` from the folder that was worked in last.",
            )
    elif request.time <= last.request.time:
        raise AdmissionRefusedError(
            f"the request is not newer than the last one that was admitted for {who}",
            hint="Have a new request made; if it is new, have the clock of its machine looked at.",
        )
    elif request.previous != last.digest and not (lost and request.previous is None):
        raise AdmissionRefusedError(
            f"the request does not follow from the last one that was admitted for {who}: {last.digest}",
            hint="Have it made again by the keyring that was admitted last. If all of that is lost: `rotate --lost`.",
        )
    return kept


def check_root_keys(root: Root, seen: Seen) -> None:
    """What every officer's machine checks of a root before it signs: no key in it had another holder or use.

    Raises:
        AdmissionRefusedError: one has.
    """
    for who, use, public in root_keys(root):
        seen.refuse(who, use, public)


def check_dates(value: Root | Directory, published: Directory | None, now_ms: int) -> None:
    """Refuse a draft that lay too long, or is dated ahead and would so hold for longer than it says.

    A key that it retires has to be good until it is published: what that key signs meanwhile would be void.

    Raises:
        AdmissionRefusedError: see above.
    """
    again = "Look at this machine's clock; then make the draft again: `valija-registry draft`, or `new-root`."
    if now_ms >= value.expires:
        raise AdmissionRefusedError("this draft is stale: it has expired", hint=again)
    if value.issued > now_ms + limits.DAY_MS:
        raise AdmissionRefusedError("this draft is dated more than a day ahead", hint=again)
    if isinstance(value, Root):
        return
    held = published.contact_points if published else ()
    active = {public for point in held for _, public, status, _ in held_keys(point) if status == "active"}
    for point in value.contact_points:
        for _, public, status, ended in held_keys(point):
            if status == "retired" and public in active and ended <= now_ms:
                raise AdmissionRefusedError(
                    f"this draft is stale: a key of {point.id} that it retires has ended already", hint=again
                )


def check_directory_keys(directory: Directory, seen: Seen) -> None:
    """What every officer's machine checks again before it signs: it may not trust the one that made the draft.

    Raises:
        AdmissionRefusedError: a key is weak, was seen elsewhere, or has a status that takes back what was published.
    """
    for point in directory.contact_points:
        for use, public, status, ended in held_keys(point):
            seen.refuse(point.id, use, public)
            seen.refuse_status(point.id, use, public, status, ended)
            if status == "active":
                refuse_weak(point.id, use, public)


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


def refuse_weak(who: str, use: str, public: bytes) -> None:
    """Refuse a key under which forged signatures hold, or that nobody can seal for.

    Raises:
        AdmissionRefusedError: see above.
    """
    try:
        if use == "seal":
            age.SealRecipient.from_bytes(public)
        else:
            keys.check_ed25519(public)
    except (keys.WeakKeyError, age.AgeError) as error:
        raise AdmissionRefusedError(f"the {use} key of {who} may not be used: {error}") from None


def root_keys(root: Root) -> list[tuple[str, str, bytes]]:
    """Every Ed25519 key of a root: whose, for what, and the key."""
    named = [(officer.id, "officer", officer.key) for officer in root.officers]
    named += [(operator.id, "operator", operator.key) for operator in root.operators]
    named += [(witness.name, "witness", witness.key) for witness in root.witnesses]
    named += [("broker", "evidence", key) for key in root.broker.evidence]
    named += [("broker", "freshness", root.broker.freshness), ("log", "log", root.broker.log)]
    return [(who, use, bytes.fromhex(key)) for who, use, key in named]


def held_keys(point: ContactPoint) -> list[tuple[str, bytes, str, int]]:
    """Every key of a contact point: its use, the key, its status, and when it ended, 0 while it is active."""
    held: list[tuple[str, bytes, str, int]] = []
    held += [("sign", bytes.fromhex(key.key), key.status, key.ended or 0) for key in point.sign]
    held += [("auth", bytes.fromhex(key.key), key.status, key.ended or 0) for key in point.auth]
    return held + [("seal", key.public, key.status, key.ended or 0) for key in point.seal]


def asked_keys(request: Request) -> list[tuple[str, bytes]]:
    """The keys that a request asks for, with their uses."""
    return [
        ("sign", bytes.fromhex(request.sign)),
        ("auth", bytes.fromhex(request.auth)),
        ("seal", base64.b64decode(request.seal)),
    ]
