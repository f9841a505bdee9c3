"""An empty form as a person's file: every field with what it means, to be filled in with any editor.

In TOML a line `# ...` explains and a line `#field = ...` waits to be used; what may not be left out stands open. A
group that several others hold is explained where it stands first. JSON knows no comments: see the page of the type.

The promise: `file.read` reads it as it is, and once its open places are filled it is a document of its type.

Before this room: `valija.cli.new`. After it: `form`, `toml`. Pages of the types: schemas/types.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from valija.paper import file as files
from valija.paper import toml
from valija.paper.form import code_line, fields_to_write, meaning
from valija.paper.language import Words
from valija_schemas import documents
from valija_schemas.documents.base import Block
from valija_schemas.documents.fields import Field, tag_of


def page_of(type_: documents.DocumentType) -> str:
    """The page that explains a type to people, in the project's folder."""
    return f"schemas/types/{type_.name}-{type_.version}.md"


def as_json(type_: documents.DocumentType, known: Mapping[str, Any]) -> str:
    """The form of `type_` in JSON, with what is `known` filled in."""
    empty = {files.TYPE: type_.type_} | _empty(type_.struct)
    for name, value in known.items():
        empty[name] = empty[name] | value if isinstance(empty.get(name), dict) else value
    return json.dumps(empty, indent=2, ensure_ascii=False) + "\n"


def as_toml(type_: documents.DocumentType, known: Mapping[str, Any], words: Words) -> str:
    """The form of `type_` in TOML, explained in the reader's language, with what is `known` filled in."""
    return "\n".join(_Writer(words).lines(type_, known)) + "\n"


def _empty(block: type[Block]) -> dict[str, Any]:
    made: dict[str, Any] = {"kind": tag_of(block)} if tag_of(block) else {}
    for field in fields_to_write(block):
        if field.many:
            wanted = field.kind == "group" and field.at_least
            made[field.name] = [_empty(field.groups[0])] if wanted else []
        elif field.kind == "group" and field.required:
            made[field.name] = _empty(field.groups[0])
        else:
            made[field.name] = field.default
    return made


class _Writer:
    """Writes one form; knows which groups it has explained already, and where."""

    def __init__(self, words: Words) -> None:
        self._words = words
        self._explained: dict[type[Block], str] = {}

    def lines(self, type_: documents.DocumentType, known: Mapping[str, Any]) -> Iterator[str]:
        """The whole file."""
        say = self._words.say
        yield f"# {self._words.title(type_)}"
        for paragraph in self._words.about(type_.struct).split("\n\n"):
            yield f"# {paragraph}"
        yield "#"
        yield f"# {say('Fill in the lines that stand open. To use another, take away the # in front of it.')}"
        yield f"# {say('Then try it: valija check FILE')}"
        yield ""
        yield f"{files.TYPE} = {toml.value(type_.type_)}"
        yield from self._fields(type_.struct, "", known, "")
        yield ""
        yield f"# {say('How it is to travel; what stands here need not be typed as an option of valija send.')}"
        send = known.get(files.SEND, {})
        off = "" if send else "#"
        yield f"{off}[{files.SEND}]"
        for name, value in {"to": [""], "priority": "routine", "expires": "7d", "in_reply_to": "", "key": ""}.items():
            yield f"{'' if name in send else '#'}{name} = {toml.value(send.get(name, value))}"

    def _fields(
        self, block: type[Block], path: str, known: Mapping[str, Any], off: str, *, explained: bool = False
    ) -> Iterator[str]:
        """The fields of `block`, whose table is `path`; `off` is what switches their lines off."""
        fields = fields_to_write(block)
        for field in fields:
            if not field.groups:
                yield from self._plain(block, field, known, off, explained=explained)
        for field in fields:
            if field.groups:
                there = f"{path}.{field.name}" if path else field.name
                yield from self._group(field, there, known.get(field.name), off)

    def _plain(
        self, block: type[Block], field: Field, known: Mapping[str, Any], off: str, *, explained: bool
    ) -> Iterator[str]:
        if not explained:
            yield ""
            yield f"# {self._heading(field)} {meaning(block, field, self._words)}".rstrip()
            for code in field.codes:
                yield f"#   {code_line(field, code, self._words)}"
        value = known.get(field.name)
        if value is None:
            value = [""] if field.many else "" if field.default is None else field.default
        else:
            off = ""
        wanted = field.required or field.at_least or field.name in known
        yield f"{off or ('' if wanted else '#')}{field.name} = {toml.value(value)}"

    def _group(self, field: Field, path: str, known: Any, off: str) -> Iterator[str]:
        wanted = field.required or bool(field.at_least) or known is not None
        off = off or ("" if wanted else "#")
        header = f"[[{path}]]" if field.many else f"[{path}]"
        yield ""
        yield f"# {self._heading(field)} {self._words.help(field)}".rstrip()
        first = field.groups[0]
        explained = first in self._explained
        if explained:
            yield f"# {self._words.say('Its fields are those of {place}, above.', place=self._explained[first])}"
        filled = known if isinstance(known, Mapping) else {}
        if len(field.groups) > 1 and explained:
            yield f"{off}{header}"
            yield f'{off}kind = ""'
            return
        for group in field.groups:
            if group is not first:
                yield ""
                yield f"# {self._words.say('Or, instead: {title}', title=self._words.title(group))}"
                off = "#"
            self._explained.setdefault(group, header)
            yield f"{off}{header}"
            if tag_of(group):
                yield f"{off}kind = {toml.value(tag_of(group))}"
            yield from self._fields(group, path, filled, off, explained=explained)

    def _heading(self, field: Field) -> str:
        label, say = self._words.label(field), self._words.say
        if field.at_least > 1:
            return f"{label} ({say('at least {count}', count=field.at_least)})."
        return f"{label} ({say('required')})." if field.at_least else f"{label}."
