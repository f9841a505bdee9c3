"""The person's file: a document as somebody writes it, in TOML or JSON, with its type at the top.

    document = "information-request/1"      # what it is; taken off before the rest is validated
    language = "es"
    [authority]
    ...
    [[files]]
    path = "photo.jpg"                      # beside this file; name, media type, size, SHA-256, content are filled in
    [send]                                  # how it is to travel; an option of `valija send` goes over it
    to = ["co.enlace"]

`draft` at the top is where `valija new` was interrupted; such a file is not sent. Fields that may be empty may be left
out. The promise: everything that is wrong is said at once, in the reader's language; nothing outside the folder of the
file is read unless its writer gave an absolute path.

Before this room: `valija.cli`, `ask`. After it: `valija_schemas.documents`, `lines`. Rules:
clients/README.md, section 2.
"""

import base64
import difflib
import errno
import functools
import hashlib
import json
import mimetypes
import os
import stat
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from valija.errors import DocumentInvalidError, UsageError
from valija.paper import lines
from valija.paper.language import Words
from valija_schemas import documents, limits
from valija_schemas.documents.base import Block
from valija_schemas.documents.blocks import File
from valija_schemas.documents.fields import Field, fields_of, tag_of
from valija_schemas.wire import Digest

TYPE, SEND, DRAFT = "document", "send", "draft"  #: What stands at the top beside the fields of the document.
file_bytes_max: Final = 4 * limits.body_bytes_max  #: It may hold more blanks than the document that it means.
_INNER_MAX: Final = 64  #: No form is as deep.
_NAME_MAX: Final = 200  #: Of a field, in characters; it stands in the path of each field in it.
_NUMBER_BITS_MAX: Final = 1024  #: No form has a number as long; one of thousands of digits cannot even be printed.


class Travel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the document is to travel: the table `send`. Each is the option of `valija send` that has its name."""

    to: tuple[str, ...] = ()
    priority: documents.Priority | None = None
    expires: str | None = None
    in_reply_to: Digest | None = None
    key: str | None = None


class Flaw(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong with a person's file."""

    path: str  #: The field: `$.case.title`.
    rule: str  #: The name of the rule that it breaks.
    text: str  #: What is wrong and what to do, in the reader's language.

    def __str__(self) -> str:
        return f"{self.path}: {self.text} [{self.rule}]"


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """What a person's file says, before anything of it is validated."""

    name: str  #: The file, as its reader calls it.
    folder: Path  #: What `path` of an attached file is relative to.
    text: str
    toml: bool  #: Else it is JSON.
    type_: str | None  #: What it says that it is.
    draft: str | None  #: The field at which `valija new` was interrupted.
    send: Travel
    document: Mapping[str, Any]  #: The fields of the document.

    def type_for(self, chosen: str | None) -> str:
        """What the document is, by the file and by the option `--type`, where there is one.

        Raises:
            UsageError: neither says it, or they differ.
        """
        if chosen is not None and self.type_ is not None and chosen != self.type_:
            raise UsageError(
                f"{self.name} says {TYPE} = {self.type_}, and --type says {chosen}",
                hint="Leave --type out, or correct the file.",
            )
        found = chosen or self.type_
        if found is None:
            raise UsageError(
                f"{self.name} does not say what it is",
                hint=f'Write {TYPE} = "information-request/1" at its top, or give --type.',
            )
        return found

    def line_of(self, path: str) -> int:
        """The line on which the field `path` stands, or the group that lacks it."""
        return lines.line_of(path, _lines(self.text, self.toml))


def read(name: str, data: bytes, folder: Path) -> Written:
    """What the person's file `name` says. TOML if it is called .toml, JSON if .json, else as it begins.

    Raises:
        DocumentInvalidError: it cannot be read, or what stands beside the document is wrong.
    """
    try:
        text = data.decode("utf-8-sig")  # Notepad begins a file with a mark
    except UnicodeDecodeError as error:
        raise DocumentInvalidError(
            f"{name} is not text in UTF-8: byte {error.start}", hint="Save it again as UTF-8."
        ) from None
    toml = name.endswith(".toml") or not (name.endswith(".json") or text.lstrip().startswith("{"))
    try:
        found = tomllib.loads(text) if toml else json.loads(text, object_pairs_hook=_once)
        _see(found, 1)
    except (ValueError, RecursionError) as error:
        raise DocumentInvalidError(f"{name} cannot be read as {'TOML' if toml else 'JSON'}: {error}") from None
    if not isinstance(found, dict):
        raise DocumentInvalidError(f"{name} does not hold one document")
    type_, draft, send = (found.pop(key, None) for key in (TYPE, DRAFT, SEND))
    for key, value in ((TYPE, type_), (DRAFT, draft)):
        if not isinstance(value, str | None):
            raise DocumentInvalidError(f"{name}: {key} is not a text")
    if isinstance(send, dict) and isinstance(send.get("to"), str):
        send["to"] = [send["to"]]
    try:
        travel = msgspec.convert(send or {}, Travel)
    except msgspec.ValidationError as error:
        raise DocumentInvalidError(
            f"{name}: {SEND}: {error}", hint=f"What may stand in {SEND}: {', '.join(Travel.__struct_fields__)}."
        ) from None
    return Written(
        name=name, folder=folder, text=text, toml=toml, type_=type_, draft=draft, send=travel, document=found
    )


def validate(
    type_: str, fields: Mapping[str, Any], folder: Path, words: Words
) -> tuple[documents.Document | None, tuple[Flaw, ...]]:
    """The document that `fields` of a person's file mean, or all that is wrong with them.

    Raises:
        DocumentInvalidError: this version of the software knows no such type.
    """
    try:
        struct = struct_of(type_)
        attaching = _Attaching(folder, words)
        whole = attaching.group(fields, struct, "$")
        if attaching.flaws:
            return None, tuple(attaching.flaws)
        return documents.from_builtins(type_, whole), ()
    except documents.DocumentError as error:
        return None, flaws(error, words)


def flaws(error: documents.DocumentError, words: Words) -> tuple[Flaw, ...]:
    """What is wrong with a document, for the reader of one language."""
    return tuple(Flaw(path=found.path, rule=found.rule, text=words.problem(found)) for found in error.errors)


def fault_of_path(written: str, folder: Path, words: Words) -> str | None:
    """Why the file at `written` cannot be attached to a document in `folder`; None where it can."""
    attaching = _Attaching(folder, words)
    attaching.group({"path": written}, File, "$")
    # That its kind is not told by its name is no fault of the path.
    return next((flaw.text for flaw in attaching.flaws if flaw.path != "$"), None)


def struct_of(type_: str) -> type[documents.Document]:
    """The Struct of a type.

    Raises:
        DocumentInvalidError: this version of the software knows no such type.
    """
    known = documents.types()
    if type_ not in known:
        near = difflib.get_close_matches(type_, known, 3, 0.5)
        advice = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(known)}"
        raise DocumentInvalidError(f"{type_}: no such document type; {advice}")
    return known[type_].struct


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{name} stands twice in one group")
        found[name] = value
    return found


def _see(value: object, depth: int) -> None:
    """Refuse what TOML or JSON can say and no document: it would stop whoever shows what is wrong with the rest."""
    if depth > _INNER_MAX:
        raise ValueError(f"it is nested more than {_INNER_MAX} deep")
    match value:
        case str():
            try:
                value.encode()
            except UnicodeEncodeError as error:
                raise ValueError(f"half a character stands alone: {value[error.start]!a}") from None
        case bool():
            return
        case int():
            if value.bit_length() > _NUMBER_BITS_MAX:
                raise ValueError("a number has hundreds of digits")
        case dict():
            for name, inner in value.items():
                if len(name) > _NAME_MAX:
                    raise ValueError(f"the name of a field has more than {_NAME_MAX} characters")
                _see(name, depth)
                _see(inner, depth + 1)
        case list():
            for inner in value:
                _see(inner, depth + 1)


@functools.lru_cache(maxsize=1)  # a file with thousands of faults is read through once
def _lines(text: str, toml: bool) -> Mapping[str, int]:
    return lines.lines_of_toml(text) if toml else lines.lines_of_json(text)


class _Attaching:
    """Puts the files that a person named by their path into the document."""

    def __init__(self, folder: Path, words: Words) -> None:
        self._folder = folder
        self._words = words
        self._bytes = 0
        self.flaws: list[Flaw] = []

    def group(self, value: Any, block: type[Block], path: str) -> Any:
        """`value`, a group as a person's file has it, with every attached file in full."""
        if not isinstance(value, Mapping):
            return value
        if block is File and "path" in value:
            return self._file(value, path)
        known = {field.name: field for field in fields_of(block) if field.groups}
        return {
            name: self._field(inner, known[name], f"{path}.{name}") if name in known else inner
            for name, inner in value.items()
        }

    def _field(self, value: Any, field: Field, path: str) -> Any:
        if field.many and isinstance(value, list):
            return [self._one(inner, field, f"{path}[{index}]") for index, inner in enumerate(value)]
        return self._one(value, field, path)

    def _one(self, value: Any, field: Field, path: str) -> Any:
        block: type[Block] | None = field.groups[0]
        if len(field.groups) > 1:
            kind = value.get("kind") if isinstance(value, Mapping) else None
            block = next((group for group in field.groups if tag_of(group) == kind), None)
        return value if block is None else self.group(value, block, path)

    def _file(self, value: Mapping[str, Any], path: str) -> Any:
        say = self._words.say
        for name in value:
            if name not in {"path", "name", "media_type"}:
                self._flaw(
                    f"{path}.{name}", say("A file that is named by its path has no {name}. Remove it.", name=name)
                )
        written = value["path"]
        try:
            data = self._content(written)
        except _NotAttachedError as error:
            self._flaw(f"{path}.path", str(error))
            return value
        media_type = value.get("media_type") or mimetypes.MimeTypes().guess_type(written, strict=False)[0]
        if media_type is None:
            self._flaw(
                path,
                say("The name of this file does not tell what kind it is. Add media_type, such as application/pdf."),
            )
        return {
            "name": value.get("name") or Path(written).name,
            "media_type": media_type,
            "size": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "content": base64.b64encode(data).decode(),
        }

    def _content(self, written: object) -> bytes:
        say = self._words.say
        if not isinstance(written, str) or not written or "\0" in written:
            raise _NotAttachedError(say("Write the path of a file as a text."))
        place = Path(written)
        try:
            if not place.is_absolute():
                folder = self._folder.resolve()
                place = (folder / place).resolve()
                if not place.is_relative_to(folder):
                    raise _NotAttachedError(
                        say("This path leads out of the folder of your file. Put it there, or write its whole path.")
                    )
            data = _regular(place)
        except RuntimeError:  # how `resolve` says so in Python 3.11 and 3.12
            raise _NotAttachedError(
                say("{path} cannot be read: {fault}.", path=written, fault=os.strerror(errno.ELOOP))
            ) from None
        except OSError as error:
            raise _NotAttachedError(
                say("{path} cannot be read: {fault}.", path=written, fault=error.strerror)
            ) from None
        if not data:
            raise _NotAttachedError(say("{path} is empty, or not a file.", path=written))
        self._bytes += len(data)
        if self._bytes > limits.body_bytes_max:
            limit = limits.body_bytes_max
            raise _NotAttachedError(
                say("The files together have more than {limit} bytes. Attach smaller ones, or fewer.", limit=limit)
            )
        return data

    def _flaw(self, path: str, text: str) -> None:
        self.flaws.append(Flaw(path=path, rule="file-path", text=text))


class _NotAttachedError(Exception):
    """A file cannot be attached; the text says why, in the reader's language."""


def _regular(place: Path) -> bytes | None:
    """The content of a regular file, one byte beyond the limit at most; None for a folder, a pipe or a device."""
    # Asked of the descriptor: what stands at a path may change, and a pipe would keep us waiting.
    descriptor = os.open(place, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        return file.read(limits.body_bytes_max + 1)
