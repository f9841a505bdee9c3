"""The one JSON form (SPEC.md section 1) is the form that JavaScript writes by itself: parse, stringify, same bytes.

So a reader in another language needs no special writer to check a note; the rules are not an accident of one library.
"""

from base64 import b64decode, b64encode
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valija_schemas import wire

pytestmark = pytest.mark.interop

examples = Path(__file__).parents[2] / "schemas" / "examples"
integer_max = 2**53 - 1

identifiers = st.from_regex(r"\A[a-z][a-z0-9.-]{0,63}\Z")


def spelled(value):
    """The wire form of `value`, or None if it has none: a control character, say, or text that is not NFC."""
    try:
        return wire.encode(value)
    except wire.WireError:
        return None


def values_of(strings):
    leaves = st.none() | st.booleans() | st.integers(0, integer_max) | strings
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=5) | st.dictionaries(identifiers, inner, max_size=5),
        max_leaves=12,
    )


def again(node, texts):
    return [b64decode(text) for text in node("reencode.mjs", [b64encode(text).decode() for text in texts])]


@given(st.lists(values_of(st.text()).map(spelled).filter(bool), min_size=20, max_size=80))
@settings(max_examples=25)
def test_javascript_writes_any_wire_value_as_we_do(node, texts):
    assert again(node, texts) == texts


def test_javascript_escapes_every_character_as_we_do(node):
    # Beyond what the wire lets through: the rule for escapes is stated for all of Unicode, so it is checked for all.
    characters = [chr(code) for code in range(0x11_0000) if not 0xD800 <= code <= 0xDFFF]
    texts = [msgspec.json.encode(characters[at : at + 0x10000]) for at in range(0, len(characters), 0x10000)]
    assert again(node, texts) == texts


def test_javascript_writes_the_largest_integer_as_we_do(node):
    texts = [wire.encode(value) for value in (0, 1, 2**31, 2**32, 2**32 + 1, integer_max - 1, integer_max)]
    assert again(node, texts) == texts


def test_javascript_writes_every_example_as_it_stands(node, capsys):
    texts = [
        line
        for path in sorted(examples.rglob("*"))
        if path.is_file()
        for line in path.read_bytes().split(b"\n")
        if line.startswith(b"{")
    ]
    with capsys.disabled():
        print(f"\nschemas/examples: {len(texts)} lines of JSON")
    assert again(node, texts) == texts
