"""The one JSON form: a value has one spelling, and every other one is refused. SPEC.md section 1.2."""

import json
import tracemalloc
import unicodedata
from typing import Annotated

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from valija_schemas import limits, wire
from valija_schemas.wire import Decoder, WireError


class Inner(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    text: str
    flag: bool


class Value(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: wire.Identifier
    to: dict[wire.Identifier, wire.Digest]
    count: wire.Count
    text: str
    line: wire.Line | None
    inner: Inner
    pairs: tuple[tuple[wire.Count, str], ...]


read = Decoder(Value, 64 * 1024)
read_text = Decoder(str, 64 * 1024)
read_texts = Decoder(dict[str, int], 64 * 1024)

FORBIDDEN = "\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"
CONTROLS = "".join(map(chr, [*range(0x20), *range(0x7F, 0xA0)])).replace("\n", "")

_identifiers = st.from_regex(r"[a-z][a-z0-9.-]{0,12}", fullmatch=True)
_digests = st.text("0123456789abcdef", min_size=64, max_size=64)
_counts = st.integers(0, limits.integer_max)


def _clean(text):
    kept = "".join(c for c in text if c not in CONTROLS + FORBIDDEN)
    return unicodedata.normalize("NFC", kept).rstrip("\n")


_texts = st.text(max_size=30).map(_clean)
_values = st.builds(
    Value,
    id=_identifiers,
    to=st.dictionaries(_identifiers, _digests, max_size=3),
    count=_counts,
    text=_texts,
    line=st.none() | _texts.map(lambda text: text.replace("\n", " ")).map(_clean),
    inner=st.builds(Inner, text=_texts, flag=st.booleans()),
    pairs=st.lists(st.tuples(_counts, _texts), max_size=2).map(tuple),
)

VALUE = Value(
    id="mx.enlace",
    to={"co.enlace": "0" * 64, "ca.liaison": "a" * 64},
    count=100,
    text='a "quoted" \\ text\nof two lines, señor',
    line=None,
    inner=Inner(text="", flag=True),
    pairs=((0, "x"), (limits.integer_max, "y")),
)
SPELLING = (
    '{"id":"mx.enlace","to":{"ca.liaison":"' + "a" * 64 + '","co.enlace":"' + "0" * 64 + '"},"count":100,'
    '"text":"a \\"quoted\\" \\\\ text\\nof two lines, señor","line":null,"inner":{"text":"","flag":true},'
    '"pairs":[[0,"x"],[9007199254740991,"y"]]}'
).encode()


def refused(text, reader=read):
    with pytest.raises(WireError):
        reader(text if isinstance(text, bytes) else text.encode())


def test_a_known_value_has_the_spelling_of_the_specification():
    assert wire.encode(VALUE) == SPELLING
    assert read(SPELLING) == VALUE


@given(_values)
def test_what_is_written_is_read_as_the_same_value(value):
    data = wire.encode(value)
    assert read(data) == value
    assert wire.encode(read(data)) == data
    assert msgspec.json.decode(data) == json.loads(data)


@given(st.integers(0, len(SPELLING) - 1), st.integers(0, 255))
def test_a_changed_byte_is_refused_or_spells_another_value(position, byte):
    changed = bytearray(SPELLING)
    changed[position] = byte
    data = bytes(changed)
    try:
        value = read(data)
    except WireError:
        return
    assert wire.encode(value) == data
    assert (value == VALUE) == (data == SPELLING)


@given(_values, st.data())
def test_an_inserted_or_removed_byte_is_refused_or_spells_another_value(value, data):
    spelling = wire.encode(value)
    position = data.draw(st.integers(0, len(spelling) - 1))
    extra = data.draw(st.sampled_from([b" ", b"\n", b"\t", b"0", b",", b'"', b"\\", b"-", b"\xcc\x81", b"}"]))
    for other in (
        spelling[:position] + extra + spelling[position:],
        spelling[:position] + spelling[position + 1 :],
        spelling + extra,
        extra + spelling,
    ):
        try:
            again = read(other)
        except WireError:
            continue
        assert wire.encode(again) == other
        assert again != value


@given(st.binary(max_size=200))
@example(b"\xef\xbb\xbf" + SPELLING)
@example(b"\xff\xfe{\0}\0")
@example(b'{"id":"\xed\xa0\x80"}')
def test_random_bytes_raise_nothing_else(data):
    for reader in (read, read_text, read_texts):
        try:
            value = reader(data)
        except WireError:
            continue
        assert wire.encode(value) == data


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5))
def test_random_json_raises_nothing_else(value):
    try:
        again = read_texts(json.dumps(value).encode())
    except WireError:
        return
    assert isinstance(again, dict)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"count":100', '"count":1e2'),
        ('"count":100', '"count":100.0'),
        ('"count":100', '"count":100.5'),
        ('"count":100', '"count":0100'),
        ('"count":100', '"count":+100'),
        ('"count":100', '"count":-0'),
        ('"count":100', '"count":-1'),
        ('"count":100', '"count":"100"'),
        ('"count":100', '"count":true'),
        ('"count":100', '"count":9007199254740992'),
        ('"count":100', '"count":18446744073709551716'),
        ('"count":100', '"count":' + "9" * 400),
        ('"count":100', '"count":1e400'),
        ('"count":100', '"count":NaN'),
        ('"count":100', '"count":Infinity'),
        ('"count":100', '"count":100,"count":100'),
        ('"count":100', '"count":1,"count":100'),
        ('"count":100,', ""),
        ('"count":100', '"Count":100'),
        ('"count":100', '"c\\u006funt":100'),
        ('"count":100', '"count":100,"extra":0'),
        ('"count":100', '"count" :100'),
        ('"count":100', '"count": 100'),
        ('"count":100', '"count":100 '),
        ('"count":100', '"count":100/**/'),
        ('"line":null,', ""),
        ('"line":null', '"line":"a\\nb"'),
        ('"line":null', '"line":"a\\n"'),
        ('"flag":true', '"flag":1'),
        ('"flag":true', '"flag":True'),
        ('"text":"","flag":true', '"flag":true,"text":""'),
        ('"id":"mx.enlace"', '"id":"mx.enlac\\u0065"'),
        ('"id":"mx.enlace"', '"id":"mx.enlace\\n"'),
        ('"id":"mx.enlace"', '"id":"Mx.enlace"'),
        ('"id":"mx.enlace"', '"id":""'),
        ('"id":"mx.enlace"', '"id":"' + "a" * 65 + '"'),
        ('"id":"mx.enlace"', '"id":"mx/enlace"'),
        ('"id":"mx.enlace"', '"id":"m\u0445.enlace"'),  # a Cyrillic letter
        ('"co.enlace":"', '"ca.liaison":"'),
        ('"co.enlace":"', '"aa.liaison":"'),  # maps are in byte order
        ('"co.enlace":"', '"co.enlace\\n":"'),
        ("a" * 64, "A" * 64),
        ("a" * 64, "a" * 63),
        ("a" * 64, "a" * 64 + "\\n"),
        ("señor", "se\\u00f1or"),
        ("señor", "sen\u0303or"),  # not NFC
        ("señor", "\u212bngstrom"),  # the sign for a unit, which NFC turns into a letter
        ("señor", "se\tor"),
        ("señor", "se\\tor"),
        ("señor", "se\\/or"),
        ("señor", "se/or\\n"),
        ("señor", "se\\u000aor"),
        ("señor", "se\\u0022or"),
        ("señor", "\\ud83d\\ude00"),
        ("señor", "\\ud800"),
        ("text\\nof", "text\nof"),
        ("text\\nof", "text\\r\\nof"),
        ('"pairs":[[0,"x"],', '"pairs":[[0,"x",0],'),
        ('"pairs":[[0,"x"],', '"pairs":[[0],'),
        ('"pairs":[', '"pairs":[,'),
        ('"pairs":[[0,"x"],', '"pairs":[[0,"x"],,'),
        ('"y"]]', '"y"],]'),
        ("}", "}}"),
    ],
)
def test_another_spelling_is_refused(old, new):
    text = SPELLING.decode()
    assert old in text
    refused(text.replace(old, new, 1))


@pytest.mark.parametrize("around", ["{0}\n", " {0}", "{0} ", "\ufeff{0}", "{0}{0}", "[{0}]", "{0}\0", "{0},"])
def test_something_around_the_value_is_refused(around):
    refused(around.replace("{0}", SPELLING.decode()))


def test_another_encoding_is_refused():
    for encoding in ("utf-16", "utf-16-le", "utf-32", "latin-1", "utf-7"):
        refused(SPELLING.decode().encode(encoding))


def test_utf_8_of_more_bytes_than_needed_and_surrogates_are_refused():
    for bad in (b"\xc0\xaf", b"\xe0\x80\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xff", b"\xc3"):
        refused(b'"' + bad + b'"', read_text)


@pytest.mark.parametrize("character", sorted(CONTROLS + FORBIDDEN), ids=lambda c: f"U+{ord(c):04X}")
def test_what_a_person_cannot_see_is_neither_written_nor_read(character):
    for text in (character, f"a{character}b", f"a{character}"):
        with pytest.raises(WireError):
            wire.encode(text)
        for spelling in (f'"{text}"', json.dumps(text), f'"\\u{ord(character):04x}"'):
            refused(spelling, read_text)
        with pytest.raises(WireError):
            wire.encode({text: 1})
        refused(f'{{"{text}":1}}', read_texts)


@given(st.text('anNé\u007f\u0080\u009f\u00a0\u00bf\u00c0\u02ff\u0300\u0301\u200f\u212b\\"\n\t', max_size=8))
@example("\n\u0300")
@example("\\n\u0300")
@example("\n\u0300n\u0300")
def test_a_text_is_written_and_read_if_and_only_if_the_specification_allows_it(text):
    spelling = msgspec.json.encode(text)
    plain = not set(text) & set(CONTROLS + FORBIDDEN) and not text.endswith("\n")
    if plain and unicodedata.is_normalized("NFC", text):
        assert wire.encode(text) == spelling
        assert read_text(spelling) == text
    else:
        with pytest.raises(WireError):
            wire.encode(text)
        refused(spelling, read_text)


@pytest.mark.parametrize("text", ["a\n", "\n", "a\n\n"])
def test_no_string_ends_with_a_newline(text):
    with pytest.raises(WireError):
        wire.encode(text)
    refused(json.dumps(text), read_text)
    refused(json.dumps({text: 1}, separators=(",", ":")), read_texts)


@pytest.mark.parametrize(
    "text", ["a\nb", "\na", "a\\n", "\\", '"', '\n"', '\\"\n\\', "a\\\nb", "\U0001f600", "\u0627", "é"]
)
def test_newlines_inside_quotes_backslashes_and_every_script_are_kept(text):
    assert read_text(wire.encode(text)) == text


@pytest.mark.parametrize("text", ["e\u0301", "\u1100\u1161", "\u2126", "\u0344", "c\u0327\u0301"])
def test_text_that_is_not_nfc_is_neither_written_nor_read(text):
    with pytest.raises(WireError):
        wire.encode(text)
    refused(f'"{text}"', read_text)


def test_a_surrogate_is_not_written():
    with pytest.raises(WireError):
        wire.encode("\ud800")


def test_maps_are_in_byte_order_whatever_the_script():
    keys = ["", "Z", "a", "aa", "b", "é", "\uffee", "\U0001f600"]
    data = wire.encode(dict.fromkeys(reversed(keys), 0))
    assert list(json.loads(data)) == sorted(keys, key=str.encode) == keys
    assert list(read_texts(data)) == keys
    refused('{"\U0001f600":0,"\uffee":0}', read_texts)  # the order of UTF-16


@pytest.mark.parametrize(
    "data",
    [b"[" * 200_000, b"[" * 200_000 + b"]" * 200_000, b'{"a":' * 100_000, b'{"inner":' * 100_000],
    ids=["lists", "closed lists", "objects", "objects of a field"],
)
def test_deep_nesting_is_refused(data):
    for type_ in (Value, object):
        refused(data, Decoder(type_, 2**20))


def test_a_value_nested_without_end_is_not_written():
    value = []
    value.append(value)
    with pytest.raises(WireError):
        wire.encode(value)


def test_the_size_is_looked_at_first():
    text = wire.encode("a" * 10)
    assert Decoder(str, len(text))(text) == "a" * 10
    with pytest.raises(WireError, match="more than"):
        Decoder(str, len(text) - 1)(text)
    with pytest.raises(WireError, match="more than"):
        read(b"[" * 2**20)


def test_an_exact_pattern_cannot_be_passed_by_a_newline_at_the_end():
    # `$` also matches before a last newline: the rule that no string ends with one closes this for every pattern.
    for type_, good in ((wire.Identifier, "a"), (wire.Digest, "0" * 64), (wire.KeyHex, "0" * 64), (wire.Line, "x")):
        reader = Decoder(type_, 1000)
        assert reader(f'"{good}"'.encode()) == good
        refused(f'"{good}\\n"', reader)


def test_the_smallest_and_the_largest_integer_are_kept():
    reader = Decoder(wire.Count, 100)
    for value in (0, limits.integer_max):
        assert reader(wire.encode(value)) == value
    for bad in ("-1", str(limits.integer_max + 1), "-0", "0.0", "00", "1e0", ""):
        refused(bad, reader)


def test_a_limit_of_a_field_is_kept():
    reader = Decoder(Annotated[tuple[int, ...], msgspec.Meta(max_length=2)], 100)
    assert reader(b"[1,2]") == (1, 2)
    refused("[1,2,3]", reader)


def test_a_large_text_takes_no_more_memory_than_a_few_copies():
    text = 'a"\n\\' * (limits.body_bytes_max // 4) + "."
    tracemalloc.start()
    try:
        data = wire.encode(text)
        assert tracemalloc.get_traced_memory()[1] < 10 * len(data)
    finally:
        tracemalloc.stop()
    assert Decoder(str, len(data))(data) == text
