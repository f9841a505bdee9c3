"""Proposals: what operators are asked to sign, and their signatures, until there are enough of them.

Somebody with a browser proposes; nothing follows from that. Operators sign the text on their own machines and hand
their lines in; with the last one that is needed the order goes, once, into the folder where upkeep takes orders, and is
verified, logged and carried out as every other. What is kept here is in memory, small, and gone after 15 minutes: a
restart forgets what was not signed, and nothing else.

Before this room: the console's routes. After it: `possible`, `orders`. Rules: schemas/SPEC.md section 5.5.
"""

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

import structlog

from valija_broker import orders, possible
from valija_broker.dead_letters import DeadLetters
from valija_broker.directory import Known, now_ms
from valija_broker.errors import (
    BadSignature,
    NoSuchProposal,
    NotAllowed,
    NotHandedIn,
    NotProposable,
    ProposalSettled,
    TooManyProposals,
)
from valija_schemas import admin, hold, limits, order, wire
from valija_schemas import note as notes
from valija_schemas.directory import Role, Root
from valija_schemas.hold import Hold
from valija_schemas.order import Action, OrderError
from valija_schemas.proposal import (
    ActName,
    Preview,
    Proposal,
    Wish,
    line_bytes_max,
    proposal_ms,
    proposals_max,
    proposals_of_one_max,
)

_log: Final = structlog.get_logger("proposals")

_hours_default: Final = 72


class _Kept:
    """One proposal, its signatures, and what became of it."""

    def __init__(self, text: bytes, value: Action | Hold, by: str, preview: Preview) -> None:
        self.text: Final = text
        self.id: Final = _digest(text)
        self.value: Final = value
        self.by: Final = by
        self.preview: Final = preview
        self.needs: Final = hold.OPERATORS_MIN if isinstance(value, Hold) else order.OPERATORS_MIN[value.action]
        self.lines: dict[str, bytes] = {}  #: By operator.
        self.state: Literal["open", "handed-in", "done", "refused"] = "open"
        self.note: bytes | None = None
        self.answer: Path | None = None
        self.words: str | None = None

    @property
    def ends(self) -> int:
        """When it is forgotten."""
        return self.value.time + proposal_ms

    @property
    def is_waiting(self) -> bool:
        """Whether nothing became of it yet."""
        return self.state in {"open", "handed-in"}

    @property
    def target(self) -> tuple[ActName, str | None, str | None]:
        """What two proposals that are one have in common."""
        return self.value.action, _message(self.value), self.value.contact_point

    def shown(self) -> Proposal:
        """As everybody sees it."""
        return Proposal(
            id=self.id,
            text=self.text.decode(),
            act=self.value.action,
            message=_message(self.value),
            contact_point=self.value.contact_point,
            reason=self.value.reason,
            by=self.by,
            time=self.value.time,
            ends=self.ends,
            needs=self.needs,
            signed=tuple(sorted(self.lines)),
            state=self.state,
            words=self.words,
            note=self.note.decode() if self.note else None,
            preview=self.preview,
        )


class Proposals:
    """Every proposal of this console. One event loop; the calls may overlap."""

    def __init__(
        self,
        *,
        folder: Path,
        database: Path,
        known: Known,
        letters: DeadLetters,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        """`folder` is where orders wait for upkeep, `database` the evidence, which is only read."""
        self._folder = folder
        self._database = database
        self._known = known
        self._letters = letters
        self._clock = clock
        self._kept: dict[str, _Kept] = {}  # by id, the oldest first

    async def propose(self, by: str, wish: Wish) -> Proposal:
        """Keep what `by` wants ordered, dated now, for operators to sign.

        Raises:
            NotAllowed: `by` has not the role.
            NotProposable: it would be refused if it were ordered now, or has no valid form.
            ProposalSettled: the same is proposed already, and open.
            TooManyProposals: there is no room.
            StoreUnavailable, sqlite3.Error: it could not be looked at.
        """
        require_role(self._known.roots.newest, by, "operator")
        self._require_room(by)
        try:
            value = await self._value(wish)
            origin = self._known.origin
            text = hold.text(origin, value) if isinstance(value, Hold) else order.text(origin, value)
            kept = _Kept(text, value, by, await self._preview(value, _digest(text)))
        except (wire.WireError, OrderError) as error:
            raise NotProposable(str(error)) from None
        # Nothing is awaited from here on: of two who propose the same at once, the second is told.
        self._require_room(by)
        for other in self._kept.values():
            if other.target == kept.target and other.is_waiting:
                raise ProposalSettled(f"{other.by} proposed this before, and it is {other.state}: {other.id}")
        self._kept[kept.id] = kept
        _log.info("proposed", id=kept.id, by=by, act=value.action)
        return kept.shown()

    async def shown(self) -> tuple[Proposal, ...]:
        """Every proposal that is kept, the oldest first."""
        self._forget()
        for kept in list(self._kept.values()):
            await self._look(kept)
        return tuple(kept.shown() for kept in self._kept.values())

    async def one(self, id_: str) -> Proposal:
        """One of them.

        Raises:
            NoSuchProposal: it was forgotten, or never was.
        """
        kept = self._find(id_)
        await self._look(kept)
        return kept.shown()

    def withdraw(self, id_: str, by: str) -> None:
        """Forget an open proposal.

        Raises:
            NotAllowed: `by` has not the role.
            NoSuchProposal: it was forgotten, or never was.
            ProposalSettled: it was handed in.
        """
        require_role(self._known.roots.newest, by, "operator")
        kept = self._find(id_)
        _require_open(kept)
        del self._kept[id_]
        _log.info("withdrawn", id=id_, by=by, proposed_by=kept.by)

    async def sign(self, id_: str, by: str, line: str) -> Proposal:
        """Add the signature line of `by`; with enough of them, hand the order in.

        Who signed before may send the line again, so that an order is handed in that could not be.

        Raises:
            NotAllowed, BadSignature: it is not a line of `by`, with the role, over this text; nothing was kept.
            NoSuchProposal: it was forgotten, or never was.
            ProposalSettled: it was handed in before.
            NotHandedIn: the folder could not be written to; the signature is kept.
        """
        require_role(self._known.roots.newest, by, "operator")
        kept = self._find(id_)
        _require_open(kept)
        root = self._known.roots.newest
        kept.lines[by] = self._line(kept, by, line, root)
        # Who lost the role meanwhile has signed nothing: upkeep would refuse the whole note for that line.
        kept.lines = {who: each for who, each in kept.lines.items() if self._holds(kept, who, each, root)}
        _log.info("signed", id=id_, by=by, signed=sorted(kept.lines), needs=kept.needs)
        if len(kept.lines) >= kept.needs:
            await self._hand_in(kept, root)
        return kept.shown()

    async def _hand_in(self, kept: _Kept, root: Root) -> None:
        raw = kept.text + b"\n" + b"".join(kept.lines[who] for who in sorted(kept.lines))
        read = hold.read_hold if isinstance(kept.value, Hold) else order.read_order
        read(raw, self._known.origin, root)  # it was verified line by line: this can only be a mistake of ours
        path, answer = orders.place(self._folder, raw)
        # Before the first await: whoever signs at this moment is told, and hands nothing in a second time.
        kept.state, kept.note, kept.answer = "handed-in", raw, answer
        try:
            await asyncio.to_thread(_put, self._folder, path, raw)
        except OSError as error:
            # Nothing is in the folder, or all of it: the same bytes have the same name, and are an order once.
            kept.state, kept.note, kept.answer = "open", None, None
            raise NotHandedIn(f"the order could not be handed in: {error.strerror}") from None
        _log.info("handed_in", id=kept.id, operators=sorted(kept.lines), act=kept.value.action)

    async def _look(self, kept: _Kept) -> None:
        if kept.state != "handed-in" or kept.answer is None:
            return
        result = await asyncio.to_thread(orders.read_result, kept.answer)
        if result is not None:
            kept.state, kept.words = result.status, result.words

    async def _value(self, wish: Wish) -> Action | Hold:
        now = self._clock()
        if wish.act not in {"hold", "lift"}:
            if wish.hours is not None:
                raise OrderError("only a hold lasts for hours")
            return Action(
                action=wish.act,  # type: ignore[arg-type]
                message=wish.message,
                contact_point=wish.contact_point,
                time=now,
                reason=wish.reason,
            )
        if wish.contact_point is None or wish.message is not None:
            raise OrderError(f"a {wish.act} names a contact point and no message")
        if wish.act == "lift":
            if wish.hours is not None:
                raise OrderError("only a hold lasts for hours")
            held = await possible.hold_in_force(wish.contact_point, self._database, self._known)
            named: dict[str, object] = {"hold": held, "directory": None, "until": None}
        else:
            until = now + (wish.hours or _hours_default) * limits.HOUR_MS
            named = {"hold": None, "directory": self._known.reference, "until": until}
        return Hold(
            action="lift" if wish.act == "lift" else "hold",
            contact_point=wish.contact_point,
            time=now,
            reason=wish.reason,
            **named,  # type: ignore[arg-type]
        )

    async def _preview(self, value: Action | Hold, digest: str) -> Preview:
        if isinstance(value, Hold):
            await possible.require_hold(value, digest, self._database, self._known)
            return Preview(letter=None, concerned=(value.contact_point,), until=value.until)
        if value.action in {"replay", "discard"}:
            mailbox, message = value.contact_point or "", value.message or ""
            letter = possible.require_dead(await self._letters.find(mailbox, message), value)
            row = admin.DeadLetter(
                mailbox=mailbox,
                digest=letter.digest,
                id=letter.id,
                sender=letter.sender,
                since=letter.since,
                attempts=letter.attempts,
                reason=letter.reason,
            )
            return Preview(letter=row, concerned=(letter.sender, mailbox), until=None)
        found = await possible.about(value, self._database, self._known)
        await possible.require_evidence(value, found, self._database)
        if value.action == "erase":
            await asyncio.to_thread(possible.require_erasable, value, found, self._database)
        return Preview(letter=None, concerned=found.parties, until=None)

    def _line(self, kept: _Kept, by: str, line: str, root: Root) -> bytes:
        """The one spelling of a signature line of `by`, verified over the text of `kept`."""
        try:
            if len(line) > line_bytes_max:
                raise OrderError("this is no signature line")
            note = notes.parse(kept.text + b"\n" + line.encode())
            signed = order.signed_by(note, self._known.origin, root)
        except ValueError as error:
            raise BadSignature(str(error)) from None
        if signed != (by,):
            raise BadSignature(f"this is not the signature of {by}, who hands it in")
        return notes.write_line(note.signatures[0])

    def _holds(self, kept: _Kept, who: str, line: bytes, root: Root) -> bool:
        try:
            return self._line(kept, who, line.decode(), root) == line
        except BadSignature:
            return False

    def _find(self, id_: str) -> _Kept:
        self._forget()
        kept = self._kept.get(id_)
        if kept is None:
            raise NoSuchProposal("there is no such proposal, or not any more")
        return kept

    def _forget(self) -> None:
        now = self._clock()
        self._kept = {id_: kept for id_, kept in self._kept.items() if now < kept.ends}

    def _require_room(self, by: str) -> None:
        self._forget()
        waiting = [kept for kept in self._kept.values() if kept.is_waiting]
        if sum(kept.by == by for kept in waiting) >= proposals_of_one_max:
            raise TooManyProposals(f"{by} has {proposals_of_one_max} proposals here")
        if len(waiting) >= proposals_max:
            raise TooManyProposals(f"{proposals_max} proposals are here")
        if len(self._kept) >= proposals_max:  # what became of the oldest stands among the acts
            del self._kept[next(id_ for id_, kept in self._kept.items() if not kept.is_waiting)]


def require_role(root: Root, who: str, role: Role) -> None:
    """Refuse what `root` does not let `who` do.

    Raises:
        NotAllowed: `who` has not the role.
    """
    if not any(one.id == who and role in one.roles for one in root.operators):
        raise NotAllowed(f"{who} has no role `{role}` in root version {root.version}")


def _require_open(kept: _Kept) -> None:
    if kept.state != "open":
        who = ", ".join(sorted(kept.lines))
        raise ProposalSettled(f"it was signed by {who} and handed in before; nothing was added")


def _put(folder: Path, path: Path, raw: bytes) -> None:
    orders.make_folder(folder)
    orders.put(path, raw)


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def _message(value: Action | Hold) -> str | None:
    return None if isinstance(value, Hold) else value.message
