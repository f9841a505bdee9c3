"""The reader's language: every label, code and sentence of a document in English, Spanish, French or Portuguese.

Codes in data are never translated, only shown.

Before this room: `show`, `skeleton`, `valija.cli`. After it: `catalog`, `valija_schemas.documents.fields`.
"""

from functools import cache

from valija.paper.catalog import Sentences, catalog
from valija_schemas.documents import DocumentType, Language, Problem, labels
from valija_schemas.documents import fields as forms
from valija_schemas.documents.base import PHRASES, Block
from valija_schemas.documents.fields import Field


class Words(Sentences):
    """What is said to a reader of one language, of documents too. Immutable; share it freely."""

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


@cache
def words(language: Language) -> Words:
    """What is said in `language`."""
    return Words(language, catalog(language))
