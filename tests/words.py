"""Keeps the catalogs of translations: `make words` writes what is to be translated and compiles what is.

Everything that a reader can see is collected from where it stands: labels, codes and comments of the forms, the texts
of problems, and the literals given to `Words.say`. `locale/valija.pot` is the list; a translator edits
`locale/<language>/LC_MESSAGES/valija.po`. A test holds that nothing is untranslated and that the compiled `.mo` are
those of the `.po`.
"""

import datetime as dt
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from babel.messages import catalog as catalogs
from babel.messages import extract, mofile, pofile

import valija
from valija.paper.language import DOMAIN, FOLDER, LANGUAGES
from valija_schemas import documents
from valija_schemas.documents import fields, labels, templates

Key = tuple[str | None, str]
"""Context (the name of a code's field) and English text."""

_SOURCES: Final = Path(valija.__file__).parent
_DATE: Final = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)  #: Always the same: the day of writing is no difference.
_HEADER: Final = "# What Valija says to readers of documents, in other languages. Kept by `make words`."


def keys() -> Iterator[Key]:
    """Everything that a catalog must translate."""
    yield from _said()
    yield from ((None, text) for text in templates.templates())
    yield from (("country", name) for name in labels.STATES.values())
    for type_ in documents.types().values():
        yield None, fields.title_of(type_)
        yield None, fields.about(type_.struct)
        for block in fields.blocks_of(type_.struct):
            yield None, fields.title_of(block)
            for field in fields.fields_of(block):
                yield None, field.label
                yield from ((None, text) for text in (field.help, field.form) if text)
                for code in field.codes:
                    yield field.name, fields.code_label(field.name, code)


def read(language: str) -> catalogs.Catalog:
    """The catalog of `language` as its file says; empty where there is none."""
    path = _path(language)
    if not path.exists():
        return catalogs.Catalog(locale=language)
    with path.open("rb") as file:
        return pofile.read_po(file, locale=language, abort_invalid=True)


def compiled(catalog: catalogs.Catalog) -> bytes:
    """The `.mo` of a catalog."""
    out = io.BytesIO()
    mofile.write_mo(out, catalog)
    return out.getvalue()


def template() -> catalogs.Catalog:
    """What is to be translated, in order, each text once."""
    made = _catalog(None)
    for context, text in sorted(set(keys()), key=lambda key: (key[1], key[0] or "")):
        made.add(text, context=context)
    return made


def write() -> None:
    """Write the list, bring each language's catalog up to date with it, and compile it."""
    wanted = template()
    _write_po(FOLDER / f"{DOMAIN}.pot", wanted)
    for language in LANGUAGES:
        if language != "en":
            before, now = read(language), _catalog(language)
            for message in wanted:
                if message.id:
                    earlier = before.get(message.id, message.context)
                    now.add(message.id, earlier.string if earlier else "", context=message.context)
            _write_po(_path(language), now)
            _path(language).with_suffix(".mo").write_bytes(compiled(now))


def _catalog(language: str | None) -> catalogs.Catalog:
    return catalogs.Catalog(
        locale=language,
        header_comment=_HEADER,
        project="Valija",
        version="1",
        msgid_bugs_address="",
        last_translator="",
        language_team="",
        creation_date=_DATE,
        revision_date=_DATE,
        fuzzy=False,
    )


def _said() -> Iterator[Key]:
    for path in sorted(_SOURCES.rglob("*.py")):
        source = path.read_bytes()
        if b"paper.language import" in source:  # elsewhere `say` is another function
            for _, text, _, _ in extract.extract("python", io.BytesIO(source), keywords={"say": None}):
                yield None, str(text)


def _path(language: str) -> Path:
    return FOLDER / language / "LC_MESSAGES" / f"{DOMAIN}.po"


def _write_po(path: Path, catalog: catalogs.Catalog) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        pofile.write_po(file, catalog, width=110, omit_header=False)


if __name__ == "__main__":
    write()
    sys.stdout.write(f"{len(template())} texts\n")
