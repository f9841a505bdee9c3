"""What a registrar hands the broker: roots and directories that officers signed, looked at before they are published.

A note is verified as upkeep would, shown with what it changes, and put into the folder that upkeep watches once
somebody who saw that says so. Nothing here is believed for the registrar's sake: upkeep and every process verify the
officers' signatures again. The log gets the version as it does today.

Before this room: the console's routes. After it: `directory`. Rules: schemas/SPEC.md sections 4.5 and 5.5.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import structlog

from valija_broker import orders
from valija_broker.console.proposals import require_role
from valija_broker.directory import Known, now_ms
from valija_broker.errors import (
    BrokerError,
    NoSuchProposal,
    NotHandedIn,
    NotProposable,
    ProposalSettled,
    TooManyProposals,
)
from valija_schemas import changes, limits
from valija_schemas import note as notes
from valija_schemas.directory import ROOT, Directory, DirectoryError, Root
from valija_schemas.proposal import Offer, OfferState, offers_max, proposal_ms

_log: Final = structlog.get_logger("offers")


class _Kept:
    """One note that may be published."""

    def __init__(self, raw: bytes, offer: Offer) -> None:
        self.raw: Final = raw
        self.offer: Final = offer
        self.handed_in = False


class Offers:
    """The notes that registrars offered. One event loop; the calls may overlap."""

    def __init__(self, *, folder: Path, known: Known, clock: Callable[[], int] = now_ms) -> None:
        """`folder` is the one that upkeep watches."""
        self._folder = folder
        self._known = known
        self._clock = clock
        self._kept: dict[str, _Kept] = {}  # by digest, the oldest first
        self._publishing = asyncio.Lock()

    async def offer(self, by: str, raw: bytes) -> Offer:
        """Keep a note that could be published now, and say what it changes.

        Raises:
            NotAllowed: `by` has not the role.
            NotProposable: it is not the next root, or directory, or its officers' signatures are not enough.
            TooManyProposals: there is no room.
        """
        require_role(self._known.roots.newest, by, "registrar")
        self._require_room()
        note, value = await asyncio.to_thread(self._verified, raw)
        self._require_room()
        before = self._known.roots.newest if isinstance(value, Root) else self._newest_directory()
        kept = _Kept(
            raw,
            Offer(
                digest=note.digest,
                kind="root" if isinstance(value, Root) else "directory",
                version=value.version,
                issued=value.issued,
                expires=value.expires,
                signed=tuple(line.name for line in note.signatures),
                changes=tuple(changes.changes(before, value)),
                by=by,
                ends=self._clock() + proposal_ms,
                state="offered",
            ),
        )
        self._kept.setdefault(note.digest, kept)
        _log.info("offered", kind=kept.offer.kind, version=value.version, digest=note.digest, by=by)
        return self._shown(self._kept[note.digest])

    def shown(self) -> tuple[Offer, ...]:
        """Every note that is kept, the oldest first."""
        self._forget()
        return tuple(self._shown(kept) for kept in self._kept.values())

    async def publish(self, by: str, digest: str) -> Offer:
        """Put an offered note where upkeep takes it. Doing it again changes nothing.

        Raises:
            NotAllowed: `by` has not the role.
            NoSuchProposal: it was forgotten, or never was.
            NotProposable: it could be published when it was offered, and cannot now.
            ProposalSettled: another note of this version, good as well, waits there.
            NotHandedIn: the folder could not be written to.
        """
        require_role(self._known.roots.newest, by, "registrar")
        self._forget()
        kept = self._kept.get(digest)
        if kept is None:
            raise NoSuchProposal("there is no such note, or not any more")
        if self._shown(kept).state == "in-force":
            return self._shown(kept)
        path = self._folder / f"{kept.offer.kind}.{kept.offer.version}.note"
        async with self._publishing:  # of two notes of one version, the second is told
            await asyncio.to_thread(self._verified, kept.raw)
            try:
                await asyncio.to_thread(self._put, path, kept.raw)
            except OSError as error:
                raise NotHandedIn(f"{path.name} could not be written: {error.strerror}") from None
        kept.handed_in = True
        _log.info("handed_in", file=path.name, digest=digest, by=by)
        return self._shown(kept)

    def _put(self, path: Path, raw: bytes) -> None:
        """Write it, unless another one lies there that upkeep would take. One that it would not take gives way."""
        try:
            there = path.read_bytes()
        except FileNotFoundError:
            there = b""
        if there == raw:
            return
        if there:
            try:
                self._verified(there)
            except NotProposable:
                _log.warning("file_gives_way", file=path.name)
            else:
                raise ProposalSettled(
                    f"another {path.name}, which the officers signed as well, lies in the folder: two texts of one"
                    " version stop every client. Ask the officers"
                )
        self._folder.mkdir(parents=True, exist_ok=True)
        orders.put(path, raw)

    def _verified(self, raw: bytes) -> tuple[notes.Note, Root | Directory]:
        """A note that is the next one, by all that upkeep asks."""
        try:
            note = notes.parse(raw, limits.directory_bytes_max)
            return note, self._known.check_next(raw, root=note.kind == ROOT)
        except (ValueError, DirectoryError, BrokerError) as error:
            raise NotProposable(str(error)) from None

    def _newest_directory(self) -> Directory | None:
        return self._known.phonebook.directory if self._known.ready else None

    def _shown(self, kept: _Kept) -> Offer:
        offer = kept.offer
        if offer.kind == "root":
            raw = self._known.roots.raws[offer.version - 1 : offer.version]
            taken = bool(raw) and notes.parse(raw[0], limits.directory_bytes_max).digest == offer.digest
        else:
            taken = offer.version <= self._known.reference[0] and self._known.digest(offer.version) == offer.digest
        state: OfferState = "in-force" if taken else "handed-in" if kept.handed_in else "offered"
        return msgspec.structs.replace(offer, state=state)

    def _require_room(self) -> None:
        self._forget()
        if len(self._kept) >= offers_max:
            raise TooManyProposals(f"{offers_max} notes are here")

    def _forget(self) -> None:
        now = self._clock()
        self._kept = {digest: kept for digest, kept in self._kept.items() if now < kept.offer.ends}
