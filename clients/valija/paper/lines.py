"""On which line of a person's file a field stands, since that is where its writer looks for it.

Neither reader of JSON or TOML tells lines, so the text is read once more, roughly: what is asked for is found in a file
that its reader took. A field that is missing is on the line of the group that lacks it.

Before this room: `valija.cli.check`. After it: nothing.
"""

import re
from collections.abc import Mapping
from typing import Final

_JSON: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],]|\n|[^\s{}\[\],:"]+')
_TOML: Final = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|#[^\n]*|[\[\]{}=\n]|[A-Za-z0-9_-]+',
    re.DOTALL,
)
_PATH_MAX: Final = 400  #: No form has one as long; a fault beyond it is on the line of a group around it.
_LAST_STEP: Final = re.compile(r"(\.[^.\[\]]+|\[\d+\])$")


def line_of(path: str, lines: Mapping[str, int]) -> int:
    """The line of the field `path`, or of the innermost group around it that is there."""
    while path not in lines and path != "$":
        shorter = _LAST_STEP.sub("", path)
        path = shorter if shorter != path else "$"
    return lines.get(path, 1)


def lines_of_json(text: str) -> dict[str, int]:
    """The line of each field and item of a JSON text, by its path."""
    lines: dict[str, int] = {"$": 1}
    around: list[tuple[str, int | None]] = []  # each group or list that is open: its path, and the item in a list
    path, line, awaits_key = "$", 1, False
    for piece in _JSON.findall(text):
        if piece == "\n":
            line += 1
        elif piece in {"}", "]"}:
            path = around.pop()[0] if around else "$"
            awaits_key = False
        elif piece == ",":
            outer, item = around[-1] if around else ("$", None)
            awaits_key = item is None
            if item is not None:
                around[-1] = (outer, item + 1)
                path = f"{outer}[{item + 1}]"
        else:
            if awaits_key:
                path = f"{around[-1][0]}.{piece[1:-1]}"
            if len(path) <= _PATH_MAX:
                lines.setdefault(path, line)
            awaits_key = piece == "{"
            if piece in {"{", "["}:
                around.append((path, None if piece == "{" else 0))
                path = path if piece == "{" else f"{path}[0]"
    return lines


def lines_of_toml(text: str) -> dict[str, int]:
    """The line of each table and key of a TOML text, by its path; what is inside a value is on the line of its key."""
    lines: dict[str, int] = {"$": 1}
    items: dict[str, int] = {}  # how many tables each list of tables has so far
    table, line = "$", 1
    keys: list[str] = []
    depth = brackets = 0
    in_value = False
    for match in _TOML.finditer(text):
        piece = match.group()
        if piece == "\n":
            if not in_value and brackets:
                table = _open(keys, brackets, items)
                lines.setdefault(table, line)
            if depth == 0:
                keys, brackets, in_value = [], 0, False
        elif piece.startswith("#"):
            continue
        elif in_value:
            depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(piece, 0)
        elif piece == "[" and not keys:
            brackets += 1
        elif piece == "=":
            in_value = True
            for end in range(1, len(keys) + 1):
                lines.setdefault(_named(table, keys[:end], items), line)
        elif piece not in "[]{}":
            keys.append(piece.strip("\"'"))
        line += piece.count("\n")
    return lines


def _open(keys: list[str], brackets: int, items: dict[str, int]) -> str:
    path = _named("$", keys[:-1], items) + f".{keys[-1]}" if keys else "$"
    if brackets == 2:
        items[path] = items.get(path, 0) + 1
        return f"{path}[{items[path] - 1}]"
    return _named("$", keys, items)


def _named(path: str, keys: list[str], items: dict[str, int]) -> str:
    for key in keys:
        path = f"{path}.{key}"
        if path in items:
            path = f"{path}[{items[path] - 1}]"
    return path
