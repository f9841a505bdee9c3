import typing

import pytest

from valija.paper import catalog, language
from valija_schemas import documents
from valija_schemas.documents import code_lists, fields, labels
from valija_schemas.documents.blocks.case import Handling


@pytest.mark.parametrize(
    ("chosen", "environ", "expected"),
    [
        (None, {}, "en"),
        ("pt", {"LANG": "es_MX.UTF-8"}, "pt"),
        (None, {"LANG": "es_MX.UTF-8"}, "es"),
        (None, {"LC_ALL": "fr_CA", "LANG": "es_MX.UTF-8"}, "fr"),
        (None, {"LC_ALL": "C.UTF-8", "LANG": "es_MX.UTF-8"}, "en"),
        (None, {"LANG": "nl_SR"}, "en"),
    ],
)
def test_the_reader_is_spoken_to_in_the_language_of_the_locale_unless_another_was_chosen(chosen, environ, expected):
    assert catalog.wanted(chosen, environ) == expected


def test_the_languages_are_those_that_a_document_may_be_in():
    assert typing.get_args(documents.Language) == catalog.LANGUAGES


def test_english_needs_no_catalog():
    words = language.words("en")
    use = fields.fields_of(Handling)[0]
    assert words.label(use) == "Use"
    assert words.code("use", "H2") == "H2: not passed on without the sender's consent"
    assert words.say("{count} recipients", count=3) == "3 recipients"
    assert words.help(use)


def test_every_member_state_has_a_name_and_others_are_their_code():
    words = language.words("en")
    assert len(labels.STATES) == 35
    assert set(labels.STATES) <= code_lists.COUNTRIES
    assert words.state("MX") == "Mexico (MX)"
    assert words.state("GB") == "GB"
