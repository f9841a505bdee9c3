"""What the records' codes mean, in the reader's language: attention, looks at parts, causes of death, refusals.

The English texts stand where the codes are given; here each is looked up by its code and translated. What this release
has no text for is shown in the words that came with it.

Before this room: `view`. After it: `language`, `observe`.
"""

import re
from collections.abc import Mapping
from typing import Final

from valija_broker.console.pages.language import Words
from valija_broker.observe import dead, health
from valija_broker.observe.attention import WORDS as FOUND
from valija_schemas import admin
from valija_schemas.problem import Code

_TIME: Final = re.compile(r"^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)Z$", re.ASCII)

LOOKED: Final[Mapping[str, str]] = FOUND | health.WORDS
CAUSES: Final[Mapping[str, str]] = dead.words
OTHER_CAUSE: Final = dead.other

#: What a person is told whose request was refused, by the code of the problem: a title, and what to do.
REFUSALS: Final[Mapping[str, tuple[str, str]]] = {
    Code.NOT_ALLOWED: (
        "Not for your role",
        "Nothing was done. The root says which roles each person has; ask somebody who has the role for it.",
    ),
    Code.NOT_FOUND: (
        "There is no such page",
        "What you looked for is not here, or not any more. Look at the address, or begin from the overview.",
    ),
    Code.METHOD_NOT_ALLOWED: ("There is no such form", "Nothing was done. Begin from the page that has the form."),
    Code.MALFORMED: (
        "This could not be understood",
        "Nothing was done. Go back, correct what you wrote, and try again.",
    ),
    Code.TOO_LARGE: ("This is too long", "Nothing was done. Go back and write less."),
    Code.TOO_SLOW: ("This came too slowly", "Nothing was done. Try again."),
    Code.UNSUPPORTED: ("This is not one of our forms", "Nothing was done. Begin from the page that has the form."),
    Code.RATE: ("Too many attempts", "Wait a minute and try again."),
    Code.BUSY: ("The console is busy", "Wait a moment and try again."),
    Code.UNAVAILABLE: (
        "This cannot be looked at now",
        "The store, the evidence or the log does not answer, and mail may not move either. Look at the health page.",
    ),
    Code.SETTLED: ("Somebody was faster", "Nothing was done. Look at the proposals to see what became of it."),
    Code.NOT_POSSIBLE: ("This cannot be ordered or published now", "Nothing was done. Look again at what it is about."),
    Code.CROWDED: ("Too much waits here already", "Nothing was done. Sign or withdraw some of those that are open."),
}
#: Of these, the detail is for the person.
SAID: Final = frozenset({Code.NOT_ALLOWED, Code.MALFORMED, Code.SETTLED, Code.NOT_POSSIBLE, Code.CROWDED})
FAILED: Final = (
    "Something failed here",
    "This is a fault of the console, and mail is not touched by it. Try again; the broker's log says more.",
)


def attention(words: Words, item: admin.Attention) -> str:
    """What a matter is."""
    return words.meant(FOUND, item.code, _shaped(item.values), item.words)


def cause(words: Words, group: admin.DeadGroup) -> str:
    """Why letters died, and what to do."""
    return words.meant(
        CAUSES, group.reason, {}, words.known(OTHER_CAUSE) if group.words == OTHER_CAUSE else group.words
    )


def looked(words: Words, check: admin.Check) -> str:
    """What a look found."""
    return words.meant(LOOKED, check.code, _shaped(check.said), check.words)


def _shaped(values: Mapping[str, str]) -> dict[str, str]:
    """Values for a person: times as all pages have them."""
    return {name: _TIME.sub(r"\1 \2 UTC", value) for name, value in values.items()}


def refusal(words: Words, code: str) -> tuple[str, str]:
    """Title and advice for a refusal with this code."""
    title, advice = REFUSALS.get(code, FAILED)
    return words.known(title), words.known(advice)


def texts() -> list[str]:
    """Every English text here that is to be translated."""
    refused = [text for pair in (*REFUSALS.values(), FAILED) for text in pair]
    return [*LOOKED.values(), *CAUSES.values(), OTHER_CAUSE, *refused]
