"""Advice on the legal basis: whether the States concerned are parties to the treaties that a document cites.

What the officers wrote into the directory is compared with what the document cites, for the sender's State and for each
recipient's. A cell that says no is asked about; one that is missing is told, and stops nothing. Where a life may be at
risk, in a kidnapping, in an alert for a person or at priority flash, nothing is asked: it is told, and the mail goes.
Organisations join no treaties, and offices of one State need none between them.

Pure: a document, a directory and names in, words out. The broker and the receiver judge none of this.

Before this room: `client`, `sending`. After it: `valija_schemas.directory`. Rules: SPEC.md section 4.2.
"""

from collections.abc import Iterator, Sequence
from typing import Final, Protocol, get_args

import msgspec

from valija.errors import LegalBasisError
from valija.order import Order
from valija_schemas import documents
from valija_schemas.agreements import Treaty, TreatyCode, is_bilateral
from valija_schemas.directory import Phonebook
from valija_schemas.documents import labels

_TREATIES: Final[tuple[TreatyCode, ...]] = get_args(TreatyCode)
_ALERT: Final = "person-alert"  #: The type that is about a life whatever it says.


class Doubt(msgspec.Struct, frozen=True, kw_only=True):
    """A treaty that is cited, and a State that is not a party to it or not known to be one."""

    instrument: str
    state: str
    cell: Treaty | None  #: What the directory says; None: nothing.

    @property
    def denied(self) -> bool:
        """Whether the directory says that the State is not a party."""
        return self.cell is not None


class Advice(msgspec.Struct, frozen=True, kw_only=True):
    """What a person should know of the legal basis before the document goes."""

    doubts: tuple[Doubt, ...]
    shared: tuple[tuple[str, tuple[str, ...]], ...]  #: What such a State and ours have both joined.
    free: bool  #: A life may be at risk, or it is flash: nothing is asked.

    @property
    def asks(self) -> bool:
        """Whether somebody has to confirm the basis: the directory says that a State is not a party."""
        return not self.free and any(doubt.denied for doubt in self.doubts)

    def lines(self, words: "Teller | None" = None) -> Iterator[str]:
        """The advice in words, a line each: in English, or as `words` says it."""
        words = words or _English()
        for doubt in self.doubts:
            state, cell = words.state(doubt.state), doubt.cell
            if cell is None:
                yield words.say(
                    "The directory does not say whether {state} is a party to {treaty}.",
                    state=state, treaty=doubt.instrument,
                )  # fmt: skip
            else:
                yield words.say(
                    "{state} is not a party to {treaty}: {source}, read {day}.",
                    state=state, treaty=doubt.instrument, source=cell.source, day=cell.read,
                )  # fmt: skip
        for code, instruments in self.shared:
            if instruments:
                yield words.say(
                    "Treaties that you and {state} have both joined: {treaties}.",
                    state=words.state(code), treaties=", ".join(instruments),
                )  # fmt: skip
            else:
                yield words.say(
                    "The directory knows of no treaty that you and {state} have both joined.", state=words.state(code)
                )


class Teller(Protocol):
    """Says things in a reader's language, as `valija.paper.language.Words` does."""

    def say(self, text: str, /, **values: object) -> str:
        """A sentence; `text` is a literal, whose {names} `values` fill."""

    def state(self, code: str) -> str:
        """A State by name and code."""


class _English:
    def say(self, text: str, /, **values: object) -> str:
        return text.format_map(values)

    def state(self, code: str) -> str:
        return f"{labels.STATES[code]} ({code})" if code in labels.STATES else code


def advise(order: Order, me: str, phonebook: Phonebook) -> Advice:
    """The advice on `order`, sent by `me`; without doubts where it cites no treaty or the directory lists none."""
    ours = _state(phonebook, me)
    theirs = sorted({state for state in (_state(phonebook, id_) for id_ in order.to) if state is not None} - {ours})
    if not phonebook.directory.treaties or ours is None or not theirs or is_bilateral(order.type):
        return Advice(doubts=(), shared=(), free=False)
    document = documents.decode(order.type, order.json)
    cited = [basis.instrument for basis in getattr(document, "legal_basis", ())]
    cells = [
        (instrument, state, phonebook.treaty(state, instrument))
        for instrument in dict.fromkeys(cited)
        if instrument in _TREATIES
        for state in (ours, *theirs)
    ]
    doubts = tuple(
        Doubt(instrument=instrument, state=state, cell=cell)
        for instrument, state, cell in cells
        if cell is None or not cell.party
    )
    doubted = {doubt.state for doubt in doubts}
    wanted = [state for state in theirs if state in doubted or ours in doubted]
    return Advice(
        doubts=doubts,
        shared=tuple((state, _shared(phonebook, ours, state)) for state in wanted),
        free=order.priority == "flash" or _about_a_life(order.type, document),
    )


def require(order: Order, me: str, phonebook: Phonebook) -> Advice:
    """The advice on `order`, whose legal basis nobody confirmed, where it may go all the same.

    Raises:
        LegalBasisError: the directory says that a State is not a party to a treaty that is cited.
    """
    advice = advise(order, me, phonebook)
    if advice.asks:
        raise LegalBasisError("\n".join(advice.lines()))
    return advice


def _about_a_life(type_: str, document: documents.Document) -> bool:
    if type_.partition("/")[0] == _ALERT or getattr(document, "risk_to_life", None) is not None:
        return True
    offences: Sequence[object] = getattr(getattr(document, "case", None), "offences", ())
    return any(getattr(offence, "code", None) == "kidnapping" for offence in offences)


def _shared(phonebook: Phonebook, one: str, other: str) -> tuple[str, ...]:
    """The treaties to which both States are known to be parties."""
    cells = [(code, phonebook.treaty(one, code), phonebook.treaty(other, code)) for code in _TREATIES]
    return tuple(code for code, *both in cells if all(cell is not None and cell.party for cell in both))


def _state(phonebook: Phonebook, id_: str) -> str | None:
    point = phonebook.point(id_)
    return point.state if point is not None else None
