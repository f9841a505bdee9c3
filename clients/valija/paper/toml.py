"""Writes a mapping as TOML 1.0, so that a person's file can be written as it is read.

Within a table plain fields come first and groups after them, since in TOML a field after a group would belong to it. Of
the values that `tomllib` reads all but times can be written; those of a document are texts.

Before this room: `skeleton`, `valija.cli.new`. After it: nothing.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


def write(values: Mapping[str, Any]) -> str:
    """`values` as TOML; what is None is left out, as is an empty list or group."""
    return "\n".join(_table(values, "")).strip("\n") + "\n"


def value(what: object) -> str:
    """One value, on one line but for a text of several lines."""
    match what:
        case bool():
            return "true" if what else "false"
        case str() if "\n" in what:
            escaped = _basic(what)[1:-1].replace(r"\n", "\n")
            return f'"""\n{escaped}"""'
        case str():
            return _basic(what)
        case list() | tuple():
            return f"[{', '.join(map(value, what))}]"
        case Mapping():
            return f"{{ {', '.join(f'{key(name)} = {value(inner)}' for name, inner in what.items())} }}"
        case _:
            return str(what)


def key(name: str) -> str:
    """The name of a field, quoted where it must be."""
    return name if _BARE.fullmatch(name) else _basic(name)


def _basic(text: str) -> str:
    # What JSON escapes TOML spells in the same way; but TOML wants DEL escaped, and JSON does not.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", r"\u007f")


def _table(values: Mapping[str, Any], path: str) -> Iterator[str]:
    groups = {}
    for name, inner in values.items():
        if inner is None or inner in ([], {}):
            continue
        if isinstance(inner, Mapping) or (isinstance(inner, list) and all(isinstance(each, Mapping) for each in inner)):
            groups[name] = inner
        else:
            yield f"{key(name)} = {value(inner)}"
    for name, inner in groups.items():
        there = f"{path}.{key(name)}" if path else key(name)
        for each in [inner] if isinstance(inner, Mapping) else inner:
            yield ""
            yield f"[{there}]" if isinstance(inner, Mapping) else f"[[{there}]]"
            yield from _table(each, there)
