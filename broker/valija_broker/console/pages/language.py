"""Sentences of the console in the reader's language: English, Spanish, French or Portuguese.

The English text is the key of its translation (GNU gettext); what a catalog lacks is shown in English. Catalogs:
`locale` beside `pages`, kept by `make words`.

Before this room: `view`. After it: nothing.
"""

import gettext
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final, Literal, get_args

Language = Literal["en", "es", "fr", "pt"]

DOMAIN: Final = "console"
FOLDER: Final = Path(__file__).parents[1] / "locale"
LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)
NAMES: Final[Mapping[Language, str]] = {"en": "English", "es": "Español", "fr": "Français", "pt": "Português"}
COOKIE: Final = "valija-language"

#: What codes are called, some of them by the field they stand in. A code that is not here is shown as it is.
TERMS: Final[Mapping[str, str]] = {
    "observer": "observer", "operator": "operator", "registrar": "registrar", "auditor": "auditor",
    "active": "active", "suspended": "suspended", "withdrawn": "withdrawn", "held": "held",
    "ready": "waits", "leased": "is lent", "dead": "dead letter", "delivered": "delivered", "refused": "refused",
    "failed": "failed", "waiting": "waits",
    "ok": "good", "warning": "warning", "critical": "critical", "unknown": "not known",
    "flash": "flash", "urgent": "urgent", "routine": "routine",
    "judicial": "judicial", "non-judicial": "non-judicial", "law-enforcement": "law enforcement",
    "administrative": "administrative", "political": "political",
    "sign": "signing", "seal": "sealing", "auth": "signing requests",
    "proof:proved": "proved now", "proof:waiting": "in no checkpoint yet", "proof:false": "NOT PROVED",
    "cause:attempts": "Lent too often, and never acknowledged", "cause:unverified": "Could not be verified or opened",
    "cause:corrupt": "Damaged in the store",
    "cause:cannot-open": "its seal could not be opened", "cause:schema": "its document is not as its type says",
    "cause:not-for-us": "not for them", "cause:unknown-type": "a type that they do not know",
    "cause:expired": "expired", "cause:lost": "lost with the store", "cause:suspended": "suspended",
    "cause:withdrawn": "withdrawn", "cause:held": "held",
    "cause:altered": "Altered in the store", "cause:more": "More than one look reads",
    "broker": "broker", "queue": "queues", "log": "log", "directory": "directory", "clock": "clock",
    "storage": "storage", "canary": "canary", "root": "root",
    "replay": "send back to the queue", "discard": "give up", "retain": "put a legal hold",
    "release": "end a legal hold", "erase": "erase the evidence", "hold": "hold the contact point",
    "lift": "lift the hold",
    "open": "waits for signatures", "handed-in": "is carried out", "done": "done", "offered": "offered",
    "in-force": "in force",
    "SubmissionAcceptance": "accepted", "SubmissionRejection": "refused at the door", "ContentHandover": "handed over",
    "ContentHandoverFailure": "failed", "ConsignmentAcceptance": "taken by the recipient",
    "ConsignmentRejection": "refused by the recipient", "DeadLettered": "became a dead letter",
    "OperatorAction": "ordered by operators", "OperatorHold": "held by operators",
}  # fmt: skip


class Words:
    """What is said to a reader of one language. Immutable; share it freely."""

    def __init__(self, language: Language, catalog: gettext.NullTranslations) -> None:
        self.language: Final = language
        self._catalog: Final = catalog

    def say(self, text: str, /, **values: object) -> str:
        """A sentence of ours. `text` is a literal, so that `make words` finds it; `values` fill its {names}."""
        said = self._catalog.gettext(text)
        return said.format_map(values) if values else said

    def known(self, text: str) -> str:
        """A sentence of ours that stands in a table, which `make words` reads too."""
        return self._catalog.gettext(text)

    def term(self, code: str, field: str = "") -> str:
        """What a code is called, in this field where it means something else there."""
        named = TERMS.get(f"{field}:{code}" if field else code)
        return self._catalog.gettext(named) if named else code

    def meant(self, templates: Mapping[str, str], code: str, values: Mapping[str, str], otherwise: str) -> str:
        """What a code means, by the template that `observe` has for it; `otherwise` where it has none for us."""
        template = templates.get(code)
        if template is None:
            return otherwise
        try:
            return self._catalog.gettext(template).format_map(values)
        except (KeyError, IndexError, ValueError):  # of another release than this template
            return otherwise


@cache
def words(language: Language) -> Words:
    """What is said in `language`."""
    if language == "en":
        return Words(language, gettext.NullTranslations())
    return Words(language, gettext.translation(DOMAIN, FOLDER, [language], fallback=True))


def wanted(chosen: str | None, accepted: str) -> Language:
    """The language to use: the one that was chosen, else the first of `Accept-Language` that there is, else English."""
    for language in LANGUAGES:
        if chosen == language:
            return language
    ranked = []
    for place, part in enumerate(accepted[:500].split(",")):
        tag, _, rest = part.strip().partition(";")
        try:
            weight = float(rest.partition("=")[2] or "1") if rest else 1.0
        except ValueError:
            continue
        ranked.append((-weight, place, tag.strip().lower().split("-")[0]))
    for weight, _, tag in sorted(ranked):
        for language in LANGUAGES:
            if weight < 0 and tag == language:
                return language
    return "en"
