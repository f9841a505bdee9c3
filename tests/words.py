"""Keeps the catalogs of translations: `make words` writes what is to be translated and compiles what is.

There are two: what readers of documents are told (clients/valija/paper/locale, `valija`), and what operators are shown
in the console (broker/valija_broker/console/locale, `console`). Everything that a reader can see is collected from
where it stands: labels, codes and comments of the forms, the texts of problems, tables of codes, and the literals given
to `say`, in Python and in templates. `locale/<domain>.pot` is the list; a translator edits
`locale/<language>/LC_MESSAGES/<domain>.po`. A test holds that nothing is untranslated and that the compiled `.mo` are
those of the `.po`.
"""

import ast
import datetime as dt
import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import jinja2
from babel.messages import catalog as catalogs
from babel.messages import mofile, pofile

import valija
from valija.paper.catalog import DOMAIN, FOLDER, LANGUAGES
from valija_broker.console import pages
from valija_broker.console.pages import language as console
from valija_broker.console.pages import meanings
from valija_broker.console.pages.view import TEMPLATES
from valija_schemas import documents
from valija_schemas.documents import fields, labels, templates

Key = tuple[str | None, str]
"""Context (the name of a code's field) and English text."""

TRANSLATED: Final = tuple(language for language in LANGUAGES if language != "en")


class Catalogs(NamedTuple):
    """The catalogs of one kind of reader."""

    domain: str
    folder: Path
    header: str
    keys: Callable[[], Iterator[Key]]  #: Everything that they must translate.

    def path(self, language: str) -> Path:
        """The file of one of them."""
        return self.folder / language / "LC_MESSAGES" / f"{self.domain}.po"


_DATE: Final = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)  #: Always the same: the day of writing is no difference.


def _of_documents() -> Iterator[Key]:
    for path in sorted(Path(valija.__file__).parent.rglob("*.py")):
        source = path.read_text()
        if "paper.catalog import" in source or "paper.language import" in source or "words.say(" in source:
            yield from _said(path.name, source)  # elsewhere `say` is another function
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


def _of_console() -> Iterator[Key]:
    for path in sorted(Path(pages.__file__).parent.glob("*.py")):
        yield from _said(path.name, path.read_text())
    for path in sorted(TEMPLATES.glob("*.html")):
        for call in jinja2.Environment().parse(path.read_text()).find_all(jinja2.nodes.Call):
            match call:
                case jinja2.nodes.Call(node=jinja2.nodes.Name(name="say"), args=[jinja2.nodes.Const(value=str(text))]):
                    yield None, text
                case jinja2.nodes.Call(node=jinja2.nodes.Name(name="say")):
                    raise ValueError(f"{path.name}, line {call.lineno}: only a literal can be found and translated")
                case _:
                    pass
    yield from ((None, text) for text in (*console.TERMS.values(), *meanings.texts()))


DOCUMENTS: Final = Catalogs(
    DOMAIN,
    FOLDER,
    "# What Valija says to readers of documents, in other languages. Kept by `make words`.",
    _of_documents,
)
CONSOLE: Final = Catalogs(
    console.DOMAIN,
    console.FOLDER,
    "# What Valija's console says to operators, in other languages. Kept by `make words`.",
    _of_console,
)
ALL: Final = (DOCUMENTS, CONSOLE)


def read(of: Catalogs, language: str) -> catalogs.Catalog:
    """The catalog of `language` as its file says; empty where there is none."""
    path = of.path(language)
    if not path.exists():
        return catalogs.Catalog(locale=language)
    with path.open("rb") as file:
        return pofile.read_po(file, locale=language, abort_invalid=True)


def compiled(catalog: catalogs.Catalog) -> bytes:
    """The `.mo` of a catalog."""
    out = io.BytesIO()
    mofile.write_mo(out, catalog)
    return out.getvalue()


def template(of: Catalogs) -> catalogs.Catalog:
    """What is to be translated, in order, each text once."""
    made = _catalog(of, None)
    for context, text in sorted(set(of.keys()), key=lambda key: (key[1], key[0] or "")):
        made.add(text, context=context)
    return made


def made(of: Catalogs) -> dict[Path, bytes]:
    """Every file that `make words` writes: the list, and each language's catalog brought up to date with it."""
    wanted = template(of)
    files = {of.folder / f"{of.domain}.pot": _written(wanted)}
    for language in TRANSLATED:
        before, now = read(of, language), _catalog(of, language)
        for message in wanted:
            if message.id:
                earlier = before.get(message.id, message.context)
                now.add(message.id, earlier.string if earlier else "", context=message.context)
        path = of.path(language)
        files |= {path: _written(now), path.with_suffix(".mo"): compiled(now)}
    return files


def write(of: Catalogs) -> None:
    """Write what `made` makes."""
    for path, content in made(of).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _catalog(of: Catalogs, language: str | None) -> catalogs.Catalog:
    return catalogs.Catalog(
        locale=language,
        header_comment=of.header,
        project="Valija",
        version="1",
        msgid_bugs_address="",
        last_translator="",
        language_team="",
        creation_date=_DATE,
        revision_date=_DATE,
        fuzzy=False,
    )


def _said(name: str, source: str) -> Iterator[Key]:
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Attribute(attr="say") | ast.Name(id="say"), args=[ast.Constant(value=str(text))]):
                yield None, text
            case ast.Call(func=ast.Attribute(attr="say") | ast.Name(id="say")):
                raise ValueError(f"{name}, line {node.lineno}: only a literal can be found and translated")
            case _:
                pass


def _written(catalog: catalogs.Catalog) -> bytes:
    out = io.BytesIO()
    pofile.write_po(out, catalog, width=110, omit_header=False)
    return out.getvalue()


if __name__ == "__main__":
    for each in ALL:
        write(each)
        sys.stdout.write(f"{each.domain}: {len(template(each))} texts\n")
