"""Keeps the catalogs of translations: `make words` writes what is to be translated and compiles what is.

Everything that a reader can see is collected from where it stands: labels, codes and comments of the forms, the texts
of problems, and the literals given to `Words.say`. `locale/valija.pot` is the list; a translator edits
`locale/<language>/LC_MESSAGES/valija.po`. A test holds that nothing is untranslated and that the compiled `.mo` are
those of the `.po`.
"""

import ast
import datetime as dt
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from babel.messages import catalog as catalogs
from babel.messages import mofile, pofile

import valija
from valija.paper.catalog import DOMAIN, FOLDER, LANGUAGES
from valija_schemas import documents
from valija_schemas.documents import fields, labels, templates

Key = tuple[str | None, str]
"""Context (the name of a code's field) and English text."""

TRANSLATED: Final = tuple(language for language in LANGUAGES if language != "en")

_SOURCES: Final = Path(valija.__file__).parent
_DATE: Final = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)  #: Always the same: the day of writing is no difference.
_HEADER: Final = "# What Valija says to readers of documents, in other languages. Kept by `make words`."


def keys() -> Iterator[Key]:
    """Everything that a catalog must translate."""
    yield from _said()
    yield from ((None, text) for text in templates.templates())
    yield from (("country", name) for name in labels.STATES.values())
    for around, codes in labels.AROUND.items():
        yield from ((around, fields.code_label(around, code)) for code in codes)
    for type_ in documents.types().values():
        yield None, fields.title_of(type_)
        for block in fields.blocks_of(type_.struct):
            yield None, fields.title_of(block)
            yield None, fields.about(block)
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


def made() -> dict[Path, bytes]:
    """Every file that `make words` writes: the list, and each language's catalog brought up to date with it."""
    wanted = template()
    files = {FOLDER / f"{DOMAIN}.pot": _written(wanted)}
    for language in TRANSLATED:
        before, now = read(language), _catalog(language)
        for message in wanted:
            if message.id:
                earlier = before.get(message.id, message.context)
                now.add(message.id, earlier.string if earlier else "", context=message.context)
        files |= {_path(language): _written(now), _path(language).with_suffix(".mo"): compiled(now)}
    return files


def write() -> None:
    """Write what `made` makes."""
    for path, content in made().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


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
        source = path.read_text()
        if (
            "paper.catalog import" in source or "paper.language import" in source or "words.say(" in source
        ):  # elsewhere `say` is another function
            for node in ast.walk(ast.parse(source)):
                match node:
                    case ast.Call(
                        func=ast.Attribute(attr="say") | ast.Name(id="say"), args=[ast.Constant(value=str(text))]
                    ):
                        yield None, text
                    case ast.Call(func=ast.Attribute(attr="say") | ast.Name(id="say")):
                        raise ValueError(f"{path.name}, line {node.lineno}: only a literal can be found and translated")
                    case _:
                        pass


def _path(language: str) -> Path:
    return FOLDER / language / "LC_MESSAGES" / f"{DOMAIN}.po"


def _written(catalog: catalogs.Catalog) -> bytes:
    out = io.BytesIO()
    pofile.write_po(out, catalog, width=110, omit_header=False)
    return out.getvalue()


if __name__ == "__main__":
    write()
    sys.stdout.write(f"{len(template())} texts\n")
