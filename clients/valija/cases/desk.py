"""Where cases are worked on: what may be passed on, by whose consent, and the papers of a case as files.

Before this room: `client`, `cli`. After it: `index`, `exchange`, `handling`, `consents`, `forwarding`.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from msgspec.structs import replace

from valija.cases.authentic import Version, authentic
from valija.cases.consents import Consents
from valija.cases.entries import Entry
from valija.cases.exchange import Exchange, Turn, exchange, turn
from valija.cases.forwarding import carried, carry
from valija.cases.handling import Consent, Purpose, export_faults, forwarding_faults, handling_of
from valija.cases.index import CaseIndex
from valija.clock import day_of
from valija.errors import HandlingError, UnknownMessageError, UsageError
from valija.keys import Keys
from valija_schemas import documents
from valija_schemas.directory import ContactPoint
from valija_schemas.documents.blocks.case import Authority
from valija_schemas.documents.forms.dissemination_consent_reply import DisseminationConsentReply
from valija_schemas.documents.forms.dissemination_consent_request import DisseminationConsentRequest

_GRANTED: Final = frozenset({"granted", "granted-with-conditions"})


class Desk:
    """The cases of one state folder, at one time. One thread at a time."""

    def __init__(self, index: CaseIndex, consents: Consents, keys: Keys, now_ms: int, version: Version) -> None:
        self._index: Final = index
        self._consents: Final = consents
        self._keys: Final = keys
        self._now_ms: Final = now_ms
        self._day: Final = day_of(now_ms)
        self._version: Final = version

    def exchange(self, id_or_digest: str) -> Exchange:
        """A case, with the consents that are on record for its messages.

        Raises:
            UnknownMessageError: there is none.
        """
        found = exchange(self._index, id_or_digest, self._keys, self._now_ms)
        digests = [each.entry.digest for each in found.turns]
        return replace(found, consents={each: known for each in digests if (known := tuple(self.consents(each)))})

    def consents(self, digest: str) -> Iterator[Consent]:
        """The consents that are on record for a message: in replies to what we asked, and recorded by hand."""
        asked = [each for each in self._index.of_type("dissemination-consent-request/1") if each.source == "sent"]
        asked = [each for each in asked if each.counts and each.said.summary.regarding == digest]
        if asked:
            yield from self._replied(digest, {each.digest: each for each in asked})
        yield from self._consents.of(digest)

    def _replied(self, digest: str, asked: dict[str, Entry]) -> Iterator[Consent]:
        original = self._turn(digest)
        may = self._whose(original)
        newest: dict[str, tuple[Turn, str]] = {}  # By request: what was said last counts, in whatever order it came.
        for entry in self._index.of_type("dissemination-consent-reply/1"):
            said = entry.said
            about = _about(digest, said.summary.regarding, said.in_reply_to)
            if about not in asked or entry.source != "received" or not entry.counts or entry.apart is not None:
                continue
            reply = turn(self._index, entry, self._keys)
            # Whoever can write to the folder can put a reply there, and say in the index what it answers.
            header = authentic(reply.raw, entry.digest, self._keys.origin, self._version).header
            regarding = getattr(reply.document, "regarding", None)
            named = None if regarding is None else _about(digest, regarding.message, header.in_reply_to)
            if named != about or header.sender not in may:
                continue
            if about not in newest or reply.at >= newest[about][0].at:
                newest[about] = reply, header.sender
        for about, (reply, by) in newest.items():
            found = _consent(original, turn(self._index, asked[about], self._keys), reply, by)
            if found is not None:
                yield found

    def _whose(self, found: Turn) -> set[str]:
        """Who may consent: the sender, and the contact point that the document names for it.

        Of what was passed on, only the latter: whoever passed it on is bound by the same limits.
        """
        contact = handling_of(found.document).consent_contact if found.document is not None else None
        if found.document is not None and carried(found.document) is not None:
            return {contact} if contact is not None else set()
        return {found.entry.said.sender, contact or found.entry.said.sender}

    def permit(self, digest: str, points: Sequence[ContactPoint]) -> tuple[Turn, list[Consent]]:
        """The message, opened, if it may be passed on to `points`, and the consents that let it.

        Raises:
            UnknownMessageError: it was not received here.
            HandlingError: its sender forbids it, and no consent is on record; the text says for whom and why.
        """
        found = self._turn(digest)
        if found.document is None:
            raise UnknownMessageError(f"message {digest[:16]} does not open here: {found.unreadable}")
        said = found.entry.said
        third = [point for point in points if point.id not in {said.sender, *said.to}]
        if said.sender == self._keys.id:
            return found, []
        known = list(self.consents(digest))
        faults = forwarding_faults(found.document, third, known, self._day)
        if faults:
            raise HandlingError(f"message {digest[:16]} of {said.sender} may not go to\n" + "\n".join(faults))
        return found, [each for each in known if each.holds(self._day) and any(map(each.covers, third))]

    def carrier(
        self, digest: str, points: Sequence[ContactPoint], why: str, authority: Authority | None
    ) -> tuple[documents.Document, bool]:
        """The document that passes a received message on to `points`, and whether that is an exercise.

        Raises:
            UnknownMessageError, HandlingError: as `permit`.
            UsageError: it was refused, or is ours; or nobody says in whose name it is passed on.
        """
        found, consents = self.permit(digest, points)
        assert found.document is not None  # noqa: S101 - `permit` saw to it
        if found.entry.source == "sent":
            raise UsageError(f"{digest[:16]} is our own message", hint="Send its document again.")
        if not found.entry.counts:
            raise UsageError(f"{digest[:16]} was refused here, and is not passed on")
        ours = authority or self._authority()
        return carry(found, found.document, ours, why, consents, self._day), found.exercise

    def record(self, consent: Consent, proof: bytes) -> None:
        """Keep a consent that came otherwise than in a message.

        Raises:
            UnknownMessageError: the message that it speaks of is not here.
        """
        self._turn(consent.message)
        self._consents.record(consent, proof, self._index.own())

    def exportable(self, id_or_digest: str, purpose: Purpose, *, confirmed: bool) -> Exchange:
        """A case that may be exported for `purpose`; `confirmed`, that its exporter keeps to the limits of H3.

        Raises:
            UnknownMessageError: there is none.
            HandlingError: a sender forbids it, and no consent is on record.
        """
        found = self.exchange(id_or_digest)
        faults = list(self._export_faults(found, purpose, confirmed=confirmed))
        if faults:
            raise HandlingError(f"this case may not be exported for {purpose} use:\n" + "\n".join(faults))
        return found

    def _export_faults(self, found: Exchange, purpose: Purpose, *, confirmed: bool) -> Iterator[str]:
        for each in found.turns:
            said, known = each.entry.said, found.consents.get(each.entry.digest, ())
            if said.sender == self._keys.id:
                # Our own limits bind others; those of somebody whom we passed on bind us still.
                original = None if each.document is None else carried(each.document)
                if original is None:
                    continue
                known += tuple(self.consents(original))
            for fault in export_faults(each.document, purpose, known, self._day, confirmed=confirmed):
                yield f"{said.digest[:16]}, {said.type} of {said.sender}: {fault}"

    def _turn(self, digest: str) -> Turn:
        return turn(self._index, self._index.entry(digest), self._keys)

    def _authority(self) -> Authority:
        newest = self._index.newest_sent()
        document = turn(self._index, newest, self._keys).document if newest is not None else None
        if document is None:
            raise UsageError(
                "nobody says in whose name it is passed on",
                hint="Give your office as `authority`: --authority FILE, with the fields of that block.",
            )
        found: Authority = getattr(document, "authority")  # noqa: B009 - a field of every type
        return found


def _about(digest: str, regarding: str | None, in_reply_to: str | None) -> str | None:
    """The request that a reply answers: the one that its document names, where it names another than the message."""
    return in_reply_to if regarding in {None, digest} else regarding


def _consent(original: Turn, request: Turn, reply: Turn, by: str) -> Consent | None:
    """The consent that `reply` gives; None where it gives none. What is said in an exercise holds in it alone."""
    wanted, answer = request.document, reply.document
    if not isinstance(wanted, DisseminationConsentRequest) or not isinstance(answer, DisseminationConsentReply):
        return None
    if answer.answer not in _GRANTED or not original.exercise == request.exercise == reply.exercise:
        return None
    return Consent(
        message=original.entry.digest,
        by=by,
        at=reply.at,
        reply=reply.entry.digest,
        proposed=tuple((each.name, each.country) for each in wanted.recipients),
        whole=wanted.scope == "whole",
        in_proceedings=wanted.in_proceedings,
        conditions=answer.conditions,
        valid_until=answer.valid_until,
    )
