"""The catalogs of translations: whole, up to date, and true to the English text in what is no language."""

import gettext
import re
from functools import cache
from pathlib import Path

import pytest
import words

from valija.paper import language
from valija_schemas import documents
from valija_schemas.documents import fields

ROOT = Path(__file__).parents[3]
LANGUAGES = pytest.mark.parametrize("code", words.TRANSLATED)
CATALOGS = pytest.mark.parametrize("of", words.ALL, ids=[of.domain for of in words.ALL])
KEPT = {
    "placeholders": re.compile(r"\{\w*\}"),
    "figures": re.compile(r"\d+"),
    "what is to be written as it stands": re.compile(r"`[^`]*`|\"[^\"]*\"|[\w.-]+@[\w.-]+|https?://\S+"),
}


@cache
def translated(of, code):
    """Each text that a catalog translates and its translation, by context and English text."""
    return {
        (message.context, message.id): message.string
        for message in words.read(of, code)
        if message.id and message.string
    }


def spoken(text):
    """The words of a text that are language."""
    return re.sub(r"\{\w*\}", "", text).split()


@CATALOGS
def test_the_catalogs_are_those_of_what_is_said(of):
    stale = [path.name for path, content in words.made(of).items() if not path.exists() or path.read_bytes() != content]
    assert not stale, "run `make words`"


@CATALOGS
@LANGUAGES
def test_nothing_is_left_in_english(of, code):
    untranslated = [message.id for message in words.read(of, code) if message.id and not message.string]
    assert not untranslated, f"translate these in {of.path(code)}, then run `make words`"
    copied = [text for (_, text), said in translated(of, code).items() if said == text and len(spoken(text)) > 3]
    assert not copied, f"these are the English texts themselves in {of.path(code)}"


@CATALOGS
@LANGUAGES
@pytest.mark.parametrize("kept", KEPT)
def test_a_translation_keeps_what_is_no_language(of, code, kept):
    for (_, text), said in translated(of, code).items():
        found, expected = sorted(KEPT[kept].findall(said)), sorted(KEPT[kept].findall(text))
        # A translation may set off the name of a field or a code that English reads as a word.
        lost = [part for part in expected if part not in found]
        added = [part for part in found if part not in expected and not (part.startswith("`") and part[1:-1] in text)]
        assert not lost, f"{text!r} has lost {lost} in {said!r}: correct it, then run `make words`"
        assert not added, f"{text!r} has gained {added} in {said!r}: correct it, then run `make words`"


@CATALOGS
@LANGUAGES
def test_a_translation_ends_as_the_english_text_does(of, code):
    for (_, text), said in translated(of, code).items():
        assert (said[:1].isspace(), said[-1:].isspace()) == (text[:1].isspace(), text[-1:].isspace())
        assert said.endswith((".", ":", "?")) == text.endswith((".", ":", "?")), f"{text!r} ends otherwise in {said!r}"
        assert said.count("\n\n") == text.count("\n\n"), f"{text!r} has other paragraphs in {said!r}"


@LANGUAGES
def test_a_code_is_read_in_the_context_of_its_field(code):
    reader = language.words(code)
    assert isinstance(reader._catalog, gettext.GNUTranslations)
    blocks = {block for type_ in documents.types().values() for block in fields.blocks_of(type_.struct)}
    for field in {(field.name, field.codes) for block in blocks for field in fields.fields_of(block)}:
        for each in field[1]:
            expected = translated(words.DOCUMENTS, code)[field[0], fields.code_label(field[0], each)]
            assert reader.code(field[0], each) == expected
    # One English word, two meanings: a place on a route, and the order to halt.
    assert reader.say("Stop") != reader.code("without_answer", "stop")


@CATALOGS
def test_the_glossary_has_the_words_of_the_catalogs(of):
    page = (ROOT / "schemas" / "GLOSSARY.md").read_text().partition("## In four languages")[2]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| ")]
    found = 0
    for english, *others in rows:
        for code, word in zip(("es", "pt", "fr"), others, strict=True):
            said = {said for (_, text), said in translated(of, code).items() if text.lower() == english}
            found += bool(said)
            assert not said or word in {each.lower() for each in said}, (
                f"{english!r} is {said} in the catalog of {code}"
            )
    assert found > (60 if of is words.DOCUMENTS else 20)
