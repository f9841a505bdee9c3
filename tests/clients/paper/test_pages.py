"""Hostile content on a terminal, in a browser and on the disk: it steers nothing, runs nothing, leads nowhere."""

import base64
import hashlib
import html.parser
import re
import struct
import unicodedata
import zlib

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from valija.errors import ConfigError
from valija.paper import attached, letter, pictures, safe, text
from valija.paper import html as pages
from valija.paper.language import words
from valija.paper.letter import Content
from valija.paper.outline import Attached, Group, Notice, Outline, Row, Table
from valija_schemas.printable import printable

ARABIC, HEBREW = "\u0645\u062d\u0645\u062f \u0639\u0644\u064a", "\u05d3\u05d5\u05d3"
HOSTILE = (
    "\x1b[2J\x1b]0;title\x07\r\x9b31m\b",
    "\u202egnp.exe\u2066\u200f\u2028",
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)" x=\'',
    "</style></title><!-- -->]]>&lt;",
    "x" * 20_000,
    "a\u0301" * 500,
    f"{ARABIC}\n  Verified: signed by mx.enlace",
    "",
)


def outline(value, **how):
    items = (
        Row(value, (value, value)),
        Table(value, (value, "b"), ((Row("a", (value,)), Row("b", ())), (Row("a", (value,)), Row("b", ("x",), True)))),
        Attached(1, value, "image/png", (Row(value, (value,)),), how.get("content", b"x")),
        Group(value, (Row("Deep", (value,)),), mark="B2"),
    )  # fmt: skip
    return Outline(
        language="es", written_in="fr", title=value, running=("EXERCISE", value), exercise="EXERCISE",
        notices=(Notice(value, "alarm"), Notice(value, "good")), groups=(Group(value, items),),
    )  # fmt: skip


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("width", [1, 60])
def test_nothing_that_a_sender_wrote_steers_a_terminal(value, width):
    for line in text.render(outline(value), width):
        assert line.startswith("EXERCISE |")
        inner = line.removeprefix("EXERCISE |")
        assert all(unicodedata.category(c) not in {"Cc", "Cs", "Zl", "Zp"} for c in inner)
        assert inner.count("\u2068") == inner.count("\u2069")
        assert set(filter(lambda c: unicodedata.category(c) == "Cf", inner)) <= {"\u2068", "\u2069"}
        if width >= 60:  # what is longer would go on at the left, where our own words stand
            assert len(line.translate({0x2068: None, 0x2069: None})) <= width
            assert not inner.lstrip(" ").startswith("Verified") or inner.startswith("     ")


@pytest.mark.parametrize("name", [ARABIC, HEBREW, "Jos\u00e9 N\u00fa\u00f1ez", "\u738b\u5c0f\u660e"])
def test_a_name_in_any_script_is_readable_and_turns_nothing_around_it(name):
    assert name in safe.isolated(printable(name))
    (line,) = (each for each in text.render(outline(name), 100) if "Deep" in each)
    turned = any(unicodedata.bidirectional(c) in {"R", "AL"} for c in name)
    assert line.endswith(f"\u2068{name}\u2069" if turned else name)


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
)


@settings(max_examples=40, database=None)
@given(ANY)
def test_whatever_stands_in_an_unknown_document_steers_nothing(value):
    made = letter.outline(
        Content(type_="future/1", data=msgspec.json.encode(value)), None, "no-message", "", words("fr"), now_ms=0
    )
    for line in text.render(made, 80):
        assert all(unicodedata.category(c) not in {"Cc", "Cs", "Zl", "Zp"} for c in line)
        assert set(filter(lambda c: unicodedata.category(c) == "Cf", line)) <= {"\u2068", "\u2069"}
    assert Page(pages.render(made, words("fr"))).open == []


def test_a_digest_is_not_cut_in_two_where_a_line_has_room_for_it():
    digest = "0123456789abcdef" * 4
    rows = (Row("Digest of the message", (digest,)), Row("What it replies to", (f"{digest} and more",)))
    made = replace(outline("x"), groups=(Group("Message", rows),), exercise="")
    lines = list(text.render(made, 80))
    assert f"  {digest}" in lines
    assert all(digest in line for line in lines if "0123456789abcdef" in line)


class Page(html.parser.HTMLParser):
    """What a browser would see."""

    def __init__(self, source):
        super().__init__(convert_charrefs=True)
        self.tags, self.texts, self.open = [], [], []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "img"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def image(width=1, height=1):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_a_page_runs_nothing_fetches_nothing_and_holds_every_text_as_text(value):
    page = Page(pages.render(outline(value, content=image()), words("es")))
    assert page.open == []
    known = {"html", "head", "meta", "title", "style", "body", "div", "main", "h1", "h2", "h3", "h4", "p", "section"}
    assert {tag for tag, _ in page.tags} <= known | {"table", "thead", "tbody", "tr", "th", "td", "span", "img", "bdi"}
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") or name in {"style", "href", "srcset"} for name in attributes)
        assert "src" not in attributes or (tag == "img" and attributes["src"].startswith("data:image/png;base64,"))
    assert page.texts.count(printable(value)) >= 8 or not value


def test_the_policy_of_a_page_allows_its_own_style_and_pictures_alone():
    page = Page(pages.render(outline("x"), words("es")))
    policies = [found["content"] for tag, found in page.tags if found.get("http-equiv") == "Content-Security-Policy"]
    (style,) = (inner for inner in page.texts if "@page" in inner)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policies == [
        f"default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; style-src 'sha256-{digest}'"
    ]
    assert "url(" not in style
    assert "@import" not in style


def test_a_page_says_its_languages_names_its_cells_and_repeats_what_must_not_be_overlooked():
    page = Page(pages.render(outline("x", content=image()), words("es")))
    assert ("html", {"lang": "es"}) in page.tags
    assert ("td", {"lang": "fr"}) in page.tags
    assert ("td", {}) in page.tags  # our own words, in the reader's language
    heads = [attributes.get("scope") for tag, attributes in page.tags if tag == "th"]
    assert set(heads) == {"row", "col"}
    assert [found["class"] for tag, found in page.tags if tag == "div" and found["class"] in {"head", "foot"}] == [
        "head",
        "foot",
    ]
    assert page.texts.count("EXERCISE · x") == 3
    assert all(found["alt"] for tag, found in page.tags if tag == "img")


def test_the_colours_of_a_page_can_be_told_apart():
    """WCAG 2.2, 1.4.3: at least 4.5 to 1 (level AA)."""
    colours = dict(re.findall(r"^([^\n{]+) \{[^}]*[ ;{]color: (#[0-9a-f]{3,6})", pages._CSS, re.MULTILINE))
    grounds = dict(re.findall(r"^([^\n{]+) \{[^}]*background: (#[0-9a-f]{3,6})", pages._CSS, re.MULTILINE))
    pairs = [(colours["body"], ground) for name, ground in grounds.items() if name.startswith(("body", "p."))]
    pairs += [(colours[".running"], grounds[name]) for name in (".running", ".running.exercise")]
    pairs += [(colours["th"], grounds["body"])]
    assert len(pairs) == 7
    for one, other in pairs:
        lights = sorted((luminance(one), luminance(other)))
        assert (lights[1] + 0.05) / (lights[0] + 0.05) >= 4.5, (one, other)


def luminance(colour):
    digits = colour[1:] if len(colour) == 7 else "".join(2 * c for c in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


JPEG = b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc0\x00\x0b\x08" + struct.pack(">HH", 600, 800) + b"\x01\x01\x11\x00"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (image(), "image/png"),
        (JPEG, "image/jpeg"),
        (image(60_000, 60_000), None),
        (image(0, 5), None),
        (JPEG[:12], None),
        (JPEG.replace(struct.pack(">HH", 600, 800), b"\xff\xff\xff\xff"), None),
        (image()[:20], None),
        (b"\xff\xd8\xff", None),
        (b"\xff\xd8" + b"\xff\xe0\x00\x00" * 9, None),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", None),
        (b"GIF89a\x01\x00\x01\x00", None),
        (b"", None),
    ],
)
def test_only_pictures_that_are_safe_to_open_are_shown(content, expected):
    assert pictures.shown_as(content) == expected


@pytest.mark.parametrize("content", [image(60_000, 60_000), JPEG, b"<svg/>"])
def test_a_file_that_is_not_what_it_says_is_listed_and_not_shown(content):
    page = Page(pages.render(outline("x", content=content), words("es")))
    assert "img" not in {tag for tag, _ in page.tags}


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("orden.pdf", "01-orden.pdf"),
        ("../../etc/passwd", "01-_._etc_passwd"),
        ("..\\..\\x", "01-_._x"),
        ("CON", "01-CON"),
        ("nul.txt", "01-nul.txt"),
        (".bashrc", "01-bashrc"),
        ("a. . .", "01-a"),
        ("...", "01-_"),
        ("", "01-_"),
        ("a\x00b\nc\x1b.txt", "01-a_b_c_.txt"),
        ("ph\u202egpj.exe", "01-ph_gpj.exe"),
        ("$(rm -rf *);|&`.sh", "01-__rm -rf ______.sh"),
        ("cafe\u0301.txt", "01-caf\u00e9.txt"),
        ("x" * 300 + ".jpg", "01-" + "x" * 193 + ".jpg"),
        ("\u738b" * 120, "01-" + "\u738b" * 65),
        ("a." + "b" * 40, "01-a." + "b" * 40),
    ],
)
def test_a_senders_name_for_a_file_is_a_label_and_never_a_path(label, expected):
    found = attached.file_name(1, label)
    assert found == expected
    assert len(found.encode()) <= attached.name_bytes_max


def test_files_of_one_name_do_not_meet_and_no_link_is_followed(tmp_path):
    folder, elsewhere = tmp_path / "papers", tmp_path / "elsewhere"
    files = [Attached(number, "a.txt", "text/plain", (), b"%d" % number) for number in (1, 2)]
    written = list(attached.save(files, folder))
    assert [path.read_bytes() for path in written] == [b"1", b"2"]
    assert {path.stat().st_mode & 0o777 for path in written} == {0o600}
    other = tmp_path / "other"
    other.mkdir()
    (other / "01-a.txt").symlink_to(elsewhere)
    with pytest.raises(ConfigError, match="is there already"):
        list(attached.save(files, other))
    assert not elsewhere.exists()
