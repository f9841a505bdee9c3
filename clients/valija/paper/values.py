"""One value of a document in words: codes, States, languages, days, times, amounts, and groups that read as one line.

Before this room: `reading`. After it: `language`, `times`.
"""

from collections.abc import Callable
from typing import Any, Final, get_args

import msgspec

from valija.paper import times
from valija.paper.language import Words
from valija_schemas.documents import Block, codes, labels
from valija_schemas.documents.blocks.case import Grading
from valija_schemas.documents.blocks.people import Address, BirthDate, BirthPlace, Point
from valija_schemas.documents.blocks.things import Money
from valija_schemas.documents.fields import Field, fields_of
from valija_schemas.documents.forms.financial_intelligence_request import AssetAmount


def _form(annotated: Any) -> str:
    """How a text of this type is written: what tells the fields that hold States from those that hold times."""
    return next((meta.description or "" for meta in get_args(annotated) if isinstance(meta, msgspec.Meta)), "")


_COUNTRY: Final = _form(codes.Country)
_LANGUAGE: Final = _form(codes.LanguageCode)
_TIME: Final = _form(codes.DateTime)
_CITED: Final = frozenset({"code"})  #: Fields whose codes officers cite beside the words.


def says(words: Words, field: Field, value: Any) -> tuple[str, bool]:
    """A single value of `field` in words, and whether they are words of ours."""
    if isinstance(value, Block):
        return _LINES[type(value)](words, value)
    if field.kind == "code":
        said = words.code(field.name, value)
        return (f"{said} ({value})" if field.name in _CITED else said), True
    if field.kind == "yes-no":
        return (words.say("Yes") if value else words.say("No")), True
    if field.form == _COUNTRY:
        return words.state(value), True
    if field.form == _LANGUAGE:
        known = ("language", value) in labels.CODES
        return (f"{words.code('language', value)} ({value})" if known else value), True
    if field.form == _TIME:
        return times.written(value), True
    return str(value), False


def is_line(block: type[Block]) -> bool:
    """Whether a group reads as one line."""
    return block in _LINES


def mark(grading: Grading) -> str:
    """A grading as officers cite it: `B2`."""
    return f"{grading.source}{grading.information}"


def grading(words: Words, value: Grading) -> str:
    """A grading as officers cite it, and what it means."""
    return f"{mark(value)} ({words.code('source', value.source)}; {words.code('information', value.information)})"


def _born(words: Words, value: BirthDate) -> str:
    # A day, a month and a year are seen as such; an estimate may look like any of them.
    return (
        f"{value.date} ({words.code('precision', value.precision)})" if value.precision == "estimated" else value.date
    )


def _point(words: Words, value: Point) -> str:
    place = f"{value.latitude}, {value.longitude} (WGS 84)"
    return (
        place if value.radius_m is None else words.say("{place}, {metres} m around", place=place, metres=value.radius_m)
    )


def _joined(words: Words, value: Block) -> str:
    found = ((field, getattr(value, field.name)) for field in fields_of(type(value)))
    return ", ".join(says(words, field, inner)[0] for field, inner in found if inner is not None)


_LINES: Final[dict[type[Block], Callable[[Words, Any], tuple[str, bool]]]] = {
    Grading: lambda words, value: (grading(words, value), True),
    Money: lambda _, value: (f"{value.amount} {value.currency}", False),
    AssetAmount: lambda _, value: (f"{value.amount} {value.asset}", False),
    BirthDate: lambda words, value: (_born(words, value), True),
    BirthPlace: lambda words, value: (_joined(words, value), False),
    Address: lambda words, value: (_joined(words, value), False),
    Point: lambda words, value: (_point(words, value), True),
}
