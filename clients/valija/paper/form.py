"""What a person fills in of a form: the fields of a document, but of a file its path alone.

Before this room: `skeleton`, `ask`. After it: `valija_schemas.documents.fields`.
"""

import re
from functools import cache
from typing import Final

import msgspec

from valija.paper.language import Words
from valija_schemas.documents import codes
from valija_schemas.documents.base import Block
from valija_schemas.documents.blocks import File
from valija_schemas.documents.fields import Field, fields_of, tag_of

STEP: Final = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")
_PATH: Final = "path"
#: What needs no telling: any text that is not blank will do.
_ANY_TEXT: Final = frozenset(
    each.__metadata__[0].description  # type: ignore[attr-defined]  # an Annotated has it
    for each in (codes.Name, codes.Reference, codes.Text)
)


@cache
def fields_to_write(block: type[Block]) -> tuple[Field, ...]:
    """The fields of `block` that a person fills in, in order."""
    found = fields_of(block)
    if block is not File:
        return found
    named = {field.name: field for field in found}
    path = msgspec.structs.replace(named["name"], name=_PATH, label="Path", help="", form="", characters_max=None)
    rest = (msgspec.structs.replace(named[name], required=False, at_least=0) for name in ("name", "media_type"))
    return (path, *rest)


def is_path(block: type[Block], field: Field) -> bool:
    """Whether `field` of `block` is where a person says which file to attach."""
    return block is File and field.name == _PATH


def meaning(block: type[Block], field: Field, words: Words) -> str:
    """What `field` of `block` means and how to write it, in one line."""
    if is_path(block, field):
        return words.say("Where the file is, from the folder of this document; the rest is filled in.")
    help_ = words.help(field)
    parts = [] if help_.rstrip(".") == words.label(field) else [help_]
    if field.form and field.form not in _ANY_TEXT:
        form = words.form(field)
        parts.append(f"{form[0].upper()}{form[1:]}.")
    elif field.kind == "number" and field.least is not None and field.most is not None:
        parts.append(words.say("A number from {least} to {most}.", least=field.least, most=field.most))
    return " ".join(part for part in parts if part)


def code_line(field: Field, code: str, words: Words) -> str:
    """A code of `field` and what it says, once where what it says begins with it."""
    said = words.code(field.name, code)
    return said if said == code or said.startswith(f"{code}:") else f"{code}: {said}"


def group_of(field: Field, kind: object) -> type[Block] | None:
    """The group that a value of `field` is: the only one, or that of its `kind`; None where there is none such."""
    if len(field.groups) == 1:
        return field.groups[0]
    return next((group for group in field.groups if tag_of(group) == kind), None)
