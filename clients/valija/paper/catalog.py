"""Sentences of ours in the reader's language, without the forms: for what must be quick, a list of cases say.

The English text is the key of its translation (GNU gettext); what a catalog lacks is shown in English. Catalogs:
clients/valija/paper/locale, kept by `make words`.

Before this room: `language`, `valija.cli`. After it: nothing.
"""

import gettext
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # the forms are many, and a list does not wait for them
    from valija_schemas.documents import Language

DOMAIN: Final = "valija"
FOLDER: Final = Path(__file__).with_name("locale")
LANGUAGES: Final[tuple["Language", ...]] = ("en", "es", "fr", "pt")


class Sentences:
    """What we say to a reader of one language. Immutable; share it freely."""

    def __init__(self, language: "Language", catalog: gettext.NullTranslations) -> None:
        self.language: Final = language
        self._catalog: Final = catalog

    def say(self, text: str, /, **values: object) -> str:
        """A sentence of ours. `text` is a literal, so that `make words` finds it; `values` fill its {names}."""
        said = self._catalog.gettext(text)
        return said.format_map(values) if values else said

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.language!r})"


def catalog(language: "Language") -> gettext.NullTranslations:
    """The translations into `language`; none for English, which is what is translated."""
    if language == "en":
        return gettext.NullTranslations()
    return gettext.translation(DOMAIN, FOLDER, [language], fallback=True)


@cache
def sentences(language: "Language") -> Sentences:
    """What we say in `language`."""
    return Sentences(language, catalog(language))


def wanted(chosen: str | None = None, environ: Mapping[str, str] = os.environ) -> "Language":
    """The language to use: the one that was chosen, else that of the POSIX locale, else English."""
    places = (chosen, environ.get("LC_ALL"), environ.get("LC_MESSAGES"), environ.get("LANG"))
    for place in places:
        for language in LANGUAGES:
            if place and place.lower().split("_")[0].split(".")[0] == language:
                return language
        if place and place is not chosen:
            break  # POSIX: the first that is set decides
    return "en"
