"""Documents of types that two contact points agreed on: which schema, from which file, and whether a document keeps it.

The directory names a schema by the SHA-256 of its file's bytes. The file comes from the other contact point, by any
channel, and lies in the folder `schemas` of the state folder under that digest, where `valija bilateral add` puts it.
Older ones stay: mail names the directory version that it was sealed under.

The promise: a document is validated by the bytes that the directory names and by no others. Nothing is fetched, no
reference leads out of the file, and patterns are matched without backtracking. What validates is the extra
`bilateral` (jsonschema-rs); without it a document of such a type is neither sent nor judged: it waits.

Before this room: `order`, `receive`, `cli`, `registry`. After it: `schema_rules`. Rules: schemas/SPEC.md section 4.2.
"""

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from valija import durable, schema_rules
from valija.errors import ConfigError, SchemaMissingError
from valija_schemas.directory import Phonebook
from valija_schemas.documents import bilateral as documents
from valija_schemas.documents.base import DocumentError, Problem

schema_bytes_max: Final = 256 * 1024  #: A published schema of ours has up to 100 kB.
_pattern_bytes_max: Final = 64 * 1024  # Compiled. A pattern of a megabyte took minutes over one document.
_all_faults_cost_max: Final = 200_000  # Bytes of a document times places of its schema; beyond it one fault is said.
_faults_max: Final = 50


class Schema:
    """A JSON Schema that may be agreed on."""

    def __init__(self, raw: bytes) -> None:
        """Read the bytes of a schema's file.

        Raises:
            ConfigError: it is no JSON Schema 2020-12, or one that nobody should agree on; the text says all.
            SchemaMissingError: jsonschema-rs is not installed.
        """
        self.raw: Final = raw
        self.digest: Final = hashlib.sha256(raw).hexdigest()
        schema = _read(raw)
        found, self._places = schema_rules.judge(schema)
        if found:
            raise ConfigError("this schema cannot be agreed on:\n" + "\n".join(found), hint="Correct the schema.")
        self.title: Final = str(schema.get("title", ""))
        self._validator: Final = _validator(schema)

    def check(self, fields: Mapping[str, Any], size: int) -> None:
        """Refuse a document of `size` bytes that does not keep the schema. Faults name fields, never what they hold.

        Raises:
            DocumentError: it does not.
        """
        plain = dict(fields)
        if self._validator.is_valid(plain):
            return
        if size * self._places <= _all_faults_cost_max:
            raise DocumentError(tuple(map(_problem, itertools.islice(self._validator.iter_errors(plain), _faults_max))))
        try:
            self._validator.validate(plain)
        except _library().ValidationError as error:
            raise DocumentError((_problem(error),)) from None


class Schemas:
    """The schemas on this machine, each under its digest."""

    def __init__(self, state: Path) -> None:
        self._folder: Final = state / "schemas"

    def add(self, raw: bytes) -> Schema:
        """Keep a schema; one that is here already stays.

        Raises:
            ConfigError: see `Schema`.
        """
        schema = _schema(raw)
        self._folder.mkdir(parents=True, exist_ok=True)
        durable.write(self._path(schema.digest), raw, replace=True)
        return schema

    def digests(self) -> list[str]:
        """What is here, in order."""
        return sorted(path.stem for path in self._folder.glob("*.json"))

    def get(self, digest: str) -> Schema:
        """The schema with this digest.

        Raises:
            SchemaMissingError: it is not here, or jsonschema-rs is not installed.
            ConfigError: it is here and may not be used.
        """
        try:
            raw = self._path(digest).read_bytes()
        except OSError:
            raise SchemaMissingError(f"the schema {digest} is not on this machine") from None
        if hashlib.sha256(raw).hexdigest() != digest:
            raise SchemaMissingError(f"{self._path(digest)} was altered: it is not what was agreed on")
        return _schema(raw)

    def decode(self, type_: str, data: bytes, digest: str) -> documents.BilateralDocument:
        """The document that `data` spells, which keeps the schema with this digest.

        Raises:
            DocumentError: it is not in the one form, or does not keep the schema.
            SchemaMissingError: as `get`.
        """
        schema = self.get(digest)  # first: who does not hold it judges nothing
        found = documents.decode(type_, data)
        schema.check(found.fields, len(data))
        return found

    def _path(self, digest: str) -> Path:
        return self._folder / f"{digest}.json"


def agreed(phonebook: Phonebook, type_: str, me: str, others: Sequence[str]) -> str | None:
    """The digest that we agreed on with all `others`; None where there is none, or not one for all."""
    digests = {phonebook.agreed(type_, me, other) for other in others}
    return digests.pop() if len(digests) == 1 else None


@lru_cache(maxsize=32)
def _schema(raw: bytes) -> Schema:
    return Schema(raw)


@cache
def _library() -> Any:
    """jsonschema-rs, which only who uses bilateral types needs.

    Raises:
        SchemaMissingError: it is not installed.
    """
    try:
        return import_module("jsonschema_rs")
    except ImportError:
        raise SchemaMissingError(
            "documents of bilateral types need the package jsonschema-rs",
            hint="Install it with Valija's extra `bilateral`: pip install 'valija[bilateral]'.",
        ) from None


def _read(raw: bytes) -> Any:
    if len(raw) > schema_bytes_max:
        raise ConfigError(f"a schema has at most {schema_bytes_max} bytes, this file {len(raw)}")
    try:
        return json.loads(raw.decode(), object_pairs_hook=_once, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"this file is no JSON in UTF-8: {error}") from None


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in one group")  # two readers would see two schemas
    return found


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number")


def _validator(schema: Any) -> Any:
    library = _library()
    try:
        return library.Draft202012Validator(
            schema,
            validate_formats=True,
            ignore_unknown_formats=False,
            offline=True,
            mask="it",
            pattern_options=library.RegexOptions(size_limit=_pattern_bytes_max),
        )
    except (library.ValidationError, library.ReferencingError, ValueError) as error:
        place = "/".join(map(str, getattr(error, "instance_path", ())))
        words = str(getattr(error, "message", error))
        raise ConfigError(
            f"this is no JSON Schema 2020-12 that can be applied: #/{place}: {words}",
            hint="A pattern that looks around or back, or that is large, is not applied; a length is maxLength.",
        ) from None


def _problem(error: Any) -> Problem:
    path = "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.instance_path)
    # The library's words, in which every value is masked: what a document holds does not get into a log.
    words = {"words": error.message, "schema": error.kind.name}
    return Problem.of("schema", path, "This does not keep the agreed schema ({schema}): {words}.", words)
