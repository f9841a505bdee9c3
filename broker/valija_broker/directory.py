"""The directory as the broker holds it, and who is held: verified from the first root on, and never a step back.

Signed notes come in as files that the registry authority publishes; upkeep verifies them and puts them on the shelf
in the store, by compare-and-swap from N to N+1. Every process reads the shelf again within a second, or when it is
woken, and verifies everything itself: whoever can write to the store still cannot invent a contact point.

Before this room: `store`. After it: `caller`, `accept`. Rules: schemas/SPEC.md section 4.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

import structlog

from valija_broker.errors import BrokerError, Refused, ShelfConflict, StoreError
from valija_broker.shelves import DirectoryShelf
from valija_schemas import hold, limits
from valija_schemas import note as notes
from valija_schemas.directory import (
    FRESHNESS,
    ContactPoint,
    Directory,
    DirectoryError,
    Freshness,
    Key,
    Phonebook,
    Root,
    Roots,
    note_text,
    read_directory,
    require_current,
)

_log: Final = structlog.get_logger("directory")

refresh_s: Final = 1.0  #: A published version is in every process within two seconds.
freshness_renewed_ms: Final = limits.HOUR_MS  #: Signed for a day, renewed every hour.


def now_ms() -> int:
    """The clock of this host, in milliseconds."""
    return time.time_ns() // 1_000_000


def utc(at_ms: int) -> str:
    """A time in milliseconds, for people: ISO 8601, to the second."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


class Known:
    """What one process has verified of the directory. Read it freely; only `refresh` changes it."""

    def __init__(self, origin: str, anchor: str, shelf: DirectoryShelf) -> None:
        self.origin: Final = origin
        self._anchor: Final = anchor
        self._shelf: Final = shelf
        self._roots: Roots | None = None
        self._phonebook: Phonebook | None = None
        self._expires_ms = 0
        self._not_current = ""
        self._superseded: dict[int, tuple[str, int]] = {}  # version -> (digest, when its successor was issued)
        self._holds: dict[str, hold.Given] = {}  # by contact point
        self._holds_of: tuple[str, int] = ("", 0)  # which list that is, and under which root it was verified

    @property
    def ready(self) -> bool:
        """Whether there is a directory to work with."""
        return self._phonebook is not None

    @property
    def has_root(self) -> bool:
        """Whether the first root was published."""
        return self._roots is not None

    @property
    def roots(self) -> Roots:
        """The chain of roots."""
        if self._roots is None:
            raise BrokerError("no root has been published")
        return self._roots

    @property
    def phonebook(self) -> Phonebook:
        """The newest directory."""
        if self._phonebook is None:
            raise BrokerError("no directory has been published")
        return self._phonebook

    @property
    def reference(self) -> tuple[int, str]:
        """Version and digest of the newest directory, (0, "") before the first."""
        return self._phonebook.reference if self._phonebook else (0, "")

    def digest(self, version: int) -> str:
        """The digest of a directory version from 1 up to the newest."""
        return self.reference[1] if version == self.reference[0] else self._superseded[version][0]

    def require_current(self, at_ms: int) -> None:
        """Refuse to take new messages under a root or directory that may no longer be used for sending.

        Raises:
            Refused: expired, or the newest officers do not stand behind it.
        """
        if self._not_current or at_ms >= self._expires_ms:
            raise Refused("directory-expired", self._not_current or "the directory, or its root, has expired")

    def accepts_reference(self, reference: tuple[int, str], at_ms: int) -> bool:
        """Whether a message may name this version: the current one, or one superseded less than seven days ago."""
        if reference == self.reference:
            return True
        digest, superseded = self._superseded.get(reference[0], ("", 0))
        return digest == reference[1] and at_ms < superseded + limits.superseded_directory_max_ms

    def is_active(self, id_: str) -> bool:
        """Whether a contact point may send and be lent mail: it is there, and not suspended, withdrawn or held."""
        return self.why_not_active(id_) is None

    def why_not_active(self, id_: str) -> tuple[Literal["suspended", "held"], str] | None:
        """The problem code and the words where a contact point may do nothing now."""
        point = self.phonebook.point(id_)
        if point is None or point.status != "active":
            return "suspended", f"{id_} is {point.status if point else 'not in the directory'}"
        held = self.held(id_)
        return ("held", f"operators hold {id_}; GET /v1/directory/holds shows their order") if held else None

    def held(self, id_: str) -> hold.Given | None:
        """The hold on a contact point, while it is in force by the clock here."""
        found = self._holds.get(id_)
        return found if found is not None and found.in_force(now_ms()) else None

    @property
    def holds(self) -> tuple[hold.Given, ...]:
        """Every hold that is in force."""
        now = now_ms()
        return tuple(found for found in self._holds.values() if found.in_force(now))

    def caller(self, key_id: str) -> tuple[ContactPoint, Key] | None:
        """The contact point whose active `auth` key this is."""
        found = self._phonebook.by_auth_key(key_id) if self._phonebook else None
        return found if found and found[1].status == "active" and found[0].status != "withdrawn" else None

    async def refresh(self) -> bool:
        """Read and verify what is new on the shelf. Says whether there was something.

        A note that does not verify is reported and not believed; what was known stays in force.
        """
        heads = await self._shelf.heads()
        changed = False
        try:
            while (self._roots.newest.version if self._roots else 0) < heads.root:
                number = self._roots.newest.version + 1 if self._roots else 1
                raw = await self._shelf.root(number)
                self._roots = self._roots.extend(raw or b"") if self._roots else self._first(raw or b"")
                changed = True
            while self._roots and (self._phonebook.version if self._phonebook else 0) < heads.directory:
                number = self._phonebook.version + 1 if self._phonebook else 1
                raw = await self._shelf.directory(number)
                self._take(read_directory(raw or b"", self._roots, self._phonebook))
                changed = True
            if changed and self._phonebook:
                self._judge()
        except DirectoryError as error:
            _log.error("directory_not_believed", error=str(error), root=heads.root, directory=heads.directory)
        await self._refresh_holds(heads.holds)
        return changed

    async def _refresh_holds(self, tag: str) -> None:
        """Take the list of holds, as far as operators of the newest root stand behind each.

        So a root that drops an operator ends what that one held.
        """
        # Without a tag there never was a hold, or somebody took it away: then what is known stays.
        if not tag or self._roots is None or self._holds_of == (tag, self._roots.newest.version):
            return
        raws = await self._shelf.holds(tag)
        if (
            raws is None
        ):  # it changes just now, or somebody altered it: read again in a second, by then upkeep set it right
            return
        found = {}
        for raw in raws:
            try:
                given = hold.read_hold(raw, self.origin, self._roots.newest)
                found[given.hold.contact_point] = given
            except hold.HoldError as error:
                _log.error("hold_not_believed", error=str(error))
        self._holds, self._holds_of = found, (tag, self._roots.newest.version)

    def _judge(self) -> None:
        """Once a change, since it verifies signatures; the expiry is compared at each message."""
        self._expires_ms = min(self.roots.newest.expires, self.phonebook.directory.expires)
        self._not_current = ""
        try:
            require_current(self.phonebook, self.roots, 0)
        except DirectoryError as error:
            self._not_current = str(error)

    def check_next(self, raw: bytes, *, root: bool) -> Root | Directory:
        """What a note says that is the next root, or the next directory.

        Raises:
            DirectoryError: it is not; see the text.
        """
        if root:
            return (self._roots.extend(raw) if self._roots else self._first(raw)).newest
        return read_directory(raw, self.roots, self._phonebook).directory

    def _first(self, raw: bytes) -> Roots:
        return Roots.first(raw, self.origin, self._anchor)

    def _take(self, phonebook: Phonebook) -> None:
        if self._phonebook:
            self._superseded[self._phonebook.version] = (self._phonebook.digest, phonebook.directory.issued)
        self._phonebook = phonebook

    async def follow(self, bell: Callable[[float], Awaitable[object]], taken: Callable[[], object]) -> None:
        """Refresh for ever: when `bell` rings, and every second. The store being away is no reason to stop."""
        taken()
        while True:
            await bell(refresh_s)
            before = self._holds
            try:
                if await self.refresh():
                    _log.info("directory_taken", version=self.reference[0])
                    taken()
                if self._holds != before:
                    _log.info("holds_taken", held=sorted(self._holds))
            except StoreError as error:
                _log.warning("directory_unreadable", error=str(error))
            except Exception:  # noqa: BLE001 - a mistake of ours; mail goes on under what is known
                _log.exception("directory_not_followed")


async def publish_folder(folder: Path, known: Known, shelf: DirectoryShelf) -> None:
    """Put what the registry authority published in `folder` on the shelf: `root.N.note` and `directory.N.note`.

    Each note is verified against what is known before it is put there. One that fails is reported each time, so that
    a person sees why nothing changes; the next one waits behind it.
    """
    while True:
        number = known.roots.newest.version + 1 if known.has_root else 1
        if not await _publish_next(folder / f"root.{number}.note", number, known, shelf, root=True):
            break
    while known.has_root:
        number = known.reference[0] + 1
        if not await _publish_next(folder / f"directory.{number}.note", number, known, shelf, root=False):
            break


async def _publish_next(path: Path, number: int, known: Known, shelf: DirectoryShelf, *, root: bool) -> bool:
    try:
        raw = await asyncio.to_thread(path.read_bytes)
    except FileNotFoundError:
        return False
    except OSError as error:
        _log.error("directory_file_unreadable", file=path.name, error=error.strerror)
        return False
    try:
        known.check_next(raw, root=root)
        await (shelf.publish_root(number, raw) if root else shelf.publish_directory(number, raw))
    except (DirectoryError, ShelfConflict) as error:
        _log.error("directory_file_refused", file=path.name, error=str(error))
        return False
    await known.refresh()
    _log.info("directory_published", file=path.name)
    return True


def freshness_note(known: Known, signer: notes.Signer, at_ms: int) -> bytes:
    """What the broker says is the newest version, for a day."""
    version, digest = known.reference
    value = Freshness(
        version=version,
        digest=digest,
        root=known.roots.newest.version,
        issued=at_ms,
        expires=at_ms + limits.freshness_lifetime_max_ms,
    )
    return notes.sign(note_text(FRESHNESS, known.origin, value), [signer])
