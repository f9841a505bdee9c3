"""The JSON form: SPEC.md section 1.2, on the smallest kind that is not signed, and the rules of that kind (5.3)."""

from typing import Any

from valija_schemas import limits
from valija_schemas import note as notes
from vectors import field, shape
from vectors.made import Group

KIND = "valija/erasure/v1"
GOOD = '{"order":null,"leaves":[[3,2],[7,1]],"time":1795488860123,"reason":"age"}'
DIGEST = "3e9c7b39f091039ad3bfa55ae3158b9a9fe33690147c7b757e3772283d1ce2b6"


def text(json: str | bytes) -> bytes:
    return notes.text(KIND, field.ORIGIN, json if isinstance(json, bytes) else json.encode())


def groups(_: field.Recorded) -> list[shape.Group]:
    group = Group("erasure", "form", "1.2", origin=field.ORIGIN)
    group.accept("plain", data=text(GOOD))
    _accepted(group)
    _spelled(group)
    _texts(group)
    _numbers(group)
    return [group.made, _rules()]


def change(old: str, new: str) -> bytes:
    assert old in GOOD
    return text(GOOD.replace(old, new))


def reason(value: str | bytes) -> bytes:
    data = value if isinstance(value, bytes) else value.encode()
    return text(GOOD.encode().replace(b'"age"', b'"' + data + b'"'))


def _accepted(group: Group) -> None:
    group.accept(
        "escapes", "Quote and backslash are escaped, and nothing else.", data=reason(r"a \"quoted\" back\\slash /")
    )
    group.accept("beyond-ascii", "Other characters stand for themselves.", data=reason("año, 年, 😀"))
    group.accept(
        "integer-largest", "Every reader keeps 2^53-1 exactly.", data=change("[7,1]", f"[7,{limits.integer_max - 7}]")
    )
    group.accept("zero", "0 is a number.", data=change("[3,2]", "[0,2]"))
    group.accept("digest", "What may be null may be there.", data=change("null", f'"{DIGEST}"'))


def _spelled(group: Group) -> None:
    stops = "A value has one spelling, so that what is signed, hashed and read is the same."
    spellings: dict[str, Any] = {
        "space-after-colon": GOOD.replace(":", ": ", 1),
        "space-before": " " + GOOD,
        "space-behind": GOOD + " ",
        "other-order": '{"leaves":[[3,2],[7,1]],"order":null,"time":1795488860123,"reason":"age"}',
        "trailing-comma": GOOD[:-1] + ",}",
        "comment": GOOD[:-1] + "/**/}",
        "single-quotes": GOOD.replace('"', "'"),
        "two-values": GOOD + GOOD,
        "a-list": f"[{GOOD}]",
        "empty-object": "{}",
        "empty-line": "",
        "escaped-slash": GOOD.replace("age", r"a\/ge"),
        "escaped-letter": GOOD.replace("age", r"\u0061ge"),
        "escaped-name": GOOD.replace('"reason"', r'"re\u0061son"'),
        "escaped-tab": GOOD.replace("age", r"a\tge"),
    }
    for name, json in spellings.items():
        group.refuse(name, stops, data=text(json))
    group.refuse("byte-order-mark", stops, data=text("\ufeff" + GOOD))
    group.refuse("missing-field", "What is not known is null, never left out.", data=change('"order":null,', ""))
    group.refuse("unknown-field", "One reader would know it and another ignore it.", data=change("}", ',"note":1}'))
    stops = "Two readers resolve a field that stands twice in two ways."
    group.refuse("field-twice", stops, data=change("}", ',"reason":"other"}'))
    group.refuse("field-twice-alike", stops, data=change("}", ',"reason":"age"}'))
    group.refuse("null-for-text", "Null stands only where this page says so.", data=change('"age"', "null"))
    group.refuse("text-for-number", "Types are not converted.", data=change("1795488860123", '"1795488860123"'))
    group.refuse("true-for-number", "Types are not converted.", data=change("1795488860123", "true"))
    stops = "Depth must not exhaust the stack: values nest 16 deep at most."
    group.refuse("deep", stops, data=change("null", "[" * 8_000 + "]" * 8_000))
    group.refuse("deep-by-one", stops, data=change("null", "[" * 17 + "]" * 17))


def _texts(group: Group) -> None:
    stops = "Text must not be shown in another order, or with other lines, than its bytes say."
    for name, character in {
        "u0085": "\x85",
        "u007f": "\x7f",
        "u061c": "\u061c",
        "u200e": "\u200e",
        "u200f": "\u200f",
        "u2028": "\u2028",
        "u202e": "\u202e",
        "u2066": "\u2066",
        "ufeff": "\ufeff",
    }.items():
        group.refuse(f"character-{name}", stops, data=reason(f"a{character}b"))
    group.refuse("control-character", stops, data=reason(b"a\x01b"))
    group.refuse("control-character-escaped", stops, data=reason(r"a\u0001b"))
    group.refuse("line-feed-in-a-line", "A text of one line has one line.", data=reason(r"a\nb"))
    group.refuse("line-feed-at-the-end", "A text does not end with a newline.", data=reason(r"a\n"))
    group.refuse("tab", stops, data=reason(b"a\tb"))
    group.refuse("not-nfc", "What looks alike is spelled alike (UAX #15).", data=reason("an\u0303o"))
    stops = "Bytes that are no text must not become text by guessing."
    group.refuse("utf-8-invalid", stops, data=reason(b"a\xffb"))
    group.refuse("utf-8-overlong", stops, data=reason(b"a\xc0\xafb"))
    group.refuse("utf-8-surrogate", stops, data=reason(b"a\xed\xa0\x80b"))
    group.refuse("utf-8-cut", stops, data=reason(b"a\xc3"))
    group.refuse("surrogate-escaped", stops, data=reason(r"a\ud800b"))
    group.refuse("surrogate-pair-escaped", "An escape is a second spelling.", data=reason(r"a\ud83d\ude00b"))


def _numbers(group: Group) -> None:
    stops = "A number has one spelling, and every reader the same value for it."
    for name, number in {
        "negative": "-1",
        "negative-zero": "-0",
        "point": "1795488860123.0",
        "exponent": "1795488860123e0",
        "leading-zero": "01795488860123",
        "plus": "+1795488860123",
        "beyond-2-53": str(limits.integer_max + 1),
        "beyond-2-64": str(2**64 + 1),
        "hundred-digits": "1" * 100,
        "not-a-number": "NaN",
        "hexadecimal": "0x10",
    }.items():
        group.refuse(f"number-{name}", stops, data=change("1795488860123", number))


def _rules() -> shape.Group:
    group = Group("erasure", "erasure", "5.3", origin=field.ORIGIN)
    group.accept("by-age", data=text(GOOD))
    stops = "Two erasures that say the same are spelled the same, and none covers a leaf twice."
    for name, leaves in {
        "no-leaves": "[]",
        "touching": "[[3,2],[5,1]]",
        "overlapping": "[[3,2],[4,1]]",
        "descending": "[[7,1],[3,2]]",
        "no-count": "[[3,0]]",
        "three-numbers": "[[3,2,1]]",
        "one-number": "[[3]]",
    }.items():
        group.refuse(name, stops, data=change("[[3,2],[7,1]]", leaves))
    for count in (400, 401):
        ranges = ",".join(f"[{2 * n},1]" for n in range(count))
        stops = "400 ranges fit into a note whatever they are."
        data = change("[3,2],[7,1]", ranges)
        group.add(f"ranges-{count}", "accept" if count == 400 else "refused", stops, data=data)
    for name, size in (("longest", limits.note_bytes_max), ("too-long", limits.note_bytes_max + 1)):
        data = reason("x" * (size - len(reason(""))))
        stops = "A statement has 16 KiB at most, as a note has."
        group.add(name, "accept" if name == "longest" else "refused", stops, spec="1.8", data=data)
    group.refuse(
        "upper-case-digest", "A digest has one spelling.", spec="1.2", data=change("null", f'"{DIGEST.upper()}"')
    )
    group.refuse("short-digest", "A digest has 64 digits.", spec="1.2", data=change("null", f'"{DIGEST[1:]}"'))
    group.refuse(
        "other-exchange", "A statement counts in its own exchange.", data=text(GOOD).replace(b"exchange.", b"test.")
    )
    group.refuse(
        "other-kind", "A statement counts as what it says it is.", data=text(GOOD).replace(b"erasure/v1", b"action/v1")
    )
    signed = notes.sign(text(GOOD), [field.signer("broker", "evidence")])
    group.refuse("signed", "An erasure is two lines and nothing else.", data=signed)
    return group.made
