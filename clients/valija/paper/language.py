"""The reader's language: every label, code and sentence of a document in English, Spanish, French or Portuguese.

The English text is the key of its translation (GNU gettext); what a catalog lacks is shown in English. Codes in data
are never translated, only shown. Catalogs: clients/valija/paper/locale, kept by `make words`.

Before this room: `show`, `skeleton`, `valija.cli`. After it: `valija_schemas.documents.fields`.
"""

import gettext
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final, get_args

from valija_schemas.documents import DocumentType, Language, Problem, labels
from valija_schemas.documents import fields as forms
from valija_schemas.documents.base import PHRASES, Block
from valija_schemas.documents.fields import Field

DOMAIN: Final = "valija"
FOLDER: Final = Path(__file__).with_name("locale")
LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)


class Words:
    """What is said to a reader of one language. Immutable; share it freely."""

    def __init__(self, language: Language, catalog: gettext.NullTranslations) -> None:
        self.language: Final = language
        self._catalog: Final = catalog

    def say(self, text: str, /, **values: object) -> str:
        """A sentence of ours. `text` is a literal, so that `make words` finds it; `values` fill its {names}."""
        said = self._catalog.gettext(text)
        return said.format_map(values) if values else said

    def label(self, field: Field) -> str:
        """What a field is called."""
        return self._catalog.gettext(field.label)

    def help(self, field: Field) -> str:
        """What a field means; empty where its name says it."""
        return self._known(field.help)

    def form(self, field: Field) -> str:
        """How to write a field; empty where anything goes."""
        return self._known(field.form)

    def code(self, field: str, code: str) -> str:
        """What a code of the field of this name says."""
        # The field is the context: the same word may need another translation elsewhere.
        return self._catalog.pgettext(field, forms.code_label(field, code))

    def state(self, code: str) -> str:
        """A State by name and code, `Mexico (MX)`; one outside the Americas by its code alone."""
        name = labels.STATES.get(code)
        return f"{self._catalog.pgettext('country', name)} ({code})" if name else code

    def title(self, of: type[Block] | DocumentType) -> str:
        """What a group or a document type is called."""
        return self._catalog.gettext(forms.title_of(of))

    def about(self, of: type[Block]) -> str:
        """What a group or a document is, in a paragraph."""
        return self._known(forms.about(of))

    def problem(self, problem: Problem) -> str:
        """What is wrong with a document and what to do, without path and rule."""
        said = self._catalog.gettext(problem.template)
        values = {name: self._known(value) if name in PHRASES else value for name, value in problem.values}
        return said.format_map(values) if values else said

    def _known(self, text: str) -> str:
        return self._catalog.gettext(text) if text else ""  # the empty key is the catalog's own header

    def __repr__(self) -> str:
        return f"Words({self.language!r})"


@cache
def words(language: Language) -> Words:
    """What is said in `language`."""
    if language == "en":
        return Words(language, gettext.NullTranslations())
    return Words(language, gettext.translation(DOMAIN, FOLDER, [language], fallback=True))


def wanted(chosen: str | None = None, environ: Mapping[str, str] = os.environ) -> Language:
    """The language to use: the one that was chosen, else that of the POSIX locale, else English."""
    places = (chosen, environ.get("LC_ALL"), environ.get("LC_MESSAGES"), environ.get("LANG"))
    for place in places:
        for language in LANGUAGES:
            if place and place.lower().split("_")[0].split(".")[0] == language:
                return language
        if place and place is not chosen:
            break  # POSIX: the first that is set decides
    return "en"
