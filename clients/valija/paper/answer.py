"""One answer of a person to one question of a form: what it means, or at once what is wrong with it.

A text is cleaned as `documents.from_builtins` cleans it, and what cannot travel (control characters, marks that turn
the direction of reading) is refused with words. Rules over several fields are judged at the end, by validation.

Before this room: `ask`. After it: `form`, `file`. Pure but for a look at a file that is to be attached.
"""

import unicodedata
from pathlib import Path
from typing import Any, Final

import msgspec

from valija.paper import file as files
from valija.paper.form import is_path
from valija.paper.language import Words
from valija_schemas import documents, wire
from valija_schemas.documents import plan
from valija_schemas.documents import words as faults
from valija_schemas.documents.base import Block
from valija_schemas.documents.fields import Field

_YES: Final = frozenset({"y", "yes", "s", "sí", "si", "sim", "o", "oui", "true"})
_NO: Final = frozenset({"n", "no", "não", "nao", "non", "false"})


class AnswerError(ValueError):
    """An answer is none; the text says what to write instead, in the reader's language."""


def yes_or_no(text: str, words: Words) -> bool:
    """What a person says who says yes or no in one of our languages.

    Raises:
        AnswerError: it is neither.
    """
    if text.casefold() in _YES | _NO:
        return text.casefold() in _YES
    raise AnswerError(words.say("Answer y or n."))


def cleaned(text: str, words: Words) -> str:
    """`text` as it can travel: line ends, tabs and accents in one spelling, blanks at the ends of lines away.

    Raises:
        AnswerError: it holds what nobody sees.
    """
    lines = (" ".join(line.split("\t")).rstrip() for line in text.replace("\r\n", "\n").split("\n"))
    found = unicodedata.normalize("NFC", "\n".join(lines).strip(" \n"))
    try:
        wire.encode(found)
    except wire.WireError:
        raise AnswerError(
            words.say("Here stands an invisible character that steers a screen or turns the writing. Type it by hand.")
        ) from None
    return found


def one(block: type[Block], field: Field, text: str, folder: Path, words: Words) -> Any:
    """What `text` means as one value of `field` of `block`. `folder` is where the person's file lies.

    Raises:
        AnswerError: it is no such value.
    """
    text = cleaned(text, words)
    value: Any = text
    if field.kind == "yes-no":
        return yes_or_no(text, words)
    if field.kind == "code":
        value = _code(field, text)
        if value is None:
            raise AnswerError(words.say("This is none of the codes. Write the number or the code of one."))
    elif field.kind == "number":
        if not text.isascii() or not text.isdigit() or len(text) > len(str(2**53)):
            raise AnswerError(words.say("Write a whole number."))
        value = int(text)
    if is_path(block, field):
        if fault := files.fault_of_path(text, folder, words):
            raise AnswerError(fault)
        return text
    shape = next(each.shape for each in plan.fields_of(block) if each.name == field.name)
    shape = shape.items or shape
    try:
        msgspec.convert({"value": value}, shape.holder)
    except msgspec.ValidationError as error:
        raise AnswerError(words.problem(faults.wrong(str(error), shape, "$"))) from None
    if shape.check and not shape.check.holds(value):
        raise AnswerError(words.problem(documents.Problem(shape.check.rule, "$", shape.check.text)))
    return value


def _code(field: Field, text: str) -> str | None:
    # A code goes over a number: of the gradings 1 to 4 each is both.
    for code in field.codes:
        if code.casefold() == text.casefold():
            return code
    if text.isascii() and text.isdigit() and 1 <= int(text[:4]) <= len(field.codes) and len(text) <= 4:
        return field.codes[int(text) - 1]
    return None
